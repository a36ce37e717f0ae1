"""Score the decode-speed estimate on files of measured speeds.

    python benchmarks/speed.py FILE... [--markdown] [--worst N]
    python benchmarks/speed.py FILE... --update docs/speed.md
    python benchmarks/speed.py FILE... --fit-dev

A FILE is JSON with `records`, one measurement each: device class and bandwidth, backend,
model size, layers, active parameters, context depth, `tg` in tokens per second. Rows of
`eval_group: core` are scored (one whole model on one GPU, nothing odd about it); the other
groups are listed for information. The error of a row is |estimate / measured - 1|.

`--fit-dev` refits the constants on core rows of `split: dev` and reports the error on each
device with that device left out of the fit.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from speed_fitting import fit_constants, leave_devices_out

from assistant.fit.speed import (
    DecodeStep,
    cpu_bandwidth,
    gpu_step_seconds,
    prompt_tokens_per_second,
)
from assistant.fit.speed_constants import (
    FITTED,
    GPU_RANGE,
    TINY_BYTES,
    TINY_RANGE,
    SpeedConstants,
)
from assistant.machine.devices import find_device
from assistant.machine.records import Accelerator, Cpu, Machine, Ram

# Rough share of a full cache that a step reads, by family: most layers keep a window only,
# or have no cache at all. The product counts it from the architecture; rows have none.
CACHE_SHARES = (
    (r"gemma-?[34]", 1 / 6),
    (r"gemma-?2|gpt-oss", 1 / 2),
    (r"qwen3\.[56]|qwen3-next|coder-next|ornith|fara|agentworld", 1 / 4),
)
# Gated delta attention: Qwen3-Next, Qwen3.5 and 3.6, and the finetunes of them in the rows.
DELTA_MODELS = r"qwen3\.[56]|qwen3-next|coder-next|ornith|fara|agentworld|kimi-linear"
F16_CACHE_BYTES = 4  # one key and one value element
USUAL_LAYERS = 32
MXFP4_BITS, Q8_0_BITS = 4.25, 8.5
BACKENDS = {"CUDA": "cuda", "ROCm": "rocm", "Metal": "metal", "Vulkan": "vulkan"}
TABLES_BEGIN, TABLES_END = "<!-- tables: begin -->", "<!-- tables: end -->"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement and the inputs of the estimate for it."""

    record: Record
    device: Accelerator
    step: DecodeStep

    @property
    def group(self) -> str:
        """The group the row is scored in: `core`, or why not."""
        return str(self.record.get("eval_group") or "core")


def main() -> None:
    """Print the error table of the given files, or refit the constants on them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--worst", type=int, default=15, metavar="N", help="rows to list")
    parser.add_argument("--update", type=Path, metavar="DOC", help="rewrite the tables in DOC")
    parser.add_argument("--fit-dev", action="store_true", help="refit on dev rows")
    parser.add_argument("--no-leave-out", action="store_true", help="with --fit-dev: fit only")
    arguments = parser.parse_args()
    rows = [row_of(r) for file in arguments.files for r in read_records(file)]
    if arguments.fit_dev:
        print(fit_report(rows, leave_out=not arguments.no_leave_out))
    elif arguments.update:
        update_document(arguments.update, report(rows, markdown=True, worst=arguments.worst))
    else:
        print(report(rows, markdown=arguments.markdown, worst=arguments.worst))


def update_document(document: Path, tables: str) -> None:
    """Replace what stands between the two marker lines of a Markdown file by the tables."""
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(TABLES_BEGIN)
    _, end, after = rest.partition(TABLES_END)
    if not begin or not end:
        raise SystemExit(f"{document} lacks the lines {TABLES_BEGIN} and {TABLES_END}")
    new = f"{before}{begin}\n\n{tables}\n\n{end}{after}"
    document.write_text(new, encoding="utf-8")


def read_records(file: Path) -> list[Record]:
    """Return the records of a file; it holds a list, or an object with `records`."""
    loaded = json.loads(file.read_text(encoding="utf-8"))
    return list(loaded["records"] if isinstance(loaded, dict) else loaded)


def row_of(record: Record) -> Row:
    """Return a record with what the estimate needs to know about it."""
    vendor = record.get("vendor")
    device = Accelerator(
        name=record["device"],
        vendor=vendor if vendor in ("nvidia", "amd", "intel", "apple") else "other",
        kind="discrete" if record.get("vram_gb") else "unified",
        bandwidth_gb_per_s=record["bw_gbps"],
        backend=BACKENDS.get(record["backend"]),  # type: ignore[arg-type]
        device_class=record["cls"],
    )
    step = DecodeStep(
        weight_bytes=weight_bytes(record),
        cache_bytes=cache_bytes(record),
        blocks=record.get("layers") or USUAL_LAYERS,
        is_moe=bool(record.get("is_moe")),
        is_delta=bool(re.search(DELTA_MODELS, record["model_key"])),
    )
    return Row(record, device, step)


def weight_bytes(record: Record) -> float:
    """Return the bytes of weights that one step reads.

    The active share of the file without the input embedding. In MXFP4 files only the experts
    are in that type and the rest is Q8_0; how much that is follows from the file's size.
    """
    total, active = record["params_b"], record.get("active_b") or record["params_b"]
    embedding = record.get("te_b") or 0.0
    file_bytes = record["file_gib"] * 2**30
    if record["quant"] != "MXFP4":
        return float(file_bytes * (active - embedding) / total)
    rest = (file_bytes * 8 / 1e9 - MXFP4_BITS * total) / (Q8_0_BITS - MXFP4_BITS)
    rest = min(active, max(0.0, rest - embedding))
    return float((rest * Q8_0_BITS + (active - rest) * MXFP4_BITS) / 8 * 1e9)


def cache_bytes(record: Record) -> float:
    """Return the bytes of cache that one step reads at the row's context depth."""
    shape = [record.get(key) for key in ("layers", "kv_heads", "head_dim", "ctx_depth")]
    if not all(shape):
        return 0.0
    full = F16_CACHE_BYTES
    for factor in shape:
        full *= factor or 0
    for pattern, share in CACHE_SHARES:
        if re.search(pattern, record["model_key"]):
            return full * share
    return float(full)


def estimate(row: Row, constants: SpeedConstants = FITTED) -> float | None:
    """Return the estimated tokens per second of a row; None where there is no estimate."""
    if row.group in {"partial_offload", "unknown_placement"}:
        return None
    if row.record["backend"] == "CPU":
        return _cpu_estimate(row)
    seconds = gpu_step_seconds(row.step, row.device, constants=constants)
    return 1 / seconds if seconds else None


def _cpu_estimate(row: Row) -> float | None:
    cpu = Cpu(name=row.record["hw"], device_class=row.record["cls"])
    machine = Machine(cpu=cpu, ram=Ram(bandwidth_gb_per_s=row.record["bw_gbps"]))
    bandwidth, _ = cpu_bandwidth(machine)
    return bandwidth / (row.step.weight_bytes + row.step.cache_bytes) if bandwidth else None


# --- the error table ------------------------------------------------------------------------


def report(rows: Sequence[Row], *, markdown: bool, worst: int) -> str:
    """Return the error tables of the rows as text or Markdown."""
    scored = [(row, found) for row in rows if (found := estimate(row))]
    core = [pair for pair in scored if pair[0].group == "core"]
    blocks = [
        _table("Core rows", core, lambda _row: "all core rows", markdown),
        _table("Core rows by class of device", core, lambda r: r.record["cls"], markdown),
        _table("Core rows by tier", core, lambda r: f"tier {r.record['tier']}", markdown),
        _table("Core rows by kind of model", core, _kind_of_model, markdown),
        _table("Core rows by split", core, lambda r: str(r.record.get("split")), markdown),
        _table("Prompt speed, core rows", _prompts(core), lambda _row: "all", markdown, "pp"),
        _table("Other rows, not scored", scored, _other, markdown),
        _range_line(core),
        _missing_line(rows),
    ]
    if worst:
        blocks.append(_worst(core, worst, markdown))
    return "\n\n".join(block for block in blocks if block)


def _kind_of_model(row: Row) -> str:
    if row.step.weight_bytes < TINY_BYTES:
        return "reads under 1.3 GiB"
    if row.step.is_moe:
        return "mixture of experts"
    return "gated delta attention" if row.step.is_delta else "dense"


def _other(row: Row) -> str:
    return "" if row.group == "core" else row.group


def _prompts(core: Sequence[tuple[Row, float]]) -> list[tuple[Row, float]]:
    """Return the core rows that have a prompt speed, measured and estimated."""
    found = []
    for row, _ in core:
        device = find_device(row.record["device"]) if row.record.get("pp") else None
        if device is None or device.fp32_tflops is None:
            continue
        speed = prompt_tokens_per_second(
            replace(row.device, fp32_tflops=device.fp32_tflops),
            parameters_active=round(1e9 * (row.record.get("active_b") or row.record["params_b"])),
            is_moe=row.step.is_moe,
        )
        if speed is not None:
            found.append((row, speed))
    return found


def _table(
    title: str,
    scored: Iterable[tuple[Row, float]],
    key: Callable[[Row], str],
    markdown: bool,
    measured: str = "tg",
) -> str:
    groups: dict[str, list[tuple[Row, float]]] = {}
    for row, found in scored:
        groups.setdefault(key(row), []).append((row, found))
    groups.pop("", None)
    lines = []
    for name, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        errors = sorted(abs(found / row.record[measured] - 1) for row, found in members)
        ratio = median(found / row.record[measured] for row, found in members)
        devices = len({row.record["hw"] for row, _ in members})
        cells = (len(members), devices, f"{median(errors):.1%}", f"{quantile(errors, 0.9):.1%}")
        lines.append((name, *(str(cell) for cell in cells), f"{ratio:.2f}"))
    if not lines:
        return ""
    headers = (title, "rows", "devices", "median", "p90", "ratio")
    return _render(headers, lines, markdown)


def _render(headers: Sequence[str], lines: Sequence[Sequence[str]], markdown: bool) -> str:
    if markdown:
        head = ["| " + " | ".join(headers) + " |", "|---" + "|---:" * (len(headers) - 1) + "|"]
        return "\n".join(head + ["| " + " | ".join(line) + " |" for line in lines])
    widths = [max(len(line[i]) for line in [headers, *lines]) for i in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in [headers, *lines]
    )


def _range_line(core: Sequence[tuple[Row, float]]) -> str:
    """Return how much of the measured speeds the shown range covers."""
    inside = 0
    for row, found in core:
        low, high = TINY_RANGE if row.step.weight_bytes < TINY_BYTES else GPU_RANGE
        inside += low * found <= row.record["tg"] <= high * found
    return f"{inside} of {len(core)} core rows lie inside the range shown." if core else ""


def _missing_line(rows: Sequence[Row]) -> str:
    without = [row for row in rows if estimate(row) is None]
    if not without:
        return ""
    names = sorted({row.group for row in without})
    return f"{len(without)} rows have no estimate ({', '.join(names)})."


def _worst(core: Sequence[tuple[Row, float]], count: int, markdown: bool) -> str:
    ranked = sorted(core, key=lambda pair: -abs(pair[1] / pair[0].record["tg"] - 1))[:count]
    lines = [
        (
            f"{row.record['hw'][:34]}",
            row.record["backend"],
            row.record["model_key"][:28],
            row.record["quant"],
            f"{row.record['tg']:.1f}",
            f"{found:.1f}",
            f"{found / row.record['tg']:.2f}",
        )
        for row, found in ranked
    ]
    headers = ("Worst core rows", "backend", "model", "quant", "measured", "estimate", "ratio")
    return _render(headers, lines, markdown)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ordered values lie."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# --- refitting ------------------------------------------------------------------------------


def fit_report(rows: Sequence[Row], *, leave_out: bool) -> str:
    """Return refitted constants and the error with each device left out of the fit."""
    dev = [r for r in rows if r.group == "core" and r.record.get("split", "dev") == "dev"]
    fitted = fit_constants(dev, estimate)
    lines = [f"{name:28} {value:.6g}" for name, value in fitted.named()]
    lines.append(_summary("in sample", [(r, estimate(r, fitted.constants())) for r in dev]))
    lines.append(_summary("as shipped", [(r, estimate(r)) for r in dev]))
    if leave_out:
        left_out = leave_devices_out(dev, estimate, fitted)
        lines.append(_summary("devices left out", left_out))
        big = [p for p in left_out if p[0].step.weight_bytes >= TINY_BYTES]
        lines.append(_interval("80 % interval", big))
        lines.append(_interval("80 % interval, tiny", [p for p in left_out if p not in big]))
    return "\n".join(lines)


def _summary(name: str, pairs: Iterable[tuple[Row, float | None]]) -> str:
    errors = sorted(abs(found / row.record["tg"] - 1) for row, found in pairs if found)
    if not errors:
        return f"{name}: no rows"
    middle, high = median(errors), quantile(errors, 0.9)
    return f"{name}: {len(errors)} rows, median {middle:.1%}, p90 {high:.1%}"


def _interval(name: str, pairs: Iterable[tuple[Row, float | None]]) -> str:
    ratios = sorted(row.record["tg"] / found for row, found in pairs if found)
    if not ratios:
        return f"{name}: no rows"
    return f"{name}: {quantile(ratios, 0.1):.2f} to {quantile(ratios, 0.9):.2f} of the estimate"


if __name__ == "__main__":
    main()

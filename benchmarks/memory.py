"""Score the memory estimate on planned and on logged bytes.

    python benchmarks/memory.py FILE_OR_FOLDER... [--markdown] [--misses N]
    python benchmarks/memory.py FILE_OR_FOLDER... --update docs/accuracy.md

A file of planned bytes is an object with `cache_and_compute` and `whole_model`: what
llama.cpp's own planner reports for the GGUF headers in `headers/` beside it. A file of logs is a
list of what real servers printed while loading. A folder stands for the `planner.json` and
`memory.json` in it. The error of a row is estimate / truth - 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from memory_cases import case_rows
from memory_logs import LogRow, score_logs

from assistant.fit.compute_buffer import compute_buffers
from assistant.fit.kv_cache import cache_bytes
from assistant.fit.placement import Demand, place
from assistant.fit.records import WeightBytes
from assistant.fit.room import GpuRoom
from assistant.fit.weights import weights_from_tensors
from assistant.models.architecture import Architecture
from assistant.models.architecture_keys import architecture_from_metadata
from assistant.models.gguf import GgufHeader, read_header
from assistant.units import MIB

BEGIN, END = "<!-- memory tables: begin -->", "<!-- memory tables: end -->"
AMPLE = 2**60
PRINTED = 0.01 * MIB  # logs print two decimals of a MiB
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of one row: what was estimated, and what is true."""

    quantity: str
    group: str
    label: str
    estimate: int
    truth: int

    @property
    def error(self) -> float:
        """Relative error; 0 where both are nothing."""
        return self.estimate / self.truth - 1 if self.truth else float(self.estimate != 0)


def main() -> None:
    """Print the tables for the given files, or write them into a document."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--misses", type=int, default=12, metavar="N", help="misses to list")
    parser.add_argument("--update", type=Path, metavar="DOC", help="replace the tables in DOC")
    arguments = parser.parse_args()
    lines = report(_truth_files(arguments.files), misses=arguments.misses)
    if arguments.update:
        update_document(arguments.update, lines)
    else:
        print("\n".join(lines if arguments.markdown else aligned(lines)))


def report(files: Sequence[Path], *, misses: int) -> list[str]:
    """Return the tables of all files, as Markdown lines."""
    lines: list[str] = []
    for path in files:
        data = json.loads(path.read_bytes())
        if isinstance(data, dict):
            checks = score_planner(data, path.parent / "headers")
            lines += planner_lines(checks, path, misses=misses)
        else:
            lines += log_lines(score_logs(data))
    lines += ["### The 13 cases", ""]
    header = (
        "model",
        "context",
        "weights on GPU",
        "KV cache",
        "buffers",
        "estimate",
        "truth",
        "error",
        "what others miss",
    )
    return lines + _table(header, case_rows())


def aligned(lines: Sequence[str]) -> list[str]:
    """Return the lines with Markdown tables as columns of text."""
    shown: list[str] = []
    table: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("|---"):
            continue
        if line.startswith("|"):
            table.append(line.strip("| ").split(" | "))
            continue
        widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
        shown += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        table = []
        shown.append(line)
    return shown


def update_document(path: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of a document."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text("\n".join([head + BEGIN, "", *lines, "", END + tail]), encoding="utf-8")


def score_planner(data: Record, headers: Path) -> list[Check]:
    """Return every figure of a file of planned bytes beside its estimate."""

    @cache
    def model(name: str) -> tuple[Architecture, GgufHeader]:
        header = read_header(headers / name)
        return architecture_from_metadata(header.metadata, header.tensors or None), header

    checks: list[Check] = []
    for row in data.get("cache_and_compute", ()):
        checks += _score_row(row, model(row["header"])[0])
    for row in data.get("whole_model", ()):
        arch, header = model(row["header"])
        weights = weights_from_tensors(header.tensors, block_count=arch.block_count)
        checks += _score_whole_model(row, arch, weights)
    return checks


def _run(row: Record) -> dict[str, Any]:
    return {
        key: row[key]
        for key in ("num_ctx", "num_parallel", "num_batch", "kv_cache_type", "flash_attention")
    }


def _label(row: Record) -> str:
    flash = "on" if row["flash_attention"] else "off"
    return (
        f"{row['header'].removesuffix('.gguf')}, context {row['num_ctx']}, parallel"
        f" {row['num_parallel']}, batch {row['num_batch']}, {row['kv_cache_type']}, flash"
        f" attention {flash}, {row.get('device', 'whole model')}"
    )


def _score_row(row: Record, arch: Architecture) -> list[Check]:
    group, label = row["header"].removesuffix(".gguf"), _label(row)
    held = cache_bytes(arch, **_run(row))
    buffers = compute_buffers(arch, **_run(row))
    estimates = {
        "cache_bytes": ("cache", held.total_bytes),
        "compute_buffer_bytes": ("CPU compute buffer", buffers.cpu_bytes),
        "gpu_compute_buffer_bytes": ("GPU compute buffer", buffers.gpu_bytes),
        "host_compute_buffer_bytes": ("host compute buffer", buffers.host_bytes),
    }
    return [
        Check(quantity, group, label, estimate, row[key])
        for key, (quantity, estimate) in estimates.items()
        if row.get(key) is not None
    ]


def _score_whole_model(row: Record, arch: Architecture, weights: WeightBytes) -> list[Check]:
    group, label = f"{row['header'].removesuffix('.gguf')} {row['kv_cache_type']}", _label(row)
    held = cache_bytes(arch, **_run(row))
    buffers = compute_buffers(arch, **_run(row))
    gpu = GpuRoom("GPU", "cuda", AMPLE, AMPLE, 0, shared=False, supports_flash_attention=True)
    demand = Demand(weights, held, buffers, 0, 0, is_moe=arch.is_moe)
    placed = place(demand, (gpu,), host_bytes=AMPLE)
    pairs = (
        ("weights on the GPU", "gpu_weights_bytes", placed.gpu.weights_bytes),
        ("cache", "cache_bytes", held.total_bytes),
        ("GPU compute buffer", "gpu_compute_buffer_bytes", buffers.gpu_bytes),
        ("VRAM of the whole model", "vram_bytes", placed.gpu.total_bytes),
        ("host memory of the whole model", "host_bytes", placed.host.total_bytes),
    )
    return [Check(quantity, group, label, value, row[key]) for quantity, key, value in pairs]


def planner_lines(checks: Sequence[Check], path: Path, *, misses: int) -> list[str]:
    """Return the tables of a file of planned bytes."""
    headers = len({check.group for check in checks})
    lines = [f"### Planned by llama.cpp b10488: {path.parent.name}, {headers} headers", ""]
    head = ("quantity", "rows", "exact", "median", "p90", "max")
    quantities = list(dict.fromkeys(check.quantity for check in checks))
    rows = [
        (quantity, *_statistics([c for c in checks if c.quantity == quantity]))
        for quantity in quantities
    ]
    for kind in ("f16", "q8_0"):
        own = [c for c in checks if c.quantity.startswith("VRAM") and c.group.endswith(f" {kind}")]
        if own:
            rows.append((f"VRAM of the whole model, {kind} cache", *_statistics(own)))
    lines += _table(head, rows)
    lines += ["GPU compute buffer by architecture:", ""]
    gpu = [check for check in checks if check.quantity == "GPU compute buffer"]
    groups = list(dict.fromkeys(check.group for check in gpu))
    lines += _table(
        ("header", *head[1:]),
        [(group, *_statistics([c for c in gpu if c.group == group])) for group in groups],
    )
    return lines + _planner_misses(checks, misses)


def _planner_misses(checks: Sequence[Check], misses: int) -> list[str]:
    worst = sorted(
        (c for c in checks if abs(c.error) > 0.01), key=lambda c: abs(c.error), reverse=True
    )
    if not worst or not misses:
        return []
    lines = [f"{len(worst)} figures are more than 1 % off; the worst:", ""]
    rows = [
        (
            c.quantity,
            c.label,
            f"{(c.estimate - c.truth) / MIB:+.1f} MiB",
            f"{100 * c.error:+.1f} %",
            explain(c),
        )
        for c in worst[:misses]
    ]
    return lines + _table(("quantity", "row", "difference", "error", "why"), rows)


def explain(check: Check) -> str:
    """Return why a planned figure is missed, as far as it is known."""
    if check.group.endswith("q8_0") and check.group.startswith("full-"):
        return (
            "the row repeats the figure of the f16 cache; with a quantized cache the planner"
            " itself reports what is estimated here (see the CPU rows)"
        )
    if check.quantity.startswith("CPU"):
        return "on the CPU tensors are laid out a little differently; the GPU formula is reused"
    return "the allocator leaves holes between tensors that the closed form does not follow"


def log_lines(rows: Sequence[LogRow]) -> list[str]:
    """Return the tables of a file of logs."""
    lines = ["### Logs of real servers", ""]
    head = ("records", "quantity", "rows", "exact", "median", "p90", "max")
    groups = list(dict.fromkeys(row.group for row in rows if row.group))
    table = []
    for group in groups:
        for quantity in ("KV cache", "recurrent state", "weights", "compute buffer", "total"):
            own = [
                c
                for row in rows
                if row.group == group
                for c in row.checks
                if c.quantity == quantity
            ]
            if own:
                table.append((group, quantity, *_statistics(own, rounding=PRINTED)))
    lines += _table(head, table)
    skipped: dict[str, int] = {}
    for row in rows:
        if not row.group:
            skipped[row.note] = skipped.get(row.note, 0) + 1
    lines += [f"{count} records are not scored: {note}." for note, count in skipped.items()]
    missed = [
        (
            row.label,
            c.quantity,
            f"{(c.estimate - c.truth) / MIB:+.1f} MiB",
            f"{100 * c.error:+.1f} %",
            row.explanations.get(c.quantity, ""),
        )
        for row in rows
        for c in row.checks
        if row.group
        and abs(c.error) > row.tolerances.get(c.quantity, 0.0)
        and abs(c.estimate - c.truth) > PRINTED
    ]
    lines += ["", f"Missed by more than the target ({len(missed)} figures):", ""]
    return lines + _table(("record", "quantity", "difference", "error", "why"), missed)


def _statistics(checks: Sequence[Any], *, rounding: float = 0.0) -> tuple[str, ...]:
    errors = sorted(abs(check.error) for check in checks)
    exact = sum(1 for c in checks if abs(c.estimate - c.truth) <= rounding + 32)
    ninth = errors[min(len(errors) - 1, int(0.9 * len(errors)))]
    figures = (f"{100 * figure:.2f} %" for figure in (median(errors), ninth, errors[-1]))
    return (str(len(errors)), str(exact), *figures)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join('---' for _ in head)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _truth_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += [
                path / name for name in ("planner.json", "memory.json") if (path / name).exists()
            ]
        else:
            files.append(path)
    return files


if __name__ == "__main__":
    main()

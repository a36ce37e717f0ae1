"""Score the memory estimate on what a real server said of itself while it held a model.

    python benchmarks/ps.py [MEMORY_JSON] [--markdown]

MEMORY_JSON is a list of loads: what was asked for, the entry of `/api/ps`, the buffer lines of
the log and the memory of the process (default: the recorded loads of the tests). The models
are described by the `/api/show` answers beside it (`show_*.json`). Each load is estimated and
compared with three things: `size` of `/api/ps`, the sum of the logged buffers, and the
resident memory of the process after loading. The error of a row is estimate / truth - 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_show
from assistant.fit.ps_size import ps_sizes
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.machine.records import Machine
from assistant.ollama.records import ShownModel
from assistant.units import MIB

DEFAULT = Path(__file__).parents[1] / "tests" / "data" / "ollama_traces" / "memory.json"
QUANTITIES = ("/api/ps size", "logged buffers", "resident after loading")
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One load: bytes estimated and true for each of QUANTITIES, and both contexts."""

    label: str
    estimates: tuple[int, ...]
    truths: tuple[int, ...]
    num_ctx: int
    ps_num_ctx: int
    unreported: int

    def error(self, quantity: int) -> float:
        """Relative error of one quantity."""
        return self.estimates[quantity] / self.truths[quantity] - 1


def main() -> None:
    """Print the table of loads and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT, metavar="MEMORY_JSON")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    arguments = parser.parse_args()
    rows = score_loads(arguments.file)
    for table in (summary_table(rows), load_table(rows)):
        print("\n".join(_markdown(table) if arguments.markdown else _columns(table)), end="\n\n")
    other = sum(row.num_ctx != row.ps_num_ctx for row in rows)
    print(f"{len(rows)} loads; the context length differs from the server's in {other}.")


def score_loads(path: Path) -> list[LoadRow]:
    """Return every load of a file beside its estimate."""
    models = shown_models(path.parent)
    return [_score(load, models[load["model"]]) for load in json.loads(path.read_bytes())]


def shown_models(folder: Path) -> dict[str, ModelFacts]:
    """Return the facts of every model that a recorded `/api/show` answer describes."""
    found = {}
    for path in sorted(folder.glob("show_*.json")):
        exchange = json.loads(path.read_bytes())
        answer = exchange.get("body_json") or {}
        name = (exchange["request"].get("json") or {}).get("model")
        if not name or not answer.get("tensors") or name in found:
            continue
        found[name] = facts_from_show(
            ShownModel(
                name=name,
                metadata=answer["model_info"],
                tensors=tuple((t["name"], t["type"], tuple(t["shape"])) for t in answer["tensors"]),
                capabilities=frozenset(answer["capabilities"]),
                quantization=answer["details"]["quantization_level"],
            )
        )
    return found


def _score(load: Record, facts: ModelFacts) -> LoadRow:
    kind: Any = load["kv_cache_type"] or "f16"
    estimate = estimate_fit(
        facts,
        Machine(),
        RunOptions(
            num_ctx=load["num_ctx_requested"],
            num_parallel=load["num_parallel"],
            kv_cache_type=kind,
        ),
        with_limits=False,
        with_speed=False,
    )
    sizes = ps_sizes(estimate, facts.architecture)
    asked = load["num_ctx_requested"] or "default"
    return LoadRow(
        label=f"{load['model']}, {asked} x {load['num_parallel']}, {kind}",
        estimates=(sizes.size_bytes, _buffers(estimate), _buffers(estimate)),
        truths=(
            load["ps"]["size"],
            round(sum(buffer[3] for buffer in load["buffers_MiB"]) * MIB),
            load["llama_server"][0]["mem_after_load"]["Rss"],
        ),
        num_ctx=estimate.num_ctx,
        ps_num_ctx=load["ps"]["context_length"],
        unreported=sizes.unreported_bytes,
    )


def _buffers(estimate: FitEstimate) -> int:
    memory = estimate.memory
    return memory.total_bytes - memory.overhead_bytes


def summary_table(rows: Sequence[LoadRow]) -> list[tuple[str, ...]]:
    """Return the errors of each quantity: median, 90th percentile and worst, in % and MiB."""
    table: list[tuple[str, ...]] = [
        ("compared with", "loads", "median", "p90", "max", "worst"),
    ]
    for index, quantity in enumerate(QUANTITIES):
        errors = sorted(abs(row.error(index)) for row in rows)
        worst = max((row.estimates[index] - row.truths[index] for row in rows), key=abs)
        ninth = errors[min(len(errors) - 1, int(0.9 * len(errors)))]
        figures = [f"{100 * figure:.2f} %" for figure in (median(errors), ninth, errors[-1])]
        table.append((quantity, str(len(rows)), *figures, f"{worst / MIB:+.1f} MiB"))
    return table


def load_table(rows: Sequence[LoadRow]) -> list[tuple[str, ...]]:
    """Return a line for each load: figures in MiB, errors in % of the truth."""
    head = ["model, context x parallel, cache"]
    for quantity in QUANTITIES:
        head += [f"{quantity}: estimate", "truth", "off", "error"]
    table: list[tuple[str, ...]] = [(*head, "not in ps")]
    for row in rows:
        cells = [row.label]
        for index, (estimate, truth) in enumerate(zip(row.estimates, row.truths, strict=True)):
            cells += [
                f"{estimate / MIB:.1f}",
                f"{truth / MIB:.1f}",
                f"{(estimate - truth) / MIB:+.1f}",
                f"{100 * row.error(index):+.2f} %",
            ]
        table.append((*cells, f"{row.unreported / MIB:.1f}"))
    return table


def _markdown(table: Sequence[Sequence[str]]) -> list[str]:
    head, *rows = table
    rule = "|---|" + "---:|" * (len(head) - 1)
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]


if __name__ == "__main__":
    main()

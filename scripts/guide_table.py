"""A table of a guide, and the cells that several tables share.

Sizes of files are GB, memory is GiB, speeds are the estimator's ranges in tokens per second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, RunOptions
from assistant.machine.records import Machine
from assistant.models.catalog import Catalog
from assistant.recommend.reasons import span

MOST_ROWS: Final = 12
MOST_COLUMNS: Final = 80
CTX: Final = 8192
"""The context with which a model is sized where a table names no other."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its header, its rows, and what its figures rest on, in a sentence."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    basis: str

    def render(self, as_of: str) -> str:
        """Return the table in Markdown with the line below it.

        Raises:
            ValueError: it is empty, has too many rows, or is too wide.
        """
        if not 0 < len(self.rows) <= MOST_ROWS:
            raise ValueError(f"{len(self.rows)} rows")
        if self.width > MOST_COLUMNS:
            raise ValueError(f"{self.width} columns wide: {self.header}")
        lines = [_line(self.header), "|" + "---|" * len(self.header)]
        lines += [_line(row) for row in self.rows]
        return "\n".join((*lines, "", f"{self.basis} As of {as_of}."))

    @property
    def width(self) -> int:
        """Columns that the table takes with its cells in line, two blanks apart, no backticks."""
        widths = [
            max(len(cell.replace("`", "")) for cell in column)
            for column in zip(self.header, *self.rows, strict=True)
        ]
        return sum(widths) + 3 * len(widths) + 1


Build = Callable[[Catalog], Table]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def estimate(catalog: Catalog, name: str, machine: Machine) -> FitEstimate:
    """Return what a model's default tag takes on a machine at `CTX`."""
    card, tag = catalog.find(name)
    return estimate_fit(
        facts_from_card(card, tag), machine, RunOptions(num_ctx=CTX), with_limits=False
    )


def held(found: FitEstimate) -> int:
    """Return the VRAM of what is wholly on the GPU, else all that a model takes."""
    on_gpu = found.placement.verdict == "gpu"
    return (found.gpu if on_gpu else found.memory).total_bytes


def speed(found: FitEstimate) -> str:
    """Return the range of tokens per second, or `-`."""
    if found.speed.decode is None or found.placement.verdict == "none":
        return "-"
    return span(found.speed.decode)

"""What `assistant.provision.tune` finds out: rows, a grid, and the table of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from assistant.fit.records import FitEstimate, KvCacheType, Verdict

UNKNOWN_CACHE_COST: Final = "not measured"


@dataclass(frozen=True, slots=True)
class TuneRow:
    """One quantization with one cache type, estimated at the table's context.

    `model` is the name to pull. `longest_num_ctx` is the longest context that stays on the GPU
    (in RAM without one), None when none does or the model does not load. `cache_costs` says
    in words what the cache type costs, `perplexity_increase` in percent what the weights do.
    """

    model: str
    quantization: str | None
    kv_cache_type: KvCacheType
    estimate: FitEstimate
    longest_num_ctx: int | None
    stays: bool
    loads: bool
    download_bytes: int | None = None
    perplexity_increase: float | None = None
    cache_costs: str = UNKNOWN_CACHE_COST
    is_current: bool = False
    is_best: bool = False
    why: str = ""

    @property
    def memory_bytes(self) -> int:
        """What it takes: GPU memory when all of it is there, else GPU and RAM together."""
        return held_bytes(self.estimate)


@dataclass(frozen=True, slots=True)
class GridCell:
    """The named quantization at one context with one cache type."""

    num_ctx: int
    kv_cache_type: KvCacheType
    memory_bytes: int
    verdict: Verdict
    stays: bool
    missing_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TuneTable:
    """Everything that `assistant tune` shows.

    `num_ctx` is the context that the rows are estimated at: the one asked for, or a proposal.
    `asked_num_ctx` is what was asked for, which the trained context may have cut; else None.
    `wanted_type` is the cache type asked for, `server_type` the one that the server uses.
    `best_num_ctx` is the context of the best row: `num_ctx`, or a shorter one.
    """

    model: str
    quantization: str | None
    num_ctx: int
    is_asked: bool
    on_gpu: bool
    server_type: KvCacheType
    wanted_type: KvCacheType
    rows: tuple[TuneRow, ...]
    grid: tuple[GridCell, ...]
    best_num_ctx: int | None = None
    trained_num_ctx: int | None = None
    asked_num_ctx: int | None = None

    @property
    def is_lowered(self) -> bool:
        """True when more was asked for than the model was trained for."""
        return self.asked_num_ctx is not None and self.asked_num_ctx > self.num_ctx

    @property
    def best(self) -> TuneRow | None:
        """The row that is proposed, or None when nothing stays."""
        return next((row for row in self.rows if row.is_best), None)

    @property
    def cache_types(self) -> tuple[KvCacheType, ...]:
        """The cache types of the rows, most bits first."""
        return tuple(dict.fromkeys(row.kv_cache_type for row in self.rows))

    def row(self, quantization: str | None, kv_cache_type: str) -> TuneRow:
        """Return the row of a quantization with a cache type."""
        return next(
            row
            for row in self.rows
            if (row.quantization, row.kv_cache_type) == (quantization, kv_cache_type)
        )

    @property
    def named(self) -> TuneRow:
        """The row of the quantization that was named, with the cache type asked for."""
        return self.row(self.quantization, self.wanted_type)


def held_bytes(estimate: FitEstimate) -> int:
    """Return the GPU memory of a model that is all there, else GPU and RAM together."""
    parts = estimate.gpu if estimate.placement.verdict == "gpu" else estimate.memory
    return parts.total_bytes

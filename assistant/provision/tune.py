"""Which context, KV cache type and quantization of one model stay on the GPU, and at what cost.

`tune_table` lays out every quantization of a model against the cache types that matter, each
with the longest context that stays on the GPU (in RAM on a machine without one), and a grid of
context by cache type for the quantization that was named. Pure: the arithmetic is that of
`assistant.fit`.

The cache type is a setting of the server (`OLLAMA_KV_CACHE_TYPE`), of no Modelfile. A quantized
one needs flash attention and rows of whole blocks of 32 elements (MEMORY_MODEL 2.2).

What weights lose is `assistant.recommend.quantization_loss`. For cache types, llama.cpp's pull
request 7412 (May 2024) has perplexity 6.2322 with an f16 cache and 6.2344 with q8_0, 0.03 %
more, on weights in F16 that score as Llama 3 8B does in tools/perplexity. No such figure for
q4_0 is known to us; what is said of it is the guides' (knowledge/context.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from assistant.fit.estimate import estimate_fit, run_in_room
from assistant.fit.kv_cache import CACHE_TYPES, cache_layout
from assistant.fit.records import FitEstimate, KvCacheType, ModelFacts, RunOptions
from assistant.fit.remedies import CONTEXT_STEP, LONGEST_CONTEXT, largest_context
from assistant.fit.room import Room, measure_room
from assistant.machine.records import Machine
from assistant.models.architecture import Architecture
from assistant.models.quantization import quantization_rank
from assistant.provision.tune_records import (
    UNKNOWN_CACHE_COST,
    GridCell,
    TuneRow,
    TuneTable,
    held_bytes,
)
from assistant.recommend.quantization_loss import perplexity_increase
from assistant.units import gb, gib, tokens

LADDER: Final = (2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144)
"""Contexts that are tried; the trained one ends the list of a model."""
AMPLE_CONTEXT: Final = 32_768
"""What is proposed at most when nobody names a context: what Ollama gives cards from 24 GiB.
More has to be asked for, because the whole of it is taken when the model is loaded."""
AMPLE_IN_RAM: Final = 8192
"""The same without a GPU, where long prompts are slow long before memory ends."""
SHOWN_CACHE_TYPES: Final[tuple[KvCacheType, ...]] = ("f16", "q8_0", "q4_0")
CACHE_COSTS: Final = {
    "f32": "nothing",
    "f16": "nothing",
    "bf16": "nothing that was measured",
    "q8_0": "perplexity +0.03 %",
    "q4_0": "not measured, shows at long contexts",
}
ACCEPTABLE_INCREASE: Final = 5.0
"""Percent of perplexity that a smaller quantization may cost and still be proposed."""
_BLOCK: Final = 32


def tune_table(
    facts: ModelFacts,
    machine: Machine,
    *,
    alternatives: Sequence[ModelFacts] = (),
    run_options: RunOptions | None = None,
    server_type: KvCacheType | None = None,
    num_ctxs: Sequence[int] = LADDER,
) -> TuneTable:
    """Return what stays on the GPU of a machine, by quantization, cache type and context.

    `alternatives` are the same model at other quantizations. `run_options` has what was asked
    for or is fixed by the server; `server_type` is the server's cache type where another one
    was asked for.
    """
    options = run_options or RunOptions()
    room = measure_room(machine)
    named = _longest(facts, room, options)
    ample = AMPLE_CONTEXT if _on_gpu(room, options) else AMPLE_IN_RAM
    target = options.num_ctx or _proposed(facts, named, ample, num_ctxs)
    options = replace(options, num_ctx=target)
    server = server_type or options.kv_cache_type
    kinds = _cache_types(facts.architecture, options.kv_cache_type, server)
    builds = {facts.quantization: facts}
    for other in alternatives:
        builds.setdefault(other.quantization, other)
    rows = tuple(
        _row(build, machine, room, replace(options, kv_cache_type=kind), server, facts)
        for build in sorted(builds.values(), key=_bits, reverse=True)
        for kind in kinds
    )
    chosen = _best(rows, facts, options.kv_cache_type, num_ctxs)
    table = TuneTable(
        model=facts.name,
        quantization=facts.quantization,
        num_ctx=rows[0].estimate.num_ctx,
        is_asked=run_options is not None and run_options.num_ctx is not None,
        on_gpu=_on_gpu(room, options),
        server_type=server,
        wanted_type=options.kv_cache_type,
        rows=tuple(replace(row, is_best=chosen is not None and row is chosen[0]) for row in rows),
        grid=_grid(facts, machine, options, kinds, num_ctxs),
        best_num_ctx=None,
        trained_num_ctx=facts.architecture.context_length,
    )
    if chosen is None:
        return table
    return replace(table, best_num_ctx=min(table.num_ctx, chosen[1] or table.num_ctx))


def rungs(trained: int | None, num_ctxs: Sequence[int] = LADDER) -> tuple[int, ...]:
    """Return the contexts to try for a model, the trained one last; all where it is unknown."""
    if trained is None:
        return tuple(num_ctxs)
    return (*(n for n in num_ctxs if n < trained), trained)


def shorter_contexts(num_ctx: int, num_ctxs: Sequence[int] = LADDER) -> tuple[int, ...]:
    """Return the contexts to fall back to from `num_ctx`, longest first."""
    return tuple(sorted((n for n in num_ctxs if n < num_ctx), reverse=True))


def stays(estimate: FitEstimate, *, on_gpu: bool) -> bool:
    """True when the whole model is on the GPU, or in RAM on a machine without one."""
    verdict = estimate.placement.verdict
    return verdict == "gpu" if on_gpu else verdict in ("gpu", "cpu")


def cache_type_loads(arch: Architecture, kind: str, *, flash_attention: bool) -> bool:
    """True when llama.cpp loads a model with a cache type: see the module's docstring."""
    if CACHE_TYPES[kind][0] == 1:
        return True
    lengths = (arch.key_length, arch.value_length, arch.key_length_swa, arch.value_length_swa)
    return flash_attention and not any((length or 0) % _BLOCK for length in lengths)


def _on_gpu(room: Room, options: RunOptions) -> bool:
    return bool(room.gpus) and options.num_gpu != 0


def _cache_types(
    arch: Architecture, wanted: KvCacheType, server: KvCacheType
) -> tuple[KvCacheType, ...]:
    """Return the cache types to show, most bits first; one for a model that keeps no cache."""
    if not cache_layout(arch).attention_blocks:
        return (wanted,)

    def bits(kind: KvCacheType) -> float:
        elements, size = CACHE_TYPES[kind]
        return -size / elements

    return tuple(sorted(dict.fromkeys((*SHOWN_CACHE_TYPES, wanted, server)), key=bits))


def _bits(facts: ModelFacts) -> tuple[int, int]:
    return (quantization_rank(facts.quantization or "") or 0, facts.weights.file_bytes)


def _longest(facts: ModelFacts, room: Room, options: RunOptions) -> int | None:
    """Return the longest context that stays: a multiple of 1,024, or the trained one."""
    shortest = run_in_room(facts, room, replace(options, num_ctx=CONTEXT_STEP))
    flash = shortest.choices.flash_attention
    if not cache_type_loads(facts.architecture, options.kv_cache_type, flash_attention=flash):
        return None
    if _on_gpu(room, options):
        return largest_context(facts, room, options)

    def fits(num_ctx: int) -> bool:
        run = run_in_room(facts, room, replace(options, num_ctx=num_ctx))
        return run.placed.placement.verdict != "none"

    top = facts.architecture.context_length or LONGEST_CONTEXT
    if fits(top):
        return top
    low, high = 0, top // CONTEXT_STEP
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * CONTEXT_STEP) else (low, middle)
    return low * CONTEXT_STEP or None


def _proposed(facts: ModelFacts, longest: int | None, ample: int, num_ctxs: Sequence[int]) -> int:
    """Return the context to propose: the longest of the ladder that stays, an ample one at most.

    Where none stays, what Ollama takes without being asked on a small machine.
    """
    if longest is None:
        return facts.default_num_ctx or rungs(facts.architecture.context_length, num_ctxs)[:2][-1]
    return _rung(facts, min(longest, ample), num_ctxs)


def _rung(facts: ModelFacts, longest: int, num_ctxs: Sequence[int]) -> int:
    """Return the longest rung of a model's ladder up to `longest`, or `longest` below them all."""
    below = [n for n in rungs(facts.architecture.context_length, num_ctxs) if n <= longest]
    return max(below, default=longest)


def _row(
    build: ModelFacts,
    machine: Machine,
    room: Room,
    options: RunOptions,
    server_type: KvCacheType,
    named: ModelFacts,
) -> TuneRow:
    estimate = estimate_fit(build, machine, options, with_limits=False)
    kind = options.kv_cache_type
    loads = cache_type_loads(build.architecture, kind, flash_attention=estimate.flash_attention)
    row = TuneRow(
        model=build.resolved,
        quantization=build.quantization,
        kv_cache_type=kind,
        estimate=estimate,
        longest_num_ctx=_longest(build, room, options),
        stays=loads and stays(estimate, on_gpu=_on_gpu(room, options)),
        loads=loads,
        download_bytes=build.download_bytes,
        perplexity_increase=perplexity_increase(
            build.quantization, aware="-qat" in build.resolved.lower()
        ),
        cache_costs=_cache_costs(build.architecture, kind),
        is_current=build is named and kind == server_type,
    )
    return replace(row, why=_why(row, server_type, on_gpu=_on_gpu(room, options)))


def _cache_costs(arch: Architecture, kind: str) -> str:
    costs = CACHE_COSTS.get(kind, UNKNOWN_CACHE_COST)
    if kind == "q4_0" and arch.name.startswith("qwen2"):
        return f"{costs}, more with as few KV heads as Qwen2's"
    return costs


def _why(row: TuneRow, server_type: KvCacheType, *, on_gpu: bool) -> str:
    """Return what speaks for or against a row, in a few words."""
    where = "on the GPU" if on_gpu else "in RAM"
    estimate = row.estimate
    if not row.loads:
        if not estimate.flash_attention:
            return f"does not load: a {row.kv_cache_type} cache needs flash attention"
        return f"does not load: its cache rows are no multiple of {_BLOCK} elements"
    if row.longest_num_ctx is None:
        return f"no context stays {where}"
    if not row.stays:
        return (
            f"{tokens(estimate.num_ctx)} takes {gib(estimate.missing_bytes)} more than there is, "
            f"{tokens(row.longest_num_ctx)} stays {where}"
        )
    if row.is_current:
        return f"stays {where} as the server is"
    said = [f"stays {where}"]
    if row.kv_cache_type != server_type:
        said.append(
            f"needs OLLAMA_KV_CACHE_TYPE={row.kv_cache_type} on the server (costs: "
            f"{row.cache_costs})"
        )
    elif row.download_bytes:
        said.append(f"another download ({gb(row.download_bytes)})")
    return ", ".join(said)


def _best(
    rows: Sequence[TuneRow], named: ModelFacts, wanted: KvCacheType, num_ctxs: Sequence[int]
) -> tuple[TuneRow, int | None] | None:
    """Return the row to propose and its context (None: the table's), nearest change first.

    The model as it is; with a q8_0 cache; a smaller quantization that loses little; a shorter
    context; and only then what costs more.
    """
    near = [kind for kind in dict.fromkeys((wanted, "q8_0")) if _not_more(kind, wanted)]
    level = named.quantization
    same = [row for kind in near for row in rows if _is(row, level, kind)]
    own = next(row for row in rows if row.quantization == level)
    smaller = [row for row in rows if _is_smaller(row, own) and row.kv_cache_type in near]
    little = [
        row for row in smaller
        if row.perplexity_increase is not None and row.perplexity_increase <= ACCEPTABLE_INCREASE
    ]  # fmt: skip
    coarse = [row for row in rows if _is(row, level, "q4_0")]
    for row in (*same, *little):
        if row.stays:
            return row, None
    for row in same:
        if row.longest_num_ctx is not None and row.longest_num_ctx >= num_ctxs[0]:
            return row, _rung(named, row.longest_num_ctx, num_ctxs)
    for row in (*coarse, *smaller):
        if row.stays:
            return row, None
    for row in (*same, *coarse, *smaller):
        if row.longest_num_ctx is not None:
            return row, _rung(named, row.longest_num_ctx, num_ctxs)
    return None


def _is(row: TuneRow, quantization: str | None, kind: str) -> bool:
    return (row.quantization, row.kv_cache_type) == (quantization, kind)


def _is_smaller(row: TuneRow, own: TuneRow) -> bool:
    """True for a row of a quantization with fewer bytes than the named one."""
    mine, theirs = own.download_bytes, row.download_bytes
    return theirs is not None and mine is not None and theirs < mine


def _not_more(kind: str, wanted: str) -> bool:
    """True for a cache type that takes no more than the one that is wanted."""
    (elements, size), (wanted_elements, wanted_size) = CACHE_TYPES[kind], CACHE_TYPES[wanted]
    return size * wanted_elements <= wanted_size * elements


def _grid(
    facts: ModelFacts,
    machine: Machine,
    options: RunOptions,
    kinds: Sequence[KvCacheType],
    num_ctxs: Sequence[int],
) -> tuple[GridCell, ...]:
    cells = []
    on_gpu = _on_gpu(measure_room(machine), options)
    contexts = dict.fromkeys(rungs(facts.architecture.context_length, num_ctxs))
    for num_ctx in contexts:
        for kind in kinds:
            asked = replace(options, num_ctx=num_ctx, kv_cache_type=kind)
            found = estimate_fit(facts, machine, asked, with_limits=False, with_speed=False)
            flash = found.flash_attention
            loads = cache_type_loads(facts.architecture, kind, flash_attention=flash)
            cells.append(
                GridCell(
                    num_ctx=num_ctx,
                    kv_cache_type=kind,
                    memory_bytes=held_bytes(found),
                    verdict=found.placement.verdict if loads else "none",
                    stays=loads and stays(found, on_gpu=on_gpu),
                    missing_bytes=found.missing_bytes,
                )
            )
    return tuple(cells)

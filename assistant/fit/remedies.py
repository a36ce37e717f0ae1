"""Limits of a model on a machine, and what would make it fit; all computed, none guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from assistant.fit.records import KvCacheType, Limits, ModelFacts, RunOptions
from assistant.fit.room import OVERHEAD_BYTES, GpuRoom, Room
from assistant.models.quantization import quantization_rank
from assistant.units import GIB, tokens

if TYPE_CHECKING:
    from assistant.fit.estimate import Run

CARD_SIZES_GIB: Final = (4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 141, 192)
"""Memory of cards that are sold; the next size up is a remedy."""

_VOWEL_SIZES: Final = (8, 11, 80)

CONTEXT_STEP: Final = 1024
SHORTEST_CONTEXT: Final = 1024
LONGEST_CONTEXT: Final = 1_048_576
USEFUL_CONTEXT: Final = 2048
ALL_LAYERS: Final = 99
"""What people write for "all of them"; llama.cpp takes as many as there are."""
_SMALLER_CACHES: Final[tuple[KvCacheType, ...]] = ("q8_0", "q4_0")


def find_limits(
    facts: ModelFacts,
    room: Room,
    options: RunOptions,
    run: Run,
    alternatives: Sequence[ModelFacts],
) -> Limits:
    """Return the largest context and the best quantization that stay on the GPU."""
    trained = facts.architecture.context_length
    if not run.choices.gpus:
        return Limits(trained_num_ctx=trained)
    return Limits(
        max_num_ctx_on_gpu=largest_context(facts, room, options),
        best_quantization_on_gpu=_best_quantization(facts, room, options, run, alternatives),
        trained_num_ctx=trained,
    )


def largest_context(facts: ModelFacts, room: Room, options: RunOptions) -> int | None:
    """Return the largest context with the whole model on the GPU, or None.

    A multiple of 1,024 up to the trained context, which is the result itself when it fits.
    """
    top = facts.architecture.context_length or LONGEST_CONTEXT
    if _stays(facts, room, replace(options, num_ctx=top)):
        return top
    low, high = 0, top // CONTEXT_STEP
    while low + 1 < high:
        middle = (low + high) // 2
        if _stays(facts, room, replace(options, num_ctx=middle * CONTEXT_STEP)):
            low = middle
        else:
            high = middle
    if low == 0 and top > SHORTEST_CONTEXT:
        fits = _stays(facts, room, replace(options, num_ctx=SHORTEST_CONTEXT))
        return SHORTEST_CONTEXT if fits else None
    return low * CONTEXT_STEP or None


def find_remedies(
    facts: ModelFacts, room: Room, options: RunOptions, run: Run, limits: Limits
) -> tuple[str, ...]:
    """Return what would bring the whole model onto the GPU, nearest change first."""
    if run.placed.placement.verdict == "gpu":
        return ()
    if not run.choices.gpus:
        if run.placed.placement.verdict == "none":
            missing = run.placed.missing_bytes_in_all
            return (f"{-(-missing // GIB)} GiB more RAM",)
        return ()
    remedies = []
    context = limits.max_num_ctx_on_gpu
    if context is not None and USEFUL_CONTEXT <= context < run.choices.num_ctx:
        remedies.append(f"num_ctx {context} fits ({tokens(context)} of context)")
    fixed = replace(options, num_ctx=run.choices.num_ctx)
    if options.num_gpu is None and _stays(facts, room, replace(fixed, num_gpu=ALL_LAYERS)):
        remedies.append(f"num_gpu {ALL_LAYERS} loads it whole into what Ollama keeps free")
    if len(run.choices.gpus) < len(room.gpus) and _stays(facts, room, fixed, spread=True):
        remedies.append("all GPUs together hold it (OLLAMA_SCHED_SPREAD=1)")
    if options.kv_cache_type in ("f16", "f32", "bf16"):
        for kind in _SMALLER_CACHES:
            if _stays(facts, room, replace(fixed, kv_cache_type=kind, flash_attention=True)):
                remedies.append(f"a {kind} KV cache fits (OLLAMA_KV_CACHE_TYPE={kind})")
                break
    best = limits.best_quantization_on_gpu
    if best is not None and best != facts.quantization:
        remedies.append(f"{best} fits")
    card = _next_card(facts, room, fixed, run)
    if card is not None:
        remedies.append(card)
    return tuple(remedies)


def _stays(facts: ModelFacts, room: Room, options: RunOptions, *, spread: bool = False) -> bool:
    from assistant.fit.estimate import run_in_room

    return run_in_room(facts, room, options, spread=spread).placed.placement.verdict == "gpu"


def _best_quantization(
    facts: ModelFacts,
    room: Room,
    options: RunOptions,
    run: Run,
    alternatives: Sequence[ModelFacts],
) -> str | None:
    """Return the quantization with the most bits that stays on the GPU at the same context."""
    fixed = replace(options, num_ctx=run.choices.num_ctx)
    candidates = {facts.quantization: facts}
    for other in alternatives:
        candidates.setdefault(other.quantization, other)
    ranked = sorted(
        (name for name in candidates if name is not None),
        key=lambda name: quantization_rank(name) or 0,
        reverse=True,
    )
    return next((name for name in ranked if _stays(candidates[name], room, fixed)), None)


def _next_card(facts: ModelFacts, room: Room, options: RunOptions, run: Run) -> str | None:
    """Return the smallest card on which the whole model fits, as `a 16 GB card`."""
    present = max(gpu.total_bytes for gpu in run.choices.gpus)
    if any(gpu.shared for gpu in run.choices.gpus):
        return None
    like = run.choices.gpus[0]
    for size in CARD_SIZES_GIB:
        total = size * GIB
        if total <= present:
            continue
        card = GpuRoom(
            name=f"{size} GB card",
            library=like.library,
            total_bytes=total,
            free_bytes=total - OVERHEAD_BYTES,
            overhead_bytes=OVERHEAD_BYTES,
            shared=False,
            supports_flash_attention=like.supports_flash_attention,
        )
        if _stays(facts, Room((card,), room.host_bytes), options):
            return f"{'an' if size in _VOWEL_SIZES else 'a'} {size} GB card"
    return None

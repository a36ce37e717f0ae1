"""Sentences that go with an estimate: what a person should know, and what was assumed."""

from __future__ import annotations

from assistant.fit.kv_cache import (
    CACHE_TYPES,
    CacheBytes,
    cache_bytes,
    cache_layout,
    full_cells,
)
from assistant.fit.placement import Placed
from assistant.fit.records import ModelFacts
from assistant.fit.room import Room
from assistant.fit.run_choices import SINGLE_REQUEST, RunChoices
from assistant.models.architecture import Architecture
from assistant.units import MIB, gib, tokens

_SMALL_PER_LAYER_BYTES = 64 * MIB
_USUAL_ROPE = 64
"""Rotated dimensions of every latent-attention model known (DeepSeek, GLM, Kimi)."""


def estimate_notes(
    facts: ModelFacts,
    choices: RunChoices,
    cache: CacheBytes,
    placed: Placed,
    *,
    num_gpu: int | None = None,
) -> tuple[str, ...]:
    """Return what a person should know about this estimate, most important first."""
    notes = []
    if not choices.flash_attention and CACHE_TYPES[choices.kv_cache_type][0] > 1:
        notes.append(
            f"a {choices.kv_cache_type} KV cache needs flash attention, without it the model does"
            " not load"
        )
    notes += [*_context_notes(facts, choices, cache), *facts.notes]
    if num_gpu is not None and placed.missing_gpu_bytes and placed.placement.verdict == "gpu":
        notes.append(
            f"only with num_gpu {num_gpu}: by itself Ollama keeps 1 GiB free and leaves layers to"
            " the CPU; another program that takes GPU memory can make it fail"
        )
    notes += _cache_notes(facts, choices)
    arch, placement = facts.architecture, placed.placement
    if placement.expert_layers_on_host and placement.verdict != "none":
        notes.append(
            f"the experts of {placement.expert_layers_on_host} of {arch.block_count} layers stay"
            " in RAM"
        )
    per_layer = facts.weights.input_bytes - facts.weights.token_embedding_bytes
    if arch.embedding_length_per_layer_input and per_layer > _SMALL_PER_LAYER_BYTES:
        notes.append(f"the per-layer embeddings ({gib(per_layer)}) stay in RAM, not on the GPU")
    if facts.weights.projector_bytes and choices.gpus:
        where = "is on the GPU" if placed.projector_on_gpu else "stays in RAM"
        notes.append(f"the image projector ({gib(facts.weights.projector_bytes)}) {where}")
    return tuple(notes)


def estimate_assumptions(facts: ModelFacts, room: Room, choices: RunChoices) -> tuple[str, ...]:
    """Return what was taken for granted."""
    assumptions = [*room.host_assumptions, *(room.gpu_assumptions if choices.gpus else ())]
    if choices.context_from == "tier":
        assumptions.append(
            f"context {tokens(choices.asked_num_ctx)}, which Ollama takes for"
            f" {gib(room.vram_bytes)} of GPU memory"
            if room.gpus
            else f"context {tokens(choices.asked_num_ctx)}, which Ollama takes without a GPU"
        )
    elif choices.context_from == "model":
        assumptions.append(f"context {tokens(choices.asked_num_ctx)}, which the model itself sets")
    if not facts.weights.exact:
        assumptions.append(
            "tensor sizes rebuilt from the architecture"
            + (" and the size of the file" if facts.file_bytes else "")
        )
    return tuple(assumptions)


def _context_notes(facts: ModelFacts, choices: RunChoices, cache: CacheBytes) -> list[str]:
    arch = facts.architecture
    if arch.context_length and choices.asked_num_ctx > arch.context_length:
        full = cache_bytes(
            arch,
            num_ctx=choices.asked_num_ctx,
            num_batch=choices.num_batch,
            num_parallel=choices.num_parallel,
            kv_cache_type=choices.kv_cache_type,
            flash_attention=choices.flash_attention,
        )
        note = (
            f"trained for {tokens(arch.context_length)} of context, so Ollama uses"
            f" {tokens(choices.num_ctx)} instead of {tokens(choices.asked_num_ctx)}"
        )
        if full.kv_cache_bytes > cache.kv_cache_bytes:
            note += f" (the KV cache would have been {gib(full.kv_cache_bytes)})"
        return [note]
    return []


def _cache_notes(facts: ModelFacts, choices: RunChoices) -> list[str]:
    arch = facts.architecture
    layout = cache_layout(arch)
    notes = []
    if layout.window and choices.num_ctx > layout.window:
        notes.append(
            f"{layout.windowed_blocks} of {arch.block_count} layers keep a window of"
            f" {layout.window:,} tokens only"
        )
    if layout.recurrent_blocks:
        notes.append(
            f"{layout.recurrent_blocks} of {arch.block_count} layers keep a state of fixed size"
            " instead of a cache"
        )
    if arch.kv_lora_rank:
        notes.append(_latent_note(arch, choices, is_mla=layout.is_mla))
    if choices.num_parallel == 1 and arch.name in SINGLE_REQUEST:
        notes.append("Ollama serves this architecture one request at a time")
    return notes


def _latent_note(arch: Architecture, choices: RunChoices, *, is_mla: bool) -> str:
    """Return whether a file of a latent-attention model lets llama.cpp use it (`*_mla` keys)."""
    if is_mla:
        return "the file carries the MLA keys: one latent row per token and layer is cached"
    row = (arch.kv_lora_rank or 0) + (arch.rope_dimension_count or _USUAL_ROPE)
    block, size = CACHE_TYPES[choices.kv_cache_type]
    cells = full_cells(choices.num_ctx) * choices.num_parallel
    latent = arch.block_count * row // block * size * cells
    return (
        "the file carries no MLA keys: keys and values of all heads are cached, where a file with"
        f" them would take {gib(latent)}"
    )

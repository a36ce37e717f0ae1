"""What Ollama chooses when nobody says: context, batch, parallel requests, flash attention.

Ollama 0.33 (server/sched.go, server/routes.go), MEMORY_MODEL 4.3 and 4.5 to 4.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from assistant.fit.architecture_rules import architecture_rule
from assistant.fit.records import KvCacheType, ModelFacts, RunOptions
from assistant.fit.room import GpuRoom, Room
from assistant.models.architecture import Architecture
from assistant.units import GIB, MIB

CONTEXT_TIERS: Final = ((47 * GIB, 262_144), (23 * GIB, 32_768))
"""Total VRAM from which Ollama's default context is larger (server/routes.go, Serve)."""

SMALLEST_TIER: Final = 4096
MINIMUM_CONTEXT: Final = 4
MINIMUM_VISION_CONTEXT: Final = 2048
SINGLE_REQUEST: Final = frozenset(
    {
        "mllama",
        "qwen3vl",
        "qwen3vlmoe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "nemotron_h_omni",
    }
)
"""Architectures that Ollama serves one request at a time, whatever OLLAMA_NUM_PARALLEL says."""

_DEFAULT_BATCH: Final = 512
_CONSTRAINED_BATCH: Final = 256
_SURCHARGE: Final = {2048: 2 * GIB, 1024: 768 * MIB}
_HEADROOM_PERCENT: Final = {2048: 60, 1024: 75}
_FIT_PERCENT: Final = 80


@dataclass(frozen=True, slots=True)
class RunChoices:
    """The options of one run. `asked_num_ctx` is the context before the trained one cut it."""

    num_ctx: int
    asked_num_ctx: int
    context_from: str
    num_parallel: int
    num_batch: int
    kv_cache_type: KvCacheType
    flash_attention: bool
    gpus: tuple[GpuRoom, ...]


def choose_run(
    facts: ModelFacts, room: Room, options: RunOptions, *, spread: bool = False
) -> RunChoices:
    """Return what Ollama would choose for this model on this machine.

    `spread` is OLLAMA_SCHED_SPREAD: all GPUs, even where one seems enough.
    """
    arch = facts.architecture
    asked, source = _asked_context(facts, room, options)
    num_ctx = effective_context(arch, asked, vision="vision" in facts.capabilities)
    parallel = 1 if arch.is_embedding or arch.name in SINGLE_REQUEST else options.num_parallel
    predicted = predict_vram(facts, num_ctx * parallel)
    gpus = () if options.num_gpu == 0 else choose_gpus(room.gpus, predicted, spread=spread)
    flash = options.flash_attention
    if flash is None:
        flash = all(gpu.supports_flash_attention for gpu in gpus)
    flash = flash and architecture_rule(arch.name).flash_attention
    batch = options.num_batch
    if batch is None:
        if arch.is_embedding:
            batch = min(2048, num_ctx)
        else:
            batch = automatic_batch(num_ctx * parallel, predicted, gpus, flash_attention=flash)
    return RunChoices(
        num_ctx=num_ctx,
        asked_num_ctx=asked,
        context_from=source,
        num_parallel=parallel,
        num_batch=batch,
        kv_cache_type=options.kv_cache_type,
        flash_attention=flash,
        gpus=gpus,
    )


def default_context(vram_bytes: int) -> int:
    """Return Ollama's default context for that much VRAM in all GPUs together."""
    for at_least, num_ctx in CONTEXT_TIERS:
        if vram_bytes >= at_least:
            return num_ctx
    return SMALLEST_TIER


def effective_context(arch: Architecture, asked: int, *, vision: bool = False) -> int:
    """Return the context that is really used: the trained one at most, and a minimum."""
    least = MINIMUM_VISION_CONTEXT if vision else MINIMUM_CONTEXT
    num_ctx = max(asked, least)
    return min(num_ctx, arch.context_length) if arch.context_length else num_ctx


def predict_vram(facts: ModelFacts, tokens: int) -> int:
    """Return Ollama's rough prediction, used to choose GPUs and the batch.

    File size plus `2 * blocks * least KV heads * (embedding / most heads) * tokens * 2`
    (llm/llama_server.go, PredictServerVRAM); it knows no windows, MLA or cache types.
    """
    arch = facts.architecture
    kv_heads = min(arch.head_count_kv) or 1
    heads = max(arch.head_count)
    head = arch.embedding_length // heads if heads else 0
    size = facts.file_bytes or facts.weights.file_bytes
    return size + 4 * arch.block_count * kv_heads * head * tokens


def choose_gpus(
    gpus: Sequence[GpuRoom], predicted: int, *, spread: bool = False
) -> tuple[GpuRoom, ...]:
    """Return the GPUs that Ollama gives to the runner (MEMORY_MODEL 4.3).

    The best single GPU if the prediction is at most 80 % of its free memory, discrete before
    integrated, then the most free; else all GPUs of the best backend.
    """
    if len(gpus) <= 1:
        return tuple(gpus)
    fitting = [gpu for gpu in gpus if predicted <= gpu.free_bytes * _FIT_PERCENT // 100]
    if fitting and not spread:
        return (max(fitting, key=lambda gpu: (not gpu.shared, gpu.free_bytes)),)
    groups: dict[str, list[GpuRoom]] = {}
    for gpu in gpus:
        groups.setdefault(gpu.library, []).append(gpu)
    return tuple(
        max(
            groups.values(),
            key=lambda group: (
                any(not gpu.shared for gpu in group),
                sum(gpu.free_bytes for gpu in group),
            ),
        )
    )


def automatic_batch(
    tokens: int, predicted: int, gpus: Sequence[GpuRoom], *, flash_attention: bool
) -> int:
    """Return the batch Ollama takes for `tokens` of context (sched.go, MEMORY_MODEL 4.7)."""
    cuda = any(gpu.library == "cuda" for gpu in gpus)
    if cuda and not flash_attention:
        small = any(gpu.library == "cuda" and gpu.free_bytes <= 8 * GIB for gpu in gpus)
        return _CONSTRAINED_BATCH if small and tokens > SMALLEST_TIER else _DEFAULT_BATCH
    batch = 2048 if tokens > 32_768 else 1024 if tokens > SMALLEST_TIER else _DEFAULT_BATCH
    available = sum(gpu.free_bytes for gpu in gpus)
    while batch > _DEFAULT_BATCH and not _batch_fits(batch, predicted, available):
        batch //= 2
    return batch


def displaces_others(facts: ModelFacts, *, tokens: int, num_batch: int, available: int) -> bool:
    """Return whether Ollama unloads the idlest model before it loads this one beside it.

    It does when its prediction for `tokens` of context in all, with a surcharge for the large
    batches of models that generate text, is more than 80 % of the memory that is free on the
    GPUs (server/sched.go, `load`; MEMORY_MODEL 4.3).
    """
    surcharge = 0 if facts.architecture.is_embedding else _SURCHARGE.get(num_batch, 0)
    return predict_vram(facts, tokens) + surcharge > available * _FIT_PERCENT // 100


def _batch_fits(batch: int, predicted: int, available: int) -> bool:
    if not predicted or not available:
        return True
    threshold = available * _FIT_PERCENT // 100
    return (
        predicted <= threshold
        and predicted <= available * _HEADROOM_PERCENT[batch] // 100
        and _SURCHARGE[batch] <= threshold - predicted
    )


def _asked_context(facts: ModelFacts, room: Room, options: RunOptions) -> tuple[int, str]:
    if options.num_ctx is not None:
        return options.num_ctx, "asked"
    if facts.default_num_ctx is not None:
        return facts.default_num_ctx, "model"
    return default_context(room.vram_bytes), "tier"

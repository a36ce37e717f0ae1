"""Compute buffers: the scratch memory of one batch, on the GPU and on the host.

MEMORY_MODEL section 3: everything is linear in the physical batch `u`. Per token the graph
needs its inputs (positions, cache indices, one mask row per cache) and, at its peak, the
largest set of activations that live at once, `4 * P` bytes with `P` elements in F32. P is the
larger of the feed-forward peak and the attention peak; logits do not matter, because the
server asks for the last row only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from assistant.fit.architecture_rules import ArchitectureRule, architecture_rule
from assistant.fit.kv_cache import cache_layout, full_cells, window_cells
from assistant.models.architecture import Architecture
from assistant.units import pad

_F32: Final = 4


@dataclass(frozen=True, slots=True)
class ComputeBuffers:
    """Bytes of scratch memory.

    `gpu_bytes` on every GPU with a block, `host_bytes` beside it when all blocks are on GPUs,
    `cpu_bytes` on the host when any block runs there, `output_bytes` the result rows.
    """

    gpu_bytes: int
    host_bytes: int
    cpu_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class _Peaks:
    """Elements per token: feed-forward peak, attention peak without scores, other constants."""

    feed_forward: int
    attention: int
    score_heads: int
    mask_value_elements: int
    host_elements: int


def compute_buffers(
    arch: Architecture,
    *,
    num_ctx: int,
    num_batch: int,
    num_parallel: int = 1,
    flash_attention: bool = True,
) -> ComputeBuffers:
    """Return the scratch memory of one batch, in bytes (formula: the module's)."""
    peaks = _peaks(arch)
    tokens = pad(min(num_batch, num_ctx * num_parallel), num_parallel)
    inputs, most_cells = _inputs(arch, num_ctx, num_batch, num_parallel, flash_attention)
    attention = peaks.attention
    if not flash_attention:
        attention += peaks.score_heads * most_cells
    peak = max(peaks.feed_forward, attention)
    gpu = tokens * (inputs + _F32 * peak)
    outputs = tokens if arch.is_embedding else num_parallel
    return ComputeBuffers(
        gpu_bytes=gpu,
        host_bytes=tokens * (inputs + 4 + peaks.host_elements * _F32),
        cpu_bytes=gpu + tokens * (4 + _F32 * arch.embedding_length),
        output_bytes=_F32
        * outputs
        * (arch.embedding_length if arch.is_embedding else arch.vocab_size),
    )


def _inputs(
    arch: Architecture, num_ctx: int, num_batch: int, num_parallel: int, flash_attention: bool
) -> tuple[int, int]:
    """Return the bytes of graph inputs per token, and the cells of the largest cache."""
    layout = cache_layout(arch)
    batch = min(num_batch, num_ctx * num_parallel)
    cells = []
    if layout.attention_blocks > layout.windowed_blocks:
        cells.append(full_cells(num_ctx))
    if layout.window:
        cells.append(window_cells(num_ctx, layout.window, batch))
    elif not layout.attention_blocks and not layout.recurrent_blocks:
        cells.append(batch)
    mask = 2 if flash_attention else _F32
    values = 8 if flash_attention else 8 * _peaks(arch).mask_value_elements
    return 4 + sum([mask * c + 8 + values for c in cells]), max(cells, default=0)


def input_bytes(
    arch: Architecture,
    *,
    num_ctx: int,
    num_batch: int,
    num_parallel: int = 1,
    flash_attention: bool = True,
) -> int:
    """Return the bytes of the graph's inputs, which pipelines over several GPUs copy."""
    tokens = pad(min(num_batch, num_ctx * num_parallel), num_parallel)
    return tokens * _inputs(arch, num_ctx, num_batch, num_parallel, flash_attention)[0]


@lru_cache(maxsize=4096)
def _peaks(arch: Architecture) -> _Peaks:
    rule = architecture_rule(arch.name)
    width = arch.embedding_length
    queries = max(
        (heads * arch.key_length for heads in arch.head_count),
        default=0,
    )
    is_mla = bool(arch.key_length_mla and arch.value_length_mla)
    values = 0 if is_mla else max(arch.head_count_kv) * arch.value_length
    per_layer = arch.embedding_length_per_layer_input
    feed_forward = _feed_forward_peak(arch, rule, queries)
    attention = 2 * width + 2 * queries
    if is_mla:
        latent = arch.kv_lora_rank or 0
        rope = arch.key_length - latent
        heads = max(arch.head_count)
        attention = (
            heads * (latent + (latent + rope) + (arch.key_length_mla or 0)) + 4 * width + 2 * latent
        )
        feed_forward += heads * (arch.key_length_mla or 0) - queries
    if rule.state == "ssm":
        inner = arch.ssm_inner_size or 0
        groups = arch.ssm_group_count * (arch.ssm_state_size or 0)
        attention = max(attention, 2 * width + 3 * (inner + 2 * groups) + 2 * inner)
    return _Peaks(
        feed_forward=feed_forward,
        attention=attention,
        score_heads=max(arch.head_count),
        mask_value_elements=values,
        host_elements=2 * width + arch.block_count * per_layer,
    )


def _feed_forward_peak(arch: Architecture, rule: ArchitectureRule, queries: int) -> int:
    width = arch.embedding_length
    inner = max(arch.feed_forward_length)
    if arch.is_moe:
        used = arch.expert_used_count
        expert = arch.expert_feed_forward_length or inner
        shared = arch.expert_shared_feed_forward_length or (arch.expert_shared_count * expert)
        dense = 3 * inner if arch.leading_dense_block_count else 0
        peak = max(3 * used * expert, 2 * used * width + width, width + 3 * shared, dense)
        return 2 * width + queries + peak
    if rule.feed_forward in ("plain", "plain_parallel"):
        peak = 3 * width + queries + 2 * inner
    else:
        peak = 2 * width + queries + 3 * inner
    if rule.feed_forward in ("parallel", "plain_parallel"):
        peak += width
    if arch.embedding_length_per_layer_input:
        peak += arch.block_count * arch.embedding_length_per_layer_input
    if arch.name == "gemma3n":
        peak += 6 * width
    return peak

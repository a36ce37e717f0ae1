"""Compute buffers: the scratch memory of one batch, on the GPU and on the host.

MEMORY_MODEL section 3: nearly everything is linear in the physical batch `u`. Per token the
graph needs its inputs (positions, cache indices, one mask row per cache) and, at its peak, the
activations that live at once, `4 * P` bytes with `P` elements in F32. P is the largest of the
feed-forward, attention and recurrent peaks; logits do not matter, because the server asks
for the last row only. What lives at each peak was read off the allocator of llama.cpp b10488
(ggml-alloc.c, its own debug listing) for one model of every architecture in the table of rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from assistant.fit.architecture_rules import ArchitectureRule, architecture_rule
from assistant.fit.kv_cache import CACHE_TYPES, cache_layout, full_cells, window_cells
from assistant.models.architecture import Architecture
from assistant.units import pad

_F32: Final = 4
_INDEX: Final = 8
_ROTATED_BLOCK: Final = 64
"""A quantized cache is rotated by Hadamard matrices if the head is a multiple of this
(src/llama-kv-cache.cpp, attn_rot): V by one of this size, K by the largest power of two."""

_RWKV_WIDTHS: Final = {"rwkv6": 13, "rwkv6qwen2": 13, "rwkv7": 18, "arwkv7": 18}


@dataclass(frozen=True, slots=True)
class ComputeBuffers:
    """Bytes of scratch memory.

    `gpu_bytes` on every GPU with a block, `host_bytes` beside it when all blocks are on GPUs,
    `cpu_bytes` on the host when any block runs there, `output_bytes` the result rows.
    `input_bytes` is the part of `gpu_bytes` that the graph's inputs take.
    """

    gpu_bytes: int
    host_bytes: int
    cpu_bytes: int
    output_bytes: int
    input_bytes: int


@dataclass(frozen=True, slots=True)
class _Peaks:
    """Elements per token at each peak, and what depends on sequences or cells.

    `scores` and `score_heads`: without flash attention, `scores + score_heads * cells`.
    `recurrent_per_sequence` and `scan_per_sequence` are elements per sequence, divided by the
    batch; the scan's only count where its result does not fit into `scan_room`.
    """

    feed_forward: int
    attention: int
    scores: int
    score_heads: int
    recurrent: int
    recurrent_per_sequence: int
    scan: int
    scan_per_sequence: int
    scan_room: int
    value_elements: int
    host_elements: int
    input_elements: int
    rotation_elements: int
    quantized_slack: int


def compute_buffers(
    arch: Architecture,
    *,
    num_ctx: int,
    num_batch: int,
    num_parallel: int = 1,
    flash_attention: bool = True,
    kv_cache_type: str = "f16",
) -> ComputeBuffers:
    """Return the scratch memory of one batch, in bytes (formula: the module's)."""
    peaks = _peaks(arch)
    batch = min(num_batch, num_ctx * num_parallel)
    tokens = pad(batch, num_parallel)
    cells = _cells(arch, num_ctx, batch)
    quantized = CACHE_TYPES[kv_cache_type][0] > 1
    mask = 2 if flash_attention else _F32
    rows = _index_bytes(arch, peaks, flash_attention=flash_attention)
    per_token = _F32 * peaks.input_elements + sum([mask * count + rows for count in cells])
    inputs = tokens * per_token
    if quantized:
        inputs += _F32 * peaks.rotation_elements * len(cells)
    feed_forward = peaks.feed_forward + (peaks.quantized_slack if quantized else 0)
    peak = max(feed_forward, peaks.attention, 0 if not peaks.recurrent else 1)
    if not flash_attention and cells:
        peak = max(peak, peaks.scores + peaks.score_heads * max(cells))
    activations = tokens * peak
    if peaks.recurrent:
        activations = max(activations, _recurrent_peak(peaks, tokens, num_parallel))
    gpu = inputs + _F32 * activations
    outputs = tokens if arch.is_embedding else num_parallel
    return ComputeBuffers(
        gpu_bytes=gpu,
        host_bytes=inputs + tokens * (_F32 + _F32 * peaks.host_elements),
        cpu_bytes=gpu + tokens * (_F32 + _F32 * arch.embedding_length),
        output_bytes=_F32
        * outputs
        * (arch.embedding_length if arch.is_embedding else arch.vocab_size),
        input_bytes=inputs,
    )


def _cells(arch: Architecture, num_ctx: int, batch: int) -> list[int]:
    """Return the columns of each mask: one mask per cache, or per kind of block without one."""
    layout = cache_layout(arch)
    if architecture_rule(arch.name).cache == "none":
        return [batch, batch] if architecture_rule(arch.name).window else [batch]
    cells = []
    if layout.attention_blocks > layout.windowed_blocks:
        cells.append(full_cells(num_ctx))
    if layout.window:
        cells.append(window_cells(num_ctx, layout.window, batch))
    return cells


def _index_bytes(arch: Architecture, peaks: _Peaks, *, flash_attention: bool) -> int:
    """Return the bytes per token that say where K and V go in one cache."""
    if architecture_rule(arch.name).cache == "none":
        return 0
    if not _has_values(arch):
        return _INDEX
    return _INDEX + (_INDEX if flash_attention else _INDEX * peaks.value_elements)


def _has_values(arch: Architecture) -> bool:
    return not (arch.key_length_mla and arch.value_length_mla)


def _recurrent_peak(peaks: _Peaks, tokens: int, sequences: int) -> int:
    """Return the elements of one batch at the peak of a recurrent block."""
    elements = tokens * peaks.recurrent + sequences * peaks.recurrent_per_sequence
    if peaks.scan_per_sequence:
        scan = tokens * peaks.scan + sequences * peaks.scan_per_sequence
        room = tokens * peaks.scan_room + sequences * peaks.recurrent_per_sequence // 2
        if not peaks.scan_room or scan > room:
            elements += sequences * peaks.scan_per_sequence
    return elements


@lru_cache(maxsize=4096)
def _peaks(arch: Architecture) -> _Peaks:
    rule = architecture_rule(arch.name)
    layout = cache_layout(arch)
    width = arch.embedding_length
    heads = max(arch.head_count)
    queries = max([count * arch.key_length for count in arch.head_count])
    per_layer = arch.embedding_length_per_layer_input * arch.block_count
    full = [
        count
        for count, kind in zip(arch.head_count, layout.block_kinds, strict=True)
        if not layout.kinds[kind].windowed
    ]
    attention = 2 * width + 2 * queries
    scores = rule.score_widths * width + rule.score_queries * queries + per_layer
    if arch.name == "gemma4":
        # Its experts run beside a dense part; per-layer inputs are added behind the block.
        scores += width + max(arch.feed_forward_length) if arch.is_moe else width * bool(per_layer)
    if not _has_values(arch):
        latent = arch.kv_lora_rank or 0
        rope = arch.key_length - latent
        attention = (
            heads * (latent + (latent + rope) + (arch.key_length_mla or 0)) + 4 * width + 2 * latent
        )
        scores = attention
    elif arch.kv_lora_rank:
        attention = 2 * width + 5 * queries
    recurrent, per_sequence, scan, scan_per_sequence, room = _recurrent(arch, rule)
    slack = _attention_output(arch)
    quantized, rotation = 0, _rotation(arch)
    if rotation and rule.reuses_slack and rule.slack == "attention":
        quantized = -slack if slack == width else slack if slack < width else 0
    return _Peaks(
        feed_forward=_feed_forward(arch, rule) + per_layer,
        attention=attention if layout.attention_blocks or rule.cache == "none" else 0,
        scores=scores,
        score_heads=max(full, default=heads),
        recurrent=recurrent,
        recurrent_per_sequence=per_sequence,
        scan=scan,
        scan_per_sequence=scan_per_sequence,
        scan_room=room,
        value_elements=layout.widest_v,
        host_elements=(2 + rule.host_widths) * width + per_layer,
        input_elements=rule.positions,
        rotation_elements=rotation,
        quantized_slack=quantized,
    )


def _attention_output(arch: Architecture) -> int:
    """Return the elements of one token's attention output, the widest of any block."""
    value = arch.value_length_mla or arch.value_length
    return max(arch.head_count) * value


def _rotation(arch: Architecture) -> int:
    if not _has_values(arch) or not arch.key_length or arch.key_length % _ROTATED_BLOCK:
        return 0
    largest = arch.key_length & -arch.key_length
    values = 0 if arch.value_length % _ROTATED_BLOCK else _ROTATED_BLOCK
    return int(largest) ** 2 + values**2


def _feed_forward(arch: Architecture, rule: ArchitectureRule) -> int:
    """Return the elements per token at the feed-forward peak, without per-layer embeddings."""
    width, inner = arch.embedding_length, max(arch.feed_forward_length)
    output = _attention_output(arch)
    slack = {
        "attention": output,
        "width": width,
        "two_widths": 2 * width,
        "experts": 2 * arch.expert_count,
        "none": 0,
    }[rule.slack]
    if arch.embedding_length_per_layer_input and arch.name == "gemma4":
        # Queries wider than two embeddings find no idle place, so they add up with keys.
        wide = output > 2 * width
        slack = 2 * output + 2 * max(arch.head_count_kv) * arch.key_length if wide else 2 * width
    base = (2 + rule.extra_widths) * width
    dense = base + slack + (3 if rule.feed_forward == "gated" else 1) * inner
    if not arch.is_moe:
        return dense if inner else 0
    peaks = [dense] if arch.leading_dense_block_count else []
    if rule.slack == "two_widths" and rule.feed_forward == "gated":
        slack = 2 * arch.expert_count
    slacks = {slack}
    if rule.slack == "attention" and arch.value_length_swa:
        slacks.add(max(arch.head_count) * arch.value_length_swa)
    peaks += [base + _experts(arch, rule, one) for one in slacks]
    expert = arch.expert_feed_forward_length or inner
    shared = arch.expert_shared_feed_forward_length or arch.expert_shared_count * expert
    peaks.append(base + width + 3 * shared)
    return max(peaks)


def _experts(arch: Architecture, rule: ArchitectureRule, slack: int) -> int:
    """Return what routed experts add: gate, up and product, and the result beside them.

    The result takes the place of gate and up if it fits there; the gate that of the attention's
    output.
    """
    used = arch.expert_used_count
    inner = used * (arch.expert_feed_forward_length or max(arch.feed_forward_length))
    result = used * arch.embedding_length
    if rule.feed_forward == "plain":
        return slack + inner + result
    elements = 3 * inner + (result if result > 2 * inner else 0)
    if inner <= slack - 3 * arch.expert_count:
        elements -= inner
    return slack + elements


def _recurrent(arch: Architecture, rule: ArchitectureRule) -> tuple[int, int, int, int, int]:
    """Return the recurrent peak: per token, per sequence, and the scan's three figures."""
    width = arch.embedding_length
    kernel = max(0, (arch.ssm_conv_kernel or 0) - 1)
    inner, states = arch.ssm_inner_size or 0, arch.ssm_state_size or 0
    convolved = inner + 2 * arch.ssm_group_count * states
    if rule.state == "delta":
        return 2 * width + 3 * convolved, 2 * kernel * convolved, 0, 0, 0
    if rule.state == "rwkv":
        size = arch.wkv_head_size or 0
        return _RWKV_WIDTHS.get(arch.name, 18) * width, (size + 66) * width, 0, 0, 0
    if rule.state != "ssm":
        return 0, 0, 0, 0, 0
    if not arch.ssm_group_count:
        return 2 * width + 5 * inner, (states + 2 * kernel) * inner, 0, 0, 0
    projected = inner + convolved + (arch.ssm_time_step_rank or 0)
    base = 2 * width + projected + 2 * convolved + inner
    if rule.recurrent_blocks == "every" and rule.cache == "hybrid":
        base += _attention_output(arch)
    return base, 2 * kernel * convolved, inner, inner * states, convolved

"""KV cache and recurrent state, block by block, in bytes (MEMORY_MODEL section 2).

Per attention block and sequence

    K = row(type, key_length * head_count_kv) * cells        V = row(type, value_length * ...)

with `cells` the context padded to 256, or the window plus one batch for a block that keeps a
window only (src/llama-kv-cache-iswa.cpp). With MLA one latent row serves as K and V. A
recurrent block has a state of fixed size in F32 (src/llama-memory-recurrent.cpp).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from assistant.fit.architecture_rules import (
    ArchitectureRule,
    State,
    WindowRule,
    architecture_rule,
)
from assistant.models.architecture import Architecture
from assistant.units import pad

CELL_PADDING: Final = 256
"""Cells are padded to this (src/llama-context.cpp, `GGML_PAD(n_ctx, 256)`)."""

CACHE_TYPES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "f32": (1, 4),
        "f16": (1, 2),
        "bf16": (1, 2),
        "q8_0": (32, 34),
        "q5_1": (32, 24),
        "q5_0": (32, 22),
        "q4_1": (32, 20),
        "q4_0": (32, 18),
        "iq4_nl": (32, 18),
    }
)
"""Elements and bytes of one block of each cache type (ggml `type_traits`)."""

_F32: Final = 4


@dataclass(frozen=True, slots=True)
class BlockCache:
    """What one block keeps: elements per cell in K and V, and F32 elements of state."""

    k_elements: int
    v_elements: int
    state_elements: int
    windowed: bool


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """The cache of a whole model: distinct kinds of block, and the kind of each block.

    `window` is 0 when no block keeps a window. `widest_v` is the widest V row of any block,
    to which all are widened without flash attention.
    """

    kinds: tuple[BlockCache, ...]
    block_kinds: tuple[int, ...]
    window: int
    widest_v: int
    is_mla: bool

    @property
    def windowed_blocks(self) -> int:
        """Blocks that keep a window only."""
        return sum(1 for kind in self.block_kinds if self.kinds[kind].windowed)

    @property
    def attention_blocks(self) -> int:
        """Blocks that own a KV cache."""
        return sum(1 for kind in self.block_kinds if self.kinds[kind].k_elements)

    @property
    def recurrent_blocks(self) -> int:
        """Blocks that own a recurrent state."""
        return sum(1 for kind in self.block_kinds if self.kinds[kind].state_elements)


@dataclass(frozen=True, slots=True)
class CacheBytes:
    """Bytes of KV cache and of recurrent state, one entry per block each."""

    kv_bytes: tuple[int, ...]
    state_bytes: tuple[int, ...]

    @property
    def kv_cache_bytes(self) -> int:
        """KV cache of all blocks."""
        return sum(self.kv_bytes)

    @property
    def recurrent_state_bytes(self) -> int:
        """Recurrent state of all blocks."""
        return sum(self.state_bytes)

    @property
    def total_bytes(self) -> int:
        """KV cache and recurrent state together."""
        return self.kv_cache_bytes + self.recurrent_state_bytes


def full_cells(num_ctx: int, *, padding: int = CELL_PADDING) -> int:
    """Return the cells of one sequence of `num_ctx` tokens."""
    return pad(num_ctx, padding)


def window_cells(num_ctx: int, window: int, num_batch: int, *, padding: int = CELL_PADDING) -> int:
    """Return the cells of one sequence in a block that keeps `window` tokens."""
    return pad(min(full_cells(num_ctx, padding=padding), window + num_batch), padding)


@lru_cache(maxsize=4096)
def cache_layout(arch: Architecture) -> CacheLayout:
    """Return what each block of an architecture keeps."""
    rule = architecture_rule(arch.name)
    windowed, window = _windowed_blocks(arch, rule.window)
    recurrent = _recurrent_blocks(arch, rule)
    owners = _cache_owners(arch, rule, recurrent)
    is_mla = bool(arch.key_length_mla and arch.value_length_mla)
    state = _state_elements(arch, rule.state)
    kinds: dict[BlockCache, int] = {}
    block_kinds = []
    for block in range(arch.block_count):
        k_row, v_row = _rows(arch, block, windowed=windowed[block], is_mla=is_mla)
        if rule.indexer and block < arch.block_count - arch.nextn_predict_layers:
            k_row += arch.indexer_key_length or 0
        owns = owners[block]
        kind = BlockCache(
            k_elements=k_row if owns else 0,
            v_elements=v_row if owns else 0,
            state_elements=state if recurrent[block] else 0,
            windowed=owns and windowed[block],
        )
        block_kinds.append(kinds.setdefault(kind, len(kinds)))
    widest = max(
        _rows(arch, block, windowed=windowed[block], is_mla=is_mla)[1]
        for block in range(arch.block_count)
    )
    return CacheLayout(
        kinds=tuple(kinds),
        block_kinds=tuple(block_kinds),
        window=window if any(kind.windowed for kind in kinds) else 0,
        widest_v=widest,
        is_mla=is_mla,
    )


def cache_bytes(
    arch: Architecture,
    *,
    num_ctx: int,
    num_batch: int,
    num_parallel: int = 1,
    kv_cache_type: str = "f16",
    flash_attention: bool = True,
    unified: bool = False,
    padding: int = CELL_PADDING,
) -> CacheBytes:
    """Return the KV cache and recurrent state of every block, in bytes.

    `num_ctx` is per sequence, `num_batch` the physical batch that Ollama chose (the window of
    a sliding-window block grows with it). `unified` is one cache of `num_ctx` cells for all
    sequences together, which Ollama never asks for; engines before b10488 without flash
    attention had a `padding` of 32. The formula is the module's.

    Raises:
        KeyError: `kv_cache_type` is no type that llama.cpp caches in.
    """
    layout = cache_layout(arch)
    block, size = CACHE_TYPES[kv_cache_type]
    streams = 1 if unified else num_parallel
    window = layout.window * (num_parallel if unified else 1)
    cells = windowed = full_cells(num_ctx, padding=padding)
    if layout.window:
        batch = min(num_batch, num_ctx * streams)
        windowed = window_cells(num_ctx, window, batch, padding=padding)
    kv, state = [], []
    for kind in layout.kinds:
        v_row = kind.v_elements
        if v_row and not flash_attention:
            v_row = layout.widest_v
        rows = (kind.k_elements // block + v_row // block) * size
        kv.append(rows * (windowed if kind.windowed else cells) * streams)
        state.append(_F32 * kind.state_elements * num_parallel)
    return CacheBytes(
        kv_bytes=tuple(kv[kind] for kind in layout.block_kinds),
        state_bytes=tuple(state[kind] for kind in layout.block_kinds),
    )


def _windowed_blocks(arch: Architecture, rule: WindowRule | None) -> tuple[tuple[bool, ...], int]:
    """Return which blocks keep a window, and the window; none without a rule for it."""
    none = (False,) * arch.block_count
    key = arch.sliding_window
    if rule is None:
        return none, 0
    if (
        (rule.when == "key" and not key)
        or (rule.when == "not_zero" and key == 0)
        or (rule.when == "64_blocks" and arch.block_count != 64)
    ):
        return none, 0
    window = rule.window if rule.fixed or key is None else key
    pattern = arch.sliding_window_pattern
    if isinstance(pattern, tuple):
        return pattern, window
    period = rule.period if pattern is None else pattern
    last = arch.block_count - arch.nextn_predict_layers
    if rule.dense_first:
        flags = tuple(period == 0 or block % period != 0 for block in range(last))
    else:
        flags = tuple(period == 0 or block % period < period - 1 for block in range(last))
    return flags + (False,) * arch.nextn_predict_layers, window


def _recurrent_blocks(arch: Architecture, rule: ArchitectureRule) -> tuple[bool, ...]:
    last = arch.block_count - arch.nextn_predict_layers
    blocks = range(arch.block_count)
    if rule.recurrent_blocks == "every":
        return (True,) * arch.block_count
    if rule.recurrent_blocks == "no_kv_heads":
        return tuple(arch.head_count_kv[block] == 0 for block in blocks)
    if rule.recurrent_blocks == "no_kv_heads_no_ffn":
        return tuple(
            arch.head_count_kv[block] == 0 and arch.feed_forward_length[block] == 0
            for block in blocks
        )
    if rule.recurrent_blocks == "interval":
        if arch.recurrent_layers is not None:
            return tuple(flag and block < last for block, flag in enumerate(arch.recurrent_layers))
        interval = arch.full_attention_interval or 4
        return tuple(block < last and (block + 1) % interval != 0 for block in blocks)
    return (False,) * arch.block_count


def _cache_owners(
    arch: Architecture, rule: ArchitectureRule, recurrent: tuple[bool, ...]
) -> tuple[bool, ...]:
    """Return which blocks own a KV cache."""
    blocks = range(arch.block_count)
    if rule.cache in ("none", "recurrent"):
        return (False,) * arch.block_count
    owning = arch.block_count
    if not rule.caches_nextn or rule.recurrent_blocks == "interval":
        owning -= arch.nextn_predict_layers
    if rule.owning_blocks is not None:
        owning = min(owning, rule.owning_blocks)
    elif arch.shared_kv_layers:
        owning = min(owning, arch.block_count - arch.shared_kv_layers)
    if rule.recurrent_blocks == "every" and rule.cache == "hybrid":
        return (True,) * arch.block_count
    if rule.recurrent_blocks == "no_kv_heads_no_ffn":
        return tuple(
            arch.head_count_kv[block] > 0 and arch.feed_forward_length[block] == 0
            for block in blocks
        )
    return tuple(block < owning and not recurrent[block] for block in blocks)


def _rows(arch: Architecture, block: int, *, windowed: bool, is_mla: bool) -> tuple[int, int]:
    """Return the elements of one K row and one V row of a block."""
    heads = arch.head_count_kv[block]
    key, value = arch.key_length, arch.value_length
    if windowed:
        key = key if arch.key_length_swa is None else arch.key_length_swa
        value = value if arch.value_length_swa is None else arch.value_length_swa
    return key * heads, 0 if is_mla else value * heads


def _state_elements(arch: Architecture, state: State | None) -> int:
    """Return the F32 elements of the recurrent state of one block and sequence."""
    if state is None:
        return 0
    convolved = max(0, (arch.ssm_conv_kernel or 0) - 1)
    heads = max(arch.head_count)
    if state == "rwkv":
        size = arch.wkv_head_size or 0
        return arch.embedding_length * ((arch.token_shift_count or 2) + size)
    if state == "shortconv":
        return arch.embedding_length * max(0, (arch.shortconv_l_cache or 0) - 1)
    if state == "kda":
        width = arch.kda_head_dim or 0
        return 3 * (convolved or 3) * heads * width + width * width * heads
    if state == "lightning":
        return arch.key_length * arch.key_length * heads
    inner = arch.ssm_inner_size or 0
    states = arch.ssm_state_size or 0
    return convolved * (inner + 2 * arch.ssm_group_count * states) + states * inner

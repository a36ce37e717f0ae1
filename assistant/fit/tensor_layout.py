"""The tensors of a model, rebuilt from its architecture alone.

For a model that only the catalog knows there is no tensor table. The shapes follow from the
architecture (`create_tensor` calls in src/models/*.cpp of llama.cpp b10488); vectors (norms,
biases) are counted together. Blocks that are built alike share one `BlockTensors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from assistant.fit.architecture_rules import architecture_rule
from assistant.fit.kv_cache import cache_layout
from assistant.fit.quantization_mix import Role
from assistant.models.architecture import Architecture

_FUSED_QKV: Final = frozenset(
    {"phi3", "phimoe", "phi2", "falcon", "gptneox", "bloom", "mpt", "chatglm", "gpt2", "starcoder"}
)
_FUSED_GATE_UP: Final = frozenset({"phi3", "chatglm"})
_DOUBLE_QUERY: Final = frozenset({"qwen3next", "qwen35", "qwen35moe"})
_DELTA: Final = _DOUBLE_QUERY
_EXPERT_BIASES: Final = frozenset({"gpt-oss"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `row` weights in a row, `elements` in all; `expert` for routed experts."""

    role: Role
    row: int
    elements: int
    expert: bool = False


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """All tensors by group; `block_kinds` gives the place in `blocks` of every block."""

    token_embedding: Tensor
    other_inputs: tuple[Tensor, ...]
    output: tuple[Tensor, ...]
    blocks: tuple[tuple[Tensor, ...], ...]
    block_kinds: tuple[int, ...]
    tied: bool

    @property
    def parameters(self) -> int:
        """Weights in all tensors."""
        outside = (self.token_embedding, *self.other_inputs, *self.output)
        sizes = [sum(tensor.elements for tensor in block) for block in self.blocks]
        return sum(tensor.elements for tensor in outside) + sum(
            sizes[kind] for kind in self.block_kinds
        )


def _matrix(role: Role, row: int, columns: int) -> Tensor:
    return Tensor(role, row, row * columns)


@lru_cache(maxsize=1024)
def tensor_layout(
    arch: Architecture, *, tied: bool, k_eq_v: bool = False, per_layer_f16: bool = False
) -> TensorLayout:
    """Return the tensors that a file of this architecture has.

    `k_eq_v` leaves out V on blocks without a window, as in some gemma4 files; with
    `per_layer_f16` the per-layer embeddings are in two bytes, as in Ollama's own files.
    """
    cache = cache_layout(arch)
    kinds: dict[tuple[int, ...], int] = {}
    blocks: list[tuple[Tensor, ...]] = []
    block_kinds = []
    for block in range(arch.block_count):
        kind = cache.kinds[cache.block_kinds[block]]
        moe = arch.is_moe and block >= arch.leading_dense_block_count
        key = (
            cache.block_kinds[block],
            arch.head_count[block],
            arch.head_count_kv[block],
            arch.feed_forward_length[block],
            moe,
        )
        if key not in kinds:
            kinds[key] = len(blocks)
            mixer = _mixer(
                arch,
                block,
                recurrent=bool(kind.state_elements),
                attention=_has_attention(arch, block, bool(kind.state_elements)),
                windowed=kind.windowed,
                owns_cache=bool(kind.k_elements) or not arch.shared_kv_layers,
                k_eq_v=k_eq_v and not kind.windowed,
            )
            blocks.append((*mixer, *_feed_forward(arch, block, moe=moe), *_extras(arch)))
        block_kinds.append(kinds[key])
    width, vocab = arch.embedding_length, arch.vocab_size
    inputs: tuple[Tensor, ...] = ()
    output: list[Tensor] = [Tensor("kept", 1, width)]
    per_layer = arch.embedding_length_per_layer_input * arch.block_count
    if per_layer:
        inputs = (_matrix("half" if per_layer_f16 else "token_embd", per_layer, vocab),)
        output.append(_matrix("half", width, per_layer))
    if arch.is_embedding and architecture_rule(arch.name).cache == "none":
        inputs = (*inputs, Tensor("kept", width, width * (arch.context_length or 512)))
    elif not tied:
        output.append(_matrix("output", width, vocab))
    return TensorLayout(
        token_embedding=_matrix("token_embd", width, vocab),
        other_inputs=inputs,
        output=tuple(output),
        blocks=tuple(blocks),
        block_kinds=tuple(block_kinds),
        tied=tied,
    )


def _has_attention(arch: Architecture, block: int, recurrent: bool) -> bool:
    if arch.name == "falcon-h1":
        return True
    return not recurrent and arch.head_count_kv[block] > 0


def _mixer(
    arch: Architecture,
    block: int,
    *,
    recurrent: bool,
    attention: bool,
    windowed: bool,
    owns_cache: bool,
    k_eq_v: bool,
) -> list[Tensor]:
    """Return the attention or recurrent part of a block."""
    tensors: list[Tensor] = []
    if recurrent:
        tensors += _recurrent(arch)
    if attention:
        if arch.kv_lora_rank:
            tensors += _latent_attention(arch, block)
        else:
            tensors += _attention(
                arch, block, windowed=windowed, owns_cache=owns_cache, k_eq_v=k_eq_v
            )
    return tensors


def _attention(
    arch: Architecture, block: int, *, windowed: bool, owns_cache: bool, k_eq_v: bool
) -> list[Tensor]:
    width = arch.embedding_length
    heads, kv_heads = arch.head_count[block], arch.head_count_kv[block]
    key, value = arch.key_length, arch.value_length
    if windowed:
        key = arch.key_length_swa or key
        value = arch.value_length_swa or value
    queries, keys, values = heads * key, kv_heads * key, kv_heads * value
    if arch.name in _FUSED_QKV:
        return [
            _matrix("attn_qkv", width, queries + keys + values),
            _matrix("attn_output", heads * value, width),
        ]
    if arch.name in _DOUBLE_QUERY:
        queries *= 2
    tensors = [_matrix("attn_q", width, queries), _matrix("attn_output", heads * value, width)]
    if owns_cache:
        tensors.append(_matrix("attn_k", width, keys))
        if not k_eq_v:
            tensors.append(_matrix("attn_v", width, values))
    return tensors


def _latent_attention(arch: Architecture, block: int) -> list[Tensor]:
    """Multi-head latent attention (src/models/deepseek2.cpp)."""
    width, latent = arch.embedding_length, arch.kv_lora_rank or 0
    heads = arch.head_count[block]
    split = bool(arch.key_length_mla and arch.value_length_mla)
    key = arch.key_length_mla or arch.key_length
    value = arch.value_length_mla or arch.value_length
    rope = arch.key_length - latent if split else (arch.rope_dimension_count or 64)
    tensors = [
        _matrix("other", width, latent + rope),
        _matrix("attn_output", heads * value, width),
    ]
    if arch.q_lora_rank:
        tensors.append(_matrix("other", width, arch.q_lora_rank))
        tensors.append(_matrix("other", arch.q_lora_rank, heads * key))
    else:
        tensors.append(_matrix("attn_q", width, heads * key))
    if split:
        tensors.append(_matrix("other", key - rope, latent * heads))
        tensors.append(_matrix("other", latent, value * heads))
    else:
        tensors.append(_matrix("attn_kv_b", latent, heads * (key - rope + value)))
    return tensors


def _recurrent(arch: Architecture) -> list[Tensor]:
    width = arch.embedding_length
    state = architecture_rule(arch.name).state
    if state == "shortconv":
        return [_matrix("other", width, 3 * width), _matrix("other", width, width)]
    if state == "rwkv":
        return [_matrix("other", width, width) for _ in range(5)]
    if state in ("kda", "lightning"):
        inner = max(arch.head_count) * (arch.kda_head_dim or arch.key_length)
        return [_matrix("other", width, 4 * inner), _matrix("other", inner, width)]
    inner, states = arch.ssm_inner_size or 0, arch.ssm_state_size or 0
    groups, rank = arch.ssm_group_count * states, arch.ssm_time_step_rank or 0
    convolved = (arch.ssm_conv_kernel or 0) * (inner + 2 * groups)
    tensors = [Tensor("kept", 1, convolved), _matrix("other", inner, width)]
    if arch.name in _DELTA:
        tensors += [
            _matrix("attn_qkv", width, inner + 2 * groups),
            _matrix("other", width, inner),
            _matrix("other", width, 2 * rank),
        ]
    elif arch.ssm_group_count:
        tensors.append(_matrix("other", width, 2 * inner + 2 * groups + rank))
    else:
        tensors += [
            _matrix("other", width, 2 * inner),
            _matrix("other", inner, rank + 2 * states),
            _matrix("other", rank, inner) if rank else Tensor("kept", 1, 0),
            Tensor("kept", states, states * inner),
        ]
    return tensors


def _feed_forward(arch: Architecture, block: int, *, moe: bool) -> list[Tensor]:
    width, inner = arch.embedding_length, arch.feed_forward_length[block]
    gated = architecture_rule(arch.name).feed_forward == "gated"
    if not moe:
        if not inner:
            return []
        if arch.name in _FUSED_GATE_UP:
            return [_matrix("ffn_up", width, 2 * inner), _matrix("ffn_down", inner, width)]
        tensors = [_matrix("ffn_up", width, inner), _matrix("ffn_down", inner, width)]
        return [*tensors, _matrix("ffn_gate", width, inner)] if gated else tensors
    experts = arch.expert_count
    expert = arch.expert_feed_forward_length or inner
    if arch.name == "nemotron_h_moe" and not inner:
        return []
    parts: list[tuple[Role, int, int]] = [("ffn_up", width, expert), ("ffn_down", expert, width)]
    if gated:
        parts.append(("ffn_gate", width, expert))
    tensors = [
        Tensor(role, row, row * columns * experts, expert=True) for role, row, columns in parts
    ]
    shared = arch.expert_shared_feed_forward_length or arch.expert_shared_count * expert
    if shared:
        tensors.append(_matrix("ffn_up", width, shared))
        tensors.append(_matrix("ffn_down", shared, width))
        if gated:
            tensors.append(_matrix("ffn_gate", width, shared))
    if arch.name in _EXPERT_BIASES:
        tensors.append(Tensor("kept", 1, experts * (2 * expert + width), expert=True))
    tensors.append(Tensor("kept", width, width * experts))
    return tensors


def _extras(arch: Architecture) -> list[Tensor]:
    """Return norms, and what per-layer embeddings add to each block."""
    width = arch.embedding_length
    tensors = [Tensor("kept", 1, 2 * width)]
    per_layer = arch.embedding_length_per_layer_input
    if per_layer:
        tensors.append(_matrix("other", width, per_layer))
        tensors.append(_matrix("other", per_layer, width))
    return tensors

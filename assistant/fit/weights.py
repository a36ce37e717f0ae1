"""A file's weights, grouped by where llama.cpp puts them (MEMORY_MODEL section 1.3).

From a tensor table the groups are exact. Without one the tensors are rebuilt from the
architecture, given the types of the file's quantization, and fitted to the bytes that the
file is known to have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final, Protocol

from assistant.fit.architecture_rules import architecture_rule
from assistant.fit.quantization_mix import QuantizationMix
from assistant.fit.records import WeightBytes
from assistant.fit.tensor_layout import Tensor, tensor_layout
from assistant.models.architecture import Architecture
from assistant.models.quantization import bits_per_weight

_INPUTS: Final = ("token_embd.", "token_types.", "position_embd.", "per_layer_token_embd.")
_FIRST_BLOCK: Final = ("rope_freqs.", "rope_factors_", "token_embd_norm.")
_PROJECTOR: Final = ("v.", "mm.", "a.")
_SKIPPED: Final = ("s.", "mtp.", "model.vision_tower.")
_EXPERTS: Final = ("_exps.", "_chexps.")

_SPM_TOKEN_BYTES: Final = 24
_BPE_TOKEN_BYTES: Final = 46
"""Header bytes per token of the vocabulary, SentencePiece and byte-pair with merges: the
headers of MEMORY_MODEL 1.6 take 23 to 25, and 39 to 65."""

_SPM_VOCABULARIES: Final = 33_000
_WHOLE_70B_BLOCKS: Final = 80


class TensorSize(Protocol):
    """One row of a tensor table."""

    @property
    def name(self) -> str:
        """Full name, `blk.0.attn_q.weight`."""

    @property
    def bytes(self) -> int:
        """Size without padding."""


def weights_from_tensors(
    tensors: Iterable[TensorSize], *, block_count: int, projector_bytes: int = 0
) -> WeightBytes:
    """Return the groups of a tensor table, exact.

    `projector_bytes` is a projector in a file of its own; one inside the table is added.
    """
    inputs = embedding = output = 0
    blocks = [0] * block_count
    experts = [0] * block_count
    has_output = False
    for tensor in tensors:
        name, size = tensor.name, tensor.bytes
        if name.startswith("blk."):
            block = _block_number(name)
            if block is None or block >= block_count:
                output += size
                continue
            blocks[block] += size
            if any(mark in name for mark in _EXPERTS):
                experts[block] += size
        elif name.startswith(_PROJECTOR):
            projector_bytes += size
        elif name.startswith(_SKIPPED):
            continue
        elif name.startswith(_FIRST_BLOCK):
            blocks[0] += size
        elif name.startswith(_INPUTS):
            inputs += size
            if name == "token_embd.weight":
                embedding = size
        else:
            output += size
            has_output = has_output or name in ("output.weight", "cls.weight")
    return WeightBytes(
        input_bytes=inputs,
        token_embedding_bytes=embedding,
        output_bytes=output,
        tied=not has_output and output > 0,
        block_bytes=tuple(blocks),
        block_expert_bytes=tuple(experts),
        projector_bytes=projector_bytes,
        exact=True,
    )


def weights_from_architecture(
    arch: Architecture,
    quantization: str,
    *,
    file_bytes: int | None = None,
    parameters: int | None = None,
    projector_bytes: int = 0,
    inline_projector_bytes: int = 0,
    hints: frozenset[str] = frozenset(),
) -> WeightBytes:
    """Return the groups rebuilt from the architecture and the quantization's mixture.

    With `file_bytes` (the GGUF blob, tokenizer and inline projector included) the blocks are
    scaled so that all tensors together have the size of the file; else with `parameters` they
    are scaled by the parameters that the rebuilt tensors lack or have too many.
    """
    rebuilt, rebuilt_parameters = _rebuilt(arch, quantization, hints)
    target: float | None = None
    if file_bytes is not None:
        target = file_bytes - inline_projector_bytes - tokenizer_bytes(arch)
    elif parameters is not None and rebuilt_parameters:
        missing = parameters - rebuilt_parameters
        target = rebuilt.file_bytes + missing * (bits_per_weight(quantization) or 16.0) / 8
    projector = projector_bytes + inline_projector_bytes
    if target is not None:
        rebuilt = _scaled(rebuilt, target)
    return replace(rebuilt, projector_bytes=projector) if projector else rebuilt


def weights_from_parameters(
    arch: Architecture, quantization: str, *, parameters: int
) -> WeightBytes:
    """Return the groups for a number of parameters and the usual shapes; never exact."""
    return weights_from_architecture(arch, quantization, parameters=parameters)


def tokenizer_bytes(arch: Architecture) -> int:
    """Return about how many bytes of a file are its header, which is mostly the tokenizer."""
    per_token = _BPE_TOKEN_BYTES
    if arch.name.startswith("gemma") or arch.vocab_size <= _SPM_VOCABULARIES:
        per_token = _SPM_TOKEN_BYTES
    return arch.vocab_size * per_token


@lru_cache(maxsize=4096)
def _rebuilt(
    arch: Architecture, quantization: str, hints: frozenset[str]
) -> tuple[WeightBytes, int]:
    tied = bool(arch.tied_embeddings)
    layout = tensor_layout(
        arch, tied=tied, k_eq_v="k_eq_v" in hints, per_layer_f16="per_layer_f16" in hints
    )
    mix = QuantizationMix(
        quantization,
        query_groups=arch.head_count[0] // arch.head_count_kv[0] if arch.head_count_kv[0] else 0,
        expert_count=arch.expert_count,
        is_70b=arch.name == "llama"
        and arch.block_count == _WHOLE_70B_BLOCKS
        and arch.head_count[0] != arch.head_count_kv[0],
        tied=tied,
        is_falcon=arch.name == "falcon",
        attn_v_f16="attn_v_f16" in hints,
    )
    count = arch.block_count
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    blocks, experts = [], []
    for block, kind in enumerate(layout.block_kinds):
        key = (kind, _mix_phase(block, count))
        if key not in sizes:
            whole = routed = 0
            for tensor in layout.blocks[kind]:
                size = mix.bytes_of(
                    tensor.role,
                    tensor.row,
                    tensor.elements,
                    index=block,
                    count=count,
                    expert=tensor.expert,
                )
                whole += size
                routed += size if tensor.expert else 0
            sizes[key] = whole, routed
        blocks.append(sizes[key][0])
        experts.append(sizes[key][1])

    def outside(tensor: Tensor) -> int:
        return mix.bytes_of(tensor.role, tensor.row, tensor.elements, index=0, count=count)

    embedding = outside(layout.token_embedding)
    weights = WeightBytes(
        input_bytes=embedding + sum(outside(tensor) for tensor in layout.other_inputs),
        token_embedding_bytes=embedding,
        output_bytes=sum(outside(tensor) for tensor in layout.output),
        tied=tied and architecture_rule(arch.name).cache != "none",
        block_bytes=tuple(blocks),
        block_expert_bytes=tuple(experts),
    )
    return weights, layout.parameters


def _mix_phase(block: int, count: int) -> int:
    """Return a number that is equal for blocks which every mixture treats alike."""
    eighth = count // 8
    early = min(block, 5) if block < max(eighth, 5) else 6
    more = block < eighth or block >= 7 * count // 8 or (block - eighth) % 3 == 2
    return early * 8 + more * 4 + (block < eighth) * 2 + (block < count // 16)


def _scaled(weights: WeightBytes, target: float) -> WeightBytes:
    """Return the weights with block bytes scaled so that the file has `target` bytes."""
    blocks = sum(weights.block_bytes)
    room = target - weights.input_bytes - weights.output_bytes
    if blocks <= 0 or room <= 0:
        factor = target / max(1, weights.file_bytes)
        return replace(
            weights,
            input_bytes=round(weights.input_bytes * factor),
            token_embedding_bytes=round(weights.token_embedding_bytes * factor),
            output_bytes=round(weights.output_bytes * factor),
            block_bytes=tuple(round(size * factor) for size in weights.block_bytes),
            block_expert_bytes=tuple(round(size * factor) for size in weights.block_expert_bytes),
        )
    factor = room / blocks
    return replace(
        weights,
        block_bytes=tuple(round(size * factor) for size in weights.block_bytes),
        block_expert_bytes=tuple(round(size * factor) for size in weights.block_expert_bytes),
    )


def _block_number(name: str) -> int | None:
    digits = name[4:].partition(".")[0]
    return int(digits) if digits.isdigit() else None

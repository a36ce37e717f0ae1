"""Which tensor type llama-quantize gives to each tensor of a file.

A quantization such as Q4_K_M is a mixture: the rules of `llama_tensor_get_type` in
src/llama-quant.cpp of llama.cpp b10488, as far as they concern the file types that Ollama's
library and the usual repositories publish (no importance matrix). Types that Ollama keeps in
F16 despite the mixture are hints of the catalog, not rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from assistant.models.quantization import FILE_TYPES, TENSOR_TYPES_BY_NAME

Role = Literal[
    "kept",  # norms, biases, routers: F32 in every file
    "half",  # never quantized, but stored in two bytes
    "output",
    "token_embd",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_qkv",
    "attn_kv_b",
    "attn_output",
    "ffn_up",
    "ffn_gate",
    "ffn_down",
    "other",
]

_FALLBACK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Q2_K": "Q4_0",
        "Q3_K": "Q4_0",
        "Q4_K": "Q5_0",
        "Q5_K": "Q5_1",
        "Q6_K": "Q8_0",
        "IQ4_XS": "IQ4_NL",
    }
)
_UNMIXED: Final = frozenset({"F32", "F16", "BF16"})
_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "QAT-Q4_0": "Q4_0",
        "QAT-Q8_0": "Q8_0",
        "Q4_K_L": "Q4_K_M",
        "Q4_K_XL": "Q4_K_M",
        "Q5_K_L": "Q5_K_M",
        "Q5_K_XL": "Q5_K_M",
        "Q6_K_L": "Q6_K",
        "Q6_K_XL": "Q6_K",
        "Q8_K_XL": "Q8_0",
        "Q3_K_XL": "Q3_K_L",
        "Q2_K_L": "Q2_K",
        "Q2_K_XL": "Q2_K",
    }
)


def uses_more_bits(index: int, count: int) -> bool:
    """Return whether the `index`th of `count` tensors gets more bits in the _M mixtures."""
    eighth = count // 8
    return index < eighth or index >= 7 * count // 8 or (index - eighth) % 3 == 2


class QuantizationMix:
    """The types of one file: `type_of` answers for one tensor at a time.

    `query_groups` is head_count over head_count_kv, `is_70b` and `expert_count` as the rules
    ask; `attn_v_f16` keeps attention V in F16, as some of Ollama's own files do.
    """

    def __init__(
        self,
        quantization: str,
        *,
        query_groups: int,
        expert_count: int = 0,
        is_70b: bool = False,
        tied: bool = False,
        is_falcon: bool = False,
        attn_v_f16: bool = False,
    ) -> None:
        self.name = _ALIASES.get(quantization, quantization)
        file_type = FILE_TYPES.get(self.name)
        base = file_type.tensor_type if file_type is not None else "F16"
        self.base = base if base in TENSOR_TYPES_BY_NAME else "F16"
        self.query_groups = query_groups
        self.expert_count = expert_count
        self.is_70b = is_70b
        self.tied = tied
        self.is_falcon = is_falcon
        self.attn_v_f16 = attn_v_f16

    def bytes_of(
        self, role: Role, row: int, elements: int, *, index: int, count: int, expert: bool = False
    ) -> int:
        """Return the bytes of one tensor; `index` of `count` is its block among all blocks."""
        kind = TENSOR_TYPES_BY_NAME[
            self.type_of(role, row, index=index, count=count, expert=expert)
        ]
        return elements // kind.block * kind.bytes

    def type_of(self, role: Role, row: int, *, index: int, count: int, expert: bool = False) -> str:
        """Return the tensor type's name for a tensor with rows of `row` weights."""
        if role == "kept":
            return "F32"
        if role == "half":
            return "F16"
        if self.name in _UNMIXED:
            return self.name
        if self.attn_v_f16 and role in ("attn_v", "attn_qkv"):
            return "F16"
        if self.name == "MXFP4":
            return "MXFP4" if expert else "BF16"
        chosen = self._chosen(role, row, index, count)
        block = TENSOR_TYPES_BY_NAME[chosen].block
        if row % block:
            chosen = _FALLBACK.get(chosen, "F16")
            if row % TENSOR_TYPES_BY_NAME[chosen].block:
                chosen = "F16"
        return chosen

    def _chosen(self, role: Role, row: int, index: int, count: int) -> str:
        if role == "output" or (role == "token_embd" and self.tied):
            if self.base == "Q8_0" or row % 256 or self.is_falcon:
                return "Q8_0"
            return "Q6_K"
        if role in ("attn_v", "attn_qkv", "attn_kv_b"):
            return self._attention_value(index, count)
        if role == "attn_k":
            return "Q8_0" if self.expert_count == 8 else self.base
        if role == "attn_output":
            return self._attention_output()
        if role == "ffn_down":
            return self._ffn_down(index, count)
        return self.base

    def _attention_value(self, index: int, count: int) -> str:
        name, chosen = self.name, self.base
        if name == "Q2_K":
            chosen = "Q4_K" if self.query_groups >= 4 else "Q3_K"
        elif name == "Q3_K_M":
            chosen = "Q5_K" if index < 2 else "Q4_K"
        elif name == "Q3_K_L" or (name in ("IQ4_NL", "IQ4_XS") and self.query_groups >= 4):
            chosen = "Q5_K"
        elif name in ("Q4_K_M", "Q5_K_M") and uses_more_bits(index, count):
            chosen = "Q6_K"
        elif name == "Q4_K_S" and index < 4:
            chosen = "Q5_K"
        if self.is_70b and chosen in ("Q3_K", "Q4_K"):
            chosen = "Q5_K"
        return "Q8_0" if self.expert_count == 8 else chosen

    def _attention_output(self) -> str:
        if self.is_falcon:
            return "Q4_K" if self.name == "Q3_K_L" else self.base
        if self.expert_count == 8:
            k_quant = self.name.startswith(("Q2_K", "Q3_K", "Q4_K", "IQ")) and self.name != "Q3_K_L"
            return "Q5_K" if k_quant else self.base
        raised = {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}
        return raised.get(self.name, self.base)

    def _ffn_down(self, index: int, count: int) -> str:
        name, more = self.name, uses_more_bits(index, count)
        if name == "Q2_K":
            return "Q3_K"
        if name == "Q3_K_M":
            if index < count // 16:
                return "Q5_K"
            return "Q4_K" if more or not self.is_falcon else "Q3_K"
        if name == "Q3_K_L":
            return "Q4_K" if self.is_falcon else "Q5_K"
        if name == "Q4_K_M" and self.is_falcon:
            return "Q6_K" if index < count // 16 else "Q5_K" if more else "Q4_K"
        if name in ("Q4_K_M", "Q5_K_M") and more:
            return "Q6_K"
        early = index < count // 8
        if name in ("Q4_K_S", "IQ4_NL", "IQ4_XS") and early and not self.is_falcon:
            return "Q5_K"
        return self.base

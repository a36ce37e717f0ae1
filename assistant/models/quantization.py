"""Tensor types, file types (quantizations) and the many ways people write their names.

Block and byte sizes: `type_traits` in ggml/src/ggml.c of llama.cpp b10488. File type numbers:
`llama_ftype` in include/llama.h of the same release. A *tensor type* is what one tensor is
stored as (`Q4_K`); a *file type* is the mixture that a whole file is made with (`Q4_K_M`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from assistant.errors import GgufError


@dataclass(frozen=True, slots=True)
class TensorType:
    """One ggml type: `bytes` hold `block` weights."""

    id: int
    name: str
    block: int
    bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Bits that one weight takes."""
        return 8 * self.bytes / self.block


# Q8_1 and Q8_K exist only while computing; a file that carries them is still sized right.
_TENSOR_TYPES: Final = (
    TensorType(0, "F32", 1, 4),
    TensorType(1, "F16", 1, 2),
    TensorType(2, "Q4_0", 32, 18),
    TensorType(3, "Q4_1", 32, 20),
    TensorType(6, "Q5_0", 32, 22),
    TensorType(7, "Q5_1", 32, 24),
    TensorType(8, "Q8_0", 32, 34),
    TensorType(9, "Q8_1", 32, 36),
    TensorType(10, "Q2_K", 256, 84),
    TensorType(11, "Q3_K", 256, 110),
    TensorType(12, "Q4_K", 256, 144),
    TensorType(13, "Q5_K", 256, 176),
    TensorType(14, "Q6_K", 256, 210),
    TensorType(15, "Q8_K", 256, 292),
    TensorType(16, "IQ2_XXS", 256, 66),
    TensorType(17, "IQ2_XS", 256, 74),
    TensorType(18, "IQ3_XXS", 256, 98),
    TensorType(19, "IQ1_S", 256, 50),
    TensorType(20, "IQ4_NL", 32, 18),
    TensorType(21, "IQ3_S", 256, 110),
    TensorType(22, "IQ2_S", 256, 82),
    TensorType(23, "IQ4_XS", 256, 136),
    TensorType(24, "I8", 1, 1),
    TensorType(25, "I16", 1, 2),
    TensorType(26, "I32", 1, 4),
    TensorType(27, "I64", 1, 8),
    TensorType(28, "F64", 1, 8),
    TensorType(29, "IQ1_M", 256, 56),
    TensorType(30, "BF16", 1, 2),
    TensorType(34, "TQ1_0", 256, 54),
    TensorType(35, "TQ2_0", 256, 66),
    TensorType(39, "MXFP4", 32, 17),
    TensorType(40, "NVFP4", 64, 36),
    TensorType(41, "Q1_0", 128, 18),
    TensorType(42, "Q2_0", 64, 18),
)

TENSOR_TYPES: Final[Mapping[int, TensorType]] = MappingProxyType({t.id: t for t in _TENSOR_TYPES})
TENSOR_TYPES_BY_NAME: Final[Mapping[str, TensorType]] = MappingProxyType(
    {t.name: t for t in _TENSOR_TYPES}
)
RETIRED_TENSOR_TYPES: Final = frozenset({4, 5, 31, 32, 33, 36, 37, 38})


def tensor_type(type_id: int) -> TensorType:
    """Return the tensor type with that number in a GGUF file.

    Raises:
        GgufError: the number is retired or unknown; its size cannot be guessed.
    """
    found = TENSOR_TYPES.get(type_id)
    if found is not None:
        return found
    if type_id in RETIRED_TENSOR_TYPES:
        raise GgufError(
            f"tensor type {type_id} was retired by llama.cpp and is no longer loaded",
            hint="Take a newer conversion of this model.",
        )
    raise GgufError(
        f"tensor type {type_id} is not known to this program",
        hint="The file is damaged, or newer than this program: update it.",
    )


def tensor_bytes(kind: TensorType | int | str, dims: Sequence[int]) -> int:
    """Return the bytes of a tensor with those dimensions (`dims[0]` is the row).

    Raises:
        GgufError: unknown type, or rows that are not a whole number of blocks.
    """
    if isinstance(kind, str):
        named = TENSOR_TYPES_BY_NAME.get(kind.upper())
        if named is None:
            raise GgufError(f"tensor type {kind!r} is not known to this program")
        kind = named
    elif isinstance(kind, int):
        kind = tensor_type(kind)
    row = dims[0] if dims else 1
    if row % kind.block:
        raise GgufError(f"a row of {row} weights is not a multiple of {kind.name}'s {kind.block}")
    elements = 1
    for dim in dims:
        elements *= dim
    return elements // kind.block * kind.bytes


@dataclass(frozen=True, slots=True)
class FileType:
    """One quantization of a whole file.

    `bits_per_weight` is the average over all tensors of a file, measured on Llama-3.1-8B
    unless `_FILE_TYPES` says otherwise; a file's own tensor table is always better.
    `id` is the value of `general.file_type`, None for names that other makers gave to
    mixtures (`Q4_K_XL`) or that the header does not tell apart (`QAT-Q4_0`).
    `tensor_type` is what most of the weights are stored as. `gguf` is False for formats that
    Ollama does not run through llama.cpp.
    """

    name: str
    id: int | None
    tensor_type: str
    bits_per_weight: float
    gguf: bool = True


# Sources of bits_per_weight, in order of preference:
#   R  llama.cpp tools/quantize/README.md, table for Llama-3.1-8B
#   Q  llama.cpp tools/quantize/quantize.cpp, GiB of Llama-3-8B over 8.03e9 weights
#   D  derived: the mixture one step down with embedding and output (2 x 525,336,576 of
#      8,030,261,248 weights) as Q8_0, which is how these names are made
#   U  mixtures that differ from model to model; the figure of the nearest name
#   T  bits of the tensor type alone
_FILE_TYPES: Final = (
    FileType("Q1_0", 40, "Q1_0", 1.125),  # T
    FileType("TQ1_0", 36, "TQ1_0", 1.6875),  # T
    FileType("IQ1_S", 24, "IQ1_S", 2.0042),  # R
    FileType("TQ2_0", 37, "TQ2_0", 2.0625),  # T
    FileType("IQ1_M", 31, "IQ1_M", 2.1460),  # R
    FileType("Q2_0", 41, "Q2_0", 2.25),  # T
    FileType("IQ2_XXS", 19, "IQ2_XXS", 2.3824),  # R
    FileType("IQ2_XS", 20, "IQ2_XS", 2.5882),  # R
    FileType("IQ2_S", 28, "IQ2_S", 2.7403),  # R
    FileType("IQ2_M", 29, "IQ2_S", 2.9294),  # R
    FileType("Q2_K_S", 21, "Q2_K", 2.9697),  # R
    FileType("Q2_K", 10, "Q2_K", 3.1593),  # R
    FileType("IQ3_XXS", 23, "IQ3_XXS", 3.2548),  # R
    FileType("IQ3_XS", 22, "IQ3_S", 3.4977),  # R
    FileType("Q3_K_S", 11, "Q3_K", 3.6429),  # R
    FileType("IQ3_S", 26, "IQ3_S", 3.6606),  # R
    FileType("Q2_K_L", None, "Q2_K", 3.6704),  # D
    FileType("Q2_K_XL", None, "Q2_K", 3.6704),  # U
    FileType("IQ3_M", 27, "IQ3_S", 3.7628),  # R
    FileType("Q3_K_M", 12, "Q3_K", 4.00),  # Q
    FileType("Q3_K_L", 13, "Q3_K", 4.2979),  # R
    FileType("IQ4_XS", 30, "IQ4_XS", 4.4597),  # R
    FileType("NVFP4", 39, "NVFP4", 4.5),  # T
    FileType("MXFP4", 38, "MXFP4", 4.63),  # gpt-oss-20b, 11.27 GiB over 20.91e9 weights
    FileType("Q4_0", 2, "Q4_0", 4.64),  # Q
    FileType("QAT-Q4_0", None, "Q4_0", 4.64),  # as Q4_0
    FileType("Q4_K_S", 14, "Q4_K", 4.6672),  # R
    FileType("IQ4_NL", 25, "IQ4_NL", 4.6818),  # R
    FileType("Q3_K_XL", None, "Q3_K", 4.7559),  # D
    FileType("Q4_K_M", 15, "Q4_K", 4.8944),  # R
    FileType("Q4_K_XL", None, "Q4_K", 4.8944),  # U
    FileType("Q4_1", 3, "Q4_1", 5.11),  # Q
    FileType("Q4_K_L", None, "Q4_K", 5.2828),  # D
    FileType("Q5_K_S", 16, "Q5_K", 5.5704),  # R
    FileType("Q5_0", 8, "Q5_0", 5.5704),  # Q, same size as Q5_K_S
    FileType("Q5_K_M", 17, "Q5_K", 5.7036),  # R
    FileType("Q5_K_XL", None, "Q5_K", 5.7036),  # U
    FileType("Q5_K_L", None, "Q5_K", 6.0266),  # D
    FileType("Q5_1", 9, "Q5_1", 6.04),  # Q
    FileType("Q6_K", 18, "Q6_K", 6.5633),  # R
    FileType("Q6_K_L", None, "Q6_K", 6.8168),  # D
    FileType("Q6_K_XL", None, "Q6_K", 6.8168),  # U
    FileType("MXFP8", None, "MXFP8", 8.25, gguf=False),  # 8 bits, one scale byte per 32
    FileType("Q8_0", 7, "Q8_0", 8.5008),  # R
    FileType("QAT-Q8_0", None, "Q8_0", 8.5008),  # as Q8_0
    FileType("Q8_K_XL", None, "Q8_0", 8.5008),  # U
    FileType("F16", 1, "F16", 16.0005),  # R
    FileType("BF16", 32, "BF16", 16.0005),  # as F16
    FileType("F32", 0, "F32", 32.0),  # T
)

FILE_TYPES: Final[Mapping[str, FileType]] = MappingProxyType({f.name: f for f in _FILE_TYPES})
"""All quantizations by name, from the fewest bits per weight to the most."""

_BY_ID: Final = {f.id: f for f in _FILE_TYPES if f.id is not None}
_RANK: Final = {f.name: rank for rank, f in enumerate(_FILE_TYPES)}


def _squeeze(text: str) -> str:
    return "".join(c for c in text.upper() if c.isalnum())


# What people write when they do not name a mixture: llama.cpp's and Ollama's usual choice.
_LOOSE: Final = {
    "Q2": "Q2_K",
    "Q3": "Q3_K_M",
    "Q4": "Q4_K_M",
    "Q5": "Q5_K_M",
    "Q6": "Q6_K",
    "Q8": "Q8_0",
    "Q2KM": "Q2_K",  # llama.cpp's log: "Q2_K - Medium"
    "Q3K": "Q3_K_M",
    "Q4K": "Q4_K_M",
    "Q5K": "Q5_K_M",
    "IQ1": "IQ1_M",
    "IQ2": "IQ2_M",
    "IQ3": "IQ3_M",
    "IQ4": "IQ4_XS",
    "1BIT": "IQ1_M",
    "2BIT": "Q2_K",
    "3BIT": "Q3_K_M",
    "4BIT": "Q4_K_M",
    "5BIT": "Q5_K_M",
    "6BIT": "Q6_K",
    "8BIT": "Q8_0",
    "16BIT": "F16",
    "32BIT": "F32",
    "INT4": "Q4_K_M",
    "INT8": "Q8_0",
    "FP16": "F16",
    "FLOAT16": "F16",
    "HALF": "F16",
    "BFLOAT16": "BF16",
    "FP32": "F32",
    "FLOAT32": "F32",
    "ALLF32": "F32",
    "FP4": "MXFP4",
    "MXFP4MOE": "MXFP4",
    "QAT": "QAT-Q4_0",
    "QATQ40": "QAT-Q4_0",
    "Q40QAT": "QAT-Q4_0",
    "Q80QAT": "QAT-Q8_0",
}
_SIZE_WORDS: Final = {"SMALL": "S", "MEDIUM": "M", "LARGE": "L"}
_NAMES: Final = {_squeeze(f.name): f.name for f in _FILE_TYPES} | _LOOSE


def parse_quantization(text: str) -> str | None:
    """Return the name in `FILE_TYPES` that `text` means, or None.

    Understands any case and separator (`q4_k_m`, `Q4-K-M`, `q4km`), llama.cpp's log names
    (`Q4_K - Medium`, `IQ4_XS - 4.25 bpw`), `UD-Q4_K_XL`, and loose words (`q8`, `fp16`, `4bit`,
    `4-bit`).
    """
    head, _, tail = text.partition(" - ")
    word = _squeeze(head if tail.endswith("bpw") else text)
    for size, letter in _SIZE_WORDS.items():
        if word.endswith(size):
            word = word.removesuffix(size) + letter
    for prefix in ("MOSTLY", "UD", "I1"):
        if word.startswith(prefix) and word[len(prefix) :] in _NAMES:
            word = word[len(prefix) :]
    if word.endswith("BITS"):
        word = word[:-1]
    return _NAMES.get(word)


def file_type_from_id(file_type: int) -> FileType | None:
    """Return the file type with that `general.file_type`, or None when it says nothing."""
    return _BY_ID.get(file_type)


def quantization_rank(name: str) -> int | None:
    """Return the place of a quantization in order of bits per weight, or None.

    A greater number means more bits. `name` is any spelling `parse_quantization` takes.
    """
    parsed = parse_quantization(name)
    return None if parsed is None else _RANK[parsed]


def bits_per_weight(name: str) -> float | None:
    """Return the average bits per weight of a quantization, or None when it is unknown."""
    parsed = parse_quantization(name)
    return None if parsed is None else FILE_TYPES[parsed].bits_per_weight

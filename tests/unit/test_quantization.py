"""Tensor types, file types and quantization words."""

from __future__ import annotations

import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import GgufError
from assistant.models import quantization as q


@pytest.mark.parametrize("kind", list(GGMLQuantizationType), ids=lambda k: k.name)
def test_tensor_types_agree_with_the_gguf_package(kind: GGMLQuantizationType) -> None:
    ours = q.tensor_type(kind.value)
    assert ours.name == kind.name
    # gguf-py says 40 for Q8_1; the C struct has been 36 since its sum became a half.
    expected = (32, 36) if kind.name == "Q8_1" else GGML_QUANT_SIZES[kind]
    assert (ours.block, ours.bytes) == expected


@pytest.mark.parametrize("kind", list(LlamaFileType), ids=lambda k: k.name)
def test_file_type_numbers_agree_with_the_gguf_package(kind: LlamaFileType) -> None:
    ours = q.file_type_from_id(kind.value)
    if kind is LlamaFileType.GUESSED:
        assert ours is None
    else:
        assert ours is not None
        name = kind.name.removeprefix("MOSTLY_").removeprefix("ALL_").removesuffix("_MOE")
        assert ours.name == name


@pytest.mark.parametrize(
    ("kind", "dims", "expected"),
    [
        ("Q4_K", (4096, 4096), 4096 * 4096 // 256 * 144),
        (14, (4096, 128256), 4096 * 128256 // 256 * 210),
        (39, (2880, 2880, 32), 2880 * 2880 * 32 // 32 * 17),
        ("f32", (), 4),
        ("BF16", (7,), 14),
    ],
)
def test_tensor_bytes(kind: int | str, dims: tuple[int, ...], expected: int) -> None:
    assert q.tensor_bytes(kind, dims) == expected


@pytest.mark.parametrize("bad", [4, 31, 38, 43, 999, -1])
def test_unknown_tensor_types_are_refused(bad: int) -> None:
    with pytest.raises(GgufError, match="tensor type"):
        q.tensor_bytes(bad, (256,))


def test_a_row_must_be_whole_blocks() -> None:
    with pytest.raises(GgufError, match="not a multiple"):
        q.tensor_bytes("Q4_K", (100, 256))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("q4_k_m", "Q4_K_M"),
        ("Q4_K_M", "Q4_K_M"),
        ("Q4-K-M", "Q4_K_M"),
        ("q4km", "Q4_K_M"),
        ("Q4_K - Medium", "Q4_K_M"),
        ("mostly Q4_K - Medium", "Q4_K_M"),
        ("IQ4_XS - 4.25 bpw", "IQ4_XS"),
        ("mostly Q2_K - Medium", "Q2_K"),
        ("Q3_K - Large", "Q3_K_L"),
        ("Q5_K - Small", "Q5_K_S"),
        ("Q2_K - Medium", "Q2_K"),
        ("q4", "Q4_K_M"),
        ("q8", "Q8_0"),
        ("q8_0", "Q8_0"),
        ("fp16", "F16"),
        ("FP16", "F16"),
        ("bf16", "BF16"),
        ("4bit", "Q4_K_M"),
        ("4-bit", "Q4_K_M"),
        ("8 bits", "Q8_0"),
        ("int8", "Q8_0"),
        ("UD-Q4_K_XL", "Q4_K_XL"),
        ("i1-IQ2_XXS", "IQ2_XXS"),
        ("iq4_xs", "IQ4_XS"),
        ("MXFP4_MOE", "MXFP4"),
        ("mxfp4", "MXFP4"),
        ("qat-q4_0", "QAT-Q4_0"),
        ("qat", "QAT-Q4_0"),
        ("Q9_K", None),
        ("", None),
        ("latest", None),
        ("8b", None),
        ("instruct", None),
        ("awq", None),
    ],
)
def test_quantization_words(text: str, name: str | None) -> None:
    assert q.parse_quantization(text) == name


@given(st.sampled_from(sorted(q.FILE_TYPES)), st.sampled_from("_- "), st.booleans())
def test_every_name_is_its_own_parse(name: str, separator: str, lower: bool) -> None:
    text = name.replace("_", separator)
    assert q.parse_quantization(text.lower() if lower else text) == name


@given(st.text(max_size=30))
def test_any_text_gives_a_known_name_or_nothing(text: str) -> None:
    parsed = q.parse_quantization(text)
    assert parsed is None or parsed in q.FILE_TYPES


def test_file_types_are_ordered_by_bits() -> None:
    bits = [f.bits_per_weight for f in q.FILE_TYPES.values()]
    assert bits == sorted(bits)
    order = ["IQ1_S", "Q2_K", "Q3_K_M", "Q4_0", "Q4_K_M", "q5_k_m", "Q6_K", "q8", "fp16", "f32"]
    ranks = [q.quantization_rank(name) for name in order]
    assert None not in ranks
    assert ranks == sorted(ranks, key=lambda r: -1 if r is None else r)
    assert q.quantization_rank("nonsense") is None


def test_a_file_never_takes_fewer_bits_than_its_main_type() -> None:
    for f in q.FILE_TYPES.values():
        if f.gguf:
            nominal = q.TENSOR_TYPES_BY_NAME[f.tensor_type].bits_per_weight
            assert f.bits_per_weight > nominal - 0.01, f.name
    assert q.bits_per_weight("q4_k_m") == 4.8944
    assert q.bits_per_weight("what") is None

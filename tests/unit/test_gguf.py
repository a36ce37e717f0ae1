"""The GGUF header reader: values, tensors, sources, split files and broken headers."""

from __future__ import annotations

import json
import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gguf_bytes import LLAMA, LLAMA_TENSORS, Typed, array, gguf_bytes, small_model, u32

from assistant.errors import FileProblemError, GgufError
from assistant.models.gguf import MAX_HEADER_BYTES, GgufHeader, Omitted, read_header
from assistant.models.quantization import TENSOR_TYPES

HEADERS = Path(__file__).parent.parent / "data" / "headers"


def write(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


class TestValues:
    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (0, 255),
            (1, -128),
            (2, 65535),
            (3, -32768),
            (4, 2**32 - 1),
            (5, -(2**31)),
            (6, 0.5),
            (7, True),
            (8, "naïve"),
            (10, 2**64 - 1),
            (11, -(2**63)),
            (12, math.pi),
        ],
    )
    def test_every_value_type(self, kind: int, value: Any) -> None:
        header = read_header(gguf_bytes({"k": Typed(kind, value), "last": u32(7)}))
        assert header.metadata == {"k": value, "last": 7}
        items = [value] * 3
        header = read_header(gguf_bytes({"k": array(kind, items), "last": u32(7)}))
        assert header.metadata == {"k": tuple(items), "last": 7}

    def test_large_arrays_are_counted_and_not_kept(self) -> None:
        header = read_header(
            gguf_bytes(
                {
                    "tokens": [f"token {i}" for i in range(5000)],
                    "scores": array(6, [1.0] * 5000),
                    "types": array(5, [1] * 5000),
                    "after": u32(1),
                }
            )
        )
        assert header.metadata == {
            "tokens": Omitted("array of string", 5000),
            "scores": Omitted("array of f32", 5000),
            "types": Omitted("array of i32", 5000),
            "after": 1,
        }

    def test_long_strings_are_counted_and_not_kept(self) -> None:
        header = read_header(gguf_bytes({"long": "x" * 2_000_000, "after": u32(1)}))
        assert header.metadata == {"long": Omitted("string", 2_000_000), "after": 1}

    def test_bytes_that_are_not_utf8_are_shown_as_such(self) -> None:
        header = read_header(gguf_bytes({"k": Typed(8, b"a\xffb")}))
        assert header.metadata == {"k": "a\ufffdb"}

    def test_empty_arrays_and_strings(self) -> None:
        header = read_header(gguf_bytes({"a": array(8, []), "b": array(4, []), "c": ""}))
        assert header.metadata == {"a": (), "b": (), "c": ""}


class TestTensors:
    @pytest.mark.parametrize("kind", TENSOR_TYPES.values(), ids=lambda k: k.name)
    def test_every_tensor_type(self, kind: Any) -> None:
        dims = (kind.block * 2, 3, 2)
        header = read_header(gguf_bytes({}, [("w", dims, kind.name)], data=True))
        (tensor,) = header.tensors
        assert (tensor.name, tensor.dims, tensor.type) == ("w", dims, kind)
        assert tensor.bytes == kind.bytes * 2 * 3 * 2
        assert tensor.elements == kind.block * 12
        assert header.data_present
        assert header.data_missing_bytes == 0

    @pytest.mark.parametrize("alignment", [8, 32, 64, 4096])
    def test_alignment(self, alignment: int) -> None:
        keys = {"general.alignment": u32(alignment)}
        body = gguf_bytes(keys, LLAMA_TENSORS, alignment=alignment, data=True)
        header = read_header(body)
        assert header.alignment == alignment
        assert header.data_offset % alignment == 0
        assert header.data_offset + header.data_bytes == len(body)

    def test_a_tensor_without_elements_takes_nothing(self) -> None:
        header = read_header(gguf_bytes({}, [("none", (8, 0), "F32"), ("w", (8,), "F32")]))
        assert [t.bytes for t in header.tensors] == [0, 32]

    @pytest.mark.parametrize("version", [2, 3])
    def test_versions(self, version: int) -> None:
        header = read_header(gguf_bytes(LLAMA, LLAMA_TENSORS, version=version))
        assert (header.version, header.architecture) == (version, "llama")


class TestData:
    def test_a_complete_file(self, tmp_path: Path) -> None:
        body = small_model()
        header = read_header(write(tmp_path / "m.gguf", body))
        assert header.file_bytes == len(body)
        assert header.data_present
        assert header.quantization == "Q4_K_M"
        assert header.parameter_count == 64 * 300 + 64 * 64 + 256 * 3 + 64

    def test_a_header_without_data_is_enough(self, tmp_path: Path) -> None:
        body = gguf_bytes(LLAMA, LLAMA_TENSORS)
        header = read_header(write(tmp_path / "m.gguf", body))
        assert not header.data_present
        assert header.data_missing_bytes == header.data_bytes

    def test_a_header_cut_inside_its_padding(self) -> None:
        body = gguf_bytes(LLAMA, LLAMA_TENSORS).rstrip(b"\0") + bytes(8)
        assert read_header(body).data_missing_bytes == read_header(small_model()).data_bytes

    @pytest.mark.parametrize("cut", [1, 64, 1000])
    def test_an_interrupted_download(self, cut: int) -> None:
        # The last tensor (64 x F32) needs no padding here.
        header = read_header(small_model()[:-cut])
        assert header.data_missing_bytes == cut
        assert not header.data_present

    def test_an_unknown_size_stays_unknown(self) -> None:
        body = small_model()
        header = read_header(lambda offset, length: body[offset : offset + length])
        assert header.file_bytes is None
        assert header.data_missing_bytes is None
        assert not header.data_present

    def test_quantization_without_file_type(self) -> None:
        header = read_header(gguf_bytes({}, [("a", (256, 9), "Q6_K"), ("b", (8,), "F32")]))
        assert header.quantization == "Q6_K"
        assert read_header(gguf_bytes({})).quantization is None

    def test_projectors_and_adapters_are_recognised(self) -> None:
        clip = read_header(gguf_bytes({"general.architecture": "clip"}))
        typed = read_header(gguf_bytes({"general.type": "mmproj"}))
        lora = read_header(gguf_bytes({"general.type": "adapter"}))
        assert clip.is_projector
        assert typed.is_projector
        assert lora.is_adapter
        assert not lora.is_projector


class TestRanges:
    @given(st.integers(1, 3000))
    def test_any_first_range_gives_the_same_header(self, first_bytes: int) -> None:
        body = small_model()
        asked: list[tuple[int, int]] = []

        def read(offset: int, length: int) -> bytes:
            asked.append((offset, length))
            return body[offset : offset + length]

        header = read_header(read, first_bytes=first_bytes, file_bytes=len(body))
        assert header == read_header(body)
        # Contiguous, each at least as long as what came before, no byte asked for twice.
        for (offset, length), (after, _) in pairwise(asked):
            assert after == offset + length
        assert len(asked) <= 2 + math.log2(len(body))

    def test_only_the_header_is_fetched(self) -> None:
        body = gguf_bytes(LLAMA, [("w", (1024, 1024), "F32")], data=True)
        fetched = 0

        def read(offset: int, length: int) -> bytes:
            nonlocal fetched
            fetched += length
            return body[offset : offset + length]

        header = read_header(read, first_bytes=1024)
        assert fetched <= 2 * header.header_bytes
        assert len(body) > 100 * fetched

    def test_the_header_may_not_go_past_its_limit(self) -> None:
        endless = gguf_bytes({"k": "x"}, counts=(0, 2))[:-32] + b"\1" * 64

        def read(offset: int, length: int) -> bytes:
            assert offset + length <= MAX_HEADER_BYTES
            return (endless + bytes(length))[offset : offset + length].ljust(length, b"\1")

        with pytest.raises(GgufError):
            read_header(read)

    def test_a_limit_of_the_caller(self) -> None:
        body = gguf_bytes({"a": "x" * 5000, "b": "y" * 5000})
        assert read_header(body, max_bytes=20_000).metadata["b"] == "y" * 5000
        with pytest.raises(GgufError, match="past"):
            read_header(body, max_bytes=9_000)


class TestSplitFiles:
    @staticmethod
    def parts(folder: Path, count: int = 3, **changes: Any) -> list[Path]:
        paths = []
        for number in range(count):
            keys: dict[str, Any] = dict(LLAMA) if number == 0 else {}
            keys |= {
                "split.no": Typed(2, number),
                "split.count": Typed(2, count),
                "split.tensors.count": Typed(5, count),
            }
            if number == changes.get("at"):
                keys |= changes["keys"]
            tensors = [(changes.get("name", f"blk.{number}.attn_q.weight"), (64, 64), "F16")]
            path = folder / f"model-{number + 1:05d}-of-{count:05d}.gguf"
            paths.append(write(path, gguf_bytes(keys, tensors, data=True)))
        return paths

    def test_all_parts_make_one_header(self, tmp_path: Path) -> None:
        paths = self.parts(tmp_path)
        header = read_header(paths[0])
        assert [t.name for t in header.tensors] == [f"blk.{i}.attn_q.weight" for i in range(3)]
        assert header.metadata["llama.block_count"] == 2
        assert header.file_bytes == sum(p.stat().st_size for p in paths)
        assert header.data_bytes == 3 * 64 * 64 * 2
        assert header.data_present
        assert header.split_count == 3

    def test_a_missing_part_is_named(self, tmp_path: Path) -> None:
        paths = self.parts(tmp_path)
        paths[1].unlink()
        with pytest.raises(
            GgufError, match=r"part 2 of 3 is missing: 'model-00002-of-00003\.gguf'"
        ):
            read_header(paths[0])

    def test_a_later_part_points_to_the_first(self, tmp_path: Path) -> None:
        paths = self.parts(tmp_path)
        with pytest.raises(GgufError, match="part 3 of 3") as caught:
            read_header(paths[2])
        assert "model-00001-of-00003.gguf" in (caught.value.hint or "")

    def test_parts_of_different_files(self, tmp_path: Path) -> None:
        paths = self.parts(tmp_path, at=1, keys={"split.no": Typed(2, 2)})
        with pytest.raises(GgufError, match="says it is part 3 of 3"):
            read_header(paths[0])

    def test_the_tensor_count_must_agree(self, tmp_path: Path) -> None:
        paths = self.parts(tmp_path, at=0, keys={"split.tensors.count": Typed(5, 9)})
        with pytest.raises(GgufError, match="3 tensors in all parts, 9 expected"):
            read_header(paths[0])

    def test_no_tensor_twice(self, tmp_path: Path) -> None:
        paths = self.parts(tmp_path, name="same")
        with pytest.raises(GgufError, match="more than one part"):
            read_header(paths[0])

    def test_a_renamed_first_part(self, tmp_path: Path) -> None:
        path = self.parts(tmp_path)[0].rename(tmp_path / "renamed.gguf")
        with pytest.raises(GgufError, match="not the name of a part"):
            read_header(path)

    def test_a_range_source_gives_one_part_and_says_so(self, tmp_path: Path) -> None:
        body = self.parts(tmp_path)[0].read_bytes()
        header = read_header(lambda offset, length: body[offset : offset + length])
        assert header.split_count == 3
        assert header.notes == ("only part 1 of 3 was read",)


def with_tensor(dims: tuple[int, ...], *, type_id: int = 0, rank: int | None = None) -> bytes:
    head = gguf_bytes({}, counts=(1, 0)).rstrip(b"\0")
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0)
    name = struct.pack("<Q", 1) + b"w"
    shape = struct.pack("<I", len(dims) if rank is None else rank)
    shape += b"".join(struct.pack("<Q", dim) for dim in dims)
    return head + name + shape + struct.pack("<IQ", type_id, 0)


BROKEN = {
    "empty": (b"", "is empty"),
    "text": (b"hello world, this is text", "not a GGUF file"),
    "one byte": (b"G", "not a GGUF file"),
    "only magic": (b"GGUF", "cut off after 4 bytes"),
    "old ggml": (b"tjgg" + bytes(40), "older than GGUF"),
    "zip": (b"PK\x03\x04" + bytes(40), "PyTorch or zip"),
    "html": (b"<!DOCTYPE html><html>", "web page"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "safetensors": (struct.pack("<Q", 20) + b'{"__metadata__":{}}', "safetensors"),
    "version 0": (gguf_bytes(version=0), "version 0"),
    "version 1": (gguf_bytes(version=1), "version 1"),
    "version 4": (gguf_bytes(version=4), "version 4"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "too many tensors": (gguf_bytes(counts=(10**9, 0)), "1,000,000,000 tensors"),
    "too many keys": (gguf_bytes(counts=(0, 10**15)), "metadata keys"),
    "fewer keys than said": (gguf_bytes({"a": 1}, counts=(0, 5)), "cut off|empty key"),
    "cut in a key": (gguf_bytes({"general.name": "x"})[:30], "cut off after 30 bytes"),
    "huge key": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "a key of"),
    "huge string": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
        + struct.pack("<IQ", 8, 2**63), "past 64 MiB"),
    "unknown value type": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
        + struct.pack("<IQ", 13, 0), "unknown value type 13"),
    "unknown array type": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
        + struct.pack("<IIQ", 9, 99, 0), "unknown array type 99"),
    "nested array": (gguf_bytes({"k": Typed(9, [], 9)}), "array of arrays"),
    "huge array": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
        + struct.pack("<IIQ", 9, 0, 2**64 - 1), "an array of"),
    "huge string in an array": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
        + struct.pack("<IIQ", 9, 8, 300) + struct.pack("<Q", 2**64 - 1) + bytes(4000),
        "longer than the header"),
    "key twice": (
        gguf_bytes({"a": 1}, counts=(0, 2)).rstrip(b"\0")[:-1] + struct.pack("<I", 1)
        + struct.pack("<Q", 1) + b"a" + struct.pack("<II", 4, 1), "a second time"),
    "tensor twice": (
        gguf_bytes({}, [("w", (8,), "F32"), ("w", (8,), "F32")]), "'w' a second time"),
    "alignment 0": (gguf_bytes({"general.alignment": u32(0)}), "power of two"),
    "alignment 24": (gguf_bytes({"general.alignment": u32(24)}), "power of two"),
    "alignment 2**31": (gguf_bytes({"general.alignment": u32(2**31)}), "power of two"),
    "alignment text": (gguf_bytes({"general.alignment": "x"}), "whole number"),
    "five dims": (with_tensor((1,) * 5), "5 dimensions"),
    "2**32 dims": (with_tensor((1,), rank=2**32 - 1), "4294967295 dimensions"),
    "dim 2**63": (with_tensor((2**63,)), "impossible dimensions"),
    "overflow": (with_tensor((2**40, 2**40)), "impossible dimensions"),
    "too many bytes": (with_tensor((2**62,)), "more data than a file"),
    "retired type": (with_tensor((32,), type_id=4), "retired"),
    "unknown type": (with_tensor((32,), type_id=77), "tensor type 77 is not known"),
    "half a block": (with_tensor((100,), type_id=12), "not a multiple"),
    "wrong offset": (
        gguf_bytes({}, [("a", (8,), "F32"), ("b", (8,), "F32")], alignment=64), "was expected"),
    "split nonsense": (
        gguf_bytes({"split.count": 3, "split.no": Typed(2, 7)}), "part 7 of 3"),
    "split text": (gguf_bytes({"split.count": "three"}), "whole numbers"),
}  # fmt: skip


class TestBrokenHeaders:
    @pytest.mark.parametrize("case", BROKEN, ids=lambda c: c)
    def test_one_clear_error(self, case: str, tmp_path: Path) -> None:
        body, message = BROKEN[case]
        with pytest.raises(GgufError, match=message) as caught:
            read_header(body)
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 300
        with pytest.raises(GgufError, match=message) as caught:
            read_header(write(tmp_path / "broken.gguf", body))
        assert "broken.gguf" in caught.value.message

    def test_every_cut_of_a_header_is_an_error(self) -> None:
        body = gguf_bytes({**LLAMA, "tokenizer.ggml.tokens": ["a", "b"]}, LLAMA_TENSORS)
        end = read_header(body).header_bytes
        for length in range(end):
            with pytest.raises(GgufError):
                read_header(body[:length])
        assert read_header(body[:end]).metadata["llama.block_count"] == 2


class TestPaths:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileProblemError, match="No such file"):
            read_header(tmp_path / "none.gguf")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileProblemError, match="is not a file"):
            read_header(tmp_path)

    def test_a_device_that_never_ends(self) -> None:
        with pytest.raises(FileProblemError, match="is not a file"):
            read_header("/dev/zero")

    def test_an_impossible_name(self) -> None:
        with pytest.raises(FileProblemError):
            read_header("a\0b.gguf")


@pytest.mark.parametrize("path", sorted(HEADERS.glob("*.gguf")), ids=lambda p: p.stem)
def test_headers_of_real_models(path: Path) -> None:
    header = read_header(path)
    assert header.version == 3
    assert header.architecture
    assert not header.data_present
    assert header.data_offset == path.stat().st_size
    if path.name.startswith("full-"):
        assert header.data_missing_bytes == header.data_bytes > 10**9
    else:
        assert not header.tensors


def test_the_weights_of_llama_3_1_8b_to_the_byte() -> None:
    # The sum that MEMORY_MODEL 7 gives for llama-quantize's Q4_K_M rules.
    assert read_header(HEADERS / "full-llama31-8b.gguf").data_bytes == 4_912_898_304


def test_the_header_can_be_written_down(tmp_path: Path) -> None:
    header = read_header(small_model())
    assert isinstance(header, GgufHeader)
    assert json.dumps({k: v for k, v in header.metadata.items() if not isinstance(v, Omitted)})

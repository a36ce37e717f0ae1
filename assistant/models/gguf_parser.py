"""The walk over the bytes of one GGUF header.

Layout: ggml/src/gguf.cpp of llama.cpp, docs/gguf.md of ggml. The checks are those of
llama.cpp's own loader, plus limits that keep a damaged or hostile header from costing time or
memory. Tokenizer arrays are walked and counted, never kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from assistant.errors import GgufError
from assistant.models.gguf_header import GgufHeader, Metadata, Omitted, Scalar, TensorInfo, Value
from assistant.models.quantization import tensor_bytes, tensor_type
from assistant.units import MIB, pad

ReadRange = Callable[[int, int], bytes]
"""`read(offset, length)` returns up to `length` bytes; fewer only where the source ends."""

_MAX_KEYS: Final = 16_384
_MAX_TENSORS: Final = 65_536
_MAX_ARRAY_ITEMS: Final = 4_194_304
_MAX_KEY_BYTES: Final = 65_535
_MAX_NAME_BYTES: Final = 255
_MAX_DIMS: Final = 4
_KEPT_STRING_BYTES: Final = MIB
_KEPT_ARRAY_ITEMS: Final = 4096
_KEPT_STRING_ITEMS: Final = 256
_KEPT_BYTES_IN_ALL: Final = 8 * MIB
_KEPT_ITEMS_IN_ALL: Final = 262_144
_INT64_MAX: Final = 2**63 - 1

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_STRING: Final = 8
_ARRAY: Final = 9
_FIXED: Final = {
    0: ("u8", "B", 1),
    1: ("i8", "b", 1),
    2: ("u16", "H", 2),
    3: ("i16", "h", 2),
    4: ("u32", "I", 4),
    5: ("i32", "i", 4),
    6: ("f32", "f", 4),
    7: ("bool", "?", 1),
    10: ("u64", "Q", 8),
    11: ("i64", "q", 8),
    12: ("f64", "d", 8),
}
AGAIN: Final = "The file is damaged or incomplete: download it again."


class _Cursor:
    """A position in a source that is fetched as far as needed, and no further."""

    def __init__(self, read: ReadRange, name: str, first_bytes: int, max_bytes: int) -> None:
        self.read = read
        self.name = name
        self.next_bytes = max(1, first_bytes)
        self.max_bytes = max_bytes
        self.buffer = bytearray()
        self.position = 0
        self.ended = False
        self.where = "the first bytes"
        self.kept_bytes = 0
        self.kept_items = 0

    def problem(self, what: str, hint: str = AGAIN) -> GgufError:
        return GgufError(
            f"{self.name!r}: {what} (at byte {self.position:,}, in {self.where})", hint=hint
        )

    def need(self, length: int) -> None:
        """Fetch until `length` bytes follow the position."""
        end = self.position + length
        if end > self.max_bytes:
            raise self.problem(
                f"the header would go past {self.max_bytes // MIB} MiB, which no known model needs"
            )
        while len(self.buffer) < end:
            if self.ended:
                raise self.problem(f"the header is cut off after {len(self.buffer):,} bytes")
            have = len(self.buffer)
            want = min(max(self.next_bytes, end), self.max_bytes) - have
            chunk = self.read(have, want)
            self.ended = len(chunk) < want
            self.buffer += chunk[:want]
            self.next_bytes = 2 * (have + want)

    def u32(self) -> int:
        self.need(4)
        (value,) = _U32.unpack_from(self.buffer, self.position)
        self.position += 4
        return int(value)

    def u64(self) -> int:
        self.need(8)
        (value,) = _U64.unpack_from(self.buffer, self.position)
        self.position += 8
        return int(value)

    def fixed(self, code: str, size: int, count: int) -> tuple[Scalar, ...]:
        self.need(size * count)
        values = struct.unpack_from(f"<{count}{code}", self.buffer, self.position)
        self.position += size * count
        return values

    def string(self, limit: int, what: str) -> str:
        length = self.u64()
        if length > limit:
            raise self.problem(f"{what} of {length:,} bytes")
        self.need(length)
        raw = self.buffer[self.position : self.position + length]
        self.position += length
        return raw.decode("utf-8", errors="replace")

    def skip(self, length: int) -> None:
        self.need(length)
        self.position += length

    def skip_strings(self, count: int) -> None:
        """Walk over `count` strings; the loop is the reader's hot path."""
        unpack = _U64.unpack_from
        self.need(8 * count)
        position = self.position
        left = count
        while left:
            buffer = self.buffer
            last = len(buffer) - 8
            while left and position <= last:
                position += 8 + unpack(buffer, position)[0]
                left -= 1
            if left or position > len(buffer):
                if position > self.max_bytes:
                    raise self.problem("a string in an array is longer than the header may be")
                self.position = position
                self.need(8 * left)
        self.position = position


def parse_header(
    read: ReadRange, *, name: str, file_bytes: int | None, first_bytes: int, max_bytes: int
) -> GgufHeader:
    """Return the header at the start of what `read` gives.

    Ranges start with `first_bytes` and double, never past `max_bytes`.

    Raises:
        GgufError: the bytes are not a GGUF header, or one that cannot be trusted.
    """
    if file_bytes is not None:
        first_bytes = min(first_bytes, max(file_bytes, 1))
    cursor = _Cursor(read, name, first_bytes, max_bytes)
    version = _version(cursor)
    cursor.where = "the counts"
    tensor_count = cursor.u64()
    key_count = cursor.u64()
    if tensor_count > _MAX_TENSORS:
        raise cursor.problem(f"{tensor_count:,} tensors, which no known model has")
    if key_count > _MAX_KEYS:
        raise cursor.problem(f"{key_count:,} metadata keys, which no known model has")
    metadata = _metadata(cursor, key_count)
    alignment = _alignment(cursor, metadata)
    tensors, end, data_bytes = _tensors(cursor, tensor_count, alignment)
    header_bytes = cursor.position
    data_offset = pad(header_bytes, alignment)
    missing = None
    if file_bytes is not None:
        missing = max(0, data_offset + end - max(file_bytes, data_offset)) if tensors else 0
    split_no, split_count = _split(cursor, metadata)
    return GgufHeader(
        version=version,
        metadata=metadata,
        tensors=tensors,
        alignment=alignment,
        header_bytes=header_bytes,
        data_offset=data_offset,
        data_bytes=data_bytes,
        file_bytes=file_bytes,
        data_missing_bytes=missing,
        split_no=split_no,
        split_count=split_count,
    )


_OTHER_FORMATS: Final = (
    (b"lmgg", "is in a GGML format older than GGUF", "Take a GGUF conversion of this model."),
    (b"tjgg", "is in a GGML format older than GGUF", "Take a GGUF conversion of this model."),
    (b"fmgg", "is in a GGML format older than GGUF", "Take a GGUF conversion of this model."),
    (b"algg", "is in a GGML format older than GGUF", "Take a GGUF conversion of this model."),
    (b"PK\x03\x04", "is a PyTorch or zip file, not GGUF", "Take a GGUF conversion of this model."),
    (b"FUGG", "is a big-endian GGUF file", "Take the usual little-endian conversion."),
    (b"vers", "is a Git LFS pointer, not the model itself", "Fetch the file with `git lfs pull`."),
    (b"<!DO", "is a web page, not a model", "The download link needs a login or is wrong."),
    (b"<!do", "is a web page, not a model", "The download link needs a login or is wrong."),
    (b"<htm", "is a web page, not a model", "The download link needs a login or is wrong."),
)


def _version(cursor: _Cursor) -> int:
    try:
        cursor.need(12)
    except GgufError:
        if not cursor.buffer:
            raise GgufError(f"{cursor.name!r} is empty", hint=AGAIN) from None
    magic = bytes(cursor.buffer[:4])
    if magic != b"GGUF":
        for start, what, hint in _OTHER_FORMATS:
            if magic == start:
                raise GgufError(f"{cursor.name!r} {what}", hint=hint)
        if bytes(cursor.buffer[8:10]) == b'{"':
            raise GgufError(
                f"{cursor.name!r} is a safetensors file, not GGUF",
                hint="Take a GGUF conversion of this model.",
            )
        raise GgufError(f"{cursor.name!r} is not a GGUF file (it starts with {magic!r})")
    cursor.position = 4
    version = cursor.u32()
    if version in (2, 3):
        return version
    if version == 1:
        raise GgufError(
            f"{cursor.name!r} is GGUF version 1, which llama.cpp no longer reads",
            hint="Take a newer conversion of this model.",
        )
    if version and not version & 0xFFFF:
        raise GgufError(
            f"{cursor.name!r} is a big-endian GGUF file",
            hint="Take the usual little-endian conversion.",
        )
    raise GgufError(
        f"{cursor.name!r} is GGUF version {version}; versions 2 and 3 are known",
        hint="The file is damaged, or newer than this program: update it.",
    )


def _metadata(cursor: _Cursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for number in range(count):
        cursor.where = f"metadata key {number + 1} of {count}"
        key = cursor.string(_MAX_KEY_BYTES, "a key")
        if not key:
            raise cursor.problem("an empty key")
        if key in metadata:
            raise cursor.problem(f"key {key!r} a second time")
        cursor.where = f"metadata key {key[:80]!r}"
        kind = cursor.u32()
        if kind == _ARRAY:
            metadata[key] = _array(cursor)
        elif kind == _STRING:
            metadata[key] = _text(cursor)
        else:
            metadata[key] = _scalar(cursor, kind)
    return metadata


def _scalar(cursor: _Cursor, kind: int) -> Scalar:
    fixed = _FIXED.get(kind)
    if fixed is None:
        raise cursor.problem(f"unknown value type {kind}")
    return cursor.fixed(fixed[1], fixed[2], 1)[0]


def _text(cursor: _Cursor) -> str | Omitted:
    cursor.need(8)
    (length,) = _U64.unpack_from(cursor.buffer, cursor.position)
    if length <= _KEPT_STRING_BYTES and cursor.kept_bytes + length <= _KEPT_BYTES_IN_ALL:
        cursor.kept_bytes += length
        return cursor.string(_KEPT_STRING_BYTES, "a string")
    cursor.skip(8 + length)
    return Omitted("string", length)


def _array(cursor: _Cursor) -> tuple[Scalar, ...] | Omitted:
    kind = cursor.u32()
    count = cursor.u64()
    if kind == _ARRAY:
        raise cursor.problem("an array of arrays, which llama.cpp does not load")
    if kind != _STRING and kind not in _FIXED:
        raise cursor.problem(f"unknown array type {kind}")
    if count > _MAX_ARRAY_ITEMS:
        raise cursor.problem(f"an array of {count:,} items")
    keep = cursor.kept_items + count <= _KEPT_ITEMS_IN_ALL
    if kind == _STRING:
        if keep and count <= _KEPT_STRING_ITEMS:
            cursor.kept_items += count
            return _few_strings(cursor, count)
        cursor.skip_strings(count)
        return Omitted("array of string", count)
    label, code, size = _FIXED[kind]
    if keep and count <= _KEPT_ARRAY_ITEMS:
        cursor.kept_items += count
        return cursor.fixed(code, size, count)
    cursor.skip(size * count)
    return Omitted(f"array of {label}", count)


def _few_strings(cursor: _Cursor, count: int) -> tuple[Scalar, ...] | Omitted:
    texts = [_text(cursor) for _ in range(count)]
    kept = tuple(text for text in texts if isinstance(text, str))
    return kept if len(kept) == count else Omitted("array of string", count)


def _alignment(cursor: _Cursor, metadata: Metadata) -> int:
    alignment = metadata.get("general.alignment", 32)
    cursor.where = "metadata key 'general.alignment'"
    if not isinstance(alignment, int) or isinstance(alignment, bool):
        raise cursor.problem("not a whole number")
    if alignment <= 0 or alignment & (alignment - 1) or alignment > MIB:
        raise cursor.problem(f"{alignment} is not a power of two up to 1 MiB")
    return alignment


def _tensors(
    cursor: _Cursor, count: int, alignment: int
) -> tuple[tuple[TensorInfo, ...], int, int]:
    """Return the table, the end of the last tensor, and all bytes with padding."""
    tensors: list[TensorInfo] = []
    names: set[str] = set()
    expected = end = 0
    for number in range(count):
        cursor.where = f"tensor {number + 1} of {count}"
        name = cursor.string(_MAX_NAME_BYTES, "a tensor name")
        if name in names:
            raise cursor.problem(f"tensor {name!r} a second time")
        names.add(name)
        cursor.where = f"tensor {name!r}"
        tensor = _tensor(cursor, name)
        offset = cursor.u64()
        if offset != expected:
            raise cursor.problem(f"its data at {offset:,} where {expected:,} was expected")
        end = offset + tensor.bytes
        expected = pad(end, alignment)
        if expected > _INT64_MAX:
            raise cursor.problem("more data than a file can have")
        tensors.append(tensor)
    return tuple(tensors), end, expected


def _tensor(cursor: _Cursor, name: str) -> TensorInfo:
    rank = cursor.u32()
    if rank > _MAX_DIMS:
        raise cursor.problem(f"{rank} dimensions (ggml has at most {_MAX_DIMS})")
    dims = tuple(cursor.u64() for _ in range(rank))
    elements = 1
    for dim in dims:
        elements *= dim
        if dim > _INT64_MAX or elements > _INT64_MAX:
            raise cursor.problem(f"impossible dimensions {dims}")
    number = cursor.u32()
    try:
        kind = tensor_type(number)
        return TensorInfo(name, dims, kind, tensor_bytes(kind, dims))
    except GgufError as error:
        raise cursor.problem(error.message, hint=error.hint or AGAIN) from None


def _split(cursor: _Cursor, metadata: Metadata) -> tuple[int, int]:
    count = metadata.get("split.count", 1)
    number = metadata.get("split.no", 0)
    cursor.where = "metadata keys 'split.*'"
    if not isinstance(count, int) or not isinstance(number, int):
        raise cursor.problem("not whole numbers")
    if count <= 1:
        return 0, 1
    if not 0 <= number < count <= 0xFFFF:
        raise cursor.problem(f"part {number} of {count}")
    return number, count

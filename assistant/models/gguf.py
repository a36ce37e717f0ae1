"""Reader of GGUF headers: metadata and tensor table, without the data behind them.

A header may come from a file, a split file, bytes, or any function that gives byte ranges;
whatever the bytes, the answer is a `GgufHeader` or one `GgufError`. The format is described
in `gguf_parser`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from assistant.errors import FileProblemError, GgufError
from assistant.models.gguf_header import GgufHeader, Metadata, Omitted, Scalar, TensorInfo, Value
from assistant.models.gguf_parser import AGAIN, ReadRange, parse_header
from assistant.units import MIB

__all__ = [
    "FIRST_RANGE_BYTES",
    "MAX_HEADER_BYTES",
    "GgufHeader",
    "Metadata",
    "Omitted",
    "ReadRange",
    "Scalar",
    "TensorInfo",
    "Value",
    "read_header",
]

MAX_HEADER_BYTES: Final = 64 * MIB
FIRST_RANGE_BYTES: Final = 16 * MIB
"""Covers every header in MEMORY_MODEL 1.6; the largest known (gpt-oss) is about 13 MB."""

_FIRST_FILE_BYTES: Final = MIB


def read_header(
    source: Path | str | bytes | ReadRange,
    *,
    name: str | None = None,
    file_bytes: int | None = None,
    first_bytes: int | None = None,
    max_bytes: int = MAX_HEADER_BYTES,
) -> GgufHeader:
    """Return the header of a GGUF file, of bytes, or of anything that gives byte ranges.

    A path to the first part of a split file reads the headers of all parts; from a range
    function only the given part is read, which `notes` says. `file_bytes` is the whole size
    where the caller knows it. Ranges start with `first_bytes` and double up to `max_bytes`.

    Raises:
        GgufError: not a GGUF header, or a damaged, implausible or incomplete one.
        FileProblemError: the file cannot be read.
    """
    if isinstance(source, (str, Path)):
        return _read_path(Path(source), max_bytes=max_bytes)
    if isinstance(source, bytes):
        held = source
        header = parse_header(
            lambda offset, length: held[offset : offset + length],
            name=name or "the data",
            file_bytes=len(held) if file_bytes is None else file_bytes,
            first_bytes=_FIRST_FILE_BYTES,
            max_bytes=max_bytes,
        )
    else:
        header = parse_header(
            source,
            name=name or "the model",
            file_bytes=file_bytes,
            first_bytes=first_bytes or FIRST_RANGE_BYTES,
            max_bytes=max_bytes,
        )
    if header.split_count > 1:
        note = f"only part {header.split_no + 1} of {header.split_count} was read"
        header = replace(header, notes=(*header.notes, note))
    return header


def _read_path(path: Path, *, max_bytes: int) -> GgufHeader:
    first = _read_one(path, max_bytes=max_bytes)
    if first.split_count == 1:
        return first
    if first.split_no != 0:
        start = _part_path(path, first.split_no, 0, first.split_count)
        raise GgufError(
            f"{path.name!r} is part {first.split_no + 1} of {first.split_count} of a split file",
            hint=f"Give the first part{f', {start.name!r}' if start else ''}.",
        )
    parts = [first]
    for number in range(1, first.split_count):
        part_path = _part_path(path, 0, number, first.split_count)
        if part_path is None:
            raise GgufError(
                f"{path.name!r} has {first.split_count} parts but not the name of a part",
                hint="Rename it to NAME-00001-of-0000N.gguf, as it was published.",
            )
        if not part_path.exists():
            raise GgufError(
                f"part {number + 1} of {first.split_count} is missing: {part_path.name!r}",
                hint="Download all parts into one folder.",
            )
        part = _read_one(part_path, max_bytes=max_bytes)
        if (part.split_no, part.split_count) != (number, first.split_count):
            raise GgufError(
                f"{part_path.name!r} says it is part {part.split_no + 1} of {part.split_count}",
                hint="Parts of different files are mixed: download them again.",
            )
        parts.append(part)
    return _join(parts, path.name)


def _read_one(path: Path, *, max_bytes: int) -> GgufHeader:
    try:
        if path.exists() and not path.is_file():
            raise FileProblemError(
                f"{str(path)!r} is not a file", hint="Give the path of a .gguf file."
            )
        with path.open("rb") as file:
            return parse_header(
                lambda offset, length: _read_at(file, offset, length),
                name=path.name,
                file_bytes=path.stat().st_size,
                first_bytes=_FIRST_FILE_BYTES,
                max_bytes=max_bytes,
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileProblemError(
            f"cannot read {str(path)!r}: {reason}", hint="Check the path and its permissions."
        ) from error


def _read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _part_path(path: Path, current: int, wanted: int, count: int) -> Path | None:
    """Name of another part (`-00002-of-00003.gguf`, llama.cpp `llama_split_path`)."""
    suffix = f"-{current + 1:05d}-of-{count:05d}.gguf"
    if not path.name.endswith(suffix):
        return None
    stem = path.name.removesuffix(suffix)
    return path.with_name(f"{stem}-{wanted + 1:05d}-of-{count:05d}.gguf")


def _join(parts: list[GgufHeader], name: str) -> GgufHeader:
    first = parts[0]
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise GgufError(f"{name!r}: the same tensor is in more than one part", hint=AGAIN)
    expected = first.metadata.get("split.tensors.count")
    if isinstance(expected, int) and expected != len(tensors):
        raise GgufError(
            f"{name!r}: {len(tensors)} tensors in all parts, {expected} expected", hint=AGAIN
        )
    return replace(
        first,
        tensors=tensors,
        header_bytes=sum(part.header_bytes for part in parts),
        data_bytes=sum(part.data_bytes for part in parts),
        file_bytes=sum(part.file_bytes or 0 for part in parts),
        data_missing_bytes=sum(part.data_missing_bytes or 0 for part in parts),
    )

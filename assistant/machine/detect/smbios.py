"""The memory devices of a raw SMBIOS table, for systems where no one parsed it before.

DMTF DSP0134, section 7.18 (type 17, Memory Device). Offsets in the structure: 0x0A data
width, 0x0C size, 0x10 device locator, 0x11 bank locator, 0x12 memory type, 0x15 speed,
0x1C extended size, 0x20 configured speed, 0x54 and 0x58 speeds beyond 65,535 MT/s (not
needed yet). Windows hands the table out (`GetSystemFirmwareTable`), Linux to root only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY_DEVICE: Final = 17
_END_OF_TABLE: Final = 127
_HEADER_BYTES: Final = 4
_MOST_STRUCTURES: Final = 4096
_TYPES: Final = {
    0x12: "DDR",
    0x13: "DDR2",
    0x18: "DDR3",
    0x1A: "DDR4",
    0x1B: "LPDDR",
    0x1C: "LPDDR2",
    0x1D: "LPDDR3",
    0x1E: "LPDDR4",
    0x22: "DDR5",
    0x23: "LPDDR5",
}


def memory_devices(table: bytes) -> list[dict[str, str]]:
    """Return the memory devices with the field names of the udev database.

    A damaged table gives the devices before the damage.
    """
    found = []
    for kind, body, strings in _structures(table):
        if kind == _MEMORY_DEVICE:
            found.append(_memory_device(body, strings))
    return found


def _structures(table: bytes) -> Iterator[tuple[int, bytes, list[str]]]:
    """Yield (type, formatted part, strings) of each structure of a table."""
    position = 0
    for _ in range(_MOST_STRUCTURES):
        if position + _HEADER_BYTES > len(table):
            return
        kind, length = table[position], table[position + 1]
        end = table.find(b"\0\0", position + length)
        if length < _HEADER_BYTES or end < 0 or kind == _END_OF_TABLE:
            return
        texts = table[position + length : end].split(b"\0")
        strings = [text.decode("latin-1").strip() for text in texts]
        yield kind, table[position : position + length], strings
        position = end + 2


def _memory_device(body: bytes, strings: list[str]) -> dict[str, str]:
    def number(offset: int, size: int) -> int:
        return int.from_bytes(body[offset : offset + size], "little")

    def text(offset: int) -> str:
        index = number(offset, 1)
        return strings[index - 1] if 0 < index <= len(strings) else ""

    size = number(0x0C, 2)
    if size == 0x7FFF:
        size_bytes = (number(0x1C, 4) & 0x7FFF_FFFF) << 20
    elif size == 0xFFFF:
        size_bytes = 0
    else:
        size_bytes = (size & 0x7FFF) << (10 if size & 0x8000 else 20)
    return {
        "SIZE": str(size_bytes),
        "DATA_WIDTH": str(number(0x0A, 2)),
        "LOCATOR": text(0x10),
        "BANK_LOCATOR": text(0x11),
        "TYPE": _TYPES.get(number(0x12, 1), ""),
        "SPEED_MTS": str(number(0x15, 2)),
        "CONFIGURED_SPEED_MTS": str(number(0x20, 2)),
    }

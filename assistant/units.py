"""Byte units, and the few ways this project writes and reads amounts.

Memory is shown in GiB (2**30), downloads and files in GB (10**9), always with the unit.
"""

from __future__ import annotations

import re
from typing import Final

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
KB: Final = 1000
MB: Final = 1000**2
GB: Final = 1000**3

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmgt]i?b?|b)?", re.IGNORECASE)
_BINARY: Final = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": 1024**4}
_DECIMAL: Final = {"": 1, "k": KB, "m": MB, "g": GB, "t": 1000**4}


def pad(value: int, multiple: int) -> int:
    """Return `value` rounded up to a multiple of `multiple`."""
    return -(-value // multiple) * multiple


def gib(size_bytes: float) -> str:
    """Return a memory amount as text in GiB: `10.6 GiB`; under 0.1 GiB in MiB."""
    if abs(size_bytes) < 0.095 * GIB:
        return f"{size_bytes / MIB:.0f} MiB"
    return f"{size_bytes / GIB:,.1f} GiB"


def gb(size_bytes: float) -> str:
    """Return a download or file size as text in GB: `6.6 GB`; under 0.1 GB in MB."""
    if abs(size_bytes) < 0.095 * GB:
        return f"{size_bytes / MB:.0f} MB"
    return f"{size_bytes / GB:,.1f} GB"


def tokens(count: int) -> str:
    """Return a context length as people write it: `16k` for 16,384, else `1,500`."""
    if count >= KIB and count % KIB == 0:
        return f"{count // KIB}k"
    return f"{count:,}"


def parse_size(text: str, *, binary: bool) -> int:
    """Return the bytes in text such as `8GB` or `512 MiB`.

    `binary` says what a bare GB means: True for memory (a card sold as 8 GB has 8 GiB),
    False for files. `GiB` is always 2**30.

    Raises:
        ValueError: the text is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    unit = (match["unit"] or "b").lower()
    prefix = unit.rstrip("b").rstrip("i")
    table = _BINARY if binary or "i" in unit else _DECIMAL
    return round(float(match["number"]) * table[prefix])

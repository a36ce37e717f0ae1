"""Reading small kernel files without ever raising.

Everything under /proc and /sys is read through here: a file that is missing, forbidden,
too long or not text gives None, and `why_unreadable` says which of these it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_READ_LIMIT: Final = 4 << 20
_MAX_COUNT: Final = 1 << 62
_LONGEST_NUMBER: Final = 24


def read_bytes(path: Path, *, limit: int = _READ_LIMIT) -> bytes | None:
    """Return at most `limit` bytes of a file, or None when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(limit)
    except (OSError, ValueError):
        return None


def read_text(path: Path, *, limit: int = _READ_LIMIT) -> str | None:
    """Return the stripped text of a file, or None when it cannot be read.

    Bytes that are not UTF-8 are replaced; NUL bytes (device tree strings) are dropped.
    """
    data = read_bytes(path, limit=limit)
    if data is None:
        return None
    return data.decode("utf-8", "replace").replace("\0", " ").strip()


def parse_count(text: str | None) -> int | None:
    """Return a non-negative decimal or 0x number, or None when the text is something else."""
    if not text:
        return None
    word = text.split()[0] if text.split() else ""
    if not word.isascii() or len(word) > _LONGEST_NUMBER:
        return None
    try:
        value = int(word, 16) if word.lower().startswith("0x") else int(word)
    except ValueError:
        return None
    return value if 0 <= value < _MAX_COUNT else None


def read_count(path: Path) -> int | None:
    """Return the non-negative number a file holds, or None."""
    return parse_count(read_text(path, limit=256))


def list_directory(path: Path, pattern: str = "*") -> list[Path]:
    """Return the entries of a folder in natural order (card2 before card10), or []."""
    try:
        return sorted(path.glob(pattern), key=lambda entry: (len(entry.name), entry.name))
    except (OSError, ValueError):
        return []


def exists(path: Path) -> bool:
    """Return whether the path can be seen."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def why_unreadable(path: Path) -> str:
    """Return the reason a file could not be read, as a phrase."""
    try:
        with path.open("rb") as stream:
            stream.read(1)
    except FileNotFoundError:
        return f"{_shown(path)} does not exist"
    except PermissionError:
        return f"no permission to read {_shown(path)}"
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        return f"{_shown(path)} cannot be read ({reason})"
    return f"{_shown(path)} holds nothing that could be understood"


def first_line(text: str) -> str:
    """Return the first line of a text, shortened: tools explain themselves at length."""
    lines = text.strip().splitlines()
    return lines[0][:200] if lines else ""


def pairs(text: str, separator: str) -> Iterable[tuple[str, str]]:
    """Yield the (key, value) of each line that has the separator, both stripped."""
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if found:
            yield key.strip(), value.strip()


def _shown(path: Path) -> str:
    """Return the path from the first kernel or system folder on, without a fixture's root."""
    parts = path.parts
    for index, part in enumerate(parts):
        if part in ("proc", "sys", "dev", "etc", "run", "usr"):
            return "/" + "/".join(parts[index:])
    return str(path)

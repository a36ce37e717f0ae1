"""Interrupted downloads in the models folder of a server on this computer.

While Ollama 0.33 downloads a blob it keeps `blobs/sha256-HEX-partial`, which has the size of the
whole from the start, and one `sha256-HEX-partial-N` a part: JSON with `Offset`, `Size` and
`Completed` (server/download.go). The next pull goes on from there; a part file that is empty or
damaged makes every pull of the blob fail with `EOF` until it is removed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PART: Final = re.compile(r"(sha256-[0-9a-f]{64})-partial-\d+")
_LARGEST_PART_FILE: Final = 4096
SMALL_LAYERS_BYTES: Final = 256_000
"""What a pull holds beside the model file, at most."""


@dataclass(frozen=True, slots=True)
class PartialDownload:
    """One blob that is not complete. `damaged` are part files that keep it from going on."""

    digest: str
    total_bytes: int
    completed_bytes: int
    files: tuple[Path, ...]
    damaged: tuple[Path, ...] = ()


def read_partials(models_folder: Path) -> tuple[PartialDownload, ...]:
    """Return the interrupted downloads in a models folder; none where it cannot be read."""
    try:
        names = sorted(path.name for path in (models_folder / "blobs").iterdir())
    except OSError:
        return ()
    blobs: dict[str, list[Path]] = {}
    for name in names:
        match = _PART.fullmatch(name)
        if match:
            blobs.setdefault(match[1], []).append(models_folder / "blobs" / name)
    return tuple(_partial(blob, parts) for blob, parts in blobs.items())


def kept_bytes(partials: tuple[PartialDownload, ...], pull_bytes: int) -> int:
    """Return how much of a pull of that size is on disk already, 0 when nothing is.

    A pull is its model file and a few small layers (licence, template, parameters: 62 kB at
    most in the catalog). The file is known by its size here, because its digest is not known
    before the registry is asked. What is damaged does not count: it is fetched again.
    """
    return max(
        (
            partial.completed_bytes
            for partial in partials
            if 0 <= pull_bytes - partial.total_bytes <= SMALL_LAYERS_BYTES and not partial.damaged
        ),
        default=0,
    )


def _partial(blob: str, parts: list[Path]) -> PartialDownload:
    total = completed = 0
    damaged: list[Path] = []
    for part in parts:
        found = _read_part(part)
        if found is None:
            damaged.append(part)
        else:
            total += found[0]
            completed += min(found)
    whole = parts[0].with_name(f"{blob}-partial")
    files = (whole, *parts) if whole.exists() else tuple(parts)
    return PartialDownload(
        blob.replace("-", ":", 1), total, completed, tuple(files), tuple(damaged)
    )


def _read_part(path: Path) -> tuple[int, int] | None:
    """Return a part's size and what of it is there; None when the file is damaged."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST_PART_FILE))
        size, completed = found["Size"], found["Completed"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(size, int) or not isinstance(completed, int) or size < 0 or completed < 0:
        return None
    return size, completed

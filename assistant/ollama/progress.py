"""What a pull says of itself, line by line, as one running record.

A real server sends a line about every 60 ms, one layer at a time, without an overall total. It
leaves `completed` out while it is 0, may leave out a layer's last line, and says nothing at all
about layers that are on disk already or very small; a layer that another one follows is
therefore counted as whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

SUCCESS: Final = "success"
_AFTER_THE_LAYERS: Final = frozenset({"verifying sha256 digest", "writing manifest", SUCCESS})


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """One blob: its digest, and how many bytes of it are there."""

    digest: str
    total_bytes: int
    completed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PullProgress:
    """A pull so far. `status` is the server's own word; layers are in the order they came."""

    status: str = ""
    layers: tuple[LayerProgress, ...] = ()
    is_done: bool = False

    @property
    def completed_bytes(self) -> int:
        """Bytes that are there, of all layers seen so far."""
        return sum(layer.completed_bytes for layer in self.layers)

    @property
    def total_bytes(self) -> int:
        """Bytes of all layers seen so far; the real total may be more."""
        return sum(layer.total_bytes for layer in self.layers)


def advance(progress: PullProgress, line: Mapping[str, Any]) -> PullProgress:
    """Return the progress after one line of `/api/pull`; what a line lacks is left as it was."""
    said = line.get("status")
    status = said if isinstance(said, str) else progress.status
    digest, total = line.get("digest"), _count(line.get("total"))
    if not isinstance(digest, str) or total is None:
        finished = said in _AFTER_THE_LAYERS
        layers = tuple(map(_whole, progress.layers)) if finished else progress.layers
        return PullProgress(status, layers, progress.is_done or said == SUCCESS)
    completed = min(_count(line.get("completed")) or 0, total)
    known = [layer.digest for layer in progress.layers]
    current = LayerProgress(digest, total, completed)
    if digest in known:
        index = known.index(digest)
        layers = (*progress.layers[:index], current, *progress.layers[index + 1 :])
    else:
        layers = (*map(_whole, progress.layers), current)
    return PullProgress(status, layers, progress.is_done)


def _whole(layer: LayerProgress) -> LayerProgress:
    return replace(layer, completed_bytes=layer.total_bytes)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

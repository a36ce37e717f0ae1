"""Progress of downloads in a terminal: bytes, speed, time left, for the whole and per layer.

The door to rich's progress bars. Where there is no terminal nothing is drawn; the lines that say
what happens come from `cli/setup.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from assistant.cli.output import Output, text_width

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from assistant.ollama.progress import PullProgress

_PER_SECOND: Final = 8


class ShowPull(Protocol):
    """Shows the progress of the pull called `label`; `total` is its size, if known."""

    def __call__(self, label: str, pull: PullProgress, total: int | None) -> None:
        """Show it."""


@contextmanager
def pull_bars(out: Output) -> Iterator[ShowPull]:
    """Give a function that shows pulls while the block runs; bars vanish when it ends."""
    if not out.shows_progress:
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(
        stderr=True,
        width=text_width(),
        no_color=not out.progress_color,
        highlight=False,
        legacy_windows=False,
    )
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=False,  # a second thread that draws may leave a bar behind among the lines
        expand=True,
    )
    with progress:
        yield _Bars(progress)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._whole: dict[str, TaskID] = {}
        self._layers: dict[str, dict[str, TaskID]] = {}
        self._drawn_at = 0.0

    def __call__(self, label: str, pull: PullProgress, total: int | None) -> None:
        progress = self._progress
        if label not in self._whole:
            self._whole[label] = progress.add_task(label, total=total)
            self._layers[label] = {}
        known = max(total or 0, pull.total_bytes) or None
        progress.update(self._whole[label], completed=pull.completed_bytes, total=known)
        layers = self._layers[label]
        for layer in pull.layers:
            task = layers.get(layer.digest)
            if task is None and layer.completed_bytes < layer.total_bytes:
                short = layer.digest.partition(":")[2][:8] or layer.digest[:8]
                task = progress.add_task(f"  layer {short}", total=layer.total_bytes)
                layers[layer.digest] = task
            if task is not None:
                progress.update(task, completed=layer.completed_bytes)
                done = layer.completed_bytes >= layer.total_bytes
                progress.update(task, visible=not done)
        if pull.is_done:
            progress.update(self._whole[label], visible=False)
        if pull.is_done or time.monotonic() - self._drawn_at >= 1 / _PER_SECOND:
            self._drawn_at = time.monotonic()
            progress.refresh()


def _nothing(label: str, pull: PullProgress, total: int | None) -> None:
    """Show nothing: there is no terminal."""

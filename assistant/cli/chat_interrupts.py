"""Ctrl-C held back while something must not be cut in half, such as an escape code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class HeldInterrupts:
    """Within the block, Ctrl-C raises KeyboardInterrupt only outside `held` blocks.

    It is raised at the end of a `held` block during which it came. In a thread other than the
    main one nothing is changed: Ctrl-C does not reach it.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._came = False
        self._before: Any = None
        self._installed = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._take)
            self._installed = True
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)
            self._installed = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold Ctrl-C back while the block runs.

        Raises:
            KeyboardInterrupt: it came meanwhile.
        """
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._came and not self._depth:
            self._came = False
            raise KeyboardInterrupt

    def _take(self, _signal: int, _frame: FrameType | None) -> None:
        if self._depth:
            self._came = True
        else:
            raise KeyboardInterrupt

"""One answer on the screen, from the wait for its first word to its last line.

Three phases follow each other: waiting, said after 0.3 s; thinking, dim and then folded into one
line; the text, as Markdown. A second thread counts the seconds and shows what came since the last
drawing; drawing takes at most a fifth of the time, however long the answer gets.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, Self

from assistant.cli.chat_interrupts import HeldInterrupts
from assistant.cli.chat_live import LiveLines, Size
from assistant.cli.chat_screen import BLANK, Layout, Line
from assistant.cli.chat_stream import MarkdownStream, harmless
from assistant.cli.output import PipeClosedError
from assistant.errors import AssistantError

if TYPE_CHECKING:
    from types import TracebackType

WAIT_SHOWN_S: Final = 0.3
_TICK_S: Final = 0.1
_REST: Final = 4.0
"""After a drawing the pause is this many times as long as the drawing took."""
_LONGEST_PAUSE_S: Final = 0.25
_THINKING_ROWS: Final = 6
_THOUGHT_SHARE: Final = 2000
"""Characters; where the part of a long thinking begins moves by this much at a time."""
_THINKING_INDENT: Final = "  "


class AnswerScreen:
    """Shows one answer; a context manager around its arrival.

    `text` and `thinking` take its pieces. `width` is asked before each drawing: what is not final
    is laid out anew when the window changes its size. `waiting_for` says in a few words what the
    wait is for, and is asked once there is one, in the other thread; `keep_thinking` leaves the
    thinking on the screen instead of folding it.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        size: Callable[[], Size],
        *,
        width: Callable[[], int],
        color: bool,
        waiting_for: Callable[[], str],
        keep_thinking: bool = False,
        reflows: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._width = width
        self._layout = Layout(width=width(), color=color)
        self._stream = MarkdownStream(self._layout)
        cut = self._layout.plain("...", dim=True)[0]
        self._lines = LiveLines(write, size, cut=cut, reflows=reflows)
        self._clock = clock
        self._waiting_for = waiting_for
        self._keep_thinking = keep_thinking
        self._phase: Literal["waiting", "thinking", "text"] = "waiting"
        self._thoughts = ""
        self._wait = ""
        self._notes: list[str] = []
        self._began = clock()
        self._thinking_began = self._began
        self._next_drawing = 0.0
        self._stale = False
        self._lock = threading.RLock()
        self._interrupts = HeldInterrupts()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick_on, daemon=True)

    def __enter__(self) -> Self:
        self._interrupts.__enter__()
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._ended.set()
        self._ticker.join(_TICK_S)  # it may be asking a server that does not answer
        self._interrupts.__exit__(kind, error, traceback)
        self._finish()

    @property
    def is_empty(self) -> bool:
        """True when nothing of the answer was shown, or is left of it."""
        return self._phase == "waiting" and not self._notes

    def thinking(self, piece: str) -> None:
        """Take a piece of what the model thinks."""
        with self._interrupts.held(), self._lock:
            if self._phase == "waiting":
                self._phase = "thinking"
                self._thinking_began = self._clock()
            self._thoughts += harmless(piece)
            self._draw_if_due()

    def text(self, piece: str) -> None:
        """Take a piece of the answer."""
        with self._interrupts.held(), self._lock:
            if self._phase != "text":
                self._layout.resize(self._width())
                self._lines.show(self._folded())
                self._phase = "text"
            self._stream.feed(piece)
            self._draw_if_due()

    def note(self, text: str) -> None:
        """Say something about the turn itself: above the answer, or below what came of it."""
        with self._interrupts.held(), self._lock:
            self._layout.resize(self._width())
            if self._phase == "waiting":
                self._lines.show([*self._layout.plain(text, dim=True), BLANK])
            else:
                self._notes.append(text)

    def _finish(self) -> None:
        """Write what is not final yet; the cursor is at the beginning of a line then."""
        self._layout.resize(self._width())
        final = self._stream.finish() if self._phase == "text" else self._folded()
        for note in self._notes:
            final += [BLANK, *self._layout.plain(note, dim=True)]
        self._lines.show(final)

    def _folded(self) -> list[Line]:
        """Return what stays of the thinking."""
        if self._phase != "thinking":
            return []
        seconds = self._clock() - self._thinking_began
        line = self._layout.plain(f"thought for {duration_text(seconds)}", dim=True)
        if self._keep_thinking:
            return [*self._thought_lines(), *line, BLANK]
        return [*line, BLANK]

    def _thought_lines(self, *, since: int = 0) -> list[Line]:
        return self._layout.plain(self._thoughts[since:], dim=True, indent=_THINKING_INDENT)

    def _last_thoughts(self) -> list[Line]:
        """Return the last rows of the thinking; of a long one only the end is laid out."""
        since = max(0, len(self._thoughts) // _THOUGHT_SHARE - 1) * _THOUGHT_SHARE
        return self._thought_lines(since=since)[-_THINKING_ROWS:]

    def _tick_on(self) -> None:
        # What cannot be asked or written here meets the main thread as well, which says so.
        with contextlib.suppress(AssistantError, PipeClosedError):
            while not self._ended.wait(_TICK_S):
                if not self._wait and self._clock() - self._began >= WAIT_SHOWN_S:
                    self._wait = self._waiting_for()
                with self._lock:
                    if self._ended.is_set():
                        return
                    is_old = self._stale or self._layout.width != self._width()
                    if self._phase in {"waiting", "thinking"} or is_old:
                        self._draw()

    def _draw_if_due(self) -> None:
        if self._clock() >= self._next_drawing:
            self._draw()
        else:
            self._stale = True

    def _draw(self) -> None:
        began = self._clock()
        self._layout.resize(self._width())
        if self._phase == "waiting":
            self._lines.show((), self._waiting_line(began))
        elif self._phase == "thinking":
            thought = began - self._thinking_began
            said = f"thinking  {duration_text(thought)}" if thought >= 1 else "thinking"
            label = self._layout.plain(said, dim=True)
            self._lines.show((), [*label, *self._last_thoughts()])
        elif self._phase == "text":
            final, live = self._stream.take()
            self._lines.show(final, live)
        self._stale = False
        ended = self._clock()
        self._next_drawing = ended + min((ended - began) * _REST, _LONGEST_PAUSE_S)

    def _waiting_line(self, now: float) -> list[Line]:
        if not self._wait:
            return []
        waited = now - self._began
        said = f"{self._wait}  {duration_text(waited)}" if waited >= 1 else self._wait
        with_key = f"{said}  Ctrl-C stops"
        shown = with_key if len(with_key) <= self._layout.width else said
        return self._layout.plain(shown, dim=True)[:1]


def duration_text(seconds: float) -> str:
    """Return seconds as people say them: `under 1 s`, `4 s`, `1 min 20 s`."""
    if seconds < 1:
        return "under 1 s"
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""Plain mode: for screen readers and terminals that know no cursor movement.

Text is only ever appended, sentence by sentence, broken between words; a table comes when it is
whole. Each speaker is named, nothing is drawn over, nothing spins. Lines are typed with the
terminal's own editing (readline's where Python has it).
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Self

from assistant.cli.chat_answer import duration_text
from assistant.cli.chat_commands import ends_in_backslash
from assistant.cli.chat_interrupts import HeldInterrupts
from assistant.cli.chat_screen import Layout, columns_of
from assistant.cli.chat_stream import MarkdownStream, harmless
from assistant.cli.output import PipeClosedError
from assistant.errors import AssistantError

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

    from assistant.cli.chat_history import TypedHistory
    from assistant.cli.chat_screen import Line

SPEAKER: Final = "Assistant: "
PROMPT: Final = "You: "
_GOES_ON: Final = "... "
_WAIT_SAID_AFTER_S: Final = 2.0
_TIMER_ENDS_S: Final = 0.1
_UNWRAPPED: Final = 100_000
_TOKENS: Final = re.compile(r"\n|[^\S\n]+|[^\s。！？]+[。！？]*|[。！？]+")
_SENTENCE_END: Final = re.compile(r"(?<!\d)[.!?:]['\")\]]*\s|[。！？]|\n")
_UNSETTLED: Final = re.compile(r"[*_`~\[|<]")
"""Marks that may turn into something else when more text follows."""


class PlainAnswer:
    """Shows one answer by appending; the same methods as `assistant.cli.chat_answer`."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        width: Callable[[], int],
        waiting_for: Callable[[], str],
        keep_thinking: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._width = width
        self._column = 0
        self._layout = Layout(width=_UNWRAPPED, color=False, table_width=width())
        self._stream = MarkdownStream(self._layout, closes=False)
        self._clock = clock
        self._keep_thinking = keep_thinking
        self._thoughts = ""
        self._thinking_began: float | None = None
        self._begun = False
        self._said = ""
        self._notes: list[str] = []
        self._interrupts = HeldInterrupts()
        self._lock = threading.RLock()
        self._timer = threading.Timer(_WAIT_SAID_AFTER_S, self._say_waiting, (waiting_for,))
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._interrupts.__enter__()
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._timer.join(_TIMER_ENDS_S)  # it may be asking a server that does not answer
        self._interrupts.__exit__(kind, error, traceback)
        if self._begun:
            self._append(self._stream.finish(), ())
            if self._said:
                self._put("\n")
        else:
            self._end_thinking()
        for note in self._notes:
            self._put(f"{note}\n")

    @property
    def is_empty(self) -> bool:
        """True when nothing of an answer was shown."""
        return not self._begun

    def thinking(self, piece: str) -> None:
        """Take a piece of what the model thinks; it is said once that it does."""
        with self._interrupts.held(), self._lock:
            if self._thinking_began is None:
                self._thinking_began = self._clock()
                self._put("The model is thinking.\n")
            self._thoughts += harmless(piece)

    def text(self, piece: str) -> None:
        """Take a piece of the answer."""
        with self._interrupts.held(), self._lock:
            if not self._begun:
                self._end_thinking()
                self._put(SPEAKER)
                self._begun = True
            self._layout.resize(_UNWRAPPED, table_width=self._width())
            self._stream.feed(piece)
            self._append(*self._stream.take())

    def note(self, text: str) -> None:
        """Say something about the turn itself."""
        with self._interrupts.held(), self._lock:
            if self._begun:
                self._notes.append(text)
            else:
                self._put(f"{text}\n")

    def _append(self, final: Sequence[Line], live: Sequence[Line]) -> None:
        """Write what was not said yet: all that is final, and whole sentences of the rest."""
        lines = (*final, *live)
        text = "\n".join(line.text for line in lines)
        settled = sum(len(line.text) + 1 for line in final)
        if not live:
            text += "\n" * bool(final)
        if not text.startswith(self._said):  # what was said looks different now: say it again
            self._put("\n")
            self._said = ""
        rest = text[settled:]
        doubt = _UNSETTLED.search(rest)
        sure = rest[: doubt.start()] if doubt else rest
        before_table = itertools.takewhile(lambda line: not line.is_table, live)
        sure = sure[: sum(len(line.text) + 1 for line in before_table)]
        ends = [match.end() for match in _SENTENCE_END.finditer(sure)]
        until = max(settled + (ends[-1] if ends else 0), len(self._said))
        start, at, told = len(self._said), 0, ""
        for line in lines:
            end = at + len(line.text) + 1
            piece = text[max(at, start) : min(end, until)]
            if piece and line.is_table and self._column and at >= start:
                told += self._wrapped("\n")  # a table never begins beside the speaker's name
            told += self._wrapped(piece, wraps=not line.is_fixed)
            at = end
        if told:
            self._write(told)
        self._said = text[settled:until]

    def _put(self, text: str) -> None:
        self._write(self._wrapped(text))

    def _wrapped(self, text: str, *, wraps: bool = True) -> str:
        """Return what to write next; where it `wraps`, a full line ends between two words."""
        width, written = self._width(), []
        for each in _TOKENS.findall(text):
            size = columns_of(each)
            if each == "\n":
                self._column = 0
            elif wraps and self._column and self._column + size > width and not each.isspace():
                written.append("\n")
                self._column = size
            else:
                self._column += size
            written.append(each)
        return "".join(written)

    def _end_thinking(self) -> None:
        if self._thinking_began is None:
            return
        if self._keep_thinking:
            self._put(f"Thinking: {self._thoughts.strip()}\n")
        self._put(f"Thought for {duration_text(self._clock() - self._thinking_began)}.\n")
        self._thinking_began = None

    def _say_waiting(self, waiting_for: Callable[[], str]) -> None:
        # What cannot be asked or written here meets the main thread as well, which says so.
        with contextlib.suppress(AssistantError, PipeClosedError):
            said = waiting_for()
            with self._lock:
                has_ended = self._begun or self._timer.finished.is_set()
                if not has_ended and self._thinking_began is None:
                    self._put(f"{said[:1].upper()}{said[1:]}; Ctrl-C stops.\n")


class PlainReader:
    """Reads messages with `input`.

    Where Python has readline, up and down go back to earlier lines of `history`.
    """

    def __init__(self, history: TypedHistory) -> None:
        self._history = history
        self._lines = _readline()

    def read(self, default: str = "") -> str:
        r"""Return what is typed; a line that ends in `\` goes on in the next.

        Raises:
            EOFError: Ctrl-D on an empty line.
            KeyboardInterrupt: Ctrl-C.
        """
        lines: list[str] = []
        goes_on = True
        self._offer_earlier()
        self._fill_in(default.replace("\n", " "))
        try:
            while goes_on:
                line = input(_GOES_ON if lines else PROMPT)
                self._fill_in("")
                goes_on = ends_in_backslash(line)
                lines.append(line[:-1] if goes_on else line)
        finally:
            self._fill_in("")
        text = "\n".join(lines)
        self._history.add(text)
        return text

    def _offer_earlier(self) -> None:
        """Let the arrow keys go back to what is in the history now, and to nothing else."""
        if self._lines is not None:
            self._lines.clear_history()
            for text in self._history.lines:
                self._lines.add_history(text.replace("\n", " "))

    def _fill_in(self, text: str) -> None:
        """Let the next line begin with `text`, to be changed."""
        lines = self._lines
        if lines is not None:
            lines.set_startup_hook((lambda: lines.insert_text(text)) if text else None)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # not every Python has it
        return None
    readline.set_auto_history(False)
    return readline

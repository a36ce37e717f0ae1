"""What was typed in earlier chats, for the up arrow, with the conversation that it was typed in.

The file has one JSON value a line, its owner's alone: `{"in": 7, "text": "/search rent"}`. A bare
string is a line of no known conversation.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assistant.errors import FileProblemError
from assistant.files import OWNER_ONLY, write_atomically

FILE_NAME: Final = "typed.jsonl"
MOST_KEPT: Final = 1000
LONGEST_KEPT: Final = 8000
"""Characters; a longer line is remembered while the chat lasts, and not written to the file."""


@dataclass(frozen=True, slots=True)
class _Typed:
    """A line, and the number of the conversation it was typed in where that is known."""

    text: str
    conversation: int | None = None


class TypedHistory:
    """The lines typed, oldest first in `lines`; without a path they are kept in memory alone.

    `conversation` gives the number of the one that is open. A file that cannot be read or written
    is no reason to disturb a chat: it is as if there were none.
    """

    def __init__(
        self, path: Path | None, *, conversation: Callable[[], int | None] = lambda: None
    ) -> None:
        self._path = path
        self._conversation = conversation
        self._typed = self._read()
        self._unwritten: list[_Typed] = []

    @property
    def lines(self) -> list[str]:
        """What was typed; the same line twice in a row is here once."""
        lines: list[str] = []
        for typed in self._typed:
            if not lines or lines[-1] != typed.text:
                lines.append(typed.text)
        return lines

    def add(self, text: str) -> None:
        """Remember what was typed, unless it was typed just before."""
        typed = self._remembered(text, unwritten=len(text) > LONGEST_KEPT)
        if typed is None or self._path is None or len(text) > LONGEST_KEPT:
            return
        with contextlib.suppress(OSError, UnicodeError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self._path, flags, OWNER_ONLY)
            with os.fdopen(descriptor, "ab") as file:
                file.write(_line(typed))

    def keep_unsent(self, text: str) -> None:
        """Remember a draft that was cleared, while the chat lasts; it is not written."""
        self._remembered(text, unwritten=True)

    def forget(
        self, texts: Collection[str] | None = None, *, conversation: int | None = None
    ) -> None:
        """Forget these lines and all typed in a conversation; without either, all there are.

        What another chat has typed meanwhile is kept.

        Raises:
            FileProblemError: the file cannot be written.
        """
        is_all = texts is None and conversation is None
        written = self._read()
        gone = {text.strip() for text in texts or ()}
        if conversation is not None:
            typed_there = (t for t in (*written, *self._typed) if t.conversation == conversation)
            gone |= {typed.text.strip() for typed in typed_there}
        kept = [t for t in written if not is_all and t.text.strip() not in gone]
        self._unwritten = [t for t in self._unwritten if not is_all and t.text.strip() not in gone]
        self._typed = kept if self._path is None else [*kept, *self._unwritten]
        if self._path is not None and self._path.exists():
            write_atomically(self._path, _file_text(kept))

    def _remembered(self, text: str, *, unwritten: bool) -> _Typed | None:
        """Return the line as it is remembered, None where there is nothing new in it."""
        typed = _Typed(text, self._conversation())
        if not text.strip() or typed in self._typed[-1:]:
            return None
        self._typed.append(typed)
        if unwritten:
            self._unwritten.append(typed)
        return typed

    def _read(self) -> list[_Typed]:
        if self._path is None:
            return list(getattr(self, "_typed", ()))
        try:
            written = self._path.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return []
        lines: list[_Typed] = []
        for each in written:
            with contextlib.suppress(ValueError):
                typed = _typed(json.loads(each))
                if typed is not None:
                    lines.append(typed)
        if len(lines) > 2 * MOST_KEPT:
            lines = lines[-MOST_KEPT:]
            with contextlib.suppress(FileProblemError):
                write_atomically(self._path, _file_text(lines))
        return lines


def _typed(value: Any) -> _Typed | None:
    if isinstance(value, str):
        return _Typed(value)
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return None
    conversation = value.get("in")
    return _Typed(value["text"], conversation if isinstance(conversation, int) else None)


def _file_text(lines: Sequence[_Typed]) -> str:
    return b"".join(map(_line, lines)).decode("utf-8")


def _line(typed: _Typed) -> bytes:
    value: object = typed.text
    if typed.conversation is not None:
        value = {"in": typed.conversation, "text": typed.text}
    return json.dumps(value).encode("ascii") + b"\n"

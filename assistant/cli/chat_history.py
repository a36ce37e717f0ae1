"""What was typed in earlier chats, for the up arrow: one JSON string a line, its owner's alone."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from assistant.errors import FileProblemError
from assistant.files import OWNER_ONLY, write_atomically

FILE_NAME: Final = "typed.jsonl"
MOST_KEPT: Final = 1000
LONGEST_KEPT: Final = 8000
"""Characters; a pasted file is no line to go back to."""


class TypedHistory:
    """The lines typed, oldest first in `lines`; without a path they are kept in memory alone.

    A file that cannot be read or written is no reason to disturb a chat: it is as if there were
    none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.lines: list[str] = self._read()

    def add(self, text: str) -> None:
        """Remember what was typed, unless it was typed just before or is very long."""
        if not text.strip() or len(text) > LONGEST_KEPT or text == (self.lines or [""])[-1]:
            return
        self.lines.append(text)
        if self._path is None:
            return
        with contextlib.suppress(OSError, UnicodeError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self._path, flags, OWNER_ONLY)
            with os.fdopen(descriptor, "ab") as file:
                file.write(_line(text))

    def forget(self, texts: Collection[str] | None = None) -> None:
        """Forget these lines, or all; what another chat has typed meanwhile is kept.

        Raises:
            FileProblemError: the file cannot be written.
        """
        gone = None if texts is None else {text.strip() for text in texts}
        self.lines = [] if gone is None else [t for t in self._read() if t.strip() not in gone]
        if self._path is None or not self._path.exists():
            return
        write_atomically(self._path, b"".join(map(_line, self.lines)).decode("utf-8"))

    def _read(self) -> list[str]:
        if self._path is None:
            return list(getattr(self, "lines", ()))
        try:
            written = self._path.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return []
        lines: list[str] = []
        for each in written:
            with contextlib.suppress(ValueError):
                text = json.loads(each)
                if isinstance(text, str):
                    lines.append(text)
        if len(lines) > 2 * MOST_KEPT:
            lines = lines[-MOST_KEPT:]
            with contextlib.suppress(FileProblemError):
                write_atomically(self._path, b"".join(map(_line, lines)).decode("utf-8"))
        return lines


def _line(text: str) -> bytes:
    return json.dumps(text).encode("ascii") + b"\n"

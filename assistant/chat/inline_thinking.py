"""Thinking that a model writes into its answer, between tags: told apart from the text. Pure.

Ollama takes thinking out of the text for models whose template has it. Files from elsewhere
often have a plain template, and their answers begin with `<think>...</think>`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_OPEN: Final = ("<think>", "<thinking>")
_CLOSE: Final = ("</think>", "</thinking>")


class ThinkingSplitter:
    """Passes the pieces of an answer on as text or as thinking; call `end` after the last."""

    def __init__(self, on_text: Callable[[str], None], on_thinking: Callable[[str], None]) -> None:
        self._on_text, self._on_thinking = on_text, on_thinking
        self._held = ""
        self._state = "start"

    def add(self, piece: str) -> None:
        """Take a piece; what may be the beginning of a tag is held back until it is clear."""
        if self._state == "text":
            self._on_text(piece)
            return
        self._held += piece
        if self._state == "start":
            self._open()
        if self._state == "thinking":
            self._close()
        elif self._state == "after":
            self._begin_text(self._held)

    def end(self) -> None:
        """Pass on what was held back."""
        held, self._held = self._held, ""
        if held and self._state == "thinking":
            self._on_thinking(held)
        elif held.strip() or (held and self._state == "start"):
            self._on_text(held)

    def _open(self) -> None:
        begun = self._held.lstrip()
        tag = next((tag for tag in _OPEN if begun.startswith(tag)), None)
        if tag is not None:
            self._held, self._state = begun[len(tag) :], "thinking"
        elif not any(tag.startswith(begun) for tag in _OPEN):
            held, self._held, self._state = self._held, "", "text"
            self._on_text(held)

    def _close(self) -> None:
        ends = [(at, tag) for tag in _CLOSE if (at := self._held.find(tag)) >= 0]
        if ends:
            at, tag = min(ends)
            thought, rest = self._held[:at], self._held[at + len(tag) :]
            self._held, self._state = "", "after"
            if thought:
                self._on_thinking(thought)
            self._begin_text(rest)
            return
        safe = len(self._held) - _possible_tag(self._held)
        if safe:
            self._on_thinking(self._held[:safe])
            self._held = self._held[safe:]

    def _begin_text(self, text: str) -> None:
        """Begin the answer after its thinking, without the blank lines between them."""
        text = text.lstrip()
        self._held = ""
        if text:
            self._state = "text"
            self._on_text(text)


def _possible_tag(text: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a closing tag."""
    longest = min(len(text), max(map(len, _CLOSE)) - 1)
    return next(
        (n for n in range(longest, 0, -1) if any(tag.startswith(text[-n:]) for tag in _CLOSE)), 0
    )

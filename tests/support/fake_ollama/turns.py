"""What a model on the test server says: a list of turns, or anything with a `reply`.

Faults of the model itself are turns as well (`Refuse`, `Break`, `Hang`, `Garbage`).
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Piece = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """Text, in pieces of a few characters, then the end."""

    text: str
    thinking: str = ""
    prompt_eval_count: int | None = None
    done_reason: str = "stop"


@dataclass(frozen=True)
class Call:
    """One or more tool calls, whole in one line as Ollama sends them."""

    calls: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Refuse:
    """An error status instead of a reply."""

    status: int
    error: str


@dataclass(frozen=True)
class Break:
    """Some text, then an error line (`error`), or nothing more when it is None."""

    text: str = "It "
    error: str | None = "an error was encountered while running the model: unexpected EOF"


@dataclass(frozen=True)
class Hang:
    """Accepts the request and says nothing."""


@dataclass(frozen=True)
class Garbage:
    """Bytes that are no JSON."""


Turn = Say | Call | Refuse | Break | Hang | Garbage


class ChatModel(Protocol):
    """What answers chats for one model name."""

    def reply(self, request: dict[str, Any]) -> Turn | Iterator[Piece]:
        """Return a turn, or the message chunks and finally a chunk with `done`."""
        ...


@dataclass
class Script:
    """Plays its turns in order; the last one again when they are used up."""

    turns: Sequence[Turn | Callable[[dict[str, Any]], Turn]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def reply(self, request: dict[str, Any]) -> Turn:
        turn = self.turns[min(len(self.asked), len(self.turns) - 1)]
        self.asked.append(request)
        return turn if isinstance(turn, Turn) else turn(request)


def pieces_of(turn: Say | Call) -> Iterator[Piece]:
    """Yield the chunks of a turn: each with a `message`, the last one with `done`."""
    return _said(turn) if isinstance(turn, Say) else _called(turn)


def words_of(text: str) -> list[str]:
    """Return `text` cut as a tokenizer would: words and marks, with the space before them."""
    return re.findall(r" ?[^\W_]+| ?[^\w\s]|\s|_", text)


def _said(turn: Say) -> Iterator[Piece]:
    for part in words_of(turn.thinking):
        yield {"message": {"role": "assistant", "content": "", "thinking": part}}
    for part in words_of(turn.text):
        yield {"message": {"role": "assistant", "content": part}}
    counts = {} if turn.prompt_eval_count is None else {"prompt_eval_count": turn.prompt_eval_count}
    yield {"done": True, "done_reason": turn.done_reason, **counts}


_NUMBERS = itertools.count()


def _called(turn: Call) -> Iterator[Piece]:
    calls = [
        {"id": _call_id(), "function": {"index": i, "name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(turn.calls)
    ]
    yield {"message": {"role": "assistant", "content": "", "tool_calls": calls}}
    yield {"done": True, "done_reason": "stop"}


def _call_id() -> str:
    letters = random.Random(next(_NUMBERS))
    return "call_" + "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8))

"""An answer as it comes: collected, stored every few seconds, and kept when it breaks off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from assistant.chat.inline_thinking import ThinkingSplitter
from assistant.chat.records import Message

if TYPE_CHECKING:
    from assistant.chat.store import ConversationStore
    from assistant.ollama.chat import ChatReply

CHECKPOINT_S: Final = 5.0
"""How much of a slow answer a power cut may cost."""


@dataclass(slots=True)
class Draft:
    """The answer of one turn, which `store` gets when it is whole or will not be.

    `first_token_s` is the time from the start to the first piece, None before it came.
    """

    store: ConversationStore
    conversation_id: int
    model: str
    at: str
    on_text: Callable[[str], None] | None = None
    on_thinking: Callable[[str], None] | None = None
    started: float = field(default_factory=time.monotonic)
    first_token_s: float | None = None
    _splitter: ThinkingSplitter | None = None
    _text: list[str] = field(default_factory=list)
    _thinking: list[str] = field(default_factory=list)
    _stored: Message | None = None
    _stored_at: float = 0.0

    @property
    def has_begun(self) -> bool:
        """True when a part of the answer itself came."""
        return bool(self._text)

    def add(self, piece: str) -> None:
        """Take a piece of what the model writes, which may begin with its thinking in tags."""
        self._arrived()
        if self._splitter is None:
            self._splitter = ThinkingSplitter(self._add_text, self.add_thinking)
        self._splitter.add(piece)

    def _add_text(self, piece: str) -> None:
        self._text.append(piece)
        if self.on_text:
            self.on_text(piece)
        if time.monotonic() - self._stored_at >= CHECKPOINT_S:
            self._save(self._message(interrupted=True))

    def add_thinking(self, piece: str) -> None:
        """Take a piece of what the model thinks before it answers."""
        self._arrived()
        self._thinking.append(piece)
        if self.on_thinking:
            self.on_thinking(piece)

    def keep(self) -> Message:
        """Return what came as an interrupted answer, stored when there is any text."""
        self.end()
        message = self._message(interrupted=True)
        return self._save(message) if self._text else message

    def finish(self, reply: ChatReply, tokens: int | None) -> Message:
        """Store the whole answer; `tokens` is what it takes in the next prompt."""
        self.end()
        message = replace(
            self._message(interrupted=False),
            tokens=tokens,
            generated_tokens=reply.generated_tokens,
            decode_tokens_per_s=reply.decode_tokens_per_s,
        )
        return self._save(message)

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return "".join(self._thinking)

    def end(self) -> None:
        """Take it that nothing more comes; `text` and `thinking` are whole then."""
        if self._splitter is not None:
            self._splitter.end()

    def _arrived(self) -> None:
        if self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.started
            self._stored_at = time.monotonic()

    def _message(self, *, interrupted: bool) -> Message:
        return Message(
            speaker="assistant",
            content=self.text,
            at=self.at,
            thinking=self.thinking,
            model=self.model,
            interrupted=interrupted,
        )

    def _save(self, message: Message) -> Message:
        if self._stored is None:
            self._stored = self.store.append(self.conversation_id, message)
        else:
            self._stored = replace(message, id=self._stored.id)
            self.store.update(self.conversation_id, self._stored)
        self._stored_at = time.monotonic()
        return self._stored

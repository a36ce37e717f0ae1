"""Records of a chat. Times are ISO 8601 text with a zone; token counts None where not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Speaker = Literal["system", "user", "assistant"]
MessageKind = Literal["message", "summary", "grounded"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message: its text, or the bytes of an image.

    `name` is the file's name without folders; `tokens` a count or an estimate of them.
    """

    name: str
    kind: Literal["text", "image"]
    text: str | None = None
    data: bytes | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; `id` is given by the store.

    `kind` is `summary` for what the model made of older turns, `grounded` for an answer from the
    guides and tools. `interrupted` marks an answer that was stopped or broke off. `tokens` is what
    the message takes in a prompt, as far as the server's counts tell; `generated_tokens` and
    `decode_tokens_per_s` are those of an answer.
    """

    speaker: Speaker
    content: str
    at: str
    id: int | None = None
    kind: MessageKind = "message"
    thinking: str = ""
    attachments: tuple[Attachment, ...] = ()
    model: str | None = None
    tokens: int | None = None
    generated_tokens: int | None = None
    decode_tokens_per_s: float | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with its messages, oldest first.

    `name` is the person's own, or None; `title` the beginning of the first question. `system` is
    the system prompt of this conversation, None for the model's own. `summarised_to` is the id of
    the last message that a summary stands for, None without one.
    """

    id: int
    title: str
    created_at: str
    updated_at: str
    name: str | None = None
    model: str | None = None
    role: str | None = None
    system: str | None = None
    summarised_to: int | None = None
    messages: tuple[Message, ...] = ()

    @property
    def shown_name(self) -> str:
        """The name, or the title where it has none."""
        return self.name or self.title or f"conversation {self.id}"


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """One line of a list of conversations."""

    id: int
    title: str
    updated_at: str
    message_count: int
    name: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A message that matches a search; `excerpt` has the matches between `[` and `]`."""

    conversation_id: int
    message_id: int
    title: str
    speaker: Speaker
    excerpt: str
    at: str

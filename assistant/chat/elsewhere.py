"""What another chat that has the same conversation open wrote into it, or took out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assistant.chat.records import Message
    from assistant.chat.store import ConversationStore


@dataclass(slots=True)
class Elsewhere:
    """The messages of a conversation that this chat knows of, by their numbers in the store."""

    store: ConversationStore
    conversation_id: int
    known: set[int] = field(default_factory=set)

    def know(self, messages: Iterable[Message]) -> None:
        """Take it that this chat has written or shown these messages."""
        self.known.update(m.id for m in messages if m.id is not None)

    def forget(self, messages: Iterable[Message]) -> None:
        """Take it that this chat has removed these messages."""
        self.known.difference_update(m.id for m in messages if m.id is not None)

    def look(self) -> tuple[int, int]:
        """Return how many messages were added and removed elsewhere since the last look.

        What is found is known from then on. A conversation that was forgotten has none left.
        """
        stored = set(self.store.message_ids(self.conversation_id))
        added, removed = len(stored - self.known), len(self.known - stored)
        self.known = stored
        return added, removed


def changed_elsewhere(added: int, removed: int) -> str:
    """Return the line that tells of messages that were added or removed in another chat."""
    counts = [(added, "added"), (removed, "removed")]
    first, *more = [(number, what) for number, what in counts if number]
    said = f"{first[0]} message{_s(first[0])} {_were(first[0])} {first[1]} there"
    rest = "".join(f", {number} {what}" for number, what in more)
    return f"This conversation is also open elsewhere: {said}{rest}."


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"

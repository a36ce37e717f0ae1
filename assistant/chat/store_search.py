"""Searching all conversations: the index is asked, and made again where it cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from assistant.chat.records import SearchHit
from assistant.chat.store_file import Database
from assistant.chat.store_index import is_damage, matching, needs_rebuild, rebuild
from assistant.chat.store_rows import read_messages, searched_text
from assistant.chat.store_words import Phrase, excerpt, parse_search


def search_messages(database: Database, text: str, *, limit: int) -> tuple[SearchHit, ...]:
    """Return the newest messages that have all words of `text`, newest first.

    Raises:
        StoreError: the file is damaged, busy or out of reach.
    """
    phrases = parse_search(text)
    with database.reading() as connection:
        if not needs_rebuild(connection):
            try:
                return _hits(connection, phrases, limit)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
    with database.writing() as connection:
        rebuild(connection)
        return _hits(connection, phrases, limit)


def _hits(
    connection: sqlite3.Connection, phrases: Sequence[Phrase], limit: int
) -> tuple[SearchHit, ...]:
    found = matching(connection, phrases, limit=max(0, limit))
    return tuple(_hit(connection, message_id, phrases) for message_id in found)


def _hit(connection: sqlite3.Connection, message_id: int, phrases: Sequence[Phrase]) -> SearchHit:
    (message,) = read_messages(connection, "id = ?", (message_id,))
    (key, name, title) = connection.execute(
        "SELECT conversation.id, name, title FROM conversation JOIN message"
        " ON conversation_id = conversation.id WHERE message.id = ?",
        (message_id,),
    ).fetchone()
    return SearchHit(
        conversation_id=key,
        message_id=message_id,
        title=name or title or f"conversation {key}",
        speaker=message.speaker,
        excerpt=excerpt(searched_text(message), phrases),
        at=message.at,
    )

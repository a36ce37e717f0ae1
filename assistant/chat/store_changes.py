"""Steps of the store's methods: each is called inside a transaction.

The words of a message are in its row and in the index; whatever changes the one changes the
other here, in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from assistant.chat.records import Conversation
from assistant.chat.store_errors import SessionExistsError, gone
from assistant.chat.store_index import change_words
from assistant.chat.store_names import checked_name, name_key
from assistant.chat.store_rows import clean, title_from

HAS_MESSAGES: Final = "EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id)"
NEWEST_FIRST: Final = """ORDER BY julianday(updated_at) DESC,
    (SELECT max(id) FROM message WHERE conversation_id = conversation.id) DESC, id DESC"""
"""`julianday` understands the zone of a time; within the same instant the later message counts."""
_COLUMNS: Final = ("name", "name_key", "model", "role", "system")


def insert_conversation(connection: sqlite3.Connection, conversation: Conversation) -> int:
    """Write a conversation without its messages; return its number here.

    Raises:
        SessionExistsError: its name is taken.
        SessionNameError: it cannot be a name.
    """
    name = None if conversation.name is None else checked_name(conversation.name)
    check_free(connection, name)
    cursor = connection.execute(
        "INSERT INTO conversation (name, name_key, title, created_at, updated_at, model, role,"
        " system) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            name,
            None if name is None else name_key(name),
            clean(conversation.title),
            conversation.created_at,
            conversation.updated_at,
            conversation.model,
            conversation.role,
            None if conversation.system is None else clean(conversation.system),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def check_free(
    connection: sqlite3.Connection, name: str | None, *, beside: int | None = None
) -> None:
    """Refuse a name that a conversation other than `beside` has.

    Raises:
        SessionExistsError: it is taken.
    """
    if name is None:
        return
    taken = connection.execute(
        "SELECT name FROM conversation WHERE name_key = ? AND id IS NOT ?",
        (name_key(name), beside),
    ).fetchone()
    if taken is not None:
        raise SessionExistsError(
            f"another conversation is called {taken[0]!r}.",
            hint=f"Take another name, or go on with that one: "
            f'assistant chat --session "{taken[0]}"',
        )


def set_column(
    connection: sqlite3.Connection, conversation_id: int, column: str, value: str | None
) -> None:
    """Change one column of a conversation.

    Raises:
        UnknownSessionError: it was forgotten.
    """
    assert column in _COLUMNS
    changed = connection.execute(
        f"UPDATE conversation SET {column} = ? WHERE id = ?",  # noqa: S608  one of _COLUMNS
        (value, conversation_id),
    )
    if not changed.rowcount:
        raise gone(conversation_id)


def title_conversation(
    connection: sqlite3.Connection, conversation_id: int, *, again: bool = False
) -> None:
    """Take the title from the first question, where there is none yet or `again` is said."""
    query = "SELECT title FROM conversation WHERE id = ?"
    (title,) = connection.execute(query, (conversation_id,)).fetchone()
    if title and not again:
        return
    first = connection.execute(
        "SELECT content FROM message WHERE conversation_id = ? AND speaker = 'user'"
        " ORDER BY id LIMIT 1",
        (conversation_id,),
    ).fetchone()
    connection.execute(
        "UPDATE conversation SET title = ? WHERE id = ?",
        (title_from(first[0]) if first else "", conversation_id),
    )


def words_where(
    connection: sqlite3.Connection, condition: str, given: Sequence[object]
) -> list[tuple[int, str]]:
    """Return the numbers and words of the messages of a condition of ours."""
    query = f"SELECT id, words FROM message WHERE {condition}"  # noqa: S608  without values
    return connection.execute(query, given).fetchall()


def remove_messages(
    connection: sqlite3.Connection, condition: str, given: Sequence[object]
) -> None:
    """Remove the messages of a condition of ours, with their files and their words."""
    words = words_where(connection, condition, given)
    connection.execute(f"DELETE FROM message WHERE {condition}", given)  # noqa: S608  as above
    if words:
        change_words(connection, gone=words)

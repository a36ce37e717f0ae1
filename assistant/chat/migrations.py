"""The schema of the store of conversations, and the steps from every older one to it.

`PRAGMA user_version` is the version of a file; 0 is an empty one. A step is applied in the
transaction that also sets the version, so a kill leaves the old schema or the new one. A step
is never edited once it was released: what comes later is a step of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from assistant.chat.store_words import words_line

APPLICATION_ID: Final = 0x61734368
"""`asCh` as `PRAGMA application_id`: this SQLite file is a store of conversations."""

_CONVERSATIONS: Final = (
    # AUTOINCREMENT: the number of a forgotten conversation is never given to another one, so a
    # chat that still has it open cannot write into a stranger's.
    """CREATE TABLE conversation (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, name_key TEXT UNIQUE,
        title TEXT NOT NULL DEFAULT '', created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
        model TEXT, role TEXT, system TEXT)""",
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        speaker TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, model TEXT,
        tokens INTEGER, generated_tokens INTEGER, decode_tokens_per_s REAL,
        interrupted INTEGER NOT NULL, summary_to INTEGER,
        content TEXT NOT NULL, thinking TEXT NOT NULL)""",
    "CREATE INDEX message_of_conversation ON message (conversation_id, id)",
    """CREATE TABLE attachment (
        id INTEGER PRIMARY KEY,
        message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
        name TEXT NOT NULL, kind TEXT NOT NULL, tokens INTEGER, text TEXT, data BLOB)""",
    "CREATE INDEX attachment_of_message ON attachment (message_id, id)",
    "CREATE TABLE state (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO state VALUES ('erase_pending', 0)",
)


def migrate(connection: sqlite3.Connection, *, to: int | None = None) -> int:
    """Bring an open store to the schema `to`, the newest one by default; return its version.

    The caller has begun a transaction and commits it.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    wanted = LATEST if to is None else to
    for number in range(version + 1, wanted + 1):
        _STEPS[number - 1](connection)
    if version < wanted:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {wanted}")
    return max(version, wanted)


def _create_conversations(connection: sqlite3.Connection) -> None:
    """Version 1: conversations, their messages and attachments."""
    for statement in _CONVERSATIONS:
        connection.execute(statement)


def _add_words(connection: sqlite3.Connection) -> None:
    """Version 2: the words of each message, for the search; the index is made from them."""
    connection.execute("ALTER TABLE message ADD COLUMN words TEXT NOT NULL DEFAULT ''")
    connection.execute("INSERT INTO state VALUES ('index_stale', 1)")
    texts = connection.execute(
        """SELECT id, content || coalesce((SELECT group_concat(char(10) || name, '')
           FROM attachment WHERE message_id = message.id), '')
           FROM message WHERE kind <> 'summary'"""
    ).fetchall()
    connection.executemany(
        "UPDATE message SET words = ? WHERE id = ?",
        ((words_line(text), message_id) for message_id, text in texts),
    )


_STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (
    _create_conversations,
    _add_words,
)
LATEST: Final = len(_STEPS)

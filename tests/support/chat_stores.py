"""Stores of conversations for tests, also with an SQLite that has no FTS5."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from assistant.chat.migrations import migrate
from assistant.chat.records import Message
from assistant.chat.store import ConversationStore
from assistant.chat.store_file import Database

NOW = "2026-08-01T10:00:00+00:00"
LATER = "2026-08-01T11:00:00+00:00"


class WithoutFts5(sqlite3.Connection):
    """A connection as of an SQLite that was built without FTS5.

    It lists no such module, and refuses what such a one refuses: to make, read, write or drop a
    table of it. The ordinary tables behind it can be used. (So behaves a library whose modules
    were taken out with `sqlite3_drop_modules`.)
    """

    def execute(self, sql: str, /, *given: Any) -> sqlite3.Cursor:
        if "pragma_module_list" in sql:
            return super().execute("SELECT 1 WHERE 0")
        self._refuse(sql)
        return super().execute(sql, *given)

    def executemany(self, sql: str, /, *given: Any) -> sqlite3.Cursor:
        self._refuse(sql)
        return super().executemany(sql, *given)

    @staticmethod
    def _refuse(sql: str) -> None:
        for word in sql.replace("(", " ").replace(",", " ").split():
            if word.lower() in {"message_search", "fts5"}:
                raise sqlite3.OperationalError("no such module: fts5")


def store_without_fts5(path: Path | None = None) -> ConversationStore:
    """A store in memory, or an existing file, opened without FTS5."""
    connection = sqlite3.connect(
        path or ":memory:", factory=WithoutFts5, isolation_level=None, timeout=5
    )
    for setting in ("foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    database = Database(connection, path)
    if path is None:
        with database.writing():
            migrate(connection)
    return ConversationStore(database)


def said(content: str, *, at: str = NOW, **more: Any) -> Message:
    """What a person says."""
    return Message("user", content, at, **more)


def answered(content: str, *, at: str = NOW, **more: Any) -> Message:
    """What a model answers."""
    return Message("assistant", content, at, **more)


def check_sound(path: Path) -> None:
    """The file is sound, and its index has exactly the words of its messages."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        # rank 1: compare with the content table too; without it, orphans go unseen
        connection.execute(
            "INSERT INTO message_search (message_search, rank) VALUES ('integrity-check', 1)"
        )
    finally:
        connection.close()

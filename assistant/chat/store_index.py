"""The index of the words of all messages: an FTS5 table over the column `message.words`.

https://www.sqlite.org/fts5.html, section 4.4.3 (external content tables): the index holds no
text of its own, must be told the exact words when a message goes, and can be made again from the
column at any time (`rebuild`). The row `index_stale` of `state` says that it must be. That is so
in a new file, and after a change by an SQLite that was built without FTS5; with such a one the
column itself is searched, which finds the same messages more slowly.

Every function is called inside a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from assistant.chat.store_words import SYMBOLS, Phrase, fts_query, in_line

Entries = Sequence[tuple[int, str]]

_CREATE: Final = f"""CREATE VIRTUAL TABLE message_search USING fts5(
    words, content='message', content_rowid='id', tokenize="ascii tokenchars '{SYMBOLS}'")"""


def change_words(
    connection: sqlite3.Connection, *, gone: Entries = (), added: Entries = ()
) -> None:
    """Bring the index up to date with rows that were changed: numbers with words.

    `gone` has the very words that were indexed. Where the index is stale or damaged, it is made
    again from the rows, which are as they should be already.
    """
    if not _has_fts5(connection):
        _set_stale(connection, stale=True)
        return
    if _is_stale(connection):
        rebuild(connection)
        return
    try:
        connection.executemany(
            "INSERT INTO message_search (message_search, rowid, words) VALUES ('delete', ?, ?)",
            gone,
        )
        connection.executemany("INSERT INTO message_search (rowid, words) VALUES (?, ?)", added)
        # FTS5 writes what is pending at a savepoint, or else at the end of the transaction,
        # where an error could not be mended any more.
        connection.execute("SAVEPOINT indexed")
        connection.execute("RELEASE indexed")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        rebuild(connection)


def rebuild(connection: sqlite3.Connection) -> None:
    """Make the index again, so that nothing of a message that is gone is left in it.

    A deletion alone leaves the words in older segments until they are merged.
    """
    if not _has_fts5(connection):
        _empty(connection)
        _set_stale(connection, stale=True)
        return
    try:
        connection.execute("DROP TABLE IF EXISTS message_search")
    except sqlite3.DatabaseError:  # too damaged to be opened, and so to be dropped
        _empty(connection)
        connection.execute("DROP TABLE message_search")
    connection.execute(_CREATE)
    connection.execute("INSERT INTO message_search (message_search) VALUES ('rebuild')")
    _set_stale(connection, stale=False)


def needs_rebuild(connection: sqlite3.Connection) -> bool:
    """Return whether the index must be made again before it is searched, and can be."""
    return _is_stale(connection) and _has_fts5(connection)


def matching(
    connection: sqlite3.Connection, phrases: Sequence[Phrase], *, limit: int
) -> tuple[int, ...]:
    """Return the numbers of the newest messages that have all phrases, newest first.

    Raises:
        sqlite3.DatabaseError: the index is damaged (`is_damage`).
    """
    if not phrases:
        return ()
    if not _is_stale(connection) and _has_fts5(connection):
        found = connection.execute(
            "SELECT rowid FROM message_search WHERE message_search MATCH ?"
            " ORDER BY rowid DESC LIMIT ?",
            (fts_query(phrases), limit),
        )
    else:
        condition = " AND ".join(["instr(words, ?)"] * len(phrases))
        found = connection.execute(
            f"SELECT id FROM message WHERE {condition} ORDER BY id DESC LIMIT ?",  # noqa: S608
            (*map(in_line, phrases), limit),
        )
    return tuple(message_id for (message_id,) in found.fetchall())


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether something is damaged: the index, which can be made again, or the file.

    FTS5 does not always say which; making the index again fails where it is the file. Its own
    tables in a state that it did not expect are a constraint that failed.
    """
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT}


def _empty(connection: sqlite3.Connection) -> None:
    """Take everything out of the index by way of the ordinary tables that FTS5 keeps it in.

    What is left is the record of averages (1) and the structure (10) of an empty index, as in a
    new one; see "fts5_index.c" of SQLite.
    """
    query = "SELECT name FROM sqlite_master WHERE name = 'message_search_data'"
    if connection.execute(query).fetchone() is None:
        return
    for table in ("data", "idx", "docsize"):
        connection.execute(f"DELETE FROM message_search_{table}")  # noqa: S608  one of these
    connection.execute("INSERT INTO message_search_data VALUES (1, x''), (10, x'00000000000000')")


def _has_fts5(connection: sqlite3.Connection) -> bool:
    """Return whether this SQLite was built with FTS5."""
    query = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
    return connection.execute(query).fetchone() is not None


def _is_stale(connection: sqlite3.Connection) -> bool:
    query = "SELECT value FROM state WHERE key = 'index_stale'"
    (value,) = connection.execute(query).fetchone() or (1,)
    return bool(value)


def _set_stale(connection: sqlite3.Connection, *, stale: bool) -> None:
    connection.execute(
        "INSERT INTO state VALUES ('index_stale', ?) ON CONFLICT (key)"
        " DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
        (int(stale),),
    )

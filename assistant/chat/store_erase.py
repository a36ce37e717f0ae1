"""Forgetting: rows, index and log are cleaned, so that the file's bytes hold nothing of it.

Deleting alone would leave text in free pages, in segments of the index and in the log. So the
rows are overwritten (`secure_delete`), the index is made again, the file is written anew
(`VACUUM`, in memory and through the log), and the log is emptied (`wal_checkpoint(TRUNCATE)`).
The row `erase_pending` of `state` is set with the deletion and cleared when all that is done, so
what a kill or another process prevents is made up for when the store is next opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from assistant.chat.store_errors import StoreBusyError, StoreError
from assistant.chat.store_file import Database
from assistant.chat.store_index import rebuild


def forget_where(database: Database, condition: str, given: Sequence[object] = ()) -> int:
    """Erase the conversations of a condition of ours; return how many there were.

    Raises:
        StoreBusyError: they are forgotten, but another process keeps the file from being cleaned.
        StoreError: the file is damaged or out of reach.
    """
    with database.writing() as connection:
        removed = connection.execute(
            f"DELETE FROM conversation WHERE {condition}",  # noqa: S608  without values
            given,
        ).rowcount
        if removed:
            rebuild(connection)
            connection.execute("UPDATE state SET value = 1 WHERE key = 'erase_pending'")
    if removed:
        _erase(database)
    return removed


def erase_leftovers(database: Database) -> None:
    """Finish an erasure that a kill or another process kept from being finished, if it can be.

    Raises:
        StoreError: the file is damaged or out of reach.
    """
    with database.reading() as connection:
        query = "SELECT value FROM state WHERE key = 'erase_pending'"
        (pending,) = connection.execute(query).fetchone()
    if pending:
        with contextlib.suppress(StoreError):
            _erase(database)


def _erase(database: Database) -> None:
    """Write the file anew, empty its log, and note that it is done."""
    try:
        with database.alone() as connection:
            connection.execute("VACUUM")
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except StoreBusyError:
        busy = True
    if busy:
        raise StoreBusyError(
            "it is forgotten, but another program keeps the file from being cleaned of it.",
            hint="What is left of it is erased the next time a chat is opened.",
        )
    with database.writing() as connection:
        connection.execute("UPDATE state SET value = 0 WHERE key = 'erase_pending'")

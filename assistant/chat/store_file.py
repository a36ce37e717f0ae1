"""The SQLite file of conversations: opened, kept for its owner alone, one transaction at a time.

The write-ahead log lets one chat write while others read; a commit is on the disk when it
returns (`synchronous = FULL`). What is removed is overwritten with zeros (`secure_delete`), and
SQLite's own temporary tables stay in memory, so nothing is written outside the folder.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from assistant.chat.migrations import APPLICATION_ID, LATEST, migrate
from assistant.chat.store_errors import StoreDamagedError, damaged, file_error, newer, translated
from assistant.chat.store_rows import RowError
from assistant.files import OWNER_ONLY
from assistant.lock import writing

WAIT_S: Final = 10.0
"""How long a transaction waits for that of another process; each takes milliseconds."""
_COMPANIONS: Final = ("", "-wal", "-shm", "-journal")
_SETTINGS: Final = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA synchronous = FULL",
)


class Database:
    """An open store with the schema of this program; several threads may share it.

    `path` is None for one in memory.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read in one transaction: all of it is of the same instant.

        Raises:
            StoreError: the file is damaged, busy or out of reach.
        """
        with self._transaction("BEGIN DEFERRED") as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Change in one transaction: all of it is on the disk afterwards, or nothing.

        Raises:
            StoreError: the file is damaged, busy, full or out of reach.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Use the connection outside a transaction, for what SQLite does only there."""
        with self._lock, _translating(self.path):
            self._end_transaction()
            yield self._connection

    def close(self) -> None:
        """Close the file; closing twice is as good as once."""
        with self._lock, _translating(self.path):
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with self._lock, _translating(self.path):
            try:
                self._end_transaction()  # a Ctrl-C may have left one between two statements
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._end_transaction()
                raise

    def _end_transaction(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def open_database(path: Path, *, wait_s: float = WAIT_S) -> Database:
    """Open the file, made when missing, and bring it to the schema of this program.

    Raises:
        StoreDamagedError: it is damaged, or something else.
        StoreNewerError: a newer version wrote it.
        StoreError: it cannot be opened, or another process prepares it for too long.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=OWNER_ONLY)
        _keep_private(path)
    except OSError as error:
        raise file_error(error, path) from error
    with _translating(path):
        connection = sqlite3.connect(
            path, timeout=wait_s, isolation_level=None, check_same_thread=False
        )
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
            if not _is_ready(connection, path):
                _prepare(connection, path, wait_s)
        except BaseException:
            connection.close()
            raise
    return Database(connection, path)


def memory_database() -> Database:
    """Return an empty store in memory; SQLite writes no file for it, not even a temporary one."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for setting in _SETTINGS:
        connection.execute(setting)
    database = Database(connection, None)
    with database.writing():
        migrate(connection)
    return database


def move_aside(path: Path) -> Path:
    """Rename a store that cannot be used, with its log, and return the new name.

    Only for when a person asked for it; a new store can then be made in its place.

    Raises:
        StoreError: it cannot be renamed.
    """
    with writing(_lock_file(path), wait_s=WAIT_S, held_by="prepares the conversations"):
        number = 1
        while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
            number += 1
        try:
            for companion in reversed(_COMPANIONS):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + companion).rename(
                        aside.with_name(aside.name + companion)
                    )
        except OSError as error:
            raise file_error(error, path) from error
    return aside


def _is_ready(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the file has the newest schema; False for an older or an empty one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application or version or tables:
            raise _other_file(path)
        return False
    if version > LATEST:
        raise newer(path)
    return bool(version == LATEST)


def _prepare(connection: sqlite3.Connection, path: Path, wait_s: float) -> None:
    """Bring the schema up to date; one process at a time, as SQLite does not wait for the log."""
    lock = _lock_file(path)
    try:
        lock.touch(mode=OWNER_ONLY)
    except OSError as error:
        raise file_error(error, lock) from error
    with writing(lock, wait_s=wait_s, held_by="prepares the conversations"):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not _is_ready(connection, path):
                migrate(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _other_file(path: Path) -> StoreDamagedError:
    return damaged(path, "is a database of something else")


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _keep_private(path: Path) -> None:
    """Take from others what a copy or a careless umask gave them."""
    for companion in _COMPANIONS:
        file = path.with_name(path.name + companion)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if stat.S_IMODE(file.stat().st_mode) & 0o077 and os.name == "posix":
                file.chmod(OWNER_ONLY)


@contextlib.contextmanager
def _translating(path: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error
    except RowError as error:
        raise damaged(path, f"is damaged: {error}") from error

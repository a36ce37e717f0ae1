"""What can be wrong with the store of conversations, and SQLite's errors as ours.

StoreError                           1   it cannot be opened, read or written
├─ StoreDamagedError                 1   not a store of conversations, or a damaged one
├─ StoreNewerError                   1   written by a newer version of this program
├─ StoreBusyError                    1   another process is writing for too long
├─ SessionExistsError                2   the name is taken
├─ SessionNameError                  2   the name cannot be used
├─ UnknownSessionError               2   no such conversation; did-you-mean in the hint
└─ NotAConversationError             1   a file to import is not an exported conversation

Result codes are SQLite's: https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from assistant.errors import AssistantError

NO_SAVE: Final = "chat without saving with --no-save"


class StoreError(AssistantError):
    """The store of conversations cannot be opened, read or written."""

    code = "store"


class StoreDamagedError(StoreError):
    """The file is damaged, or is no store of conversations; it was left as it is."""

    code = "store_damaged"


class StoreNewerError(StoreError):
    """The file was written by a newer version of this program; it was left as it is."""

    code = "store_newer"


class StoreBusyError(StoreError):
    """Another process kept the file for longer than we wait."""

    code = "store_busy"


class SessionExistsError(StoreError):
    """Another conversation has that name."""

    code = "session_exists"
    exit_code = 2


class SessionNameError(StoreError):
    """The text cannot be the name of a conversation."""

    code = "session_name"
    exit_code = 2


class UnknownSessionError(StoreError):
    """There is no such conversation, or no longer; the hint offers near names."""

    code = "unknown_session"
    exit_code = 2


class NotAConversationError(StoreError):
    """The text is not a conversation as this program exports them."""

    code = "not_a_conversation"


def damaged(path: Path | None, why: str = "is damaged") -> StoreDamagedError:
    """Return the error for a file that holds no readable store."""
    return StoreDamagedError(
        f"the file with your conversations, {_shown(path)}, {why}.",
        hint=f"It was left as it is. Move it away to begin a new one, or {NO_SAVE}.",
    )


def newer(path: Path | None) -> StoreNewerError:
    """Return the error for a file of a newer version."""
    return StoreNewerError(
        f"the conversations in {_shown(path)} were written by a newer version of this program.",
        hint=f"Install the newer version again, or {NO_SAVE}.",
    )


def gone(conversation_id: int) -> UnknownSessionError:
    """Return the error for a conversation that does not exist, or no longer does."""
    return UnknownSessionError(
        f"there is no conversation {conversation_id}; it may have been forgotten meanwhile.",
        hint="Begin a new one with /new, or see what is kept with /sessions.",
    )


def message_gone(message_id: int | None) -> UnknownSessionError:
    """Return the error for a message that is not in its conversation, or no longer."""
    return UnknownSessionError(
        f"there is no message {message_id} in this conversation; it may have been removed "
        "by another chat.",
        hint="Open the conversation again to see what is kept.",
    )


def file_error(error: OSError, path: Path) -> StoreError:
    """Return the error for a file or folder that the system does not let us use."""
    return StoreError(
        f"the conversations cannot be kept in {_shown(path)}: "
        f"{(error.strerror or str(error)).lower()}.",
        hint=f"Check the folder's permissions, set ASSISTANT_HOME to another one, or {NO_SAVE}.",
    )


def translated(error: sqlite3.Error, path: Path | None) -> StoreError:
    """Return what an error of SQLite means to a person."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusyError(
            f"another program keeps {_shown(path)} busy.",
            hint="Try again when it is done; nothing was changed.",
        )
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return damaged(path)
    if primary == sqlite3.SQLITE_FULL:
        return StoreError(
            f"the disk is full: {_shown(path)} cannot be written.",
            hint=f"Make room on the disk, or {NO_SAVE}.",
        )
    return StoreError(
        f"the conversations in {_shown(path)} cannot be used: {str(error).lower().rstrip('.')}.",
        hint=f"Check the file's permissions and the room on the disk, or {NO_SAVE}.",
    )


def _shown(path: Path | None) -> str:
    return "memory" if path is None else repr(str(path))

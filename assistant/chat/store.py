"""Conversations, kept in one SQLite file that only its owner can read.

Everything that is written is on the disk when the call returns, so a kill at any instant loses
at most the message being written. Two chats may use the file at once. What is forgotten is
erased from the file, not only hidden (`ConversationStore.forget`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from assistant.chat.records import Conversation, ConversationInfo, Message, SearchHit
from assistant.chat.store_changes import (
    HAS_MESSAGES,
    NEWEST_FIRST,
    check_free,
    insert_conversation,
    remove_messages,
    set_column,
    title_conversation,
    words_where,
)
from assistant.chat.store_erase import erase_leftovers, forget_where
from assistant.chat.store_errors import (
    UnknownSessionError,
    gone,
    message_gone,
)
from assistant.chat.store_file import (
    WAIT_S,
    Database,
    memory_database,
    move_aside,
    open_database,
)
from assistant.chat.store_index import change_words
from assistant.chat.store_names import checked_name, name_key, near_names
from assistant.chat.store_rows import (
    change_message,
    clean,
    cleaned,
    insert_message,
    read_conversation,
    read_messages,
)
from assistant.chat.store_search import search_messages
from assistant.paths import data_folder

FILE_NAME: Final = "conversations.sqlite"


def store_file() -> Path:
    """Return where conversations are kept."""
    return data_folder() / FILE_NAME


def open_store(path: Path | None = None, *, wait_s: float = WAIT_S) -> ConversationStore:
    """Open the store of conversations, made when missing: the file 0600, its folder 0700.

    Raises:
        StoreDamagedError: the file is damaged; it was left as it is.
        StoreNewerError: a newer version wrote it.
        StoreError: it cannot be opened.
    """
    database = open_database(path or store_file(), wait_s=wait_s)
    try:
        erase_leftovers(database)
    except BaseException:
        database.close()
        raise
    return ConversationStore(database)


def memory_store() -> ConversationStore:
    """Return a store that is gone when it is closed, and writes no file at all."""
    return ConversationStore(memory_database())


def set_aside(path: Path | None = None) -> Path:
    """Rename a damaged store and its log, for when a person asked for it; return the new name.

    Raises:
        StoreError: it cannot be renamed.
    """
    return move_aside(path or store_file())


class ConversationStore:
    """The conversations of one file; from `open_store` or `memory_store`.

    Every method raises `StoreError` where the file is damaged, full, busy or out of reach.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path | None:
        """The file; None where nothing is saved."""
        return self._database.path

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._database.close()

    # One conversation

    def create(
        self,
        *,
        name: str | None = None,
        model: str | None = None,
        role: str | None = None,
        system: str | None = None,
        now: str,
    ) -> Conversation:
        """Begin a conversation.

        Raises:
            SessionExistsError: the name is taken.
            SessionNameError: it cannot be a name.
        """
        begun = Conversation(0, "", now, now, name=name, model=model, role=role, system=system)
        with self._database.writing() as connection:
            return _known(connection, insert_conversation(connection, begun))

    def add(self, conversation: Conversation) -> Conversation:
        """Keep a conversation that was exported, under numbers of its own here.

        Raises:
            SessionExistsError: its name is taken.
        """
        with self._database.writing() as connection:
            new_id = insert_conversation(connection, conversation)
            numbers: dict[int | None, int] = {}
            for message in sorted(conversation.messages, key=lambda m: m.kind == "summary"):
                to = None
                if message.kind == "summary":
                    to = numbers.get(conversation.summarised_to)
                    if to is None or conversation.summarised_to is None:
                        continue  # it stands for nothing that is here
                kept = cleaned(message)
                numbers[message.id] = insert_message(connection, new_id, kept, summary_to=to)
            words = words_where(connection, "conversation_id = ?", (new_id,))
            change_words(connection, added=words)
            title_conversation(connection, new_id)
            return _known(connection, new_id)

    def append(self, conversation_id: int, message: Message) -> Message:
        """Keep a message; it is returned with its number and is on the disk.

        Raises:
            UnknownSessionError: the conversation was forgotten.
        """
        if message.kind == "summary":
            raise ValueError("a summary is kept with set_summary")
        kept = cleaned(message)
        with self._database.writing() as connection:
            found = connection.execute(
                "UPDATE conversation SET updated_at = ? WHERE id = ?", (kept.at, conversation_id)
            )
            if not found.rowcount:
                raise gone(conversation_id)
            key = insert_message(connection, conversation_id, kept)
            change_words(connection, added=words_where(connection, "id = ?", (key,)))
            title_conversation(connection, conversation_id)
        return replace(kept, id=key)

    def update(self, conversation_id: int, message: Message) -> None:
        """Write what became of a message that was appended: an answer that grew or is complete.

        Raises:
            UnknownSessionError: the message or its conversation is gone.
        """
        kept = cleaned(message)
        with self._database.writing() as connection:
            condition = "conversation_id = ? AND id = ?"
            before = read_messages(connection, condition, (conversation_id, kept.id))
            if not before:
                raise message_gone(kept.id)
            words = words_where(connection, "id = ?", (kept.id,))
            change_message(connection, before[0], kept)
            words_now = words_where(connection, "id = ?", (kept.id,))
            if words != words_now:
                change_words(connection, gone=words, added=words_now)
            if kept.speaker == "user" and kept.content != before[0].content:
                title_conversation(connection, conversation_id, again=True)

    def remove_from(self, conversation_id: int, message_id: int) -> tuple[Message, ...]:
        """Remove a message and all after it; return them, oldest first.

        A summary that stands for one of them goes too, and is not returned; the one before it,
        if there is one, is in force again.

        Raises:
            UnknownSessionError: the message is not in this conversation.
        """
        with self._database.writing() as connection:
            condition = "conversation_id = ? AND id >= ? AND kind <> 'summary'"
            removed = read_messages(connection, condition, (conversation_id, message_id))
            if not removed or removed[0].id != message_id:
                raise message_gone(message_id)
            which = "conversation_id = ? AND coalesce(summary_to, id) >= ?"
            remove_messages(connection, which, (conversation_id, message_id))
            title_conversation(connection, conversation_id, again=True)
        return removed

    def load(self, conversation_id: int) -> Conversation:
        """Return a conversation with its messages.

        The summary in force, if there is one, comes right after the last message that it stands
        for; older summaries are left out.

        Raises:
            UnknownSessionError: there is none of that number.
        """
        with self._database.reading() as connection:
            return _known(connection, conversation_id)

    def message_ids(self, conversation_id: int) -> tuple[int, ...]:
        """Return the numbers of a conversation's messages, oldest first, without its summaries."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM message WHERE conversation_id = ? AND kind <> 'summary' "
                "ORDER BY id",
                (conversation_id,),
            ).fetchall()
        return tuple(row[0] for row in rows)

    def by_name(self, name: str) -> Conversation | None:
        """Return the conversation of that name, upper and lower case alike, or None."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT id FROM conversation WHERE name_key = ?", (name_key(clean(name)),)
            ).fetchone()
            return None if row is None else read_conversation(connection, row[0])

    def latest(self) -> Conversation | None:
        """Return the conversation last written to that has messages, or None."""
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT id FROM conversation WHERE {HAS_MESSAGES} {NEWEST_FIRST} LIMIT 1"  # noqa: S608
            ).fetchone()
            return None if row is None else read_conversation(connection, row[0])

    def find(self, text: str) -> Conversation:
        """Return the conversation of a name, or of a number as `/sessions` shows them.

        Raises:
            UnknownSessionError: there is none; the hint offers near names.
        """
        found = self.by_name(text)
        number = text.strip().removeprefix("#")
        if found is None and number.isascii() and number.isdecimal() and len(number) < 18:
            with self._database.reading() as connection:
                found = read_conversation(connection, int(number))
        if found is not None:
            return found
        raise UnknownSessionError(
            f"there is no conversation called {text!r}.",
            hint=near_names(text, [info.name for info in self.infos(limit=1000) if info.name]),
        )

    def rename(self, conversation_id: int, name: str | None) -> None:
        """Give a conversation a name, or take it away with None.

        Raises:
            SessionExistsError: another conversation has it.
            SessionNameError: it cannot be a name.
            UnknownSessionError: the conversation was forgotten.
        """
        name = None if name is None else checked_name(name)
        with self._database.writing() as connection:
            check_free(connection, name, beside=conversation_id)
            set_column(connection, conversation_id, "name", name)
            set_column(
                connection, conversation_id, "name_key", None if name is None else name_key(name)
            )

    def set_model(self, conversation_id: int, model: str | None) -> None:
        """Write which model answers from here on."""
        with self._database.writing() as connection:
            set_column(connection, conversation_id, "model", model)

    def set_role(self, conversation_id: int, role: str | None) -> None:
        """Write which role the model has from here on."""
        with self._database.writing() as connection:
            set_column(connection, conversation_id, "role", role)

    def set_system(self, conversation_id: int, system: str | None) -> None:
        """Write the system prompt; None is the model's own."""
        with self._database.writing() as connection:
            set_column(
                connection, conversation_id, "system", None if system is None else clean(system)
            )

    def set_summary(self, conversation_id: int, text: str, *, up_to: int, now: str) -> Message:
        """Keep what the model made of the messages up to, and with, the one numbered `up_to`.

        The messages stay. Return the summary as `load` will.

        Raises:
            UnknownSessionError: that message is not in this conversation.
        """
        summary = cleaned(Message("system", text, now, kind="summary"))
        with self._database.writing() as connection:
            condition = "conversation_id = ? AND id = ? AND kind <> 'summary'"
            if not read_messages(connection, condition, (conversation_id, up_to)):
                raise message_gone(up_to)
            which = "conversation_id = ? AND summary_to >= ?"
            remove_messages(connection, which, (conversation_id, up_to))
            key = insert_message(connection, conversation_id, summary, summary_to=up_to)
            change_words(connection, added=words_where(connection, "id = ?", (key,)))
        return replace(summary, id=key)

    # All conversations

    def infos(self, limit: int = 50) -> tuple[ConversationInfo, ...]:
        """Return what there is, the last used first; empty ones without a name are left out."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, title, updated_at, (SELECT count(*) FROM message WHERE"  # noqa: S608
                " conversation_id = conversation.id AND kind <> 'summary'), name, model"
                f" FROM conversation WHERE {HAS_MESSAGES} OR name IS NOT NULL {NEWEST_FIRST}"
                " LIMIT ?",
                (max(0, limit),),
            ).fetchall()
        return tuple(ConversationInfo(*row) for row in rows)

    def search(self, text: str, limit: int = 20) -> tuple[SearchHit, ...]:
        """Return the newest messages that have all words of `text`, newest first.

        A word also finds longer words that begin with it; "words in quotes" are found as they
        stand. Nothing in the text is an operator. No words find nothing.
        """
        return search_messages(self._database, text, limit=limit)

    # Forgetting

    def forget(self, conversation_id: int) -> bool:
        """Erase a conversation; return whether there was one.

        Its text is gone from the tables, from the index of words and from the log, and the file
        is written anew, so that its bytes hold nothing of it.

        Raises:
            StoreBusyError: it is forgotten, but another process keeps the file from being
                written anew now; the next time the store is opened that is made up for.
        """
        return bool(forget_where(self._database, "id = ?", (conversation_id,)))

    def forget_all(self) -> int:
        """Erase all conversations as `forget` does; return how many there were."""
        return forget_where(self._database, "1")


def _known(connection: sqlite3.Connection, conversation_id: int) -> Conversation:
    found = read_conversation(connection, conversation_id)
    if found is None:
        raise gone(conversation_id)
    return found

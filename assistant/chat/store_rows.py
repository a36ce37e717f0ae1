"""Rows of the store as records, and back.

Every function is called inside a transaction. Text that is no Unicode text (half a surrogate
pair, from a file name or a broken stream) is kept with U+FFFD in that place.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isnan
from typing import Any, Final, get_args

from assistant.chat.records import Attachment, Conversation, Message, MessageKind, Speaker
from assistant.chat.store_words import words_line

TITLE_LENGTH: Final = 60
_SPEAKERS: Final = get_args(Speaker)
_KINDS: Final = get_args(MessageKind)
_COLUMNS: Final = (
    "id, speaker, kind, at, model, tokens, generated_tokens, decode_tokens_per_s, interrupted,"
    " content, thinking"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class RowError(ValueError):
    """A row holds what this program never writes; the message names it."""


def clean(text: str) -> str:
    """Return the text as UTF-8 can hold it."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def cleaned(message: Message) -> Message:
    """Return the message as it will be read back."""
    speed = message.decode_tokens_per_s
    return replace(
        message,
        decode_tokens_per_s=None if speed is None or isnan(speed) else speed,
        content=clean(message.content),
        thinking=clean(message.thinking),
        attachments=tuple(
            replace(each, name=clean(each.name), text=each.text and clean(each.text))
            for each in message.attachments
        ),
    )


def title_from(content: str) -> str:
    """Return the beginning of a question as a title: one line, at most `TITLE_LENGTH` long."""
    words = content.split()
    title = " ".join(words)
    if len(title) <= TITLE_LENGTH:
        return title
    whole, _, _ = title[:TITLE_LENGTH].rpartition(" ")
    return f"{whole if len(whole) > TITLE_LENGTH // 2 else title[: TITLE_LENGTH - 1]}…"


def words_of(message: Message) -> str:
    """Return the words that a search finds the message by: its text and its files' names."""
    return "" if message.kind == "summary" else words_line(searched_text(message))


def searched_text(message: Message) -> str:
    """Return the text that excerpts of the message are taken from."""
    return "\n".join((message.content, *(each.name for each in message.attachments)))


def insert_message(
    connection: sqlite3.Connection,
    conversation_id: int,
    message: Message,
    *,
    summary_to: int | None = None,
) -> int:
    """Write a message and its attachments; return its number."""
    cursor = connection.execute(
        "INSERT INTO message (conversation_id, speaker, kind, at, model, tokens, generated_tokens,"
        " decode_tokens_per_s, interrupted, summary_to, content, thinking, words)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation_id,
            message.speaker,
            message.kind,
            message.at,
            message.model,
            message.tokens,
            message.generated_tokens,
            message.decode_tokens_per_s,
            int(message.interrupted),
            summary_to,
            message.content,
            message.thinking,
            words_of(message),
        ),
    )
    assert cursor.lastrowid is not None
    insert_attachments(connection, cursor.lastrowid, message.attachments)
    return cursor.lastrowid


def change_message(connection: sqlite3.Connection, before: Message, message: Message) -> None:
    """Write what became of a message; large attachments only where they changed."""
    connection.execute(
        "UPDATE message SET speaker = ?, kind = ?, at = ?, model = ?, tokens = ?,"
        " generated_tokens = ?, decode_tokens_per_s = ?, interrupted = ?, content = ?,"
        " thinking = ?, words = ? WHERE id = ?",
        (
            message.speaker,
            message.kind,
            message.at,
            message.model,
            message.tokens,
            message.generated_tokens,
            message.decode_tokens_per_s,
            int(message.interrupted),
            message.content,
            message.thinking,
            words_of(message),
            message.id,
        ),
    )
    if message.attachments != before.attachments:
        assert message.id is not None
        connection.execute("DELETE FROM attachment WHERE message_id = ?", (message.id,))
        insert_attachments(connection, message.id, message.attachments)


def insert_attachments(
    connection: sqlite3.Connection, message_id: int, attachments: Iterable[Attachment]
) -> None:
    """Write the attachments of a message, in order."""
    connection.executemany(
        "INSERT INTO attachment (message_id, name, kind, tokens, text, data)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        ((message_id, a.name, a.kind, a.tokens, a.text, a.data) for a in attachments),
    )


def read_messages(
    connection: sqlite3.Connection, condition: str, given: Sequence[object]
) -> tuple[Message, ...]:
    """Return the messages of a condition of ours; a summary comes after what it stands for.

    Raises:
        RowError: a row makes no sense.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM message WHERE {condition}"  # noqa: S608  ours, without values
        " ORDER BY coalesce(summary_to, id), id",
        given,
    ).fetchall()
    files: dict[int, list[Attachment]] = {}
    for message_id, name, kind, tokens, text, data in connection.execute(
        "SELECT message_id, name, kind, tokens, text, data FROM attachment WHERE message_id IN"  # noqa: S608
        f" (SELECT id FROM message WHERE {condition}) ORDER BY message_id, id",
        given,
    ).fetchall():
        files.setdefault(message_id, []).append(Attachment(name, kind, text, data, tokens))
    return tuple(_message(row, files.get(row[0], ())) for row in rows)


def read_conversation(connection: sqlite3.Connection, conversation_id: int) -> Conversation | None:
    """Return a conversation with its messages and the summary in force; None when unknown.

    Raises:
        RowError: a row makes no sense.
    """
    row = connection.execute(
        "SELECT title, created_at, updated_at, name, model, role, system FROM conversation"
        " WHERE id = ?",
        (conversation_id,),
    ).fetchone()
    if row is None:
        return None
    summary = connection.execute(
        "SELECT id, summary_to FROM message WHERE conversation_id = ? AND kind = 'summary'"
        " ORDER BY summary_to DESC, id DESC LIMIT 1",
        (conversation_id,),
    ).fetchone() or (None, None)
    messages = read_messages(
        connection,
        "conversation_id = ? AND (kind <> 'summary' OR id = ?)",
        (conversation_id, summary[0]),
    )
    title, created_at, updated_at, name, model, role, system = row
    return Conversation(
        conversation_id,
        title,
        created_at,
        updated_at,
        name=name,
        model=model,
        role=role,
        system=system,
        summarised_to=summary[1],
        messages=messages,
    )


def _message(row: tuple[Any, ...], attachments: Sequence[Attachment]) -> Message:
    (key, speaker, kind, at, model, tokens, generated, speed, interrupted, content, thinking) = row
    if speaker not in _SPEAKERS or kind not in _KINDS:
        raise RowError(f"message {key} is by {speaker!r} and of the kind {kind!r}")
    return Message(
        speaker,
        content,
        at,
        id=key,
        kind=kind,
        thinking=thinking,
        attachments=tuple(attachments),
        model=model,
        tokens=tokens,
        generated_tokens=generated,
        decode_tokens_per_s=speed,
        interrupted=bool(interrupted),
    )

"""Reading an exported conversation back: every field is checked, and a wrong one named. Pure.

Fields that are missing take their default; fields that are not known are left out, so that what
a newer version adds does not keep an older one from reading the rest.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, get_args

from assistant.chat.records import Attachment, Conversation, Message, MessageKind, Speaker
from assistant.chat.store_errors import NotAConversationError

FORMAT: Final = "assistant conversation"
_MOST: Final = 2**53
"""Whole numbers above this are not exact in other programs' JSON, and none of ours come near."""
_Kept = TypeVar("_Kept")
_REQUIRED: Final = object()


def conversation_from(written: Any) -> Conversation:
    """Return the conversation in what JSON parsed to.

    Raises:
        NotAConversationError: it is something else; the message names the field.
    """
    outer = _Fields(written, "")
    if not isinstance(written, dict) or outer.get("format", str, "") != FORMAT:
        raise NotAConversationError(
            "the JSON is not a conversation that this program exported.",
            hint="Only /export json writes what can come back.",
        )
    if outer.get("version", int, 0) != 1:
        raise NotAConversationError(
            "the conversation was exported by a newer version of this program.",
            hint="Bring this program up to date, and import it again.",
        )
    fields = _Fields(outer.get("conversation", dict), "conversation.")
    messages = tuple(
        _message(_Fields(each, f"conversation.messages[{number}]."))
        for number, each in enumerate(fields.get("messages", list, []))
    )
    numbers = [message.id for message in messages if message.id is not None]
    if len(set(numbers)) != len(numbers):
        raise fields.wrong("messages", "has two messages of the same id")
    summarised_to = fields.maybe("summarised_to", int)
    if summarised_to is not None and summarised_to not in numbers:
        raise fields.wrong("summarised_to", "is not the id of a message")
    return Conversation(
        fields.get("id", int, 0),
        fields.get("title", str, ""),
        fields.time("created_at"),
        fields.time("updated_at"),
        name=fields.maybe("name", str),
        model=fields.maybe("model", str),
        role=fields.maybe("role", str),
        system=fields.maybe("system", str),
        summarised_to=summarised_to,
        messages=messages,
    )


def _message(fields: _Fields) -> Message:
    attachments = tuple(
        _attachment(_Fields(each, f"{fields.path}attachments[{number}]."))
        for number, each in enumerate(fields.get("attachments", list, []))
    )
    return Message(
        fields.one_of("speaker", get_args(Speaker)),
        fields.get("content", str),
        fields.time("at"),
        id=fields.maybe("id", int),
        kind=fields.one_of("kind", get_args(MessageKind), "message"),
        thinking=fields.get("thinking", str, ""),
        attachments=attachments,
        model=fields.maybe("model", str),
        tokens=fields.maybe("tokens", int),
        generated_tokens=fields.maybe("generated_tokens", int),
        decode_tokens_per_s=fields.maybe("decode_tokens_per_s", float),
        interrupted=fields.get("interrupted", bool, False),
    )


def _attachment(fields: _Fields) -> Attachment:
    kind = fields.one_of("kind", ("text", "image"))
    coded = fields.maybe("data", str)
    try:
        data = None if coded is None else base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise fields.wrong("data", "is not base64") from error
    return Attachment(
        fields.get("name", str),
        kind,
        fields.maybe("text", str),
        data,
        fields.maybe("tokens", int),
    )


class _Fields:
    """The fields of one JSON object, and where it is: `path` is put before their names."""

    def __init__(self, written: Any, path: str) -> None:
        self.path = path
        if not isinstance(written, dict):
            if path:
                raise self.wrong("", f"is {_shown(written)}, not an object")
            written = {}
        self._written: Mapping[str, Any] = written

    def get(self, name: str, kind: type[_Kept], default: Any = _REQUIRED) -> _Kept:
        """Return a field of that kind; its default where it is missing."""
        value = self._written.get(name, default)
        if value is _REQUIRED:
            raise self.wrong(name, "is missing")
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < _MOST else None
        too_large = isinstance(value, int | float) and not abs(value) < _MOST
        if not isinstance(value, kind) or too_large or (isinstance(value, bool) and kind is int):
            raise self.wrong(name, f"is {_shown(value)}")
        if isinstance(value, str) and not _is_unicode(value):
            raise self.wrong(name, "holds half a character")
        return value

    def maybe(self, name: str, kind: type[_Kept]) -> _Kept | None:
        """Return a field of that kind, or None where it is null or missing."""
        return None if self._written.get(name) is None else self.get(name, kind)

    def one_of(self, name: str, allowed: tuple[str, ...], default: Any = _REQUIRED) -> Any:
        """Return a field that is one of these words."""
        value = self.get(name, str, default)
        if value not in allowed:
            raise self.wrong(name, f"is {_shown(value)}, not one of {', '.join(allowed)}")
        return value

    def time(self, name: str) -> str:
        """Return a field that is an ISO 8601 time with a zone."""
        value = self.get(name, str)
        try:
            zone = datetime.fromisoformat(value).tzinfo
        except ValueError:
            zone = None
        if zone is None:
            raise self.wrong(name, f"is {_shown(value)}, not a time with a zone")
        return value

    def wrong(self, name: str, why: str) -> NotAConversationError:
        """Return the error for a field."""
        where = f"{self.path}{name}".rstrip(".")
        return NotAConversationError(
            f"{where} of the exported conversation {why}.",
            hint="Only /export json writes what can come back.",
        )


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

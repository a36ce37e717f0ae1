"""A conversation as Markdown, for reading, and as JSON, for keeping and bringing back. Pure.

The JSON has everything that the store has; `from_json(to_json(c)) == c` for every conversation
that the store returns. Images are base64 text.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterator
from math import isfinite
from typing import Any, Final, Literal

from assistant.chat.export_check import FORMAT, conversation_from
from assistant.chat.records import Attachment, Conversation, Message
from assistant.chat.store_errors import NotAConversationError

NAME_LENGTH: Final = 60
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_SPEAKERS: Final = {"user": "You", "assistant": "Assistant", "system": "System"}
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
"""File names that Windows keeps for devices, whatever follows a dot."""


def to_json(conversation: Conversation) -> str:
    """Return the conversation as JSON with all that the store has of it."""
    written = {
        "format": FORMAT,
        "version": 1,
        "conversation": {
            "id": conversation.id,
            "name": conversation.name,
            "title": conversation.title,
            "created_at": conversation.created_at,
            "updated_at": conversation.updated_at,
            "model": conversation.model,
            "role": conversation.role,
            "system": conversation.system,
            "summarised_to": conversation.summarised_to,
            "messages": [_message(message) for message in conversation.messages],
        },
    }
    return json.dumps(written, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Conversation:
    """Return the conversation that `to_json` wrote.

    Raises:
        NotAConversationError: it is something else, or a part of it makes no sense.
    """
    try:
        written = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise NotAConversationError(
            f"the text is not JSON{where}.", hint="Only /export json writes what can come back."
        ) from error
    return conversation_from(written)


def to_markdown(conversation: Conversation) -> str:
    """Return the conversation as Markdown: what was said, without thinking and file contents."""
    return "\n\n".join(_sections(conversation)) + "\n"


def export_name(conversation: Conversation, suffix: Literal["md", "json"]) -> str:
    """Return a name for the file, from the conversation's name or title: letters, digits, `-`."""
    title = unicodedata.normalize("NFC", conversation.name or conversation.title)
    plain = re.sub(r"[\W_]+", "-", title).strip("-")[:NAME_LENGTH].rstrip("-")
    while len(plain.encode("utf-8", "ignore")) > 2 * NAME_LENGTH:
        plain = plain[:-1]
    if not plain or _RESERVED.fullmatch(plain):
        plain = f"conversation-{conversation.id}"
    return f"{plain}.{suffix}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _sections(conversation: Conversation) -> Iterator[str]:
    yield f"# {_one_line(conversation.shown_name)}"
    model = f" with `{conversation.model}`" if conversation.model else ""
    yield f"A conversation{model}, begun {conversation.created_at}."
    if conversation.system:
        yield f"System prompt:\n\n{_quoted(conversation.system)}"
    for message in conversation.messages:
        if message.kind == "summary":
            yield f"*What came before, summarised by the model:*\n\n{_quoted(message.content)}"
            continue
        yield _heading(message)
        if message.content.strip():
            yield _with_fences_closed(message.content.strip("\n"))
        yield from _remarks(message)


def _heading(message: Message) -> str:
    speaker = _SPEAKERS[message.speaker]
    if message.speaker == "assistant":
        source = "from guides and tools" if message.kind == "grounded" else message.model
        speaker = f"{speaker} ({source})" if source else speaker
    return f"## {speaker}"


def _remarks(message: Message) -> Iterator[str]:
    for attachment in message.attachments:
        size = "" if attachment.tokens is None else f", {attachment.tokens:,} tokens"
        yield f"*Attached: {_one_line(attachment.name)} ({attachment.kind}{size})*"
    if message.interrupted:
        yield "*Stopped here.*"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip("\n").split("\n"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _with_fences_closed(text: str) -> str:
    """Close a code block that an answer left open, so that it does not swallow what follows.

    Fences as in CommonMark 0.31, section 4.5: the closing one is of the same character, at
    least as long, and has nothing after it.
    """
    fence = ""
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if match is None:
            continue
        marks, rest = match[1], match[2]
        if not fence:
            if marks[0] == "~" or "`" not in rest:
                fence = marks
        elif marks.startswith(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text


def _message(message: Message) -> dict[str, Any]:
    speed = message.decode_tokens_per_s
    return {
        "id": message.id,
        "speaker": message.speaker,
        "kind": message.kind,
        "at": message.at,
        "content": message.content,
        "thinking": message.thinking,
        "attachments": [_attachment(attachment) for attachment in message.attachments],
        "model": message.model,
        "tokens": message.tokens,
        "generated_tokens": message.generated_tokens,
        "decode_tokens_per_s": speed if speed is not None and isfinite(speed) else None,
        "interrupted": message.interrupted,
    }


def _attachment(attachment: Attachment) -> dict[str, Any]:
    data = attachment.data
    return {
        "name": attachment.name,
        "kind": attachment.kind,
        "tokens": attachment.tokens,
        "text": attachment.text,
        "data": None if data is None else base64.b64encode(data).decode("ascii"),
    }

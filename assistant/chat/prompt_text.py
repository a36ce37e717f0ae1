"""What a model is sent: messages with their files in the text, one system prompt. Pure.

Many templates take one system message only, and a request with one replaces the system prompt
of the Modelfile. So everything that stands before the conversation goes into one text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any, Final

from assistant.chat.records import Attachment, Message

_FENCE: Final = re.compile(r"`{3,}")
_SUMMARY_HEAD: Final = "The conversation so far, in short (earlier messages are left out):"


def prompt_text(message: Message) -> str:
    """Return what the model reads of a message: its text files, each in a fence, then the text.

    Thinking is not sent back: templates leave out what was thought in earlier turns.
    """
    files = [_fenced(file) for file in message.attachments if file.kind == "text"]
    return "\n\n".join([*files, message.content]) if files else message.content


def to_wire(message: Message, *, sees_images: bool) -> dict[str, Any]:
    """Return a message for `/api/chat`; pictures are named in words to a model that is blind."""
    content = prompt_text(message)
    images = [file for file in message.attachments if file.kind == "image" and file.data]
    wire: dict[str, Any] = {"role": message.speaker, "content": content}
    if images and sees_images:
        wire["images"] = [base64.b64encode(file.data or b"").decode("ascii") for file in images]
    elif images:
        named = ", ".join(file.name for file in images)
        wire["content"] = f"[a picture that cannot be seen here: {named}]\n{content}"
    return wire


def system_text(own: str | None, *, facts: str | None, summary: str | None) -> str | None:
    """Return the one system prompt, or None when there is nothing to say.

    `own` is the conversation's or the model's system prompt, `facts` a line about the model and
    its computer, `summary` stands for older turns. An empty `own` alone stays empty: it takes
    the place of the Modelfile's.
    """
    told = f"{_SUMMARY_HEAD}\n{summary}" if summary else None
    parts = [part for part in (own, facts, told) if part]
    return "\n\n".join(parts) if parts else own


def wire_messages(
    messages: Iterable[Message], *, system: str | None, facts: str | None, sees_images: bool
) -> list[dict[str, Any]]:
    """Return the whole prompt for `/api/chat`; a summary among `messages` joins the system prompt.

    An answer of which nothing came is left out.
    """
    summary, spoken = None, []
    for message in messages:
        if message.kind == "summary":
            summary = message.content
        elif message.speaker != "assistant" or message.content:
            spoken.append(to_wire(message, sees_images=sees_images))
    first = system_text(system, facts=facts, summary=summary)
    return ([] if first is None else [{"role": "system", "content": first}]) + spoken


def _fenced(file: Attachment) -> str:
    """Return a file's text in a fence that is longer than any in it."""
    text = file.text or ""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"File {file.name}:\n{fence}\n{text.rstrip()}\n{fence}"

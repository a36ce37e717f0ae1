"""One question from a pipe, one answer, and the end."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

from assistant.cli.chat_open import ChatRequest, OpenedChat
from assistant.cli.output import InterruptedByUserError
from assistant.errors import UsageError

if TYPE_CHECKING:
    from assistant.chat.records import Message
    from assistant.cli.output import Output

LONGEST_QUESTION: Final = 16 * 1024**2
"""Bytes; more fits no context, and the model's own limit is far below."""


def answer_once(out: Output, request: ChatRequest, *, plain: bool) -> None:
    """Answer what stands on standard input, and nothing else.

    The text goes to stdout as the model writes it, Markdown and all; in a terminal it is laid
    out. With `--json` it is in the envelope.

    Raises:
        UsageError: there is no question.
        InterruptedByUserError: Ctrl-C; what came was written and is kept.
        AssistantError: no whole answer came.
    """
    question = _read(out)
    opened = OpenedChat(request, on_note=out.note)
    with contextlib.closing(opened):
        answer = _ask(out, opened, question, plain=plain)
        out.result(lambda: _data(opened, answer), "")
    if answer.interrupted:
        raise InterruptedByUserError("Stopped.")


def _read(out: Output) -> str:
    if sys.stdin is None:
        raise UsageError("there is no question: standard input is closed.")
    if sys.stdin.isatty():
        out.note("Type the question, then Ctrl-D.")
    text = _text_of(sys.stdin)
    if not text.strip():
        raise UsageError(
            "the question on standard input is empty.", hint='Try: echo "hello" | assistant chat'
        )
    return text.strip("\n")


def _text_of(stream: TextIO) -> str:
    """Return all that comes, from bytes in any usual encoding.

    Raises:
        UsageError: it is no text, or far too long.
    """
    from assistant.chat.attachment_text import decode_text, looks_binary

    bytes_of = getattr(stream, "buffer", None)
    if bytes_of is None:
        return stream.read(LONGEST_QUESTION)
    data: bytes = bytes_of.read(LONGEST_QUESTION + 1)
    if len(data) > LONGEST_QUESTION:
        raise UsageError(
            "what comes on standard input is too long for any model.",
            hint="Send a part of it, such as the last lines: tail -n 200 FILE | assistant chat",
        )
    text = None if looks_binary(data[:8192]) else decode_text(data)
    if text is None:
        raise UsageError(
            "what comes on standard input is not text.", hint="Convert it to text first."
        )
    return text


def _ask(out: Output, opened: OpenedChat, question: str, *, plain: bool) -> Message:
    session = opened.session
    if out.is_terminal:
        from assistant.cli.chat_history import TypedHistory
        from assistant.cli.chat_state import Chat

        view = Chat(out, opened, history=TypedHistory(None), plain=plain).view(session.waits_for)
        with view:
            return session.send(question, on_text=view.text, on_thinking=view.thinking)
    written: list[str] = []

    def write(piece: str) -> None:
        written[:] = [piece]
        out.write(piece)

    try:
        return session.send(question, on_text=write)
    finally:
        if written and not written[0].endswith("\n"):
            out.write("\n")


def _data(opened: OpenedChat, answer: Message) -> dict[str, Any]:
    session = opened.session
    conversation = session.conversation
    saved = not opened.request.no_save
    return {
        "answer": answer.content,
        "thinking": answer.thinking or None,
        "kind": answer.kind,
        "interrupted": answer.interrupted,
        "model": session.model.name,
        "session": {"id": conversation.id, "name": conversation.name} if saved else None,
        "usage": dataclasses.asdict(session.usage()),
        "stats": dataclasses.asdict(session.stats()),
    }

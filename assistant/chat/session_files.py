"""Reading a file for the next question of a conversation: as much as its context has room for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.chat.attachments import read_attachment, split_attachment
from assistant.chat.budget import prompt_tokens
from assistant.chat.chat_problems import FileTooLargeError
from assistant.chat.records import Attachment

if TYPE_CHECKING:
    from assistant.chat.answering import Answering

_QUESTION_TOKENS: Final = 256
"""Room that a file leaves for the question about it."""


def read_for(answering: Answering, path: Path) -> Attachment:
    """Return a file that fits; a context that is only assumed is asked for before refusing.

    Raises:
        FileTooLargeError: it does not fit.
        AttachmentError, FileProblemError: see `attachments.read_attachment`.
    """
    try:
        return _read(answering, path)
    except FileTooLargeError:
        if answering.window.budget.is_exact:
            raise
    answering.learn_num_ctx(load=True)
    return _read(answering, path)


def split_for(answering: Answering, path: Path) -> tuple[Attachment, ...]:
    """Return a text file in parts that each fit into a question of its own.

    Raises:
        AttachmentError, FileProblemError: see `attachments.read_attachment`.
    """
    try:
        return (read_for(answering, path),)
    except FileTooLargeError as error:
        if error.attachment is None:
            raise
        return split_attachment(
            error.attachment,
            budget_tokens=_room(answering),
            count=answering.window.budget.estimate,
        )


def _read(answering: Answering, path: Path) -> Attachment:
    return read_attachment(
        path,
        vision=answering.model.sees_images,
        budget_tokens=_room(answering),
        count=answering.window.budget.estimate,
    )


def _room(answering: Answering) -> int:
    """Return what the system prompt and a question leave, whatever was said before."""
    window = answering.window
    before = prompt_tokens((), system=window.before, budget=window.budget)
    return max(0, window.budget.room - before - _QUESTION_TOKENS)

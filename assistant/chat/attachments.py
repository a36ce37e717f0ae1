"""Files that go with a message: text, code, the text of a PDF, and pictures for some models.

What a file is, is read from its bytes, never from its name. A file is whole or refused; one that
does not fit into the context can be split into parts that do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from assistant.chat.attachment_text import decode_text, looks_binary, split_text
from assistant.chat.budget import IMAGE_TOKENS, MESSAGE_TOKENS, guess_tokens
from assistant.chat.chat_problems import AttachmentError, FileTooLargeError
from assistant.chat.records import Attachment

MOST_TEXT_BYTES: Final = 32 * 1024**2
MOST_PDF_BYTES: Final = 256 * 1024**2
MOST_IMAGE_BYTES: Final = 20 * 1000**2
_HEAD_BYTES: Final = 8192
_FENCE_TOKENS: Final = 12
"""The fence around a file and its name in a message."""
_IMAGES: Final = ((b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"))

CountTokens = Callable[[str], float]


def read_attachment(
    path: Path,
    *,
    vision: bool,
    budget_tokens: int | None,
    count: CountTokens = guess_tokens,
) -> Attachment:
    """Return a file as it goes with a message, with about the tokens it takes.

    `vision` says whether the model sees pictures; `budget_tokens` is the room there is, None for
    any; `count` estimates the tokens of a text (`ContextBudget.estimate`).

    Raises:
        FileTooLargeError: it does not fit into `budget_tokens`; the error carries what was read.
        AttachmentError: there is no such file, it is binary, empty, or a picture that the model
            cannot see.
        FileProblemError: a PDF that cannot be read.
    """
    path = path.expanduser()
    head, size = _head(path)
    name = path.name
    picture = _picture_kind(head)
    if picture is not None:
        found = _image(path, size, picture, vision=vision)
    elif b"%PDF-" in head[:1024]:
        found = Attachment(name, "text", text=_pdf_text(path, size))
    else:
        found = Attachment(name, "text", text=_plain_text(path, head, size, budget_tokens))
    if found.text is not None:
        found = replace(found, tokens=_tokens_of(found, count))
    if budget_tokens is not None and (found.tokens or 0) > budget_tokens:
        whole = found if found.kind == "text" else None
        tokens = found.tokens or 0
        raise FileTooLargeError(name, tokens=tokens, room=budget_tokens, attachment=whole)
    return found


def split_attachment(
    attachment: Attachment, *, budget_tokens: int, count: CountTokens = guess_tokens
) -> tuple[Attachment, ...]:
    """Return a text file in parts of at most `budget_tokens` each, in order, nothing left out.

    Cuts are at blank lines where there are some, else at lines, else within one.

    Raises:
        AttachmentError: it is a picture, or there is no room for any part.
    """
    if attachment.text is None:
        raise AttachmentError(
            f"{attachment.name!r} is a picture, which cannot be split.", hint="Send a smaller one."
        )
    room = budget_tokens - _FENCE_TOKENS - MESSAGE_TOKENS
    if room < 1:
        raise AttachmentError(
            f"there is no room for any part of {attachment.name!r}.",
            hint="Begin a new conversation, or use a model with a longer context.",
        )
    texts = split_text(attachment.text, room, count)
    if len(texts) == 1:
        return (replace(attachment, tokens=_tokens_of(attachment, count)),)
    parts = (
        Attachment(f"{attachment.name} (part {number} of {len(texts)})", "text", text=text)
        for number, text in enumerate(texts, start=1)
    )
    return tuple(replace(part, tokens=_tokens_of(part, count)) for part in parts)


def _tokens_of(attachment: Attachment, count: CountTokens) -> int:
    return round(count(attachment.text or "")) + _FENCE_TOKENS


def _head(path: Path) -> tuple[bytes, int]:
    """Return the first bytes of a file and its size.

    Raises:
        AttachmentError: it is none, or cannot be read.
    """
    name = str(path)
    try:
        if path.is_dir():
            raise AttachmentError(
                f"{name!r} is a folder.", hint="Name one file; folders of notes: assistant guides"
            )
        if path.exists() and not path.is_file():
            raise AttachmentError(
                f"{name!r} is a device or a pipe, not a file.", hint="Name a file on the disk."
            )
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise AttachmentError(
            f"there is no file {name!r}.", hint="Check the name; ~ and relative paths work."
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise AttachmentError(
            f"{name!r} cannot be read: {why.lower()}.", hint="Check its permissions."
        ) from error
    if not head:
        raise AttachmentError(f"{name!r} is empty.", hint="Name a file with something in it.")
    return head, size


def _picture_kind(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return next((kind for magic, kind in _IMAGES if head.startswith(magic)), None)


def _image(path: Path, size: int, kind: str, *, vision: bool) -> Attachment:
    if not vision:
        raise AttachmentError(
            f"{path.name!r} is a picture ({kind}), and this model cannot see pictures.",
            hint="Choose a model that can: assistant recommend --role vision",
        )
    if size > MOST_IMAGE_BYTES:
        raise AttachmentError(
            f"{path.name!r} has {size / 1e6:.0f} MB; pictures may have "
            f"{MOST_IMAGE_BYTES / 1e6:.0f} MB.",
            hint="Send a smaller copy; models scale pictures down in any case.",
        )
    return Attachment(path.name, "image", data=_bytes(path), tokens=IMAGE_TOKENS)


def _pdf_text(path: Path, size: int) -> str:
    from assistant.knowledge.pdf import read_pdf

    if size > MOST_PDF_BYTES:
        raise AttachmentError(
            f"{path.name!r} has {size / 1e6:.0f} MB, too much for one message.",
            hint="Save the pages you need as a file of their own.",
        )
    pages = [page.strip() for page in read_pdf(path)]
    return "\n\n".join(f"[page {n}]\n{page}" for n, page in enumerate(pages, 1) if page)


def _plain_text(path: Path, head: bytes, size: int, budget_tokens: int | None) -> str:
    if looks_binary(head):
        raise AttachmentError(
            f"{path.name!r} is not text that a model can read.",
            hint="Send text, code, a PDF or a picture; convert anything else to text first.",
        )
    if size > MOST_TEXT_BYTES:
        room = budget_tokens or 0
        raise FileTooLargeError(path.name, tokens=round(guess_tokens("a" * 1024) * size / 1024),
                                room=room)  # fmt: skip
    text = decode_text(_bytes(path))
    if text is None:
        raise AttachmentError(
            f"{path.name!r} is not text that a model can read.",
            hint="Save it as UTF-8 text first.",
        )
    if not text.strip():
        raise AttachmentError(
            f"{path.name!r} has nothing but blanks in it.", hint="Name a file with text in it."
        )
    return text


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AttachmentError(
            f"{path.name!r} cannot be read: {(error.strerror or str(error)).lower()}.",
            hint="Check its permissions.",
        ) from error

"""Files that a person adds: which may be added, and their text in pieces.

Markdown, plain text and PDF. What is in them is data: nothing in it is executed, followed or
shown with its control characters.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assistant.errors import AssistantError, FileProblemError, UsageError
from assistant.knowledge.chunks import Chunk, chunk_markdown, chunk_text

LARGEST_TEXT_BYTES: Final = 10_000_000
LARGEST_PDF_BYTES: Final = 100_000_000
MOST_FILES: Final = 2000
_MARKDOWN: Final = frozenset({".md", ".markdown"})
_PLAIN: Final = frozenset({".txt", ".text"})
_PDF: Final = frozenset({".pdf"})
SUFFIXES: Final = _MARKDOWN | _PLAIN | _PDF
_FRONT_MATTER: Final = re.compile(r"\A(---|\+\+\+)[ \t]*\n.*?\n\1[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE: Final = re.compile(r"^#[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_LONGEST_TITLE: Final = 120
# Control characters but newline and tab, marks that change the direction of what is printed after
# them, lone surrogates, and the private use area.
_UNWANTED: Final = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"
    "\\ud800-\\udfff\\ue000-\\uf8ff]"
)


@dataclass(frozen=True, slots=True)
class Document:
    """One file's text in pieces. `sha256` is of the file's bytes."""

    path: Path
    title: str
    sha256: str
    size: int
    chunks: tuple[Chunk, ...]


def find_files(path: Path) -> list[Path]:
    """Return the file, or the files below a folder that can be added, in order.

    Hidden files and folders and links to elsewhere are left out.

    Raises:
        FileProblemError: there is nothing at `path`, or nothing of the right kind.
        UsageError: a single file of another kind, or a folder with too many files.
    """
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{str(path)!r} is not Markdown, text or PDF.",
                hint=f"Files that end in {', '.join(sorted(SUFFIXES))} can be added.",
            )
        return [path]
    if not path.is_dir():
        raise FileProblemError(f"there is no file or folder {str(path)!r}.")
    found = []
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path).parts
        if file.suffix.lower() not in SUFFIXES or any(p.startswith(".") for p in inside):
            continue
        if file.is_file() and file.resolve().is_relative_to(path.resolve()):
            found.append(file)
        if len(found) > MOST_FILES:
            raise UsageError(
                f"{str(path)!r} holds more than {MOST_FILES} files that could be added.",
                hint="Add the folders below it one by one.",
            )
    if not found:
        raise FileProblemError(
            f"nothing in {str(path)!r} is Markdown, text or PDF.",
            hint=f"Files that end in {', '.join(sorted(SUFFIXES))} can be added.",
        )
    return found


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        FileProblemError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def read_document(path: Path) -> Document:
    """Return the document in a file.

    Raises:
        FileProblemError: it is too large, damaged, encrypted, empty, or not text.
    """
    suffix = path.suffix.lower()
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    limit = LARGEST_PDF_BYTES if suffix in _PDF else LARGEST_TEXT_BYTES
    if size > limit:
        raise FileProblemError(
            f"{str(path)!r} is larger than {limit // 1_000_000} MB.",
            hint="Split it, or add the parts you need.",
        )
    title, chunks = _read_pdf(path) if suffix in _PDF else _read_text(path)
    if not chunks:
        raise FileProblemError(f"{str(path)!r} holds no text.")
    return Document(path, title, file_digest(path), size, tuple(chunks))


def clean(text: str) -> str:
    """Return text without control characters; lines end in a newline, tabs stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    return _UNWANTED.sub("", text)


def _read_text(path: Path) -> tuple[str, Sequence[Chunk]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    text = clean(_decode(content, path))
    if path.suffix.lower() in _PLAIN:
        return path.stem, chunk_text(text, path.stem)
    body = _FRONT_MATTER.sub("", text, count=1)
    heading = _TITLE.search(body)
    title = heading[1][:_LONGEST_TITLE] if heading else path.stem
    return title, chunk_markdown(body, title=title)


def _read_pdf(path: Path) -> tuple[str, Sequence[Chunk]]:
    from assistant.knowledge.pdf import read_pdf

    pages = enumerate(read_pdf(path), start=1)
    chunks = [c for number, page in pages for c in chunk_text(clean(page), f"page {number}")]
    return path.stem, chunks


def _decode(content: bytes, path: Path) -> str:
    """Return the text of UTF-8, of UTF-16 with its mark, or else of Windows' western code page."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if content.startswith(mark):
            try:
                text = content.decode(encoding)
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                return text
    if b"\0" in content:
        raise FileProblemError(
            f"{str(path)!r} is not a text file.",
            hint="Only Markdown, plain text and PDF can be added.",
        )
    return content.decode("cp1252", "replace")


def _unreadable(path: Path, error: OSError) -> AssistantError:
    why = (error.strerror or str(error)).lower()
    return FileProblemError(f"{str(path)!r} cannot be read: {why}.")

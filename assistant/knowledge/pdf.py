"""The text of PDF files, page by page; the only door to pypdf."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.errors import FileProblemError

if TYPE_CHECKING:
    from pypdf import PdfReader

MOST_PAGES: Final = 3000
MOST_SECONDS: Final = 120.0


def read_pdf(path: Path) -> list[str]:
    """Return the text of each page, in order.

    Raises:
        FileProblemError: it is not a PDF, is damaged, encrypted, holds no text, or takes too long.
    """
    import pypdf

    # pypdf writes what it repairs to the log, which would end on a person's terminal.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        pages = _pages(pypdf.PdfReader(path), path)
    except (FileProblemError, MemoryError):
        raise
    except Exception as error:  # damaged files raise nearly anything inside pypdf
        raise _problem(
            path, "is not a PDF that can be read", "Convert it to text first, and add the text."
        ) from error
    if not any(page.strip() for page in pages):
        raise _problem(
            path, "holds no text, only pictures", "Run it through text recognition (OCR) first."
        )
    return pages


def _pages(reader: PdfReader, path: Path) -> list[str]:
    if reader.is_encrypted and not reader.decrypt(""):
        raise _problem(path, "is encrypted", "Save a copy without a password and add that.")
    if len(reader.pages) > MOST_PAGES:
        raise _problem(path, f"has more than {MOST_PAGES} pages", "Split it into parts.")
    pages: list[str] = []
    deadline = time.monotonic() + MOST_SECONDS
    for page in reader.pages:
        pages.append(page.extract_text())
        if time.monotonic() > deadline:
            why = f"takes longer than {MOST_SECONDS:.0f} s to read"
            raise _problem(path, why, "Convert it to text first.")
    return pages


def _problem(path: Path, why: str, hint: str) -> FileProblemError:
    return FileProblemError(f"{str(path)!r} {why}.", hint=hint)

"""The last questions, kept for `assistant ask --continue` in a file of their owner's alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from assistant.errors import FileProblemError
from assistant.files import write_atomically
from assistant.paths import data_folder

KEPT_QUESTIONS: Final = 8
_FILE: Final = "last-questions.json"


def read_history(folder: Path | None = None) -> list[str]:
    """Return the questions kept, oldest first; empty when there are none or they are damaged."""
    try:
        found = json.loads(((folder or data_folder()) / _FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(found, list):
        return []
    return [text for text in found if isinstance(text, str)][-KEPT_QUESTIONS:]


def write_history(questions: Sequence[str], folder: Path | None = None) -> str | None:
    """Keep the last questions; return what went wrong in a sentence, or None."""
    try:
        write_atomically(
            (folder or data_folder()) / _FILE, json.dumps(list(questions[-KEPT_QUESTIONS:]))
        )
    except FileProblemError as error:
        return f"The question could not be kept for --continue: {error.message}"
    return None

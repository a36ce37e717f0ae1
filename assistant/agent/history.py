"""The last questions, kept for `assistant ask --continue` in a file of their owner's alone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

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
    path = (folder or data_folder()) / _FILE
    unfinished = path.with_name(f"{_FILE}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(list(questions[-KEPT_QUESTIONS:]), file)
        unfinished.replace(path)
    except OSError as error:
        return f"The question could not be kept for --continue: {error.strerror or error}."
    return None

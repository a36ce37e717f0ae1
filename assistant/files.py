"""Writing small state files so that a kill at any instant leaves the old or the new one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from assistant.errors import FileProblemError

OWNER_ONLY: Final = 0o600


def write_atomically(path: Path, text: str, *, mode: int = OWNER_ONLY) -> None:
    """Write `text` to `path` in one step: written beside it, flushed to disk, then renamed.

    The folder is made when it is missing, readable by its owner only.

    Raises:
        FileProblemError: it cannot be written; what was there before is as it was.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        data = text.encode("utf-8")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _flush_folder(path.parent)
    except (OSError, UnicodeError) as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        why = error.strerror if isinstance(error, OSError) else None
        raise FileProblemError(
            f"{str(path)!r} cannot be written: {(why or str(error)).lower()}.",
            hint="Check the folder's permissions and the room on the disk, or set ASSISTANT_HOME.",
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

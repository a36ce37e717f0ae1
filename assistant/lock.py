"""One writer at a time: a lock on a file that the system releases when its process ends.

A process that was killed leaves no lock behind, so none can be stale; the file itself stays and
says nothing. `flock(2)` on POSIX, `LockFileEx` through `msvcrt` on Windows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from assistant.errors import FileProblemError

WAIT_S: Final = 600.0
_POLL_S: Final = 0.1


@contextmanager
def writing(
    path: Path,
    *,
    wait_s: float = WAIT_S,
    held_by: str = "is still building the index of the guides",
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock at `path` during the block; wait up to `wait_s` for another process.

    `held_by` says in the error what the other one does; `on_wait` is called once before waiting.

    Raises:
        FileProblemError: another process holds it for longer, or the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise FileProblemError(
            f"{str(path)!r} cannot be written: {(error.strerror or str(error)).lower()}.",
            hint="Check the folder's permissions, or set ASSISTANT_HOME to another one.",
        ) from error
    with file:
        deadline = time.monotonic() + wait_s
        waiting = False
        while not _try_lock(file):
            if on_wait is not None and not waiting:
                on_wait()
            waiting = True
            if time.monotonic() > deadline:
                raise FileProblemError(
                    f"another process {held_by}.",
                    hint="Wait for it, or end it, and try again.",
                )
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks: one writer is then the person's to mind
        return True

    def _unlock(file: BinaryIO) -> None:
        with suppress(OSError):  # closing the file releases it too
            fcntl.flock(file, fcntl.LOCK_UN)

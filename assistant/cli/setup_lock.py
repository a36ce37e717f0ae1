"""One at a time: whatever changes aliases or the ledger holds the lock of setup meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.cli.output import Output

LOCK_WAIT_S = 60.0
"""How long a command that is done in a moment waits for another that is not."""


@contextmanager
def setup_lock(out: Output, *, waiting: str, wait_s: float | None = None) -> Iterator[None]:
    """Hold the lock; say `waiting` once when another process has it.

    `wait_s` is how long to wait for that one; None is the time that a setup may take.

    Raises:
        FileProblemError: another process holds it for longer.
    """
    from assistant.lock import WAIT_S, writing
    from assistant.paths import data_folder

    with writing(
        data_folder() / "setup.lock",
        wait_s=WAIT_S if wait_s is None else wait_s,
        held_by="is setting up models",
        on_wait=lambda: out.note(waiting),
    ):
        yield

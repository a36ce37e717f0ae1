"""The keyboard while an answer is written: what is typed is not shown, and waits for the prompt."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_keys() -> Iterator[None]:
    """Let the terminal show no typed character while the block runs; Ctrl-C works as ever.

    What is typed is read by the next prompt, also when Ctrl-C stops the answer (NOFLSH). Without
    a terminal, or on Windows, nothing changes.
    """
    try:
        import termios

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (ImportError, OSError, ValueError, AttributeError):
        yield
        return
    except termios.error:
        yield
        return
    quiet = [*before]
    quiet[3] = before[3] & ~(termios.ECHO | termios.ICANON) | termios.NOFLSH
    termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

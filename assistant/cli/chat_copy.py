"""Copying to the clipboard: a program of the desktop where there is one, and the terminal itself.

OSC 52 asks the terminal to do it, which also works over SSH; whether it does is the terminal's
choice, and it does not answer. Nothing is written to a file.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

LONGEST_OSC52: Final = 74_994
"""Bytes of base64 text that terminals are known to take (hterm's and tmux's limit of 100,000 less
the code around it is above it)."""
_TIMEOUT_S: Final = 3.0


def osc52(text: str) -> str | None:
    """Return the escape code that asks the terminal to copy `text`; None for too long a text."""
    data = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    return f"\x1b]52;c;{data}\x07" if len(data) <= LONGEST_OSC52 else None


def clipboard_program(environ: Mapping[str, str] | None = None) -> list[str] | None:
    """Return the command line of a program that copies its input, or None."""
    env = os.environ if environ is None else environ
    wanted: list[list[str]] = []
    if sys.platform == "darwin":
        wanted.append(["pbcopy"])
    if sys.platform == "win32":
        wanted.append(["clip"])
    if env.get("WAYLAND_DISPLAY"):
        wanted.append(["wl-copy"])
    if env.get("DISPLAY"):
        wanted += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    return next((line for line in wanted if shutil.which(line[0], path=env.get("PATH"))), None)


def copy_with(program: list[str], text: str) -> bool:
    """Return whether the program took the text."""
    try:
        done = subprocess.run(
            program,
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0

"""A terminal without a window: runs a program in a pty and keeps what its screen shows.

    with Terminal(["chat"], columns=80, rows=24, env={...}) as terminal:
        terminal.wait_for("> ")
        terminal.type("hello\\r")
        assert "hello" in terminal.text()

The screen is pyte's, which answers what programs ask a terminal (cursor position).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import pyte

WAIT_S: Final = 20.0
_PROGRAM: Final = "from assistant.cli.main import main; main()"
PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"


class Terminal:
    """Runs `assistant ARGUMENTS...` from start to the end of the block.

    `raw` is all that the program wrote, `text` the screen with what scrolled off its top.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        program: str = _PROGRAM,
    ) -> None:
        self.raw = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=2000, ratio=0.5)
        self._screen.write_process_input = self._answer  # type: ignore[method-assign]
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._exit: int | None = None
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            with contextlib.suppress(BaseException):
                _become(arguments, env or {}, cwd, program)
            os._exit(70)
        self._set_size(columns, rows)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self.wait_exit()
        os.close(self._master)

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._pid

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def paste(self, text: str) -> None:
        """Paste a text as a terminal does that knows bracketed paste."""
        self.type(f"{PASTE_BEGINS}{text}{PASTE_ENDS}")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.type("\x03")

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        with self._lock:
            self._screen.resize(rows, columns)
        self._set_size(columns, rows)
        os.kill(self._pid, signal.SIGWINCH)

    def screen(self) -> str:
        """Return what the screen shows now, without blanks at the ends of lines."""
        with self._lock:
            lines = [line.rstrip() for line in self._screen.display]
        return "\n".join(lines).rstrip("\n")

    def text(self) -> str:
        """Return the screen and what scrolled off its top."""
        with self._lock:
            columns = self._screen.columns
            above = [
                "".join(row[at].data for at in range(columns)).rstrip()
                for row in self._screen.history.top
            ]
            shown = [line.rstrip() for line in self._screen.display]
        return "\n".join([*above, *shown]).rstrip("\n")

    def wait_for(self, wanted: str | Callable[[str], bool], *, timeout_s: float = WAIT_S) -> str:
        """Return the text when it contains `wanted`, or when `wanted(text)` holds."""
        until = time.monotonic() + timeout_s
        while True:
            text = self.text()
            if wanted in text if isinstance(wanted, str) else wanted(text):
                return text
            if time.monotonic() > until:
                raise AssertionError(f"never came: {wanted!r}; the screen is\n{text}")
            time.sleep(0.02)

    def settle(self, quiet_s: float = 0.2, *, timeout_s: float = WAIT_S) -> str:
        """Return the screen when nothing was written for `quiet_s`."""
        until = time.monotonic() + timeout_s
        size, since = -1, time.monotonic()
        while time.monotonic() < until:
            if len(self.raw) != size:
                size, since = len(self.raw), time.monotonic()
            elif time.monotonic() - since >= quiet_s:
                break
            time.sleep(0.02)
        return self.screen()

    def wait_exit(self, *, timeout_s: float = WAIT_S) -> int:
        """Return the exit code when the program has ended."""
        until = time.monotonic() + timeout_s
        while self._exit is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._exit = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                raise AssertionError(f"the program goes on; the screen is\n{self.text()}")
            else:
                time.sleep(0.02)
        self._reader.join(timeout=2)
        return self._exit

    def is_echoing(self) -> bool:
        """Return whether the terminal would show a typed character by itself."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)

    def _answer(self, data: Any) -> None:
        with contextlib.suppress(OSError):
            os.write(self._master, data.encode() if isinstance(data, str) else data)


def _become(
    arguments: Sequence[str], env: Mapping[str, str], cwd: str | None, program: str
) -> None:
    """Turn this process, just forked, into the program."""
    kept = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES", "NO_COLOR"}}
    kept |= {"TERM": "xterm-256color", **env}
    if cwd is not None:
        os.chdir(cwd)
    time.sleep(0.05)  # the size of the window is set by then
    os.execve(sys.executable, [sys.executable, "-c", program, *arguments], kept)

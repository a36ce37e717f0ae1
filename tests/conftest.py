"""Every test runs with a home of its own, a fixed terminal, and no network but loopback."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.running import CommandResult

# A busy machine is no defect; in CI the same examples are tried each time.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

_real_connect = socket.socket.connect
_real_connect_ex = socket.socket.connect_ex
_CONFIGURED = ("OLLAMA_", "ASSISTANT_")


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty home, no Ollama settings, 80 columns and no colour."""
    for name in list(os.environ):
        if name.startswith(_CONFIGURED) and name not in {"ASSISTANT_FACTS", "ASSISTANT_TRUTH"}:
            monkeypatch.delenv(name)
    home = tmp_path / "assistant-home"
    monkeypatch.setenv("ASSISTANT_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return home


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects to anything but this computer."""

    def connect(self: socket.socket, address: Any) -> None:
        _refuse_outside(self, address)
        _real_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_outside(self, address)
        return _real_connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)


@pytest.fixture
def run_cli() -> Callable[..., CommandResult]:
    """Return a function that runs `assistant ARGUMENTS...` in this process, output piped."""
    from assistant.cli.main import run

    def run_it(*arguments: str, stdin: str = "") -> CommandResult:
        out, err = _Pipe(), _Pipe()
        with _stdin(stdin), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
        return CommandResult(code, out.text(), err.text())

    return run_it


class _Pipe(io.TextIOWrapper):
    """A text stream in memory that says which encoding it has, as a pipe does."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True)

    def text(self) -> str:
        self.seek(0)
        return self.read()


@contextlib.contextmanager
def _stdin(text: str) -> Iterator[None]:
    import sys

    before = sys.stdin
    sys.stdin = io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = before


def _refuse_outside(sock: socket.socket, address: Any) -> None:
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    host = str(address[0])
    if host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        return
    raise AssertionError(f"a test tried to reach {host}")

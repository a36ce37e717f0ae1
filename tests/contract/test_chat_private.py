"""Nothing leaves the machine: every socket and file of a whole chat is listed, and allowed.

The chat runs under strace in a network namespace that has only loopback, with the test server
beside it (`tests/support/private_session.py`). Needs Linux, `unshare` and `strace`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.private_session import why_impossible

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_impossible() is not None, reason=str(why_impossible())),
]

ROOT = Path(__file__).parent.parent.parent
_CALL = re.compile(r"^\d+\s+(?P<name>\w+)\((?P<arguments>.*)\)\s+=\s+(?P<result>-?\d+)")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
_INET = re.compile(r'sin6?_port=htons\((\d+)\).*?"([0-9a-fA-F.:]+)"')
_WRITES = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")
_CHANGES = {
    "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "link",
    "linkat", "symlink", "symlinkat", "truncate",
}  # fmt: skip
_DEVICES = ("/dev/tty", "/dev/null", "/dev/pts/", "/dev/ptmx", "/proc/")


@dataclass(frozen=True)
class Call:
    """One recorded call that succeeded or not: its name, arguments and result."""

    name: str
    arguments: str
    result: int


@pytest.fixture(scope="module", params=[True, False], ids=["kept", "no-save"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    home = tmp_path_factory.mktemp("private-home")
    log = tmp_path_factory.mktemp("private-log") / "calls"
    more = [] if request.param else ["--no-save"]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-m",
         "tests.support.private_session", str(home), str(log), *more],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = [_CALL.match(line) for line in log.read_text("utf-8", "replace").splitlines()]
    calls = [Call(m["name"], m["arguments"], int(m["result"])) for m in found if m]
    return Session(home, int(done.stdout.split()[-1]), calls, kept=bool(request.param))


@dataclass(frozen=True)
class Session:
    """What a recorded chat did; `port` is that of the test server."""

    home: Path
    port: int
    calls: list[Call]
    kept: bool


def test_the_recording_saw_the_chat(session: Session) -> None:
    ports = {int(m[1]) for c in session.calls for m in _INET.finditer(c.arguments)}
    assert session.port in ports
    assert (session.home / "talk.md").exists()


def test_only_the_configured_server_is_contacted(session: Session) -> None:
    for call in session.calls:
        for port, host in _INET.findall(call.arguments):
            if call.name == "bind":  # a library looks whether IPv6 is there
                assert host in {"127.0.0.1", "::1"}, call
            else:
                assert (host, int(port)) == ("127.0.0.1", session.port), call
        if call.name in {"connect", "sendto", "sendmsg"} and "AF_UNIX" in call.arguments:
            # the C library asks its name service cache, which is a file on this machine
            assert "nscd" in call.arguments, call


def test_only_the_programs_own_folders_are_written(session: Session) -> None:
    own = [str(session.home / "assistant"), str(session.home / "talk.md")]
    for call in session.calls:
        if call.result < 0:
            continue
        writes = call.name in _CHANGES or (
            call.name in {"open", "openat"} and any(flag in call.arguments for flag in _WRITES)
        )
        for path in _PATH.findall(call.arguments) if writes else ():
            allowed = path.startswith((*own, *_DEVICES)) or not path.startswith("/")
            assert allowed, call
            assert path.startswith("/") or "O_TMPFILE" not in call.arguments, call


def test_without_saving_nothing_is_left(session: Session) -> None:
    left = [p for p in (session.home / "assistant").rglob("*") if p.is_file()]
    said = b"Good morning"
    if session.kept:
        assert any(said in path.read_bytes() for path in left)
        assert all(path.stat().st_mode & 0o077 == 0 for path in left if path.suffix == ".sqlite")
    else:
        assert not [path for path in left if said in path.read_bytes()]
        assert not list((session.home / "assistant").rglob("*.sqlite*"))

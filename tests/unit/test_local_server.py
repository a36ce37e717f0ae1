"""Finding, explaining and starting Ollama on this computer, with scripts that stand in for it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from assistant.ollama import local_server
from assistant.ollama.local_server import (
    ServerNotStartedError,
    find_ollama,
    how_to_install,
    how_to_start,
    start_server,
)
from assistant.ollama.server_address import ServerAddress, parse_address

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts need a POSIX shell")

ANSWERS = """
import http.server, os, sys
host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
print("serving on", os.environ["OLLAMA_HOST"], sys.argv[1:], flush=True)

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"version": "0.33.0"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass

http.server.HTTPServer((host, int(port)), Answer).serve_forever()
"""
DIES = "import sys; print('starting', flush=True); sys.exit('Error: the port is in use')"
DIES_SILENTLY = "import sys; sys.exit(3)"
NEVER_ANSWERS = "import time; print('waiting for a GPU', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


@pytest.fixture
def address() -> ServerAddress:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return parse_address(f"127.0.0.1:{free.getsockname()[1]}")


def program(folder: Path, source: str) -> Path:
    """Write an `ollama` that runs the source in this Python."""
    script = folder / "stand_in.py"
    script.write_text(source)
    path = folder / "ollama"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    path.chmod(0o755)
    return path


def test_a_server_that_answers_is_left_running(tmp_path: Path, address: ServerAddress) -> None:
    log = tmp_path / "logs" / "ollama-serve.log"
    started = start_server(address, program(tmp_path, ANSWERS), log=log)
    try:
        assert started.log == log
        assert f"serving on {address.url.partition('://')[2]} ['serve']" in log.read_text()
        assert os.getsid(started.pid) == started.pid  # Ctrl-C in this terminal does not reach it
        with socket.create_connection(("127.0.0.1", address.port), timeout=5):
            pass
        assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    finally:
        os.kill(started.pid, signal.SIGKILL)
        os.waitpid(started.pid, 0)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (DIES, "was started, but ended with status 1 (Error: the port is in use)."),
        (DIES_SILENTLY, "was started, but ended with status 3."),
    ],
)
def test_a_server_that_ends_at_once_is_told_with_its_last_words(
    tmp_path: Path, address: ServerAddress, source: str, sentence: str
) -> None:
    log = tmp_path / "serve.log"
    log.write_text("the last words of another day\n")
    began = time.monotonic()
    with pytest.raises(ServerNotStartedError) as caught:
        start_server(address, program(tmp_path, source), log=log)
    assert caught.value.message == f"'ollama serve' {sentence}"
    assert caught.value.hint == f"Its output: {log}"
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("source", [NEVER_ANSWERS, DEAF])
def test_a_server_that_never_answers_is_stopped_again(
    tmp_path: Path, address: ServerAddress, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_server, "_STOP_S", 0.5)
    log = tmp_path / "serve.log"
    pid_file = tmp_path / "pid"
    noted = f"import os; open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n{source}"
    with pytest.raises(ServerNotStartedError) as caught:
        start_server(address, program(tmp_path, noted), log=log, timeout_s=1.5)
    said = " (waiting for a GPU)" if source is NEVER_ANSWERS else ""
    assert caught.value.message == f"'ollama serve' was started, but said nothing in 1.5 s{said}."
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path, address: ServerAddress) -> None:
    path = tmp_path / "ollama"
    path.write_text("not a program")
    with pytest.raises(ServerNotStartedError) as caught:
        start_server(address, path, log=tmp_path / "serve.log")
    assert "cannot be started: " in caught.value.message
    assert caught.value.hint


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path, address: ServerAddress) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(ServerNotStartedError, match="cannot be started"):
        start_server(
            address, program(tmp_path, ANSWERS), log=tmp_path / "logs" / "ollama-serve.log"
        )


def test_ollama_is_found_on_the_path(tmp_path: Path) -> None:
    there = program(tmp_path, DIES)
    assert find_ollama({"PATH": str(tmp_path)}, platform="none") == there
    assert find_ollama({"PATH": ""}, platform="none") is None
    assert find_ollama({}, platform="none") is None


def test_ollama_is_found_where_the_windows_installer_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "Programs" / "ollama.exe"
    place.parent.mkdir()
    place.write_text("")
    usual = {"win32": ("%LOCALAPPDATA%/Programs/ollama.exe",)}
    monkeypatch.setattr(local_server, "_USUAL_PLACES", usual)
    assert find_ollama({"LOCALAPPDATA": str(tmp_path)}, platform="win32") == place


@pytest.mark.parametrize(
    ("platform", "word"),
    [("linux", "install.sh"), ("darwin", "brew"), ("win32", "winget"), ("aix", "your system")],
)
def test_how_to_install(platform: str, word: str) -> None:
    said = how_to_install(platform=platform)
    assert said.startswith("Install Ollama from https://ollama.com/download (")
    assert word in said
    assert how_to_start(None, platform=platform) == said


def test_how_to_start() -> None:
    assert "--start-server" in how_to_start(Path("ollama"), platform="linux")
    for platform in ("darwin", "win32"):
        assert "Start the Ollama application" in how_to_start(Path("ollama"), platform=platform)

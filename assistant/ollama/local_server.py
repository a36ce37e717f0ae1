"""Ollama on this computer: is the program there, how to get it, and starting the server.

Nothing here installs anything. `start_server` runs `ollama serve` and leaves it running, for
those who ask for it (`--start-server`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assistant.errors import OllamaError
from assistant.ollama import wire
from assistant.ollama.server_address import ServerAddress

START_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1
_USUAL_PLACES: Final = {
    "darwin": (
        "/Applications/Ollama.app/Contents/Resources/ollama",
        "/opt/homebrew/bin/ollama",
        "/usr/local/bin/ollama",
    ),
    "linux": ("/usr/local/bin/ollama", "/usr/bin/ollama", "/snap/bin/ollama"),
    "win32": (r"%LOCALAPPDATA%\Programs\Ollama\ollama.exe",),
}
_LAST_WORDS_BYTES: Final = 2000
_STOP_S: Final = 5.0


class ServerNotStartedError(OllamaError):
    """`ollama serve` could not be started, or did not answer."""

    code = "server_not_started"


@dataclass(frozen=True, slots=True)
class StartedServer:
    """A server that was started; `log` is where its output goes."""

    pid: int
    log: Path


def find_ollama(
    environ: Mapping[str, str] | None = None, *, platform: str = sys.platform
) -> Path | None:
    """Return the `ollama` program: on the PATH, or where installers put it; None when not there."""
    environ = os.environ if environ is None else environ
    found = shutil.which("ollama", path=environ.get("PATH", ""))
    if found:
        return Path(found)
    for place in _USUAL_PLACES.get(platform, ()):
        path = Path(place.replace("%LOCALAPPDATA%", environ.get("LOCALAPPDATA", "")))
        if path.is_file():
            return path
    return None


def how_to_start(program: Path | None, *, platform: str = sys.platform) -> str:
    """Return what a person does to have a server here: install it, or start it."""
    if program is None:
        return how_to_install(platform=platform)
    if platform == "linux":
        return (
            "Start it with: ollama serve (or, where it is a service: sudo systemctl start ollama). "
            "assistant setup --start-server does the first."
        )
    return "Start the Ollama application, or run: ollama serve"


def how_to_install(*, platform: str = sys.platform) -> str:
    """Return how Ollama is installed on this kind of system."""
    way = {
        "linux": "curl -fsSL https://ollama.com/install.sh | sh",
        "darwin": "download the application, or: brew install ollama",
        "win32": "download OllamaSetup.exe, or: winget install Ollama.Ollama",
    }.get(platform, "see the page for your system")
    return f"Install Ollama from https://ollama.com/download ({way}), then run this again."


def start_server(
    address: ServerAddress, program: Path, *, log: Path, timeout_s: float = START_TIMEOUT_S
) -> StartedServer:
    """Start `ollama serve` for `address`, detached from this process; return when it answers.

    Raises:
        ServerNotStartedError: it ended, or did not answer within `timeout_s`.
    """
    environ = {**os.environ, "OLLAMA_HOST": address.url.partition("://")[2]}
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as output:
            already = output.tell()
            process = subprocess.Popen(
                [str(program), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )
    except OSError as error:
        raise ServerNotStartedError(
            f"{str(program)!r} cannot be started: {(error.strerror or str(error)).lower()}.",
            hint=how_to_start(program),
        ) from error
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(address):
            process.returncode = 0  # it is to outlive this program: nobody waits for it
            return StartedServer(process.pid, log)
        time.sleep(_POLL_S)
    ended = process.poll()
    _stop(process)
    what = f"ended with status {ended}" if ended is not None else f"said nothing in {timeout_s:g} s"
    raise ServerNotStartedError(
        f"'ollama serve' was started, but {what}{_last_words(log, already)}.",
        hint=f"Its output: {log}",
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(address: ServerAddress) -> bool:
    try:
        wire.check_reachable(address)
        wire.request_json(address, "/api/version", timeout_s=1.0)
    except OllamaError:
        return False
    return True


def _last_words(log: Path, already: int) -> str:
    """Return the last line of what was added to the log since it had `already` bytes."""
    try:
        with log.open("rb") as file:
            file.seek(max(already, log.stat().st_size - _LAST_WORDS_BYTES))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return f" ({lines[-1].strip()[:160]})" if lines else ""

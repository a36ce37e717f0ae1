"""The environment that the running Ollama server really has, and where that was read.

What a person exports in a shell is not what a service sees. On Linux the truth is in
/proc/PID/environ of the `ollama serve` process, readable by the same user and by root; else
the systemd unit says what a service is started with; else this process's own environment is
the only guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from assistant.config import unquote
from assistant.machine.detect.files import (
    exists,
    list_directory,
    pairs,
    parse_count,
    read_bytes,
    read_text,
)
from assistant.machine.detect.server_environment import runs_as_service, server_environment

EnvironmentSource = Literal["process", "service", "shell"]

DEFAULT_PORT: Final = 11434
_SERVE_WORDS: Final = ("serve", "start")
_PROGRAMS: Final = ("ollama", "ollama.exe")


@dataclass(frozen=True, slots=True)
class ServerEnvironment:
    """The variables of the server and their source.

    `source` is `process` for the environment of the running server, `service` for what its
    systemd unit sets, `shell` for this process's own. `why` says why no better source could be
    read. `pid` and `uid` are those of the running process, None when none was found.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    source: EnvironmentSource = "shell"
    pid: int | None = None
    uid: int | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    uid: int | None
    variables: Mapping[str, str] | None


def detect_server_process(
    root: Path, environ: Mapping[str, str], *, port: int = DEFAULT_PORT
) -> ServerEnvironment:
    """Return the environment of the server that listens on `port` of this computer.

    `root` is the file system, `environ` this process's environment. Never raises.
    """
    processes = _server_processes(root)
    readable = [each for each in processes if each.variables is not None]
    match = next((p for p in readable if _port(p.variables or {}) == port), None)
    if match is not None:
        return ServerEnvironment(match.variables or {}, "process", match.pid, match.uid)
    hidden = next((each for each in processes if each.variables is None), None)
    if hidden is not None:
        why = f"no permission to read /proc/{hidden.pid}/environ"
    elif readable:
        why = f"the Ollama server found here does not listen on port {port}"
    elif exists(root / "proc"):
        why = "no running Ollama server was found in /proc"
    else:
        why = "this system does not show the environment of other processes"
    pid, uid = (None, None) if hidden is None else (hidden.pid, hidden.uid)
    if runs_as_service(root):
        return ServerEnvironment(server_environment(root, {}), "service", pid, uid, why)
    return ServerEnvironment(dict(environ), "shell", pid, uid, why)


def is_server_command(arguments: tuple[str, ...]) -> bool:
    """Return whether these are the arguments of an Ollama server, not of its runners."""
    if len(arguments) < 2:
        return False
    program = arguments[0].replace("\\", "/").rpartition("/")[2].lower()
    return program in _PROGRAMS and arguments[1] in _SERVE_WORDS


def _server_processes(root: Path) -> list[_Process]:
    found = []
    for folder in list_directory(root / "proc", "[0-9]*"):
        pid = parse_count(folder.name)
        command = read_bytes(folder / "cmdline", limit=4096) or b""
        if pid is None or not is_server_command(_strings(command)):
            continue
        found.append(_Process(pid, _uid(folder), _variables(folder)))
    return found


def _strings(data: bytes) -> tuple[str, ...]:
    return tuple(each.decode("utf-8", "replace") for each in data.split(b"\0") if each)


def _variables(folder: Path) -> dict[str, str] | None:
    """Return the variables a process was started with; None when they may not be read.

    A running server always has some: an empty file is what a zombie shows.
    """
    data = read_bytes(folder / "environ")
    if not data:
        return None
    named = (each.partition("=") for each in _strings(data))
    return {name: value for name, separator, value in named if separator}


def _uid(folder: Path) -> int | None:
    """Return the effective user of a process, the second number of its Uid line."""
    fields = dict(pairs(read_text(folder / "status") or "", ":"))
    words = fields.get("Uid", "").split()
    return parse_count(words[1]) if len(words) > 1 else None


def _port(variables: Mapping[str, str]) -> int:
    """Return the port in OLLAMA_HOST as the server reads it: `host:port`, `:port`, a URL."""
    scheme, separator, rest = unquote(variables.get("OLLAMA_HOST", "")).partition("://")
    default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    address = (rest if separator else scheme).partition("/")[0]
    host, colon, text = address.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return default
    number = parse_count(text)
    return number if number is not None and 0 < number < 1 << 16 else default

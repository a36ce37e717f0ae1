"""The environment of the running server, from file trees as /proc shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.machine.detect.server_process import (
    ServerEnvironment,
    detect_server_process,
    is_server_command,
)

SHELL = {"OLLAMA_KV_CACHE_TYPE": "f16", "HOME": "/home/me"}


def process(
    root: Path,
    pid: int,
    command: str,
    variables: Mapping[str, str] | None = None,
    *,
    uid: int = 998,
) -> Path:
    """Write what /proc shows of a process; without `variables` they may not be read."""
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True)
    folder.joinpath("cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    folder.joinpath("status").write_text(f"Name:\tollama\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
    if variables is not None:
        pairs = "\0".join(f"{name}={value}" for name, value in variables.items())
        folder.joinpath("environ").write_bytes(pairs.encode() + b"\0")
    return folder


def service(root: Path, *lines: str) -> None:
    """Write a systemd unit with a drop-in, as `systemctl edit ollama` makes it."""
    folder = root / "etc/systemd/system"
    folder.joinpath("ollama.service.d").mkdir(parents=True)
    folder.joinpath("ollama.service").write_text("[Service]\nExecStart=/usr/bin/ollama serve\n")
    text = "[Service]\n" + "\n".join(f'Environment="{line}"' for line in lines)
    folder.joinpath("ollama.service.d/override.conf").write_text(text)


def test_the_running_server_says_what_it_was_started_with(tmp_path: Path) -> None:
    process(tmp_path, 812, "/usr/local/bin/ollama serve", {"OLLAMA_NUM_PARALLEL": "4", "A": "b=c"})
    service(tmp_path, "OLLAMA_NUM_PARALLEL=2")
    found = detect_server_process(tmp_path, SHELL)
    assert found == ServerEnvironment(
        {"OLLAMA_NUM_PARALLEL": "4", "A": "b=c"}, "process", pid=812, uid=998
    )


def test_without_permission_the_unit_of_the_service_says_it(tmp_path: Path) -> None:
    process(tmp_path, 812, "/usr/local/bin/ollama serve")
    service(tmp_path, "OLLAMA_NUM_PARALLEL=2", "OLLAMA_HOST=0.0.0.0")
    found = detect_server_process(tmp_path, SHELL)
    assert found.source == "service"
    assert found.variables == {"OLLAMA_NUM_PARALLEL": "2", "OLLAMA_HOST": "0.0.0.0"}
    assert found.why == "no permission to read /proc/812/environ"
    assert (found.pid, found.uid) == (812, 998)


def test_without_a_service_this_shell_is_the_only_guess(tmp_path: Path) -> None:
    process(tmp_path, 812, "ollama serve")
    found = detect_server_process(tmp_path, SHELL)
    assert (found.source, found.variables) == ("shell", SHELL)
    assert "no permission" in (found.why or "")


def test_no_server_at_all(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    process(tmp_path, 1, "/sbin/init splash", {"A": "b"})
    found = detect_server_process(tmp_path, SHELL)
    assert (found.source, found.pid) == ("shell", None)
    assert found.why == "no running Ollama server was found in /proc"


def test_a_system_without_proc_says_so(tmp_path: Path) -> None:
    found = detect_server_process(tmp_path, SHELL)
    assert found.source == "shell"
    assert found.why == "this system does not show the environment of other processes"


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("", 11434),
        ("0.0.0.0", 11434),
        ("127.0.0.1:11500", 11500),
        (":11500", 11500),
        ("[::1]:11500", 11500),
        ("[::]", 11434),
        ("::1", 11434),
        ("http://example.test", 80),
        ("https://example.test/ollama", 443),
        ("http://example.test:9000/x", 9000),
        ('"127.0.0.1:11500"', 11500),
        ("127.0.0.1:99999", 11434),
    ],
)
def test_of_several_servers_the_one_that_listens_on_the_port(
    tmp_path: Path, host: str, port: int
) -> None:
    process(tmp_path, 10, "ollama serve", {"OLLAMA_HOST": "127.0.0.1:1", "N": "other"})
    process(tmp_path, 11, "ollama serve", {"OLLAMA_HOST": host, "N": "this"})
    found = detect_server_process(tmp_path, SHELL, port=port)
    assert (found.pid, found.variables["N"]) == (11, "this")


def test_a_server_elsewhere_on_this_computer_is_not_taken_for_it(tmp_path: Path) -> None:
    process(tmp_path, 10, "ollama serve", {"OLLAMA_HOST": "127.0.0.1:1"})
    found = detect_server_process(tmp_path, SHELL)
    assert (found.source, found.pid) == ("shell", None)
    assert found.why == "the Ollama server found here does not listen on port 11434"


@pytest.mark.parametrize(
    ("command", "is_server"),
    [
        ("/usr/local/bin/ollama serve", True),
        ("ollama start", True),
        (r"C:\Programs\Ollama\ollama.exe serve", True),
        ("ollama run qwen3:8b", False),
        ("/usr/local/bin/ollama runner --model x", False),
        ("ollama", False),
        ("vim serve", False),
        ("/usr/bin/myollama serve", False),
    ],
)
def test_which_command_is_a_server(command: str, is_server: bool) -> None:
    assert is_server_command(tuple(command.split())) is is_server


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_in_proc_make_it_fail(
    tmp_path_factory: pytest.TempPathFactory, command: bytes, variables: bytes, status: bytes
) -> None:
    root = tmp_path_factory.mktemp("root")
    folder = root / "proc/77"
    folder.mkdir(parents=True)
    folder.joinpath("cmdline").write_bytes(b"ollama\0serve\0" + command)
    folder.joinpath("environ").write_bytes(variables)
    folder.joinpath("status").write_bytes(b"Uid:" + status)
    assert detect_server_process(root, SHELL).source in {"process", "shell"}

"""`assistant setup` as a person sees it: the screens at 80 columns, in a terminal and in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

import assistant.machine.detect
from assistant.cli.confirm import check_can_ask
from assistant.cli.output import Output
from assistant.cli.setup_request import parse_models, parse_roles
from assistant.errors import UsageError
from assistant.machine.parse import load_machine
from assistant.machine.records import Disk
from assistant.provision.ledger import read_ledger
from assistant.units import GB, GIB
from tests.support.fake_ollama import ALL_MINILM, SMOLLM2, Fault, Gpu, library_model
from tests.support.setup_scene import MODEL, Scene, Seen, scene

COLUMNS = 80
CHAT = ("setup", "--yes", "--model", f"chat={MODEL}", "--bandwidth", "50MB/s")
THREE = (
    "setup", "--yes", "--model", "chat=qwen3:8b", "--model", "code=qwen2.5-coder:3b",
    "--model", "embeddings=all-minilm", "--bandwidth", "24MB/s",
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as found:
        yield found


@pytest.fixture
def gpu_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    described = load_machine("Ryzen 7 5700X, RTX 3060 12GB, 32GB RAM")
    disk = Disk(models_path=str(tmp_path / "models"), free_bytes=210 * GB)
    machine = replace(described, source="detected", disk=disk)
    monkeypatch.setattr(assistant.machine.detect, "detect_machine", lambda: machine)
    names = ("qwen3:8b", "qwen2.5-coder:3b")
    library = [SMOLLM2, ALL_MINILM, *(library_model(name) for name in names)]
    with scene(tmp_path, library=library, gpu=Gpu(12 * GIB, round(11.3 * GIB))) as found:
        yield found


def screen(scene: Scene, seen: Seen) -> str:
    """Return what was printed without what differs from run to run."""
    text = f"{seen.stderr}---- {seen.exit_code}\n{seen.stdout}"
    text = text.replace(scene.server.host, "HOST:11434")
    text = re.sub(r"loads in \d+\.\d s", "loads in 0.0 s", text)
    return re.sub(r"Done in \d+ s", "Done in 0 s", text)


def check_width(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("Next: ")]  # to be typed
    assert [line for line in lines if len(line) > COLUMNS] == []


def test_the_screens(gpu_here: Scene, snapshot: SnapshotAssertion) -> None:
    dry = [*(a for a in THREE if a != "--yes"), "--dry-run"]
    for name, arguments in (("plan", dry), ("first", THREE), ("again", THREE)):
        shown = screen(gpu_here, gpu_here.run(*arguments))
        check_width(shown)
        assert shown == snapshot(name=name)


def test_the_screen_of_a_smaller_context(gpu_here: Scene, snapshot: SnapshotAssertion) -> None:
    gpu_here.server.memory_of = lambda _name, num_ctx: (
        9 * GIB,
        9 * GIB if num_ctx <= 16384 else 7 * GIB,
    )
    seen = gpu_here.run("setup", "--yes", "--model", "chat=qwen3:8b", "--bandwidth", "1GB/s")
    check_width(screen(gpu_here, seen))
    assert screen(gpu_here, seen) == snapshot


def test_the_screen_of_a_failure(gpu_here: Scene, snapshot: SnapshotAssertion) -> None:
    gpu_here.server.faults.add(Fault.error_line("/api/create", "no space left on device"))
    seen = gpu_here.run("setup", "--yes", "--model", "chat=qwen3:8b", "--bandwidth", "1GB/s")
    assert seen.exit_code == 5
    check_width(screen(gpu_here, seen))
    assert screen(gpu_here, seen) == snapshot


def test_a_disk_that_is_too_small_is_told_before_anything_is_done(
    gpu_here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(
        assistant.machine.detect.detect_machine(), disk=Disk(models_path=None, free_bytes=3 * GB)
    )
    monkeypatch.setattr(assistant.machine.detect, "detect_machine", lambda: small)
    for more, changes in (((), []), (("--dry-run",), [])):
        seen = gpu_here.run(*THREE, *more)
        assert seen.exit_code == 1
        assert "the disk of Ollama's models has 3.0 GB free" in seen.words
        assert gpu_here.changes() == changes


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("chat",), "--model takes ROLE=NAME, not 'chat'."),
        (("=x",), "--model takes ROLE=NAME, not '=x'."),
        (("chat=",), "--model takes ROLE=NAME, not 'chat='."),
        (("cooking=x",), "cooking"),
        (("chat=a b c",), "a b c"),
    ],
)
def test_a_model_option_that_makes_no_sense(
    here: Scene, models: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_models(models)
    seen = here.run("setup", "--yes", "--model", models[0])
    assert seen.exit_code == 2
    assert said in seen.words


def test_roles_are_those_named_in_any_way_each_once() -> None:
    assert parse_roles((), {}) == ("chat", "code", "embeddings")
    assert parse_roles(("code", "chat", "code"), {}) == ("code", "chat")
    assert parse_roles(("code",), {"chat": "x", "code": "y"}) == ("code", "chat")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "embeddings=smollm2:135m"), "is not an embedding model"),
        (("--model", "chat=all-minilm"), "is an embedding model and cannot serve chat"),
        (("--model", "vision=smollm2:135m"), "which the role vision needs"),
        (("--bandwidth", "fast"), "'fast' is not a speed"),
        (("--num-ctx", "lots"), "not a context length"),
        (("--role", "cooking"), "cooking"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(
    here: Scene, arguments: tuple[str, ...], said: str
) -> None:
    seen = here.run("setup", "--yes", "--bandwidth", "1GB/s", *arguments)
    assert seen.exit_code == 2
    assert said in seen.words
    assert here.changes() == []


def test_a_json_run_asks_nobody() -> None:
    with pytest.raises(UsageError, match="nobody can answer here"):
        check_can_ask(Output("setup", as_json=True), yes=False)


def test_a_server_that_is_too_old(here: Scene) -> None:
    here.server.version = "0.3.1"
    seen = here.run(*CHAT)
    assert seen.exit_code == 3
    assert "the Ollama server is version 0.3.1" in seen.words
    assert here.changes() == []


class Terminal:
    """A terminal of 80 columns with a program in it: what it wrote, and what stands there."""

    def __init__(self, scene: Scene, *arguments: str, **environ: str) -> None:
        self.raw = ""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        inherited = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
        process = subprocess.Popen(
            [sys.executable, "-m", "assistant", *arguments],
            env={**inherited, "TERM": "xterm-256color", **scene.environ, **environ},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        data = b""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not select.select([controller], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(controller, 65536)
            except OSError:  # the program has ended
                break
            if not piece:
                break
            data += piece
        os.close(controller)
        self.exit_code = process.wait(timeout=10)
        self.raw = data.decode()

    @property
    def widest(self) -> int:
        """Columns of the longest line that was ever written."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)
        return max(len(line) for line in re.split(r"[\r\n]+", plain))

    def screen(self) -> list[str]:
        """The lines that stand there in the end."""
        rows: list[str] = [""]
        row = column = 0
        for text, code, letter in re.findall(
            r"([^\x1b\r\n]+|[\r\n])|\x1b\[([0-9;?]*)([A-Za-z])", self.raw
        ):
            if text == "\r":
                column = 0
            elif text == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            elif text:
                line = rows[row].ljust(column)
                rows[row] = line[:column] + text + line[column + len(text) :]
                column += len(text)
            elif letter == "A":
                row = max(0, row - int(code or 1))
            elif letter == "K":
                rows[row] = "" if code == "2" else rows[row][:column]
        return [line.rstrip() for line in rows]


def test_in_a_terminal_bars_come_and_go(here: Scene) -> None:
    here.server.bytes_per_s = SMOLLM2.weights.size / 1.2
    seen = Terminal(here, *CHAT)
    assert seen.exit_code == 0
    assert "━" in seen.raw
    assert "MB/s" in seen.raw
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", seen.raw)
    assert seen.widest <= COLUMNS
    lines = seen.screen()
    text = "\n".join(lines)
    assert "━" not in text
    assert "layer" not in text
    assert lines[0].startswith("This machine: ")
    ready = lines.index("chat        ready as assistant-chat")
    assert "chat        pulling smollm2:135m" in lines[:ready]
    assert "chat        smollm2:135m is here" in lines[:ready]
    assert "Try it: ollama run assistant-chat" in lines[ready:]
    assert seen.raw.rstrip().endswith("assistant-chat")
    assert seen.raw.count("\x1b[?25l") == seen.raw.count("\x1b[?25h")


def test_no_color_is_respected_in_a_terminal(here: Scene) -> None:
    here.server.bytes_per_s = SMOLLM2.weights.size / 0.8
    seen = Terminal(here, *CHAT, NO_COLOR="1")
    assert seen.exit_code == 0
    assert "━" in seen.raw
    assert not re.search(r"\x1b\[[0-9;]*m", seen.raw.replace("\x1b[0m", ""))
    assert "━" not in "\n".join(seen.screen())


def test_bars_vanish_when_a_pull_fails(here: Scene) -> None:
    here.server.bytes_per_s = SMOLLM2.weights.size / 0.8
    here.server.faults.add(Fault.cut("/api/pull", after_lines=60))
    seen = Terminal(here, *CHAT)
    assert seen.exit_code == 3
    assert "━" in seen.raw
    lines = seen.screen()
    assert "━" not in "\n".join(lines)
    assert any(line.startswith("Error: the pull of 'smollm2:135m' broke off") for line in lines)


def test_ctrl_c_in_a_terminal_answers_the_question_with_no(here: Scene) -> None:
    seen = here.run(*(a for a in CHAT if a != "--yes"), answers="")
    assert seen.exit_code == 130
    assert seen.stderr.endswith("Stopped.\n")
    assert here.changes() == []
    assert read_ledger(here.data).pending is None


def test_in_a_pipe_there_are_plain_lines_only(here: Scene) -> None:
    here.server.bytes_per_s = SMOLLM2.weights.size / 0.8
    environ = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "assistant", *CHAT],
        env={**environ, **here.environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    both = done.stdout + done.stderr
    assert "\x1b" not in both
    assert "\r" not in both
    assert "━" not in both
    assert "chat        pulling smollm2:135m\n" in done.stderr
    check_width(both)

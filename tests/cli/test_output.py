"""Where text goes, how wide, in which characters and colours."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.cli import output
from tests.running import CommandResult

RunCli = Callable[..., CommandResult]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "colour"),
    [
        ({}, Terminal(), True),
        ({}, io.StringIO(), False),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, io.StringIO(), False),
        ({"TERM": "dumb"}, Terminal(), False),
    ],
)
def test_when_colour_is_welcome(
    environment: dict[str, str], stream: io.StringIO, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert output.wants_color(stream) is colour


@pytest.mark.parametrize(
    ("columns", "width"),
    [("", 80), ("100", 100), ("60", 60), ("10", 40), ("500", 100), ("abc", 80), ("0", 80)],
)
def test_the_width_is_columns_or_80(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert output.text_width() == width


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("weights ██░░ · 18–34 t/s", "ascii", "weights ##.. - 18-34 t/s"),
        ("weights ██░░ · 18–34 t/s", "utf-8", "weights ██░░ · 18–34 t/s"),
        ("2 × 24 GiB … ✓", "cp1252", "2 x 24 GiB ... +"),
        ("naïve 日本", "latin-1", "naïve ??"),
        ("plain", None, "plain"),
    ],
)
def test_pipes_that_lack_characters_get_ascii(text: str, encoding: str, shown: str) -> None:
    assert output.ascii_safe(text, encoding) == shown


@given(st.text())
def test_whatever_is_said_can_be_encoded(text: str) -> None:
    output.ascii_safe(text, "ascii").encode("ascii")


def test_a_real_ascii_pipe() -> None:
    program = "from assistant.cli.output import Output\nOutput('x').print('█ · é')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout == b"# - ?\n"


def test_in_a_terminal_errors_are_coloured_and_progress_shows() -> None:
    program = (
        "import time\n"
        "from assistant.cli import output\n"
        "from assistant.errors import AssistantError\n"
        "out = output.Output('x')\n"
        "with out.progress('reading'): time.sleep(0.5)\n"
        "with out.progress('quick'): pass\n"
        "output.write_error(AssistantError('broken.'))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                chunk = os.read(ours, 1000)
            except OSError:
                break
            if not chunk:
                break
            said += chunk
    os.close(ours)
    assert process.returncode == 0
    assert b"reading ..." in said
    assert b"quick" not in said
    assert b"\x1b[31m" in said
    assert b"broken." in said


def test_json_is_ascii_and_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json({"text": "█"})
    assert "\\u2588" in capsys.readouterr().out
    with pytest.raises(ValueError, match="JSON"):
        output.write_json({"speed": float("nan")})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run_cli: RunCli, shell: str) -> None:
    result = run_cli("completion", shell)
    assert result.exit_code == 0
    assert "_ASSISTANT_COMPLETE" in result.stdout


def test_commands_complete() -> None:
    environment = {
        **os.environ, "_ASSISTANT_COMPLETE": "bash_complete", "COMP_WORDS": "assistant har",
        "COMP_CWORD": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "assistant"],
        capture_output=True,
        check=False,
        text=True,
        env=environment,
    )
    assert "plain,hardware" in done.stdout

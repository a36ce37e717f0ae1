"""`assistant` without a command: the chat in a terminal, the help elsewhere and without a model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.fake_ollama import OllamaServer, Say, Script, library_model
from tests.support.terminal import Terminal

pytestmark = pytest.mark.slow
MODEL = "qwen3.5:4b"


def environ(home: Path, host: str) -> Mapping[str, str]:
    return {"OLLAMA_HOST": host, "ASSISTANT_HOME": str(home), "NO_COLOR": "1"}


def test_a_terminal_opens_the_chat(tmp_path: Path) -> None:
    with OllamaServer(library=[library_model(MODEL)], installed=[MODEL]) as server:
        server.answer_with(MODEL, Script([Say("Good day to you.")]))
        with Terminal([], env=environ(tmp_path, server.host)) as terminal:
            terminal.wait_for(MODEL)
            terminal.settle()
            terminal.type("hello\r")
            terminal.wait_for("Good day to you.")
            terminal.settle()
            terminal.type("/exit\r")
            assert terminal.wait_exit() == 0


def test_without_a_server_the_help_says_why_there_is_no_chat(tmp_path: Path) -> None:
    with OllamaServer() as server:
        host = server.host
    with Terminal([], env=environ(tmp_path, host), rows=60) as terminal:
        terminal.wait_for("No chat: no Ollama server answers")
        assert "Usage: assistant" in terminal.text()
        assert terminal.wait_exit() == 0


def test_a_pipe_gets_the_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "assistant"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: assistant")

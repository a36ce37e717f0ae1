"""`assistant chat` in a pipe: one question, one answer; and everything that cannot begin."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import CommandResult

from assistant.chat.own_model import OwnModel
from assistant.chat.records import Conversation
from assistant.chat.store import open_store
from assistant.cli.chat_open import ChatRequest, OpenedChat
from assistant.models.names import parse_model_name
from tests.support.fake_ollama import (
    ALL_MINILM,
    SMOLLM2,
    Fault,
    OllamaServer,
    Say,
    Script,
    library_model,
)

RunCli = Callable[..., CommandResult]
NAME = "qwen3:8b"
ANSWER = "It is **blue**.\n\n```python\nprint(1)\n```"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    library = [SMOLLM2, ALL_MINILM, library_model(NAME)]
    with OllamaServer(library=library, installed=[NAME, "all-minilm"]) as running:
        running.answer_with(NAME, Script([Say(ANSWER, thinking="The sky, then.")]))
        monkeypatch.setenv("OLLAMA_HOST", running.host)
        yield running


def asked(server: OllamaServer) -> list[dict[str, Any]]:
    return [body for _, path, body in server.requests if path == "/api/chat"]


def test_a_pipe_gets_the_text_as_it_was_written_and_nothing_else(
    run_cli: RunCli, server: OllamaServer
) -> None:
    result = run_cli("chat", stdin="Why is the sky blue?\n")
    assert result.exit_code == 0
    assert result.stdout == ANSWER + "\n"
    assert result.stderr == ""
    (body,) = asked(server)
    assert body["messages"][-1]["content"] == "Why is the sky blue?"
    assert body["truncate"] is False


def test_json_has_answer_model_session_usage_and_stats(
    run_cli: RunCli, server: OllamaServer
) -> None:
    result = run_cli("chat", "--json", "--session", "sky", stdin="Why?")
    assert result.json["command"] == "chat"
    assert result.json["status"] == "ok"
    data = result.json["data"]
    assert data["answer"] == ANSWER
    assert data["thinking"] == "The sky, then."
    assert data["model"] == NAME
    assert data["session"]["name"] == "sky"
    assert data["usage"]["num_ctx"] > 0
    assert data["usage"]["tokens"] > 0
    assert data["stats"]["turns"] == 1
    assert data["stats"]["generated_tokens"] > 0


def test_the_conversation_is_kept_and_gone_on_with(
    run_cli: RunCli, server: OllamaServer, own_world: Path
) -> None:
    run_cli("chat", stdin="First question")
    run_cli("chat", "--continue", stdin="Second question")
    sent = [message["content"] for message in asked(server)[-1]["messages"]]
    assert sent[-3:] == ["First question", ANSWER, "Second question"]
    with open_store() as store:
        (info,) = store.infos()
    assert info.message_count == 4
    kept = [path for path in own_world.rglob("*") if path.is_file()]
    assert kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)


def test_a_named_session_is_begun_and_found_again(run_cli: RunCli, server: OllamaServer) -> None:
    first = run_cli("chat", "--json", "--session", "parser", stdin="one").json["data"]["session"]
    again = run_cli("chat", "--json", "--session", "Parser", stdin="two").json["data"]["session"]
    assert first == again
    other = run_cli("chat", "--json", stdin="three").json["data"]["session"]
    assert other["id"] != first["id"]


def test_no_save_leaves_nothing_behind(
    run_cli: RunCli, server: OllamaServer, own_world: Path
) -> None:
    result = run_cli("chat", "--no-save", "--json", stdin="A secret question")
    assert result.json["data"]["session"] is None
    assert [path for path in own_world.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("from_file", [False, True])
def test_a_system_prompt_is_a_text_or_a_file(
    run_cli: RunCli, server: OllamaServer, tmp_path: Path, from_file: bool
) -> None:
    prompt = "Answer in one word."
    file = tmp_path / "prompt.txt"
    file.write_text(prompt + "\n")
    run_cli("chat", "--system", str(file) if from_file else prompt, stdin="Why?")
    first = asked(server)[0]["messages"][0]
    assert first["role"] == "system"
    assert first["content"].startswith(prompt)


def test_a_line_that_looks_like_a_command_is_a_question_in_a_pipe(
    run_cli: RunCli, server: OllamaServer
) -> None:
    assert run_cli("chat", stdin="/exit").stdout == ANSWER + "\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (("chat",), "  \n", 2, "question on standard input is empty"),
        (("chat", "--model", "nosuch"), "hi", 2, "'nosuch' is not installed"),
        (("chat", "--model", "qwen3:8"), "hi", 2, "Did you mean qwen3:8b"),
        (("chat", "--model", "all-minilm"), "hi", 2, "only makes embeddings"),
        (("chat", "--model", "gpt-oss:120b-cloud"), "hi", 2, "--allow-cloud"),
        (("chat", "--session", "a", "--continue"), "hi", 2, "contradict"),
        (("chat", "--no-save", "--continue"), "hi", 2, "contradict"),
        (("chat", "--no-save", "--session", "a"), "hi", 2, "--no-save"),
        (("chat", "--session", "  "), "hi", 2, "name"),
    ],
)
def test_what_cannot_begin_is_one_sentence(
    run_cli: RunCli,
    server: OllamaServer,
    arguments: tuple[str, ...],
    stdin: str,
    code: int,
    words: str,
) -> None:
    result = run_cli(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert asked(server) == []


def test_a_prompt_file_that_is_no_text_is_refused(
    run_cli: RunCli, server: OllamaServer, tmp_path: Path
) -> None:
    file = tmp_path / "prompt.bin"
    file.write_bytes(b"\xff\xfe\x00\x01")
    result = run_cli("chat", "--system", str(file), stdin="hi")
    assert result.exit_code == 1
    assert "is not UTF-8 text" in " ".join(result.stderr.split())


def test_offline_forbids_a_server_elsewhere(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1:11434")
    result = run_cli("chat", "--offline", stdin="hi")
    assert result.exit_code == 2
    assert "192.0.2.1" in result.stderr


def test_without_a_server_it_says_how_to_start_one(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    result = run_cli("chat", stdin="hi")
    assert result.exit_code == 3
    assert "ollama serve" in result.stderr
    in_json = run_cli("chat", "--json", stdin="hi")
    assert in_json.json["status"] == "error"
    assert in_json.json["errors"][0]["code"] == "ollama_unreachable"


def test_a_server_without_a_chat_model_leads_to_setup(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OllamaServer() as empty:
        monkeypatch.setenv("OLLAMA_HOST", empty.host)
        result = run_cli("chat", stdin="hi")
    assert result.exit_code == 1
    assert "assistant setup" in " ".join(result.stderr.split())


def test_an_answer_that_breaks_off_is_written_as_far_as_it_came_and_kept(
    run_cli: RunCli, server: OllamaServer
) -> None:
    server.answer_with(NAME, Script([Say("One two three four five six seven eight nine ten")]))
    server.faults.add(Fault.cut("/api/chat", after_lines=5))
    result = run_cli("chat", stdin="Count")
    assert result.exit_code == 3
    assert result.stdout == "One two three four five\n"
    assert "Error: " in result.stderr
    with open_store() as store:
        latest = store.latest()
    assert latest is not None
    assert latest.messages[-1].interrupted
    assert latest.messages[-1].content == "One two three four five"


def piped(data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "assistant", "chat"], input=data, capture_output=True, check=False
    )


def test_what_is_no_text_is_refused(server: OllamaServer) -> None:
    done = piped(b"\x7fELF\x02\x01\x01\x00binary\x00\x01")
    assert done.returncode == 2
    assert b"is not text" in done.stderr
    assert asked(server) == []


def test_text_in_an_older_encoding_is_understood(server: OllamaServer) -> None:
    assert piped("Warum ist es schön?".encode("cp1252")).returncode == 0
    assert asked(server)[0]["messages"][-1]["content"] == "Warum ist es schön?"


def imported(*arguments: str, stdin: str = "") -> tuple[str, set[str]]:
    """Return what a command line prints, and the modules that it imports."""
    program = (
        "import sys\nfrom assistant.cli.main import run\n"
        f"run({list(arguments)!r})\nprint('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=stdin, capture_output=True, text=True, check=True
    )
    text, _, modules = done.stdout.rpartition("MODULES ")
    return text, set(modules.split())


def test_the_help_needs_nothing_heavy() -> None:
    text, modules = imported("chat", "--help")
    assert "--no-save" in text
    heavy = {"prompt_toolkit", "rich", "sqlite3", "assistant.chat", "assistant.ollama", "json"}
    assert heavy & modules == set()


def test_a_pipe_needs_neither_editor_nor_screen(server: OllamaServer) -> None:
    text, modules = imported("chat", stdin="hi")
    assert text.startswith(ANSWER)
    assert {"prompt_toolkit", "rich", "httpx", "chromadb", "langchain_core"} & modules == set()


def test_a_model_that_is_gone_is_followed_by_another(run_cli: RunCli, server: OllamaServer) -> None:
    server.publish(library_model("llama3.1:8b"))
    server.install("llama3.1:8b")
    run_cli("chat", "--session", "s", "--model", "llama3.1:8b", stdin="one")
    server.state.remove(parse_model_name("llama3.1:8b").key)
    result = run_cli("chat", "--session", "s", "--json", stdin="two")
    assert result.exit_code == 0, result.stderr
    assert result.json["data"]["model"] == NAME
    text = run_cli("chat", "--session", "s", stdin="three")
    assert text.stdout == ANSWER + "\n"


@pytest.mark.parametrize("role", ["nope", "embeddings"])
def test_a_role_that_cannot_chat_is_a_usage_error(
    run_cli: RunCli, server: OllamaServer, role: str
) -> None:
    result = run_cli("chat", "--role", role, stdin="hi")
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert repr(role) in told
    assert "Roles: chat, code, vision" in told
    assert asked(server) == []


@pytest.mark.parametrize("path", ["/no/such", "./prompt", "../x", "~/x", "prompt.txt", "a b.md"])
def test_a_prompt_that_looks_like_a_file_must_be_one(
    run_cli: RunCli, server: OllamaServer, path: str
) -> None:
    result = run_cli("chat", "--system", path, stdin="hi")
    assert result.exit_code == 2
    assert f"there is no file {path!r}" in " ".join(result.stderr.split())
    assert asked(server) == []
    assert run_cli("chat", "--system", f" {path}", stdin="hi").exit_code == 0
    assert path in asked(server)[-1]["messages"][0]["content"]


def test_a_number_that_is_no_conversation_is_refused(run_cli: RunCli, server: OllamaServer) -> None:
    first = run_cli("chat", "--json", stdin="one").json["data"]["session"]
    again = run_cli("chat", "--json", "--session", f"#{first['id']}", stdin="two")
    assert again.json["data"]["session"] == first
    result = run_cli("chat", "--session", "#77", stdin="hi")
    assert result.exit_code == 2
    assert "there is no conversation called '#77'" in " ".join(result.stderr.split())


def test_a_session_that_another_chat_begins_meanwhile_is_opened(server: OllamaServer) -> None:
    class Slow(OpenedChat):
        """A chat that another overtakes while it looks for its model."""

        def _model(self, found: Conversation | None) -> OwnModel:
            with open_store() as other:
                self.theirs = other.create(name="shared", now="2026-11-27T12:00:00+00:00")
            return super()._model(found)

    with contextlib.closing(Slow(ChatRequest(session="Shared"), on_note=print)) as opened:
        assert opened.is_resumed
        assert opened.session.conversation.id == opened.theirs.id == opened.conversation_id

"""`assistant ask` as a person types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from running import CommandResult

RunCli = Callable[..., CommandResult]


def test_answer_comes_first_and_fits_eighty_columns(run_cli: RunCli) -> None:
    result = run_cli("ask", "does llama3.1:8b fit on a 3060 12GB at 8k?")
    assert result.exit_code == 0
    assert result.stdout.startswith("Yes: llama3.1:8b (Q4_K_M) with 8k tokens of context fits")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "[1] What fills the memory: Weights" in result.stdout


def test_json_has_the_fields_of_the_contract(run_cli: RunCli) -> None:
    data = run_cli("ask", "--json", "what is gguf?").json["data"]
    assert set(data) >= {
        "question", "answer", "citations", "tool_calls", "grounding", "engine", "retrieval",
        "elapsed_s",
    }  # fmt: skip
    assert data["engine"]["kind"] == "offline"
    assert data["retrieval"] == {"kind": "bm25", "embedder": None}
    assert data["citations"][0]["guide"]


def test_continue_goes_on_from_the_last_question(run_cli: RunCli) -> None:
    run_cli("ask", "llama3.1 8b on a 3060 12gb")
    assert "RTX 3060" in run_cli("ask", "--continue", "and with 32k?").stdout
    assert run_cli("ask", "--continue", "is it apache?").stdout.startswith("No: llama3.1:8b")


def test_described_machine_counts_when_the_question_names_none(run_cli: RunCli) -> None:
    out = run_cli("ask", "--machine", "RTX 4090, 64GB RAM", "what runs here?").stdout
    assert "RTX 4090" in out


def test_question_from_standard_input(run_cli: RunCli) -> None:
    result = run_cli("ask", "-", stdin="3080 ti vram")
    assert result.stdout.startswith("The RTX 3080 Ti has 12 GB")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ask", ""), 2, "The question is empty"),
        (("ask", "x" * 4001), 2, "longer than 4000 characters"),
        (("ask", "--no-llm", "--model", "m", "what is gguf"), 2, "contradict"),
        (("ask", "--machine", "banana", "what runs?"), 2, "banana"),
        (("ask", "--model", "llama3.1:8b", "what is gguf"), 3, "no Ollama server answers"),
    ],
)
def test_bad_input_is_one_sentence(
    run_cli: RunCli, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == code
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_offline_asks_no_server_elsewhere(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1:11434")
    assert run_cli("ask", "--offline", "what is gguf?").exit_code == 0
    refused = run_cli("ask", "--offline", "--model", "m", "what is gguf?")
    assert refused.exit_code == 2


def test_questions_are_kept_for_their_owner_alone(run_cli: RunCli, tmp_path: Path) -> None:
    run_cli("ask", "what is gguf?")
    kept = list(tmp_path.rglob("last-questions.json"))
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)

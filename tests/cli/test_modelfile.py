"""`assistant modelfile`: what it prints for roles and models, and what `lint` says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from assistant.ollama.modelfile import create_request, parse_modelfile
from assistant.provision.ledger import with_entry, write_ledger
from assistant.provision.lint import lint_modelfile
from assistant.provision.records import Ledger, LedgerEntry
from assistant.recommend.roles import ROLE_NAMES
from tests.running import CommandResult
from tests.support.gguf_bytes import small_model

RTX_3060 = "RTX 3060 12GB, 32GB RAM"
RunCli = Callable[..., CommandResult]

SHOWN = {
    "role": ("chat", "--machine", RTX_3060),
    "model": ("llama3.1:8b", "--machine", RTX_3060),
    "model in a role": ("qwen2.5-coder:7b", "--role", "code", "--machine", RTX_3060),
    "embeddings": ("embeddings", "--machine", RTX_3060),
    "CPU only": ("qwen3.5:4b", "--role", "rag", "--machine", "CPU only, 16GB RAM"),
    "no system prompt": ("deepseek-r1:8b", "--role", "reasoning", "--machine", RTX_3060),
    "as asked": ("gemma2:9b", "--num-ctx", "32k", "--machine", RTX_3060),
}

BAD = """\
# written by hand
FROM qwen2.5-coder:7b
PARAMETER num_ctx 65536
PARAMETER temprature 0.2
PARAMETER mirostat 2
PARAMETER temperature 0
PARAMETER top_p 0.9
PARAMETER num_thread 8
PARAMETER stop "a" "b"
SYSTM You are calm.
"""
BIG = "FROM qwen2.5:14b\nPARAMETER num_ctx 32768\n"
GOOD = "FROM llama3.1:8b\nPARAMETER num_ctx 8192\nSYSTEM You are calm.\n"


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("Modelfile").write_text(BAD)
    return "Modelfile"


@pytest.mark.parametrize("case", SHOWN)
def test_text(run_cli: RunCli, snapshot: SnapshotAssertion, case: str) -> None:
    result = run_cli("modelfile", *SHOWN[case], "--offline")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout == snapshot
    assert "Save it, then: ollama create " in result.stderr


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_role_gives_a_modelfile_without_fault(run_cli: RunCli, role: str) -> None:
    result = run_cli("modelfile", role, "--machine", RTX_3060, "--offline", "--json")
    data = result.json["data"]
    assert (result.exit_code, data["role"], data["origin"]) == (0, role, "computed")
    assert lint_modelfile(data["modelfile"]) == ()
    modelfile = parse_modelfile(data["modelfile"])
    assert modelfile.from_ == data["model"] == data["estimate"]["model"]
    assert int(modelfile.values("num_ctx")[-1]) == data["estimate"]["num_ctx"]
    assert data["estimate"]["placement"]["verdict"] == "gpu"
    assert data["create"] == create_request(modelfile, name=f"assistant-{role}")


def test_what_is_printed_passes_its_own_check(run_cli: RunCli) -> None:
    for target in ("code", "mistral-nemo:12b"):
        text = run_cli("modelfile", target, "--machine", RTX_3060, "--offline").stdout
        checked = run_cli("modelfile", "lint", "-", "--machine", RTX_3060, "--offline", stdin=text)
        assert checked.exit_code == 0
        assert "nothing to change" in checked.stdout


def test_show_may_be_said(run_cli: RunCli) -> None:
    arguments = ("gemma2:9b", "--machine", RTX_3060, "--offline")
    assert run_cli("modelfile", "show", *arguments) == run_cli("modelfile", *arguments)


def test_an_option_may_stand_before_the_model(run_cli: RunCli) -> None:
    after = run_cli("modelfile", "gemma2:9b", "--machine", RTX_3060, "--offline")
    before = run_cli("modelfile", "--offline", "--machine", RTX_3060, "gemma2:9b")
    assert before.stdout == after.stdout


def test_a_context_is_never_above_the_trained_one(run_cli: RunCli) -> None:
    result = run_cli(
        "modelfile", "gemma2:9b", "--num-ctx", "32k", "--machine", RTX_3060, "--offline"
    )
    assert parse_modelfile(result.stdout).values("num_ctx") == ("8192",)
    assert "32768" in result.stdout.partition("FROM")[0]


def test_a_role_is_what_setup_made_of_it(run_cli: RunCli, own_world: Path) -> None:
    text = "# as it was made\n\nFROM gemma3:4b\nPARAMETER num_ctx 4096\n"
    entry = LedgerEntry(
        alias="assistant-chat", model="gemma3:4b", num_ctx=4096, modelfile=text,
        created_at="2026-11-20T10:00:00Z", role="chat",
    )  # fmt: skip
    write_ledger(with_entry(Ledger(), entry), own_world / "data")
    result = run_cli("modelfile", "chat", "--offline")
    assert (result.exit_code, result.stdout) == (0, text)
    assert "As assistant setup made it for chat on 2026-11-20." in result.stderr
    data = run_cli("modelfile", "chat", "--json").json["data"]
    assert (data["origin"], data["model"], data["estimate"]) == ("setup", "gemma3:4b", None)
    assert data["create"]["model"] == "assistant-chat"
    other = run_cli("modelfile", "chat", "--machine", RTX_3060, "--offline", "--json")
    assert other.json["data"]["origin"] == "computed"


def test_a_role_misspelt_is_met_with_the_role_and_no_registry_is_asked(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_args: object, **_more: object) -> None:
        raise AssertionError("a registry was asked")

    monkeypatch.setattr("assistant.cli.model_sources._Registry.read", asked)
    result = run_cli("modelfile", "chta", "--machine", RTX_3060)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no role and no model 'chta'" in result.stderr
    assert "Did you mean: assistant modelfile chat?" in result.stderr


def test_it_is_written_to_a_new_file_only(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("modelfile", "code", "--machine", RTX_3060, "--offline", "--output", "Modelfile")
    result = run_cli(*arguments)
    assert result.exit_code == 0
    assert result.stdout == (
        "Written to Modelfile.\nNext: ollama create assistant-code -f Modelfile\n"
    )
    written = Path("Modelfile").read_text()
    assert lint_modelfile(written) == ()
    again = run_cli(*arguments)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "'Modelfile' is there already" in again.stderr
    assert Path("Modelfile").read_text() == written
    nowhere = run_cli(*arguments[:-1], "missing/Modelfile")
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (1, True)


def test_a_file_on_this_computer_may_be_the_model(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.gguf").write_bytes(small_model())
    result = run_cli("modelfile", "./tiny.gguf", "--machine", RTX_3060, "--offline", "--json")
    assert parse_modelfile(result.json["data"]["modelfile"]).from_ == "./tiny.gguf"
    assert result.json["data"]["create"] is None
    Path("Modelfile").write_text(result.json["data"]["modelfile"])
    checked = run_cli("modelfile", "lint", "Modelfile", "--machine", RTX_3060, "--offline")
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert "checked with " in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "missing argument 'role|model'"),
        (("lama3.1:8b",), 2, "did you mean llama3.1:8b"),
        (("chat", "--role", "code"), 2, "'chat' is a role itself"),
        (("llama3.1:8b", "--role", "cooking"), 2, "there is no role 'cooking'"),
        (("nomic-embed-text", "--role", "chat"), 2, "cannot serve chat"),
        (("llama3.1:8b", "--role", "embeddings"), 2, "is not an embedding model"),
        (("llama3.1:8b", "--num-ctx", "lots"), 2, "not a context length"),
        (("chat", "--machine", "a purple toaster"), 2, "toaster"),
        (("chat", "--machine", "CPU only, 1GB RAM", "--num-ctx", "1m"), 4, "serves chat"),
        (("lint",), 2, "missing argument 'file'"),
        (("lint", "nowhere"), 1, "'nowhere' cannot be read"),
        (("lint", "."), 1, "cannot be read"),
    ],
)
def test_wrong_words_are_named(
    run_cli: RunCli, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = run_cli("modelfile", *arguments, "--offline")
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in " ".join(result.stderr.lower().split())
    assert "Traceback" not in result.stderr


def test_lint_text(run_cli: RunCli, snapshot: SnapshotAssertion, bad: str) -> None:
    result = run_cli("modelfile", "lint", bad, "--machine", RTX_3060, "--offline")
    assert result.exit_code == 1
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout == snapshot
    assert "Modelfile has 2 errors." in result.stderr


def test_lint_says_what_would_stay_on_the_gpu(run_cli: RunCli, snapshot: SnapshotAssertion) -> None:
    result = run_cli("modelfile", "lint", "-", "--machine", RTX_3060, "--offline", stdin=BIG)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == snapshot


def test_lint_of_a_good_one(run_cli: RunCli) -> None:
    result = run_cli("modelfile", "lint", "-", "--machine", RTX_3060, "--offline", stdin=GOOD)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "standard input: nothing to change (checked with llama3.1:8b).\n"


def test_lint_json(run_cli: RunCli, bad: str) -> None:
    result = run_cli("modelfile", "lint", bad, "--machine", RTX_3060, "--offline", "--json")
    envelope = result.json
    assert (result.exit_code, envelope["status"]) == (1, "error")
    assert (envelope["command"], envelope["errors"][0]["code"]) == (
        "modelfile lint", "bad_modelfile",
    )  # fmt: skip
    data = envelope["data"]
    assert (data["file"], data["model"]) == ("Modelfile", "qwen2.5-coder:7b")
    assert [each["line"] for each in data["findings"]] == [4, 10, 3, 5, 7, 9, 8]
    assert set(data["findings"][0]) == {"level", "line", "what", "why", "fix"}
    assert data["estimate"]["num_ctx"] == 32_768
    json.dumps(data)


def test_a_model_that_is_not_known_is_told_and_the_rest_is_checked(run_cli: RunCli) -> None:
    text = "FROM nonesuch:8b\nPARAMETER num_ctx 4096\nPARAMETER mirostat 1\n"
    result = run_cli("modelfile", "lint", "-", "--offline", stdin=text)
    assert result.exit_code == 0
    assert "nonesuch:8b" in result.stdout
    assert "mirostat is deprecated" in result.stdout
    assert "checked with" not in result.stdout


def test_files_are_looked_for_beside_the_modelfile(run_cli: RunCli, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(small_model())
    file = folder / "Modelfile"
    file.write_text("FROM ./tiny.gguf\nADAPTER ./lora.gguf\nPARAMETER num_ctx 4096\n")
    result = run_cli("modelfile", "lint", str(file), "--machine", RTX_3060, "--offline", "--json")
    found = result.json["data"]["findings"]
    assert [each["what"] for each in found if each["level"] == "error"] == [
        "ADAPTER names ./lora.gguf, which is missing"
    ]
    assert result.json["data"]["model"]


def test_a_blob_of_the_server_is_no_missing_file(run_cli: RunCli) -> None:
    text = f"FROM /usr/share/ollama/.ollama/models/blobs/sha256-{'ab' * 32}\nPARAMETER num_ctx 8\n"
    result = run_cli("modelfile", "lint", "-", "--offline", stdin=text)
    assert (result.exit_code, "missing" in result.stdout) == (0, False)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_at_the_start_of_a_file_are_no_text(
    run_cli: RunCli, tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "Modelfile"
    file.write_bytes(GOOD.encode(encoding))
    result = run_cli("modelfile", "lint", str(file), "--machine", RTX_3060, "--offline")
    assert (result.exit_code, "nothing to change" in result.stdout.replace("\n", " ")) == (0, True)


@pytest.mark.parametrize("content", [b"GGUF\x03\x00\x00\x00", b"\xff\x00\xff", b"a" * 2_000_001])
def test_what_is_no_text_is_refused(run_cli: RunCli, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model"
    file.write_bytes(content)
    result = run_cli("modelfile", "lint", str(file), "--offline")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is not a Modelfile" in " ".join(result.stderr.split())

"""`assistant doctor`: its text, its JSON, its exit code, and the bundle it writes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant.cli.doctor import doctor
from assistant.cli.main import cli
from assistant.ollama.client import OllamaClient
from assistant.units import GIB
from tests.running import CommandResult
from tests.support.fake_ollama import Fault, Gpu, OllamaServer, library_model
from tests.support.provisioned import set_up

RunCli = Callable[..., CommandResult]

CARD = "RTX 3060 12GB, 32GB RAM"
LIBRARY = (library_model("qwen3:8b"), library_model("qwen3:14b"))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.commands, "doctor", doctor)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """Return the configured server: two models on a computer with an RTX 3060."""
    fake = OllamaServer(library=LIBRARY, installed=["qwen3:8b", "qwen3:14b"], gpu=Gpu(12 * GIB))
    fake.start()
    monkeypatch.setenv("OLLAMA_HOST", fake.host)
    yield fake
    fake.stop()


def test_a_model_on_the_cpu_is_a_problem(run_cli: RunCli, server: OllamaServer) -> None:
    server.load("qwen3:14b", 32768)
    result = run_cli("doctor", "--machine", CARD, "--offline")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("✗ qwen3:14b runs ")
    assert lines[0].endswith(" % on the CPU")
    assert any(line.startswith("    the KV cache (") for line in lines)
    assert any("fix: let the program that loads qwen3:14b ask for num_ctx" in s for s in lines)
    assert any(line.startswith("! prompts over 4,096 tokens are cut") for line in lines)
    assert any(line.startswith("✓ ") and "version" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_warnings_alone_are_no_failure(run_cli: RunCli, server: OllamaServer) -> None:
    server.load("qwen3:8b", 8192)
    result = run_cli("doctor", "qwen3:8b", "--machine", CARD, "--offline")
    assert result.exit_code == 0
    assert "! prompts over 4,096 tokens" in result.stdout
    assert "✗" not in result.stdout


def test_json_has_the_findings_and_what_they_are_made_of(
    run_cli: RunCli, server: OllamaServer
) -> None:
    server.load("qwen3:14b", 32768)
    result = run_cli("doctor", "--machine", CARD, "--offline", "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    envelope = result.json
    assert (envelope["command"], envelope["status"], envelope["errors"]) == ("doctor", "ok", [])
    first = envelope["data"]["findings"][0]
    assert set(first) >= {"id", "level", "what", "evidence", "fix"}
    assert (first["id"], first["level"], first["term"]) == ("on-cpu", "problem", "kv_cache")
    observed = envelope["data"]["observed"]
    assert observed["server"]["version"] == "0.33.0"
    assert observed["loaded"][0]["num_ctx"] == 32768
    assert {model["name"] for model in observed["models"]} == {"qwen3:8b", "qwen3:14b"}


def test_no_server_is_a_problem_with_a_way_out(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    result = run_cli("doctor", "--offline")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "✗ no Ollama server answers at http://127.0.0.1:1\n    connection refused\n    fix: "
    )


def test_a_named_model_that_is_not_there(run_cli: RunCli, server: OllamaServer) -> None:
    result = run_cli("doctor", "gemma3:4b", "--machine", CARD, "--offline")
    assert result.exit_code == 1
    assert "✗ gemma3:4b is not installed on the server" in result.stdout
    assert "fix: ollama pull gemma3:4b" in result.stdout


def test_a_named_model_is_judged_before_it_is_loaded(run_cli: RunCli, server: OllamaServer) -> None:
    result = run_cli("doctor", "qwen3:14b", "--machine", "RTX 3060 8GB, 32GB RAM", "--offline")
    assert result.exit_code == 1
    assert "✗ qwen3:14b would run" in result.stdout
    assert server.runners.loaded() == []


def test_nothing_is_changed_on_the_server(run_cli: RunCli, server: OllamaServer) -> None:
    server.load("qwen3:8b", 8192)
    run_cli("doctor", "--machine", CARD, "--offline")
    asked = {(method, path) for method, path, _ in server.requests}
    assert asked <= {
        ("GET", "/api/version"), ("GET", "/api/tags"), ("GET", "/api/ps"), ("POST", "/api/show"),
    }  # fmt: skip


def test_a_server_that_answers_nonsense_leaves_gaps(run_cli: RunCli, server: OllamaServer) -> None:
    server.faults.add(Fault.garbage("/api/ps", times=99))
    result = run_cli("doctor", "--machine", CARD, "--offline")
    assert "? the loaded models could not be read" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_bundle_says_what_is_inside_and_overwrites_nothing(
    run_cli: RunCli, server: OllamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "homes" / "wilhelmina"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "wilhelmina")
    monkeypatch.setenv("ASSISTANT_HOME", str(home / "assistant"))
    monkeypatch.setenv("HTTPS_PROXY", "http://wilhelmina:hunter2@proxy.corp.test:3128")
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "models"))
    server.load("qwen3:14b", 32768)
    path = tmp_path / "report.zip"
    result = run_cli("doctor", "--machine", CARD, "--offline", "--bundle", str(path))
    assert result.exit_code == 1
    assert f"Wrote {path}, which holds:" in " ".join(result.stderr.split())
    assert "nothing of: prompts, Modelfiles" in result.stderr
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["doctor.json", "doctor.txt"]
        everything = b"".join(archive.read(name) for name in archive.namelist()).decode()
        assert json.loads(archive.read("doctor.json"))["findings"][0]["id"] == "on-cpu"
    for secret in ("wilhelmina", "hunter2", "proxy.corp.test", str(tmp_path / "homes")):
        assert secret not in everything
    again = run_cli("doctor", "--machine", CARD, "--offline", "--bundle", str(path))
    assert again.exit_code == 2
    assert "is there already" in " ".join(again.stderr.split())
    assert again.stdout == ""


def test_a_bundle_with_json(run_cli: RunCli, server: OllamaServer, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    result = run_cli("doctor", "--machine", CARD, "--offline", "--json", "--bundle", str(path))
    assert result.json["data"]["bundle"] == str(path)
    assert json.loads(path.read_text())["observed"]["server"]["reachable"] is True


def test_a_bundle_of_another_ending_is_a_usage_error(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("doctor", "--bundle", str(tmp_path / "report.txt"))
    assert result.exit_code == 2
    assert "must end in .zip or .json" in " ".join(result.stderr.split())


def test_a_server_elsewhere_is_not_judged_by_this_computer(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "192.0.2.7")
    result = run_cli("doctor", "--offline", "--json")
    observed = result.json["data"]["observed"]
    assert observed["machine"] is None
    assert observed["server"]["reachable"] is None
    assert result.exit_code == 0


def test_a_role_is_the_model_that_was_set_up_for_it(run_cli: RunCli, server: OllamaServer) -> None:
    asked = ("doctor", "chat", "--machine", CARD, "--offline")
    none = run_cli(*asked)
    assert none.exit_code == 2
    assert none.stderr == (
        "Error: nothing is set up for the role 'chat'.\n"
        "Set it up with: assistant setup --role chat\n"
    )
    with OllamaClient(server.address) as client:
        set_up(client, "chat", "qwen3:8b", num_ctx=8192)
    result = run_cli(*asked)
    assert result.stderr == "chat: assistant-chat\n"
    assert "ollama pull" not in result.stdout
    observed = run_cli(*asked, "--json").json["data"]["observed"]
    assert observed["asked"] == "assistant-chat"


def test_right_after_a_setup_without_a_gpu_nothing_is_wrong(
    run_cli: RunCli, server: OllamaServer
) -> None:
    words = "CPU only, 16GB RAM"
    with OllamaClient(server.address) as client:
        set_up(client, "chat", "qwen3:8b", num_ctx=8192)
        client.delete("qwen3:14b")
    server.runners.gpu = None
    server.load("assistant-chat", 8192)
    result = run_cli("doctor", "--machine", words, "--offline", "--json")
    findings = result.json["data"]["findings"]
    here = {"models-elsewhere", "data-not-writable"}  # about the computer that runs the test
    assert [f for f in findings if f["level"] != "ok" and f["id"] not in here] == []
    assert "assistant-chat on the CPU" in {f["what"] for f in findings}


def test_a_slow_model_on_the_cpu_is_compared_with_what_recommend_names(
    run_cli: RunCli, server: OllamaServer
) -> None:
    words = "CPU only, 32GB RAM DDR4-3200"
    best = run_cli("recommend", "--role", "chat", "--prefer", "speed", "--machine", words, "--json")
    named = best.json["data"]["picks"][0]["model"]
    result = run_cli("doctor", "qwen3:14b", "--machine", words, "--offline", "--json")
    (found,) = [f for f in result.json["data"]["findings"] if f["id"] == "on-cpu"]
    assert found["fix"] == "assistant recommend --role chat --prefer speed"
    assert found["gain"].startswith(f"{named}, about ")


@pytest.mark.parametrize("width", [80, 60, 40])
def test_nothing_is_wider_than_the_terminal(
    run_cli: RunCli,
    server: OllamaServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(tmp_path)
    server.load("qwen3:14b", 32768)
    result = run_cli("doctor", "--machine", CARD, "--offline", "--bundle", "report.zip")
    assert result.exit_code == 1
    lines = (result.stdout + result.stderr).splitlines()
    assert [line for line in lines if len(line) > width] == []

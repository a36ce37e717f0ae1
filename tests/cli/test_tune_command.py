"""`assistant tune`: its text, its JSON, and the variants that it makes on a server."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from assistant.ollama.client import OllamaClient
from assistant.paths import data_folder
from assistant.provision.ledger import read_ledger
from assistant.units import GIB
from tests.support.fake_ollama import Fault, Gpu, OllamaServer, library_model
from tests.support.gguf_bytes import small_model
from tests.support.provisioned import set_up

RTX_3060 = "RTX 3060 12GB, 32GB RAM"
QWEN = "qwen3:14b"
TUNED = "assistant-tuned-qwen3-14b:8k"
RunCli = Callable[..., Any]

CASES = {
    "llama on a 3060": ("llama3.1:8b", "--machine", RTX_3060),
    "a context that needs q8_0": ("llama3.1:8b", "--num-ctx", "64k", "--machine", RTX_3060),
    "a cache type": ("qwen3:14b", "--kv-cache-type", "q8_0", "--machine", "M2 Max 32GB"),
    "too big": ("gpt-oss:20b", "--machine", "8GB VRAM"),
    "without a GPU": ("gemma3:12b", "--machine", "CPU only, 16GB RAM"),
    "two GPUs": ("llama3.3:70b", "--machine", "2x RTX 3090, 64GB RAM"),
    "for a role": ("qwen2.5-coder:7b", "--role", "code", "--machine", RTX_3060),
    "another quantization": ("llama3.1:8b", "--quant", "q8_0", "--machine", RTX_3060),
    "embeddings": ("nomic-embed-text", "--machine", RTX_3060),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    models = [library_model(QWEN), library_model("llama3.1:8b"), library_model("nomic-embed-text")]
    installed = [QWEN, "nomic-embed-text"]
    gpu = Gpu(12 * GIB, round(11.3 * GIB))
    with OllamaServer(library=models, installed=installed, gpu=gpu) as running:
        monkeypatch.setenv("OLLAMA_HOST", running.host)
        yield running


def names(server: OllamaServer) -> set[str]:
    return {manifest.name.render() for manifest in server.state.manifests.values()}


def applied(done: Any) -> dict[str, Any]:
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = done.json["data"]["applied"]
    return found


@pytest.mark.parametrize("case", CASES)
def test_text(run_cli: RunCli, snapshot: SnapshotAssertion, case: str) -> None:
    done = run_cli("tune", *CASES[case])
    assert done.exit_code == 0
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout == snapshot


def test_what_is_on_the_server_here_is_tuned_and_the_rest_is_pulled_first(
    run_cli: RunCli, server: OllamaServer
) -> None:
    here = run_cli("tune", QWEN, "--num-ctx", "2k").stdout.splitlines()
    assert here[-1] == f"Next: assistant tune {QWEN} --num-ctx 2048 --apply"
    there = run_cli("tune", "llama3.1:8b", "--num-ctx", "2k").stdout.splitlines()
    assert there[-2:] == [
        "Next: ollama pull llama3.1:8b",
        "Then: assistant tune llama3.1:8b --num-ctx 2048 --apply",
    ]
    server.stop()
    assert run_cli("tune", QWEN, "--num-ctx", "2k").stdout.splitlines()[-2] == (
        f"Next: ollama pull {QWEN}"
    )


@pytest.mark.parametrize(
    ("model", "quant", "said"),
    [
        ("llama3.1:8b", "garbage", "'garbage' is not a quantization level"),
        ("llama3.1:8b", "q1_K_S", "not to be had as Q1_K_S"),
        ("mine", "garbage", "'garbage' is not a quantization level"),
        ("mine", "q8_0", "mine is Q4_K_M on the server, and no Q8_0 of it is known"),
        ("7B", "garbage", "'garbage'"),
    ],
)
def test_a_quantization_that_is_none_is_an_error_for_every_model(
    run_cli: RunCli, server: OllamaServer, model: str, quant: str, said: str
) -> None:
    with OllamaClient(server.address) as client:
        client.copy(QWEN, "mine")
    done = run_cli("tune", model, "--quant", quant, "--offline")
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert run_cli("tune", "mine", "--quant", "q4_K_M", "--offline").exit_code == 0


def test_a_context_above_the_trained_one_is_said_to_be_lowered(
    run_cli: RunCli, server: OllamaServer
) -> None:
    asked = ("tune", "nomic-embed-text", "--num-ctx", "64k", "--machine", RTX_3060)
    shown = run_cli(*asked)
    assert "trained for 2,048 tokens, so num_ctx is lowered to that" in shown.stdout.replace(
        "\n", " "
    )
    data = run_cli(*asked, "--json").json["data"]
    assert (data["asked_num_ctx"], data["num_ctx"]) == (65_536, 2048)
    plan = run_cli(*asked, "--apply", "--dry-run").stdout
    assert "num_ctx 2048 (not 65536: it was trained for 2048)" in " ".join(plan.split())


def test_a_role_is_the_model_that_was_set_up_for_it(run_cli: RunCli, server: OllamaServer) -> None:
    with OllamaClient(server.address) as client:
        set_up(client, "chat", QWEN)
    done = run_cli("tune", "chat", "--num-ctx", "2k", "--offline")
    assert done.exit_code == 0
    assert done.stderr == "chat: assistant-chat\n"
    assert done.stdout.endswith("Next: assistant tune assistant-chat --num-ctx 2048 --apply\n")
    none = run_cli("tune", "coding", "--offline")
    assert none.exit_code == 2
    assert none.stderr == (
        "Error: nothing is set up for the role 'code'.\n"
        "Set it up with: assistant setup --role code\n"
    )
    near = run_cli("tune", "chta")
    assert near.exit_code == 2
    assert "Did you mean: assistant tune chat?" in near.stderr


@pytest.mark.parametrize("width", [80, 60, 40])
@pytest.mark.parametrize(
    "arguments",
    [
        (QWEN,),
        ("llama3.1:8b", "--num-ctx", "64k", "--kv-cache-type", "q8_0"),
        (QWEN, "--apply", "--dry-run", "--kv-cache-type", "q8_0", "--num-ctx", "16k"),
        (QWEN, "--apply", "--dry-run", "--role", "code", "--num-ctx", "2k"),
        (QWEN, "--apply", "--yes"),
        ("llama3.1:8b", "--quant", "q1_K_S"),
    ],
    ids=" ".join,
)
def test_nothing_is_wider_than_the_terminal(
    run_cli: RunCli,
    server: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    width: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    server.memory_of = lambda _name, num_ctx: (
        (10 * GIB, 10 * GIB) if num_ctx < 8192 else (11 * GIB, 7 * GIB)
    )
    done = run_cli("tune", *arguments, "--machine", RTX_3060)
    too_wide = [s for s in (done.stdout + done.stderr).splitlines() if len(s) > width]
    words = [line.removeprefix("#").split() for line in too_wide]
    assert [each for each in words if len(each) > 1] == [], "a path or an address is one word"
    assert all(each[0].startswith(("https://", str(data_folder()))) for each in words)


def test_json_has_the_rows_and_the_grid(run_cli: RunCli) -> None:
    data = run_cli("tune", "llama3.1:8b", "--machine", RTX_3060, "--json").json["data"]
    assert (data["model"], data["machine_gpu"], data["applied"]) == (
        "llama3.1:8b",
        "RTX 3060",
        None,
    )
    assert data["num_ctx"] == 32_768
    current = [row for row in data["rows"] if row["is_current"]]
    assert [(row["quantization"], row["kv_cache_type"]) for row in current] == [("Q4_K_M", "f16")]
    assert current[0]["longest_num_ctx"] > 40_000
    assert current[0]["decode_tokens_per_s"]["expected"] > 0
    assert current[0]["perplexity_increase_percent"] == 2.82
    assert data["best"]["num_ctx"] == 32_768
    assert {cell["num_ctx"] for cell in data["grid"]} >= {2048, 131_072}
    assert all(isinstance(cell["memory_bytes"], int) for cell in data["grid"])
    assert data["set_kv_cache_type"] == []


def test_json_says_how_to_set_the_cache_type(run_cli: RunCli) -> None:
    options = ("--num-ctx", "64k", "--machine", RTX_3060, "--json")
    data = run_cli("tune", "llama3.1:8b", *options).json["data"]
    assert data["best"]["kv_cache_type"] == "q8_0"
    steps = json.dumps(data["set_kv_cache_type"])
    assert "launchctl setenv OLLAMA_KV_CACHE_TYPE q8_0" in steps
    assert "systemctl" in steps


def test_the_environment_of_the_server_here_counts_here_only(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"OLLAMA_KV_CACHE_TYPE": "q4_0"}
    monkeypatch.setattr("assistant.cli.tune._server_environ", lambda: environ)
    here = run_cli("tune", "llama3.2:1b", "--json").json["data"]
    there = run_cli("tune", "llama3.2:1b", "--machine", RTX_3060, "--json").json["data"]
    assert (here["server_kv_cache_type"], there["server_kv_cache_type"]) == ("q4_0", "f16")
    assert any("OLLAMA_KV_CACHE_TYPE=q4_0" in said for said in here["assumptions"])


def test_what_fits_nowhere_ends_with_4(run_cli: RunCli) -> None:
    done = run_cli("tune", "deepseek-v3:671b", "--machine", RTX_3060)
    assert done.exit_code == 4
    assert done.stdout.startswith("No context of deepseek-v3:671b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing-like-it:1b", "--machine", RTX_3060, "--offline"),
        (QWEN, "--yes"),
        (QWEN, "--name", "mine"),
        (QWEN, "--apply", "--name", "not a name", "--yes"),
        (QWEN, "--role", "astrology"),
        (QWEN, "--num-ctx", "much"),
        (),
    ],
)
def test_bad_input_is_a_usage_error(run_cli: RunCli, arguments: tuple[str, ...]) -> None:
    done = run_cli("tune", *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


def test_a_variant_is_made_measured_and_written_down(run_cli: RunCli, server: OllamaServer) -> None:
    done = applied(run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060, "--json"))
    assert (done["name"], done["num_ctx"], done["changed"]) == (TUNED, 8192, True)
    assert names(server) == {QWEN, "nomic-embed-text:latest", TUNED}
    assert done["measured"]["decode_tokens_per_s"] == pytest.approx(40, rel=0.1)
    assert done["measured"]["num_ctx"] == 8192
    assert done["measured"]["size_bytes"] == done["measured"]["vram_bytes"]
    assert done["expected"]["verdict"] == "gpu"
    entry = read_ledger().of_alias(TUNED)
    assert entry is not None
    assert entry.entry is not None
    assert (entry.role, entry.entry.role) == (None, None)
    assert entry.entry.modelfile == done["modelfile"]
    assert entry.entry.blob_digest == done["blob_digest"]
    assert Path(done["modelfile_file"]).read_text() == done["modelfile"]
    assert Path(done["modelfile_file"]).parent == data_folder() / "modelfiles"
    assert "PARAMETER num_ctx 8192" in done["modelfile"]
    manifest = server.manifest(TUNED)
    assert manifest is not None
    assert server.state.params_of(manifest)["num_ctx"] == 8192


def test_a_second_run_changes_nothing(run_cli: RunCli, server: OllamaServer) -> None:
    run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060)
    before = len(server.requests)
    done = run_cli("tune", QWEN, "--apply", "--machine", RTX_3060, "--yes")
    assert done.exit_code == 0
    assert "is as it should be; nothing was done" in " ".join(done.stdout.split())
    assert {path for _, path, _ in server.requests[before:]} <= {
        "/api/version", "/api/show", "/api/tags",
    }  # fmt: skip


def test_what_was_made_says_how_to_use_and_undo_it(run_cli: RunCli, server: OllamaServer) -> None:
    options = ("--name", "mine", "--machine", RTX_3060)
    done = run_cli("tune", QWEN, "--num-ctx", "4k", "--apply", "--yes", *options)
    assert done.exit_code == 0
    assert "100 % GPU, 4,096 tokens" in " ".join(done.stdout.split())
    last = done.stdout.splitlines()[-1]
    assert last == "Use it: ollama run mine      Undo: assistant models remove mine"
    assert "Creates mine from qwen3:14b with num_ctx 4096" in " ".join(done.stderr.split())


def test_a_dry_run_shows_the_modelfile_and_changes_nothing(
    run_cli: RunCli, server: OllamaServer
) -> None:
    done = run_cli("tune", QWEN, "--apply", "--dry-run", "--machine", RTX_3060)
    assert done.exit_code == 0
    assert f"Creates {TUNED} from {QWEN}" in " ".join(done.stdout.split())
    assert "FROM qwen3:14b" in done.stdout
    assert names(server) == {QWEN, "nomic-embed-text:latest"}
    assert read_ledger().aliases == ()


def test_nobody_to_ask_is_a_usage_error(run_cli: RunCli, server: OllamaServer) -> None:
    done = run_cli("tune", QWEN, "--apply", "--machine", RTX_3060)
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert server.requests == []


class Terminal(io.StringIO):
    """Standard input of somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "made"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_it_asks_first(
    server: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    made: bool,
) -> None:
    from assistant.cli.main import run

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert run(["tune", QWEN, "--apply", "--machine", RTX_3060]) == 0
    assert "Go ahead?" in capsys.readouterr().err
    assert (TUNED in names(server)) is made


def test_a_model_that_is_not_installed_says_what_to_pull(
    run_cli: RunCli, server: OllamaServer
) -> None:
    done = run_cli("tune", "llama3.1:8b", "--apply", "--yes", "--machine", RTX_3060)
    assert done.exit_code == 2
    assert "ollama pull llama3.1:8b" in done.stderr
    quant = run_cli("tune", QWEN, "--quant", "q8_0", "--apply", "--yes", "--machine", RTX_3060)
    assert quant.exit_code == 2
    assert "ollama pull qwen3:14b-q8_0" in quant.stderr


def test_a_context_that_does_not_stay_is_refused_with_what_would(
    run_cli: RunCli, server: OllamaServer
) -> None:
    asked = ("tune", QWEN, "--num-ctx", "32k", "--apply", "--yes", "--machine", RTX_3060)
    done = run_cli(*asked)
    assert done.exit_code == 4
    assert "3.0 GiB too many" in " ".join(done.stderr.split())
    assert "num_ctx 12288 fits" in done.stderr
    assert names(server) == {QWEN, "nomic-embed-text:latest"}
    forced = applied(run_cli(*asked, "--force", "--json"))
    assert forced["num_ctx"] == 32_768
    assert forced["expected"]["verdict"] == "partial"
    assert "assistant-tuned-qwen3-14b:32k" in names(server)


def test_a_model_on_the_cpu_against_the_estimate_is_tried_with_less(
    run_cli: RunCli, server: OllamaServer
) -> None:
    server.memory_of = lambda _name, num_ctx: (
        (10 * GIB, 10 * GIB) if num_ctx < 8192 else (11 * GIB, 7 * GIB)
    )
    done = run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060)
    assert done.exit_code == 0
    assert "8,192 tokens: 36 % of it landed on the CPU" in " ".join(done.stdout.split())
    told = " ".join(done.stderr.split())
    assert told.index("36 % of it landed on the CPU; trying 4,096") < told.index(
        "with 4,096 tokens and measuring it"
    )
    assert names(server) == {QWEN, "nomic-embed-text:latest", "assistant-tuned-qwen3-14b:4k"}
    history = read_ledger().of_alias("assistant-tuned-qwen3-14b:4k")
    assert history is not None
    assert history.entry is not None
    assert history.entry.num_ctx == 4096
    assert "with 8192 36 %" in " ".join(history.entry.modelfile.replace("#", "").split())


def test_a_model_that_cannot_be_loaded_is_tried_with_less(
    run_cli: RunCli, server: OllamaServer
) -> None:
    server.faults.add(Fault.load_failure(min_num_ctx=5000, times=None))
    done = applied(run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060, "--json"))
    assert done["num_ctx"] == 4096
    assert [each["num_ctx"] for each in done["attempts"]] == [8192]
    assert "not enough memory" in done["attempts"][0]["why"]
    assert ":next" not in json.dumps(done)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.error("/api/create", text="something went wrong"), 3),
        (Fault.cut("/api/create", after_lines=1), 3),
        (Fault.error("/api/chat", text="something went wrong"), 3),
        (Fault.runner_killed("/api/chat"), 3),
        (Fault.error("/api/copy", text="something went wrong"), 3),
        (Fault.load_failure(times=None), 3),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_a_failure_leaves_nothing_behind(
    run_cli: RunCli, server: OllamaServer, fault: Fault, code: int
) -> None:
    server.faults.add(fault)
    done = run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060)
    assert done.exit_code == code
    assert done.stdout == ""
    assert ":next" not in done.stderr
    assert names(server) == {QWEN, "nomic-embed-text:latest"}
    assert read_ledger().aliases == ()
    folder = data_folder() / "modelfiles"
    assert not folder.exists() or list(folder.iterdir()) == []
    server.faults.clear()
    assert applied(run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060, "--json"))


def test_a_copy_whose_answer_was_lost_is_taken_back(run_cli: RunCli, server: OllamaServer) -> None:
    server.faults.add(Fault.cut("/api/copy"))
    done = run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060)
    assert done.exit_code == 3
    assert names(server) == {QWEN, "nomic-embed-text:latest"}
    assert read_ledger().aliases == ()


def test_where_every_context_lands_on_the_cpu_nothing_is_left(
    run_cli: RunCli, server: OllamaServer
) -> None:
    server.vram_share = 0.5
    done = run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060)
    assert done.exit_code == 4
    assert "8192: 50 % of it landed on the CPU" in " ".join(done.stderr.split())
    assert "assistant doctor" in done.stderr
    assert names(server) == {QWEN, "nomic-embed-text:latest"}
    assert read_ledger().aliases == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [(QWEN, "did not make"), ("assistant-chat", "role"), ("nomic-embed-text", "did not make")],
)
def test_names_of_others_are_left_alone(
    run_cli: RunCli, server: OllamaServer, name: str, said: str
) -> None:
    before = dict(server.state.manifests)
    done = run_cli("tune", QWEN, "--apply", "--yes", "--name", name, "--machine", RTX_3060)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert server.state.manifests == before


def test_a_role_gives_its_context_and_its_sampling(run_cli: RunCli, server: OllamaServer) -> None:
    asked = ("tune", QWEN, "--role", "rag", "--apply", "--yes", "--machine", RTX_3060, "--json")
    done = applied(run_cli(*asked))
    assert done["name"].endswith("-rag")
    assert done["role"] is None
    assert done["num_ctx"] == 12_288
    assert "SYSTEM" in done["modelfile"]


def test_an_embedding_model_is_tuned_too(run_cli: RunCli, server: OllamaServer) -> None:
    asked = ("tune", "nomic-embed-text", "--apply", "--yes", "--machine", RTX_3060, "--json")
    done = applied(run_cli(*asked))
    assert done["name"] == "assistant-tuned-nomic-embed-text:2k"
    assert done["measured"]["dimension"] == 768


def test_another_cache_type_is_the_servers_to_set(run_cli: RunCli, server: OllamaServer) -> None:
    options = ("--kv-cache-type", "q8_0", "--num-ctx", "16k", "--machine", RTX_3060)
    done = run_cli("tune", QWEN, *options, "--apply", "--dry-run")
    assert done.exit_code == 0
    assert "only the server can set (OLLAMA_KV_CACHE_TYPE=q8_0)" in " ".join(done.stderr.split())
    assert "q8_0" not in done.stdout.partition("FROM")[2]


def test_a_server_elsewhere_has_to_be_described(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box.example:11434")
    done = run_cli("tune", QWEN, "--apply", "--yes")
    assert done.exit_code == 2
    assert "--machine" in done.stderr
    offline = run_cli("tune", QWEN, "--apply", "--yes", "--offline", "--machine", RTX_3060)
    assert offline.exit_code == 3


def test_no_server_ends_with_3(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    done = run_cli("tune", QWEN, "--apply", "--yes", "--machine", RTX_3060)
    assert done.exit_code == 3
    assert "no Ollama server answers" in done.stderr


def test_a_file_is_no_model_on_the_server(
    run_cli: RunCli, server: OllamaServer, tmp_path: Path
) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(small_model())
    done = run_cli("tune", str(path), "--apply", "--yes", "--machine", RTX_3060)
    assert done.exit_code == 2
    assert "ollama create" in done.stderr

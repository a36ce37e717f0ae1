"""`assistant fit`: its text, its JSON, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from assistant.ollama.client import OllamaClient
from tests.contract.recorded_server import serving
from tests.support.fake_ollama import OllamaServer, library_model
from tests.support.gguf_bytes import small_model
from tests.support.provisioned import set_up
from tests.support.registry_server import running_registry

RTX_3060 = "RTX 3060 12GB, 32GB RAM"
RunCli = Callable[..., Any]

CASES = {
    "fits": ("gemma3:12b", "--num-ctx", "32k", "--machine", RTX_3060),
    "in part": ("qwen2.5:14b", "--num-ctx", "32k", "--machine", RTX_3060),
    "experts in RAM": ("qwen3:30b-a3b", "--num-ctx", "32k", "--machine", RTX_3060),
    "two GPUs": ("llama3.3:70b", "--num-ctx", "8k", "--machine", "2x RTX 3090, 64GB RAM"),
    "Apple": ("gpt-oss:20b", "--num-ctx", "32k", "--machine", "M2 Max 32GB"),
    "CPU only": ("llama3.1:8b", "--machine", "CPU only, 16GB RAM"),
    "above the trained context": ("gemma2:9b", "--num-ctx", "32k", "--machine", RTX_3060),
    "several": (
        "llama3.1:8b",
        "mixtral:8x7b",
        "llama3.3:70b",
        "--num-ctx",
        "8k",
        "--machine",
        "RTX 4090, 64GB RAM",
    ),
    "options": (
        "llama3.1:8b",
        "--quant",
        "q8_0",
        "--num-ctx",
        "16k",
        "--kv-cache-type",
        "q8_0",
        "--num-parallel",
        "2",
        "--num-batch",
        "512",
        "--flash-attention",
        "on",
        "--num-gpu",
        "20",
        "--machine",
        RTX_3060,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_text(run_cli: RunCli, snapshot: SnapshotAssertion, case: str) -> None:
    result = run_cli("fit", *CASES[case], "--offline")
    assert (result.exit_code, result.stderr) == (0, "")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout
    assert result.stdout == snapshot


@pytest.mark.parametrize("case", ["fits", "in part", "several"])
def test_json(run_cli: RunCli, snapshot: SnapshotAssertion, case: str) -> None:
    result = run_cli("fit", *CASES[case], "--offline", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.json == snapshot


@pytest.mark.parametrize("case", CASES)
def test_the_parts_of_the_memory_make_up_the_whole(run_cli: RunCli, case: str) -> None:
    envelope = run_cli("fit", *CASES[case], "--offline", "--json").json
    assert (envelope["schema"], envelope["command"], envelope["status"]) == (1, "fit", "ok")
    for estimate in envelope["data"]["estimates"]:
        memory = estimate["memory"]
        for side in (memory, memory["gpu"], memory["host"]):
            parts = [value for key, value in side.items() if key.endswith("_bytes")]
            assert sum(parts) == 2 * side["total_bytes"]
        sides = memory["gpu"]["total_bytes"] + memory["host"]["total_bytes"]
        assert sides == memory["total_bytes"]


def test_nothing_that_fits_ends_with_four(run_cli: RunCli, snapshot: SnapshotAssertion) -> None:
    arguments = ("deepseek-v3:671b", "--machine", "8GB VRAM, 16GB RAM", "--offline")
    result = run_cli("fit", *arguments)
    assert result.exit_code == 4
    assert result.stdout == snapshot
    assert "'deepseek-v3:671b' does not fit this machine" in result.stderr
    envelope = run_cli("fit", *arguments, "--json").json
    assert envelope["status"] == "error"
    assert envelope["errors"][0]["code"] == "nothing_fits"
    assert envelope["data"]["estimates"][0]["placement"]["verdict"] == "none"


def test_one_that_fits_is_enough(run_cli: RunCli) -> None:
    models = ("deepseek-v3:671b", "llama3.2:1b")
    result = run_cli("fit", *models, "--machine", "8GB VRAM, 16GB RAM", "--offline")
    assert (result.exit_code, result.stderr) == (0, "")


def test_an_unknown_model_is_met_with_near_names(run_cli: RunCli) -> None:
    result = run_cli("fit", "lama3.1:8b", "--machine", RTX_3060, "--offline")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "lama3.1:8b" in result.stderr
    assert "llama3.1:8b" in result.stderr
    envelope = run_cli("fit", "lama3.1:8b", "--machine", RTX_3060, "--offline", "--json").json
    assert envelope["errors"][0]["code"] == "unknown_model"


def test_what_is_known_is_shown_beside_what_is_not(run_cli: RunCli) -> None:
    arguments = ("llama3.1:8b", "nonesuch-model", "--machine", RTX_3060, "--offline")
    result = run_cli("fit", *arguments)
    assert result.exit_code == 5
    assert "llama3.1:8b" in result.stdout
    assert "nonesuch-model" in result.stderr
    envelope = run_cli("fit", *arguments, "--json").json
    assert envelope["status"] == "partial"
    assert [e["model"] for e in envelope["data"]["estimates"]] == ["llama3.1:8b"]
    assert len(envelope["errors"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "missing argument"),
        (("llama3.1:8b", "--num-ctx", "lots"), "not a context length"),
        (("llama3.1:8b", "--kv-cache-type", "q9_9"), "kv-cache-type"),
        (("llama3.1:8b", "--num-gpu", "-1"), "num-gpu"),
        (("llama3.1:8b", "--machine", "a purple toaster"), "toaster"),
        (("llama3.1:8b", "--quant", "q99", "--machine", RTX_3060), "q99"),
    ],
)
def test_wrong_words_are_named(run_cli: RunCli, arguments: tuple[str, ...], said: str) -> None:
    result = run_cli("fit", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr.lower()
    assert "Traceback" not in result.stderr


def test_a_file_is_read_and_needs_no_catalog(run_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(small_model())
    result = run_cli("fit", str(file), "--machine", RTX_3060, "--offline")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("tiny.gguf")
    assert "from the file's own header" in result.stdout
    assert "ollama pull" not in result.stdout


def test_a_model_of_a_registry_is_read_without_its_weights(run_cli: RunCli) -> None:
    with running_registry() as registry:
        registry.add_model(small_model(), name="someone/tiny", params={"num_ctx": 1024})
        name = f"http://{registry.host}/someone/tiny:latest"
        result = run_cli("fit", name, "--machine", RTX_3060, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        estimate = result.json["data"]["estimates"][0]
        assert (estimate["source"], estimate["exact"]) == ("registry", True)
        assert estimate["num_ctx"] == 1024
        forbidden = run_cli("fit", name, "--machine", RTX_3060, "--offline")
        assert forbidden.exit_code in (1, 2)


def test_a_typing_error_without_network_is_met_with_near_names(run_cli: RunCli) -> None:
    # No network but loopback here: the registry cannot be asked.
    result = run_cli("fit", "lama3.1:8b", "--machine", RTX_3060)
    assert result.exit_code == 2
    assert "llama3.1:8b" in result.stderr


def test_a_model_of_the_server_only_is_asked_of_the_server(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving("version", "show_smollm2") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        result = run_cli("fit", "my-model", "--machine", RTX_3060, "--offline", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.json["data"]["estimates"][0]["source"] == "server"


def test_what_is_on_the_server_is_not_downloaded_but_tuned(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving("version", "show_smollm2") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        shown = run_cli("fit", "my-model", "--machine", RTX_3060, "--offline").stdout
    assert "download" not in shown
    assert "ollama pull" not in shown
    assert shown.splitlines()[-1] == "Next: assistant tune my-model"


def test_a_role_is_the_model_that_was_set_up_for_it(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("fit", "chat", "--machine", RTX_3060, "--offline")
    none = run_cli(*asked)
    assert none.exit_code == 2
    assert none.stderr == (
        "Error: nothing is set up for the role 'chat'.\n"
        "Set it up with: assistant setup --role chat\n"
    )
    library = [library_model("qwen3:8b")]
    with OllamaServer(library=library, installed=["qwen3:8b"]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        with OllamaClient(server.address) as client:
            set_up(client, "chat", "qwen3:8b", num_ctx=16384)
        done = run_cli(*asked)
        near = run_cli("fit", "chta", "--machine", RTX_3060)
    assert done.stderr == "chat: assistant-chat\n"
    assert done.stdout.startswith("assistant-chat (Q4_K_M) fits on the GPU with 16,384 tokens")
    assert done.stdout.endswith("Next: assistant tune assistant-chat\n")
    assert near.exit_code == 2
    assert "there is no role and no model 'chta'" in near.stderr
    assert "Did you mean: assistant fit chat?" in near.stderr
    gone = run_cli(*asked)
    assert "chat: qwen3:8b, since no server here shows assistant-chat" in gone.stderr
    assert gone.stdout.startswith("qwen3:8b (Q4_K_M")


def test_a_damaged_file_is_one_sentence(run_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    result = run_cli("fit", str(file), "--machine", RTX_3060, "--offline")
    assert result.exit_code == 1
    assert "broken.gguf" in result.stderr
    missing = run_cli("fit", str(tmp_path / "missing.gguf"), "--machine", RTX_3060)
    assert missing.exit_code in (1, 2)
    assert "missing.gguf" in missing.stderr


def test_the_environment_of_ollama_counts_on_this_machine_only(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_CONTEXT_LENGTH", "12288")
    monkeypatch.setenv("OLLAMA_KV_CACHE_TYPE", "q8_0")
    here = run_cli("fit", "llama3.2:1b", "--offline", "--json").json["data"]["estimates"][0]
    assert (here["num_ctx"], here["kv_cache_type"]) == (12288, "q8_0")
    assert any("OLLAMA_CONTEXT_LENGTH" in text for text in here["assumptions"])
    arguments = ("llama3.2:1b", "--machine", RTX_3060, "--offline", "--json")
    there = run_cli("fit", *arguments).json["data"]["estimates"][0]
    assert (there["num_ctx"], there["kv_cache_type"]) == (4096, "f16")


def test_colour_only_adds(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    plain = run_cli("fit", *CASES["fits"], "--offline").stdout
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = run_cli("fit", *CASES["fits"], "--offline").stdout
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize("columns", ["40", "60", "100"])
def test_other_widths_hold_the_text(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for case in ("fits", "in part"):
        lines = run_cli("fit", *CASES[case], "--offline").stdout.splitlines()
        assert all(len(line) <= int(columns) for line in lines if not line.startswith("Next:"))


class TestPlot:
    """`--plot FILE`: whole files of the right kind, or an error and nothing written."""

    ARGUMENTS = ("gemma3:12b", "--num-ctx", "32k", "--machine", RTX_3060, "--offline")

    def test_png(self, run_cli: RunCli, tmp_path: Path) -> None:
        file = tmp_path / "memory.png"
        result = run_cli("fit", *self.ARGUMENTS, "--plot", str(file))
        assert result.exit_code == 0
        assert file.read_bytes().startswith(b"\x89PNG")
        assert str(file) in result.stderr
        assert [path.name for path in tmp_path.glob("*.png*")] == ["memory.png"]

    def test_svg_says_what_is_drawn_and_is_the_same_each_time(
        self, run_cli: RunCli, tmp_path: Path
    ) -> None:
        first, second = tmp_path / "first.svg", tmp_path / "second.svg"
        for file in (first, second):
            assert run_cli("fit", *self.ARGUMENTS, "--plot", str(file)).exit_code == 0
        assert first.read_bytes() == second.read_bytes()
        text = first.read_text(encoding="utf-8")
        for word in ("gemma3:12b", "KV cache", "RTX 3060", "32k"):
            assert word in text

    def test_json_stays_one_object(self, run_cli: RunCli, tmp_path: Path) -> None:
        file = tmp_path / "memory.svg"
        result = run_cli("fit", *self.ARGUMENTS, "--plot", str(file), "--json")
        assert json.loads(result.stdout)["status"] == "ok"
        assert json.loads(result.stdout)["data"]["plot"] == str(file)

    @pytest.mark.parametrize(
        ("name", "code", "said"),
        [
            ("memory.gif", 2, ".png or .svg"),
            ("memory", 2, ".png or .svg"),
            ("nowhere/memory.png", 1, "no folder"),
        ],
    )
    def test_a_bad_place_is_refused_before_anything_is_done(
        self, run_cli: RunCli, tmp_path: Path, name: str, code: int, said: str
    ) -> None:
        result = run_cli("fit", *self.ARGUMENTS, "--plot", str(tmp_path / name))
        assert (result.exit_code, result.stdout) == (code, "")
        assert said in result.stderr
        assert not (tmp_path / name).exists()

    def test_one_model_only(self, run_cli: RunCli, tmp_path: Path) -> None:
        result = run_cli("fit", "a", "b", "--plot", str(tmp_path / "memory.png"))
        assert result.exit_code == 2
        assert "one model" in result.stderr

    def test_without_matplotlib_it_says_what_to_install(
        self, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import importlib.util

        find_spec = importlib.util.find_spec

        def without(name: str, package: str | None = None) -> object:
            return None if name == "matplotlib" else find_spec(name, package)

        monkeypatch.setattr(importlib.util, "find_spec", without)
        result = run_cli("fit", *self.ARGUMENTS, "--plot", str(tmp_path / "memory.png"))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "matplotlib" in result.stderr
        assert "pip install" in result.stderr

    def test_a_full_disk_leaves_the_old_file(
        self, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import errno

        from matplotlib.figure import Figure

        def full(_figure: Figure, part: Path, **_options: object) -> None:
            part.write_bytes(b"\x89PNG half")
            raise OSError(errno.ENOSPC, "No space left on device")

        file = tmp_path / "memory.png"
        file.write_bytes(b"the old drawing")
        monkeypatch.setattr(Figure, "savefig", full)
        result = run_cli("fit", *self.ARGUMENTS, "--plot", str(file))
        assert result.exit_code == 1
        assert "No space left on device" in result.stderr
        assert file.read_bytes() == b"the old drawing"
        assert not list(tmp_path.glob(".memory*"))

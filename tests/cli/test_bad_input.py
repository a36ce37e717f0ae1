"""Bad input to every command: one sentence, the right exit code, JSON too, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import CommandResult

RunCli = Callable[..., CommandResult]
MACHINE = ("--machine", "RTX 3060 12GB, 32GB RAM")

CASES: dict[str, tuple[int, list[str], str]] = {
    "unknown model": (2, ["fit", "lama3.1:8b", *MACHINE, "--offline"], "llama3.1:8b"),
    "no such file": (1, ["fit", "./nothing-here.gguf", *MACHINE], "nothing-here.gguf"),
    "folder": (1, ["fit", "./folder.gguf", *MACHINE], "folder.gguf"),
    "not a GGUF": (1, ["fit", "./text.gguf", *MACHINE], "text.gguf"),
    "empty file": (1, ["fit", "./empty.gguf", *MACHINE], "empty.gguf"),
    "truncated": (1, ["fit", "./cut.gguf", *MACHINE], ""),
    "unknown quantization": (2, ["fit", "llama3.1:8b", "--quant", "q99", *MACHINE], "q99"),
    "context of nothing": (2, ["fit", "llama3.1:8b", "--num-ctx", "0", *MACHINE], "'0'"),
    "context of words": (2, ["fit", "llama3.1:8b", "--num-ctx", "much"], "'much'"),
    "negative context": (2, ["fit", "llama3.1:8b", "--num-ctx=-5"], "'-5'"),
    "cache type": (2, ["fit", "llama3.1:8b", "--kv-cache-type", "q9"], "q9"),
    "machine of nonsense": (2, ["fit", "llama3.1:8b", "--machine", "7 bananas"], "bananas"),
    "machine for recommend": (2, ["recommend", "--machine", "7 bananas"], "bananas"),
    "machine for ask": (2, ["ask", "what fits?", "--machine", "7 bananas"], "bananas"),
    "machine for hardware": (2, ["hardware", "--machine", "7 bananas"], "bananas"),
    "machine file damaged": (2, ["hardware", "--machine", "./damaged.json"], "damaged.json"),
    "unknown role": (2, ["recommend", "--role", "gardening", *MACHINE], "gardening"),
    "no model": (2, ["fit"], "MODEL"),
    "no question": (2, ["ask"], "QUESTION"),
    "too large": (4, ["fit", "llama3.1:405b", "--machine", "CPU only, 4GB RAM"], "405b"),
    "cloud model": (2, ["fit", "gpt-oss:120b-cloud", *MACHINE], "gpt-oss:120b"),
    "unknown cloud model": (2, ["fit", "kimi-k2:1t-cloud", *MACHINE], "Ollama's servers"),
    "MLX tag": (2, ["fit", "qwen3.5:9b-mlx", *MACHINE], "qwen3.5:9b"),
    "quantization of a file": (2, ["fit", "./text.gguf", "--quant", "q8_0"], "--quant"),
    "a file that is no GGUF": (1, ["fit", "./text.txt", *MACHINE], "text.txt"),
    "a folder": (1, ["fit", "./", *MACHINE], ""),
    "cache without flash attention": (
        2,
        ["fit", "llama3.1:8b", "--kv-cache-type", "q8_0", "--flash-attention", "off", *MACHINE],
        "flash attention",
    ),
    "offline": (1, ["fit", "hf.co/nobody/nothing:Q4_K_M", "--offline", *MACHINE], "nobody/nothing"),
}


@pytest.fixture(autouse=True)
def some_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.gguf").mkdir()
    Path("text.gguf").write_text("this is no model\n" * 100)
    Path("text.txt").write_text("this is no model\n" * 100)
    Path("empty.gguf").write_bytes(b"")
    Path("cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + b"\x05" + b"\x00" * 20)
    Path("damaged.json").write_text('{"data": ')


@pytest.mark.parametrize(("code", "arguments", "names"), CASES.values(), ids=CASES)
def test_bad_input_is_one_sentence(
    run_cli: RunCli, code: int, arguments: list[str], names: str
) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == code, result.stderr
    first, *rest = result.stderr.splitlines()
    assert first.startswith("Error: ")
    assert names in first + "".join(rest)
    assert "Traceback" not in result.stderr
    assert "unexpected" not in result.stderr
    assert len(rest) <= 2


@pytest.mark.parametrize(("code", "arguments", "names"), CASES.values(), ids=CASES)
def test_bad_input_in_json(run_cli: RunCli, code: int, arguments: list[str], names: str) -> None:
    result = run_cli(*arguments, "--json")
    assert result.exit_code == code
    envelope = result.json
    assert (envelope["schema"], envelope["command"]) == (1, arguments[0])
    assert envelope["status"] == "error"
    (error,) = envelope["errors"]
    assert error["code"]
    assert names in error["message"] + (error["hint"] or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(run_cli: RunCli) -> None:
    Path("text.gguf").chmod(0)
    result = run_cli("fit", "./text.gguf", *MACHINE)
    assert result.exit_code == 1
    assert "ermission" in result.stderr


def test_a_context_above_the_trained_one_is_said(run_cli: RunCli) -> None:
    result = run_cli("fit", "gemma2:9b", "--num-ctx", "32k", "--machine", "24GB VRAM", "--json")
    assert result.exit_code == 0
    (estimate,) = result.json["data"]["estimates"]
    assert estimate["limits"]["trained_num_ctx"] == 8192
    assert any("8,192" in note or "8192" in note or "8k" in note for note in estimate["notes"])


def test_one_good_model_and_one_bad_one_is_partly_done(run_cli: RunCli) -> None:
    result = run_cli("fit", "llama3.1:8b", "nosuchmodel:1b", *MACHINE, "--offline", "--json")
    assert result.exit_code == 5
    assert result.json["status"] == "partial"
    assert [e["model"] for e in result.json["data"]["estimates"]] == ["llama3.1:8b"]
    assert len(result.json["errors"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "llama3.1:8b", "--machine", "CPU only, RTX 3060"], "'RTX 3060'"),
        (["fit", "llama3.1:8b", "--machine", "M2 Max 32GB, RTX 4090"], "'RTX 4090'"),
        (["fit", "llama3.1:8b", "--num-ctx", "9" * 5000, *MACHINE], "more than any model's"),
        (["fit", "llama3.1:8b", "--num-ctx", "9999m", *MACHINE], "more than any model's"),
        (["fit", "llama3.1:8b", "--num-parallel", "100000", *MACHINE], "1<=x<=256"),
        (["recommend", "--lang", "Klingon", *MACHINE], "Klingon"),
    ],
)
def test_what_makes_no_sense_is_refused(run_cli: RunCli, arguments: list[str], said: str) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == 2, result.stderr
    assert said in result.stderr.replace("\n", " ")


def test_errors_are_wrapped_and_commands_stay_whole(run_cli: RunCli) -> None:
    result = run_cli("recommend", "--lang", "zz", "--role", "chat", *MACHINE)
    assert result.exit_code == 4
    lines = result.stderr.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any('assistant recommend --machine "RTX 3060 12GB, 32GB RAM"' in line for line in lines)


def test_only_unknown_models_leave_standard_output_empty(run_cli: RunCli) -> None:
    result = run_cli("fit", "nosuch:1b", "nosuch:2b", "--offline", *MACHINE)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("Error:") == 2


def test_the_catalogs_name_is_shown_for_a_loose_one(run_cli: RunCli) -> None:
    shown = run_cli("fit", "LLAMA3.1:8B-q4", *MACHINE, "--offline").stdout
    assert shown.startswith("llama3.1:8b (Q4_K_M")
    assert (
        run_cli("fit", "LLAMA3.1:8B-q4", *MACHINE, "--json").json["data"]["estimates"][0]["model"]
        == "LLAMA3.1:8B-q4"
    )


def test_an_option_without_its_value_names_the_commands_help(run_cli: RunCli) -> None:
    result = run_cli("fit", "llama3.1:8b", "--kv-cache-type")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "See: assistant fit --help")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["--help"], ["fit", "llama3.1:8b", *MACHINE]])
def test_a_full_disk_is_no_defect_of_the_program(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "assistant", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: no space left on device.\n"


def test_a_language_by_name(run_cli: RunCli) -> None:
    by_name = run_cli("recommend", "--role", "chat", "--lang", "German", *MACHINE)
    assert by_name.stdout == run_cli("recommend", "--role", "chat", "--lang", "de", *MACHINE).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["llama3.1:8b", "--quant", "iq2_xs"], "the library has no llama3.1:8b-IQ2_XS"),
        (["llama3.2-vision:11b"], "refuses this library file"),
    ],
)
def test_what_cannot_be_pulled_is_not_proposed(
    run_cli: RunCli, arguments: list[str], said: str
) -> None:
    result = run_cli("fit", *arguments, "--offline", *MACHINE)
    assert result.exit_code == 0
    assert said in " ".join(result.stdout.split()).replace("Ollama's library", "the library")
    assert "ollama pull" not in result.stdout
    data = run_cli("fit", *arguments, "--offline", "--json", *MACHINE).json["data"]
    assert data["estimates"][0]["pullable"] is False

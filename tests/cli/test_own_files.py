"""What a person adds to the program: catalog entries, and a bandwidth measured once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.machine.detect.measured_bandwidth import FILE_NAME, keep_measured, with_measured
from assistant.machine.records import Cpu, Machine, Ram
from assistant.units import GIB
from tests.running import CommandResult

RunCli = Callable[..., CommandResult]
MACHINE = ("--machine", "RTX 3060 12GB, 32GB RAM")
OWN_MODEL = """
[[models]]
name = "my-model:3b"
licence = "MIT"
commercial_use = "yes"
parameters_total = 3_100_000_000
context_length = 16384
[models.architecture]
name = "llama"
block_count = 26
embedding_length = 3072
feed_forward_length = 8192
head_count = 24
head_count_kv = 8
key_length = 128
value_length = 128
vocab_size = 128256
tied_embeddings = true
[[models.tags]]
tag = "3b-instruct-q4_K_M"
quantization = "Q4_K_M"
download_bytes = 2_000_000_000
aliases = ["3b", "latest"]
"""
MEASURED = Machine(
    cpu=Cpu("Some CPU", 4, 8), ram=Ram(32 * GIB, 30 * GIB, 41.5, "measured"), source="detected"
)


@pytest.fixture
def own_catalog(own_world: Path) -> Path:
    path = own_world / "config" / "catalog.toml"
    path.parent.mkdir(parents=True)
    path.write_text(OWN_MODEL)
    return path


@pytest.mark.usefixtures("own_catalog")
def test_a_model_of_the_persons_own_catalog_is_known(run_cli: RunCli) -> None:
    result = run_cli("fit", "my-model:3b", "--offline", *MACHINE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("my-model:3b (Q4_K_M, 2.0 GB download) fits on the GPU")


def test_without_the_file_it_is_not(run_cli: RunCli) -> None:
    assert run_cli("fit", "my-model:3b", "--offline", *MACHINE).exit_code == 2


def test_a_damaged_catalog_is_named_and_nothing_else_is_done(
    run_cli: RunCli, own_catalog: Path
) -> None:
    own_catalog.write_text("[[models]\n")
    for command in (["fit", "llama3.1:8b", *MACHINE], ["recommend", *MACHINE]):
        result = run_cli(*command)
        assert result.exit_code == 1
        assert "catalog.toml" in result.stderr.replace("\n", "")
        assert result.stdout == ""


def test_a_measured_bandwidth_is_kept_for_this_computer_only(tmp_path: Path) -> None:
    unknown = replace(MEASURED, ram=Ram(32 * GIB, 20 * GIB))
    assert with_measured(tmp_path / "none", unknown) is unknown
    keep_measured(tmp_path / "none", MEASURED)
    found = with_measured(tmp_path / "none", unknown).ram
    assert (found.bandwidth_gb_per_s, found.bandwidth_source) == (41.5, "measured")
    assert found.available_bytes == 20 * GIB
    other = replace(unknown, cpu=Cpu("Another CPU", 4, 8))
    assert with_measured(tmp_path / "none", other) is other


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"bandwidth_gb_per_s": "fast"}', '{"bandwidth_gb_per_s": NaN}']
)
def test_a_damaged_measurement_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    machine = replace(MEASURED, ram=Ram(32 * GIB, 20 * GIB))
    assert with_measured(tmp_path, machine) is machine


def test_measuring_serves_later_commands(run_cli: RunCli, own_world: Path) -> None:
    measured = run_cli("hardware", "--measure", "--offline", "--json").json["data"]["ram"]
    assert json.loads((own_world / "cache" / FILE_NAME).read_text())["bandwidth_gb_per_s"] > 0
    later = run_cli("hardware", "--offline", "--json").json["data"]["ram"]
    assert later["bandwidth_gb_per_s"] == measured["bandwidth_gb_per_s"]
    estimate = run_cli("fit", "qwen3:0.6b", "--offline", "--num-gpu", "0", "--json").json["data"]
    assert estimate["estimates"][0]["speed"]["decode_tokens_per_s"]["expected"] > 0

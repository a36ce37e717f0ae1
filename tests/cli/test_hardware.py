"""`assistant hardware` on described machines, on files, and on the computer it runs on."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from syrupy.assertion import SnapshotAssertion

from assistant.cli.hardware import render_machine
from assistant.cli.options import detect_this_machine
from assistant.machine.measured_runs import keep_run
from assistant.machine.parse import load_machine
from assistant.machine.records import (
    Accelerator,
    Container,
    Cpu,
    Disk,
    Machine,
    MeasuredRun,
    OllamaServer,
    Ram,
    Unavailable,
)
from assistant.paths import data_folder
from assistant.units import GB, GIB, MIB
from tests.contract.recorded_server import serving
from tests.running import CommandResult

RunCli = Callable[..., CommandResult]

WORKSTATION = Machine(
    os="Ubuntu 24.04.3 LTS",
    cpu=Cpu("AMD Ryzen 9 7950X", 16, 32, ("avx2", "f16c", "fma", "avx512f"), "x86_64"),
    ram=Ram(64 * GIB, 57 * GIB, 83.2, "table"),
    accelerators=(
        *[
            Accelerator(
                name="NVIDIA GeForce RTX 3090", vendor="nvidia", kind="discrete",
                memory_total_bytes=24 * GIB, memory_free_bytes=23 * GIB, bandwidth_gb_per_s=936.2,
                compute_capability="8.6", driver="580.65.06", backend="cuda",
            )
        ] * 2,
        Accelerator(
            name="AMD Radeon Graphics", vendor="amd", kind="integrated",
            memory_total_bytes=32 * GIB, backend="vulkan", used_by_ollama=False,
            carve_out_bytes=512 * MIB, gtt_bytes=31 * GIB,
        ),
    ),
    disk=Disk("/usr/share/ollama/.ollama/models", 210 * GB),
    container=Container("docker", 48 * GIB, 8.0),
    ollama=OllamaServer(
        "http://127.0.0.1:11434", True, "0.33.0", ("a:1b", "b:2b", "c:3b", "d:4b", "e:5b"),
        ("a:1b",), "0.9 GiB of 0.9 GiB of the loaded models in VRAM",
    ),
    unavailable=(
        Unavailable("memory speed", "/sys/firmware/dmi/tables/DMI can be read by root only"),
    ),
    assumptions=("Memory: DDR5-5200, two channels",),
)  # fmt: skip

RUN = MeasuredRun("gemma4:12b", "Q4_K_M", 16384, "gpu", 31.42, "2026-11-27", 812.0, 36.5)

NUMBER = {"type": ["number", "null"]}
BYTES = {"type": ["integer", "null"], "minimum": 0}
TEXT = {"type": ["string", "null"]}


def keys(**properties: object) -> dict[str, object]:
    return {"type": "object", "required": list(properties), "properties": properties}


# CONTRACT.md, "hardware": these keys are there, whatever else is added.
CONTRACT = keys(
    os=TEXT,
    cpu=keys(name=TEXT, physical_cores=BYTES, logical_cores=BYTES, features={"type": "array"}),
    ram=keys(total_bytes=BYTES, available_bytes=BYTES, bandwidth_gb_per_s=NUMBER),
    accelerators={
        "type": "array",
        "items": keys(
            name=TEXT,
            vendor=TEXT,
            kind={"enum": ["discrete", "integrated", "unified"]},
            memory_total_bytes=BYTES,
            memory_free_bytes=BYTES,
            bandwidth_gb_per_s=NUMBER,
            compute_capability=TEXT,
            driver=TEXT,
            backend={"enum": ["cuda", "rocm", "metal", "vulkan", None]},
        ),
    },
    disk=keys(models_path=TEXT, free_bytes=BYTES),
    container={"type": ["object", "null"]},
    unavailable={"type": "array", "items": keys(what=TEXT, why=TEXT)},
    assumptions={"type": "array", "items": {"type": "string"}},
)
SERVER = keys(reachable={"type": ["boolean", "null"]}, url=TEXT, version=TEXT, models={})

SPECS = ["RTX 3060 12GB, 32GB RAM", "2x RTX 3090, 64GB RAM", "M2 Max 32GB", "CPU only, 16GB RAM"]


@pytest.mark.parametrize("spec", SPECS)
def test_a_described_machine(run_cli: RunCli, spec: str, snapshot: SnapshotAssertion) -> None:
    result = run_cli("hardware", "--machine", spec)
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert result.stdout == snapshot


@pytest.mark.parametrize("spec", SPECS)
def test_a_described_machine_in_json(run_cli: RunCli, spec: str) -> None:
    result = run_cli("hardware", "--machine", spec, "--json")
    assert result.json["command"] == "hardware"
    jsonschema.validate(result.json["data"], CONTRACT)


def test_everything_a_workstation_can_say(snapshot: SnapshotAssertion) -> None:
    assert render_machine(WORKSTATION) == snapshot


def test_a_machine_nothing_is_known_of(snapshot: SnapshotAssertion) -> None:
    nothing = Machine(unavailable=(Unavailable("everything", "no permission"),))
    assert render_machine(nothing) == snapshot


def test_the_json_of_a_machine_describes_it_again(run_cli: RunCli, tmp_path: Path) -> None:
    first = run_cli("hardware", "--machine", SPECS[1], "--json")
    file = tmp_path / "machine.json"
    file.write_text(first.stdout)
    again = run_cli("hardware", "--machine", str(file), "--json")
    assert again.json["data"]["accelerators"] == first.json["data"]["accelerators"]
    assert again.json["data"]["ram"] == first.json["data"]["ram"]


def test_this_computer(run_cli: RunCli) -> None:
    result = run_cli("hardware", "--json")
    data = result.json["data"]
    jsonschema.validate(data, CONTRACT)
    jsonschema.validate(data["ollama"], SERVER)
    assert data["ram"]["total_bytes"] > 0
    assert data["source"] == "detected"
    assert run_cli("hardware").stdout.endswith("Next: assistant recommend\n")


def test_a_running_server_is_shown(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("version", "tags_filled", "ps_loaded") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        shown = run_cli("hardware").stdout
        data = run_cli("hardware", "--json").json["data"]
    assert f"0.33.0-rc-fb307609 at http://{server.host}" in shown
    assert "1 model loaded: smollm2:135m" in shown
    assert data["ollama"]["reachable"] is True
    assert "smollm2-tools:135m" in data["ollama"]["models"]


def test_no_server_is_a_line_and_not_an_error(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    result = run_cli("hardware")
    assert result.exit_code == 0
    said = re.sub(r"\s+", " ", result.stdout)
    assert "no Ollama server answers at http://127.0.0.1:1 (connection refused)" in said


def test_a_server_that_is_slow_costs_its_budget_only(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(fault="trickle") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        started = time.perf_counter()
        data = run_cli("hardware", "--json").json["data"]
        took = time.perf_counter() - started
        shown = run_cli("hardware").stdout
    assert "did not answer within 1 s" in data["unavailable"][-1]["why"]
    assert (data["ollama"]["reachable"], data["ollama"]["url"]) == (False, f"http://{server.host}")
    assert "no Ollama server" in shown.splitlines()[0]
    assert "did not answer within 1 s" in " ".join(shown.split())
    assert took < 3


def test_offline_asks_no_server_elsewhere(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "192.0.2.7:11434")
    data = run_cli("hardware", "--offline", "--json").json["data"]
    assert data["ollama"]["reachable"] is None
    assert "--offline" in data["unavailable"][-1]["why"]


def test_offline_still_asks_this_computers_server(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving("version", "tags_empty", "ps_idle") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        data = run_cli("hardware", "--offline", "--json").json["data"]
    assert data["ollama"]["reachable"] is True


def test_measuring_gives_a_measured_bandwidth(run_cli: RunCli) -> None:
    ram = run_cli("hardware", "--measure", "--json").json["data"]["ram"]
    assert ram["bandwidth_source"] == "measured"
    assert 0.5 < ram["bandwidth_gb_per_s"] < 10_000


def test_measured_runs_are_a_line() -> None:
    runs = [dataclasses.replace(RUN, model=f"m{number}:1b") for number in range(5)]
    machine = dataclasses.replace(WORKSTATION, measured_runs=(*runs, RUN))
    shown = render_machine(machine)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert (
        "Measured here: gemma4:12b 31.4 tokens/s (2026-11-27), m4:1b 31.4 tokens/s (2026-11-27),"
        " m3:1b 31.4 tokens/s (2026-11-27), m2:1b 31.4 tokens/s (2026-11-27), and 2 more."
    ) in " ".join(shown.replace("\u00a0", " ").split())
    assert "Measured here" not in render_machine(WORKSTATION)


def test_a_model_that_was_measured_twice_is_there_once_with_its_newest_run() -> None:
    older = dataclasses.replace(RUN, num_ctx=4096, decode_tokens_per_s=11.0)
    again = dataclasses.replace(RUN, model="Gemma4:12b", decode_tokens_per_s=29.0)
    machine = dataclasses.replace(WORKSTATION, measured_runs=(older, RUN, again))
    shown = " ".join(render_machine(machine).split())
    assert "Measured here: Gemma4:12b 29.0 tokens/s (2026-11-27)." in shown


def test_runs_measured_here_are_shown_and_used(run_cli: RunCli) -> None:
    keep_run(data_folder(), detect_this_machine(), RUN)
    keep_run(data_folder(), Machine(cpu=Cpu("another one")), RUN)
    assert "gemma4:12b 31.4 tokens/s (2026-11-27)" in run_cli("hardware").stdout.replace(
        "\u00a0", " "
    )
    (run,) = run_cli("hardware", "--json").json["data"]["measured_runs"]
    assert run == dataclasses.asdict(RUN)
    assert detect_this_machine().measured_runs == (RUN,)
    assert "Measured here" not in run_cli("hardware", "--machine", SPECS[0]).stdout


def test_fit_takes_a_run_measured_here_for_its_speed(run_cli: RunCli) -> None:
    before = run_cli("fit", "smollm2:135m", "--offline", "--json").json["data"]["estimates"][0]
    verdict = before["placement"]["verdict"]
    run = MeasuredRun(before["resolved"], before["quantization"], 4096, verdict, 4.0, "2026-11-27")
    keep_run(data_folder(), detect_this_machine(), run)
    shown = run_cli("fit", "smollm2:135m", "--offline").stdout.replace("\u00a0", " ")
    assert "4.0 tokens/s measured" in shown
    run_cli("hardware", "--forget-measured")
    after = run_cli("fit", "smollm2:135m", "--offline", "--json").json["data"]["estimates"][0]
    assert after["speed"] == before["speed"]


def test_what_was_measured_is_forgotten(run_cli: RunCli, own_world: Path) -> None:
    run_cli("hardware", "--measure")
    keep_run(data_folder(), detect_this_machine(), RUN)
    keep_run(data_folder(), Machine(cpu=Cpu("another one")), RUN)
    result = run_cli("hardware", "--forget-measured")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "Forgotten: the memory bandwidth and 2 measured runs.\n\n"
        "Next: assistant hardware --measure\n"
    )
    assert [path for path in own_world.rglob("*") if path.is_file()] == []
    assert run_cli("hardware", "--json").json["data"]["measured_runs"] == []
    again = run_cli("hardware", "--forget-measured", "--json")
    assert again.json["data"] == {"forgotten": {"memory_bandwidth": False, "runs": 0}}
    assert run_cli("hardware", "--forget-measured").stdout.startswith("Nothing measured was kept.")


def test_measuring_the_bandwidth_keeps_the_runs(run_cli: RunCli) -> None:
    keep_run(data_folder(), detect_this_machine(), RUN)
    data = run_cli("hardware", "--measure", "--json").json["data"]
    assert [run["model"] for run in data["measured_runs"]] == ["gemma4:12b"]


@pytest.mark.parametrize("other", [["--measure"], ["--machine", "RTX 3060"]])
def test_forgetting_goes_alone(run_cli: RunCli, other: list[str]) -> None:
    keep_run(data_folder(), detect_this_machine(), RUN)
    result = run_cli("hardware", "--forget-measured", *other)
    assert (result.exit_code, result.stdout) == (2, "")
    assert other[0] in result.stderr
    assert detect_this_machine().measured_runs == (RUN,)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--machine", "2x foo bar"],
        ["--machine", ""],
        ["--machine", "RTX 3060", "--measure"],
        ["--machine", "./no-such-file.json"],
    ],
)
def test_nonsense_is_one_sentence_and_code_2(run_cli: RunCli, arguments: list[str]) -> None:
    result = run_cli("hardware", *arguments)
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_damaged_file_is_one_sentence(run_cli: RunCli, tmp_path: Path) -> None:
    for content in ('{"data": {"cpu": 7}}', "{", "[]", '{"data": {"accelerators": [{}]}}', "\xff"):
        file = tmp_path / "machine.json"
        file.write_text(content, encoding="latin-1")
        result = run_cli("hardware", "--machine", str(file), "--json")
        assert result.exit_code in {1, 2}, content
        assert result.json["status"] == "error"


def test_the_loaded_machine_and_the_shown_one_are_the_same(run_cli: RunCli) -> None:
    shown = run_cli("hardware", "--machine", SPECS[0], "--json").json["data"]
    assert shown["accelerators"][0]["memory_total_bytes"] == 12 * GIB
    assert load_machine(SPECS[0]).accelerators[0].memory_total_bytes == 12 * GIB


@pytest.mark.slow
def test_it_is_quick_as_a_whole_process() -> None:
    environment = {**os.environ, "OLLAMA_HOST": "127.0.0.1:1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    times = []
    for _ in range(7):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "assistant", "hardware", "--json"],
            capture_output=True,
            check=True,
            env=environment,
        )
        times.append(time.perf_counter() - started)
    assert json.loads(done.stdout)["status"] == "ok"
    # The goal is 250 ms on a quiet machine; a busy one gets twice that.
    assert min(times) < 0.5, f"median {statistics.median(times):.3f} s"

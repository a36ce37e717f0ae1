"""Measured runs: kept per machine, one of each kind, and never a reason to fail when read."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import FileProblemError
from assistant.machine.detect.measured_bandwidth import keep_measured
from assistant.machine.measured_runs import (
    FILE_NAME,
    MOST_RUNS,
    forget_bandwidth,
    forget_runs,
    keep_run,
    with_measured_runs,
)
from assistant.machine.records import Accelerator, Cpu, Machine, MeasuredRun, Ram
from assistant.machine.serialize import machine_from_dict, machine_to_dict
from assistant.units import GIB

RTX_3060 = Accelerator("RTX 3060", "nvidia", "discrete", 12 * GIB, 11 * GIB, 360.0)
HERE = Machine(
    cpu=Cpu("Ryzen 7 5700X"), ram=Ram(32 * GIB, 28 * GIB, 51.2, "table"), accelerators=(RTX_3060,)
)
RUN = MeasuredRun(
    model="gemma4:12b",
    quantization="Q4_K_M",
    num_ctx=16384,
    verdict="gpu",
    decode_tokens_per_s=31.4,
    measured_on="2026-11-27",
    prompt_tokens_per_s=812.0,
    expected_decode_tokens_per_s=36.5,
    expected_prompt_tokens_per_s=900.0,
)


def kept(folder: Path, machine: Machine = HERE) -> tuple[MeasuredRun, ...]:
    return with_measured_runs(folder, machine).measured_runs


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there yet"
    keep_run(folder, HERE, RUN)
    assert with_measured_runs(folder, HERE) == replace(HERE, measured_runs=(RUN,))


def test_without_a_file_the_machine_is_itself(tmp_path: Path) -> None:
    assert with_measured_runs(tmp_path, HERE) is HERE


def test_the_newest_run_of_a_kind_wins_and_is_last(tmp_path: Path) -> None:
    other = replace(RUN, model="qwen3:8b")
    newer = replace(RUN, model="GEMMA4:12b", num_ctx=10_000, decode_tokens_per_s=33.0)
    for run in (RUN, other, newer):
        keep_run(tmp_path, HERE, run)
    assert kept(tmp_path) == (other, newer)


@pytest.mark.parametrize(
    "change",
    [
        {"num_ctx": 8192},
        {"num_ctx": 16385},
        {"quantization": "Q8_0"},
        {"quantization": None},
        {"verdict": "partial"},
        {"model": "gemma4:26b"},
    ],
)
def test_another_kind_is_kept_beside_it(tmp_path: Path, change: dict[str, Any]) -> None:
    other = replace(RUN, **change)
    keep_run(tmp_path, HERE, RUN)
    keep_run(tmp_path, HERE, other)
    assert kept(tmp_path) == (RUN, other)


@pytest.mark.parametrize(
    "other",
    [
        replace(HERE, cpu=Cpu("Core i5-8250U")),
        replace(HERE, ram=replace(HERE.ram, total_bytes=64 * GIB)),
        replace(HERE, accelerators=()),
        replace(HERE, accelerators=(replace(RTX_3060, memory_total_bytes=8 * GIB),)),
        replace(HERE, accelerators=(RTX_3060, RTX_3060)),
    ],
)
def test_runs_of_another_machine_are_kept_but_not_used(tmp_path: Path, other: Machine) -> None:
    keep_run(tmp_path, HERE, RUN)
    assert kept(tmp_path, other) == ()
    theirs = replace(RUN, decode_tokens_per_s=99.0)
    keep_run(tmp_path, other, theirs)
    assert (kept(tmp_path), kept(tmp_path, other)) == ((RUN,), (theirs,))
    assert forget_runs(tmp_path) == 2


def test_free_memory_and_the_order_of_gpus_do_not_make_another_machine(tmp_path: Path) -> None:
    two = replace(HERE, accelerators=(RTX_3060, replace(RTX_3060, name="RTX 2060")))
    keep_run(tmp_path, two, RUN)
    less = replace(RTX_3060, memory_free_bytes=GIB)
    later = replace(two, accelerators=(replace(RTX_3060, name="RTX 2060"), less))
    assert kept(tmp_path, later) == (RUN,)


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    entries = [
        {"machine": {}, "run": {**as_json(RUN), "model": f"m{number}:1b"}}
        for number in range(MOST_RUNS)
    ]
    (tmp_path / FILE_NAME).write_text(json.dumps({"version": 1, "runs": entries}))
    keep_run(tmp_path, HERE, RUN)
    runs = json.loads((tmp_path / FILE_NAME).read_text())["runs"]
    assert len(runs) == MOST_RUNS
    assert runs[0]["run"]["model"] == "m1:1b"
    assert runs[-1]["run"]["model"] == RUN.model


def as_json(run: MeasuredRun) -> dict[str, Any]:
    data: dict[str, Any] = machine_to_dict(Machine(measured_runs=(run,)))["measured_runs"][0]
    return data


def test_a_new_bandwidth_drops_what_was_expected_of_runs_that_read_the_ram(tmp_path: Path) -> None:
    slow = replace(RUN, verdict="partial")
    keep_run(tmp_path, HERE, RUN)
    keep_run(tmp_path, HERE, slow)
    near = replace(HERE, ram=replace(HERE.ram, bandwidth_gb_per_s=50.0))
    measured = replace(HERE, ram=replace(HERE.ram, bandwidth_gb_per_s=38.0))
    assert kept(tmp_path, near) == (RUN, slow)
    without = replace(slow, expected_decode_tokens_per_s=None, expected_prompt_tokens_per_s=None)
    assert kept(tmp_path, measured) == (RUN, without)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"version": 2, "runs": []}',
        b'{"version": 1}',
        b'{"version": 1, "runs": {}}',
        b'{"version": 1, "runs": [1, null, [], {}, {"machine": {}}, {"machine": 1, "run": {}}]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_ignored_and_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert with_measured_runs(tmp_path, HERE) is HERE
    keep_run(tmp_path, HERE, RUN)
    assert kept(tmp_path) == (RUN,)


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"model": 7},
        {"model": "a\x1b[2J"},
        {"model": "a" * 1000},
        {"quantization": 4},
        {"num_ctx": 0},
        {"num_ctx": "many"},
        {"num_ctx": True},
        {"num_ctx": 2**40},
        {"verdict": "none"},
        {"decode_tokens_per_s": 0},
        {"decode_tokens_per_s": -3.0},
        {"decode_tokens_per_s": float("nan")},
        {"decode_tokens_per_s": float("inf")},
        {"decode_tokens_per_s": None},
        {"decode_tokens_per_s": True},
        {"expected_decode_tokens_per_s": 0},
        {"prompt_tokens_per_s": "fast"},
        {"measured_on": "yesterday"},
        {"measured_on": None},
    ],
)
def test_an_entry_that_makes_no_sense_is_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    keep_run(tmp_path, HERE, RUN)
    content = json.loads((tmp_path / FILE_NAME).read_text())
    bad = {**content["runs"][0], "run": {**content["runs"][0]["run"], **change}}
    content["runs"].insert(0, bad)
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    assert kept(tmp_path) == (RUN,)
    with pytest.raises(ValueError, match="plausible"):
        keep_run(tmp_path, HERE, replace(RUN, **change))


def test_the_file_is_its_owners_only_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    keep_run(tmp_path, HERE, RUN)
    keep_run(tmp_path, HERE, replace(RUN, model="b:1b"))
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(FileProblemError, match="cannot be written"):
        keep_run(tmp_path / "data", HERE, RUN)
    assert with_measured_runs(tmp_path / "data", HERE) is HERE


def test_forgetting_says_how_many_there_were(tmp_path: Path) -> None:
    assert forget_runs(tmp_path) == 0
    keep_run(tmp_path, HERE, RUN)
    keep_run(tmp_path, HERE, replace(RUN, verdict="cpu"))
    assert forget_runs(tmp_path) == 2
    assert list(tmp_path.iterdir()) == []
    assert kept(tmp_path) == ()


def test_a_damaged_file_is_forgotten_too(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    assert forget_runs(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_measured_bandwidth_is_forgotten(tmp_path: Path) -> None:
    assert forget_bandwidth(tmp_path) is False
    keep_measured(tmp_path, HERE)
    assert forget_bandwidth(tmp_path) is True
    assert forget_bandwidth(tmp_path) is False


def test_what_cannot_be_removed_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(FileProblemError, match="cannot be removed"):
        forget_runs(tmp_path)


def test_a_machine_with_runs_survives_json() -> None:
    bare = replace(
        RUN, quantization=None, prompt_tokens_per_s=None, expected_decode_tokens_per_s=None
    )
    machine = replace(HERE, measured_runs=(RUN, bare))
    assert machine_from_dict(json.loads(json.dumps(machine_to_dict(machine)))) == machine


def test_a_file_of_an_older_version_has_no_runs() -> None:
    data = machine_to_dict(HERE)
    del data["measured_runs"]
    assert machine_from_dict(data) == HERE

"""A machine as JSON and back, and `--machine FILE`."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import FileProblemError, MachineSpecError
from assistant.machine.parse import load_machine, parse_machine
from assistant.machine.records import (
    Accelerator,
    Container,
    Cpu,
    Disk,
    Machine,
    OllamaServer,
    Ram,
    Unavailable,
)
from assistant.machine.serialize import machine_from_dict, machine_to_dict

SPECS = [
    "8GB VRAM", "RTX 3060 12GB, 32GB RAM", "2x RTX 3090, 64GB RAM", "M2 Max 32GB",
    "CPU only, 16GB RAM", "Radeon 780M, 32GB RAM", "Raspberry Pi 5 8GB", "8x80GB",
]  # fmt: skip

names = st.one_of(st.none(), st.text(max_size=20))
counts = st.one_of(st.none(), st.integers(min_value=0, max_value=2**50))
figures = st.one_of(
    st.none(), st.floats(min_value=0, max_value=1e6, allow_nan=False, allow_infinity=False)
)
texts = st.lists(st.text(max_size=20), max_size=3).map(tuple)


@st.composite
def accelerators(draw: st.DrawFn) -> Accelerator:
    total = draw(counts)
    free = None if total is None else draw(st.integers(min_value=0, max_value=total))
    return Accelerator(
        name=draw(st.text(max_size=20)),
        vendor=draw(st.sampled_from(["nvidia", "amd", "intel", "apple", "other"])),
        kind=draw(st.sampled_from(["discrete", "integrated", "unified"])),
        memory_total_bytes=total,
        memory_free_bytes=free,
        bandwidth_gb_per_s=draw(figures),
        compute_capability=draw(names),
        driver=draw(names),
        backend=draw(st.sampled_from([None, "cuda", "rocm", "metal", "vulkan"])),
        device_class=draw(names),
        fp32_tflops=draw(figures),
        used_by_ollama=draw(st.booleans()),
        carve_out_bytes=draw(counts),
        gtt_bytes=draw(counts),
        bus_id=draw(names),
    )


machines = st.builds(
    Machine,
    os=names,
    cpu=st.builds(
        Cpu, name=names, physical_cores=counts, logical_cores=counts, features=texts,
        architecture=names, device_class=names,
    ),
    ram=st.builds(
        Ram, total_bytes=counts, available_bytes=counts, bandwidth_gb_per_s=figures,
        bandwidth_source=st.sampled_from([None, "measured", "table", "stated", "assumed"]),
    ),
    accelerators=st.lists(accelerators(), max_size=3).map(tuple),
    disk=st.builds(Disk, models_path=names, free_bytes=counts),
    container=st.one_of(
        st.none(),
        st.builds(Container, kind=names, memory_limit_bytes=counts, cpu_limit=figures),
    ),
    ollama=st.one_of(
        st.none(),
        st.builds(
            OllamaServer, url=st.text(max_size=20), reachable=st.sampled_from([None, True, False]),
            version=names, models=st.one_of(st.none(), texts), loaded=st.one_of(st.none(), texts),
            gpu=names,
        ),
    ),
    unavailable=st.lists(
        st.builds(Unavailable, what=st.text(max_size=9), why=st.text(max_size=9)), max_size=2
    ).map(tuple),
    assumptions=texts,
    source=st.sampled_from(["detected", "stated", "file"]),
    unified_memory=st.booleans(),
)  # fmt: skip


@given(machines)
def test_a_machine_comes_back_whole(machine: Machine) -> None:
    written = json.dumps(machine_to_dict(machine))
    assert machine_from_dict(json.loads(written)) == machine


def test_the_keys_are_those_of_the_contract() -> None:
    data = machine_to_dict(parse_machine("RTX 3060 12GB, 32GB RAM"))
    assert {"os", "cpu", "ram", "accelerators", "disk", "container", "ollama", "unavailable",
            "assumptions"} <= set(data)  # fmt: skip
    assert {"name", "physical_cores", "logical_cores", "features"} <= set(data["cpu"])
    assert {"total_bytes", "available_bytes", "bandwidth_gb_per_s"} <= set(data["ram"])
    assert {"models_path", "free_bytes"} <= set(data["disk"])
    assert {"name", "vendor", "kind", "memory_total_bytes", "memory_free_bytes",
            "bandwidth_gb_per_s", "compute_capability", "driver",
            "backend"} <= set(data["accelerators"][0])  # fmt: skip
    assert data["accelerators"][0]["memory_total_bytes"] == 12 * 1024**3
    assert data["ollama"] is None


@pytest.mark.parametrize("spec", SPECS)
def test_an_envelope_and_its_data_are_the_same(spec: str) -> None:
    machine = parse_machine(spec)
    data = machine_to_dict(machine)
    envelope = {"schema": 1, "command": "hardware", "status": "ok", "data": data, "errors": []}
    assert machine_from_dict(data) == machine_from_dict(envelope) == machine


def test_unknown_keys_are_passed_over_and_missing_ones_have_defaults() -> None:
    data = {"ram": {"total_bytes": 1024, "colour": "green"}, "colour": "red"}
    assert machine_from_dict(data) == Machine(ram=Ram(total_bytes=1024))


def _damaged() -> list[tuple[str, Any, str]]:
    return [
        ("ram", 5, "ram"),
        ("ram", {"total_bytes": "much"}, "ram.total_bytes"),
        ("ram", {"total_bytes": -1}, "ram.total_bytes"),
        ("ram", {"total_bytes": 1.5}, "ram.total_bytes"),
        ("ram", {"total_bytes": True}, "ram.total_bytes"),
        ("ram", {"total_bytes": 10**30}, "ram.total_bytes"),
        ("ram", {"bandwidth_gb_per_s": float("nan")}, "ram.bandwidth_gb_per_s"),
        ("ram", {"bandwidth_source": "guess"}, "ram.bandwidth_source"),
        ("cpu", {"features": "avx2"}, "cpu.features"),
        ("cpu", {"features": [1]}, "cpu.features[0]"),
        ("accelerators", {}, "accelerators"),
        ("accelerators", [5], "accelerators[0]"),
        ("accelerators", [{}], "accelerators[0].name"),
        ("accelerators", [{"name": "x", "vendor": "acme", "kind": "discrete"}], "vendor"),
        ("accelerators", [{"name": "x", "vendor": ["amd"], "kind": "discrete"}], "vendor"),
        (
            "accelerators",
            [{"name": "x", "vendor": "amd", "kind": "discrete", "memory_total_bytes": 1,
              "memory_free_bytes": 2}],
            "memory_free_bytes",
        ),
        ("unified_memory", 1, "unified_memory"),
        ("source", "dreamt", "source"),
        ("ollama", {"version": "0.33"}, "ollama.url"),
    ]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "named"), _damaged())
def test_a_wrong_value_is_named(key: str, value: Any, named: str) -> None:
    data = machine_to_dict(parse_machine("RTX 3060 12GB"))
    data[key] = value
    with pytest.raises(MachineSpecError) as refused:
        machine_from_dict(data)
    assert named in refused.value.message
    assert "hardware --json" in (refused.value.hint or "")


@pytest.mark.parametrize("data", [None, [], 5, "x", {}, {"data": {}}, {"data": 5}, {"models": []}])
def test_what_is_no_machine_is_refused(data: object) -> None:
    with pytest.raises(MachineSpecError):
        machine_from_dict(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(machine_to_dict(Machine()))), JSON)
def test_any_json_is_a_machine_or_one_clear_error(key: str, value: Any) -> None:
    data = copy.deepcopy(machine_to_dict(Machine()))
    data[key] = value
    message, machine = "", None
    try:
        machine = machine_from_dict(data)
    except MachineSpecError as refused:
        message = refused.message
    assert isinstance(machine, Machine) != (key in message)


@pytest.mark.parametrize("spec", SPECS)
def test_a_file_describes_the_machine_it_was_written_for(spec: str, tmp_path: Path) -> None:
    machine = parse_machine(spec)
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({"schema": 1, "data": machine_to_dict(machine)}), encoding="utf-8")
    loaded = load_machine(str(file))
    assert loaded.source == "file"
    assert machine_to_dict(loaded) == {**machine_to_dict(machine), "source": "file"}


def test_words_are_words_even_with_files_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_machine("8GB VRAM") == parse_machine("8GB VRAM")
    (tmp_path / "mine").write_text(
        json.dumps(machine_to_dict(parse_machine("RTX 3090"))), encoding="utf-8"
    )
    assert load_machine("mine").accelerators[0].name == "RTX 3090"


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileProblemError) as missing:
        load_machine(str(tmp_path / "nowhere.json"))
    assert "nowhere.json" in missing.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"not json", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_broken_file_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_bytes(content)
    with pytest.raises(MachineSpecError) as refused:
        load_machine(str(file))
    assert "machine.json" in refused.value.message


def test_a_folder_or_a_huge_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.json"
    folder.mkdir()
    with pytest.raises(FileProblemError):
        load_machine(str(folder))
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * (5 * 2**20))
    with pytest.raises(MachineSpecError):
        load_machine(str(huge))


@pytest.mark.parametrize("spec", ["\0", "a\nb", "~nobody/x", "x" * 300, "/" + "x" * 5000, "~/"])
def test_odd_names_are_clear_errors(spec: str) -> None:
    with pytest.raises((MachineSpecError, FileProblemError)):
        load_machine(spec)

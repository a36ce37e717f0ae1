"""The probes on the machine the tests run on: they answer, quickly, without the driver."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistant.machine.detect import detect_machine
from assistant.machine.detect.apple import run_command
from assistant.machine.detect.measure import measure_memory_bandwidth


def test_this_machine_is_detected() -> None:
    machine = detect_machine()
    assert machine.os
    assert machine.cpu.logical_cores
    assert machine.ram.total_bytes
    assert machine.disk.models_path
    assert not [gap for gap in machine.unavailable if "probe failed" in gap.why]


def test_detection_is_quick_without_a_gpu() -> None:
    detect_machine()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        machine = detect_machine()
        times.append(time.perf_counter() - began)
    if machine.accelerators:
        pytest.skip("this machine has a GPU, whose driver takes its own time")
    assert min(times) < 0.1


def test_no_driver_library_is_loaded_without_a_gpu() -> None:
    program = (
        "import sys\n"
        "from assistant.machine.detect import detect_machine\n"
        "machine = detect_machine()\n"
        "loaded = {'pynvml', 'psutil', 'subprocess'} & set(sys.modules)\n"
        "print(len(machine.accelerators), sorted(loaded))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    gpus, _, loaded = result.stdout.strip().partition(" ")
    if gpus != "0":
        pytest.skip("this machine has a GPU")
    assert loaded == "[]"


def test_the_measured_bandwidth_is_plausible() -> None:
    single = measure_memory_bandwidth(seconds=0.2, threads=1)
    assert 0.5 < single < 5_000


@pytest.mark.skipif(sys.platform == "win32", reason="asks what Windows says elsewhere")
def test_windows_is_not_asked_where_it_is_not(tmp_path: Path) -> None:
    machine = detect_machine(tmp_path, system="Windows", environ={}, home=tmp_path)
    assert machine.accelerators == ()
    assert {"processor name", "memory size"} <= {gap.what for gap in machine.unavailable}


def test_a_command_that_is_not_there_has_no_output() -> None:
    assert run_command(("/no/such/command",)) is None
    assert run_command((sys.executable, "-c", "print('x')")) == "x\n"


def test_nvml_agrees_with_nvidia_smi() -> None:
    """The check for a machine with an NVIDIA GPU; skipped everywhere else."""
    command = shutil.which("nvidia-smi")
    if command is None:
        pytest.skip("no nvidia-smi here")
    query = "name,driver_version,memory.total,pci.bus_id"
    printed = run_command((command, f"--query-gpu={query}", "--format=csv,noheader,nounits"))
    if not printed:
        pytest.skip("nvidia-smi finds no GPU")
    rows = [[field.strip() for field in line.split(",")] for line in printed.splitlines()]
    found = [gpu for gpu in detect_machine().accelerators if gpu.vendor == "nvidia"]
    assert len(found) >= len(rows)
    for gpu, (name, driver, total, bus_id) in zip(found, rows, strict=False):
        assert gpu.name == name
        assert gpu.driver == driver
        assert (gpu.bus_id or "")[-7:] == bus_id.lower()[-7:]
        assert gpu.compute_capability
        if total.isdigit() and gpu.kind == "discrete":
            assert gpu.memory_total_bytes is not None
            # CUDA has what nvidia-smi calls total, less the driver's reserve.
            assert 0.95 * int(total) * 1024**2 <= gpu.memory_total_bytes <= int(total) * 1024**2

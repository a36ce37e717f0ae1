"""Each kind of machine, detected from what people posted of theirs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from conftest import MACHINES, MIB, missing_nvml, read_record, write_tree

from assistant.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from assistant.machine.records import Machine

    Detect = Callable[..., Machine]


@pytest.mark.parametrize("path", sorted(MACHINES.glob("*.json")), ids=lambda path: path.stem)
def test_every_record_names_its_source(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["sources"]
    for source in record["sources"]:
        assert re.match(r"https://github\.com/[\w.-]+/[\w.-]+/", source)


@pytest.mark.parametrize("path", sorted(MACHINES.glob("*.json")), ids=lambda path: path.stem)
def test_every_record_is_detected_without_a_failed_probe(path: Path, detected: Detect) -> None:
    machine = detected(path.stem)
    assert machine.source == "detected"
    assert machine.ollama is None
    assert not [gap for gap in machine.unavailable if "probe failed" in gap.why]


# name, vendor, kind, total MiB, bandwidth, architecture, backend, class, used
GPUS = {
    "rtx-3060-arm": (
        "NVIDIA GeForce RTX 3060", "nvidia", "discrete", 12288, 360, "8.6", "cuda",
        "nv-ampere", True,
    ),
    "laptop-nvidia-amd": (
        "NVIDIA GeForce RTX 4070 Laptop GPU", "nvidia", "discrete", 8188, 256, "8.9", "cuda",
        "nv-ada", True,
    ),
    "wsl2-rtx-5080": (
        "NVIDIA GeForce RTX 5080", "nvidia", "discrete", 16303, 960, "12.0", "cuda",
        "nv-blackwell", True,
    ),
    "rtx-2080-windows": (
        "NVIDIA GeForce RTX 2080", "nvidia", "discrete", 8192 - 203, 448, "7.5", "cuda",
        "nv-turing", True,
    ),
    "rx-7900-xtx": (
        "AMD Radeon RX 7900 XTX", "amd", "discrete", 24560, 960, "gfx1100", "rocm",
        "amd-rdna3", True,
    ),
    "rx-580": (
        "AMD Radeon RX 580 Series", "amd", "discrete", 4096, 256, "gfx803", "vulkan",
        "amd-gcn", True,
    ),
    "rx-570-old-driver": (
        "AMD Radeon RX 570 Series", "amd", "discrete", 4096, 224, "gfx803", "vulkan",
        "amd-gcn", True,
    ),
    "rx-9070-xt-windows": (
        "AMD Radeon RX 9070 XT", "amd", "discrete", 16384, 645, "gfx1201", "rocm",
        "amd-rdna4", True,
    ),
    "strix-halo": (
        "AMD Radeon 8060S", "amd", "unified", 98304, 256, "gfx1151", "rocm",
        "apu-strixhalo", True,
    ),
    "radeon-780m": (
        "AMD Radeon 780M Graphics", "amd", "integrated", (4294967296 + 31433977856) / MIB,
        89.6, "gfx1103", "vulkan", "igpu-amd", False,
    ),
    "radeon-880m": (
        "AMD Radeon 880M Graphics", "amd", "integrated", 16441004032 / MIB, 120, "gfx1150",
        "rocm", "igpu-amd", False,
    ),
    "arc-a380-i915": (
        "Intel Arc A380", "intel", "discrete", 6144, 186, None, "vulkan", "intel-arc", True,
    ),
    "arc-a380-xe": (
        "Intel Arc A380", "intel", "discrete", 6144, 186, None, "vulkan", "intel-arc", True,
    ),
    "arc-b580": (
        "Intel Arc B580", "intel", "discrete", 12288, 456, None, "vulkan", "intel-arc", True,
    ),
    "intel-tigerlake": (
        "Intel Iris Xe Graphics", "intel", "integrated", None, 51.2, None, "vulkan",
        "igpu-intel", False,
    ),
    "gb10": (
        "NVIDIA GB10", "nvidia", "unified", 125508468 / 1024, 273, "12.1", "cuda", "gb10", True,
    ),
    "jetson-agx-orin": (
        "NVIDIA Jetson AGX Orin Developer Kit", "nvidia", "unified", 64382566 / 1024, 204.8,
        "8.7", "cuda", "jetson", True,
    ),
    "mac-m1": ("Apple M1", "apple", "unified", 5461.33, 68.25, None, "metal", "apple-m1", True),
    "mac-m3-pro": (
        "Apple M3 Pro (14-core GPU)", "apple", "unified", 12288, 153.6, None, "metal",
        "apple-m3", True,
    ),
    "mac-m2-max": (
        "Apple M2 Max (38-core GPU)", "apple", "unified", 73728, 409.6, None, "metal",
        "apple-m2", True,
    ),
    "mac-m1-ultra": (
        "Apple M1 Ultra (48-core GPU)", "apple", "unified", 49152, 819.2, None, "metal",
        "apple-m1", True,
    ),
    "mac-m5-max": (
        "Apple M5 Max (40-core GPU)", "apple", "unified", 107.52 * 1024, 614, None, "metal",
        "apple-m5", True,
    ),
    "mac-m4-max": (
        "Apple M4 Max (40-core GPU)", "apple", "unified", 49152, 546, None, "metal",
        "apple-m4", True,
    ),
    "mac-wired-limit": (
        "Apple M5 Max (40-core GPU)", "apple", "unified", 114688, 614, None, "metal",
        "apple-m5", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("record", sorted(GPUS))
def test_the_one_gpu_of_a_machine(record: str, detected: Detect) -> None:
    name, vendor, kind, total, bandwidth, architecture, backend, device_class, used = GPUS[record]
    machine = detected(record)
    assert len(machine.accelerators) == 1
    gpu = machine.accelerators[0]
    assert (gpu.name, gpu.vendor, gpu.kind, gpu.backend) == (name, vendor, kind, backend)
    if total is None:
        assert gpu.memory_total_bytes is None
    else:
        assert gpu.memory_total_bytes == pytest.approx(total * MIB, abs=MIB)
    assert gpu.bandwidth_gb_per_s == pytest.approx(bandwidth, rel=0.02)
    assert gpu.compute_capability == architecture
    assert gpu.device_class == device_class
    assert gpu.used_by_ollama is used
    assert machine.unified_memory is (kind != "discrete")


def test_two_nvidia_cards_are_two_accelerators(detected: Detect) -> None:
    machine = detected("rtx-3090-pair")
    assert [gpu.bus_id for gpu in machine.accelerators] == ["0000:0a:00.0", "0000:0b:00.0"]
    assert {gpu.memory_total_bytes for gpu in machine.accelerators} == {24 * GIB}
    assert machine.usable_accelerators == machine.accelerators


def test_cards_of_the_pci_bus_remain_when_the_driver_does_not_answer(detected: Detect) -> None:
    machine = detected("rtx-3090-pair", nvml=missing_nvml)
    assert len(machine.accelerators) == 2
    assert machine.usable_accelerators == ()
    reasons = {gap.what: gap.why for gap in machine.unavailable}
    assert reasons["NVIDIA driver (NVML)"] == "NVML Shared Library Not Found"
    assert "the driver bound to it is nvidia" in reasons["memory of NVIDIA GPU [10de:2204]"]


def test_a_laptop_with_nvidia_and_intel_graphics_has_two_gpus(detected: Detect) -> None:
    machine = detected("laptop-nvidia-intel")
    nvidia, intel = machine.accelerators
    assert (nvidia.kind, intel.kind) == ("discrete", "integrated")
    assert (nvidia.bus_id, intel.bus_id) == ("0000:01:00.0", "0000:00:02.0")
    assert not machine.unified_memory
    assert not intel.used_by_ollama
    # Driver 515 is too old for Ollama; the post does not give the memory.
    assert not nvidia.used_by_ollama
    assert any("515.43.04 is older than 550" in text for text in machine.assumptions)
    assert "memory of NVIDIA GeForce GTX 1660 Ti" in {gap.what for gap in machine.unavailable}


def test_integrated_graphics_count_when_the_server_is_told_to_use_them(detected: Detect) -> None:
    machine = detected("radeon-780m", environ={"OLLAMA_IGPU_ENABLE": "1"})
    assert machine.accelerators[0].used_by_ollama
    assert machine.accelerators[0].kind == "integrated"
    assert machine.usable_accelerators


def test_strix_halo_is_left_out_when_integrated_graphics_are_turned_off(detected: Detect) -> None:
    machine = detected("strix-halo", environ={"OLLAMA_IGPU_ENABLE": "0"})
    assert not machine.accelerators[0].used_by_ollama


def test_carve_out_and_gtt_are_told_apart(detected: Detect) -> None:
    gpu = detected("strix-halo").accelerators[0]
    assert (gpu.carve_out_bytes, gpu.gtt_bytes) == (4 * GIB, 96 * GIB)
    record = read_record("strix-halo")
    assert gpu.memory_total_bytes == record["expected_rocm_total_mib"] * MIB


def test_an_older_apu_is_one_integrated_gpu(detected: Detect) -> None:
    machine = detected("older-apu")
    nvidia, apu = machine.accelerators
    assert apu.kind == "integrated"
    assert not apu.used_by_ollama
    assert (apu.carve_out_bytes, apu.gtt_bytes) == (512 * MIB, 7695 * MIB)
    assert apu.memory_total_bytes == (512 + 7695) * MIB
    assert not nvidia.used_by_ollama


def test_only_the_first_part_of_a_split_gpu_is_used(detected: Detect) -> None:
    machine = detected("mig")
    assert [gpu.used_by_ollama for gpu in machine.accelerators] == [True, False, False]
    assert {gpu.memory_total_bytes for gpu in machine.accelerators} == {19968 * MIB}
    assert machine.accelerators[0].memory_free_bytes == (19968 - 14214) * MIB


def test_unified_cuda_memory_is_the_systems(detected: Detect) -> None:
    machine = detected("gb10")
    gpu = machine.accelerators[0]
    assert gpu.memory_total_bytes == machine.ram.total_bytes
    assert gpu.memory_free_bytes == machine.ram.available_bytes == 121737812 * 1024
    assert machine.cpu.name == "10x Cortex-A725 + 10x Cortex-X925"
    assert machine.cpu.physical_cores == 20
    assert {"neon", "dotprod", "i8mm", "sve2", "bf16"} <= set(machine.cpu.features)


def test_a_jetson_known_only_by_its_chip(detected: Detect) -> None:
    machine = detected("jetson-orin-nano")
    gpu = machine.accelerators[0]
    assert (gpu.kind, gpu.compute_capability, gpu.used_by_ollama) == ("unified", "8.7", True)
    assert gpu.memory_total_bytes == machine.ram.total_bytes
    assert gpu.memory_free_bytes is None
    assert machine.cpu.name == "Cortex-A78AE"
    assert machine.cpu.physical_cores == 6


def test_a_raspberry_pi_has_no_gpu_and_a_known_memory(detected: Detect) -> None:
    machine = detected("raspberry-pi-5")
    assert machine.accelerators == ()
    assert machine.cpu.name == "Cortex-A76"
    assert (machine.cpu.physical_cores, machine.cpu.logical_cores) == (4, 4)
    assert machine.cpu.device_class == "cpu-arm"
    assert machine.ram.bandwidth_gb_per_s == pytest.approx(17.1)
    assert machine.ram.bandwidth_source == "table"
    assert machine.unavailable == ()


def test_wsl_is_named_and_its_nvidia_gpu_found(detected: Detect) -> None:
    machine = detected("wsl2-rtx-5080")
    assert machine.container is not None
    assert machine.container.kind == "wsl2"
    assert (machine.cpu.physical_cores, machine.cpu.logical_cores) == (8, 16)


def test_wsl_without_nvidia_says_where_to_look(detected: Detect) -> None:
    machine = detected("wsl2-rtx-5080", nvml=missing_nvml)
    reasons = {gap.what: gap.why for gap in machine.unavailable}
    assert "run this in Windows" in reasons["GPUs"]


def test_a_memory_limit_of_cgroup_v2_is_the_memory_there_is(detected: Detect) -> None:
    machine = detected("container-cgroup2")
    assert machine.container is not None
    assert machine.container.kind == "docker"
    assert machine.container.memory_limit_bytes == 256 * MIB
    assert machine.ram.total_bytes == 256 * MIB


def test_limits_of_cgroup_v1_are_found_below_an_unlimited_mount(detected: Detect) -> None:
    machine = detected("container-cgroup1")
    assert machine.container is not None
    assert machine.container.kind == "docker"
    assert machine.container.memory_limit_bytes == 4 * GIB
    assert machine.container.cpu_limit == pytest.approx(0.2)
    assert machine.ram.available_bytes == 4 * GIB - 5013504


def test_a_virtual_machines_display_is_no_accelerator(detected: Detect) -> None:
    machine = detected("virtual-machine")
    assert machine.accelerators == ()
    assert not [gap for gap in machine.unavailable if "GPU" in gap.what]


def test_windows_shares_half_of_the_memory_with_integrated_graphics(detected: Detect) -> None:
    machine = detected("uhd-630-windows")
    gpu = machine.accelerators[0]
    assert gpu.kind == "integrated"
    # 12809015296 bytes is what Windows itself called shared on this machine.
    assert gpu.gtt_bytes == 12809015296
    assert machine.ram.available_bytes == 13559410688


def test_the_saturated_32_bit_size_of_windows_is_not_believed(detected: Detect) -> None:
    machine = detected("rx-9070-xt-windows")
    assert machine.accelerators[0].memory_total_bytes == 16 * GIB
    assert any("the usual size of the model" in text for text in machine.assumptions)


def test_nvidia_on_windows_is_left_out_when_its_driver_does_not_answer(detected: Detect) -> None:
    machine = detected("rtx-2080-windows", nvml=missing_nvml)
    gpu = machine.accelerators[0]
    assert gpu.memory_total_bytes == 8 * GIB
    assert not gpu.used_by_ollama


def test_a_gpu_of_the_host_seen_from_a_container_is_said_to_be_one(
    detected: Detect, tmp_path: Path
) -> None:
    write_tree(tmp_path, {".dockerenv": ""})
    said = [text for text in detected("rx-7900-xtx").assumptions if "belongs to the host" in text]
    assert len(said) == 1
    write_tree(tmp_path, {"dev/dri/renderD128": ""})
    assert not [text for text in detected("rx-7900-xtx").assumptions if "host" in text]

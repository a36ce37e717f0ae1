"""The single probes, on trees and answers made for one question each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import RecordedWindows, write_tree

from assistant.machine.detect.amd import gfx_name
from assistant.machine.detect.apple import detect_mac, metal_working_set_bytes
from assistant.machine.detect.container import container_kind, detect_container
from assistant.machine.detect.cpu import detect_cpu
from assistant.machine.detect.disk import detect_disk, models_path
from assistant.machine.detect.files import parse_count, read_count, why_unreadable
from assistant.machine.detect.gpu_names import gpu_name
from assistant.machine.detect.memory import detect_memory
from assistant.machine.detect.memory_speed import detect_memory_modules
from assistant.machine.detect.ollama_support import gfx_override, why_not_cuda
from assistant.machine.detect.pci import largest_bar_bytes, list_pci_gpus
from assistant.machine.detect.server_environment import server_environment, switch
from assistant.machine.detect.smbios import memory_devices
from assistant.machine.detect.windows import detect_windows_memory
from assistant.machine.detect.wsl import wsl_gaps
from assistant.units import GIB, MIB

GB = 10**9


@pytest.mark.parametrize(
    ("memory_gib", "system", "logged_bytes"),
    [
        # llama.cpp prints recommendedMaxWorkingSetSize in MB of 10**6 (older builds: MiB).
        (16, None, 10922.67 * MIB),
        (32, None, 21845.34 * MIB),
        (36, "15.5", 28991.03e6),
        (96, "14.0", 73728.00 * MIB),
        (16, "26.0", 12713.12e6),
        (24, "26.1", 19069.67e6),
        (32, "26.2", 26800.60e6),
        (36, "26.3", 30150.67e6),
        (48, "26.3", 40200.90e6),
        (64, "26.4", 55662.79e6),
        (128, "26.3.1", 115448.73e6),
    ],
)
def test_metal_working_set_is_what_llama_cpp_logs(
    memory_gib: int, system: str | None, logged_bytes: float
) -> None:
    found = metal_working_set_bytes(memory_gib * GIB, os_version=system)
    assert found == pytest.approx(logged_bytes, rel=1e-5)


def test_the_wired_limit_overrides_the_default_share() -> None:
    found = metal_working_set_bytes(128 * GIB, os_version="26.3", wired_limit_mb=114688)
    assert found == 112 * GIB
    assert metal_working_set_bytes(8 * GIB, wired_limit_mb=999_999) == 8 * GIB


def test_mac_memory_in_use_is_counted_as_ollama_counts_it() -> None:
    pages = {
        "Pages free": 100, "Pages active": 200, "Pages inactive": 150, "Pages speculative": 10,
        "Pages wired down": 50, "Pages purgeable": 5, "File-backed pages": 60,
        "Pages occupied by compressor": 20,
    }  # fmt: skip
    text = "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n" + "".join(
        f"{name}: {count}.\n" for name, count in pages.items()
    )
    answers = {"vm_stat": text, "sysctl": "hw.memsize: 17179869184\nhw.optional.arm64: 1\n"}
    mac = detect_mac(run=lambda command: answers.get(Path(command[0]).name)).value
    used = (200 + 150 + 10 + 50 + 20 - 5 - 60) * 16384
    assert mac.ram.available_bytes == 17179869184 - used


def test_an_intel_mac_runs_on_its_processor() -> None:
    displays = {"SPDisplaysDataType": [
        {"sppci_model": "Intel UHD Graphics 630", "spdisplays_vram_shared": "1536 MB"},
        {"sppci_model": "AMD Radeon Pro 5300M", "spdisplays_vram": "4 GB"},
    ]}  # fmt: skip
    answers = {
        "sysctl": "hw.memsize: 17179869184\nmachdep.cpu.brand_string: Intel(R) Core(TM) i7\n"
        "machdep.cpu.features: SSE4.2 AVX1.0 FMA\nmachdep.cpu.leaf7_features: AVX2 BMI2\n",
        "system_profiler": json.dumps(displays),
    }
    mac = detect_mac(run=lambda command: answers.get(Path(command[0]).name)).value
    assert mac.cpu.architecture == "x86_64"
    assert mac.cpu.features == ("sse4_2", "avx", "fma", "avx2", "bmi2")
    assert [gpu.kind for gpu in mac.accelerators] == ["integrated", "discrete"]
    assert not any(gpu.used_by_ollama for gpu in mac.accelerators)
    assert mac.accelerators[1].memory_total_bytes == 4 * GIB


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (90010, "gfx90a"), (90402, "gfx942"), (90006, "gfx906"), (90012, "gfx90c"),
        (100300, "gfx1030"), (110003, "gfx1103"), (110501, "gfx1151"), (120001, "gfx1201"),
        (80003, "gfx803"), (0, None), (7, None), (119999, None),
    ],
)  # fmt: skip
def test_kfd_numbers_are_architecture_names(number: int, name: str | None) -> None:
    assert gfx_name(number) == name


@pytest.mark.parametrize(
    ("capability", "driver", "used"),
    [
        ("8.6", "580.95.05", True),
        ("8.6", "550.54.14", True),
        ("8.6", "545.29.06", False),
        ("6.1", "570.86.16", True),
        ("6.1", "560.35.03", False),
        ("7.5", "560.35.03", True),
        ("5.0", "575.51.02", True),
        ("3.7", "580.95.05", False),
        (None, None, True),
        ("12.0", "not a version", True),
    ],
)
def test_cuda_devices_ollama_takes(capability: str | None, driver: str | None, used: bool) -> None:
    assert (why_not_cuda(capability, driver) is None) is used


def test_an_old_jetson_is_not_in_ollamas_builds() -> None:
    assert why_not_cuda("5.3", None, tegra=True) is not None
    assert why_not_cuda("8.7", None, tegra=True) is None


@pytest.mark.parametrize(
    ("value", "gfx"),
    [("10.3.0", "gfx1030"), ("9.0.10", "gfx90a"), ("gfx1100", "gfx1100"), ("11", None), ("", None)],
)
def test_hsa_override(value: str, gfx: str | None) -> None:
    assert gfx_override({"HSA_OVERRIDE_GFX_VERSION": value}) == gfx


def test_the_override_brings_an_unsupported_card_to_rocm(tmp_path: Path) -> None:
    from assistant.machine.detect.amd import detect_amd
    from assistant.machine.detect.notes import Surroundings
    from assistant.machine.records import Ram

    write_tree(
        tmp_path,
        {
            "sys/class/drm/card0/device/vendor": "0x1002",
            "sys/class/drm/card0/device/device": "0x73df",
            "sys/class/drm/card0/device/revision": "0xc1",
            "sys/class/drm/card0/device/uevent": "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0",
            "sys/class/kfd/kfd/topology/nodes/1/properties": [
                "gfx_target_version 100301",
                "location_id 768",
                "device_id 29663",
            ],
        },
    )
    adapters = list_pci_gpus(tmp_path)
    plain = detect_amd(adapters, Surroundings(tmp_path, Ram(), {})).value[0]
    assert (plain.compute_capability, plain.backend) == ("gfx1031", "vulkan")
    told = Surroundings(tmp_path, Ram(), {"HSA_OVERRIDE_GFX_VERSION": "10.3.0"})
    assert detect_amd(adapters, told).value[0].backend == "rocm"
    off = Surroundings(tmp_path, Ram(), {"OLLAMA_VULKAN": "0"})
    assert not detect_amd(adapters, off).value[0].used_by_ollama


def test_ip_discovery_gives_the_architecture_without_kfd(tmp_path: Path) -> None:
    from assistant.machine.detect.amd import detect_amd
    from assistant.machine.detect.notes import Surroundings
    from assistant.machine.records import Ram

    base = "sys/class/drm/card0/device/"
    write_tree(tmp_path, {
        base + "vendor": "0x1002", base + "device": "0x1681", base + "uevent": "DRIVER=amdgpu",
        base + "ip_discovery/die/0/GC/0/major": "10",
        base + "ip_discovery/die/0/GC/0/minor": "3",
        base + "ip_discovery/die/0/GC/0/revision": "3",
    })  # fmt: skip
    gpu = detect_amd(list_pci_gpus(tmp_path), Surroundings(tmp_path, Ram(), {})).value[0]
    assert (gpu.compute_capability, gpu.kind) == ("gfx1035", "integrated")


def test_the_systems_own_list_names_a_card_first(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "sys/class/drm/card0/device/vendor": "0x1002",
            "sys/class/drm/card0/device/device": "0x744c",
            "sys/class/drm/card0/device/revision": "0xc8",
            "usr/share/libdrm/amdgpu.ids": "1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX Special\n",
        },
    )
    gpu = list_pci_gpus(tmp_path)[0]
    assert gpu_name(gpu, tmp_path) == "AMD Radeon RX 7900 XTX Special"


def test_an_unbound_nvidia_card_is_named_by_the_systems_pci_ids(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de",
            "sys/bus/pci/devices/0000:01:00.0/device": "0x2504",
            "sys/bus/pci/devices/0000:01:00.0/class": "0x030000",
            "usr/share/misc/pci.ids": "# list\n10de  NVIDIA Corporation\n"
            "\t2504  GA106 [GeForce RTX 3060 Lite Hash Rate]\nffff  Illegal Vendor ID\n",
        },
    )
    gpu = list_pci_gpus(tmp_path)[0]
    assert gpu_name(gpu, tmp_path) == "NVIDIA GeForce RTX 3060 Lite Hash Rate"


def test_bus_devices_that_are_no_display_are_left_out(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "sys/bus/pci/devices/0000:00:1f.0/vendor": "0x8086",
            "sys/bus/pci/devices/0000:00:1f.0/class": "0x060100",
            "sys/bus/pci/devices/0000:c1:00.0/vendor": "0x1002",
            "sys/bus/pci/devices/0000:c1:00.0/device": "0x74a1",
            "sys/bus/pci/devices/0000:c1:00.0/class": "0x120000",
        },
    )
    assert [gpu.bus_id for gpu in list_pci_gpus(tmp_path)] == ["0000:c1:00.0"]


def test_the_memory_window_tells_an_8_from_a_16_gib_card(tmp_path: Path) -> None:
    from assistant.machine.detect.intel import detect_intel
    from assistant.machine.detect.notes import Surroundings
    from assistant.machine.records import Ram

    base = "sys/class/drm/card0/device/"
    for size_gib in (16, 8):
        start = 0x6000000000
        end = start + size_gib * GIB - 1
        write_tree(tmp_path, {
            base + "vendor": "0x8086", base + "device": "0x56a0", base + "uevent": "DRIVER=xe",
            base + "resource": "0x00000000a1000000 0x00000000a1ffffff 0x0000000000140204\n"
            f"{start:#018x} {end:#018x} 0x000000000014220c",
        })  # fmt: skip
        adapters = list_pci_gpus(tmp_path)
        assert largest_bar_bytes(adapters[0]) == size_gib * GIB
        found = detect_intel(adapters, Surroundings(tmp_path, Ram(), {})).value
        assert found[0].memory_total_bytes == size_gib * GIB


def test_memory_modules_from_the_udev_database(tmp_path: Path) -> None:
    def module(number: int, bank: str, size: int = 17179869184) -> str:
        name = f"E:MEMORY_DEVICE_{number}_"
        return (
            f"{name}SIZE={size}\n{name}DATA_WIDTH=64\n{name}TYPE=DDR4\n{name}LOCATOR=DIMM 1\n"
            f"{name}BANK_LOCATOR={bank}\n{name}CONFIGURED_SPEED_MTS=3000\n"
        )

    path = "run/udev/data/+dmi:id"
    write_tree(tmp_path, {path: module(1, "P0 CHANNEL A") + "E:MEMORY_DEVICE_2_PRESENT=0\n"})
    one = detect_memory_modules(tmp_path)
    assert one is not None
    assert (one.type, one.channels, one.bandwidth_gb_per_s) == ("DDR4", 1, 24.0)
    write_tree(tmp_path, {path: module(1, "P0 CHANNEL A") + module(3, "P0 CHANNEL B")})
    two = detect_memory_modules(tmp_path)
    assert two is not None
    assert two.bandwidth_gb_per_s == 48.0
    write_tree(tmp_path, {path: "".join(module(n, f"BANK {n}") for n in range(4))})
    four = detect_memory_modules(tmp_path)
    assert four is not None
    assert four.bandwidth_gb_per_s is None


@pytest.mark.parametrize(
    ("places", "channels"),
    [
        (["ChannelA-DIMM0", "ChannelA-DIMM1", "ChannelB-DIMM0", "ChannelB-DIMM1"], 2),
        (["Controller0-ChannelA-DIMM0", "Controller1-ChannelA-DIMM0"], 2),
        (["P0_Node0_Channel0_Dimm0", "P0_Node0_Channel1_Dimm0", "P0_Node0_Channel2_Dimm0"], 3),
        (["SOCKET 0 CHANNEL 0 DIMM 0", "SOCKET 1 CHANNEL 0 DIMM 0"], 2),
        (["DIMM_A2", "DIMM_B2"], 2),
    ],
)
def test_channels_are_counted_from_the_locators(
    places: list[str], channels: int, tmp_path: Path
) -> None:
    lines = "".join(
        f"E:MEMORY_DEVICE_{n}_SIZE=8589934592\nE:MEMORY_DEVICE_{n}_LOCATOR={place}\n"
        f"E:MEMORY_DEVICE_{n}_SPEED_MTS=2667\n"
        for n, place in enumerate(places)
    )
    write_tree(tmp_path, {"run/udev/data/+dmi:id": lines})
    modules = detect_memory_modules(tmp_path)
    assert modules is not None
    assert modules.channels == channels


def test_container_kinds(tmp_path: Path) -> None:
    assert container_kind(tmp_path, {}) is None
    assert container_kind(tmp_path, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == "kubernetes"
    assert container_kind(tmp_path, {"container": "lxc"}) == "lxc"
    assert container_kind(tmp_path, {}, "0::/system.slice/libpod-1.scope") == "podman"
    write_tree(tmp_path, {"run/.containerenv": ""})
    assert container_kind(tmp_path, {}) == "podman"


def test_the_smallest_limit_of_all_groups_above_counts(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/app.slice/job.scope",
            "sys/fs/cgroup/user.slice/memory.max": str(2 * GIB),
            "sys/fs/cgroup/user.slice/memory.current": str(GIB),
            "sys/fs/cgroup/user.slice/memory.stat": f"anon 1\ninactive_file {GIB // 4}\n",
            "sys/fs/cgroup/user.slice/app.slice/job.scope/memory.max": "max",
            "sys/fs/cgroup/user.slice/app.slice/job.scope/cpu.max": "150000 100000",
            "sys/fs/cgroup/user.slice/cpu.max": "max 100000",
            "proc/meminfo": f"MemTotal: {8 * 1024**2} kB\nMemAvailable: {5 * 1024**2} kB\n",
        },
    )
    limits = detect_container(tmp_path, {})
    assert limits.container is not None
    assert limits.container.memory_limit_bytes == 2 * GIB
    assert limits.container.cpu_limit == 1.5
    ram = detect_memory(tmp_path, limits)
    assert ram.value.total_bytes == 2 * GIB
    assert ram.value.available_bytes == 2 * GIB - GIB + GIB // 4
    assert "the host has 8.0 GiB" in ram.assumptions[0]


def test_memory_of_an_old_kernel_without_mem_available(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {"proc/meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 20 kB\nCached: 30 kB\n"},
    )
    ram = detect_memory(tmp_path, detect_container(tmp_path, {})).value
    assert ram.available_bytes == 150 * 1024


def test_x86_cores_threads_and_features(tmp_path: Path) -> None:
    blocks = [
        f"processor\t: {n}\nmodel name\t: Intel(R)  Core(TM) i7\nphysical id\t: 0\n"
        f"core id\t\t: {n // 2}\nflags\t\t: fpu lm sse4_2 avx avx2 fma avx512_vnni sve\n"
        for n in range(8)
    ]
    write_tree(tmp_path, {"proc/cpuinfo": "\n".join(blocks)})
    cpu = detect_cpu(tmp_path).value
    assert (cpu.name, cpu.physical_cores, cpu.logical_cores) == ("Intel(R) Core(TM) i7", 4, 8)
    assert cpu.features == ("sse4_2", "avx", "avx2", "fma", "avx512_vnni")
    assert (cpu.architecture, cpu.device_class) == ("x86_64", "cpu-x86")


def test_a_service_keeps_its_models_in_its_own_home(tmp_path: Path) -> None:
    home = tmp_path / "home/user"
    assert models_path(tmp_path, {}, home) == home / ".ollama/models"
    write_tree(tmp_path, {"etc/systemd/system/ollama.service": "[Service]\n"})
    service = tmp_path / "usr/share/ollama/.ollama/models"
    assert models_path(tmp_path, {}, home) == service
    write_tree(
        tmp_path,
        {
            "etc/systemd/system/ollama.service.d/override.conf": [
                "[Service]",
                'Environment="OLLAMA_MODELS=/data/models" "OLLAMA_IGPU_ENABLE=1"',
            ]
        },
    )
    environ = server_environment(tmp_path, {})
    assert environ == {"OLLAMA_MODELS": "/data/models", "OLLAMA_IGPU_ENABLE": "1"}
    assert models_path(tmp_path, environ, home) == tmp_path / "data/models"
    assert server_environment(tmp_path, {"OLLAMA_MODELS": "/own"})["OLLAMA_MODELS"] == "/own"


def test_the_nearest_existing_folder_is_asked_for_its_room(tmp_path: Path) -> None:
    asked: list[Path] = []

    def free(folder: Path) -> int:
        asked.append(folder)
        return 5 * GB

    found = detect_disk(tmp_path, {}, tmp_path / "home/user", free_bytes=free)
    assert found.value.free_bytes == 5 * GB
    assert asked == [tmp_path]

    def refuse(folder: Path) -> int:
        raise PermissionError(13, "Permission denied")

    refused = detect_disk(tmp_path, {}, tmp_path, free_bytes=refuse)
    assert refused.value.free_bytes is None
    assert "Permission denied" in refused.unavailable[0].why


@pytest.mark.parametrize(
    ("value", "meaning"), [("1", True), ("false", False), ("0", False), ("yes", True), ("", None)]
)
def test_switches_are_read_as_go_reads_them(value: str, meaning: bool | None) -> None:
    assert switch({"OLLAMA_VULKAN": value}, "OLLAMA_VULKAN") is meaning


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("12 kB", 12), ("0x1F", 31), ("-1", None), ("max", None), ("", None), (None, None),
        ("9" * 40, None), ("٣", None), ("1_000", 1000), ("12.5", None),
    ],
)  # fmt: skip
def test_numbers_of_kernel_files(text: str | None, count: int | None) -> None:
    assert parse_count(text) == count


def test_reasons_name_the_file_without_the_fixtures_root(tmp_path: Path) -> None:
    missing = tmp_path / "proc/meminfo"
    assert why_unreadable(missing) == "/proc/meminfo does not exist"
    write_tree(tmp_path, {"proc/meminfo": "?"})
    assert "could be understood" in why_unreadable(missing)
    assert read_count(tmp_path / "proc") is None
    assert "cannot be read" in why_unreadable(tmp_path / "proc")


def test_wsl_gaps(tmp_path: Path) -> None:
    assert wsl_gaps(tmp_path, "docker", ()) == ()
    assert "WSL 1" in wsl_gaps(tmp_path, "wsl1", ())[0].why
    assert "/dev/dxg is missing" in wsl_gaps(tmp_path, "wsl2", ())[0].why


def test_a_system_without_probes_of_its_own_gives_processor_and_memory(tmp_path: Path) -> None:
    from assistant.machine.detect import detect_machine

    machine = detect_machine(tmp_path, system="FreeBSD", environ={}, home=tmp_path)
    assert machine.os == "FreeBSD"
    assert machine.ram.total_bytes
    assert machine.cpu.logical_cores
    assert "GPUs" in {gap.what for gap in machine.unavailable}


def memory_device_structure(values: dict[int, tuple[int, int]], strings: list[str]) -> bytes:
    """Return a type 17 structure with little-endian numbers {offset: (size, value)}."""
    body = bytearray(0x5C)
    body[0], body[1] = 17, len(body)
    for offset, (size, value) in values.items():
        body[offset : offset + size] = value.to_bytes(size, "little")
    return bytes(body) + b"\0".join(text.encode() for text in strings) + b"\0\0"


def posted_module(bank: str) -> bytes:
    """Return the module of a posted dmidecode listing.

    github.com/zeule/asus-ec-sensors/issues/71: 16 GB DDR5, 64 bits, rated 4800 MT/s,
    configured to 6000 MT/s, "DIMM 1" in "P0 CHANNEL A".
    """
    values = {
        0x0A: (2, 64),
        0x0C: (2, 16 * 1024),
        0x10: (1, 1),
        0x11: (1, 2),
        0x12: (1, 0x22),
        0x15: (2, 4800),
        0x20: (2, 6000),
    }
    return memory_device_structure(values, ["DIMM 1", bank])


def empty_slot(bank: str) -> bytes:
    """Return a slot with no module in it."""
    return memory_device_structure({0x10: (1, 1), 0x11: (1, 2)}, ["DIMM 0", bank])


BIOS_STRUCTURE = bytes([0, 5, 0, 0, 1]) + b"American Megatrends\0\0"


def test_memory_modules_from_smbios_itself(tmp_path: Path) -> None:
    table = (
        BIOS_STRUCTURE
        + empty_slot("P0 CHANNEL A")
        + posted_module("P0 CHANNEL A")
        + empty_slot("P0 CHANNEL B")
        + posted_module("P0 CHANNEL B")
        + bytes([127, 4, 0, 0, 0, 0])
    )
    path = tmp_path / "sys/firmware/dmi/tables/DMI"
    path.parent.mkdir(parents=True)
    path.write_bytes(table)
    modules = detect_memory_modules(tmp_path)
    assert modules is not None
    assert (modules.type, modules.channels) == ("DDR5", 2)
    assert modules.bandwidth_gb_per_s == 96.0


def test_windows_gives_the_bandwidth_of_its_modules() -> None:
    table = posted_module("P0 CHANNEL A") + posted_module("P0 CHANNEL B")
    windows = RecordedWindows({"memory": [32 * GIB, 20 * GIB], "smbios": table.hex()})
    ram = detect_windows_memory(windows).value
    assert ram.bandwidth_gb_per_s == 96.0
    assert ram.bandwidth_source == "table"


def test_a_damaged_table_gives_what_stands_before_the_damage() -> None:
    table = BIOS_STRUCTURE + posted_module("P0 CHANNEL A")
    assert len(memory_devices(table)) == 1
    assert memory_devices(table[:-1]) == []
    assert memory_devices(table + bytes([17, 2])) == memory_devices(table)


def test_large_modules_use_the_extended_size() -> None:
    values = {0x0C: (2, 0x7FFF), 0x1C: (4, 64 * 1024), 0x20: (2, 3200)}
    device = memory_devices(memory_device_structure(values, ["A"]))[0]
    assert device["SIZE"] == str(64 * GIB)

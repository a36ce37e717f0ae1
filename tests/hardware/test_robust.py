"""No probe raises, whatever the files, the driver and the commands say."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import MACHINES, RecordedWindows, detect_record, nvml_error, read_record, write_tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.machine.detect import detect_machine
from assistant.machine.detect.smbios import memory_devices
from assistant.machine.records import Machine

RECORDS = sorted(path.stem for path in MACHINES.glob("*.json"))
LINUX = [name for name in RECORDS if read_record(name).get("system", "Linux") == "Linux"]
# Files that a probe would read on some machine; garbage is put there too.
READ_SOMEWHERE = [
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/version",
    "proc/self/cgroup",
    "proc/device-tree/model",
    "proc/device-tree/compatible",
    "proc/driver/nvidia/gpus/0000:01:00.0/information",
    "run/udev/data/+dmi:id",
    "run/systemd/container",
    "etc/os-release",
    "etc/systemd/system/ollama.service",
    "sys/fs/cgroup/memory.max",
    "sys/fs/cgroup/cpu.max",
    "sys/fs/cgroup/memory/memory.limit_in_bytes",
    "sys/class/kfd/kfd/topology/nodes/1/properties",
    "sys/class/drm/card0/device/uevent",
    "sys/class/drm/card0/device/vendor",
    "sys/class/drm/card0/device/resource",
    "sys/class/drm/card0/device/ip_discovery/die/0/GC/0/major",
    "sys/module/amdgpu/version",
    "usr/share/libdrm/amdgpu.ids",
    "usr/share/misc/pci.ids",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list",
]
HARD_WORDS = [
    b"", b"\0", b"-1", b"99999999999999999999999", b"0x", b"0xffffffffffffffff", b"max", b"nan",
    b"\xff\xfe", b"processor : x\nprocessor : 0\ncore id :", b"MemTotal:\nMemAvailable: kB",
    b"0::/../../..", b"4:memory:", b"PCI_ID=:\nPCI_SLOT_NAME=", b"PCI_ID=zz:yy",
    b"gfx_target_version 110501\nlocation_id 99999999999", b"max max", b"0 0", b"1 0",
    b"E:MEMORY_DEVICE_0_SIZE=1\nE:MEMORY_DEVICE_0_CONFIGURED_SPEED_MTS=0x10000",
    b"Environment=\"OLLAMA_MODELS", "٣".encode(), b"\n" * 50, b"a" * 5000,
]  # fmt: skip
garbage = st.sampled_from(HARD_WORDS) | st.binary(max_size=200)
changes = st.dictionaries(
    st.sampled_from(READ_SOMEWHERE) | st.integers(0, 60),
    garbage | st.sampled_from(["folder", "forbidden", "gone"]),
    max_size=8,
)


def spoil(root: Path, files: list[str], edits: dict[Any, Any]) -> None:
    """Replace files of a tree by garbage, folders, nothing, or something forbidden."""
    for place, content in edits.items():
        if isinstance(place, int) and not files:
            continue
        target = root / (place if isinstance(place, str) else files[place % len(files)])
        if any(parent.is_file() for parent in target.parents) or target.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if content == "folder":
            target.mkdir()
        elif content == "forbidden":
            # A link to itself cannot be opened by anyone, root included.
            target.symlink_to(target)
        elif content != "gone":
            target.write_bytes(content)


def check(machine: Machine) -> None:
    """Assert what holds for every machine."""
    assert not [gap for gap in machine.unavailable if "probe failed" in gap.why]
    for gpu in machine.accelerators:
        assert gpu.name
        assert gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
        if gpu.memory_total_bytes is not None and gpu.memory_free_bytes is not None:
            assert gpu.memory_free_bytes >= 0
    for amount in (machine.ram.total_bytes, machine.ram.available_bytes):
        assert amount is None or amount >= 0
    assert machine.ram.bandwidth_gb_per_s is None or machine.ram.bandwidth_gb_per_s > 0
    for gap in machine.unavailable:
        assert gap.what
        assert gap.why


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(LINUX), edits=changes)
def test_no_probe_raises_on_spoiled_trees(name: str, edits: dict[Any, Any]) -> None:
    record = read_record(name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_tree(root, record.get("files", {}))
        spoil(root, sorted(record.get("files", {})), edits)
        check(detect_record(root, record, nvml=lambda: WildNvml({})))


answers = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.builds(SimpleNamespace, total=inner, free=inner,
                                                         reserved=inner, busId=inner),
    max_leaves=4,
)  # fmt: skip
CALLS = [
    "nvmlInit", "nvmlShutdown", "nvmlSystemGetDriverVersion", "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetPciInfo", "nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetMemoryBusWidth",
    "nvmlDeviceGetMaxClockInfo", "nvmlDeviceGetNumGpuCores",
]  # fmt: skip


class WildNvml:
    """A driver that answers anything, or fails in any of NVML's ways."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:
        if name == "nvmlDeviceGetCount":
            return lambda: self._table.get(name, 2)

        def call(*arguments: object) -> Any:
            answer = self._table.get(name)
            if isinstance(answer, str) and answer.startswith("ERROR "):
                raise nvml_error(answer.removeprefix("ERROR "))
            return answer

        return call


errors = st.sampled_from(
    ["ERROR NOT_SUPPORTED", "ERROR GPU_IS_LOST", "ERROR NO_PERMISSION", "ERROR DRIVER_NOT_LOADED",
     "ERROR LIB_RM_VERSION_MISMATCH", "ERROR UNKNOWN", "ERROR TIMEOUT"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    table=st.dictionaries(st.sampled_from(CALLS), answers | errors),
    count=st.integers(-3, 10**6) | st.none(),
    root=st.sampled_from(["rtx-3090-pair", "jetson-orin-nano"]),
)
def test_no_driver_answer_raises(table: dict[str, Any], count: Any, root: str) -> None:
    table["nvmlDeviceGetCount"] = count if count is None or count < 4 else 4
    record = read_record(root)
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), record["files"])
        check(detect_record(Path(folder), record, nvml=lambda: WildNvml(table)))


outputs = st.none() | st.text(max_size=200) | st.sampled_from(
    ["[]", "{}", '{"SPDisplaysDataType": 3}',
     '{"SPDisplaysDataType": [3, {}, {"sppci_cores": []}]}',
     "hw.memsize: -1\nhw.optional.arm64: 1", "hw.memsize: 99999999999999999999999999",
     "hw.memsize: 8589934592\nhw.optional.arm64: 1\niogpu.wired_limit_mb: x",
     "(page size of 4096 bytes)\nPages active: x", '"gpu-core-count" = 0', "[" * 10_000]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["sysctl", "vm_stat", "ioreg", "system_profiler"]), outputs))
def test_no_command_output_raises(printed: dict[str, str | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        record = {"system": "Darwin", "commands": printed}
        check(detect_record(Path(folder), record))


registry_values = st.dictionaries(
    st.sampled_from(
        ["DriverDesc", "MatchingDeviceId", "DriverVersion", "HardwareInformation.qwMemorySize",
         "HardwareInformation.MemorySize", "ProcessorNameString", "DeviceInstanceId"]
    ),
    st.none() | st.integers() | st.binary(max_size=12) | st.text(max_size=20)
    | st.sampled_from(["PCI\\VEN_10DE", "pci\\ven_1002&dev_744c", "AMD Radeon RX 7900 XTX",
                       "Intel(R) Arc(TM) A770 Graphics", "PCI\\VEN_8086"]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(registry_values, max_size=4), memory=st.none() | st.tuples(
    st.integers(-5, 1 << 50), st.integers(-5, 1 << 50)))  # fmt: skip
def test_no_registry_raises(rows: list[dict[str, Any]], memory: Any) -> None:
    from assistant.machine.detect.windows import DISPLAY_CLASS, PROCESSOR_KEY

    registry = {f"{DISPLAY_CLASS}\\{n:04d}": row for n, row in enumerate(rows)}
    registry[PROCESSOR_KEY] = rows[0] if rows else {}
    if memory is not None:
        memory = (memory[0], min(max(memory[1], 0), max(memory[0], 0)))
    record = {"system": "Windows", "windows": {"registry": registry, "memory": memory}}
    with tempfile.TemporaryDirectory() as folder:
        check(detect_record(Path(folder), record, nvml=lambda: WildNvml({})))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.lists(st.binary(max_size=60)).map(b"\x11\x28\0\0".join))
def test_no_smbios_table_raises(table: bytes) -> None:
    for device in memory_devices(table):
        assert int(device["SIZE"]) >= 0


def test_a_world_in_which_every_question_fails(tmp_path: Path) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"{name} is broken")

    def broken(*arguments: object) -> Any:
        raise RuntimeError("broken")

    for system in ("Linux", "Darwin", "Windows"):
        machine = detect_machine(
            tmp_path,
            system=system,
            architecture="x86_64",
            environ={},
            home=tmp_path,
            nvml=broken,
            run=broken,
            windows=Broken(),  # type: ignore[arg-type]
            free_bytes=broken,
        )
        assert machine.accelerators == ()
        assert machine.unavailable


@pytest.mark.parametrize("name", RECORDS)
def test_a_machine_is_the_same_each_time(name: str, tmp_path: Path) -> None:
    record = read_record(name)
    write_tree(tmp_path, record.get("files", {}))
    first = detect_record(tmp_path, record)
    assert detect_record(tmp_path, json.loads(json.dumps(record))) == first


def test_recorded_windows_lists_the_keys_below_one() -> None:
    windows = RecordedWindows({"registry": {r"A\B\0000": {}, r"A\B\0001\C": {}, r"A\D": {}}})
    assert windows.subkeys(r"A\B") == ["0000", "0001"]

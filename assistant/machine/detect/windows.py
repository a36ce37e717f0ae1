"""Windows machines, through the registry and kernel32: no extra package, no `wmic`.

GPUs stand under the display class key, one numbered subkey per adapter, with
`DriverDesc`, `MatchingDeviceId`, `DriverVersion` and `HardwareInformation.qwMemorySize`
(the 64-bit size; `HardwareInformation.MemorySize` stops at 4 GiB). Memory comes from
`GlobalMemoryStatusEx`, cores from `GetLogicalProcessorInformation`, instruction sets from
`IsProcessorFeaturePresent`, all documented at learn.microsoft.com.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

from assistant.machine.detect.cpu import device_class_of
from assistant.machine.detect.device_facts import with_device_facts
from assistant.machine.detect.memory_speed import memory_modules
from assistant.machine.detect.notes import Notes, Reading
from assistant.machine.detect.ollama_support import (
    runs_on_rocm,
    why_not_integrated,
    why_not_vulkan,
)
from assistant.machine.detect.smbios import memory_devices
from assistant.machine.devices import find_device
from assistant.machine.records import Accelerator, Backend, Cpu, Kind, Ram, Unavailable, Vendor
from assistant.units import gib

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assistant.machine.devices import Device

DISPLAY_CLASS: Final = (
    r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
)
PROCESSOR_KEY: Final = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
_VENDORS: Final[dict[str, Vendor]] = {"10de": "nvidia", "1002": "amd", "8086": "intel"}
# Numbers of IsProcessorFeaturePresent (winnt.h).
_FEATURES: Final = {
    "sse4_2": 38,
    "avx": 39,
    "avx2": 40,
    "avx512f": 41,
    "neon": 19,
    "dotprod": 43,
}
# The 32-bit value stops here (0xFFF00000) for every card of 4 GiB and more.
_LARGEST_32_BIT: Final = 0xFFF0_0000
_LARGEST_TABLE: Final = 1 << 20
# RawSMBIOSData: five bytes of versions and a 32-bit length come before the structures.
_RAW_SMBIOS_HEADER: Final = 8
_SMALL_CARVE_OUT: Final = 2 << 30


class WindowsSystem(Protocol):
    """The few questions asked of Windows; tests answer them from recorded answers."""

    def values(self, key: str) -> Mapping[str, Any]:
        """Return the values of a key under HKEY_LOCAL_MACHINE; {} when it is not there."""

    def subkeys(self, key: str) -> Sequence[str]:
        """Return the names of the keys below one; () when it is not there."""

    def memory(self) -> tuple[int, int] | None:
        """Return (total, available) physical memory in bytes."""

    def physical_cores(self) -> int | None:
        """Return the number of processor cores."""

    def has_feature(self, number: int) -> bool:
        """Return what IsProcessorFeaturePresent says."""

    def smbios_table(self) -> bytes:
        """Return the raw SMBIOS structures; b"" when there are none."""


class ThisWindows:
    """The Windows this program runs on."""

    def values(self, key: str) -> Mapping[str, Any]:
        """Return the values of a registry key."""
        found: dict[str, Any] = {}
        if sys.platform == "win32":
            import winreg

            with (
                contextlib.suppress(OSError),
                winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as handle,
            ):
                for index in range(winreg.QueryInfoKey(handle)[1]):
                    name, value, _ = winreg.EnumValue(handle, index)
                    found[name] = value
        return found

    def subkeys(self, key: str) -> Sequence[str]:
        """Return the names of the keys below a registry key."""
        found: list[str] = []
        if sys.platform == "win32":
            import winreg

            with (
                contextlib.suppress(OSError),
                winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as handle,
            ):
                count = winreg.QueryInfoKey(handle)[0]
                found = [winreg.EnumKey(handle, index) for index in range(count)]
        return found

    def memory(self) -> tuple[int, int] | None:
        """Return what GlobalMemoryStatusEx says."""
        status = _MemoryStatus()
        status.dwLength = ctypes.sizeof(status)
        kernel = _kernel32()
        if kernel is None or not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
            return None
        return status.ullTotalPhys, status.ullAvailPhys

    def physical_cores(self) -> int | None:
        """Count the cores that GetLogicalProcessorInformation lists."""
        kernel = _kernel32()
        if kernel is None:
            return None
        size = ctypes.c_ulong(0)
        kernel.GetLogicalProcessorInformation(None, ctypes.byref(size))
        length = ctypes.sizeof(_ProcessorInformation)
        rows = (_ProcessorInformation * max(1, size.value // length))()
        if not kernel.GetLogicalProcessorInformation(ctypes.byref(rows), ctypes.byref(size)):
            return None
        count = size.value // length
        return sum(1 for row in rows[:count] if row.Relationship == 0) or None

    def has_feature(self, number: int) -> bool:
        """Return what IsProcessorFeaturePresent says."""
        kernel = _kernel32()
        return kernel is not None and bool(kernel.IsProcessorFeaturePresent(number))

    def smbios_table(self) -> bytes:
        """Return the structures of GetSystemFirmwareTable("RSMB"), less its own header."""
        kernel = _kernel32()
        if kernel is None:
            return b""
        provider = int.from_bytes(b"RSMB", "big")
        size = kernel.GetSystemFirmwareTable(provider, 0, None, 0)
        if not 0 < size < _LARGEST_TABLE:
            return b""
        buffer = ctypes.create_string_buffer(size)
        kernel.GetSystemFirmwareTable(provider, 0, buffer, size)
        return buffer.raw[_RAW_SMBIOS_HEADER:]


def detect_windows_cpu(system: WindowsSystem, architecture: str | None) -> Reading[Cpu]:
    """Return the processor."""
    values = system.values(PROCESSOR_KEY)
    name = values.get("ProcessorNameString")
    logical = len(system.subkeys(PROCESSOR_KEY.rpartition("\\")[0])) or None
    architecture = {"AMD64": "x86_64", "ARM64": "aarch64"}.get(architecture or "", architecture)
    cpu = Cpu(
        name=" ".join(name.split()) if isinstance(name, str) and name.strip() else None,
        physical_cores=system.physical_cores(),
        logical_cores=logical,
        features=tuple(word for word, number in _FEATURES.items() if system.has_feature(number)),
        architecture=architecture,
        device_class=device_class_of(architecture),
    )
    missing = () if cpu.name else (Unavailable("processor name", "the registry does not give it"),)
    return Reading(cpu, missing)


def detect_windows_memory(system: WindowsSystem) -> Reading[Ram]:
    """Return total and available memory."""
    memory = system.memory()
    if memory is None or memory[0] <= 0:
        return Reading(Ram(), (Unavailable("memory size", "Windows does not answer"),))
    modules = memory_modules(memory_devices(system.smbios_table()))
    bandwidth = modules.bandwidth_gb_per_s if modules else None
    return Reading(
        Ram(
            total_bytes=memory[0],
            available_bytes=memory[1],
            bandwidth_gb_per_s=bandwidth,
            bandwidth_source="table" if bandwidth else None,
        )
    )


def detect_windows_gpus(
    system: WindowsSystem, ram: Ram, environ: Mapping[str, str]
) -> Reading[tuple[Accelerator, ...]]:
    """Return the display adapters of the registry, NVIDIA's among them.

    NVIDIA GPUs are asked through NVML where it answers; these rows are what is left then.
    """
    notes = Notes()
    found: list[Accelerator] = []
    seen: set[tuple[str, str]] = set()
    for subkey in system.subkeys(DISPLAY_CLASS):
        if not re.fullmatch(r"\d{4}", subkey):
            continue
        values = system.values(f"{DISPLAY_CLASS}\\{subkey}")
        identity = str(values.get("MatchingDeviceId") or "").lower()
        match = re.search(r"ven_([0-9a-f]{4})", identity)
        name = values.get("DriverDesc") or values.get("HardwareInformation.AdapterString")
        vendor = _VENDORS.get(match[1]) if match else None
        if vendor is None or not isinstance(name, str):
            continue
        place = (identity, str(values.get("DeviceInstanceId") or subkey))
        if place not in seen:
            seen.add(place)
            found.append(_adapter((name, vendor), values, ram, environ, notes))
    return notes.reading(tuple(found))


def registry_memory(values: Mapping[str, Any]) -> int | None:
    """Return the adapter's dedicated memory in bytes, from whichever value holds it."""
    limits = {
        "HardwareInformation.qwMemorySize": 1 << 62,
        "HardwareInformation.MemorySize": _LARGEST_32_BIT,
    }
    for key, limit in limits.items():
        value = values.get(key)
        if isinstance(value, (bytes, bytearray)):
            value = int.from_bytes(value[:8], "little")
        if isinstance(value, int) and 0 < value < limit:
            return value
    return None


def _adapter(
    identity: tuple[str, Vendor],
    values: Mapping[str, Any],
    ram: Ram,
    environ: Mapping[str, str],
    notes: Notes,
) -> Accelerator:
    name, vendor = identity
    dedicated = registry_memory(values)
    device = find_device(name, dedicated, accept_cpu=False)
    if device is not None and device.vendor != vendor:
        device = None
    integrated = _is_integrated(vendor, device, dedicated, name)
    backend, why = _backend(vendor, device, integrated, environ)
    kind: Kind = "discrete"
    total = dedicated
    if integrated:
        gfx = device.gfx if device else None
        kind = "unified" if gfx == "gfx1151" else "integrated"
        # Windows lets a GPU map half of the memory besides what is dedicated to it.
        shared = ram.total_bytes // 2 if ram.total_bytes else None
        total = None if shared is None else shared + (dedicated or 0)
    elif total is None and device is not None:
        total = device.memory_bytes
        if total is not None:
            notes.assume(f"{name} has {gib(total)}: the usual size of the model.")
    if total is None:
        notes.missing(f"memory of {name}", "the registry does not give it")
    elif vendor != "nvidia":
        notes.missing(f"free memory of {name}", "the registry does not give it")
    if why:
        notes.assume(f"{name} is left out: {why}.")
    version = values.get("DriverVersion")
    accelerator = Accelerator(
        name=name,
        vendor=vendor,
        kind=kind,
        memory_total_bytes=total,
        driver=version if isinstance(version, str) else None,
        backend=backend,
        used_by_ollama=why is None,
        carve_out_bytes=dedicated if integrated else None,
        gtt_bytes=ram.total_bytes // 2 if integrated and ram.total_bytes else None,
    )
    return with_device_facts(accelerator, device)


def _is_integrated(vendor: Vendor, device: Device | None, dedicated: int | None, name: str) -> bool:
    if vendor == "nvidia":
        return device is not None and device.kind == "unified"
    if device is not None:
        return device.kind != "discrete"
    if vendor == "intel":
        return not re.search(r"\bArc\b.*\b[AB]\d{2,3}M?\b", name)
    return dedicated is None or dedicated <= _SMALL_CARVE_OUT


def _backend(
    vendor: Vendor, device: Device | None, integrated: bool, environ: Mapping[str, str]
) -> tuple[Backend, str | None]:
    if vendor == "nvidia":
        return "cuda", "the NVIDIA driver (NVML) does not answer"
    gfx = device.gfx if device is not None and vendor == "amd" else None
    if runs_on_rocm(gfx, windows=True):
        return "rocm", why_not_integrated(environ, gfx=gfx) if integrated else None
    why = why_not_vulkan(environ)
    if why is None and integrated:
        why = why_not_integrated(environ)
    return "vulkan", why


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of sysinfoapi.h."""

    _fields_ = (
        ("dwLength", ctypes.c_uint32),
        ("dwMemoryLoad", ctypes.c_uint32),
        ("ullTotalPhys", ctypes.c_uint64),
        ("ullAvailPhys", ctypes.c_uint64),
        ("ullTotalPageFile", ctypes.c_uint64),
        ("ullAvailPageFile", ctypes.c_uint64),
        ("ullTotalVirtual", ctypes.c_uint64),
        ("ullAvailVirtual", ctypes.c_uint64),
        ("ullAvailExtendedVirtual", ctypes.c_uint64),
    )


class _ProcessorInformation(ctypes.Structure):
    """SYSTEM_LOGICAL_PROCESSOR_INFORMATION of winnt.h; Relationship 0 is a core."""

    _fields_ = (
        ("ProcessorMask", ctypes.c_size_t),
        ("Relationship", ctypes.c_uint32),
        ("Detail", ctypes.c_uint64 * 2),
    )


def _kernel32() -> ctypes.CDLL | None:
    if sys.platform == "win32":
        return ctypes.windll.kernel32
    return None

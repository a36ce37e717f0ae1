"""NVIDIA GPUs, through NVML (the `pynvml` module of nvidia-ml-py) or its absence.

NVML is loaded only where something says that an NVIDIA GPU is there. Integrated CUDA GPUs
(Jetson, GB10) share the system's memory: NVML answers "Not Supported" when asked for theirs,
and CUDA gives them what the system has (MemTotal, MemAvailable).
Bandwidth and peak FLOPS come from the device table; for GPUs it does not know, from the
driver's own clocks: bus width x 2 x memory clock, and cores x 2 x SM clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from assistant.machine.detect.device_facts import with_device_facts
from assistant.machine.detect.files import exists, first_line, list_directory, read_text
from assistant.machine.detect.gpu_names import gpu_name, unknown_name
from assistant.machine.detect.notes import Notes, Reading
from assistant.machine.detect.ollama_support import why_not_cuda
from assistant.machine.detect.pci import NVIDIA, PciGpu
from assistant.machine.devices import find_device
from assistant.machine.records import Accelerator
from assistant.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from assistant.machine.records import Ram

_SIGNS: Final = (
    "proc/driver/nvidia/version",
    "dev/nvidiactl",
    "usr/lib/wsl/lib/libnvidia-ml.so.1",
)
_UNIFIED_NAME: Final = r"\b(?:gb10|tegra|thor|orin|xavier)\b|\(nvgpu\)"
# Compute capabilities that only integrated GPUs have: Jetson Nano, TX2, Xavier, Orin, Thor
# and GB10 (developer.nvidia.com/cuda-gpus).
_UNIFIED_CAPABILITIES: Final = ("5.3", "6.2", "7.2", "8.7", "11.0", "12.1")
_MAX_GPUS: Final = 64


@dataclass(frozen=True, slots=True)
class Tegra:
    """A Jetson board: its name from the device tree and its GPU's compute capability."""

    model: str
    compute_capability: str | None


def nvidia_signs(root: Path, adapters: Sequence[PciGpu]) -> bool:
    """Return whether anything says that an NVIDIA GPU or driver is present."""
    return any(gpu.vendor == NVIDIA for gpu in adapters) or any(
        exists(root / sign) for sign in _SIGNS
    )


def load_nvml() -> object:
    """Return the `pynvml` module (the only place that imports it)."""
    import pynvml

    return cast("object", pynvml)


def detect_nvidia(
    root: Path,
    adapters: Sequence[PciGpu],
    ram: Ram,
    *,
    tegra: Tegra | None = None,
    nvml: Callable[[], object] = load_nvml,
    present: bool | None = None,
) -> Reading[tuple[Accelerator, ...]]:
    """Return the NVIDIA GPUs of this machine, and why any is missing.

    `adapters` are those on the PCI bus, `ram` the memory that integrated GPUs share, and
    `nvml` gives the module to ask, called only when there is a sign of a GPU (`present`
    says so from elsewhere, such as the Windows registry).
    """
    notes = Notes()
    found: list[Accelerator] = []
    if nvidia_signs(root, adapters) if present is None else present:
        try:
            driver = _Driver(nvml())
            driver.call("nvmlInit")
        except Exception as problem:  # noqa: BLE001 (a driver fails in any way it likes)
            notes.missing("NVIDIA driver (NVML)", _reason(problem))
        else:
            found = _ask_all(driver, ram, tegra, notes)
            driver.ask("nvmlShutdown")
    if tegra is not None and not found:
        found = [_tegra_accelerator(tegra, ram, notes)]
    if not found:
        found = _without_driver(root, adapters, notes)
    return notes.reading(tuple(found))


class _Driver:
    """NVML with its errors turned into None."""

    def __init__(self, library: object) -> None:
        self._library = library

    @property
    def memory_version(self) -> object:
        """The version number of the memory answer that tells the reserve apart."""
        return getattr(self._library, "nvmlMemory_v2", None)

    def call(self, function: str, *arguments: object) -> object:
        """Return the answer of one NVML call; NVML's errors come through."""
        return getattr(self._library, function)(*arguments)

    def ask(self, function: str, *arguments: object) -> object:
        """Return the answer of one NVML call, None when it fails or does not exist."""
        try:
            return self.call(function, *arguments)
        except Exception:  # noqa: BLE001 (any NVMLError, or a function this driver has not)
            return None

    def why(self, function: str, *arguments: object) -> str:
        """Return the reason one NVML call fails."""
        try:
            self.call(function, *arguments)
        except Exception as problem:  # noqa: BLE001 (as in `ask`)
            return _reason(problem)
        return "the driver gave no usable answer"

    def text(self, function: str, *arguments: object) -> str | None:
        """Return a text answer; older bindings give bytes."""
        answer = self.ask(function, *arguments)
        if isinstance(answer, bytes):
            answer = answer.decode("utf-8", "replace")
        return answer.strip() or None if isinstance(answer, str) else None

    def number(self, function: str, *arguments: object) -> int | None:
        """Return a positive whole number, or None."""
        answer = self.ask(function, *arguments)
        return answer if isinstance(answer, int) and 0 < answer < 1 << 62 else None


def _ask_all(driver: _Driver, ram: Ram, tegra: Tegra | None, notes: Notes) -> list[Accelerator]:
    version = driver.text("nvmlSystemGetDriverVersion")
    count = driver.number("nvmlDeviceGetCount") or 0
    found: list[Accelerator] = []
    for index in range(min(count, _MAX_GPUS)):
        handle = driver.ask("nvmlDeviceGetHandleByIndex", index)
        if handle is None:
            reason = driver.why("nvmlDeviceGetHandleByIndex", index)
            notes.missing(f"NVIDIA GPU {index}", reason)
            continue
        accelerator = _ask_one(driver, handle, f"NVIDIA GPU {index}", (ram, tegra), notes)
        parts = _mig_parts(driver, handle, accelerator)
        if parts:
            notes.assume(
                f"{accelerator.name} is split by MIG into {len(parts)} parts; a CUDA program "
                "sees one of them, so only the first is counted."
            )
        found.extend(parts or [accelerator])
    for accelerator in found:
        why = why_not_cuda(
            accelerator.compute_capability, version, tegra=accelerator.kind == "unified"
        )
        if why:
            notes.assume(f"{accelerator.name} is left out by Ollama: {why}.")
    return found


def _ask_one(
    driver: _Driver, handle: object, label: str, board: tuple[Ram, Tegra | None], notes: Notes
) -> Accelerator:
    ram, tegra = board
    version = driver.text("nvmlSystemGetDriverVersion")
    name = driver.text("nvmlDeviceGetName", handle) or (tegra.model if tegra else None)
    if name is None:
        reason = driver.why("nvmlDeviceGetName", handle)
        notes.missing(f"name of {label}", reason)
        name = label
    capability = _capability(driver, handle) or (tegra.compute_capability if tegra else None)
    total, free = _memory(driver, handle)
    unified = (
        tegra is not None
        or capability in _UNIFIED_CAPABILITIES
        or re.search(_UNIFIED_NAME, name, re.IGNORECASE) is not None
    )
    if unified:
        # A whole-system figure may come from NVML on some drivers; the system's own wins.
        total, free = ram.total_bytes, ram.available_bytes
    elif total is None:
        reason = driver.why("nvmlDeviceGetMemoryInfo", handle)
        notes.missing(f"memory of {name}", reason)
    return describe_nvidia(
        Accelerator(
            name=tegra.model if tegra and "nvgpu" in name else name,
            vendor="nvidia",
            kind="unified" if unified else "discrete",
            memory_total_bytes=total,
            memory_free_bytes=free,
            bandwidth_gb_per_s=_driver_bandwidth(driver, handle) if not unified else None,
            compute_capability=capability,
            driver=version,
            backend="cuda",
            fp32_tflops=_driver_tflops(driver, handle) if not unified else None,
            used_by_ollama=why_not_cuda(capability, version, tegra=unified) is None,
            bus_id=_bus_id(driver, handle),
        )
    )


def describe_nvidia(accelerator: Accelerator) -> Accelerator:
    """Return the accelerator with what the device table knows of its name filled in."""
    device = find_device(accelerator.name, accelerator.memory_total_bytes, accept_cpu=False)
    return with_device_facts(accelerator, device)


def _capability(driver: _Driver, handle: object) -> str | None:
    match driver.ask("nvmlDeviceGetCudaComputeCapability", handle):
        case (int(major), int(minor)):
            return f"{major}.{minor}"
        case _:
            return None


def _memory(driver: _Driver, handle: object) -> tuple[int | None, int | None]:
    """Return (total, free). CUDA offers what NVML calls total, less what the driver reserves.

    Only version 2 of the answer tells the reserve apart (driver 510 and later).
    """
    info = driver.ask("nvmlDeviceGetMemoryInfo", handle, driver.memory_version)
    info = info or driver.ask("nvmlDeviceGetMemoryInfo", handle)
    total, free = getattr(info, "total", None), getattr(info, "free", None)
    reserved = getattr(info, "reserved", None)
    if not isinstance(total, int) or total <= 0:
        return None, None
    if isinstance(reserved, int) and 0 < reserved < total:
        total -= reserved
    return total, min(free, total) if isinstance(free, int) and free >= 0 else None


def _bus_id(driver: _Driver, handle: object) -> str | None:
    bus_id = getattr(driver.ask("nvmlDeviceGetPciInfo", handle), "busId", None)
    if isinstance(bus_id, bytes):
        bus_id = bus_id.decode("ascii", "replace")
    if not isinstance(bus_id, str) or not bus_id:
        return None
    # NVML writes the domain with eight digits, the kernel with four.
    domain, _, rest = bus_id.strip("\0").lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _driver_bandwidth(driver: _Driver, handle: object) -> float | None:
    width = driver.number("nvmlDeviceGetMemoryBusWidth", handle)
    clock = driver.number("nvmlDeviceGetMaxClockInfo", handle, 2)  # NVML_CLOCK_MEM, MHz
    return round(width / 8 * clock * 2 / 1000, 1) if width and clock else None


def _driver_tflops(driver: _Driver, handle: object) -> float | None:
    cores = driver.number("nvmlDeviceGetNumGpuCores", handle)
    clock = driver.number("nvmlDeviceGetMaxClockInfo", handle, 1)  # NVML_CLOCK_SM, MHz
    return round(cores * clock * 2 / 1e6, 1) if cores and clock else None


def _mig_parts(driver: _Driver, handle: object, whole: Accelerator) -> list[Accelerator]:
    """Return the MIG parts of a GPU, the first of them usable; [] when it is not split."""
    mode = driver.ask("nvmlDeviceGetMigMode", handle)
    if not isinstance(mode, (tuple, list)) or not mode or mode[0] != 1:
        return []
    parts: list[Accelerator] = []
    for index in range(driver.number("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        part = driver.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        total, free = _memory(driver, part) if part is not None else (None, None)
        if total is None:
            continue
        name = driver.text("nvmlDeviceGetName", part) or whole.name
        if "MIG" not in name:
            name = f"{name} MIG {total / GIB:.0f} GiB"
        parts.append(
            replace(
                whole,
                name=name,
                memory_total_bytes=total,
                memory_free_bytes=free,
                bandwidth_gb_per_s=None,
                fp32_tflops=None,
                used_by_ollama=whole.used_by_ollama and not parts,
            )
        )
    return parts


def _tegra_accelerator(tegra: Tegra, ram: Ram, notes: Notes) -> Accelerator:
    why = why_not_cuda(tegra.compute_capability, None, tegra=True)
    if why:
        notes.assume(f"{tegra.model} is left out by Ollama: {why}.")
    return describe_nvidia(
        Accelerator(
            name=tegra.model,
            vendor="nvidia",
            kind="unified",
            memory_total_bytes=ram.total_bytes,
            memory_free_bytes=ram.available_bytes,
            compute_capability=tegra.compute_capability,
            backend="cuda",
            used_by_ollama=why is None,
        )
    )


def _without_driver(root: Path, adapters: Sequence[PciGpu], notes: Notes) -> list[Accelerator]:
    """Return NVIDIA adapters that the bus shows and the driver does not answer for."""
    models = {}
    for folder in list_directory(root / "proc/driver/nvidia/gpus"):
        text = read_text(folder / "information") or ""
        for line in text.splitlines():
            if line.startswith("Model:"):
                models[folder.name.lower()] = line.partition(":")[2].strip()
    found = []
    for gpu in adapters:
        if gpu.vendor != NVIDIA:
            continue
        name = models.get((gpu.bus_id or "").lower()) or gpu_name(gpu, root) or unknown_name(gpu)
        loaded = f"the driver bound to it is {gpu.driver}" if gpu.driver else "no driver is loaded"
        notes.missing(f"memory of {name}", f"NVML does not answer; {loaded}")
        found.append(
            describe_nvidia(
                Accelerator(
                    name=name,
                    vendor="nvidia",
                    kind="discrete",
                    used_by_ollama=False,
                    bus_id=gpu.bus_id,
                )
            )
        )
    return found


def _reason(problem: Exception) -> str:
    if isinstance(problem, ImportError):
        return "the nvidia-ml-py package is not installed"
    return first_line(str(problem)) or type(problem).__name__

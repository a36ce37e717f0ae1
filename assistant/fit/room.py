"""The memory that a model may use on a machine: every GPU that Ollama takes, and the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from assistant.machine.records import Accelerator, Machine
from assistant.units import GIB, MIB

OVERHEAD_BYTES: Final = 457 * MIB
METAL_OVERHEAD_BYTES: Final = 512 * MIB
"""A driver context per process and GPU: 451 to 456 MiB measured on an RTX 4090 (llama.cpp pull
request 15860), 457 and 512 in Ollama (`ml.DeviceInfo.MinimumMemory`)."""

FIT_MARGIN_BYTES: Final = 1024 * MIB
"""What llama.cpp's --fit leaves free on every GPU (common/fit.cpp, MEMORY_MODEL 4.4)."""

HOST_RESERVE_BYTES: Final = 2 * GIB
"""Kept for the operating system where only the size of the RAM is known, at most a quarter."""

_METAL: Final = "metal"
_OLD_CUDA: Final = (6, 0)
_CUDA_WITHOUT_FLASH_ATTENTION: Final = (7, 2)


@dataclass(frozen=True, slots=True)
class GpuRoom:
    """One GPU: what a runner process sees as free, and what its driver context takes.

    `shared` GPUs take their memory from RAM. `supports_flash_attention` as Ollama decides it.
    `loadable_bytes` is what a runner can allocate beside its own driver context, with no margin
    kept; by default all of `free_bytes`.
    """

    name: str
    library: str
    total_bytes: int
    free_bytes: int
    overhead_bytes: int
    shared: bool
    supports_flash_attention: bool
    loadable_bytes: int | None = None

    @property
    def is_metal(self) -> bool:
        """True for Apple's GPUs."""
        return self.library == _METAL


@dataclass(frozen=True, slots=True)
class Room:
    """All GPUs that Ollama may use, and the host; `host_bytes` is None when unknown.

    What had to be assumed is told apart by the side it is about.
    """

    gpus: tuple[GpuRoom, ...]
    host_bytes: int | None
    gpu_assumptions: tuple[str, ...] = ()
    host_assumptions: tuple[str, ...] = ()

    @property
    def vram_bytes(self) -> int:
        """Memory of all GPUs, as Ollama sums it for its context tier."""
        return sum(gpu.total_bytes for gpu in self.gpus)


def measure_room(machine: Machine) -> Room:
    """Return the room on a machine.

    Free memory is what was detected or stated, else the whole of it. From a detected figure the
    driver context is taken off, because the runner asks for free memory when it already has
    one; a described machine states what a runner would see.
    """
    about_host: list[str] = []
    about_gpus: list[str] = []
    host = _host_bytes(machine, about_host)
    stated = machine.source == "stated"
    gpus = tuple(
        [_gpu_room(a, host, about_gpus, stated=stated) for a in machine.usable_accelerators]
    )
    return Room(gpus, host, tuple(dict.fromkeys(about_gpus)), tuple(about_host))


def _gpu_room(
    accelerator: Accelerator, host: int | None, assumptions: list[str], *, stated: bool
) -> GpuRoom:
    total = accelerator.memory_total_bytes or 0
    free = accelerator.memory_free_bytes
    shared = accelerator.kind != "discrete"
    library = accelerator.backend or _library(accelerator)
    metal = library == _METAL
    overhead = METAL_OVERHEAD_BYTES if metal else OVERHEAD_BYTES
    context = 0 if metal or (stated and free is not None) else overhead
    if free is None:
        free = total
        if not shared:
            assumptions.append("nothing else uses the memory of the graphics card")
    if shared and host is not None:
        free = min(free, host)
    return GpuRoom(
        name=accelerator.name,
        library=library,
        total_bytes=total,
        free_bytes=max(0, free - context),
        overhead_bytes=overhead,
        shared=shared,
        supports_flash_attention=_has_flash_attention(accelerator, library),
        loadable_bytes=max(0, free - overhead),
    )


def _library(accelerator: Accelerator) -> str:
    return {"nvidia": "cuda", "amd": "rocm", "apple": _METAL}.get(accelerator.vendor, "vulkan")


def _has_flash_attention(accelerator: Accelerator, library: str) -> bool:
    """Ollama's rule (MEMORY_MODEL 4.8): CUDA from compute capability 6.0, but not 7.2."""
    if library != "cuda" or accelerator.compute_capability is None:
        return True
    try:
        major, _, minor = accelerator.compute_capability.partition(".")
        version = (int(major), int(minor or 0))
    except ValueError:
        return True
    return version >= _OLD_CUDA and version != _CUDA_WITHOUT_FLASH_ATTENTION


def _host_bytes(machine: Machine, assumptions: list[str]) -> int | None:
    ram = machine.ram
    if ram.available_bytes is not None:
        return ram.available_bytes
    if ram.total_bytes is None:
        return None
    reserve = min(HOST_RESERVE_BYTES, ram.total_bytes // 4)
    assumptions.append(f"{reserve / GIB:.0f} GiB of RAM are left to the operating system")
    return ram.total_bytes - reserve

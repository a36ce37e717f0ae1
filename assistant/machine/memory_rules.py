"""How much of a memory is there for models: rules for what a description does not say.

Each rule names the observations it rests on. Detection reads the real figures instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from assistant.machine.records import Accelerator, Backend
from assistant.units import GIB

if TYPE_CHECKING:
    from assistant.machine.devices import Device

#: ROCm targets that Ollama 0.33 is built for (llama/server/CMakePresets.json, August
#: 2026, Linux; detection has the same list); Vulkan serves the others.
ROCM_TARGETS: Final = frozenset(
    "gfx908 gfx90a gfx942 gfx950 gfx1030 gfx1100 gfx1101 gfx1102 gfx1150 gfx1151 gfx1200"
    " gfx1201".split()
)
#: Integrated GPUs are left out by default but for CUDA, Apple and this one (Ollama
#: discover/runner.go).
_INTEGRATED_IN_USE: Final = "gfx1151"
#: docs/gpu.mdx: CUDA needs compute capability 5.0.
_LEAST_CUDA: Final = 5.0

_RESERVE_BYTES: Final = round(0.6 * GIB)
_RESERVE_SHARE: Final = 0.005
_RESERVE_MOST_SHARE: Final = 0.06
_LAPTOP_RESERVE_BYTES: Final = GIB
_APPLE_LARGE_BYTES: Final = 36 * GIB
_OS_SHARE: Final = 0.25
_OS_MOST_BYTES: Final = 4 * GIB


def free_vram_bytes(total_bytes: int, *, ecc_on: bool = False, laptop: bool = False) -> int:
    """Return the memory a card usually has free, for a card sold with `total_bytes`.

    0.6 GiB and 0.5 % are taken by the driver and a desktop, on cards up to 10 GiB no more than 6 %
    (7.5 of 8 GiB are free on a desktop card): free memory in llama.cpp and Ollama
    logs people posted is 11.0 to 11.5 GiB of 12 (RTX 3060, 3080 Ti), 23.0 to 23.4 of 24 (3090,
    4090), 47.1 of 48 (A6000), 94.4 of 96 (RTX PRO 6000), 6.9 of 8 and 5.1 of 6 on laptops.
    Cards with ECC on lose 1/16 more (T4: 14.7 GiB free of 16).
    """
    usable = total_bytes - total_bytes // 16 if ecc_on else total_bytes
    reserve = _RESERVE_BYTES + round(_RESERVE_SHARE * usable)
    if laptop:
        return max(usable // 2, usable - _LAPTOP_RESERVE_BYTES)
    return usable - min(reserve, round(_RESERVE_MOST_SHARE * usable))


def apple_working_set_bytes(ram_bytes: int) -> int:
    """Return what Metal lets the GPU use: 2/3 of the memory below 36 GB, 3/4 from there on.

    `recommendedMaxWorkingSetSize` in posted logs: 5.3 of 8, 10.7 of 16, 16.0 of 24, 72 of 96 GiB.
    macOS 26 gives more (11.8 of 16 GiB); which system a described Mac runs is not known.
    """
    return ram_bytes * 2 // 3 if ram_bytes < _APPLE_LARGE_BYTES else ram_bytes * 3 // 4


def cuda_unified_bytes(ram_bytes: int) -> int:
    """Return the memory CUDA reports on Jetson and GB10: about 15/16 of what is sold.

    GB10 reports 119.7 GiB of 128, Jetson AGX Orin 61.4 of 64, Orin Nano 7.4 of 8.
    """
    return ram_bytes * 15 // 16


def rocm_unified_bytes(ram_bytes: int) -> int:
    """Return what ROCm can use on Strix Halo: half of the memory, the kernel's default GTT limit.

    The BIOS carve-out and `ttm.pages_limit` raise it, to 96 GB and more of 128.
    """
    return ram_bytes // 2


def available_ram_bytes(ram_bytes: int) -> int:
    """Return the RAM left by the system and open programs: a quarter is taken, at most 4 GiB."""
    return ram_bytes - min(_OS_MOST_BYTES, round(_OS_SHARE * ram_bytes))


def assumed_ram_bytes(accelerators: Sequence[Accelerator]) -> int:
    """Return the RAM of a machine of which only the cards are known.

    16 GB beside up to 12 GB of VRAM (and without a card), 32 GB up to 32, 64 GB up to 48, and
    twice the VRAM for the servers above.
    """
    vram = sum(a.memory_total_bytes or 0 for a in accelerators)
    for most, ram in ((12, 16), (32, 32), (48, 64)):
        if vram <= most * GIB:
            return ram * GIB
    return 2 * vram


def ollama_backend(device: Device) -> Backend | None:
    """Return the backend Ollama 0.33 runs this device with; None for processors."""
    if device.kind == "cpu":
        return None
    if device.vendor == "apple":
        return "metal"
    if device.vendor == "nvidia":
        return "cuda" if float(device.compute_capability or 0) >= _LEAST_CUDA else "vulkan"
    return "rocm" if device.gfx in ROCM_TARGETS else "vulkan"


def used_by_ollama(device: Device) -> bool:
    """Say whether Ollama uses this device by default."""
    if device.kind == "integrated":
        return False
    if device.kind == "unified" and device.vendor == "amd":
        return device.gfx == _INTEGRATED_IN_USE
    return not (device.vendor == "nvidia" and float(device.compute_capability or 0) < _LEAST_CUDA)

"""Intel GPUs on Linux: Arc cards and the graphics of processors, from i915 and xe.

Neither mainline driver publishes a card's memory in a fixed place under /sys: xe did as
`tile*/physical_vram_size_bytes` for a while, Intel's own i915 does as `lmem_total_bytes`.
Otherwise the size is that of the model in the device table, chosen by the card's memory
window where resizable BAR shows it. Used memory cannot be read from files at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.machine.detect.device_facts import with_device_facts
from assistant.machine.detect.files import list_directory, read_count
from assistant.machine.detect.gpu_names import gpu_name, unknown_name
from assistant.machine.detect.notes import Notes, Reading, Surroundings
from assistant.machine.detect.ollama_support import why_not_integrated, why_not_vulkan
from assistant.machine.detect.pci import INTEL, PciGpu, largest_bar_bytes
from assistant.machine.devices import find_device
from assistant.machine.records import Accelerator
from assistant.units import GIB, gib

if TYPE_CHECKING:
    from collections.abc import Sequence

# Cards: Linux, include/drm/intel/pciids.h (DG1, DG2 and ATS-M, Battlemage, Ponte Vecchio).
_CARD_IDS: Final = (
    range(0x4905, 0x490A),
    range(0x4F80, 0x4F89),
    range(0x5690, 0x56C3),
    range(0xE202, 0xE300),
    range(0x0BD0, 0x0BE6),
)
_TIGER_LAKE: Final = range(0x9A40, 0x9B00)
_LUNAR_LAKE: Final = (0x6420, 0x64A0, 0x64B0)
# Mesa's Vulkan driver offers integrated graphics 3/4 of the memory, half on 4 GiB and less
# (src/intel/vulkan/anv_device.c).
_SMALL_MEMORY: Final = 4 * GIB


def detect_intel(
    adapters: Sequence[PciGpu], around: Surroundings
) -> Reading[tuple[Accelerator, ...]]:
    """Return the Intel GPUs among the adapters: cards, and the graphics of processors."""
    notes = Notes()
    found = []
    for gpu in adapters:
        if gpu.vendor != INTEL or gpu.device is None:
            continue
        if any(gpu.device in ids for ids in _CARD_IDS):
            found.append(_read_card(gpu, around, notes))
        else:
            found.append(_read_integrated(gpu, around, notes))
    return notes.reading(tuple(found))


def _read_card(gpu: PciGpu, around: Surroundings, notes: Notes) -> Accelerator:
    name = gpu_name(gpu, around.root) or unknown_name(gpu)
    stated = _driver_memory(gpu)
    window = largest_bar_bytes(gpu)
    # Without resizable BAR the window is 256 MiB whatever the memory.
    hint = stated or (window if window and window > GIB else None)
    device = find_device(name, hint, accept_cpu=False)
    if device is not None and (device.vendor != "intel" or device.kind != "discrete"):
        device = None
    total = stated or (device.memory_bytes if device else None)
    if total is None:
        notes.missing(f"memory of {name}", "the driver does not publish it")
    else:
        if stated is None:
            notes.assume(f"{name} has {gib(total)}: the usual size of the model.")
        reason = f"the {gpu.driver or 'Intel'} driver does not publish it in files"
        notes.missing(f"free memory of {name}", reason)
    why = why_not_vulkan(around.environ)
    if gpu.driver is None:
        why = "no driver is loaded for it"
    if why:
        notes.assume(f"{name} is left out: {why}.")
    card = Accelerator(
        name=name,
        vendor="intel",
        kind="discrete",
        memory_total_bytes=total,
        driver=gpu.driver,
        backend="vulkan",
        used_by_ollama=why is None,
        bus_id=gpu.bus_id,
    )
    return with_device_facts(card, device)


def _read_integrated(gpu: PciGpu, around: Surroundings, notes: Notes) -> Accelerator:
    ram = around.ram
    name = gpu_name(gpu, around.root) or unknown_name(gpu)
    why = why_not_vulkan(around.environ) or why_not_integrated(around.environ)
    if why:
        notes.assume(f"{name} is left out: {why}.")
    total = None
    if ram.total_bytes is not None:
        small = ram.total_bytes <= _SMALL_MEMORY
        total = ram.total_bytes // 2 if small else ram.total_bytes * 3 // 4
    free = None
    if total is not None and ram.available_bytes is not None:
        free = min(total, ram.available_bytes)
    accelerator = Accelerator(
        name=name,
        vendor="intel",
        kind="integrated",
        memory_total_bytes=total,
        memory_free_bytes=free,
        driver=gpu.driver,
        backend="vulkan",
        used_by_ollama=why is None,
        bus_id=gpu.bus_id,
    )
    device = find_device(_series_name(name, gpu), ram.total_bytes, accept_cpu=False)
    shared = device is not None and device.kind != "discrete"
    return with_device_facts(accelerator, device if shared else None)


def _series_name(name: str, gpu: PciGpu) -> str:
    """Return the name by processor generation, which tells one Iris Xe from another."""
    if "Iris Xe" in name:
        series = "Tiger Lake" if gpu.device in _TIGER_LAKE else "Alder Lake-P"
        return f"Iris Xe ({series})"
    return "Arc 140V" if gpu.device in _LUNAR_LAKE else name


def _driver_memory(gpu: PciGpu) -> int | None:
    """Return the memory the driver states, in bytes, or None."""
    tiles = 0
    for tile in list_directory(gpu.device_path, "tile[0-9]*"):
        for path in (tile / "physical_vram_size_bytes", tile / "memory/physical_vram_size_bytes"):
            tiles += read_count(path) or 0
    if tiles:
        return tiles
    folders = [folder for folder in (gpu.card_path, gpu.device_path) if folder is not None]
    return next((size for path in folders if (size := read_count(path / "lmem_total_bytes"))), None)

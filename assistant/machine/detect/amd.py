"""AMD GPUs on Linux, from the files of the amdgpu driver and of KFD, ROCm's kernel side.

`mem_info_vram_*` is a card's memory, or the part of the system's that the firmware carved
out for an APU; `mem_info_gtt_*` is system memory the GPU may map (Linux,
Documentation/gpu/amdgpu/driver-misc.rst). KFD's topology nodes give `gfx_target_version`
(110501 is gfx1151); without KFD the `ip_discovery` folder or the device table does.

What an APU can hold: Vulkan uses carve-out and GTT together. ROCm uses one of them: the
kernel turns its VRAM requests into GTT when the carve-out is the smaller (amdgpu's
`apu_prefer_gtt`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.device_facts import with_device_facts
from assistant.machine.detect.files import (
    exists,
    list_directory,
    parse_count,
    read_count,
    read_text,
    why_unreadable,
)
from assistant.machine.detect.gpu_names import gpu_name, unknown_name
from assistant.machine.detect.notes import Notes, Reading, Surroundings
from assistant.machine.detect.ollama_support import (
    ROCM_INTEGRATED,
    gfx_override,
    runs_on_rocm,
    why_not_integrated,
    why_not_vulkan,
)
from assistant.machine.detect.pci import AMD, PciGpu
from assistant.machine.devices import find_device
from assistant.machine.records import Accelerator, Backend, Kind
from assistant.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from assistant.machine.devices import Device
    from assistant.machine.records import Ram

# Architectures that exist only as graphics of a processor: Linux, amdkfd/kfd_device.c
# (Raven, Renoir, Van Gogh, Yellow Carp/Rembrandt, Raphael, Phoenix, Strix, Krackan).
_APU_GFX: Final = frozenset(
    {
        *("gfx700", "gfx801", "gfx902", "gfx909", "gfx90c", "gfx1033", "gfx1035", "gfx1036"),
        *("gfx1037", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153"),
    }
)
# PCI ids of processors with graphics (pci.ids: Kaveri 1304 to Krackan 1902, Kabini and
# Carrizo 98xx); no card has an id in these ranges.
_APU_DEVICES: Final = (range(0x1000, 0x2000), range(0x9830, 0x9900))
# amdgpu `ip_discovery` GC version to LLVM target, where they differ (amdkfd/kfd_device.c).
_GFX_OF_GC: Final = {
    "9.1.0": "gfx902",
    "9.2.2": "gfx902",
    "9.2.1": "gfx904",
    "9.3.0": "gfx90c",
    "9.4.0": "gfx906",
    "9.4.1": "gfx908",
    "9.4.2": "gfx90a",
    "9.4.3": "gfx942",
    "9.4.4": "gfx942",
    "9.0.1": "gfx900",
    "10.1.10": "gfx1010",
    "10.1.1": "gfx1012",
    "10.1.2": "gfx1011",
    "10.3.1": "gfx1033",
    "10.3.2": "gfx1031",
    "10.3.3": "gfx1035",
    "10.3.4": "gfx1032",
    "10.3.5": "gfx1034",
    "10.3.6": "gfx1036",
    "10.3.7": "gfx1036",
    "11.0.1": "gfx1103",
    "11.0.2": "gfx1102",
    "11.0.3": "gfx1101",
    "11.0.4": "gfx1103",
}
_HEX_DIGIT: Final = 15
# Since RDNA (GC 10) the target is the version's three numbers, with the exceptions above.
_FIRST_REGULAR_GC: Final = 10
# Ollama's own test for an APU (discover/amd.go `readROCmDRMDevice`), used where the
# architecture does not say: little VRAM and at least four times as much GTT.
_APU_LARGEST_VRAM: Final = 4 * GIB
_APU_SMALLEST_GTT: Final = 8 * GIB


@dataclass(frozen=True, slots=True)
class _Pool:
    total: int | None
    used: int | None

    @property
    def free(self) -> int | None:
        if self.total is None or self.used is None:
            return None
        return max(0, self.total - self.used)


def detect_amd(
    adapters: Sequence[PciGpu], around: Surroundings
) -> Reading[tuple[Accelerator, ...]]:
    """Return the AMD GPUs among the adapters; an APU's graphics is one of them."""
    gpus = [gpu for gpu in adapters if gpu.vendor == AMD]
    notes = Notes()
    targets = kfd_targets(around.root) if gpus else {}
    return notes.reading(tuple(_read_one(gpu, around, targets, notes) for gpu in gpus))


def gfx_name(gfx_target_version: int) -> str | None:
    """Return the architecture of KFD's decimal number: 90010 is gfx90a, 110501 gfx1151."""
    major, rest = divmod(gfx_target_version, 10_000)
    minor, step = divmod(rest, 100)
    if not major or minor > _HEX_DIGIT or step > _HEX_DIGIT:
        return None
    return f"gfx{major}{minor:x}{step:x}"


def kfd_targets(root: Path) -> dict[str, str]:
    """Return the architecture of each GPU node by PCI address, and by device id as `:1586`."""
    targets: dict[str, str] = {}
    for node in list_directory(root / "sys/class/kfd/kfd/topology/nodes"):
        fields = {}
        for line in (read_text(node / "properties") or "").splitlines():
            key, _, value = line.partition(" ")
            fields[key] = parse_count(value)
        gfx = gfx_name(fields.get("gfx_target_version") or 0)
        if gfx is None:
            continue
        location, domain = fields.get("location_id"), fields.get("domain") or 0
        if location is not None:
            bus, device = location >> 8 & 0xFF, location >> 3 & 0x1F
            targets[f"{domain:04x}:{bus:02x}:{device:02x}.{location & 7}"] = gfx
        if fields.get("device_id"):
            targets[f":{fields['device_id']:04x}"] = gfx
    return targets


def _read_one(
    gpu: PciGpu, around: Surroundings, targets: Mapping[str, str], notes: Notes
) -> Accelerator:
    vram, gtt = _pool(gpu.device_path, "vram"), _pool(gpu.device_path, "gtt")
    name = gpu_name(gpu, around.root) or unknown_name(gpu)
    gfx = targets.get((gpu.bus_id or "").lower()) or targets.get(f":{gpu.device or 0:04x}")
    has_kfd = gfx is not None
    device = find_device(name, vram.total, accept_cpu=False)
    gfx = gfx or _gfx_from_discovery(gpu.device_path) or (device.gfx if device else None)
    integrated = _is_integrated(gpu, gfx, device, vram, gtt)
    if integrated:
        name, device = _apu_name(name, device, around.cpu_name)
    if vram.total is None:
        path = gpu.device_path / "mem_info_vram_total"
        driver = f" (driver: {gpu.driver or 'none'})" if gpu.driver != "amdgpu" else ""
        notes.missing(f"memory of {name}", why_unreadable(path) + driver)
    override = gfx_override(around.environ) if has_kfd else None
    backend, why_not = _backend(override or gfx, has_kfd, integrated, around.environ)
    why_not = _why_no_driver(gpu, vram) or why_not
    if why_not:
        notes.assume(f"{name} is left out: {why_not}.")
    total, free = (vram.total, vram.free)
    if integrated:
        total, free = _shared_memory(vram, gtt, around.ram, backend)
    kind: Kind = "discrete"
    if integrated:
        kind = "unified" if gfx in ROCM_INTEGRATED else "integrated"
    return with_device_facts(
        Accelerator(
            name=name,
            vendor="amd",
            kind=kind,
            memory_total_bytes=total,
            memory_free_bytes=free,
            compute_capability=gfx,
            driver=_driver_version(around.root, gpu),
            backend=backend,
            used_by_ollama=why_not is None,
            carve_out_bytes=vram.total if integrated else None,
            gtt_bytes=gtt.total if integrated else None,
            bus_id=gpu.bus_id,
        ),
        device,
    )


def _why_no_driver(gpu: PciGpu, vram: _Pool) -> str | None:
    """Return why the card cannot be driven, or None when amdgpu drives it."""
    if gpu.driver is not None and gpu.driver != "amdgpu":
        return f"its driver is {gpu.driver}, not amdgpu"
    return "no driver is loaded for it" if gpu.driver is None and vram.total is None else None


def _pool(folder: Path, kind: str) -> _Pool:
    total = read_count(folder / f"mem_info_{kind}_total")
    return _Pool(total or None, read_count(folder / f"mem_info_{kind}_used"))


def _is_integrated(
    gpu: PciGpu, gfx: str | None, device: Device | None, vram: _Pool, gtt: _Pool
) -> bool:
    if gfx in _APU_GFX or any((gpu.device or 0) in ids for ids in _APU_DEVICES):
        return True
    if device is not None and device.vendor == "amd":
        return device.kind != "discrete"
    folder = gpu.device_path
    if exists(folder / "mem_info_vram_vendor") or exists(folder / "board_info"):
        return False
    if vram.total is None or gtt.total is None:
        return False
    small = vram.total <= _APU_LARGEST_VRAM and gtt.total >= _APU_SMALLEST_GTT
    return small and gtt.total >= 4 * vram.total


def _apu_name(name: str, device: Device | None, cpu_name: str | None) -> tuple[str, Device | None]:
    """Return the graphics' name and device; the processor's name is the more exact one."""
    for mark in (" w/ ", " with "):
        if cpu_name and mark in cpu_name:
            graphics = f"AMD {cpu_name.partition(mark)[2].removeprefix('AMD ').strip()}"
            named = find_device(graphics, accept_cpu=False)
            if named is not None and named.vendor == "amd":
                return graphics, named
            if device is None:
                return graphics, None
    return name, device


def _backend(
    gfx: str | None, has_kfd: bool, integrated: bool, environ: Mapping[str, str]
) -> tuple[Backend, str | None]:
    """Return the backend Ollama would use, and why it leaves the GPU out (None: it does not)."""
    if has_kfd and runs_on_rocm(gfx):
        return "rocm", why_not_integrated(environ, gfx=gfx) if integrated else None
    why = why_not_vulkan(environ)
    if why is None and integrated:
        why = why_not_integrated(environ)
    return "vulkan", why


def _shared_memory(
    vram: _Pool, gtt: _Pool, ram: Ram, backend: Backend
) -> tuple[int | None, int | None]:
    """Return (total, free) of an APU: see the module's text."""
    if vram.total is None or gtt.total is None:
        return vram.total or gtt.total, vram.free if vram.total else None
    # GTT is ordinary system memory: no more of it is free than the system has available.
    gtt_free = gtt.free
    if gtt_free is not None and ram.available_bytes is not None:
        gtt_free = min(gtt_free, ram.available_bytes)
    if backend == "rocm":
        if gtt.total > vram.total:
            return gtt.total, gtt_free
        return vram.total, vram.free
    free = None if vram.free is None or gtt_free is None else vram.free + gtt_free
    return vram.total + gtt.total, free


def _gfx_from_discovery(folder: Path) -> str | None:
    for gc in list_directory(folder / "ip_discovery/die/0/GC"):
        numbers = [read_count(gc / part) for part in ("major", "minor", "revision")]
        if None in numbers:
            continue
        version = ".".join(str(number) for number in numbers)
        major, minor, revision = (number or 0 for number in numbers)
        if version in _GFX_OF_GC:
            return _GFX_OF_GC[version]
        if major >= _FIRST_REGULAR_GC and max(minor, revision) <= _HEX_DIGIT:
            return f"gfx{major}{minor:x}{revision:x}"
    return None


def _driver_version(root: Path, gpu: PciGpu) -> str | None:
    version = read_text(root / "sys/module/amdgpu/version", limit=64)
    if version:
        return f"amdgpu {version}"
    return gpu.driver

"""The display and compute adapters on the PCI bus, as Linux shows them under /sys.

`/sys/class/drm/card*/device` is the adapter behind a DRM driver and
`/sys/bus/pci/devices/*` every function on the bus, bound to a driver or not. PCI class
codes: 0x03xx display controllers, 0x12xx processing accelerators (AMD Instinct).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.files import (
    list_directory,
    pairs,
    parse_count,
    read_count,
    read_text,
)

if TYPE_CHECKING:
    from pathlib import Path

NVIDIA: Final = 0x10DE
AMD: Final = 0x1002
INTEL: Final = 0x8086

_DISPLAY_CLASSES: Final = (0x03, 0x12)


@dataclass(frozen=True, slots=True)
class PciGpu:
    """One adapter: where it sits, its ids, the kernel driver bound to it (None: none).

    `device_path` is its folder with `mem_info_vram_total` and the like; `card_path` the
    DRM card's folder when a DRM driver made one.
    """

    bus_id: str | None
    vendor: int
    device: int | None
    revision: int | None
    driver: str | None
    device_path: Path
    card_path: Path | None = None


def list_pci_gpus(root: Path) -> tuple[PciGpu, ...]:
    """Return the adapters of the machine whose file system starts at `root`."""
    found: list[PciGpu] = []
    for card in list_directory(root / "sys/class/drm", "card[0-9]*"):
        if card.name[4:].isdigit():
            gpu = _read_gpu(card / "device", card_path=card)
            if gpu is not None:
                found.append(gpu)
    seen = {gpu.bus_id for gpu in found if gpu.bus_id}
    for folder in list_directory(root / "sys/bus/pci/devices"):
        if folder.name in seen:
            continue
        class_code = read_count(folder / "class")
        if class_code is not None and class_code >> 16 in _DISPLAY_CLASSES:
            gpu = _read_gpu(folder, bus_id=folder.name)
            if gpu is not None:
                found.append(gpu)
    return tuple(found)


def largest_bar_bytes(gpu: PciGpu) -> int | None:
    """Return the largest memory window of the adapter, from its `resource` file.

    With resizable BAR it covers the whole video memory, rounded up to a power of two.
    """
    text = read_text(gpu.device_path / "resource")
    if text is None:
        return None
    sizes = []
    for line in text.splitlines()[:6]:
        fields = line.split()
        if len(fields) != 3:
            continue
        start, end = parse_count(fields[0]), parse_count(fields[1])
        if start is not None and end is not None and end > start:
            sizes.append(end - start + 1)
    return max(sizes, default=None)


def _read_gpu(
    folder: Path, *, bus_id: str | None = None, card_path: Path | None = None
) -> PciGpu | None:
    event = dict(pairs(read_text(folder / "uevent") or "", "="))
    vendor, device = read_count(folder / "vendor"), read_count(folder / "device")
    ids = event.get("PCI_ID", "").split(":")
    if len(ids) == 2:
        vendor = parse_count(f"0x{ids[0]}") if vendor is None else vendor
        device = parse_count(f"0x{ids[1]}") if device is None else device
    if vendor is None:
        return None
    return PciGpu(
        bus_id=event.get("PCI_SLOT_NAME") or bus_id or _linked_name(folder),
        vendor=vendor,
        device=device,
        revision=read_count(folder / "revision"),
        driver=event.get("DRIVER") or _linked_name(folder / "driver"),
        device_path=folder,
        card_path=card_path,
    )


def _linked_name(path: Path) -> str | None:
    """Return the last part of a symbolic link's target: a PCI address or a driver."""
    try:
        return path.readlink().name or None
    except (OSError, ValueError):
        return None

"""The name a GPU is sold under, from its PCI ids.

First the system's own `amdgpu.ids` (libdrm), which is as new as the system, then the table
beside this module (built by `scripts/build_gpu_names.py` from libdrm's and pciutils' lists).
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Final, cast

from assistant.machine.detect.files import read_text
from assistant.machine.detect.pci import AMD, INTEL, PciGpu

NAMES_FILE: Final = Path(__file__).parent / "gpu_names.json"

_VENDORS: Final = {AMD: "AMD", INTEL: "Intel", 0x10DE: "NVIDIA"}
_SYSTEM_LISTS: Final = ("usr/share/libdrm/amdgpu.ids", "opt/amdgpu/share/libdrm/amdgpu.ids")
_SYSTEM_PCI_IDS: Final = (
    "usr/share/hwdata/pci.ids",
    "usr/share/misc/pci.ids",
    "usr/share/pci.ids",
)


def gpu_name(gpu: PciGpu, root: Path) -> str | None:
    """Return the sold name of an adapter, or None when no list knows its ids."""
    if gpu.device is None:
        return None
    if gpu.vendor == AMD:
        name = _system_amd_name(root, gpu.device, gpu.revision)
        if name:
            return _tidy(name)
    names = _table().get(f"{gpu.vendor:04x}", {}).get(f"{gpu.device:04x}", {})
    name = names.get(f"{gpu.revision:02x}" if gpu.revision is not None else "*") or names.get("*")
    if name is None and names:
        # The revision decides between several cards and is not listed: name them all.
        name = " or ".join(sorted({entry.removeprefix("AMD ") for entry in names.values()})[:3])
    if name is None:
        name = _system_pci_name(root, gpu.vendor, gpu.device)
    return _tidy(name) if name else None


def unknown_name(gpu: PciGpu) -> str:
    """Return what to call an adapter that no list knows: its maker and PCI ids."""
    maker = _VENDORS.get(gpu.vendor, "unknown")
    device = "????" if gpu.device is None else f"{gpu.device:04x}"
    return f"{maker} GPU [{gpu.vendor:04x}:{device}]"


@cache
def _table() -> dict[str, dict[str, dict[str, str]]]:
    text = NAMES_FILE.read_text(encoding="utf-8")
    return cast("dict[str, dict[str, dict[str, str]]]", json.loads(text))


def _system_amd_name(root: Path, device: int, revision: int | None) -> str | None:
    if revision is None:
        return None
    for path in _SYSTEM_LISTS:
        text = read_text(root / path)
        pattern = rf"(?mi)^{device:04x},[ \t]+{revision:02x},[ \t]+(\S.*)$"
        match = re.search(pattern, text) if text else None
        if match:
            return match[1].strip()
    return None


def _system_pci_name(root: Path, vendor: int, device: int) -> str | None:
    """Return what the system's pci.ids calls an adapter: `NVIDIA GeForce RTX 3060`."""
    for path in _SYSTEM_PCI_IDS:
        text = read_text(root / path)
        start = (text or "").find(f"\n{vendor:04x}  ")
        if text is None or start < 0:
            continue
        end = re.compile(r"^[0-9a-fC]", re.MULTILINE).search(text, start + 2)
        block = text[start : end.start() if end else len(text)]
        match = re.search(rf"(?m)^\t{device:04x}  (.+)$", block)
        if match:
            bracket = re.search(r"\[(.+)\]", match[1])
            return f"{_VENDORS.get(vendor, '')} {bracket[1] if bracket else match[1]}".strip()
    return None


def _tidy(name: str) -> str:
    name = re.sub(r"\s*\((?:TM|R)\)", "", name, flags=re.IGNORECASE)
    if name.startswith(("Radeon", "Instinct", "FirePro")):
        name = f"AMD {name}"
    return " ".join(name.split())

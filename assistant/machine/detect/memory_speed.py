"""The speed of the memory modules, from what systemd already read out of SMBIOS.

`dmi_memory_id` (systemd 248 and later) puts the SMBIOS type 17 records into the udev
database, which everybody may read, while /sys/firmware/dmi/tables is for root only.
Fields: `MEMORY_DEVICE_<n>_CONFIGURED_SPEED_MTS`, `_DATA_WIDTH` (bits), `_LOCATOR`,
`_BANK_LOCATOR`, `_PRESENT`, `_TYPE`. Peak bandwidth = channels x width x transfers per second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.files import pairs, parse_count, read_bytes, read_text
from assistant.machine.detect.smbios import memory_devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_LARGEST_TABLE: Final = 1 << 20
_FIELD: Final = r"E:MEMORY_DEVICE_(\d{1,4})_([A-Z_]+)"
_CHANNEL: Final = r"(?:controller\s*\d+\D+)?(?:p\d+\s*)?ch(?:annel)?[\s_-]*([a-z0-9])(?:\b|[-_\d])"


@dataclass(frozen=True, slots=True)
class MemoryModules:
    """The modules in use: their type, transfers per second, and how they are wired."""

    type: str | None
    mega_transfers_per_s: int
    channels: int | None
    width_bits: int

    @property
    def bandwidth_gb_per_s(self) -> float | None:
        """Peak bandwidth in GB/s, None when the number of channels is not known."""
        if self.channels is None:
            return None
        return round(self.channels * self.width_bits / 8 * self.mega_transfers_per_s / 1000, 1)


def detect_memory_modules(root: Path) -> MemoryModules | None:
    """Return the memory modules of the udev database, else of SMBIOS itself, or None."""
    devices: dict[str, dict[str, str]] = {}
    for key, value in pairs(read_text(root / "run/udev/data/+dmi:id") or "", "="):
        match = re.fullmatch(_FIELD, key)
        if match:
            devices.setdefault(match[1], {})[match[2]] = value
    found = memory_modules(devices.values())
    if found is None:
        table = read_bytes(root / "sys/firmware/dmi/tables/DMI", limit=_LARGEST_TABLE)
        found = memory_modules(memory_devices(table)) if table else None
    return found


def memory_modules(devices: Iterable[Mapping[str, str]]) -> MemoryModules | None:
    """Return what SMBIOS memory devices amount to; None when no speed is known.

    Channels are counted from the locators ("P0 CHANNEL A", "ChannelB-DIMM0"); where the
    firmware names no channel, one or two modules count as one channel each.
    """
    modules = [device for device in devices if _is_present(device)]
    speeds = [_speed(device) for device in modules]
    known = [speed for speed in speeds if speed]
    if not known:
        return None
    width = max((parse_count(device.get("DATA_WIDTH")) or 64 for device in modules), default=64)
    kind = next((device["TYPE"] for device in modules if device.get("TYPE")), None)
    channels = _channels(modules)
    return MemoryModules(kind, min(known), channels, min(width, 128))


def _is_present(device: Mapping[str, str]) -> bool:
    return device.get("PRESENT") != "0" and bool(parse_count(device.get("SIZE")))


def _speed(device: Mapping[str, str]) -> int | None:
    speed = parse_count(device.get("CONFIGURED_SPEED_MTS")) or parse_count(device.get("SPEED_MTS"))
    return speed if speed and 100 <= speed <= 20_000 else None


def _channels(modules: Sequence[Mapping[str, str]]) -> int | None:
    names = set()
    for device in modules:
        places = (device.get("BANK_LOCATOR", ""), device.get("LOCATOR", ""))
        place = next((text for text in places if re.search(_CHANNEL, text, re.IGNORECASE)), None)
        if place is None:
            return len(modules) if len(modules) <= 2 else None
        match = re.search(_CHANNEL, place, re.IGNORECASE)
        prefix = place[: match.start(1)] if match else ""
        names.add((prefix.lower(), match[1].lower() if match else ""))
    return len(names) or None

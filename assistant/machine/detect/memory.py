"""System memory on Linux, from /proc/meminfo, cut to the limit of the control group.

Ollama counts MemAvailable (else MemFree + Buffers + Cached) as free, and inside a control
group puts its limit in place of the total and limit minus use in place of the free memory
(github.com/ollama/ollama, discover/cpu_linux.go). The same is done here, except that file
cache which the kernel gives back at once is not counted as used, and the host's own
available memory still caps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistant.machine.detect.files import pairs, parse_count, read_text, why_unreadable
from assistant.machine.detect.notes import Reading
from assistant.machine.records import Ram, Unavailable
from assistant.units import KIB, gib

if TYPE_CHECKING:
    from pathlib import Path

    from assistant.machine.detect.container import Limits


def detect_memory(root: Path, limits: Limits) -> Reading[Ram]:
    """Return total and available memory of the Linux machine at `root`, in bytes."""
    path = root / "proc/meminfo"
    text = read_text(path)
    fields = {key: parse_count(value) for key, value in pairs(text or "", ":")}
    total, available = _kib(fields.get("MemTotal")), _kib(fields.get("MemAvailable"))
    if available is None and fields.get("MemFree") is not None:
        available = _kib(sum(fields.get(key) or 0 for key in ("MemFree", "Buffers", "Cached")))
    unavailable: list[Unavailable] = []
    if total is None:
        unavailable.append(Unavailable("memory size", why_unreadable(path)))
    elif available is None:
        unavailable.append(Unavailable("available memory", why_unreadable(path)))
    ram = Ram(total_bytes=total, available_bytes=available)
    return _within_limit(ram, limits, tuple(unavailable))


def _within_limit(ram: Ram, limits: Limits, unavailable: tuple[Unavailable, ...]) -> Reading[Ram]:
    limit = limits.container.memory_limit_bytes if limits.container else None
    if limit is None or (ram.total_bytes is not None and limit >= ram.total_bytes):
        return Reading(ram, unavailable)
    room = max(0, limit - (limits.memory_used_bytes or 0))
    available = room if ram.available_bytes is None else min(room, ram.available_bytes)
    host = f"; the host has {gib(ram.total_bytes)}" if ram.total_bytes else ""
    note = f"Memory is limited to {gib(limit)} by the control group of this process{host}."
    return Reading(Ram(total_bytes=limit, available_bytes=available), unavailable, (note,))


def _kib(value: int | None) -> int | None:
    return None if value is None else value * KIB

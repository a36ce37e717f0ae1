"""Which computer a setup was chosen for, in a line that stays the same from run to run."""

from __future__ import annotations

from assistant.machine.records import Machine
from assistant.units import GIB


def machine_key(machine: Machine) -> str:
    """Return processor, RAM and GPUs of a machine as text.

    Only what does not change while it runs: totals, never free memory. RAM is rounded to half a
    GiB, because what the kernel keeps for itself differs from version to version.
    """
    ram = machine.ram.total_bytes
    parts = [machine.cpu.name or "unknown CPU", _rounded(ram)]
    parts += [
        f"{gpu.name} {_rounded(gpu.memory_total_bytes)}" for gpu in machine.usable_accelerators
    ]
    return " | ".join(parts)


def _rounded(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{round(2 * size_bytes / GIB) / 2:g} GiB"

"""Answers about a computer or a card itself."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.agent.compose.text import (
    assumed,
    join_words,
    memory_label,
    model_label,
    paragraphs,
    short_speed,
    table,
)
from assistant.machine.devices import Device
from assistant.machine.records import Accelerator, Machine
from assistant.recommend.records import Recommendation
from assistant.units import GIB, gib


def compose_device(devices: Sequence[Device], machine: Machine, as_of: str) -> str:
    """Return what the device table says about a card and its variants."""
    rows = [
        (
            device.name,
            f"{device.memory_bytes / GIB:.0f} GB" if device.memory_bytes else "shared with RAM",
            f"{device.bandwidth_gb_per_s:.0f} GB/s" if device.bandwidth_gb_per_s else "-",
            device.compute_capability or "-",
        )
        for device in devices
    ]
    first = devices[0]
    sizes = list(dict.fromkeys(memory for _, memory, _, _ in rows))
    if first.memory_bytes is None:
        lead = f"The {first.name} has no memory of its own: it shares the RAM."
    elif len(sizes) == 1:
        lead = f"The {first.name} has {sizes[0]} of memory."
    else:
        lead = f"The {first.name} is sold with {join_words(sizes, 'or')} of memory."
    head = ("device", "memory", "bandwidth", "compute capability")
    used = machine.usable_accelerators
    usable = f"Usable for a model: {memory_label(machine)}." if used else None
    return paragraphs(
        lead,
        table(head, rows, right="12"),
        usable,
        f"From the device table of {as_of}.",
    )


def compose_machine(machine: Machine) -> str:
    """Return what this computer is, as far as it could be read."""
    cpu = machine.cpu
    gpus = [_gpu_text(accelerator) for accelerator in machine.accelerators]
    if machine.usable_accelerators:
        lead = f"This computer has {join_words(gpus)}."
    elif gpus:
        lead = f"This computer has {join_words(gpus)}, which Ollama does not use by default."
    else:
        lead = "This computer has no GPU that could be found; models run on the CPU."
    rows = [
        ("CPU", f"{cpu.name or 'unknown'}, {cpu.physical_cores or '?'} cores"),
        ("RAM", _ram_text(machine)),
    ]
    if machine.disk.free_bytes is not None:
        rows.append(("free disk for models", f"{machine.disk.free_bytes / 1e9:.0f} GB"))
    missing = [f"{item.what}: {item.why}" for item in machine.unavailable]
    unread = f"Could not be read: {'; '.join(missing)}." if missing else None
    return paragraphs(lead, table(("part", "found"), rows), unread, assumed(machine.assumptions))


def compose_compare_machines(
    compared: Sequence[tuple[str, Machine, Recommendation]],
) -> str:
    """Return two cards or computers side by side, with the best chat model for each."""
    rows = []
    for words, machine, found in compared:
        used = machine.usable_accelerators
        best = found.picks[0] if found.picks else None
        rows.append(
            (
                used[0].name if used else words,
                memory_label(machine),
                f"{used[0].bandwidth_gb_per_s:.0f} GB/s"
                if used and used[0].bandwidth_gb_per_s
                else "-",
                model_label(best.estimate) if best else "nothing useful fits",
                short_speed(best.estimate.speed.decode) if best else "-",
            )
        )
    head = ("card", "memory", "bandwidth", "best for chat", "speed")
    assumptions = [a for _, machine, _ in compared for a in machine.assumptions]
    return paragraphs(
        _machines_lead(compared),
        table(head, rows, right="2"),
        "Memory decides what fits, bandwidth how fast it answers.",
        assumed(assumptions),
    )


def _machines_lead(compared: Sequence[tuple[str, Machine, Recommendation]]) -> str:
    (_, first, _), (_, second, _) = compared
    memory = [sum(a.memory_total_bytes or 0 for a in m.accelerators) for m in (first, second)]
    bandwidth = [m.accelerators[0].bandwidth_gb_per_s or 0 for m in (first, second)]
    names = [m.accelerators[0].name for m in (first, second)]
    if memory[0] == memory[1]:
        faster = names[0] if bandwidth[0] >= bandwidth[1] else names[1]
        return f"Both have {gib(memory[0])}; the {faster} reads its memory faster."
    roomy = 0 if memory[0] > memory[1] else 1
    more = f"The {names[roomy]} has more memory, so larger models and longer contexts fit"
    if bandwidth[roomy] >= bandwidth[1 - roomy]:
        return f"{more}, and it is faster as well."
    return f"{more}; the {names[1 - roomy]} is faster with what fits on both."


def _gpu_text(accelerator: Accelerator) -> str:
    total, free = accelerator.memory_total_bytes, accelerator.memory_free_bytes
    memory = gib(total) if total else "an unknown amount of memory"
    rest = f", {gib(free)} of it free" if free else ""
    return f"{accelerator.name} with {memory}{rest}"


def _ram_text(machine: Machine) -> str:
    total, available = machine.ram.total_bytes, machine.ram.available_bytes
    if total is None:
        return "unknown"
    return f"{gib(total)}" + (f", {gib(available)} available" if available else "")

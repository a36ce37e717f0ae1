"""What a machine has left beside models that are loaded: the same record, with less free memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from assistant.fit.records import FitEstimate
from assistant.fit.room import OVERHEAD_BYTES
from assistant.machine.records import Accelerator, Machine
from assistant.ollama.records import LoadedModel


def machine_beside(machine: Machine, loaded: Iterable[FitEstimate]) -> Machine:
    """Return the machine as a further model finds it beside those in `loaded`.

    Each takes its share of the GPUs it lands on, its driver contexts included, and its part of
    the RAM. On a described machine, whose free memory is what a first runner sees, a further
    runner's own driver context is taken off as well.
    """
    free = [
        a.memory_total_bytes if a.memory_free_bytes is None else a.memory_free_bytes
        for a in machine.accelerators
    ]
    available = machine.ram.available_bytes
    count = 0
    for estimate in loaded:
        count += 1
        _take(machine.accelerators, free, estimate)
        shared = machine.unified_memory
        taken = estimate.memory if shared else estimate.host
        if available is not None:
            available = max(0, available - taken.total_bytes)
    if not count:
        return machine
    extra = OVERHEAD_BYTES if machine.source == "stated" else 0
    accelerators = tuple(
        replace(a, memory_free_bytes=None if left is None else max(0, left - extra))
        for a, left in zip(machine.accelerators, free, strict=True)
    )
    ram = replace(machine.ram, available_bytes=available)
    return replace(machine, accelerators=accelerators, ram=ram)


def machine_without_loaded(machine: Machine, loaded: Iterable[LoadedModel]) -> Machine:
    """Return the machine as it is once the server has unloaded what it holds now.

    What `/api/ps` says is in VRAM is given back to the GPUs, never beyond their total less what
    other programs would need; RAM the same. A model that setup loads may push the others out.
    """
    vram = sum(model.vram_bytes or 0 for model in loaded)
    ram = sum(max(0, (model.size_bytes or 0) - (model.vram_bytes or 0)) for model in loaded)
    if not vram and not ram:
        return machine
    accelerators: list[Accelerator] = []
    for accelerator in machine.accelerators:
        total, free = accelerator.memory_total_bytes, accelerator.memory_free_bytes
        if not accelerator.used_by_ollama or total is None or free is None:
            accelerators.append(accelerator)
            continue
        given = min(vram, max(0, total - free))
        vram -= given
        accelerators.append(replace(accelerator, memory_free_bytes=free + given))
    available, total_ram = machine.ram.available_bytes, machine.ram.total_bytes
    if available is not None:
        available = min(available + ram, total_ram or available + ram)
    return replace(
        machine,
        accelerators=tuple(accelerators),
        ram=replace(machine.ram, available_bytes=available),
    )


def _take(
    accelerators: tuple[Accelerator, ...], free: list[int | None], estimate: FitEstimate
) -> None:
    """Take each device's share off the first GPU of its name that was not used for another."""
    used: set[int] = set()
    for share in estimate.placement.devices:
        for index, accelerator in enumerate(accelerators):
            left = free[index]
            if index in used or accelerator.name != share.name or left is None:
                continue
            used.add(index)
            free[index] = max(0, left - share.bytes)
            break

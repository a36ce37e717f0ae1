"""What a machine has left beside models that are loaded: the same record, with less free memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from assistant.fit.records import FitEstimate
from assistant.fit.room import OVERHEAD_BYTES, measure_room
from assistant.machine.records import Accelerator, Machine
from assistant.ollama.records import LoadedModel


def free_vram(machine: Machine) -> int:
    """Return the bytes that are free on the GPUs of a machine, their total where nobody knows."""
    return sum(_free(a) or 0 for a in machine.usable_accelerators)


def free_where_it_lands(machine: Machine, estimate: FitEstimate) -> int:
    """Return the bytes that are free on those GPUs that an estimate lands on."""
    free = [_free(a) for a in machine.accelerators]
    return sum(free[index] or 0 for index, _ in _landed(machine.accelerators, free, estimate))


def free_ram(machine: Machine) -> int | None:
    """Return the bytes of RAM that models may have, None where nothing is known of it."""
    return measure_room(machine).host_bytes


def machine_beside(machine: Machine, loaded: Iterable[FitEstimate]) -> Machine:
    """Return the machine as a further model finds it beside those in `loaded`.

    Each takes its share of the GPUs it lands on, its driver contexts included, and its part of
    the RAM. On a described machine, whose free memory is what a first runner sees, a further
    runner's own driver context is taken off as well.
    """
    estimates = tuple(loaded)
    if not estimates:
        return machine
    free = [_free(a) for a in machine.accelerators]
    available = free_ram(machine)
    for estimate in estimates:
        _take(machine.accelerators, free, estimate)
        taken = estimate.memory if machine.unified_memory else estimate.host
        if available is not None:
            available = max(0, available - taken.total_bytes)
    extra = OVERHEAD_BYTES if machine.source == "stated" else 0
    accelerators = tuple(
        replace(a, memory_free_bytes=None if left is None else max(0, left - extra))
        for a, left in zip(machine.accelerators, free, strict=True)
    )
    ram = replace(machine.ram, available_bytes=available)
    return replace(machine, accelerators=accelerators, ram=ram)


def machine_without_loaded(machine: Machine, loaded: Iterable[LoadedModel]) -> Machine:
    """Return the machine as it is once the server has unloaded what it holds now.

    What `/api/ps` says is in VRAM is given back to the GPUs, the fullest first, because it does
    not say which of them holds it; the rest to the RAM, and all of it where both are one memory.
    Nothing gets more than its total. A model that setup loads may push the others out.
    """
    models = tuple(loaded)
    vram = sum(model.vram_bytes or 0 for model in models)
    ram = sum(max(0, (model.size_bytes or 0) - (model.vram_bytes or 0)) for model in models)
    if not vram and not ram:
        return machine
    if machine.unified_memory:
        ram += vram
    accelerators = list(machine.accelerators)
    fullest_first = sorted(range(len(accelerators)), key=lambda i: -_used(accelerators[i]))
    for index in fullest_first:
        accelerator = accelerators[index]
        free = accelerator.memory_free_bytes
        given = min(vram, _used(accelerator))
        if free is not None and given:
            vram -= given
            accelerators[index] = replace(accelerator, memory_free_bytes=free + given)
    available, total_ram = machine.ram.available_bytes, machine.ram.total_bytes
    if available is not None:
        available = max(available, min(available + ram, total_ram or available + ram))
    return replace(
        machine,
        accelerators=tuple(accelerators),
        ram=replace(machine.ram, available_bytes=available),
    )


def _free(accelerator: Accelerator) -> int | None:
    free = accelerator.memory_free_bytes
    return accelerator.memory_total_bytes if free is None else free


def _used(accelerator: Accelerator) -> int:
    """Return what is in use of a GPU that Ollama takes; 0 where that is not known."""
    total, free = accelerator.memory_total_bytes, accelerator.memory_free_bytes
    if not accelerator.used_by_ollama or total is None or free is None:
        return 0
    return max(0, total - free)


def _take(
    accelerators: tuple[Accelerator, ...], free: list[int | None], estimate: FitEstimate
) -> None:
    """Take each device's share off the GPU that it lands on."""
    for index, taken in _landed(accelerators, free, estimate):
        free[index] = max(0, (free[index] or 0) - taken)


def _landed(
    accelerators: tuple[Accelerator, ...], free: Sequence[int | None], estimate: FitEstimate
) -> list[tuple[int, int]]:
    """Return the index of each GPU that an estimate lands on, and the bytes it takes there.

    Of several GPUs of one name, those with the most free memory are taken, as Ollama does, and
    they keep their order.
    """
    landed: list[tuple[int, int]] = []
    for name in dict.fromkeys(share.name for share in estimate.placement.devices):
        shares = [each.bytes for each in estimate.placement.devices if each.name == name]
        alike = [
            index
            for index, a in enumerate(accelerators)
            if a.name == name and a.used_by_ollama and a.memory_total_bytes
        ]
        alike.sort(key=lambda index: -(free[index] or 0))
        landed += zip(sorted(alike[: len(shares)]), shares, strict=False)
    return landed

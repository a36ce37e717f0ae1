"""The memory a model found when it was loaded, from what is free now: pure arithmetic.

A machine is looked at while models are in memory. What one of them takes was free before it
came; what the others take is theirs. A described machine is not a reading of this moment: it
says what is free when nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from assistant.fit.room import METAL_OVERHEAD_BYTES, OVERHEAD_BYTES
from assistant.machine.records import Accelerator, Machine, Ram
from assistant.ollama.records import LoadedModel


def machine_before(
    machine: Machine, own: LoadedModel | None, others: Sequence[LoadedModel]
) -> Machine:
    """Return the machine as it was with `others` in memory and `own` not yet."""
    if machine.source == "detected":
        return with_returned(machine, () if own is None else (own,))
    return _taken(machine, others)


def machine_idle(machine: Machine, loaded: Sequence[LoadedModel]) -> Machine:
    """Return the machine with no model in the server's memory."""
    return with_returned(machine, loaded) if machine.source == "detected" else machine


def machine_empty(machine: Machine) -> Machine:
    """Return the machine with nothing at all on its GPUs."""
    gpus = tuple(replace(gpu, memory_free_bytes=None) for gpu in machine.accelerators)
    return replace(machine, accelerators=gpus)


def with_returned(machine: Machine, models: Iterable[LoadedModel]) -> Machine:
    """Return the machine with the memory of `models` free again.

    What is on GPUs goes back to each in proportion to what is in use there, with a driver
    context for each model that is on one.
    """
    for model in models:
        vram = model.vram_bytes or 0
        host = max(0, (model.size_bytes or 0) - vram)
        shares = _shares(machine.accelerators, vram)
        gpus = tuple(
            _freer(gpu, share) for gpu, share in zip(machine.accelerators, shares, strict=True)
        )
        shared = sum(
            share
            for gpu, share in zip(machine.accelerators, shares, strict=True)
            if gpu.kind != "discrete"
        )
        machine = replace(machine, accelerators=gpus, ram=_ram(machine, host + shared))
    return machine


def used_bytes(gpu: Accelerator) -> int:
    """Return the bytes in use on a GPU; 0 where that is unknown."""
    if not gpu.used_by_ollama or gpu.memory_total_bytes is None or gpu.memory_free_bytes is None:
        return 0
    return max(0, gpu.memory_total_bytes - gpu.memory_free_bytes)


def overhead_bytes(gpu: Accelerator) -> int:
    """Return what the driver takes for one model on that GPU."""
    return METAL_OVERHEAD_BYTES if gpu.backend == "metal" else OVERHEAD_BYTES


def _shares(gpus: Sequence[Accelerator], vram: int) -> list[int]:
    used = [used_bytes(gpu) for gpu in gpus]
    total = sum(used)
    if vram <= 0 or total <= 0:
        return [0] * len(gpus)
    return [
        vram * part // total + (overhead_bytes(gpu) if part else 0)
        for gpu, part in zip(gpus, used, strict=True)
    ]


def _freer(gpu: Accelerator, size: int) -> Accelerator:
    if not size or gpu.memory_free_bytes is None or gpu.memory_total_bytes is None:
        return gpu
    return replace(gpu, memory_free_bytes=min(gpu.memory_total_bytes, gpu.memory_free_bytes + size))


def _ram(machine: Machine, size: int) -> Ram:
    ram = machine.ram
    if not size or ram.available_bytes is None:
        return ram
    more = ram.available_bytes + size
    if ram.total_bytes is not None:
        more = min(more, ram.total_bytes)
    return replace(ram, available_bytes=more)


def _taken(machine: Machine, models: Sequence[LoadedModel]) -> Machine:
    """Return the machine with what `models` hold taken from its GPUs, the freest first."""
    gpus = list(machine.accelerators)
    for model in models:
        left = model.vram_bytes or 0
        while left > 0:
            free = {
                n: _free(gpu) for n, gpu in enumerate(gpus) if gpu.used_by_ollama and _free(gpu)
            }
            if not free:
                break
            place = max(free, key=lambda n: free[n])
            taken = min(free[place], left + overhead_bytes(gpus[place]))
            gpus[place] = replace(gpus[place], memory_free_bytes=free[place] - taken)
            left -= taken
    return replace(machine, accelerators=tuple(gpus))


def _free(gpu: Accelerator) -> int:
    free = gpu.memory_total_bytes if gpu.memory_free_bytes is None else gpu.memory_free_bytes
    return free or 0

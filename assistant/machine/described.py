"""From the words about a computer to a `Machine`: what was said, and what has to be assumed.

A stated figure wins over the device table. Everything that was not said and matters is
assumed by the rules of `memory_rules` and `stated_gpu`, and listed in `Machine.assumptions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from assistant.errors import MachineSpecError
from assistant.machine import ram_bandwidth
from assistant.machine.assignment import assign_amounts
from assistant.machine.memory_rules import assumed_ram_bytes, available_ram_bytes
from assistant.machine.records import Accelerator, Cpu, Machine, Ram
from assistant.machine.stated_gpu import (
    accelerators_of,
    generic_accelerators,
    gib_figure,
    size_label,
    unknown_mac,
)

if TYPE_CHECKING:
    from assistant.machine.assignment import Draft
    from assistant.machine.words import Words

_Source = Literal["table", "stated", "assumed"]
_ARM_CLASSES = ("cpu-arm", "jetson", "gb10")
_SERVER_CLASSES = ("nv-hbm", "amd-cdna")


def describe_machine(words: Words) -> Machine:
    """Return the machine that the words describe.

    Raises:
        MachineSpecError: the figures contradict each other or are absurd; the message names them.
    """
    draft = assign_amounts(words)
    _check_kinds(draft)
    accelerators = [one for card in draft.cards for one in accelerators_of(card, draft)]
    accelerators += generic_accelerators(draft)
    unified = draft.ram is not None and draft.ram.role == "unified"
    if (words.has("mac") or unified) and not accelerators and not words.cpus:
        accelerators = [unknown_mac(draft)]
    if draft.free_notes:
        free = " and ".join(dict.fromkeys(draft.free_notes))
        draft.notes.append(f"Free VRAM: {free}, as a desktop leaves it")
    ram = _ram(draft, accelerators)
    _note_cpu_only(draft, accelerators)
    return Machine(
        os=_system(words, accelerators),
        cpu=_cpu(draft, accelerators),
        ram=ram,
        accelerators=tuple(accelerators),
        assumptions=tuple(dict.fromkeys(draft.notes)),
        source="stated",
        unified_memory=any(a.kind == "unified" for a in accelerators),
    )


def _check_kinds(draft: Draft) -> None:
    """Raise MachineSpecError for cards that cannot be in the computer described."""
    graphics = [card for card in draft.cards if card.devices[0].kind != "cpu"]
    apple = [card for card in graphics if card.devices[0].vendor == "apple"]
    others = [card for card in graphics if card.devices[0].vendor != "apple"]
    if apple and others:
        raise MachineSpecError(
            f"A Mac with {apple[0].devices[0].name} cannot use the card {others[0].text!r}.",
            hint="Describe one of the two: M2 Max 32GB, or RTX 4090, 64GB RAM",
        )


def _note_cpu_only(draft: Draft, accelerators: list[Accelerator]) -> None:
    if accelerators:
        return
    if draft.words.has("integrated"):
        draft.notes.append("Integrated graphics: Ollama leaves them out and uses the CPU")
    elif not draft.words.has("cpu_only") and not draft.shares_memory:
        draft.notes.append("No graphics card was named: the CPU runs the model")


def _system(words: Words, accelerators: list[Accelerator]) -> str | None:
    if words.has("macos", "intel_mac") or any(a.vendor == "apple" for a in accelerators):
        return "macOS"
    return "Windows" if words.has("windows") else "Linux" if words.has("linux") else None


def _cpu(draft: Draft, accelerators: list[Accelerator]) -> Cpu:
    words = draft.words
    figures = {figure.kind: int(figure.value) for figure in words.figures}
    boards = [card.devices[0] for card in draft.cards if card.devices[0].kind == "cpu"]
    arm = (
        any(a.vendor == "apple" or a.device_class in _ARM_CLASSES for a in accelerators)
        or any(board.device_class in _ARM_CLASSES for board in boards)
        or any("snapdragon" in cpu.name for cpu in words.cpus)
    )
    named = [words.original[cpu.start : cpu.end].strip() for cpu in words.cpus]
    return Cpu(
        name=named[0] if named else boards[0].name if boards else None,
        physical_cores=figures.get("cores"),
        logical_cores=figures.get("threads"),
        architecture="arm64" if arm else "x86_64",
        device_class="cpu-arm" if arm else "cpu-x86",
    )


def _ram(draft: Draft, accelerators: list[Accelerator]) -> Ram:
    total = _total_ram(draft, accelerators)
    available = available_ram_bytes(total)
    if draft.ram_free is not None:
        available = draft.ram_free.size_bytes
        if available > total:
            raise MachineSpecError(
                f"{draft.ram_free.text!r} is more than the {size_label(total)} of RAM.",
                hint="Free memory cannot exceed the memory there is.",
            )
    bandwidth, source, memory = _ram_bandwidth(draft, accelerators)
    parts = [] if draft.ram is not None else [size_label(total)]
    if draft.ram_free is None:
        parts.append(f"{gib_figure(available)} of {gib_figure(total)} GiB available")
    if source == "assumed":
        parts.append(memory)
    if parts:
        draft.notes.append(f"RAM: {'; '.join(parts)}")
    return Ram(
        total_bytes=total,
        available_bytes=available,
        bandwidth_gb_per_s=bandwidth,
        bandwidth_source=source,
    )


def _total_ram(draft: Draft, accelerators: list[Accelerator]) -> int:
    if draft.ram is not None:
        return draft.ram.size_bytes * draft.ram.count
    boards = [card.devices[0] for card in draft.cards if card.devices[0].kind == "cpu"]
    sizes = [board.memory_options_bytes[0] for board in boards if board.memory_options_bytes]
    return sizes[0] if sizes else assumed_ram_bytes(accelerators)


def _ram_bandwidth(draft: Draft, accelerators: list[Accelerator]) -> tuple[float, _Source, str]:
    """Return the RAM's bandwidth, where it comes from, and what memory it stands for.

    A chip that shares the memory knows it best, then a stated bandwidth or kind of RAM, then
    the processor; else the usual modules are assumed.
    """
    words = draft.words
    stated = [figure.value for figure in words.figures if figure.kind == "bandwidth"]
    if stated:
        return stated[0], "stated", ""
    shared = [card.devices[0] for card in draft.cards if card.devices[0].kind != "discrete"]
    for accelerator in accelerators:
        if accelerator.kind != "discrete" and accelerator.bandwidth_gb_per_s:
            return accelerator.bandwidth_gb_per_s, "table", accelerator.name
    if shared:
        return shared[0].bandwidth_gb_per_s, "table", shared[0].name
    channels = next((kind.channels for kind in words.memory_kinds if kind.channels), None)
    for kind in words.memory_kinds:
        if kind.generation:
            found = ram_bandwidth.bandwidth_of_memory(kind.generation, kind.transfers, channels)
            return found.gb_per_s, "table" if kind.transfers else "assumed", found.memory
    for cpu in words.cpus:
        by_cpu = ram_bandwidth.bandwidth_of_cpu(cpu.name)
        if by_cpu is not None:
            return by_cpu.gb_per_s, "table", by_cpu.memory
    server = any(a.device_class in _SERVER_CLASSES for a in accelerators)
    usual = ram_bandwidth.USUAL_SERVER if server else ram_bandwidth.USUAL
    return usual.gb_per_s, "assumed", usual.memory

"""From the words about a computer to a `Machine`: what was said, and what has to be assumed.

A stated figure wins over the device table. Everything that was not said and matters is
assumed as documented at each function, and listed in `Machine.assumptions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from assistant.errors import MachineSpecError
from assistant.machine import ram_bandwidth
from assistant.machine.amounts import Amount
from assistant.machine.devices import Device, choose_version, load_devices, variants
from assistant.machine.memory_rules import (
    apple_working_set_bytes,
    assumed_ram_bytes,
    available_ram_bytes,
    cuda_unified_bytes,
    free_vram_bytes,
    ollama_backend,
    rocm_unified_bytes,
    used_by_ollama,
)
from assistant.machine.records import Accelerator, Cpu, Machine, Ram
from assistant.machine.words import Card, Words
from assistant.units import GIB

#: More than this is a slip of the keys: the largest servers have 32 TiB of RAM, the largest
#: rented GPU nodes about 2.3 TB of VRAM.
_MOST_RAM: Final = 64 * 1024 * GIB
_MOST_VRAM: Final = 16 * 1024 * GIB
_LEAST: Final = GIB // 4
_MOST_CARDS: Final = 128
#: A bare figure this many times a card's own memory is the computer's RAM ("RTX 3060 32GB").
_RAM_RATIO: Final = 2.5
_ABSURD_RATIO: Final = 8
_LARGEST_CONSUMER: Final = 48 * GIB
#: Bare figures that no usual graphics card has and that many computers have as RAM.
_RAM_SIZES: Final = tuple(size * GIB for size in (64, 128, 256, 512))
_DATA_CENTRE: Final = ("nv-hbm", "amd-cdna")


BandwidthSource = Literal["measured", "table", "stated", "assumed"]


@dataclass(slots=True)
class _Draft:
    """The machine while it is put together."""

    words: Words
    notes: list[str] = field(default_factory=list)
    free_notes: list[str] = field(default_factory=list)
    generic: list[Amount] = field(default_factory=list)
    generic_free: Amount | None = None
    ram: Amount | None = None
    ram_free: Amount | None = None


def describe_machine(words: Words) -> Machine:
    """Return the machine that the words describe.

    Raises:
        MachineSpecError: the figures contradict each other or are absurd; the message names them.
    """
    draft = _Draft(words)
    cards = _cards(draft)
    for amount in words.amounts:
        _check_amount(amount)
    _assign_amounts(draft, cards)
    accelerators = [a for card in cards for a in _accelerators_of_card(card, draft)]
    accelerators += _generic_accelerators(draft)
    return _finish(draft, cards, accelerators)


def _cards(draft: _Draft) -> list[Card]:
    cards = [card for card in draft.words.cards if not card.alternative]
    if draft.words.has("laptop"):
        for card in cards:
            _prefer_laptop(card, draft)
    for card in cards:
        _check_count(card.count, f"{card.count} x {card.text}")
    return cards


def _check_count(count: int, text: str) -> None:
    if not 1 <= count <= _MOST_CARDS:
        raise MachineSpecError(
            f"{text!r} is no number of cards a computer can have.",
            hint="Write for example: 2x RTX 3090, 64GB RAM",
        )


def _size(size_bytes: int) -> str:
    """Return a memory size as it is sold: `24 GB`, `2 TB`."""
    if size_bytes >= 1024 * GIB:
        return f"{size_bytes / (1024 * GIB):g} TB"
    return f"{size_bytes / GIB:g} GB"


def _prefer_laptop(card: Card, draft: _Draft) -> None:
    wanted = f"{card.devices[0].name.rsplit(' ', 1)[0]} Laptop"
    for name in (f"{card.devices[0].name} Laptop", wanted):
        found = [d for d in load_devices() if d.name == name]
        if found and card.devices[0].kind == "discrete":
            card.devices = tuple(found)
            draft.notes.append(f"{found[0].name}: the laptop version of the card")
            return


def _check_amount(amount: Amount) -> None:
    most = _MOST_RAM if amount.role in ("ram", "computer", "unified") else _MOST_VRAM
    if amount.role in ("disk", "other"):
        return
    if amount.size_bytes < _LEAST or amount.size_bytes * max(1, amount.count) > most:
        raise MachineSpecError(
            f"{amount.text!r} is no amount of memory a computer can have.",
            hint="Write for example: RTX 3060 12GB, 32GB RAM",
        )
    _check_count(amount.count, amount.text)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f}".removesuffix(".0")


def _assign_amounts(draft: _Draft, cards: list[Card]) -> None:
    """Give each amount to the card, to the RAM or to a card without a name."""
    shares_memory = any(card.devices[0].kind != "discrete" for card in cards)
    ordered = sorted(draft.words.amounts, key=lambda a: a.role is None and not a.free)
    for amount in ordered:
        if amount.role in ("disk", "other"):
            continue
        if amount.free:
            _assign_free(amount, draft, cards)
        elif amount.role in ("ram", "computer", "unified"):
            _set_ram(amount, draft)
        elif shares_memory and amount.role is None and _touches(amount, cards, draft.words.text) is None:
            _set_ram(amount, draft)
        else:
            _assign_vram(amount, draft, cards)


def _assign_vram(amount: Amount, draft: _Draft, cards: list[Card]) -> None:
    card = _touches(amount, cards, draft.words.text) or (
        next((c for c in cards if c.amount is None and c.devices[0].kind == "discrete"), None)
        if amount.role == "vram" or _is_version(amount, cards)
        else None
    )
    if card is not None and card.devices[0].kind != "discrete" and amount.role is None:
        _set_ram(amount, draft)
    elif card is not None and amount.role is None and _too_much_for(card, amount):
        draft.notes.append(f"{amount.text.strip()}: read as RAM, not as memory of the card")
        _set_ram(amount, draft)
    elif card is not None:
        card.amount = amount
    elif amount.role == "vram" or amount.count > 1:
        draft.generic.append(amount)
    elif cards or draft.ram is None and _is_ram_sized(amount, draft):
        _set_ram(amount, draft)
    else:
        if amount.role is None:
            draft.notes.append(f"{amount.text.strip()}: read as video memory (VRAM), not RAM")
        draft.generic.append(amount)


def _is_ram_sized(amount: Amount, draft: _Draft) -> bool:
    words = draft.words
    if words.has("cpu_only", "laptop", "mac", "intel_mac", "integrated", "computer") or words.cpus:
        return True
    if amount.size_bytes in _RAM_SIZES:
        draft.notes.append(f"{amount.text.strip()}: read as RAM")
        return True
    return False


def _assign_free(amount: Amount, draft: _Draft, cards: list[Card]) -> None:
    before = [c for c in cards if c.end <= amount.start] or cards
    ram_before = [a for a in draft.words.amounts if a.role == "ram" and a.end <= amount.start]
    nearest_is_ram = ram_before and (not before or ram_before[-1].start > before[-1].start)
    if amount.role == "ram" or (amount.role is None and nearest_is_ram):
        draft.ram_free = amount
    elif before:
        before[-1].free = amount
    else:
        draft.generic_free = amount


def _set_ram(amount: Amount, draft: _Draft) -> None:
    if draft.ram is None:
        draft.ram = amount
    elif draft.ram.size_bytes != amount.size_bytes:
        raise MachineSpecError(
            f"Two amounts of RAM are given: {draft.ram.text.strip()!r} and {amount.text.strip()!r}.",
            hint="Say which is video memory, for example: 12GB VRAM, 32GB RAM",
        )


def _touches(amount: Amount, cards: list[Card], text: str) -> Card | None:
    """Return the card that the amount stands beside: `RTX 3060 12GB`, `12gb 3060`."""
    return next((c for c in cards if c.amount is None and _beside(amount, c, text)), None)


def _beside(amount: Amount, card: Card, text: str) -> bool:
    joining = r"[\s(:,-]*" if amount.at_least else r"[\s(:-]*"
    joining += r"(?:(?:with|w|has|having|got|of|is|gpus?|graphics|cards?|edition|each|version|model|laptop|nvidia|amd)\b[\s(/:]*)*"
    if card.end <= amount.start:
        return re.fullmatch(joining, text[card.end : amount.start]) is not None
    between = text[amount.end : card.start]
    return re.fullmatch(r"[\s-]*(?:(?:of|nvidia|amd|geforce|vram)\s+)*", between) is not None


def _is_version(amount: Amount, cards: list[Card]) -> bool:
    return any(
        amount.size_bytes in device.memory_options_bytes
        for card in cards
        if card.amount is None
        for device in (*card.devices, *variants(card.text))
    )


def _too_much_for(card: Card, amount: Amount) -> bool:
    most = max((size for d in card.devices for size in d.memory_options_bytes), default=0)
    return not amount.at_least and most > 0 and amount.size_bytes > _RAM_RATIO * most


def _accelerators_of_card(card: Card, draft: _Draft) -> list[Accelerator]:
    device = _version(card, draft)
    if device.kind == "cpu":
        return []
    if device.kind != "discrete":
        return [_shared_accelerator(device, card, draft)]
    total = _stated_total(card, device, draft) or device.memory_bytes
    if total is None:
        raise MachineSpecError(f"How much memory {card.text!r} has is not known.")
    free = _free(card.free, total, device, draft)
    used = used_by_ollama(device)
    if not used:
        draft.notes.append(f"{device.name}: too old for Ollama's CUDA, so it is left out")
    one = Accelerator(
        name=device.name,
        vendor=device.vendor,
        kind="discrete",
        memory_total_bytes=total,
        memory_free_bytes=free,
        bandwidth_gb_per_s=device.bandwidth_gb_per_s,
        compute_capability=device.compute_capability or device.gfx,
        backend=ollama_backend(device),
        device_class=device.device_class,
        fp32_tflops=device.fp32_tflops,
        used_by_ollama=used,
    )
    return [one] * card.count


def _version(card: Card, draft: _Draft) -> Device:
    """Return the version of the named device that is meant, noting what had to be assumed."""
    amount = card.amount or (draft.ram if card.devices[0].kind != "discrete" else None)
    every = tuple(dict.fromkeys((*card.devices, *variants(card.text)))) if amount else card.devices
    every = tuple(d for d in every if d.kind == card.devices[0].kind)
    size = _each(amount, card, every) if amount is not None else None
    if amount is not None and amount.at_least:
        enough = [d for d in every if max(d.memory_options_bytes, default=0) >= amount.size_bytes]
        device = min(enough, key=lambda d: d.memory_options_bytes[0]) if enough else every[0]
    else:
        device = choose_version(every, size)
    others = sorted(
        {o.memory_bytes // GIB for o in variants(card.text) if o.memory_bytes}
        - {(device.memory_bytes or 0) // GIB}
    )
    guessed = amount is None or amount.at_least
    if guessed and others and device.memory_bytes:
        sizes = " or ".join(str(size) for size in others)
        draft.notes.append(
            f"{device.name}: the {device.memory_bytes // GIB} GB version (there is one with {sizes} GB)"
        )
    elif device.kind == "unified" and len(card.devices) > 1 and amount is None:
        draft.notes.append(f"{card.text}: taken for {device.name}, the smaller version")
    return device


def _each(amount: Amount, card: Card, devices: tuple[Device, ...]) -> int:
    """Return the memory of one card: a figure for all of them is shared out."""
    if card.count < 2 or amount is not card.amount:
        return amount.size_bytes
    sizes = {size for device in devices for size in device.memory_options_bytes}
    share = amount.size_bytes // card.count
    if amount.total or (amount.size_bytes not in sizes and share in sizes):
        return share
    return amount.size_bytes


def _stated_total(card: Card, device: Device, draft: _Draft) -> int | None:
    if card.amount is None or card.amount.at_least:
        return None
    total = _each(card.amount, card, (device, *card.devices, *variants(card.text)))
    usual = device.memory_bytes or total
    if total > _ABSURD_RATIO * usual:
        raise MachineSpecError(
            f"A {device.name} does not have {card.amount.text.strip()!r}; it has {usual // GIB} GB.",
            hint="Leave the memory out to use the card's own.",
        )
    if total not in {size for d in card.devices for size in d.memory_options_bytes} | {usual}:
        draft.notes.append(
            f"{device.name}: {total / GIB:g} GB as stated (it is sold with {usual // GIB} GB)"
        )
    return total


def _free(amount: Amount | None, total: int, device: Device | None, draft: _Draft) -> int:
    if amount is not None:
        if amount.size_bytes > total:
            raise MachineSpecError(
                f"{amount.text.strip()!r} is more than the {total / GIB:g} GB that the card has.",
                hint="Free memory cannot exceed the card's memory.",
            )
        return amount.size_bytes
    free = free_vram_bytes(total, ecc_on=device is not None and device.ecc_on)
    draft.free_notes.append(f"{_gib(free)} of {_gib(total)} GiB")
    return free


def _shared_accelerator(device: Device, card: Card, draft: _Draft) -> Accelerator:
    """Return the GPU side of a chip whose memory is the computer's."""
    ram = _unified_ram(device, card, draft)
    used = used_by_ollama(device)
    total: int | None = None
    free: int | None = None
    if device.vendor == "apple":
        total = free = apple_working_set_bytes(ram)
        draft.notes.append(
            f"{device.name}: macOS lets the GPU use {_gib(total)} of {_gib(ram)} GiB"
        )
    elif device.vendor == "nvidia":
        total = cuda_unified_bytes(ram)
        free = min(total, available_ram_bytes(ram))
    elif used:
        total = card.amount.size_bytes if card.amount else rocm_unified_bytes(ram)
        free = min(total, available_ram_bytes(ram))
        if card.amount is None:
            draft.notes.append(
                f"{device.name}: {_gib(total)} of {_gib(ram)} GiB for the GPU, Linux's default;"
                " it can be set higher"
            )
    else:
        draft.notes.append(f"{device.name}: Ollama leaves integrated graphics out and uses the CPU")
    if card.free is not None and total is not None:
        free = _free(card.free, total, device, draft)
    return Accelerator(
        name=device.name,
        vendor=device.vendor,
        kind="integrated" if device.kind == "integrated" else "unified",
        memory_total_bytes=total,
        memory_free_bytes=free,
        bandwidth_gb_per_s=device.bandwidth_gb_per_s,
        compute_capability=device.compute_capability or device.gfx,
        backend=ollama_backend(device),
        device_class=device.device_class,
        fp32_tflops=device.fp32_tflops,
        used_by_ollama=used,
    )


def _unified_ram(device: Device, card: Card, draft: _Draft) -> int:
    if draft.ram is not None:
        return draft.ram.size_bytes
    size = device.memory_options_bytes[0] if device.memory_options_bytes else 16 * GIB
    if card.amount is not None and card.amount.size_bytes > size:
        larger = [s for s in device.memory_options_bytes if s > card.amount.size_bytes]
        size = larger[0] if larger else card.amount.size_bytes + 4 * GIB
    which = "as it is sold" if len(device.memory_options_bytes) == 1 else "the usual least"
    draft.ram = Amount(size, "", 0, 0, role="ram")
    draft.notes.append(f"{device.name}: {size // GIB} GB of memory, {which}")
    return size


def _generic_accelerators(draft: _Draft) -> list[Accelerator]:
    """Return a card for each amount of VRAM without a name.

    Taken for an NVIDIA card of compute capability 8.6 with CUDA, and the median bandwidth of
    the table's consumer cards of nearly that size (Turing and newer).
    """
    found: list[Accelerator] = []
    named = [int(f.value) for f in draft.words.figures if f.kind == "cards"]
    for amount in draft.generic:
        count = amount.count if amount.count > 1 or not named else named[0]
        _check_count(count, f"{count} GPUs")
        size = amount.size_bytes // count if amount.total else amount.size_bytes
        bandwidth = typical_bandwidth(size)
        large = size > _LARGEST_CONSUMER
        found += [
            Accelerator(
                name=f"GPU with {_size(size)}",
                vendor="nvidia",
                kind="discrete",
                memory_total_bytes=size,
                memory_free_bytes=_free(draft.generic_free, size, None, draft),
                bandwidth_gb_per_s=bandwidth,
                compute_capability="8.0" if large else "8.6",
                backend="cuda",
                device_class="nv-hbm" if large else "nv-ampere",
            )
        ] * count
        draft.notes.append(
            f"The card: NVIDIA, with CUDA and {bandwidth:g} GB/s,"
            f" the middle of cards of about {_size(size)}"
        )
    return found


def typical_bandwidth(size_bytes: int) -> float:
    """Return the median bandwidth in GB/s of the discrete cards nearest to this size.

    Desktop and workstation cards since Turing, RDNA 2 and Arc; above 48 GB, data-centre cards
    count too. The nine nearest in memory size are taken, so that every size has an answer.
    """
    classes = ("nv-turing", "nv-ampere", "nv-ada", "nv-blackwell", "amd-rdna2", "amd-rdna3",
               "amd-rdna4", "intel-arc") + (("nv-hbm", "amd-cdna") if size_bytes > 48 * GIB else ())  # fmt: skip
    cards = [d for d in load_devices() if d.device_class in classes and d.memory_bytes]
    cards.sort(key=lambda d: abs((d.memory_bytes or 0) - size_bytes))
    nearest = [abs((d.memory_bytes or 0) - size_bytes) for d in cards][:9][-1]
    chosen = [d for d in cards if abs((d.memory_bytes or 0) - size_bytes) <= nearest]
    return float(round(median(d.bandwidth_gb_per_s for d in chosen)))


def _finish(draft: _Draft, cards: list[Card], accelerators: list[Accelerator]) -> Machine:
    words = draft.words
    shared = any(a.kind == "unified" for a in accelerators)
    if words.has("mac") and not accelerators and not words.cpus:
        accelerators, shared = [_unknown_mac(draft)], True
    if draft.free_notes:
        free = " and ".join(dict.fromkeys(draft.free_notes))
        draft.notes.append(f"Free VRAM: {free}, as a desktop leaves it")
    ram = _ram(draft, cards, accelerators)
    if not accelerators and not words.has("cpu_only") and not any(
        c.devices[0].kind == "cpu" for c in cards
    ):
        draft.notes.append("No graphics card was named: the CPU runs the model")
    if words.has("integrated") and not accelerators:
        draft.notes.append("Integrated graphics: Ollama leaves them out and uses the CPU")
    apple = any(a.vendor == "apple" for a in accelerators)
    return Machine(
        os="macOS" if apple or words.has("macos", "intel_mac") else _system(words),
        cpu=_cpu(words, cards, apple=apple),
        ram=ram,
        accelerators=tuple(accelerators),
        assumptions=tuple(dict.fromkeys(draft.notes)),
        source="stated",
        unified_memory=shared,
    )


def _unknown_mac(draft: _Draft) -> Accelerator:
    """Return the slowest Apple chip that is sold with this much memory."""
    chips = [d for d in load_devices() if d.vendor == "apple" and d.kind == "unified"]
    ram = draft.ram.size_bytes if draft.ram else 8 * GIB
    sold = [d for d in chips if ram in d.memory_options_bytes] or chips
    device = min(sold, key=lambda d: d.bandwidth_gb_per_s)
    draft.notes.append(f"A Mac of unknown chip: taken for an {device.name}, the slowest such one")
    card = Card(devices=(device,), text=device.name, start=0, end=0)
    return _shared_accelerator(device, card, draft)


def _system(words: Words) -> str | None:
    return "Windows" if words.has("windows") else "Linux" if words.has("linux") else None


def _cpu(words: Words, cards: list[Card], *, apple: bool) -> Cpu:
    figures = {figure.kind: int(figure.value) for figure in words.figures}
    boards = [c.devices[0] for c in cards if c.devices[0].kind == "cpu"]
    arm = apple or any(b.device_class == "cpu-arm" for b in boards) or any(
        a.devices[0].device_class in ("jetson", "gb10") for a in cards
    )
    name = words.text[words.cpus[0].start : words.cpus[0].end].strip() if words.cpus else None
    return Cpu(
        name=_spelled(words, name) if name else boards[0].name if boards else None,
        physical_cores=figures.get("cores"),
        logical_cores=figures.get("threads"),
        architecture="arm64" if arm else "x86_64",
        device_class="cpu-arm" if arm else "cpu-x86",
    )


def _spelled(words: Words, name: str) -> str:
    at = words.text.find(name)
    return words.original[at : at + len(name)] if at >= 0 else name


def _ram(draft: _Draft, cards: list[Card], accelerators: list[Accelerator]) -> Ram:
    if draft.ram is not None:
        total = draft.ram.size_bytes * draft.ram.count
    else:
        boards = [c.devices[0] for c in cards if c.devices[0].kind == "cpu"]
        sizes = [d.memory_options_bytes[0] for d in boards if d.memory_options_bytes]
        total = sizes[0] if sizes else assumed_ram_bytes(accelerators)
    available = available_ram_bytes(total)
    if draft.ram_free is not None:
        available = draft.ram_free.size_bytes
        if available > total:
            raise MachineSpecError(
                f"{draft.ram_free.text.strip()!r} is more than the {total / GIB:g} GB of RAM.",
                hint="Free memory cannot exceed the memory there is.",
            )
    bandwidth, source, memory = _ram_bandwidth(draft, cards, accelerators)
    _note_ram(draft, total, available, memory if source == "assumed" else "")
    return Ram(
        total_bytes=total,
        available_bytes=available,
        bandwidth_gb_per_s=bandwidth,
        bandwidth_source=source,
    )


def _note_ram(draft: _Draft, total: int, available: int, memory: str) -> None:
    """List in one sentence what was assumed about the RAM."""
    parts = [] if draft.ram is not None else [_size(total)]
    if draft.ram_free is None:
        parts.append(f"{_gib(available)} of {_gib(total)} GiB available")
    if memory:
        parts.append(memory)
    if parts:
        draft.notes.append(f"RAM: {'; '.join(parts)}")


def _ram_bandwidth(
    draft: _Draft, cards: list[Card], accelerators: list[Accelerator]
) -> tuple[float, BandwidthSource, str]:
    """Return the RAM's bandwidth, where it comes from, and what memory it stands for."""
    words = draft.words
    stated = [f.value for f in words.figures if f.kind == "bandwidth"]
    if stated:
        return stated[0], "stated", ""
    shared = [d for card in cards if (d := card.devices[0]).kind != "discrete"]
    chip = next((a for a in accelerators if a.kind != "discrete" and a.bandwidth_gb_per_s), None)
    if chip is not None and chip.bandwidth_gb_per_s:
        return chip.bandwidth_gb_per_s, "table", chip.name
    if shared:
        return shared[0].bandwidth_gb_per_s, "table", shared[0].name
    channels = next((k.channels for k in words.memory_kinds if k.channels), None)
    for kind in words.memory_kinds:
        if kind.generation:
            found = ram_bandwidth.bandwidth_of_memory(kind.generation, kind.transfers, channels)
            source: BandwidthSource = "table" if kind.transfers else "assumed"
            return found.gb_per_s, source, found.memory
    for cpu in words.cpus:
        by_cpu = ram_bandwidth.bandwidth_of_cpu(cpu.name)
        if by_cpu is not None:
            return by_cpu.gb_per_s, "table", by_cpu.memory
    server = any(a.device_class in _DATA_CENTRE for a in accelerators)
    usual = ram_bandwidth.USUAL_SERVER if server else ram_bandwidth.USUAL
    return usual.gb_per_s, "assumed", usual.memory

"""The accelerators of a described machine: from a card's name and memory to its figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypedDict

from assistant.errors import MachineSpecError
from assistant.machine.amounts import Amount
from assistant.machine.assignment import check_count
from assistant.machine.devices import choose_version, load_devices, variants
from assistant.machine.memory_rules import (
    apple_working_set_bytes,
    available_ram_bytes,
    cuda_unified_bytes,
    free_vram_bytes,
    ollama_backend,
    rocm_unified_bytes,
    used_by_ollama,
)
from assistant.machine.records import Accelerator
from assistant.machine.words import Card
from assistant.units import GIB

if TYPE_CHECKING:
    from assistant.machine.assignment import Draft
    from assistant.machine.devices import Device
    from assistant.machine.records import Backend, Vendor
    from assistant.machine.words import Words

#: Twice this is beyond every modified card (RTX 2080 Ti with 22 GB, RTX 4090 with 48 GB).
_ABSURD_RATIO: Final = 4
_LARGEST_CONSUMER: Final = 48 * GIB
_UNKNOWN_UNIFIED: Final = 16 * GIB
_NEAREST: Final = 9
#: Desktop and workstation cards since Turing, RDNA 2 and Arc.
_CONSUMER: Final = (
    "nv-turing", "nv-ampere", "nv-ada", "nv-blackwell", "amd-rdna2", "amd-rdna3", "amd-rdna4",
    "intel-arc",
)  # fmt: skip
_DATA_CENTRE: Final = ("nv-hbm", "amd-cdna")


def accelerators_of(card: Card, draft: Draft) -> list[Accelerator]:
    """Return the accelerators a named card stands for; none for a board without a GPU.

    Raises:
        MachineSpecError: the stated memory is not one that the card can have.
    """
    device = _version(card, draft)
    if device.kind == "cpu":
        return []
    if device.kind != "discrete":
        return [shared_accelerator(device, card, draft)]
    total = _stated_total(card, device, draft) or device.memory_bytes or 0
    used = used_by_ollama(device)
    if not used:
        draft.notes.append(f"{device.name}: too old for Ollama's CUDA, so it is left out")
    one = Accelerator(
        name=device.name,
        vendor=device.vendor,
        kind="discrete",
        memory_total_bytes=total,
        memory_free_bytes=_free(card.free, total, draft, device=device),
        bandwidth_gb_per_s=device.bandwidth_gb_per_s,
        compute_capability=device.compute_capability or device.gfx,
        backend=ollama_backend(device),
        device_class=device.device_class,
        fp32_tflops=device.fp32_tflops,
        used_by_ollama=used,
    )
    return [one] * card.count


def shared_accelerator(device: Device, card: Card, draft: Draft) -> Accelerator:
    """Return the GPU side of a chip whose memory is the computer's."""
    ram = _unified_ram(device, card, draft)
    total, note = _shared_total(device, card, ram)
    if note:
        draft.notes.append(f"{device.name}: {note}")
    free = total
    if total is not None and device.vendor != "apple":
        free = min(total, available_ram_bytes(ram))
    if card.free is not None and total is not None:
        free = _free(card.free, total, draft)
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
        used_by_ollama=used_by_ollama(device),
    )


def generic_accelerators(draft: Draft) -> list[Accelerator]:
    """Return a card for each amount of VRAM without a name.

    It is taken for an NVIDIA card with CUDA, of compute capability 8.6 (8.0 above 48 GB), or for
    one of the maker that is named, with the bandwidth that is in the middle of the maker's cards
    of about that size.
    """
    named = [int(figure.value) for figure in draft.words.figures if figure.kind == "cards"]
    vendor, said = _maker(draft.words)
    found: list[Accelerator] = []
    for amount in draft.generic:
        count = amount.count if amount.count > 1 or not named else named[0]
        check_count(count, f"{count} GPUs")
        size = amount.size_bytes // count if amount.total else amount.size_bytes
        bandwidth = typical_bandwidth(size, vendor=vendor if said else None)
        draft.notes.append(
            f"The card: {'' if said else 'NVIDIA, with CUDA and '}{bandwidth:g} GB/s,"
            f" the middle of cards of about {size_label(size)}"
        )
        one = Accelerator(
            name=f"{said + ' ' if said else ''}GPU with {size_label(size)}",
            kind="discrete",
            memory_total_bytes=size,
            memory_free_bytes=_free(draft.generic_free, size, draft),
            bandwidth_gb_per_s=bandwidth,
            vendor=vendor,
            **_generic_platform(vendor, large=size > _LARGEST_CONSUMER),
        )
        found += [one] * count
    return found


class _Platform(TypedDict):
    compute_capability: str | None
    backend: Backend
    device_class: str


def _generic_platform(vendor: Vendor, *, large: bool) -> _Platform:
    """Return what a card without a name is run with: that of each maker's common generation."""
    if vendor == "amd":
        name = "amd-cdna" if large else "amd-rdna3"
        return _Platform(compute_capability=None, backend="rocm", device_class=name)
    if vendor == "intel":
        return _Platform(compute_capability=None, backend="vulkan", device_class="intel-arc")
    name, capability = ("nv-hbm", "8.0") if large else ("nv-ampere", "8.6")
    return _Platform(compute_capability=capability, backend="cuda", device_class=name)


def _maker(words: Words) -> tuple[Vendor, str]:
    """Return the maker named in the text outside a processor's name, and its name as printed."""
    text = words.text
    for cpu in words.cpus:
        text = text.replace(cpu.name, " ")
    if re.search(r"\b(?:nvidia|geforce|rtx|gtx|cuda)\b", text):
        return "nvidia", "NVIDIA"
    if re.search(r"\b(?:amd|radeon|rocm)\b", text):
        return "amd", "AMD"
    if re.search(r"\bintel arc\b|\barc\b", text):
        return "intel", "Intel"
    return "nvidia", ""


def unknown_mac(draft: Draft) -> Accelerator:
    """Return the slowest Apple chip that is sold with the memory of a Mac without a chip name."""
    chips = [d for d in load_devices() if d.vendor == "apple" and d.kind == "unified"]
    ram = draft.ram.size_bytes if draft.ram else 8 * GIB
    sold = [d for d in chips if ram in d.memory_options_bytes] or chips
    device = min(sold, key=lambda d: d.bandwidth_gb_per_s)
    draft.notes.append(f"A Mac of unknown chip: taken for an {device.name}, the slowest such one")
    return shared_accelerator(
        device, Card(devices=(device,), text=device.name, start=0, end=0), draft
    )


def typical_bandwidth(size_bytes: int, *, vendor: Vendor | None = None) -> float:
    """Return the median bandwidth in GB/s of the cards nearest to this memory size.

    Consumer and workstation cards (of one maker, if named); above 48 GB data-centre cards too.
    The nine nearest in size, with those at the same distance as the ninth, so that every size
    has an answer.
    """
    classes = _CONSUMER + (_DATA_CENTRE if size_bytes > _LARGEST_CONSUMER else ())
    distances = sorted(
        (abs(device.memory_bytes - size_bytes), device.bandwidth_gb_per_s)
        for device in load_devices()
        if device.device_class in classes
        and device.memory_bytes
        and vendor in (None, device.vendor)
    )
    farthest = distances[_NEAREST - 1][0]
    near = sorted(bandwidth for distance, bandwidth in distances if distance <= farthest)
    return float(round((near[(len(near) - 1) // 2] + near[len(near) // 2]) / 2))


def size_label(size_bytes: int) -> str:
    """Return a memory size as it is sold: `24 GB`, `2 TB`."""
    if size_bytes >= 1024 * GIB:
        return f"{round(size_bytes / (1024 * GIB), 2):g} TB"
    return f"{size_bytes / GIB:g} GB"


def gib_figure(size_bytes: int) -> str:
    """Return GiB without the unit, for sentences that name it once: `11.3`, `16`."""
    return f"{size_bytes / GIB:.1f}".removesuffix(".0")


def _version(card: Card, draft: Draft) -> Device:
    """Return the version of the named device that is meant, noting what had to be assumed."""
    shares = card.devices[0].kind != "discrete"
    amount = card.amount or (draft.ram if shares else None)
    if amount is None:
        _note_version(card, card.devices[0], draft)
        return card.devices[0]
    versions = card.devices
    size = _each(amount, card, versions)
    if amount.at_least:
        versions = (
            tuple(d for d in versions if max(d.memory_options_bytes, default=0) >= size) or versions
        )
    if card.devices[0].memory_bytes == size:
        return card.devices[0]
    return choose_version(versions, size)


def _note_version(card: Card, device: Device, draft: Draft) -> None:
    if device.kind == "discrete" and device.memory_bytes:
        sizes = {other.memory_bytes // GIB for other in variants(card.text) if other.memory_bytes}
        sizes |= {size // GIB for size in device.memory_options_bytes}
        others = sorted(sizes - {device.memory_bytes // GIB})
        if others:
            draft.notes.append(
                f"{device.name}: the {device.memory_bytes // GIB} GB version (there is one with"
                f" {' or '.join(map(str, others))} GB)"
            )
    elif device.kind == "unified" and len(card.devices) > 1:
        draft.notes.append(f"{card.text}: taken for {device.name}, the smaller version")


def _each(amount: Amount, card: Card, devices: tuple[Device, ...]) -> int:
    """Return the memory of one card: a figure for all of them is shared out."""
    if card.count == 1 or amount is not card.amount:
        return amount.size_bytes
    sizes = {size for device in devices for size in device.memory_options_bytes}
    share = amount.size_bytes // card.count
    if amount.total or (amount.size_bytes not in sizes and share in sizes):
        return share
    return amount.size_bytes


def _stated_total(card: Card, device: Device, draft: Draft) -> int | None:
    if card.amount is None:
        return None
    versions = (device, *card.devices, *variants(card.text))
    total = _each(card.amount, card, versions)
    sizes = {size for version in versions for size in version.memory_options_bytes}
    if total > _ABSURD_RATIO * max(sizes):
        raise MachineSpecError(
            f"No {device.name} has {card.amount.text!r}; it is sold with {_sold(sizes)}.",
            hint="Leave the memory out to use the card's own.",
        )
    if total not in sizes:
        draft.notes.append(
            f"{device.name}: {size_label(total)} as stated; it is sold with {_sold(sizes)}"
        )
    return total


def _sold(sizes: set[int]) -> str:
    return " or ".join(f"{size // GIB}" for size in sorted(sizes)) + " GB"


def _free(amount: Amount | None, total: int, draft: Draft, *, device: Device | None = None) -> int:
    if amount is None:
        free = free_vram_bytes(
            total,
            ecc_on=device is not None and device.ecc_on,
            laptop=device is not None and "Laptop" in device.name,
        )
        draft.free_notes.append(f"{gib_figure(free)} of {gib_figure(total)} GiB")
        return free
    if amount.size_bytes > total:
        raise MachineSpecError(
            f"{amount.text!r} is more than the {size_label(total)} that the card has.",
            hint="Free memory cannot exceed the card's memory.",
        )
    return amount.size_bytes


def _shared_total(device: Device, card: Card, ram: int) -> tuple[int | None, str]:
    """Return what the GPU of a shared memory can have, and a sentence for the assumptions."""
    if not used_by_ollama(device):
        return None, "Ollama leaves integrated graphics out and uses the CPU"
    if card.amount is not None:
        return card.amount.size_bytes, ""
    if device.vendor == "apple":
        total = apple_working_set_bytes(ram)
        return total, f"macOS lets the GPU use {gib_figure(total)} of {gib_figure(ram)} GiB"
    if device.vendor == "nvidia":
        total = cuda_unified_bytes(ram)
        return total, f"CUDA reports {gib_figure(total)} of {gib_figure(ram)} GiB"
    total = rocm_unified_bytes(ram)
    share = f"{gib_figure(total)} of {gib_figure(ram)} GiB for the GPU"
    return total, f"{share}, Linux's default; it can be set higher"


def _unified_ram(device: Device, card: Card, draft: Draft) -> int:
    stated = card.amount.size_bytes if card.amount is not None else 0
    if draft.ram is not None:
        if stated > draft.ram.size_bytes:
            raise MachineSpecError(
                f"The GPU of a {device.name} cannot have more than the computer's memory.",
                hint="Write for example: M2 Max 32GB",
            )
        return draft.ram.size_bytes
    options = device.memory_options_bytes or (_UNKNOWN_UNIFIED,)
    larger = [size for size in sorted(options) if size > stated]
    size = options[0] if not stated else larger[0] if larger else stated + 4 * GIB
    which = "as it is sold" if len(options) == 1 else "which was not stated"
    draft.ram = Amount(size, "", 0, 0, role="ram")
    draft.notes.append(f"{device.name}: {size_label(size)} of memory, {which}")
    return size

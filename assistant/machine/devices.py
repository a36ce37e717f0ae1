"""Facts about GPUs, SoCs and memory systems: memory, bandwidth, architecture.

The table is `data/devices.json`, built by `scripts/build_devices.py` from published
specifications; `devices.schema.json` beside it describes the fields. It is read once, when
first asked for. Memory is bytes, bandwidth is the theoretical peak in GB/s.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from assistant.machine.device_names import BRAND_WORDS, AliasHit, find_aliases, tokenize
from assistant.machine.records import Vendor
from assistant.units import GIB

DEVICES_FILE: Final = Path(__file__).parent / "data" / "devices.json"

DeviceKind = Literal["discrete", "integrated", "unified", "cpu"]


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, SoC or memory system of the table.

    `memory_bytes` is the memory of a discrete card and None for what shares the system's;
    `memory_options_bytes` are the sizes it is sold with, the usual one first. `gfx` is AMD's
    architecture id. `usual` is False for a version (`RTX 3060 8GB`) that a name without a
    memory size does not mean. `ecc_on` says that 1/16 of the memory is taken by ECC.
    `confidence` is how well independent tables agree: high, checked, single source, disputed.
    """

    name: str
    vendor: Vendor
    kind: DeviceKind
    memory_bytes: int | None
    memory_options_bytes: tuple[int, ...]
    bandwidth_gb_per_s: float
    compute_capability: str | None
    gfx: str | None
    architecture: str | None
    device_class: str
    backends: tuple[str, ...]
    fp32_tflops: float | None
    ecc_on: bool
    usual: bool
    confidence: str
    notes: str | None
    aliases: tuple[str, ...]


class _Table(NamedTuple):
    as_of: str
    devices: tuple[Device, ...]
    aliases: dict[tuple[str, ...], tuple[int, ...]]
    longest: int


def load_devices() -> tuple[Device, ...]:
    """Return every device of the table (read from disk once)."""
    return _table().devices


def devices_as_of() -> str:
    """Return the date of the device facts, `YYYY-MM-DD`."""
    return _table().as_of


def find_device(
    name: str, memory_bytes: int | None = None, *, accept_cpu: bool = True
) -> Device | None:
    """Return the device that a driver, or a person, calls `name`; None when it is not known.

    `memory_bytes` (of the card, or of the whole system where memory is shared) tells versions
    of the same name apart; without it a size in the name does, else the usual version is
    returned. When the text names several devices (`RX 7900 XT/7900 XTX/7900 GRE`, as lspci
    does), the memory decides among all of them. With `accept_cpu` False, rows that describe
    a processor and its memory are left out.
    """
    hits = find_device_hits(name)
    candidates = [device for hit in hits for device in hit_devices(hit)]
    if not accept_cpu:
        candidates = [device for device in candidates if device.kind != "cpu"]
    if not candidates:
        return None
    if memory_bytes is None:
        candidates = [d for d in candidates if d in hit_devices(hits[0])] or candidates
        memory_bytes = _size_in(name)
    if re.search(r"\b(?:laptop|mobile|max-?q)\b", name.lower()):
        candidates = list(laptop_versions(candidates)) or candidates
    return choose_version(candidates, memory_bytes)


def laptop_versions(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return the laptop cards of the same names; empty when there are none of their own."""
    wanted = {
        re.sub(r"( \d+GB)?( Laptop)?$", " Laptop", device.name, count=1) for device in devices
    }
    return tuple(device for device in load_devices() if device.name in wanted)


def find_device_hits(text: str) -> list[AliasHit]:
    """Return the places in `text` where a device of the table is named."""
    table = _table()
    return find_aliases(tokenize(text), table.aliases, longest=table.longest)


def hit_devices(hit: AliasHit) -> tuple[Device, ...]:
    """Return the devices that a name found in a text may mean, the usual one first."""
    devices = _table().devices
    return tuple(devices[index] for index in hit.devices)


def choose_version(candidates: Sequence[Device], memory_bytes: int | None) -> Device:
    """Return the candidate whose memory is nearest to `memory_bytes`; the first one when None."""
    if memory_bytes is None or memory_bytes <= 0:
        return candidates[0]

    def distance(device: Device) -> float:
        sizes = device.memory_options_bytes
        return min((abs(math.log(memory_bytes / size)) for size in sizes), default=math.inf)

    return min(candidates, key=distance)


def variants(name: str) -> tuple[Device, ...]:
    """Return the versions of a device that share its name, the usual one first.

    `RTX 3060` gives the 12 GB and the 8 GB card, `A100` those with 80 and with 40 GB.
    A name of one device, or of none, gives a tuple of one, or an empty one.
    """
    hits = find_device_hits(name)
    if not hits:
        return ()
    found = hit_devices(hits[0])
    shared = [d for alias in found[0].aliases for d in _devices_called(alias)]
    family = [d for d in dict.fromkeys((*found, *shared)) if d.kind == found[0].kind]
    return tuple(family)


def near_devices(text: str, *, limit: int = 3) -> tuple[str, ...]:
    """Return names of devices that look like `text`, nearest first, for a did-you-mean."""
    from difflib import SequenceMatcher

    wanted = " ".join(t.text for t in tokenize(text) if t.text not in BRAND_WORDS)
    digits = sorted(c for c in wanted if c.isdigit())
    if not wanted:
        return ()
    scored: dict[str, float] = {}
    matcher = SequenceMatcher(None, b=wanted)
    for device in load_devices():
        for alias in device.aliases if device.kind != "cpu" else ():
            same_digits = digits and digits == sorted(c for c in alias if c.isdigit())
            bonus = _SAME_DIGITS if same_digits else 0.0
            matcher.set_seq1(alias)
            if matcher.quick_ratio() + bonus >= _NEAR_ENOUGH:
                score = matcher.ratio() + bonus
                scored[device.name] = max(score, scored.get(device.name, 0.0))
    best = sorted(scored.items(), key=lambda item: (-item[1], item[0]))
    return tuple(name for name, score in best[:limit] if score >= _NEAR_ENOUGH)


_SAME_DIGITS: Final = 0.15
_NEAR_ENOUGH: Final = 0.72


def _devices_called(alias: str) -> tuple[Device, ...]:
    table = _table()
    found = table.aliases.get(tuple(alias.split()), ())
    return tuple(table.devices[index] for index in found) if len(found) > 1 else ()


def _size_in(name: str) -> int | None:
    match = re.search(r"(\d+)\s*gi?b\b", name.lower())
    return int(match[1]) * GIB if match else None


@cache
def _table() -> _Table:
    data = json.loads(DEVICES_FILE.read_text(encoding="utf-8"))
    devices = tuple(_device(row) for row in data["devices"])
    indices: dict[tuple[str, ...], list[int]] = {}
    for index, device in enumerate(devices):
        for alias in device.aliases:
            indices.setdefault(tuple(alias.split()), []).append(index)

    def order(index: int) -> tuple[bool, int]:
        sizes = devices[index].memory_options_bytes
        return not devices[index].usual, sizes[0] if sizes else 0

    aliases = {words: tuple(sorted(found, key=order)) for words, found in indices.items()}
    return _Table(
        as_of=data["as_of"],
        devices=devices,
        aliases=aliases,
        longest=max(len(words) for words in aliases),
    )


def _device(row: dict[str, Any]) -> Device:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Device(**values)

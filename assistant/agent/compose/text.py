"""Small pieces of Markdown that every answer is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assistant.fit.records import FitEstimate, SpeedRange
from assistant.machine.records import Accelerator, Machine
from assistant.units import GIB, gib

_REBUILT = "tensor sizes rebuilt from the architecture and the size of the file"
"""True of nearly every catalog estimate: the JSON keeps it, the text does not repeat it."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "") -> str:
    """Return a Markdown table; `right` names the columns (by index digit) set to the right."""
    lines = [
        "| " + " | ".join(header) + " |",
        "|" + "|".join("---:" if str(i) in right else "---" for i in range(len(header))) + "|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def bullets(items: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {item}" for item in items)


def paragraphs(*parts: str | None) -> str:
    """Join the parts that say something with blank lines between them."""
    return "\n\n".join(part.strip() for part in parts if part and part.strip())


def join_words(words: Sequence[str], last: str = "and") -> str:
    """Return `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def sentence(text: str) -> str:
    """Return `text` with a capital first letter and a full stop."""
    text = text.strip()
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?:" else text + "."


def assumed(items: Iterable[str]) -> str | None:
    """Return the one line of assumptions, or None when there are none."""
    kept = list(dict.fromkeys(item.strip().rstrip(".") for item in items if item.strip()))
    kept = [item for item in kept if item != _REBUILT]
    return f"Assumed: {'; '.join(kept)}." if kept else None


def speed_range(speed: SpeedRange | None) -> str:
    """Return `18 to 34 tokens/s`, or `unknown`."""
    if speed is None:
        return "unknown"
    low, high = _speed(speed.low), _speed(speed.high)
    return f"{low} tokens/s" if low == high else f"{low} to {high} tokens/s"


def short_speed(speed: SpeedRange | None) -> str:
    """Return `18-34 t/s` for a table cell, or `-`."""
    if speed is None:
        return "-"
    low, high = _speed(speed.low), _speed(speed.high)
    return f"{low} t/s" if low == high else f"{low}-{high} t/s"


def _speed(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def model_label(estimate: FitEstimate) -> str:
    """Return `llama3.1:8b at Q8_0`."""
    if estimate.quantization is None:
        return f"`{estimate.resolved}`"
    return f"`{estimate.resolved}` ({estimate.quantization})"


def gpu_label(machine: Machine) -> str:
    """Return the words for the accelerators that count: `the RTX 3060`, `the 2 RTX 3090 cards`."""
    used = machine.usable_accelerators
    if not used:
        return "this machine without a usable GPU"
    if len(used) == 1:
        return f"the {_short_name(used[0])}"
    if len({a.name for a in used}) == 1:
        return f"the {len(used)} {_short_name(used[0])} cards"
    return "the " + join_words([_short_name(a) for a in used])


def memory_label(machine: Machine) -> str:
    """Return `11.3 GiB free of 12 GiB` for the accelerators, or the RAM without any."""
    used = machine.usable_accelerators
    if used:
        total = sum(a.memory_total_bytes or 0 for a in used)
        free = sum(a.memory_free_bytes or a.memory_total_bytes or 0 for a in used)
        return f"{gib(free)} free of {total / GIB:.0f} GiB"
    if machine.ram.total_bytes:
        available = machine.ram.available_bytes or machine.ram.total_bytes
        return f"{gib(available)} of {machine.ram.total_bytes / GIB:.0f} GiB RAM available"
    return "an unknown amount of memory"


def _short_name(accelerator: Accelerator) -> str:
    name = accelerator.name
    for prefix in ("NVIDIA GeForce ", "NVIDIA ", "AMD Radeon ", "AMD ", "Intel(R) ", "Intel "):
        name = name.removeprefix(prefix)
    return name

"""Reading what people write about a computer.

`parse_machine` takes the words of `--machine SPEC` and understands all of them or none;
`find_machine` looks for a machine inside a question and leaves the rest alone;
`load_machine` takes either a file written by `assistant hardware --json` or such words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.errors import FileProblemError, MachineSpecError

if TYPE_CHECKING:
    from assistant.machine.records import Machine

_EXAMPLE: Final = 'Write for example: "RTX 3060 12GB, 32GB RAM", "8GB VRAM" or "M2 Max 32GB".'
_LONGEST: Final = 1000
_LARGEST_FILE: Final = 4 * 1024 * 1024
_SHOWN: Final = 200


def parse_machine(text: str) -> Machine:
    """Return the machine described by the words of `--machine SPEC`.

    `"8GB VRAM"`, `"2x RTX 3090, 64GB RAM"`, `"M2 Max 32GB"`, `"CPU only, 16GB RAM"`. What the
    words leave open is assumed and listed in `assumptions`.

    Raises:
        MachineSpecError: a part is not understood (the message names it, the hint offers near
            device names), or the figures contradict each other or are absurd.
    """
    from assistant.machine.described import describe_machine
    from assistant.machine.words import leftover, scan_words

    if not text.strip():
        raise MachineSpecError("The machine description is empty.", hint=_EXAMPLE)
    if len(text) > _LONGEST:
        raise MachineSpecError("The machine description is too long.", hint=_EXAMPLE)
    words = scan_words(text)
    for start, end in leftover(words):
        raise _not_understood(text[start:end], text)
    if not (words.cards or words.amounts or words.cpus or words.has("cpu_only", "mac")):
        raise _not_understood(text.strip(), text)
    named = [card for card in words.cards if card.devices[0].kind == "discrete"]
    if words.has("cpu_only") and named:
        raise MachineSpecError(
            f"The machine description names {named[0].text!r} and says there is no GPU.",
            hint=_EXAMPLE,
        )
    return describe_machine(words)


def find_machine(text: str) -> Machine | None:
    """Return the machine described inside a question; None when there is none."""
    found = find_machine_span(text)
    return found[0] if found else None


def find_machine_span(text: str) -> tuple[Machine, list[tuple[int, int]]] | None:
    """Return the machine described inside a question, and the places in the text that say so.

    Model sizes (`8b`), quantizations, contexts (`32k`) and file sizes are not taken for
    hardware. Figures that make no sense together give None: a question is no place for errors.
    """
    from assistant.machine.free_text import find_described

    return find_described(text[:_LONGEST])


def load_machine(spec: str) -> Machine:
    """Return the machine that `--machine` names: a JSON file, or words.

    Raises:
        MachineSpecError: the words are not understood, or the file holds no machine.
        FileProblemError: the file cannot be read.
    """
    path = _file_named(spec)
    if path is None:
        return parse_machine(spec)
    from dataclasses import replace

    from assistant.machine.serialize import machine_from_dict

    return replace(machine_from_dict(_json_of(path, spec)), source="file")


def _json_of(path: Path, spec: str) -> object:
    import json

    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "its name is not one a file can have"
        raise FileProblemError(
            f"The machine file {spec[:_SHOWN]!r} cannot be read: {reason}.",
            hint="Check the path and its permissions.",
        ) from problem
    try:
        if len(content) <= _LARGEST_FILE:
            return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        pass
    raise MachineSpecError(
        f"The machine file {spec[:_SHOWN]!r} is not JSON.",
        hint="Write one with: assistant hardware --json > machine.json",
    )


def _file_named(spec: str) -> Path | None:
    if "\0" in spec or "\n" in spec:
        return None
    looks_like_file = spec.strip().lower().endswith(".json") or spec.startswith(("./", "/", "~/"))
    try:
        path = Path(spec).expanduser() if looks_like_file else Path(spec)
        return path if looks_like_file or path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _not_understood(part: str, text: str) -> MachineSpecError:
    from assistant.machine.devices import near_devices

    near = near_devices(part)
    hint = f"Did you mean {_either(near)}? " if near else ""
    return MachineSpecError(
        f"The part {part!r} of the machine description {text.strip()!r} is not understood.",
        hint=hint + _EXAMPLE,
    )


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"

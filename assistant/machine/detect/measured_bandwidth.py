"""The memory bandwidth that `assistant hardware --measure` found, kept for later commands.

One small JSON file in the cache folder. It holds for the processor and the RAM that it was
measured with; on another computer with the same home folder it is left alone.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from assistant.errors import FileProblemError
from assistant.machine.records import Machine

FILE_NAME: Final = "memory-bandwidth.json"
_LARGEST_FILE: Final = 4096


def keep_measured(folder: Path, machine: Machine) -> None:
    """Write the bandwidth of `machine` to `folder`, in one step.

    Raises:
        FileProblemError: it cannot be written.
    """
    path = folder / FILE_NAME
    partial = path.with_name(f"{FILE_NAME}.{os.getpid()}")
    content = _identity(machine) | {"bandwidth_gb_per_s": machine.ram.bandwidth_gb_per_s}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileProblemError(
            f"the measured bandwidth cannot be kept in {str(path)!r}: {error.strerror or error}."
        ) from error


def with_measured(folder: Path, machine: Machine) -> Machine:
    """Return `machine` with the bandwidth measured on it before; itself when there is none."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            content: Any = json.loads(file.read(_LARGEST_FILE))
    except (OSError, ValueError, RecursionError):
        return machine
    if not isinstance(content, dict):
        return machine
    measured = content.pop("bandwidth_gb_per_s", None)
    if (
        content != _identity(machine)
        or type(measured) not in (int, float)
        or not 0 < measured < 1e6
    ):
        return machine
    ram = replace(machine.ram, bandwidth_gb_per_s=float(measured), bandwidth_source="measured")
    return replace(machine, ram=ram)


def _identity(machine: Machine) -> dict[str, Any]:
    return {"cpu": machine.cpu.name, "ram_bytes": machine.ram.total_bytes}

"""The speeds that models really had on this computer, kept for later estimates.

One JSON file in the data folder, readable by its owner only: an object with `version` and
`runs`, the oldest first. Each run belongs to the machine it was measured on (processor, RAM,
GPUs), so that a home folder shared by several computers keeps the runs of all of them and each
uses its own. A file that is damaged, or of a version not known here, counts as empty.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from assistant.errors import FileProblemError
from assistant.files import write_atomically
from assistant.machine.detect.measured_bandwidth import FILE_NAME as BANDWIDTH_FILE_NAME
from assistant.machine.records import Machine, MeasuredRun

FILE_NAME: Final = "measured-runs.json"
VERSION: Final = 1
MOST_RUNS: Final = 200
SAME_BANDWIDTH: Final = 0.05
"""RAM bandwidths that differ by a smaller share than this are the same one."""

_LARGEST_FILE: Final = 1_000_000
_FASTEST: Final = 1e6
_LONGEST_NAME: Final = 400
_LONGEST_CONTEXT: Final = 2**31 - 1
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(MeasuredRun))
_OPTIONAL_SPEEDS: Final = (
    "prompt_tokens_per_s",
    "expected_decode_tokens_per_s",
    "expected_prompt_tokens_per_s",
)
_Entry = dict[str, Any]


def keep_run(folder: Path, machine: Machine, run: MeasuredRun) -> None:
    """Keep `run`, measured on `machine`, in `folder`; it replaces the older one of its kind.

    Of each model, quantization, verdict and size of context (to a power of two) the newest
    run is kept, and 200 runs in all.

    Raises:
        ValueError: the run has no plausible speed, date or name.
        FileProblemError: the file cannot be written.
    """
    identity = _identity(machine)
    if not _is_plausible(dataclasses.asdict(run)):
        raise ValueError(f"not a plausible measurement: {run!r}")
    kept = [
        entry
        for entry in _entries(folder / FILE_NAME)
        if entry["machine"] != identity or _kind(_run(entry)) != _kind(run)
    ]
    kept.append(
        {
            "machine": identity,
            "ram_bandwidth_gb_per_s": machine.ram.bandwidth_gb_per_s,
            "run": dataclasses.asdict(run),
        }
    )
    content = {"version": VERSION, "runs": kept[-MOST_RUNS:]}
    write_atomically(folder / FILE_NAME, json.dumps(content, indent=1) + "\n")


def with_measured_runs(folder: Path, machine: Machine) -> Machine:
    """Return `machine` with the runs that were measured on it, the newest last.

    What was expected of a run that read the RAM is left out when another bandwidth is known
    by now: the estimate it was compared with is no longer made.
    """
    identity = _identity(machine)
    runs = []
    for entry in _entries(folder / FILE_NAME):
        if entry["machine"] != identity:
            continue
        run = _run(entry)
        if run.verdict != "gpu" and not _same_bandwidth(entry, machine):
            run = dataclasses.replace(
                run, expected_decode_tokens_per_s=None, expected_prompt_tokens_per_s=None
            )
        runs.append(run)
    return dataclasses.replace(machine, measured_runs=tuple(runs)) if runs else machine


def forget_runs(folder: Path) -> int:
    """Remove all measured runs, those of other machines too; return how many there were.

    Raises:
        FileProblemError: the file cannot be removed.
    """
    count = len(_entries(folder / FILE_NAME))
    _remove(folder / FILE_NAME)
    return count


def forget_bandwidth(folder: Path) -> bool:
    """Remove the measured memory bandwidth from `folder`; return whether there was one.

    Raises:
        FileProblemError: the file cannot be removed.
    """
    return _remove(folder / BANDWIDTH_FILE_NAME)


def context_bucket(num_ctx: int) -> int:
    """Return the exponent of the power of two that `num_ctx` tokens fit into."""
    return max(0, num_ctx - 1).bit_length()


def _kind(run: MeasuredRun) -> tuple[str, str | None, str, int]:
    return run.model.lower(), run.quantization, run.verdict, context_bucket(run.num_ctx)


def _identity(machine: Machine) -> _Entry:
    return {
        "cpu": machine.cpu.name,
        "ram_bytes": machine.ram.total_bytes,
        "gpus": sorted([gpu.name, gpu.memory_total_bytes or 0] for gpu in machine.accelerators),
    }


def _same_bandwidth(entry: _Entry, machine: Machine) -> bool:
    then, now = entry.get("ram_bandwidth_gb_per_s"), machine.ram.bandwidth_gb_per_s
    if not isinstance(then, int | float) or now is None:
        return then is None and now is None
    return bool(abs(then - now) <= SAME_BANDWIDTH * now)


def _entries(path: Path) -> list[_Entry]:
    """Return the entries of a file that make sense; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            content: Any = json.loads(file.read(_LARGEST_FILE))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return []
    listed = content.get("runs")
    return list(_sensible(listed)) if isinstance(listed, list) else []


def _sensible(listed: list[Any]) -> Iterator[_Entry]:
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("machine"), dict):
            continue
        if _is_plausible(entry.get("run")):
            yield entry


def _run(entry: _Entry) -> MeasuredRun:
    return MeasuredRun(**{name: entry["run"].get(name) for name in _FIELDS})


def _is_plausible(run: object) -> bool:
    """Return whether `run` holds the values of a `MeasuredRun`, each of its kind and range."""
    if not isinstance(run, dict):
        return False
    name, level = run.get("model"), run.get("quantization")
    num_ctx, date = run.get("num_ctx"), run.get("measured_on")
    return (
        _is_text(name)
        and (level is None or _is_text(level))
        and type(num_ctx) is int
        and 0 < num_ctx <= _LONGEST_CONTEXT
        and run.get("verdict") in {"gpu", "partial", "cpu"}
        and isinstance(date, str)
        and _DATE.fullmatch(date) is not None
        and _is_speed(run.get("decode_tokens_per_s"))
        and all(run.get(key) is None or _is_speed(run[key]) for key in _OPTIONAL_SPEEDS)
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _is_speed(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _FASTEST


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileProblemError(f"{str(path)!r} cannot be removed: {reason}.") from error
    return True

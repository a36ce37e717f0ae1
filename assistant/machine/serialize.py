"""A `Machine` as plain JSON values, and back.

The form is the `data` of `assistant hardware --json`: the keys are the field names of the
records, byte counts are integers, unknown is null. Reading accepts the whole envelope or its
`data`, ignores keys it does not know and fills left-out ones with their defaults, so that a
file written by an older or newer version can still be used.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from assistant.errors import MachineSpecError
from assistant.machine.records import Machine

_R = TypeVar("_R")
_HINT: Final = "Write one with: assistant hardware --json > machine.json"
_MOST_BYTES: Final = 2**60


def machine_to_dict(machine: Machine) -> dict[str, Any]:
    """Return the machine as the `data` of `assistant hardware --json`: only JSON values."""
    return {
        field.name: plain_json(getattr(machine, field.name))
        for field in dataclasses.fields(machine)
    }


def machine_from_dict(data: object) -> Machine:
    """Return the machine in `data`: the envelope `assistant hardware --json` prints, or its data.

    Raises:
        MachineSpecError: it is not such an object, or a value is of the wrong kind; the message
            names the key.
    """
    if isinstance(data, Mapping) and isinstance(data.get("data"), Mapping):
        data = data["data"]
    if not isinstance(data, Mapping) or not set(data) & {"cpu", "ram", "accelerators"}:
        raise MachineSpecError("The file does not describe a machine.", hint=_HINT)
    machine = _record(Machine, data, "machine")
    for index, accelerator in enumerate(machine.accelerators):
        total, free = accelerator.memory_total_bytes, accelerator.memory_free_bytes
        if total is not None and free is not None and free > total:
            raise MachineSpecError(
                f"'accelerators[{index}].memory_free_bytes' is more than 'memory_total_bytes'.",
                hint=_HINT,
            )
    return machine


def plain_json(value: Any) -> Any:
    """Return a record, with all that is in it, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    return value


def _record(cls: type[_R], data: Mapping[str, Any], where: str) -> _R:
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name in data:
            values[field.name] = _value(
                hints[field.name], data[field.name], f"{where}.{field.name}"
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _wrong(f"{where}.{field.name}", "is missing")
    return cls(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the annotation `hint` wants it, or raise naming the key."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in args:
            return None
        return _value(next(a for a in args if a is not NoneType), value, where)
    if origin is Literal:
        if value in args and isinstance(value, str):
            return value
        raise _wrong(where, f"must be one of {', '.join(map(str, args))}")
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "must be a list")
        return tuple(_value(args[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise _wrong(where, "must be an object")
        return _record(hint, value, where)
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(where, f"must be {_KINDS.get(hint, 'something else')}")
    if hint is int and isinstance(value, int) and 0 <= value <= _MOST_BYTES:
        return value
    if hint is float and math.isfinite(value) and 0 <= value <= _MOST_BYTES:
        return value
    raise _wrong(where, f"must be {_KINDS.get(hint, 'something else')}")


_KINDS: Final = {
    bool: "true or false",
    str: "text",
    int: "a whole number that is not negative",
    float: "a number that is not negative",
}


def _wrong(where: str, problem: str) -> MachineSpecError:
    key = where.removeprefix("machine.")
    return MachineSpecError(f"In the machine file, {key!r} {problem}.", hint=_HINT)

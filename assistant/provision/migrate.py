"""Ledgers of older versions, brought up to this one a step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from assistant.errors import FileProblemError

LEDGER_VERSION: Final = 1
_STEPS: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""From version n to n + 1; there is one version so far."""


def migrate(data: Any) -> dict[str, Any]:
    """Return a ledger's JSON in the form of `LEDGER_VERSION`.

    Raises:
        FileProblemError: a newer version of this program wrote it.
        ValueError: it is not a ledger.
    """
    if not isinstance(data, dict) or not isinstance(data.get("version"), int):
        raise ValueError("not a ledger")  # noqa: TRY004  damage of any kind is one thing to the reader
    if data["version"] > LEDGER_VERSION:
        raise FileProblemError(
            f"the ledger was written by a newer version of this program (form {data['version']}).",
            hint="Update this program; nothing was changed.",
        )
    found: dict[str, Any] = data
    while found["version"] < LEDGER_VERSION:
        step = _STEPS.get(found["version"])
        if step is None:
            raise ValueError(f"a ledger of unknown form {found['version']}")
        found = step(found)
    return found

"""The time, as the ledger and the conversations keep it."""

from __future__ import annotations

from datetime import datetime


def now() -> str:
    """Return the time as ISO 8601, to the second, with this place's zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")

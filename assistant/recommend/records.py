"""Records of a recommendation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from assistant.fit.records import FitEstimate
from assistant.machine.records import Machine

Role = Literal[
    "chat", "code", "embeddings", "vision", "reasoning", "writing", "translation",
    "summarize", "rag", "tools", "extract",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Needs:
    """What the person asked for; None and False leave a need open."""

    role: Role = "chat"
    num_ctx: int | None = None
    commercial: bool = False
    languages: tuple[str, ...] = ()
    prefer: Literal["speed", "quality", "balance"] = "balance"
    insert: bool = False


@dataclass(frozen=True, slots=True)
class Pick:
    """One labelled pick. `pull` is the command line that fetches it."""

    label: str
    model: str
    quantization: str | None
    reasons: tuple[str, ...]
    licence: str | None
    commercial_use: str
    pull: str
    estimate: FitEstimate
    score: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Excluded:
    """A well-known model that a person would ask about, and why it is not a pick."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Picks for one role on one machine, best first."""

    machine: Machine
    role: Role
    picks: tuple[Pick, ...]
    excluded: tuple[Excluded, ...]
    as_of: str
    notes: tuple[str, ...] = ()

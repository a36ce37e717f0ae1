"""Records of a recommendation, a set, a quantization choice and a comparison."""

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
    """One labelled pick. `pull` is the command line that fetches it.

    `label` is the first of `labels`: a model that wins several is listed once with all.
    `languages` says in words what its makers claim, None when they say nothing.
    """

    label: str
    model: str
    quantization: str | None
    reasons: tuple[str, ...]
    licence: str | None
    commercial_use: str
    pull: str
    estimate: FitEstimate
    score: dict[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    role: Role = "chat"
    licence_note: str | None = None
    languages: str | None = None


@dataclass(frozen=True, slots=True)
class Excluded:
    """A well-known model that a person would ask about, and why it is not a pick.

    `missing_bytes` is by how much it is too big; None when size is not the reason.
    """

    model: str
    reason: str
    missing_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Picks for one role on one machine, best first."""

    machine: Machine
    role: Role
    picks: tuple[Pick, ...]
    excluded: tuple[Excluded, ...]
    as_of: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetMember:
    """One role of a set. `stays_loaded` is False when it is swapped in and out of memory."""

    role: Role
    pick: Pick
    stays_loaded: bool


@dataclass(frozen=True, slots=True)
class RecommendedSet:
    """Picks for several roles, sized together.

    `together_bytes` is what the members that stay loaded take of `memory_bytes` (the memory of
    the GPUs, or RAM without one); `swapped` names the roles that take turns.
    """

    machine: Machine
    members: tuple[SetMember, ...]
    together_bytes: int
    memory_bytes: int
    on_gpu: bool
    excluded: tuple[Excluded, ...]
    as_of: str
    notes: tuple[str, ...] = ()

    @property
    def swapped(self) -> tuple[Role, ...]:
        """Roles whose model is loaded only when it is used."""
        return tuple(member.role for member in self.members if not member.stays_loaded)


@dataclass(frozen=True, slots=True)
class QuantizationOption:
    """One build of a model as it would run on a machine.

    `perplexity_increase` is in percent against the 16-bit file, `quality_loss` the share of a
    task score that it is taken to cost; None: nobody measured this type. `short_context` says
    that it stays on the GPU with less than the task's usual context only.
    """

    model: str
    quantization: str
    estimate: FitEstimate
    quality_loss: float
    perplexity_increase: float | None
    chosen: bool = False
    quantization_aware: bool = False
    short_context: bool = False

    @property
    def label(self) -> str:
        """The type as people write it: `Q4_K_M`, `Q4_0 (QAT)`."""
        return f"{self.quantization} (QAT)" if self.quantization_aware else self.quantization


@dataclass(frozen=True, slots=True)
class QuantizationChoice:
    """Which build of a model to take for a task, with the evidence and how sure it is.

    `chosen` is None when no build fits. `sureness`: `measured` (perplexity of this type on
    several models), `estimated` (between measured types).
    """

    model: str
    task: str
    chosen: QuantizationOption | None
    options: tuple[QuantizationOption, ...]
    reasons: tuple[str, ...]
    evidence: tuple[str, ...]
    sureness: Literal["measured", "estimated"]
    pull: str | None = None


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One row of a comparison. `scores` are published figures: (benchmark, value, source)."""

    model: str
    title: str
    quantization: str | None
    download_bytes: int | None
    parameters_total: int | None
    parameters_active: int | None
    context_length: int | None
    licence: str | None
    commercial_use: str
    languages: str | None
    capabilities: tuple[str, ...]
    release: str | None
    quality: dict[str, float]
    scores: tuple[tuple[str, float, str], ...]
    estimate: FitEstimate | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models side by side, and what sets them apart in sentences with figures."""

    models: tuple[ComparedModel, ...]
    findings: tuple[str, ...]

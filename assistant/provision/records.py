"""Records of provisioning: what a role is to get, the plan's steps, what was measured.

A `RoleTarget` says what one role shall be; a `Plan` is the targets with the steps that are left
to do; a `LedgerEntry` is what was done. Bytes are integers, times seconds, speeds tokens per
second; None is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

StepKind = Literal["pull", "create", "verify", "activate", "remove"]
StepState = Literal["done", "pending", "failed", "skipped"]

ALIAS_PREFIX: Final = "assistant-"
CANDIDATE_TAG: Final = "next"
BACKUP_TAG: Final = "before-setup"


def alias_of(role: str) -> str:
    """Return the stable name of a role's model on the server: `assistant-chat`."""
    return f"{ALIAS_PREFIX}{role}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What verification compares with: the estimate in the terms of `/api/ps` and of a reply.

    `size_bytes` and `vram_bytes` are what `/api/ps` should report.
    """

    verdict: str
    num_ctx: int
    size_bytes: int | None = None
    vram_bytes: int | None = None
    decode_low: float | None = None
    decode_expected: float | None = None
    decode_high: float | None = None
    prompt_expected: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What one verification found.

    `size_bytes`, `vram_bytes` and `num_ctx` are those of `/api/ps`; `load_s` is None when the
    model was in memory already. `called_tool` is None when it cannot or was not asked to.
    """

    at: str
    size_bytes: int | None = None
    vram_bytes: int | None = None
    num_ctx: int | None = None
    load_s: float | None = None
    prompt_tokens_per_s: float | None = None
    decode_tokens_per_s: float | None = None
    dimension: int | None = None
    called_tool: bool | None = None
    server_version: str | None = None

    @property
    def gpu_share(self) -> float | None:
        """Share of the model that is on GPUs, 0 to 1."""
        if not self.size_bytes or self.vram_bytes is None:
            return None
        return min(1.0, self.vram_bytes / self.size_bytes)


@dataclass(frozen=True, slots=True)
class RoleTarget:
    """What a role shall be: `model` pulled, and under `alias` with this Modelfile.

    `contexts` are the shorter contexts to fall back to, longest first. `estimate` is the whole
    estimate as `assistant fit --json` prints it. `needs` names what the choice had to heed
    (`prefer speed`), empty for nothing special.
    """

    role: str
    alias: str
    model: str
    num_ctx: int
    modelfile: str
    expected: Expectation
    quantization: str | None = None
    download_bytes: int | None = None
    stays_loaded: bool = True
    contexts: tuple[int, ...] = ()
    licence: str | None = None
    licence_note: str | None = None
    commercial_use: str = "unknown"
    reasons: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    estimate: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan. `bytes` is what it downloads (pull) or frees (remove)."""

    id: str
    kind: StepKind
    model: str
    reason: str
    bytes: int | None = None
    state: StepState = "pending"
    role: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Targets and the steps that make them so, in order.

    `download_bytes` is what is left to fetch, `kept_bytes` what of it is already on disk from
    an interrupted pull, `together_bytes` of `memory_bytes` what stays loaded side by side.
    """

    targets: tuple[RoleTarget, ...]
    steps: tuple[Step, ...]
    download_bytes: int = 0
    kept_bytes: int = 0
    disk_free_bytes: int | None = None
    bytes_per_s: float | None = None
    bytes_per_s_from: str | None = None
    together_bytes: int | None = None
    memory_bytes: int | None = None
    on_gpu: bool = False
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """True when nothing is left to do."""
        return all(step.state == "done" for step in self.steps)

    def target(self, role: str) -> RoleTarget | None:
        """Return the target of a role, or None."""
        return next((target for target in self.targets if target.role == role), None)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One version of an alias, as it was made.

    `digest` is the base model's manifest, `blob_digest` its GGUF file, `alias_digest` the
    manifest of the alias itself, all as the server named them. `source` is the registry's host.
    """

    alias: str
    model: str
    num_ctx: int
    modelfile: str
    created_at: str
    role: str | None = None
    digest: str | None = None
    blob_digest: str | None = None
    alias_digest: str | None = None
    quantization: str | None = None
    size_bytes: int | None = None
    source: str | None = None
    licence: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    expected: Expectation | None = None
    estimate: Mapping[str, Any] = field(default_factory=dict)
    measured: Measured | None = None
    stays_loaded: bool = True
    capabilities: tuple[str, ...] = ()
    needs: str = ""
    commercial_use: str = "unknown"


@dataclass(frozen=True, slots=True)
class AliasHistory:
    """All versions of an alias, oldest first; `current` is the one in use, None after removal.

    `previous` has, for each version, the index of the one it replaced (None for the first).
    `backup` is the name under which a model that stood there before setup is kept.
    """

    alias: str
    role: str | None
    versions: tuple[LedgerEntry, ...]
    previous: tuple[int | None, ...]
    current: int | None
    backup: str | None = None

    @property
    def entry(self) -> LedgerEntry | None:
        """The version in use, or None."""
        return None if self.current is None else self.versions[self.current]

    @property
    def before(self) -> LedgerEntry | None:
        """The version that a rollback brings back, or None."""
        if self.current is None:
            return None
        index = self.previous[self.current]
        return None if index is None else self.versions[index]


@dataclass(frozen=True, slots=True)
class Pending:
    """A confirmed setup that has not come to its end: what it was to make, per role."""

    started_at: str
    machine: str
    targets: tuple[RoleTarget, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What this program set up on the server: aliases with their versions, and what is pending.

    `machine` names the computer that it was chosen for (`provision.machine_key`);
    `bytes_per_s` is the speed of the last pull.
    """

    aliases: tuple[AliasHistory, ...] = ()
    pending: Pending | None = None
    machine: str | None = None
    bytes_per_s: float | None = None

    def of_alias(self, alias: str) -> AliasHistory | None:
        """Return the history of an alias (`:latest` may be left out), or None."""
        wanted = alias.lower().removesuffix(":latest")
        return next((h for h in self.aliases if h.alias.lower() == wanted), None)

    def of_role(self, role: str) -> AliasHistory | None:
        """Return the history of a role's alias, or None."""
        return self.of_alias(alias_of(role))

    def current(self, role: str) -> LedgerEntry | None:
        """Return what serves a role now, or None."""
        history = self.of_role(role)
        return None if history is None else history.entry

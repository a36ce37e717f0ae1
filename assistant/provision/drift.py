"""Has something moved since setup: the alias, its base model on the server, the tag upstream.

Pure. A digest is compared with the one of the same kind only: the alias and the base by their
manifests as `/api/tags` lists them, the registry by the weights (the model layer), because a
server may write a manifest of its own for what it pulled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from assistant.errors import ModelNameError
from assistant.models.names import parse_model_name
from assistant.ollama.records import InstalledModel
from assistant.provision.records import LedgerEntry

AliasState = Literal["as_set_up", "changed", "missing", "unknown"]
BaseState = Literal["as_set_up", "moved", "missing", "unknown"]
UpstreamState = Literal["same", "moved", "absent", "unknown", "not_asked"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """What a registry says of a tag now: the digest of its weights.

    `digest` None without `is_absent` is unknown; `why` is the reason then.
    """

    digest: str | None = None
    is_absent: bool = False
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """How an alias, its base and its origin stand against the ledger; `why` is for unknowns."""

    alias: str
    role: str | None
    model: str
    alias_state: AliasState
    base_state: BaseState
    upstream: UpstreamState
    upstream_digest: str | None = None
    why: str | None = None
    num_ctx: int | None = None

    @property
    def is_broken(self) -> bool:
        """True when the alias is not what setup made: gone, or made anew by somebody else."""
        return self.alias_state in {"changed", "missing"}

    @property
    def has_moved(self) -> bool:
        """True when anything at all is known to be different from the ledger."""
        return self.has_moved_here or self.has_moved_upstream

    @property
    def has_moved_here(self) -> bool:
        """True when the alias or its base is known to be another on the server, or gone."""
        return self.is_broken or self.base_state in {"moved", "missing"}

    @property
    def has_moved_upstream(self) -> bool:
        """True when the registry has other weights for the tag, or no longer has it."""
        return self.upstream in {"moved", "absent"}


@dataclass(frozen=True, slots=True)
class DriftNote:
    """One thing to say about a drift: what, and what to type, if anything needs to be done."""

    code: str
    what: str
    fix: str | None = None


def name_key(name: str) -> str:
    """Return a name's full form for comparing: `Chat` and `chat:latest` are one model."""
    try:
        return parse_model_name(name).key
    except ModelNameError:
        return name.lower()


def same_digest(one: str | None, other: str | None) -> bool | None:
    """Return whether two digests are equal, with or without `sha256:`; None if one is unknown."""
    if not one or not other:
        return None
    return _bare(one) == _bare(other)


def installed_as(name: str, installed: Iterable[InstalledModel]) -> InstalledModel | None:
    """Return the model that the server lists under a name, or None."""
    wanted = name_key(name)
    return next((model for model in installed if name_key(model.name) == wanted), None)


def drift_of(
    entry: LedgerEntry,
    *,
    installed: Iterable[InstalledModel] | None,
    upstream: Upstream | None = None,
) -> Drift:
    """Return how things stand with one alias.

    `installed` is what the server lists, None when it was not asked; `upstream` what the
    registry said of `entry.model`, None when it was not asked.
    """
    alias_state: AliasState = "unknown"
    base_state: BaseState = "unknown"
    if installed is not None:
        models = tuple(installed)
        same = _against(installed_as(entry.alias, models), entry.alias_digest)
        alias_state = "changed" if same == "other" else same
        same = _against(installed_as(entry.model, models), entry.digest)
        base_state = "moved" if same == "other" else same
    return Drift(
        alias=entry.alias,
        role=entry.role,
        model=entry.model,
        alias_state=alias_state,
        base_state=base_state,
        upstream=_upstream_state(entry, upstream),
        upstream_digest=upstream.digest if upstream else None,
        why=upstream.why if upstream else None,
        num_ctx=entry.num_ctx,
    )


def drift_notes(drift: Drift) -> tuple[DriftNote, ...]:
    """Return what there is to say, most serious first; nothing when all is as it was set up."""
    again = _again(drift)
    notes = []
    if drift.alias_state == "missing":
        what = f"{drift.alias} is no longer on the server."
        notes.append(DriftNote("alias_missing", what, again))
    if drift.alias_state == "changed":
        what = f"{drift.alias} was changed since it was set up, not by this program."
        notes.append(DriftNote("alias_changed", what, again))
    if drift.base_state == "moved":
        what = f"{drift.model} was pulled or made again; {drift.alias} still runs the older one."
        notes.append(DriftNote("base_moved", what, again))
    if drift.base_state == "missing" and drift.alias_state != "missing":
        what = (
            f"{drift.model} is no longer on the server; {drift.alias} keeps working, its files "
            "are its own."
        )
        notes.append(DriftNote("base_missing", what))
    if drift.upstream == "moved" and drift.base_state != "moved":
        what = f"{drift.model} has other weights upstream than here."
        notes.append(DriftNote("upstream_moved", what, f"ollama pull {drift.model}"))
    if drift.upstream == "absent":
        what = f"{drift.model} is not in its registry (any more); what is here keeps working."
        notes.append(DriftNote("upstream_absent", what))
    return tuple(notes)


def _against(
    found: InstalledModel | None, digest: str | None
) -> Literal["as_set_up", "other", "missing", "unknown"]:
    if found is None:
        return "missing"
    same = same_digest(found.digest, digest)
    if same is None:
        return "unknown"
    return "as_set_up" if same else "other"


def _upstream_state(entry: LedgerEntry, upstream: Upstream | None) -> UpstreamState:
    if upstream is None:
        return "not_asked"
    if upstream.is_absent:
        return "absent"
    same = same_digest(upstream.digest, entry.blob_digest)
    if same is None:
        return "unknown"
    return "same" if same else "moved"


def _again(drift: Drift) -> str:
    """Return the command that makes the alias once more."""
    if drift.role is not None:
        return f"assistant setup --role {drift.role}"
    context = "" if drift.num_ctx is None else f" --num-ctx {drift.num_ctx}"
    return f"assistant tune {drift.model}{context} --apply --name {drift.alias}"


def _bare(digest: str) -> str:
    return digest.lower().removeprefix("sha256:").removeprefix("sha256-")

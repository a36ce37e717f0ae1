"""What was set up against what is there: aliases, drift of their models, the guides' index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.doctor.known_speeds import alias_entry
from assistant.doctor.records import Finding, Level, Observations
from assistant.ollama.records import InstalledModel
from assistant.provision.drift import drift_notes, drift_of, installed_as, name_key, same_digest
from assistant.provision.inventory import candidate_of, near_roles
from assistant.provision.records import (
    ALIAS_PREFIX,
    LedgerEntry,
    Pending,
    RoleTarget,
    alias_of,
)
from assistant.recommend.roles import ROLE_NAMES

_LEVELS: Final[dict[str, Level]] = {
    "alias_missing": "problem",
    "alias_changed": "warning",
    "base_moved": "warning",
    "upstream_moved": "warning",
}
"""What of `drift_notes` is worth a finding; the rest keeps working as it is."""


def check_setup(seen: Observations) -> Iterator[Finding]:
    """Yield what changed since `assistant setup`, and what a registry has that is newer."""
    if seen.asked is not None and seen.models is not None and seen.model(seen.asked) is None:
        yield from _not_installed(seen, seen.asked, len(seen.models))
    entries = current_entries(seen)
    findings = [finding for entry in entries for finding in _drift(seen, entry)]
    yield from findings
    pending = None if seen.ledger is None else seen.ledger.pending
    if pending is not None:
        yield _unfinished(seen, pending)
    elif entries and not findings and seen.models is not None:
        yield Finding("setup", "ok", "setup")
    yield from _not_asked(seen)
    yield from _left_over(seen)


def check_index(seen: Observations) -> Iterator[Finding]:
    """Yield whether the index of the guides is current."""
    index = seen.index
    if index is None:
        return
    if index.outdated:
        yield Finding(
            "index-outdated",
            "warning",
            "the index of the guides is older than the guides and notes",
            ("what is new is found by its words only",),
            "assistant guides index",
        )
    elif index.built:
        yield Finding("index", "ok", "index")


def current_entries(seen: Observations) -> tuple[LedgerEntry, ...]:
    """Return what the ledger has in use, of the asked model only when one was named."""
    histories = seen.ledger.aliases if seen.ledger is not None else ()
    entries = [history.entry for history in histories if history.entry is not None]
    if seen.asked is None:
        return tuple(entries)
    wanted = name_key(seen.asked)
    return tuple(e for e in entries if wanted in (name_key(e.alias), name_key(e.model)))


def _not_installed(seen: Observations, asked: str, count: int) -> Iterator[Finding]:
    """Say that the asked model is not there; of an alias in use the drift says so."""
    if alias_entry(seen, asked) is not None:
        return
    role = next((r for r in ROLE_NAMES if name_key(alias_of(r)) == name_key(asked)), None)
    near = near_roles(asked)
    fix = f"ollama pull {asked}"
    if role is not None:
        fix = f"assistant setup --role {role}"
    elif near:
        fix = f"assistant doctor {near[0]}"
    yield Finding(
        "not-installed",
        "problem",
        f"{asked} is not installed on the server",
        (f"of the {count} models there, none has that name",),
        fix,
        "did you mean that role?" if near and role is None else None,
        model=asked,
    )


def _unfinished(seen: Observations, pending: Pending) -> Finding:
    """Say which roles a setup that stopped still has to make, and how to make just those."""
    left = [t for t in pending.targets if not _is_made(seen, t)] or list(pending.targets)
    named = ", ".join(f"{t.role or t.alias} ({t.model})" for t in left)
    roles = "".join(f" --role {role}" for role in dict.fromkeys(t.role for t in left) if role)
    return Finding(
        "setup-unfinished",
        "warning",
        f"a setup was not finished{': ' + named if named else ''}",
        (f"begun at {pending.started_at[:16].replace('T', ' ')}",),
        f"assistant setup{roles}",
        "goes on where it stopped",
        ("assistant setup --anew\nwhich chooses again",),
    )


def _is_made(seen: Observations, target: RoleTarget) -> bool:
    """Return whether the ledger and the server have what a target was to become."""
    entry = alias_entry(seen, target.alias)
    made = entry is not None and (entry.model, entry.modelfile) == (target.model, target.modelfile)
    return made and (seen.models is None or seen.model(target.alias) is not None)


def _left_over(seen: Observations) -> Iterator[Finding]:
    """Say which candidates an interrupted setup or tune has left on the server."""
    models = seen.models if seen.asked is None else None
    for model in models or ():
        alias = candidate_of(model.name)
        if alias is None:
            continue
        by_tune = alias.lower().startswith(f"{ALIAS_PREFIX}tuned-")
        yield Finding(
            "left-over",
            "unknown",
            f"{model.name} is left over from {'a tune' if by_tune else 'a setup'} that was stopped",
            (f"it was being tried for {alias}, which it did not become",),
            f"assistant models remove {model.name}" if by_tune else "assistant setup",
            None if by_tune else "the next one removes it",
            model=model.name,
        )


def _drift(seen: Observations, entry: LedgerEntry) -> Iterator[Finding]:
    installed = None
    if seen.models is not None:
        installed = [InstalledModel(model.name, model.digest) for model in seen.models]
    drift = drift_of(entry, installed=installed, upstream=seen.upstream.get(entry.model))
    for note in drift_notes(drift):
        level = _LEVELS.get(note.code)
        if level is None:
            continue
        yield Finding(
            note.code.replace("_", "-"),
            level,
            note.what.removesuffix("."),
            _digests(entry, note.code, installed or (), drift.upstream_digest),
            note.fix,
            model=entry.alias,
        )


def _digests(
    entry: LedgerEntry,
    code: str,
    installed: list[InstalledModel] | tuple[InstalledModel, ...],
    upstream: str | None,
) -> tuple[str, ...]:
    """Return the two digests that differ, shortened as `ollama ls` does."""
    before, now = entry.alias_digest, upstream
    if code in ("alias_changed", "base_moved"):
        name = entry.alias if code == "alias_changed" else entry.model
        found = installed_as(name, installed)
        before = entry.alias_digest if code == "alias_changed" else entry.digest
        now = found.digest if found is not None else None
    elif code == "upstream_moved":
        before = entry.blob_digest
    elif code == "alias_missing":
        return (f"it was made from {entry.model} on {entry.created_at[:10]}",)
    return (f"set up as {_short(before)}, now {_short(now)}",)


def _not_asked(seen: Observations) -> Iterator[Finding]:
    """Say which registries could not be asked, and which other models have moved there."""
    known = {name_key(entry.model) for entry in current_entries(seen)}
    failed = []
    for name, upstream in seen.upstream.items():
        if upstream.digest is None and not upstream.is_absent:
            failed.append((name, upstream.why))
            continue
        model = seen.model(name)
        if name_key(name) in known or model is None:
            continue
        if same_digest(model.blob_digest, upstream.digest) is False:
            yield Finding(
                "upstream-moved",
                "warning",
                f"{name} has other weights upstream than here",
                (f"here {_short(model.blob_digest)}, there {_short(upstream.digest)}",),
                f"ollama pull {name}",
                model=name,
            )
    if failed:
        names = ", ".join(name for name, _ in failed)
        yield Finding(
            "upstream-unknown",
            "unknown",
            "whether there are newer files could not be asked",
            (f"{names}: {failed[0][1] or 'no answer'}",),
        )


def _short(digest: str | None) -> str:
    return (digest or "unknown").removeprefix("sha256:")[:12]

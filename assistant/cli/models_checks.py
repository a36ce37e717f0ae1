"""What `assistant models check` and `remove` show: data for --json, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from assistant.cli.layout import NBSP, Column, fitted_table, paragraph
from assistant.cli.models_text import drift_data, plain_name
from assistant.errors import AssistantError
from assistant.provision.drift import Drift, drift_notes
from assistant.provision.removal import Removal
from assistant.units import gb

_STATES: Final = {
    "as_set_up": "as set up",
    "changed": "changed",
    "missing": "missing",
    "moved": "moved",
    "same": "same",
    "absent": "not there",
    "unknown": "unknown",
    "not_asked": "not asked",
}


class AliasDriftError(AssistantError):
    """An alias on the server is not what setup made, or is gone."""

    code = "alias_drift"


def broken_aliases(drifts: Sequence[Drift]) -> list[AliasDriftError]:
    """Return an error for each alias that is missing or was changed."""
    return [
        AliasDriftError(
            notes[0].what, hint=f"Make it again with: {notes[0].fix}" if notes[0].fix else None
        )
        for drift in drifts
        if drift.is_broken and (notes := drift_notes(drift))
    ]


def check_data(drifts: Sequence[Drift]) -> dict[str, Any]:
    """Return the check as data: `moved` on the server, `moved_upstream` in the registries."""
    return {
        "checked": len(drifts),
        "moved": sum(drift.has_moved_here for drift in drifts),
        "moved_upstream": sum(drift.has_moved_upstream for drift in drifts),
        "aliases": [drift_data(drift) for drift in drifts],
    }


def render_check(drifts: Sequence[Drift], *, width: int) -> str:
    """Return the check as text; what is broken is told as errors, not here."""
    if not drifts:
        nothing = "Nothing is set up, so nothing can have moved. Set up with: assistant\u00a0setup"
        return paragraph(nothing, width=width)
    asked = any(drift.upstream != "not_asked" for drift in drifts)
    columns = (
        Column("alias", [drift.alias for drift in drifts]),
        Column("now", [_STATES[drift.alias_state] for drift in drifts]),
        Column("base model", [drift.model for drift in drifts], word="base"),
        Column("now", [_STATES[drift.base_state] for drift in drifts], word="which is"),
        Column("upstream", [_STATES[drift.upstream] for drift in drifts], word="upstream"),
    )
    head = _moved(drifts) or _all_well(drifts, asked=asked)
    parts = [paragraph(head, width=width), fitted_table(columns, width=width)]
    said = []
    for drift in drifts:
        for note in drift_notes(drift):
            if note.code not in {"alias_missing", "alias_changed"}:
                fix = "" if note.fix is None else f" Get it with: {note.fix.replace(' ', NBSP)}"
                said.append(note.what + fix + _then(drift, note.code))
        if drift.upstream == "unknown":
            said.append(f"{drift.model} upstream is not known: {drift.why or 'no digest kept'}.")
    parts += [paragraph(each, width=width) for each in dict.fromkeys(said)]
    return "\n\n".join(parts[:2]) + ("\n\n" + "\n".join(parts[2:]) if said else "")


def _moved(drifts: Sequence[Drift]) -> str:
    """Return how many aliases moved on the server and how many tags upstream; nothing if none."""
    here = sum(drift.has_moved_here for drift in drifts)
    there = sum(drift.has_moved_upstream for drift in drifts)
    of = f"of {len(drifts)} aliases"
    if here and there:
        return f"{here} {of} moved since setup, and {there} have something else upstream."
    if there:
        return f"Nothing moved on the server; {there} {of} have something else upstream."
    return f"{here} {of} moved since setup." if here else ""


def removal_data(removal: Removal, *, done: bool) -> dict[str, Any]:
    """Return a removal as data; `removed` is false for a dry run and for a refusal."""
    data = asdict(removal)
    return {"removed": done, **{k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}}


def render_removal(removal: Removal, *, width: int) -> str:
    """Return what a removal would do as text."""
    names = " and ".join(map(plain_name, removal.names))
    lines = [f"Removes {names} from the server." if names else _only_ledger(removal)]
    lines.append(_freed(removal, "Frees"))
    if removal.role is not None:
        lines.append(f"Nothing serves {removal.role} then.")
    if removal.made_from_it:
        lines.append(
            f"Made from it: {', '.join(removal.made_from_it)}. That keeps working, since an alias "
            "does not need the name that it was made from."
        )
    lines += [
        f"The version before of {name} was made from it: assistant\u00a0rollback\u00a0{name} would "
        "no longer work."
        for name in removal.ends_rollback_of
    ]
    if removal.base_kept_for:
        lines.append(f"{removal.base} stays: {_use(removal.base_kept_for)} its file.")
    if removal.loaded:
        lines.append("It is loaded now, and stays in memory until the server unloads it.")
    if removal.backup_of is not None:
        lines.append(
            f"{removal.backup_of} can then not be rolled back to what was there before setup."
        )
    return "\n".join(paragraph(line, width=width) for line in lines if line)


def removed_text(removal: Removal, *, width: int) -> str:
    """Return what was done as text, and what to type next."""
    names = " and ".join(map(plain_name, removal.names))
    lines = [f"Removed {names}." if names else _only_ledger(removal), _freed(removal, "Freed")]
    if removal.base_kept_for:
        lines.append(f"{removal.base} stays: {_use(removal.base_kept_for)} its file.")
    lines += [
        f"assistant\u00a0rollback\u00a0{name} no longer works: its version before was made from it."
        for name in removal.ends_rollback_of
    ]
    if removal.kept_backup is not None:
        lines.append(
            f"The model from before setup is kept as {removal.kept_backup}; it comes back with: "
            f"assistant\u00a0rollback\u00a0{removal.role or removal.name}"
        )
    elif removal.role is not None:
        lines.append(f"Set it up again with: assistant\u00a0setup\u00a0--role\u00a0{removal.role}")
    return "\n".join(paragraph(line, width=width) for line in lines if line)


def _freed(removal: Removal, verb: str) -> str:
    if not removal.names:
        return ""
    if removal.frees_bytes is None:
        return "How much that frees is not known."
    if removal.frees_bytes:
        return f"{verb} {gb(removal.frees_bytes)}."
    return f"{verb} next to nothing: {_use(removal.shared_with)} the same file."


def _use(names: Sequence[str]) -> str:
    """Return the names and `use`, or `uses` when there is one."""
    return f"{', '.join(map(plain_name, names))} {'uses' if len(names) == 1 else 'use'}"


def _only_ledger(removal: Removal) -> str:
    return f"{removal.name} is not on the server; only the ledger changes."


def _all_well(drifts: Sequence[Drift], *, asked: bool) -> str:
    unknown = any(
        "unknown" in {drift.alias_state, drift.base_state, drift.upstream} for drift in drifts
    )
    where = "on the server and upstream" if asked else "on the server"
    if unknown:
        return "Nothing is known to have moved."
    return f"Everything is as it was set up, {where}."


def _then(drift: Drift, code: str) -> str:
    """Return the second step, for what is pulled first and set up then."""
    if code != "upstream_moved" or drift.role is None:
        return ""
    return f", then: assistant\u00a0setup\u00a0--role\u00a0{drift.role}"

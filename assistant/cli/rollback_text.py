"""What `assistant rollback` shows: data for --json, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from assistant.cli.layout import Column, fitted_table, paragraph, side_by_side, unbroken
from assistant.cli.models_show import Bases, rollback_words, rollback_works, version_words
from assistant.provision.records import AliasHistory, LedgerEntry
from assistant.provision.undo import Rollback, rollback_kind, undoing


def listed_data(histories: Sequence[AliasHistory], bases: Bases) -> dict[str, Any]:
    """Return what can be rolled back as data; `works` is null where no server said."""
    return {
        "rollbacks": [
            {
                "alias": history.alias,
                "role": history.role,
                "kind": kind,
                "works": rollback_works(history, bases),
                "now": _version(history.entry),
                "then": _version(history.before if kind == "version" else None),
                "backup": history.backup,
            }
            for history in histories
            if (kind := rollback_kind(history)) is not None
        ]
    }


def render_listed(histories: Sequence[AliasHistory], bases: Bases, *, width: int) -> str:
    """Return what can be rolled back as text."""
    rows = [
        (
            history.role or history.alias,
            "not in use" if history.entry is None else version_words(history.entry),
            words,
        )
        for history in histories
        if (words := rollback_words(history, bases)) is not None
    ]
    if not rows:
        said = "There is nothing to roll back: nothing is set up. Set up with: assistant\u00a0setup"
        return paragraph(said, width=width)
    name, now, then = zip(*rows, strict=True)
    columns = (
        Column("", name),
        Column("now", now, word="now"),
        Column("a rollback", then, word="a rollback"),
    )
    do, see = "Do it with: assistant rollback ROLE", "See first: add --dry-run"
    return "\n\n".join(
        (
            "What can be rolled back:",
            fitted_table(columns, width=width),
            side_by_side(do, see, width=width),
        )
    )


def rollback_data(plan: Rollback, *, done: bool) -> dict[str, Any]:
    """Return a rollback as data; `rolled_back` is false for a dry run and for a refusal."""
    return {
        "rolled_back": done,
        "alias": plan.alias,
        "role": plan.role,
        "kind": plan.kind,
        "now": _version(plan.now),
        "then": _version(plan.then),
        "source": plan.source,
        "changed_outside": plan.changed_outside,
        "undo": undoing(plan),
    }


def render_rollback(plan: Rollback, *, width: int) -> str:
    """Return what a rollback would do as text."""
    now = "" if plan.now is None else f" (now {version_words(plan.now)})"
    if plan.kind == "version" and plan.then is not None:
        what = f"Makes {plan.alias}{now} what it was before: {version_words(plan.then)}."
    elif plan.kind == "backup":
        what = f"Copies the model from before setup back to {plan.alias}{now}."
    else:
        what = f"Removes {plan.alias}{now}: nothing was there before."
    lines = [what]
    if plan.changed_outside:
        lines.append(f"{plan.alias} was changed since setup, not by this program: that is lost.")
    lines.append("Nothing is downloaded, and no base model is removed.")
    return "\n".join(paragraph(line, width=width) for line in lines)


def rolled_back_text(plan: Rollback, *, width: int) -> str:
    """Return what was done as text, and how to undo it."""
    if plan.kind == "version" and plan.then is not None:
        done = f"{plan.alias} is {version_words(plan.then)} again."
    elif plan.kind == "backup":
        done = f"{plan.alias} is the model that was there before setup."
    else:
        done = f"{plan.alias} is removed; nothing was there before setup."
    undo = paragraph(f"Undo: {unbroken(undoing(plan))}", width=width)
    return f"{paragraph(done, width=width)}\n{undo}"


def _version(entry: LedgerEntry | None) -> dict[str, Any] | None:
    return None if entry is None else asdict(entry)

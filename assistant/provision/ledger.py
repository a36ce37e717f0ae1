"""The ledger: a JSON file that remembers what was set up, and how to go back.

Every change writes the whole file in one step, after keeping the one before as
`ledger.previous.json`, so that a kill at any instant leaves one that can be read. The file is
not the only copy of anything that matters: the aliases are on the server, the Modelfiles in
`modelfiles/` beside it. The functions that change a `Ledger` are pure; `read_ledger` and
`write_ledger` are the door to the disk.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from assistant.errors import FileProblemError, UsageError
from assistant.files import write_atomically
from assistant.machine.serialize import plain_json
from assistant.ollama.server_address import configured_address
from assistant.paths import data_folder
from assistant.provision.migrate import LEDGER_VERSION, migrate
from assistant.provision.records import (
    AliasHistory,
    Expectation,
    Ledger,
    LedgerEntry,
    Measured,
    Pending,
    RoleTarget,
)

FILE_NAME: Final = "ledger.json"
PREVIOUS_NAME: Final = "ledger.previous.json"
_DAMAGE: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What `ledger_from_dict` raises for something that is not a ledger."""


class LedgerDamagedError(FileProblemError):
    """Neither the ledger nor the one before it can be read."""

    code = "ledger_damaged"


def ledger_folder() -> Path:
    """Return where the ledger of the configured server is.

    A server on this computer has the data folder itself; one elsewhere has a folder of its own in
    it, because what was set up there is not here.
    """
    try:
        address = configured_address()
    except UsageError:
        return data_folder()
    if address.is_local:
        return data_folder()
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in address.host)
    return data_folder() / "servers" / f"{name}_{address.port}"


def ledger_file(folder: Path | None = None) -> Path:
    """Return where the ledger is: in `folder`, or that of the configured server."""
    return (folder or ledger_folder()) / FILE_NAME


def read_ledger(folder: Path | None = None) -> Ledger:
    """Return the ledger; an empty one when nothing was set up yet.

    A damaged file is replaced by the one kept before it.

    Raises:
        LedgerDamagedError: both are damaged.
        FileProblemError: it was written by a newer version, or cannot be opened.
    """
    path = ledger_file(folder)
    problem: Exception | None = None
    for candidate in (path, path.with_name(PREVIOUS_NAME)):
        try:
            text = candidate.read_text("utf-8")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise FileProblemError(
                f"{str(candidate)!r} cannot be read: {(error.strerror or str(error)).lower()}.",
                hint="Check the folder's permissions, or set ASSISTANT_HOME to another one.",
            ) from error
        except ValueError as error:
            problem = error
            continue
        try:
            return ledger_from_dict(json.loads(text))
        except _DAMAGE as error:
            problem = error
    if problem is not None:
        raise LedgerDamagedError(
            f"the ledger {str(path)!r} is damaged, and so is the copy beside it.",
            hint="Move both files away and run: assistant setup (models on the server are kept).",
        ) from problem
    return Ledger()


def write_ledger(ledger: Ledger, folder: Path | None = None) -> None:
    """Write the ledger in one step, keeping the one before.

    Raises:
        FileProblemError: it cannot be written; the old one is as it was.
    """
    path = ledger_file(folder)
    _keep_previous(path)
    write_atomically(path, json.dumps(ledger_to_dict(ledger), indent=1) + "\n")


def current_entry(role: str, folder: Path | None = None) -> LedgerEntry | None:
    """Return what setup made for a role, or None; a ledger that cannot be read has none."""
    try:
        return read_ledger(folder).current(role)
    except FileProblemError:
        return None


def with_entry(ledger: Ledger, entry: LedgerEntry, *, backup: str | None = None) -> Ledger:
    """Return the ledger with `entry` as the version in use of its alias."""
    history = ledger.of_alias(entry.alias)
    if history is None:
        return _with_history(
            ledger, AliasHistory(entry.alias, entry.role, (entry,), (None,), 0, backup)
        )
    if history.entry is not None and _same(history.entry, entry):
        versions = list(history.versions)
        versions[history.current or 0] = entry
        kept = backup or history.backup
        return _with_history(ledger, replace(history, versions=tuple(versions), backup=kept))
    return _with_history(
        ledger,
        replace(
            history,
            versions=(*history.versions, entry),
            previous=(*history.previous, history.current),
            current=len(history.versions),
            backup=backup or history.backup,
        ),
    )


def rolled_back(ledger: Ledger, alias: str) -> Ledger:
    """Return the ledger with the version before in use; none when there is none before."""
    history = ledger.of_alias(alias)
    if history is None or history.current is None:
        return ledger
    ledger = _not_pending(ledger, alias)
    return _with_history(ledger, replace(history, current=history.previous[history.current]))


def without_alias(ledger: Ledger, alias: str) -> Ledger:
    """Return the ledger with an alias no longer in use; its versions stay as history."""
    history = ledger.of_alias(alias)
    if history is None:
        return ledger
    return _with_history(_not_pending(ledger, alias), replace(history, current=None))


def _not_pending(ledger: Ledger, alias: str) -> Ledger:
    """Return the ledger without what an unfinished setup meant to make of an alias.

    Whoever goes back, or takes a model away, no longer wants that.
    """
    pending = ledger.pending
    if pending is None:
        return ledger
    left = tuple(t for t in pending.targets if t.alias.lower() != alias.lower())
    return replace(ledger, pending=replace(pending, targets=left) if left else None)


def _with_history(ledger: Ledger, history: AliasHistory) -> Ledger:
    others = [each for each in ledger.aliases if each.alias.lower() != history.alias.lower()]
    known = [each.alias.lower() for each in ledger.aliases]
    place = known.index(history.alias.lower()) if history.alias.lower() in known else len(others)
    return replace(ledger, aliases=(*others[:place], history, *others[place:]))


def _same(one: LedgerEntry, other: LedgerEntry) -> bool:
    """True when both are one version, perhaps measured again."""
    return (one.model, one.modelfile, one.blob_digest) == (
        other.model, other.modelfile, other.blob_digest,
    )  # fmt: skip


def _keep_previous(path: Path) -> None:
    """Keep the ledger as it is under its other name, unless it is damaged.

    Raises:
        FileProblemError: a newer version of this program wrote it, so it must stay.
    """
    try:
        text = path.read_text("utf-8")
        ledger_from_dict(json.loads(text))
    except (OSError, *_DAMAGE):
        return
    kept = path.with_name(PREVIOUS_NAME)
    other = path.with_name(f"{PREVIOUS_NAME}.{os.getpid()}.new")
    try:
        other.unlink(missing_ok=True)
        other.hardlink_to(path)
        other.replace(kept)
    except OSError:
        write_atomically(kept, text)  # a file system without hard links


def ledger_to_dict(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger as plain JSON values."""
    return {"version": LEDGER_VERSION, **plain_json(ledger)}


def ledger_from_dict(data: Any) -> Ledger:
    """Return the ledger in `data`, of this version or an older one.

    Raises:
        FileProblemError: a newer version of this program wrote it.
        ValueError, TypeError, KeyError: it is not a ledger.
    """
    data = migrate(data)
    pending = data.get("pending")
    aliases = tuple(_history(each) for each in data["aliases"])
    return Ledger(
        aliases=aliases,
        pending=None if pending is None else _pending(pending),
        machine=data.get("machine"),
        bytes_per_s=data.get("bytes_per_s"),
    )


def _history(data: Mapping[str, Any]) -> AliasHistory:
    versions = tuple(_entry(each) for each in data["versions"])
    previous = tuple(data["previous"])
    current = data["current"]
    indices = [i for i in (*previous, current) if i is not None]
    if len(previous) != len(versions) or any(not 0 <= i < len(versions) for i in indices):
        raise ValueError("a version points at one that does not exist")
    return AliasHistory(
        data["alias"], data.get("role"), versions, previous, current, data.get("backup")
    )


def _entry(data: Mapping[str, Any]) -> LedgerEntry:
    values = _known(LedgerEntry, data)
    if any(not isinstance(values[name], str) for name in ("alias", "model", "modelfile")):
        raise ValueError("an entry without alias, model or Modelfile")
    values["capabilities"] = tuple(data.get("capabilities") or ())
    values["measured"] = _optional(Measured, data.get("measured"))
    values["expected"] = _optional(Expectation, data.get("expected"))
    return LedgerEntry(**values)


def _pending(data: Mapping[str, Any]) -> Pending:
    targets = []
    for each in data["targets"]:
        values = _known(RoleTarget, each)
        values["expected"] = Expectation(**_known(Expectation, each["expected"]))
        for name in ("contexts", "reasons", "capabilities"):
            values[name] = tuple(each.get(name) or ())
        targets.append(RoleTarget(**values))
    return Pending(data["started_at"], data["machine"], tuple(targets))


def _optional(kind: Any, data: Mapping[str, Any] | None) -> Any:
    return None if data is None else kind(**_known(kind, data))


def _known(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the fields that the record has; what a newer version added is left."""
    names = {each.name for each in dataclasses.fields(kind)}
    return {name: value for name, value in data.items() if name in names}

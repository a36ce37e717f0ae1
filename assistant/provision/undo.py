"""Going back: the version of an alias before this one, or what stood there before setup.

A version is made again from the Modelfile that the ledger kept, under the candidate's name
first, and then copied over the alias, which is never missing in between. The ledger is written
last: after a kill at any point the same command finishes. Nothing is downloaded here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from assistant.errors import AssistantError, UnknownModelError
from assistant.ollama.client import OllamaClient
from assistant.ollama.modelfile import Modelfile, create_request, parse_modelfile
from assistant.ollama.records import InstalledModel
from assistant.provision.candidate import candidate_name
from assistant.provision.drift import installed_as, same_digest
from assistant.provision.ledger import read_ledger, rolled_back, without_alias, write_ledger
from assistant.provision.records import AliasHistory, Ledger, LedgerEntry

Kind = Literal["version", "backup", "remove"]
OnStep = Callable[[str], None]


class CannotRollBackError(AssistantError):
    """What is to come back can no longer be made from what is on the server."""

    code = "cannot_roll_back"


@dataclass(frozen=True, slots=True)
class Rollback:
    """One rollback.

    `kind` is what it does: make an earlier version again, copy back what was there before
    setup, or remove an alias that nothing was before. `then` is the version that comes back.
    `source` is the model on the server that it is made or copied from; None when nothing is
    left to be made. `changed_outside` says that the alias is not what this program made, so
    that a change of somebody else's is lost.
    """

    alias: str
    role: str | None
    kind: Kind
    now: LedgerEntry | None
    then: LedgerEntry | None = None
    source: str | None = None
    changed_outside: bool = False

    @property
    def candidate(self) -> str:
        """The name under which a version is made before it takes the alias's place."""
        return candidate_name(self.alias)


def rollback_kind(history: AliasHistory) -> Kind | None:
    """Return what a rollback of an alias would do; None when there is nothing to roll back."""
    if history.current is not None and history.before is not None:
        return "version"
    if history.backup is not None:
        return "backup"
    return None if history.current is None else "remove"


def make_again(entry: LedgerEntry) -> str:
    """Return the command that makes a version once more, from what its model is then."""
    if entry.role is None:
        return (
            f"assistant tune {entry.model} --num-ctx {entry.num_ctx} --apply --name {entry.alias}"
        )
    return f"assistant setup --role {entry.role} --model {entry.role}={entry.model}"


def undoing(plan: Rollback) -> str:
    """Return the command that undoes a rollback once it is done."""
    if plan.now is None:
        return f"assistant setup --role {plan.role}" if plan.role else "assistant setup"
    again = make_again(plan.now)
    same_model = plan.then is not None and plan.then.model == plan.now.model
    return f"{again} --num-ctx {plan.now.num_ctx}" if same_model and plan.now.role else again


def possible_rollbacks(ledger: Ledger) -> tuple[Rollback, ...]:
    """Return what could be rolled back by the ledger alone; the server was not asked."""
    found = []
    for history in ledger.aliases:
        kind = rollback_kind(history)
        if kind is not None:
            then = history.before if kind == "version" else None
            found.append(Rollback(history.alias, history.role, kind, history.entry, then))
    return tuple(found)


def plan_rollback(client: OllamaClient, ledger: Ledger, history: AliasHistory) -> Rollback:
    """Return the rollback of an alias, after looking whether the server has what it takes.

    Raises:
        UnknownModelError: nothing is there to roll back.
        CannotRollBackError: the model that it needs is gone from the server or has changed, or
            it would remove a model that somebody else has put there.
        OllamaError: the server cannot be reached or does not answer as it should.
    """
    kind = rollback_kind(history)
    if kind is None:
        again = f"assistant setup --role {history.role}"
        if history.role is None and history.versions:
            again = make_again(history.versions[-1])
        raise UnknownModelError(
            f"{history.alias} is not in use, so there is nothing to roll back.",
            hint=f"Set it up again with: {again}",
        )
    installed = client.installed_models()
    plan = Rollback(
        alias=history.alias,
        role=history.role,
        kind=kind,
        now=history.entry,
        changed_outside=is_foreign(history, installed),
    )
    if kind == "backup":
        return replace(plan, source=_backup_source(history, installed))
    if kind == "remove":
        if plan.changed_outside:
            raise CannotRollBackError(
                f"{history.alias} is not what this program made: somebody has put another model "
                "in its place. Nothing was changed.",
                hint=f"Remove it all the same with: assistant models remove {history.alias}",
            )
        return plan
    assert history.before is not None
    in_place = installed_as(history.alias, installed)
    if in_place is not None and same_digest(in_place.digest, history.before.alias_digest):
        return replace(plan, then=history.before)
    source = _source(client, ledger, history, history.before, installed)
    return replace(plan, then=history.before, source=source)


def lost_rollbacks(
    client: OllamaClient, ledger: Ledger, installed: Sequence[InstalledModel]
) -> tuple[str, ...]:
    """Return the aliases whose version before can no longer be made from these models.

    `installed` is what the server lists, or would list.

    Raises:
        OllamaError: the server does not answer.
    """
    return tuple(
        history.alias
        for history in ledger.aliases
        if rollback_kind(history) == "version"
        and history.before is not None
        and not _can_be_made(client, ledger, history, history.before, installed)
    )


def is_base_gone(entry: LedgerEntry, installed: Sequence[InstalledModel]) -> bool:
    """Return whether the model that a version was made from is no longer listed, by any name."""
    if installed_as(entry.model, installed) is not None:
        return False
    return not any(same_digest(model.digest, entry.digest) for model in installed)


def _can_be_made(
    client: OllamaClient,
    ledger: Ledger,
    history: AliasHistory,
    then: LedgerEntry,
    installed: Sequence[InstalledModel],
) -> bool:
    in_place = installed_as(history.alias, installed)
    if in_place is not None and same_digest(in_place.digest, then.alias_digest):
        return True
    try:
        _source(client, ledger, history, then, installed)
    except CannotRollBackError:
        return False
    return True


def roll_back(
    client: OllamaClient,
    plan: Rollback,
    *,
    folder: Path | None = None,
    on_step: OnStep = lambda _step: None,
) -> LedgerEntry | None:
    """Do it, and return the version now in use; None when it is no version of this program's.

    `on_step` is told what begins. `folder` holds the ledger. Hold the setup lock.

    Raises:
        OllamaError: the server refuses or goes away; run it again.
        FileProblemError: the ledger cannot be read or written; run it again.
    """
    if plan.kind == "version":
        return _make_version(client, plan, folder, on_step)
    if plan.kind == "backup":
        _copy_back(client, plan, folder, on_step)
    else:
        on_step(f"removing {plan.alias}")
        client.delete(plan.alias)
        client.delete(plan.candidate)
        write_ledger(without_alias(read_ledger(folder), plan.alias), folder)
    return None


def is_foreign(history: AliasHistory, installed: Sequence[InstalledModel]) -> bool:
    """Return whether what stands under an alias is known to be nobody's work but a stranger's.

    A model that is the backup's equal, or any version that the ledger knows, is not; nor is
    one whose digest nobody wrote down.
    """
    found = installed_as(history.alias, installed)
    if found is None:
        return False
    known = [version.alias_digest for version in history.versions]
    backup = installed_as(history.backup, installed) if history.backup else None
    if backup is not None:
        known.append(backup.digest)
    answers = [same_digest(found.digest, digest) for digest in known if digest]
    return bool(answers) and not any(answer is not False for answer in answers)


def without_backup(ledger: Ledger, alias: str) -> Ledger:
    """Return the ledger without a word of the model that stood there before setup."""
    history = ledger.of_alias(alias)
    return ledger if history is None else _with_history(ledger, replace(history, backup=None))


def _make_version(
    client: OllamaClient, plan: Rollback, folder: Path | None, on_step: OnStep
) -> LedgerEntry:
    """Make the version as the candidate, note its digest, copy it over the alias, say so.

    The digest in the ledger lets a second run see that the alias has been copied already.
    """
    assert plan.then is not None
    if plan.source is not None:
        modelfile = replace(parse_modelfile(plan.then.modelfile), from_=plan.source)
        on_step(f"creating {plan.alias} from {plan.source}")
        for _status in client.create(create_request(modelfile, name=plan.candidate)):
            pass
        made = installed_as(plan.candidate, client.installed_models())
        if made is not None and made.digest is not None:
            write_ledger(_with_digest(read_ledger(folder), plan.alias, made.digest), folder)
        client.copy(plan.candidate, plan.alias)
    client.delete(plan.candidate)
    ledger = rolled_back(read_ledger(folder), plan.alias)
    write_ledger(ledger, folder)
    history = ledger.of_alias(plan.alias)
    return plan.then if history is None or history.entry is None else history.entry


def _with_digest(ledger: Ledger, alias: str, digest: str) -> Ledger:
    """Return the ledger with the manifest digest of the version that a rollback brings back."""
    history = ledger.of_alias(alias)
    if history is None or history.current is None:
        return ledger
    index = history.previous[history.current]
    versions = tuple(
        replace(version, alias_digest=digest) if i == index else version
        for i, version in enumerate(history.versions)
    )
    return _with_history(ledger, replace(history, versions=versions))


def _with_history(ledger: Ledger, history: AliasHistory) -> Ledger:
    aliases = tuple(history if each.alias == history.alias else each for each in ledger.aliases)
    return replace(ledger, aliases=aliases)


def _copy_back(client: OllamaClient, plan: Rollback, folder: Path | None, on_step: OnStep) -> None:
    """Copy the model from before setup back; its other name goes once the ledger knows."""
    if plan.source is not None:
        on_step(f"copying {plan.source} back to {plan.alias}")
        client.copy(plan.source, plan.alias)
    ledger = without_alias(read_ledger(folder), plan.alias)
    write_ledger(ledger, folder)
    if plan.source is not None:
        client.delete(plan.source)
    client.delete(plan.candidate)
    write_ledger(without_backup(ledger, plan.alias), folder)


def _backup_source(history: AliasHistory, installed: Sequence[InstalledModel]) -> str | None:
    """Return the name of the kept model; None when an earlier rollback has copied it back.

    Raises:
        CannotRollBackError: somebody has removed it.
    """
    assert history.backup is not None
    if installed_as(history.backup, installed) is not None:
        return history.backup
    if history.current is None and installed_as(history.alias, installed) is not None:
        return None
    raise CannotRollBackError(
        f"the model that stood under {history.alias} before setup is no longer on the server: it "
        f"was kept as {history.backup}. Nothing was changed.",
        hint=f"Remove the alias instead with: assistant models remove {history.alias}",
    )


def _source(
    client: OllamaClient,
    ledger: Ledger,
    history: AliasHistory,
    then: LedgerEntry,
    installed: Sequence[InstalledModel],
) -> str:
    """Return the model on the server from which a version can be made exactly as it was.

    Its base model, if that still is the same file; else a copy of it under another name; else
    an alias made from the same file whose settings the version replaces one by one.

    Raises:
        CannotRollBackError: there is none.
    """
    base = installed_as(then.model, installed)
    if base is not None and _is_same_model(client, base, then):
        return then.model
    for model in installed:
        if same_digest(model.digest, then.digest):
            return model.name
    for other in ledger.aliases:
        made = None if other.entry is None else installed_as(other.alias, installed)
        if made is not None and _could_be_made_from(client, then, other, made):
            return made.name
    if base is None:
        raise CannotRollBackError(
            f"{history.alias} was made from {then.model!r}, which is no longer on the server. "
            "Nothing was changed.",
            hint=f"Get it with: ollama pull {then.model}\n"
            f"Then again: assistant rollback {history.role or history.alias}",
        )
    raise CannotRollBackError(
        f"{history.alias} was made from an older {then.model!r}; the one on the server now is "
        "another file, and the older one is gone. Nothing was changed.",
        hint=f"Set it up again with: {make_again(then)}",
    )


def _is_same_model(client: OllamaClient, base: InstalledModel, then: LedgerEntry) -> bool:
    """Return whether the base is what the version was made from, as far as can be told."""
    if same_digest(base.digest, then.digest):
        return True
    if then.blob_digest is None:
        return then.digest is None or base.digest is None
    return same_digest(client.show(base.name).blob_digest, then.blob_digest) is not False


def _could_be_made_from(
    client: OllamaClient, then: LedgerEntry, other: AliasHistory, made: InstalledModel
) -> bool:
    """Return whether an alias has the same file and no setting that `then` would inherit."""
    entry = other.entry
    if entry is None or not then.blob_digest or not same_digest(made.digest, entry.alias_digest):
        return False
    if not same_digest(client.show(made.name).blob_digest, then.blob_digest):
        return False
    return _replaces(parse_modelfile(then.modelfile), parse_modelfile(entry.modelfile))


def _replaces(new: Modelfile, old: Modelfile) -> bool:
    """Return whether every setting of `old` is set by `new` as well, so that none is inherited."""
    names = {name for name, _value in new.parameters}
    if any(name not in names for name, _value in old.parameters):
        return False
    texts = ("system", "template", "renderer", "parser")
    if any(getattr(old, text) and not getattr(new, text) for text in texts):
        return False
    return not old.adapters and (not old.messages or bool(new.messages))

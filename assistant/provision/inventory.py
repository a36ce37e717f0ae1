"""What there is and what it is for: the server's models joined with the ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from assistant.errors import UnknownModelError
from assistant.ollama.records import InstalledModel, LoadedModel
from assistant.provision.drift import Drift, drift_of, installed_as, name_key
from assistant.provision.records import (
    ALIAS_PREFIX,
    CANDIDATE_TAG,
    AliasHistory,
    Ledger,
    LedgerEntry,
    alias_of,
)
from assistant.recommend.roles import ALIASES, ROLE_NAMES


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One name on the server, in the ledger, or both.

    `entry` is what setup made under that name; `base_of` are the aliases made from it,
    `backup_of` the alias whose place it had before setup, `candidate_of` the one that it was
    tried for and then left over. `installed` is None when the server lacks it or was not asked,
    `drift` None when it was not asked.
    """

    name: str
    installed: InstalledModel | None = None
    loaded: LoadedModel | None = None
    entry: LedgerEntry | None = None
    base_of: tuple[str, ...] = ()
    backup_of: str | None = None
    candidate_of: str | None = None
    drift: Drift | None = None

    @property
    def role(self) -> str | None:
        """The role that it serves, or None."""
        return None if self.entry is None else self.entry.role


@dataclass(frozen=True, slots=True)
class Target:
    """What a person meant by NAME or ROLE.

    `history` is set when the ledger knows it as an alias, `installed` when the server has it.
    """

    name: str
    history: AliasHistory | None = None
    installed: InstalledModel | None = None

    @property
    def role(self) -> str | None:
        """The role, or None for a model that serves none."""
        return None if self.history is None else self.history.role


def inventory(
    ledger: Ledger,
    installed: Sequence[InstalledModel] | None,
    loaded: Iterable[LoadedModel] = (),
) -> tuple[ListedModel, ...]:
    """Return the aliases that are set up, in the ledger's order, then what else is installed.

    `installed` is None when no server could be asked: then only the aliases are known.
    """
    in_memory = {name_key(model.name): model for model in loaded}
    rows = []
    for history in ledger.aliases:
        if history.entry is None:
            continue
        rows.append(
            ListedModel(
                name=history.alias,
                installed=installed_as(history.alias, installed or ()),
                loaded=in_memory.get(name_key(history.alias)),
                entry=history.entry,
                drift=None if installed is None else drift_of(history.entry, installed=installed),
            )
        )
    listed = {name_key(row.name) for row in rows}
    for model in installed or ():
        key = name_key(model.name)
        if key not in listed:
            rows.append(
                ListedModel(
                    name=model.name,
                    installed=model,
                    loaded=in_memory.get(key),
                    base_of=aliases_from(ledger, model.name),
                    backup_of=backed_up(ledger, model.name),
                    candidate_of=candidate_of(model.name),
                )
            )
    return tuple(rows)


def matching(rows: Iterable[ListedModel], query: str) -> tuple[ListedModel, ...]:
    """Return the rows whose name, base or role holds every word of `query`."""
    words = query.lower().split()
    found = []
    for row in rows:
        text = f"{row.name} {row.role or ''} {row.entry.model if row.entry else ''}".lower()
        if all(word in text for word in words):
            found.append(row)
    return tuple(found)


def aliases_from(ledger: Ledger, model: str) -> tuple[str, ...]:
    """Return the aliases in use that were made from a model."""
    key = name_key(model)
    return tuple(
        history.alias
        for history in ledger.aliases
        if history.entry is not None and name_key(history.entry.model) == key
    )


def backed_up(ledger: Ledger, name: str) -> str | None:
    """Return the alias whose model from before setup is kept under this name, or None."""
    key = name_key(name)
    return next((h.alias for h in ledger.aliases if h.backup and name_key(h.backup) == key), None)


def candidate_of(name: str) -> str | None:
    """Return the alias that a name is a candidate of (`assistant-chat:next`), or None."""
    alias, _, tag = name.lower().rpartition(":")
    is_candidate = tag == CANDIDATE_TAG and alias.startswith(ALIAS_PREFIX)
    return name[: len(alias)] if is_candidate else None


def near_roles(text: str) -> list[str]:
    """Return the roles that a word without a tag or a path may be a misspelling of, best first."""
    word = text.strip().lower()
    if role_named(word) is not None or not word.isalpha():
        return []
    return get_close_matches(word, ROLE_NAMES, n=2, cutoff=0.7)


def role_named(text: str) -> str | None:
    """Return the role that a word names, by its name or a usual synonym, or None."""
    word = text.strip().lower()
    word = ALIASES.get(word, word)
    return word if word in ROLE_NAMES else None


def find_target(text: str, ledger: Ledger, installed: Sequence[InstalledModel] | None) -> Target:
    """Return what `text` names: a role that was set up, an alias, or a model on the server.

    A role comes first; `chat:latest` names a model called chat. `installed` is None when no
    server could be asked.

    Raises:
        UnknownModelError: nothing of that name is known; the hint offers near names.
    """
    models = installed or ()
    role = role_named(text)
    history = ledger.of_role(role) if role is not None else ledger.of_alias(text.strip())
    if history is None and role is not None:
        history = ledger.of_alias(text.strip())
    if history is not None:
        return Target(history.alias, history, installed_as(history.alias, models))
    model = installed_as(text, models)
    if model is None and role is not None:
        model = installed_as(alias_of(role), models)
    if model is not None:
        return Target(model.name, None, model)
    raise _unknown(text, role, ledger, installed)


def near_targets(text: str, ledger: Ledger, installed: Sequence[InstalledModel] = ()) -> list[str]:
    """Return the roles, aliases and installed names most like `text`, best first."""
    known = [history.role for history in ledger.aliases if history.role]
    known += [history.alias for history in ledger.aliases]
    known += [model.name for model in installed]
    known += list(ROLE_NAMES)
    return get_close_matches(text.strip().lower(), list(dict.fromkeys(known)), n=3, cutoff=0.6)


def _unknown(
    text: str, role: str | None, ledger: Ledger, installed: Sequence[InstalledModel] | None
) -> UnknownModelError:
    if role is not None:
        return UnknownModelError(
            f"nothing is set up for the role {role!r}.",
            hint=f"Set it up with: assistant setup --role {role}",
        )
    where = "in the ledger" if installed is None else "on the server or in the ledger"
    near = near_targets(text, ledger, installed or ())
    hint = f"Did you mean {' or '.join(near)}?" if near else "See: assistant models list"
    return UnknownModelError(f"there is no model {text.strip()!r} {where}.", hint=hint)

"""The candidate: the next version of an alias, tried under a name of its own before it is used.

`assistant-chat:next` becomes `assistant-chat` by a copy, after it was seen to work, and is then
removed. What somebody else keeps under the alias is put aside first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Final

from assistant.errors import AssistantError
from assistant.models.names import parse_model_name
from assistant.ollama.client import OllamaClient
from assistant.ollama.errors import NotOllamaError
from assistant.ollama.records import InstalledModel, ShownModel
from assistant.provision.drift import name_key
from assistant.provision.plan import installed_by_name
from assistant.provision.records import (
    BACKUP_TAG,
    CANDIDATE_TAG,
    AliasHistory,
    LedgerEntry,
    Measured,
    RoleTarget,
    alias_of,
)
from assistant.recommend.roles import ROLE_NAMES

CLEAN_UP_S: Final = 5.0
"""How long unloading a candidate may take; what is not removed now, the next run removes."""


def candidate_name(alias: str) -> str:
    """Return the name under which the next version of an alias is tried: its tag is `next`."""
    return parse_model_name(alias).with_tag(CANDIDATE_TAG).render()


def drop_candidate(client: OllamaClient, candidate: str) -> None:
    """Remove the candidate, unloaded first: a server lists a deleted model that it still runs.

    Whatever goes wrong is left for the next run.
    """
    with contextlib.suppress(AssistantError):
        client.unload(candidate, timeout_s=CLEAN_UP_S)
    with contextlib.suppress(AssistantError):
        client.delete(candidate)


def drop_leftovers(client: OllamaClient, installed: Iterable[InstalledModel]) -> None:
    """Remove the candidates, of any role, that an interrupted run has left behind."""
    names = {name_key(model.name) for model in installed}
    for role in ROLE_NAMES:
        candidate = candidate_name(alias_of(role))
        if name_key(candidate) in names:
            drop_candidate(client, candidate)


def keep_foreign(
    client: OllamaClient,
    history: AliasHistory | None,
    alias: str,
    candidate: str,
    installed: Mapping[str, InstalledModel],
) -> tuple[str | None, str | None]:
    """Keep what stands under the alias and is not ours; return its new name and what to say.

    Ours is what the ledger knows by its digest, and what is the same as the candidate: the
    ledger may be lost. Both are None when there is nothing to keep.
    """
    known = None if history is None else history.backup
    here = installed.get(name_key(alias))
    if here is None or is_ours(here, history, installed.get(name_key(candidate))):
        return known, None
    backup = f"{alias}:{BACKUP_TAG}"
    number = 1
    while (kept := installed.get(name_key(backup))) is not None:
        if kept.digest == here.digest:  # a run before this one came as far as here
            return backup, None
        number += 1
        backup = f"{alias}:{BACKUP_TAG}-{number}"
    client.copy(alias, backup)
    return backup, f"The {alias} that was there before is kept as {backup}."


def check_copied(client: OllamaClient, alias: str, digest: str | None) -> None:
    """Raise unless the alias now is the model with this digest; an unknown digest passes.

    Raises:
        NotOllamaError: the server said that it copied, and did not.
    """
    found = installed_by_name(client.installed_models()).get(name_key(alias))
    if found is None or digest not in (None, found.digest):
        raise NotOllamaError(client.address, f"it says that it copied a model to {alias}, in vain")


def ledger_entry(
    target: RoleTarget,
    shown: ShownModel,
    installed: Mapping[str, InstalledModel],
    measured: Measured | None,
    *,
    now: str,
    made: str,
) -> LedgerEntry:
    """Return the ledger's entry for a target whose model stands under the name `made`.

    `shown` is what the server shows of it, `installed` what it lists.
    """
    base, made_model = installed.get(name_key(target.model)), installed.get(name_key(made))
    return LedgerEntry(
        alias=target.alias,
        role=target.role or None,
        model=target.model,
        num_ctx=target.num_ctx,
        modelfile=target.modelfile,
        created_at=now,
        digest=base.digest if base else None,
        blob_digest=shown.blob_digest,
        alias_digest=made_model.digest if made_model else None,
        quantization=shown.quantization or target.quantization,
        size_bytes=made_model.size_bytes if made_model else None,
        source=parse_model_name(target.model).host,
        licence=target.licence,
        parameters=dict(shown.parameters),
        expected=target.expected,
        estimate=target.estimate,
        measured=measured,
        stays_loaded=target.stays_loaded,
        capabilities=target.capabilities,
        needs=target.needs,
        commercial_use=target.commercial_use,
    )


def is_ours(
    here: InstalledModel, history: AliasHistory | None, candidate: InstalledModel | None = None
) -> bool:
    """Return whether what stands under an alias is from here: in the ledger, or the candidate."""
    if candidate is not None and here.digest is not None and here.digest == candidate.digest:
        return True
    if history is None or history.entry is None:
        return False
    known = {entry.alias_digest for entry in history.versions}
    return None in known or here.digest in known

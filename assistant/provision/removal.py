"""Removing a model from the server: what goes, what it frees, who else uses its files.

A name on the server is a manifest over files that several names may share. Removing one frees
only the files that no other name uses; an alias made from a base model has a manifest of its
own and keeps working without the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import OllamaError, UnknownModelError
from assistant.ollama.client import OllamaClient
from assistant.ollama.records import InstalledModel
from assistant.provision.candidate import candidate_name
from assistant.provision.drift import installed_as, name_key
from assistant.provision.inventory import Target, aliases_from, backed_up
from assistant.provision.ledger import read_ledger, without_alias, write_ledger
from assistant.provision.records import Ledger
from assistant.provision.undo import lost_rollbacks, without_backup


@dataclass(frozen=True, slots=True)
class Removal:
    """What a removal does.

    `names` go from the server, in order. `alias` goes out of use in the ledger, `backup_of` is
    an alias that can then no longer get back what stood there before setup. `frees_bytes` is
    what the disk gains, None when it cannot be told; `shared_with` are names that stay and use
    the same files. `base_kept_for` are the names because of which the base model stays, though
    it was asked for; `made_from_it` the aliases that keep working without it. `ends_rollback_of`
    are the roles (aliases without a role) whose version before could then not be made again.
    `kept_backup` stays on the server and can be brought back.
    """

    name: str
    role: str | None
    names: tuple[str, ...]
    alias: str | None = None
    backup_of: str | None = None
    base: str | None = None
    base_kept_for: tuple[str, ...] = ()
    frees_bytes: int | None = None
    shared_with: tuple[str, ...] = ()
    made_from_it: tuple[str, ...] = ()
    ends_rollback_of: tuple[str, ...] = ()
    kept_backup: str | None = None
    loaded: bool = False


def plan_removal(
    client: OllamaClient, ledger: Ledger, target: Target, *, with_base: bool = False
) -> Removal:
    """Return what removing `target` means; with `with_base` its base model goes too.

    The base stays when another name on the server uses its file.

    Raises:
        UnknownModelError: it is neither on the server nor in use in the ledger.
        OllamaError: the server cannot be reached or does not answer as it should.
    """
    installed = client.installed_models()
    entry = None if target.history is None else target.history.entry
    names = [target.name]
    if target.history is not None:
        names.append(candidate_name(target.history.alias))
    going = [model for name in names if (model := installed_as(name, installed)) is not None]
    if not going and entry is None:
        raise UnknownModelError(
            f"{target.name} is not on the server and not in use: it was removed before.",
            hint="See: assistant models list",
        )
    files = _Files(client)
    base = installed_as(entry.model, installed) if entry is not None and with_base else None
    base_kept_for: tuple[str, ...] = ()
    if base is not None:
        base_kept_for = files.users(base, _others(installed, [*going, base]))
        if not base_kept_for:
            going.append(base)
    staying = _others(installed, going)
    loaded = {name_key(model.name) for model in client.loaded_models()}
    return Removal(
        name=target.name,
        role=target.role,
        names=tuple(model.name for model in going),
        alias=target.history.alias if entry is not None and target.history else None,
        backup_of=backed_up(ledger, target.name),
        base=base.name if base is not None else None,
        base_kept_for=base_kept_for,
        frees_bytes=files.freed(going, staying),
        shared_with=tuple(dict.fromkeys(u for m in going for u in files.users(m, staying))),
        made_from_it=() if target.history is not None else aliases_from(ledger, target.name),
        ends_rollback_of=_ended(client, ledger, target, installed, staying),
        kept_backup=target.history.backup if target.history is not None else None,
        loaded=any(name_key(model.name) in loaded for model in going),
    )


def remove(client: OllamaClient, removal: Removal, *, folder: Path | None = None) -> None:
    """Remove the names from the server, then mark the ledger. Hold the setup lock.

    After a kill in between the same command finishes: what is gone already counts as removed.

    Raises:
        OllamaError: the server refuses or goes away.
        FileProblemError: the ledger cannot be read or written.
    """
    for name in removal.names:
        client.delete(name)
    if removal.alias is None and removal.backup_of is None:
        return
    ledger = read_ledger(folder)
    if removal.alias is not None:
        ledger = without_alias(ledger, removal.alias)
    if removal.backup_of is not None:
        ledger = without_backup(ledger, removal.backup_of)
    write_ledger(ledger, folder)


def _ended(
    client: OllamaClient,
    ledger: Ledger,
    target: Target,
    installed: Sequence[InstalledModel],
    staying: Sequence[InstalledModel],
) -> tuple[str, ...]:
    """Return whose rollback works now and would not with what stays; the target's own ends."""
    lost = set(lost_rollbacks(client, ledger, staying))
    if lost:
        lost -= set(lost_rollbacks(client, ledger, installed))
    if target.history is not None:
        lost.discard(target.history.alias)
    return tuple(h.role or h.alias for h in ledger.aliases if h.alias in lost)


class _Files:
    """Which GGUF file each name uses, asked of the server when first needed."""

    def __init__(self, client: OllamaClient) -> None:
        self._client = client
        self._known: dict[str, str | None] = {}

    def of(self, model: InstalledModel) -> str | None:
        """Return the digest of a model's file, or None when the server does not say."""
        if model.name not in self._known:
            try:
                self._known[model.name] = self._client.show(model.name).blob_digest
            except (OllamaError, UnknownModelError):
                self._known[model.name] = None
        return self._known[model.name]

    def users(self, model: InstalledModel, others: Iterable[InstalledModel]) -> tuple[str, ...]:
        """Return the names among `others` that use the same file as `model`."""
        file = self.of(model)
        if file is None:
            return ()
        return tuple(
            other.name for other in others if _may_share(model, other) and self.of(other) == file
        )

    def freed(
        self, going: Sequence[InstalledModel], staying: Sequence[InstalledModel]
    ) -> int | None:
        """Return the bytes that only `going` uses; a file that stays counts for all of a model.

        None when a size or a file is not known.
        """
        sizes: dict[str, int] = {}
        for model in going:
            file = self.of(model)
            if file is None or model.size_bytes is None:
                return None
            if not self.users(model, staying):
                sizes[file] = max(sizes.get(file, 0), model.size_bytes)
        return sum(sizes.values())


def _may_share(one: InstalledModel, other: InstalledModel) -> bool:
    """Return False when two models cannot be of one file, so that nobody needs to be asked."""
    pairs = (
        (one.family, other.family),
        (one.quantization, other.quantization),
        (one.parameter_size, other.parameter_size),
    )
    return not any(a and b and a != b for a, b in pairs)


def _others(
    installed: Iterable[InstalledModel], going: Iterable[InstalledModel]
) -> list[InstalledModel]:
    names = {model.name for model in going}
    return [model for model in installed if model.name not in names]

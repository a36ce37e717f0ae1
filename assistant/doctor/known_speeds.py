"""What the ledger and earlier measurements know of a model on this machine."""

from __future__ import annotations

from assistant.doctor.records import Observations
from assistant.provision.drift import name_key
from assistant.provision.machine_key import machine_key
from assistant.provision.records import CANDIDATE_TAG, LedgerEntry


def alias_entry(seen: Observations, name: str) -> LedgerEntry | None:
    """Return what was set up under a name; None for any other model."""
    history = None if seen.ledger is None else seen.ledger.of_alias(name)
    return None if history is None else history.entry


def entry_of(seen: Observations, name: str) -> LedgerEntry | None:
    """Return what was set up under a name or from the model of that name.

    A server lists a runner under the name that loaded it, which of models that share a file may
    be the alias, its base, or the candidate that setup tried.
    """
    wanted = name_key(name)
    histories = seen.ledger.aliases if seen.ledger is not None else ()
    for history in histories:
        entry = history.entry
        if entry is None:
            continue
        names = (entry.alias, f"{entry.alias}:{CANDIDATE_TAG}", entry.model)
        if wanted in {name_key(each) for each in names}:
            return entry
    return None


def measured_speed(seen: Observations, name: str) -> float | None:
    """Return the tokens/s that were measured here, of an embedding model those that it reads."""
    entry = entry_of(seen, name)
    if entry is not None and entry.measured is not None and _is_of_this_machine(seen):
        found = entry.measured.decode_tokens_per_s or entry.measured.prompt_tokens_per_s
        if found:
            return found
    names = {name_key(name)} | ({name_key(entry.model)} if entry is not None else set())
    runs = seen.machine.measured_runs if seen.machine is not None else ()
    return next((r.decode_tokens_per_s for r in reversed(runs) if name_key(r.model) in names), None)


def _is_of_this_machine(seen: Observations) -> bool:
    assert seen.ledger is not None
    if seen.machine is None or seen.ledger.machine is None:
        return True
    return seen.ledger.machine == machine_key(seen.machine)

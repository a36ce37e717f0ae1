"""What is left to do, as steps: pure. What is in place is a step that is done.

For each role, in order: pull the model, create a candidate from its Modelfile, verify the
candidate by running it, activate it under the role's alias. The alias therefore never names
something that was not seen to work, and what it named before is kept until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assistant.errors import AssistantError
from assistant.ollama.records import InstalledModel
from assistant.provision.drift import name_key, same_digest
from assistant.provision.records import (
    Ledger,
    LedgerEntry,
    Plan,
    RoleTarget,
    Step,
    StepKind,
    StepState,
)
from assistant.units import GB, gb

DISK_MARGIN_BYTES = GB
"""Room that is left on the disk beside the downloads: manifests, logs, everybody else."""


class DiskTooSmallError(AssistantError):
    """The downloads would not fit on the disk."""

    code = "disk_too_small"


def installed_by_name(installed: Sequence[InstalledModel]) -> dict[str, InstalledModel]:
    """Return the installed models by `name_key`."""
    return {name_key(model.name): model for model in installed}


def is_in_place(
    target: RoleTarget, ledger: Ledger, installed: Mapping[str, InstalledModel]
) -> bool:
    """True when the alias on the server is the one that the ledger has, and the one wanted."""
    entry = ledger.current(target.role)
    return (
        entry is not None
        and (entry.model, entry.modelfile) == (target.model, target.modelfile)
        and is_untouched(entry, installed)
    )


def is_untouched(entry: LedgerEntry, installed: Mapping[str, InstalledModel]) -> bool:
    """True when the server still has an entry's alias as it was made, and its base as it was.

    A base that was pulled anew is to be taken up; one that was removed is not missed, because
    the alias keeps the files.
    """
    found = installed.get(name_key(entry.alias))
    base = installed.get(name_key(entry.model))
    return (
        found is not None
        and same_digest(entry.alias_digest, found.digest) is not False
        and (base is None or same_digest(entry.digest, base.digest) is not False)
    )


def plan_steps(
    targets: Sequence[RoleTarget], ledger: Ledger, installed: Mapping[str, InstalledModel]
) -> tuple[Step, ...]:
    """Return the steps for the targets, with what is in place marked as done."""
    steps: list[Step] = []
    pulled: set[str] = set()
    for target in targets:
        in_place = is_in_place(target, ledger, installed)
        entry = ledger.current(target.role)
        key = name_key(target.model)
        if key not in pulled:
            pulled.add(key)
            here = key in installed or all(
                is_in_place(each, ledger, installed)
                for each in targets
                if name_key(each.model) == key
            )
            reason = "on the server" if here else "to be downloaded"
            steps.append(
                Step(
                    id=f"pull:{target.model}",
                    kind="pull",
                    model=target.model,
                    reason=reason,
                    bytes=0 if here else target.download_bytes,
                    state=_state(done=here),
                    role=target.role,
                )
            )
        verified = in_place and entry is not None and entry.measured is not None
        made = _state(done=in_place)
        steps += [
            _step(
                "create", target, f"num_ctx {target.num_ctx} and the rest of its Modelfile", made
            ),
            _step(
                "verify", target, "loads, answers, and is where it should be", _state(done=verified)
            ),
            _step("activate", target, f"as {target.alias}, for every program", made),
        ]
    return tuple(steps)


def check_disk(plan: Plan) -> None:
    """Raise when the disk cannot hold what is to be downloaded; an unknown disk passes.

    Raises:
        DiskTooSmallError: the downloads and a margin are more than what is free.
    """
    free = plan.disk_free_bytes
    left = plan.download_bytes - plan.kept_bytes
    if free is None or left <= 0 or left + DISK_MARGIN_BYTES <= free:
        return
    raise DiskTooSmallError(
        f"the downloads need {gb(left)} and {gb(DISK_MARGIN_BYTES)} to spare; the disk of Ollama's "
        f"models has {gb(free)} free.",
        hint="Free some space (assistant models list), take fewer roles (--role chat), or move the "
        "models to another disk with OLLAMA_MODELS.",
    )


def download_bytes(steps: Sequence[Step]) -> int:
    """Return what the pending pulls download; sizes that nobody knows count as nothing."""
    return sum(step.bytes or 0 for step in steps if step.kind == "pull" and step.state != "done")


def _step(kind: StepKind, target: RoleTarget, reason: str, state: StepState) -> Step:
    return Step(
        id=f"{kind}:{target.role}",
        kind=kind,
        model=target.alias if kind != "verify" else target.model,
        reason=reason,
        state=state,
        role=target.role,
    )


def _state(*, done: bool) -> StepState:
    return "done" if done else "pending"

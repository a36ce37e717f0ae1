"""Doing a plan, step by step, so that it can be stopped anywhere and run again.

Per role: pull, create a candidate (`assistant-chat:next`), verify it, activate it. Activating
writes the ledger first and then copies the candidate over the alias: after a kill in between
the alias is not what the ledger says, which the next run sees and mends. A model that someone
else left under the alias is first kept as `assistant-chat:before-setup`.

A role that fails does not keep the others from being set up, unless the server is gone or its
disk is full.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from assistant.errors import AssistantError, FileProblemError, OllamaError
from assistant.files import write_atomically
from assistant.ollama.chat_errors import OutOfMemoryError
from assistant.ollama.client import OllamaClient
from assistant.ollama.errors import NotOllamaError, ServerUnreachableError
from assistant.ollama.modelfile import create_request, parse_modelfile
from assistant.ollama.progress import PullProgress
from assistant.ollama.pull_errors import DiskFullError
from assistant.provision.candidate import (
    candidate_name,
    check_copied,
    drop_candidate,
    drop_leftovers,
    keep_foreign,
    ledger_entry,
)
from assistant.provision.ledger import read_ledger, with_entry, write_ledger
from assistant.provision.plan import installed_by_name
from assistant.provision.records import (
    Ledger,
    Measured,
    Pending,
    Plan,
    RoleTarget,
    Step,
    StepKind,
    StepState,
)
from assistant.provision.verify import lands_as_planned, together_note, verify_model
from assistant.units import gib, tokens

MODELFILES_FOLDER: Final = "modelfiles"
_KEPT_SPEED_BYTES: Final = 50_000_000
"""A pull of at least this much says how fast the line is."""
_ENDS_IT: Final = (ServerUnreachableError, NotOllamaError, DiskFullError, FileProblemError)
"""What would meet the other roles as well."""

ESTIMATE_TOLERANCE: Final = 0.02
"""By how much `/api/ps` may differ from the estimate before the difference is worth a word."""

_PER_ROLE: Final = ("create", "verify", "activate")

EventKind = Literal["start", "progress", "done", "told", "failed"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person may want to see: `text` in words, `pull` while downloading."""

    kind: EventKind
    target: RoleTarget
    step: StepKind
    text: str = ""
    pull: PullProgress | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What applying a plan needs from outside.

    `folder` holds the ledger. `smaller` returns the next smaller target when a model did not
    land as planned (a shorter context, then a smaller quantization), or None; `keep_speed` is
    told what was measured; `now` is the time as ISO 8601 text; `machine` the key of the computer.
    """

    client: OllamaClient
    folder: Path
    machine: str
    now: Callable[[], str]
    report: Callable[[Event], None]
    smaller: Callable[[RoleTarget], RoleTarget | None]
    keep_speed: Callable[[RoleTarget, Measured], None]
    server_version: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: the plan with the steps' last states, the ledger, and what went wrong.

    `notes` are for the end; `told` was reported as it happened (what did not land as planned).
    """

    plan: Plan
    ledger: Ledger
    errors: tuple[AssistantError, ...] = ()
    notes: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


@dataclass(slots=True)
class _Run:
    plan: Plan
    world: World
    ledger: Ledger
    steps: dict[str, Step]
    targets: dict[str, RoleTarget]
    notes: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def apply_plan(plan: Plan, world: World) -> Outcome:
    """Do what is left of a plan and return how it ended; Ctrl-C leaves a state to go on from.

    Raises:
        FileProblemError: the ledger cannot be read or written.
    """
    ledger = read_ledger(world.folder)
    ledger = replace(
        ledger, pending=Pending(world.now(), world.machine, plan.targets), machine=world.machine
    )
    write_ledger(ledger, world.folder)
    run = _Run(
        plan,
        world,
        ledger,
        {step.id: step for step in plan.steps},
        {target.role: target for target in plan.targets},
    )
    errors = _all_roles(run)
    if not errors:
        note = together_note(world.client, tuple(run.targets.values()))
        run.notes += [note] if note else []
        run.ledger = replace(run.ledger, pending=None)
        write_ledger(run.ledger, world.folder)
    return Outcome(
        replace(plan, steps=tuple(run.steps.values()), targets=tuple(run.targets.values())),
        run.ledger,
        tuple(errors),
        tuple(run.notes),
        tuple(run.told),
    )


def _all_roles(run: _Run) -> list[AssistantError]:
    errors: list[AssistantError] = []
    for role, target in list(run.targets.items()):
        if _is_done(run, target):
            continue
        try:
            _one_role(run, target)
        except AssistantError as error:
            errors.append(with_hint(error, run.world.client))
            tried = run.targets[role]  # perhaps a smaller one by now
            step = _mark_failed(run, tried, error)
            run.world.report(Event("failed", tried, step, error.message))
            if isinstance(error, _ENDS_IT):
                break
    if not errors:
        with contextlib.suppress(OllamaError):
            drop_leftovers(run.world.client, run.world.client.installed_models())
    return errors


def _one_role(run: _Run, target: RoleTarget) -> None:
    """Make a role what its target says, or what the next smaller ones say."""
    next_try: RoleTarget | None = target
    landed: list[tuple[RoleTarget, Measured]] = []
    while next_try is not None:
        target = next_try
        _pull(run, target)
        candidate = candidate_name(target.alias)
        try:
            next_try = _try(run, target, candidate, landed)
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                run.world.report(Event("told", target, "verify", "stopping"))
            drop_candidate(run.world.client, candidate)
            raise


def _try(
    run: _Run, target: RoleTarget, candidate: str, landed: list[tuple[RoleTarget, Measured]]
) -> RoleTarget | None:
    """Create, verify and activate a target; return the smaller one to try in its place, or None.

    `landed` are the tries that ran, but not where they should; the best of them is taken when
    nothing smaller is left.
    """
    _create(run, target, candidate)
    try:
        measured = _verify(run, target, candidate)
    except _TooBigError as problem:
        if problem.measured is not None:
            landed.append((target, problem.measured))
            if not problem.measured.gpu_share:
                text = f"{target.model} runs on the CPU altogether, so less would not help"
                _tell(run, target, f"{text}: assistant doctor says why; kept so")
                _activate(run, target, candidate, problem.measured)
                return None
        smaller = run.world.smaller(target)
        if smaller is not None:
            _tell(run, target, f"{problem.text}; {_next_try(target, smaller)}")
            drop_candidate(run.world.client, candidate)
            _want_instead(run, smaller)
            return smaller
        if not landed:
            raise problem.error from None
        target, measured = _best(run, landed, target, candidate, problem.text)
    _activate(run, target, candidate, measured)
    return None


def _best(
    run: _Run,
    landed: list[tuple[RoleTarget, Measured]],
    last: RoleTarget,
    candidate: str,
    text: str,
) -> tuple[RoleTarget, Measured]:
    """Return the try with most on the GPU, the one with more context where shortening was vain."""
    best, measured = max(
        landed, key=lambda pair: (round(pair[1].gpu_share or 0.0, 2), pair[0].num_ctx)
    )
    kept = f"{best.model} with {tokens(best.num_ctx)}"
    _tell(
        run,
        last,
        f"{text}; nothing smaller is left to try: {kept} is kept, assistant doctor says why",
    )
    if best is not last:
        _want_instead(run, best)
        _create(run, best, candidate)
    return best, measured


def _want_instead(run: _Run, smaller: RoleTarget) -> None:
    """Take a smaller target for its role, also in what a run after a kill goes on from."""
    run.targets[smaller.role] = smaller
    _set(run, f"create:{smaller.role}", "pending")
    if run.ledger.pending is not None:
        pending = replace(run.ledger.pending, targets=tuple(run.targets.values()))
        run.ledger = replace(run.ledger, pending=pending)
        write_ledger(run.ledger, run.world.folder)


class _TooBigError(Exception):
    """The model runs, but not where it should; or it cannot be loaded for want of memory."""

    def __init__(
        self, text: str, *, measured: Measured | None = None, error: OllamaError | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.measured = measured
        self.error = error or OllamaError(text)


def _pull(run: _Run, target: RoleTarget) -> None:
    step = run.steps.get(f"pull:{target.model}")
    if step is None:
        step = Step(
            f"pull:{target.model}", "pull", target.model, "the next to try", role=target.role
        )
        run.steps[step.id] = step
    if step.state == "done":
        return
    run.world.report(Event("start", target, "pull"))
    began, first = time.monotonic(), None
    progress = PullProgress()
    for progress in run.world.client.pull(target.model):
        first = progress.completed_bytes if first is None and progress.layers else first
        run.world.report(Event("progress", target, "pull", pull=progress))
    fetched, seconds = progress.completed_bytes - (first or 0), time.monotonic() - began
    if fetched >= _KEPT_SPEED_BYTES and seconds > 0:
        run.ledger = replace(run.ledger, bytes_per_s=fetched / seconds)
        write_ledger(run.ledger, run.world.folder)
    _set(run, step.id, "done")
    run.world.report(Event("done", target, "pull", pull=progress))


def _create(run: _Run, target: RoleTarget, candidate: str) -> None:
    run.world.report(Event("start", target, "create"))
    body = create_request(parse_modelfile(target.modelfile), name=candidate)
    with _speaking_of(target.alias, candidate):
        for _ in run.world.client.create(body):
            pass
    _set(run, f"create:{target.role}", "done")
    run.world.report(Event("done", target, "create"))


def _verify(run: _Run, target: RoleTarget, candidate: str) -> Measured:
    """Return what was measured.

    Raises:
        _TooBigError: it does not land as planned, or cannot be loaded for want of memory.
    """
    run.world.report(Event("start", target, "verify"))
    try:
        with _speaking_of(target.model, candidate):
            measured = verify_model(
                run.world.client,
                name=candidate,
                capabilities=target.capabilities,
                now=run.world.now,
                server_version=run.world.server_version,
            )
    except OutOfMemoryError as error:
        raise _TooBigError(
            f"{target.model} with {tokens(target.num_ctx)} of context does not load", error=error
        ) from error
    if not lands_as_planned(target.expected, measured):
        share = round(100 * (1 - (measured.gpu_share or 0.0)))
        raise _TooBigError(
            f"{share} % of {target.model} with {tokens(target.num_ctx)} of context is on the CPU, "
            "against the estimate",
            measured=measured,
        )
    run.world.keep_speed(target, measured)
    _set(run, f"verify:{target.role}", "done")
    run.world.report(Event("done", target, "verify", text=describe_measured(target, measured)))
    return measured


def _activate(run: _Run, target: RoleTarget, candidate: str, measured: Measured) -> None:
    client, folder = run.world.client, run.world.folder
    installed = installed_by_name(client.installed_models())
    backup, note = keep_foreign(
        client, run.ledger.of_alias(target.alias), target.alias, candidate, installed
    )
    run.notes += [note] if note else []
    entry = ledger_entry(
        target, client.show(candidate), installed, measured, now=run.world.now(), made=candidate
    )
    write_atomically(
        folder / MODELFILES_FOLDER / f"{target.alias}.Modelfile", target.modelfile, mode=0o644
    )
    run.ledger = with_entry(run.ledger, entry, backup=backup)
    write_ledger(run.ledger, folder)
    client.copy(candidate, target.alias)
    check_copied(client, target.alias, entry.alias_digest)
    drop_candidate(client, candidate)
    for kind in _PER_ROLE:
        _set(run, f"{kind}:{target.role}", "done")
    run.world.report(Event("done", target, "activate"))


@contextlib.contextmanager
def _speaking_of(name: str, candidate: str) -> Iterator[None]:
    """Let errors name what the person knows in place of the candidate, which is soon gone."""
    try:
        yield
    except AssistantError as error:
        error.message = error.message.replace(candidate, name)
        error.hint = error.hint.replace(candidate, name) if error.hint else None
        raise


def with_hint(error: AssistantError, client: OllamaClient) -> AssistantError:
    """Return an error of a setup with what to do about it, where it does not say so itself."""
    if isinstance(error, ServerUnreachableError) and client.address.is_local and client.listens():
        error.hint = "Something listens there and does not answer: restart Ollama."
    elif error.hint is None:
        error.hint = "Run the same command again; assistant doctor looks for the reason."
    return error


def describe_measured(target: RoleTarget, measured: Measured) -> str:
    """Return what a verification found beside what was expected, in a line."""
    parts = [_where(target, measured)]
    if measured.num_ctx:
        short = measured.num_ctx < target.num_ctx
        wanted = f" (not the {target.num_ctx:,} of its Modelfile)" if short else ""
        parts.append(f"{measured.num_ctx:,} tokens{wanted}")
    if measured.dimension:
        parts.append(f"vectors of {measured.dimension:,}")
    decode = measured.decode_tokens_per_s
    if decode is not None:
        low, high = target.expected.decode_low, target.expected.decode_high
        expected = f" (expected {low:.0f}-{high:.0f})" if low and high else ""
        parts.append(f"{decode:.1f} tokens/s{expected}")
    if measured.load_s is not None:
        parts.append(f"loads in {measured.load_s:.1f} s")
    if measured.called_tool is False:
        parts.append("did not call the tool it was asked to")
    elif measured.called_tool:
        parts.append("calls tools")
    return ", ".join(part for part in parts if part)


def _where(target: RoleTarget, measured: Measured) -> str:
    """Return where it is and how large, beside the estimate if that is off by over 2 %."""
    share, size = measured.gpu_share, measured.size_bytes
    if share is None or size is None:
        return ""
    expected = target.expected.size_bytes
    estimated = ""
    if expected:
        off = abs(size - expected) > ESTIMATE_TOLERANCE * expected
        estimated = f" (estimated {gib(expected)})" if off else " as estimated"
    place = "100% CPU" if share == 0 else f"{round(100 * share)}% GPU"
    return f"{place}, {gib(size)}{estimated}"


def _next_try(target: RoleTarget, smaller: RoleTarget) -> str:
    if smaller.model != target.model:
        return f"trying {smaller.model}"
    return f"trying {tokens(smaller.num_ctx)}"


def _tell(run: _Run, target: RoleTarget, text: str) -> None:
    run.told.append(f"{target.role}: {text}.")
    run.world.report(Event("told", target, "verify", text=text))


def _is_done(run: _Run, target: RoleTarget) -> bool:
    mine = (step for step in run.steps.values() if step.role == target.role or
            step.id == f"pull:{target.model}")  # fmt: skip
    return all(step.state == "done" for step in mine)


def _mark_failed(run: _Run, target: RoleTarget, error: AssistantError) -> StepKind:
    """Mark the first step that is not done as failed, those after it as skipped; return which."""
    failed: StepKind | None = None
    ids = (f"pull:{target.model}", *(f"{kind}:{target.role}" for kind in _PER_ROLE))
    for step in [run.steps[each] for each in ids if run.steps[each].state != "done"]:
        state: StepState = "skipped" if failed else "failed"
        said = None if failed else error.message
        run.steps[step.id] = replace(step, state=state, error=said)
        failed = failed or step.kind
    return failed or "activate"


def _set(run: _Run, step_id: str, state: StepState) -> None:
    run.steps[step_id] = replace(run.steps[step_id], state=state)

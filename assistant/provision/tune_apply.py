"""Making a tuned variant on the server: created, verified by running it, named, written down.

The variant is made as a candidate under a name of this program's own, loaded and measured, and
only then copied to its name; so a name is never without a model, and a failure or a kill leaves
at most the candidate, which the next run replaces. A variant that lands on the CPU against the
estimate, or that cannot be loaded, is made again with the next shorter context.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from assistant.errors import AssistantError, NoFitError, UsageError
from assistant.files import write_atomically
from assistant.fit.calibration import uncalibrated
from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.fit.serialize import estimate_to_dict
from assistant.machine.measured_runs import keep_run
from assistant.machine.records import Machine, MeasuredRun
from assistant.models.names import parse_model_name
from assistant.ollama.chat_errors import LoadFailedError, OutOfMemoryError
from assistant.ollama.client import OllamaClient
from assistant.ollama.modelfile import Modelfile, create_request, render_modelfile
from assistant.ollama.records import InstalledModel, ShownModel
from assistant.paths import data_folder
from assistant.provision.candidate import candidate_name, drop_candidate
from assistant.provision.drift import installed_as, same_digest
from assistant.provision.ledger import read_ledger, with_entry, write_ledger
from assistant.provision.records import (
    Expectation,
    Ledger,
    LedgerEntry,
    Measured,
    alias_of,
)
from assistant.provision.role_modelfile import plain_modelfile, role_modelfile
from assistant.provision.targets import expectation
from assistant.provision.verify import GPU_SHARE, lands_as_planned, verify_model
from assistant.recommend.roles import ROLE_NAMES
from assistant.units import tokens

TUNED_PREFIX: Final = "assistant-tuned-"
MODELFILES_FOLDER: Final = "modelfiles"
_LONGEST_PART: Final = 80
"""Characters in a part of a name (`types/model/name.go`)."""
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class NameTakenError(UsageError):
    """A model of that name is on the server, and this program did not make it."""

    code = "name_taken"


@dataclass(frozen=True, slots=True)
class Variant:
    """What is to be made of an installed model.

    `contexts` are the one to try and those to fall back to, longest first; `why` says why the
    first. `name` is the one asked for, None for the usual one. `family` and `licence` are the
    catalog's, where it knows the model. With `as_it_lands` a place on the CPU is no failure.
    """

    model: str
    facts: ModelFacts
    shown: ShownModel
    machine: Machine
    options: RunOptions
    contexts: tuple[int, ...]
    why: str
    name: str | None = None
    role: str | None = None
    family: str | None = None
    licence: str | None = None
    as_it_lands: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A context that was tried in vain, and what happened."""

    num_ctx: int
    why: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What was made. `changed` is False when it was there already."""

    entry: LedgerEntry
    modelfile_file: Path
    attempts: tuple[Attempt, ...] = ()
    changed: bool = True


@dataclass(slots=True)
class _Run:
    """One application on its way."""

    client: OllamaClient
    variant: Variant
    ledger: Ledger
    installed: tuple[InstalledModel, ...]
    now: Callable[[], str]
    on_step: Callable[[str], None]
    attempts: list[Attempt] = field(default_factory=list)


def variant_name(model: str, num_ctx: int, *, role: str | None = None) -> str:
    """Return the usual name of a variant: `assistant-tuned-qwen3-14b:16k`."""
    tag = tokens(num_ctx).replace(",", "")
    return f"{_tuned(model)}:{tag if role is None else f'{tag}-{role}'}"


def modelfile_path(name: str, folder: Path | None = None) -> Path:
    """Return where the Modelfile of a variant is kept; no sign in it troubles a file system."""
    plain = _slug(name)
    return (folder or data_folder()) / MODELFILES_FOLDER / f"{plain}.Modelfile"


def variant_modelfile(variant: Variant, num_ctx: int, *, why: str) -> Modelfile:
    """Return the Modelfile of a variant with one context."""
    thinking = "thinking" in variant.shown.capabilities
    if variant.role is None:
        return plain_modelfile(
            variant.model,
            num_ctx=num_ctx,
            why_num_ctx=why,
            family=variant.family,
            thinking=thinking,
            licence=variant.licence,
        )
    return role_modelfile(
        variant.role,
        model=variant.model,
        num_ctx=num_ctx,
        why_num_ctx=why,
        family=variant.family,
        thinking=thinking,
        licence=variant.licence,
    )


def check_name(name: str, ledger: Ledger, installed: Sequence[InstalledModel]) -> None:
    """Check that a name may be taken for a variant.

    Raises:
        ModelNameError: Ollama would not accept it.
        UsageError: it belongs to a role.
        NameTakenError: another model has it.
    """
    key = parse_model_name(name).key
    history = ledger.of_alias(name)
    named = (r for r in ROLE_NAMES if parse_model_name(alias_of(r)).key == key)
    role = next(named, None if history is None else history.role)
    if role is not None:
        raise UsageError(
            f"{name!r} is the name of a role's model.",
            hint=f"Choose another name, or set the role: assistant setup --role {role}",
        )
    found = installed_as(name, installed)
    versions = () if history is None else history.versions
    ours = any(same_digest(found.digest, v.alias_digest) is not False for v in versions if found)
    if found is not None and not ours:
        raise NameTakenError(
            f"there is a model {name!r} on the server that assistant tune did not make.",
            hint="Choose another name with --name NAME.",
        )


def already_made(
    client: OllamaClient, variant: Variant, *, folder: Path | None = None
) -> Applied | None:
    """Return the variant with its first context, if it stands on the server as it would be made.

    Raises:
        NameTakenError, UsageError: its name cannot be taken.
        OllamaError, FileProblemError: the server or the ledger cannot be asked.
    """
    ledger, installed = read_ledger(folder), client.installed_models()
    num_ctx = variant.contexts[0]
    name = planned_name(variant, num_ctx)
    check_name(name, ledger, installed)
    modelfile = variant_modelfile(variant, num_ctx, why=variant.why)
    entry = _as_it_should_be(ledger, installed, variant, name, modelfile)
    if entry is None:
        return None
    return Applied(entry, modelfile_path(name, folder), changed=False)


def apply_variant(
    client: OllamaClient,
    variant: Variant,
    *,
    now: Callable[[], str],
    folder: Path | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> Applied:
    """Make a variant, verify it and write it down; hold the setup lock meanwhile.

    `now` gives the time for the ledger, which is in `folder`. `on_step` is told what begins.

    Raises:
        NameTakenError, UsageError: the name cannot be taken; nothing was done.
        NoFitError: it lands on the CPU with every context; nothing is left behind.
        OllamaError: the server refused or went away; nothing is left behind.
        FileProblemError: the ledger cannot be read or written; nothing is left behind.
    """
    run = _Run(client, variant, read_ledger(folder), client.installed_models(), now, on_step)
    candidate = candidate_name(_tuned(variant.model))
    try:
        for num_ctx in variant.contexts:
            if run.attempts:
                run.on_step(_told_before_retry(run.attempts[-1], num_ctx))
            with _speaking_of(planned_name(variant, num_ctx), candidate):
                done = _try(run, candidate, num_ctx, folder)
            if done is not None:
                return replace(done, attempts=tuple(run.attempts))
    finally:
        drop_candidate(client, candidate)
    raise NoFitError(
        f"{variant.model!r} did not land on the GPU as estimated with any context tried "
        f"({'; '.join(f'{each.num_ctx}: {each.why}' for each in run.attempts)}).",
        hint="Something else may use the GPU: assistant doctor",
    )


@contextlib.contextmanager
def _speaking_of(name: str, candidate: str) -> Iterator[None]:
    """Let errors name what is being made in place of the candidate, which is soon gone."""
    try:
        yield
    except AssistantError as error:
        error.message = error.message.replace(candidate, name)
        error.hint = error.hint.replace(candidate, name) if error.hint else None
        raise


def _told_before_retry(attempt: Attempt, num_ctx: int) -> str:
    return f"with {attempt.num_ctx:,} tokens {attempt.why}; trying {num_ctx:,}"


def _try(run: _Run, candidate: str, num_ctx: int, folder: Path | None) -> Applied | None:
    """Return what was made with one context; None when it did not land as estimated."""
    variant = run.variant
    estimate = _estimate(variant, num_ctx)
    expected = expectation(estimate, variant.facts)
    why = variant.why if not run.attempts else _why_shorter(run.attempts[-1])
    modelfile = variant_modelfile(variant, num_ctx, why=why)
    name = planned_name(variant, num_ctx)
    check_name(name, run.ledger, run.installed)
    path = modelfile_path(name, folder)
    present = _as_it_should_be(run.ledger, run.installed, variant, name, modelfile)
    if present is not None:
        return Applied(present, path, changed=False)
    run.on_step(f"creating {name} from {variant.model}")
    for _status in run.client.create(create_request(modelfile, name=candidate)):
        pass
    run.on_step(f"loading {name} with {num_ctx:,} tokens and measuring it")
    measured = _measure(run, candidate, num_ctx, expected)
    if measured is None:
        return None
    digest = _digest(run.client, candidate)
    entry = _entry(run, name, modelfile, estimate, measured, digest)
    _put_in_place(run, candidate, entry, path, folder)
    _keep_speed(variant, num_ctx, measured, folder)
    return Applied(entry, path)


def _measure(run: _Run, candidate: str, num_ctx: int, expected: Expectation) -> Measured | None:
    """Return what verification found, or None, with the reason noted, when it fell short."""
    variant = run.variant
    try:
        measured = verify_model(
            run.client,
            name=candidate,
            capabilities=variant.shown.capabilities,
            now=run.now,
            server_version=run.client.version(),
        )
    except (OutOfMemoryError, LoadFailedError) as error:
        if num_ctx == variant.contexts[-1]:
            raise
        name = planned_name(variant, num_ctx)
        run.attempts.append(Attempt(num_ctx, error.message.replace(candidate, name).rstrip(".")))
        return None
    if variant.as_it_lands or lands_as_planned(expected, measured):
        return measured
    share = round(100 * (1 - (measured.gpu_share or 0.0)))
    run.attempts.append(Attempt(num_ctx, f"{max(share, 1)} % of it landed on the CPU"))
    return None


def _put_in_place(
    run: _Run, candidate: str, entry: LedgerEntry, path: Path, folder: Path | None
) -> None:
    """Write down what the candidate is, then copy it to its name.

    In this order, so that after a kill in between the name is known to be this program's. Where
    copying fails and the name is not what it should be, all is written as it was.
    """
    before = path.read_text("utf-8") if path.exists() else None
    write_atomically(path, entry.modelfile, mode=0o644)
    write_ledger(with_entry(run.ledger, entry), folder)
    try:
        run.client.copy(candidate, entry.alias)
    except (AssistantError, KeyboardInterrupt):
        with contextlib.suppress(AssistantError, OSError):
            if _taken_back(run, entry):
                write_ledger(run.ledger, folder)
                if before is None:
                    path.unlink(missing_ok=True)
                else:
                    write_atomically(path, before, mode=0o644)
        raise


def _taken_back(run: _Run, entry: LedgerEntry) -> bool:
    """Return whether a name is as it was before it was copied to; a new one is removed.

    Raises:
        OllamaError: the server does not say.
    """
    if installed_as(entry.alias, run.installed) is None:
        run.client.delete(entry.alias)
        return True
    return not same_digest(_digest(run.client, entry.alias), entry.alias_digest)


def _keep_speed(variant: Variant, num_ctx: int, measured: Measured, folder: Path | None) -> None:
    """Keep what was measured for later estimates, if it was measured on the detected machine."""
    share = measured.gpu_share
    if variant.machine.source != "detected" or measured.decode_tokens_per_s is None:
        return
    speed = _estimate(variant, num_ctx, uncalibrated(variant.machine)).speed
    run = MeasuredRun(
        model=variant.model,
        quantization=variant.facts.quantization,
        num_ctx=measured.num_ctx or num_ctx,
        verdict="cpu" if not share else "gpu" if share >= GPU_SHARE else "partial",
        decode_tokens_per_s=measured.decode_tokens_per_s,
        measured_on=measured.at[:10],
        prompt_tokens_per_s=measured.prompt_tokens_per_s,
        expected_decode_tokens_per_s=speed.decode.expected if speed.decode else None,
        expected_prompt_tokens_per_s=speed.prompt.expected if speed.prompt else None,
    )
    with contextlib.suppress(AssistantError, ValueError):
        keep_run(folder or data_folder(), variant.machine, run)


def _entry(
    run: _Run,
    name: str,
    modelfile: Modelfile,
    estimate: FitEstimate,
    measured: Measured,
    digest: str | None,
) -> LedgerEntry:
    variant = run.variant
    base = installed_as(variant.model, run.installed)
    return LedgerEntry(
        alias=name,
        model=variant.model,
        num_ctx=estimate.num_ctx,
        modelfile=render_modelfile(modelfile),
        created_at=run.now(),
        role=None,
        digest=None if base is None else base.digest,
        blob_digest=variant.shown.blob_digest,
        alias_digest=digest,
        quantization=variant.facts.quantization,
        size_bytes=None if base is None else base.size_bytes,
        source=parse_model_name(variant.model).host,
        licence=variant.licence,
        parameters=dict(modelfile.parameters),
        expected=expectation(estimate, variant.facts),
        estimate=estimate_to_dict(estimate),
        measured=measured,
        capabilities=tuple(sorted(variant.shown.capabilities)),
    )


def _as_it_should_be(
    ledger: Ledger,
    installed: Sequence[InstalledModel],
    variant: Variant,
    name: str,
    modelfile: Modelfile,
) -> LedgerEntry | None:
    """Return the entry of a variant that is there as it would be made, or None."""
    history = ledger.of_alias(name)
    entry = None if history is None else history.entry
    found = installed_as(name, installed)
    if entry is None or found is None or entry.modelfile != render_modelfile(modelfile):
        return None
    same_file = same_digest(entry.blob_digest, variant.shown.blob_digest) is not False
    return entry if same_file and same_digest(entry.alias_digest, found.digest) else None


def _estimate(variant: Variant, num_ctx: int, machine: Machine | None = None) -> FitEstimate:
    options = replace(variant.options, num_ctx=num_ctx)
    return estimate_fit(variant.facts, machine or variant.machine, options, with_limits=False)


def _digest(client: OllamaClient, name: str) -> str | None:
    found = installed_as(name, client.installed_models())
    return None if found is None else found.digest


def _why_shorter(attempt: Attempt) -> str:
    return f"the longest that stays on the GPU; with {attempt.num_ctx} {attempt.why}"


def planned_name(variant: Variant, num_ctx: int) -> str:
    """Return the name of a variant with one context: the one asked for, or the usual one."""
    return variant.name or variant_name(variant.model, num_ctx, role=variant.role)


def _tuned(model: str) -> str:
    return f"{TUNED_PREFIX}{_slug(model)}"[:_LONGEST_PART]


def _slug(name: str) -> str:
    """Return a model's name as one word: `hf.co/user/repo:Q4` is `hf.co-user-repo-q4`."""
    return _NOT_IN_NAMES.sub("-", name.lower().removesuffix(":latest")).strip("-.")

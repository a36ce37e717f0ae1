"""Several models sized side by side: who stays loaded, and with how much context each.

Ollama keeps models loaded while its rough prediction of the next one is at most 80 % of what is
free, and llama.cpp places a model on the GPU while a gibibyte stays free (MEMORY_MODEL 4.3, 4.4).
Models are taken to be loaded largest first, as `assistant setup` verifies them. Roles that one
model serves share a runner, which has one context length: they get the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.fit.room import measure_room
from assistant.fit.run_choices import displaces_others
from assistant.machine.records import Machine
from assistant.provision.contexts import AMPLE, ContextChoice, choose_context, contexts_of
from assistant.provision.room_left import machine_beside
from assistant.recommend.roles import RoleProfile


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model for a role, and the context that the person asked for, if any."""

    role: RoleProfile
    facts: ModelFacts
    num_ctx: int | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """A model for a role with its context; `stays_loaded` beside the others."""

    role: RoleProfile
    facts: ModelFacts
    choice: ContextChoice
    stays_loaded: bool


@dataclass(slots=True)
class _Model:
    """One model with all the roles it serves; the widest of them decides."""

    facts: ModelFacts
    role: RoleProfile
    asked: int | None
    choice: ContextChoice
    stays: bool = False


def size_together(
    wanted: Sequence[Wanted],
    machine: Machine,
    *,
    options: RunOptions | None = None,
    max_loaded: int | None = None,
) -> tuple[Sized, ...]:
    """Return each role's context and whether its model stays loaded, in the order given.

    First every model gets what its role usually needs and as many as possible are kept side by
    side (embeddings first: they are small and asked often); then what is left of the memory
    goes into longer contexts, in the order of the roles. `max_loaded` is
    OLLAMA_MAX_LOADED_MODELS.
    """
    options = options or RunOptions()
    models = _models(wanted, machine, options)
    _keep_side_by_side(models, machine, options, max_loaded)
    kept = [model for model in models if model.stays]
    for model in kept:
        _lengthen(model, kept, machine, options)
    for model in models:
        if not model.stays:
            _size_alone(model, kept, machine, options)
    by_file = {_file(model.facts): model for model in models}
    sized = []
    for each in wanted:
        model = by_file[_file(each.facts)]
        sized.append(Sized(each.role, each.facts, model.choice, model.stays))
    return tuple(sized)


def together_bytes(sized: Sequence[Sized], *, on_gpu: bool) -> int:
    """Return what those that stay loaded take of the GPUs, or of the RAM without any."""
    files = {_file(each.facts): each.choice.estimate for each in sized if each.stays_loaded}
    return sum((e.gpu if on_gpu else e.memory).total_bytes for e in files.values())


def _models(wanted: Sequence[Wanted], machine: Machine, options: RunOptions) -> list[_Model]:
    by_file: dict[str, list[Wanted]] = {}
    for each in wanted:
        by_file.setdefault(_file(each.facts), []).append(each)
    models = []
    for served in by_file.values():
        widest = max((each.role for each in served), key=lambda role: AMPLE[role.name])
        asked = max((each.num_ctx or 0 for each in served), default=0) or None
        facts = served[0].facts
        usual = _at(facts, machine, options, widest, asked, asked or _usual(widest, facts))
        if usual.estimate.placement.verdict not in ("gpu", "cpu"):
            usual = choose_context(facts, machine, widest, options=options, asked=asked)
        models.append(_Model(facts, widest, asked, usual))
    return models


def _keep_side_by_side(
    models: list[_Model], machine: Machine, options: RunOptions, max_loaded: int | None
) -> None:
    order = sorted(models, key=lambda model: not model.facts.architecture.is_embedding)
    kept: list[_Model] = []
    for model in order:
        if max_loaded is not None and len(kept) >= max_loaded:
            break
        pairs = [(each.facts, each.choice.num_ctx) for each in (*kept, model)]
        if not kept or _all_fit(pairs, machine, options):
            model.stays = True
            kept.append(model)


def _lengthen(model: _Model, kept: list[_Model], machine: Machine, options: RunOptions) -> None:
    """Give a model the longest context with which all that are kept still fit."""
    others = [each for each in kept if each is not model]
    if not others:
        model.choice = choose_context(
            model.facts, machine, model.role, options=options, asked=model.asked
        )
        return
    num_ctx = model.choice.num_ctx
    if model.asked is None and machine.usable_accelerators:
        beside = [(each.facts, each.choice.num_ctx) for each in others]
        for longer in contexts_of(model.role, model.facts.architecture.context_length):
            if longer <= num_ctx:
                break
            if _all_fit([(model.facts, longer), *beside], machine, options):
                num_ctx = longer
                break
    size = _fit(model.facts, machine, options, num_ctx).memory.total_bytes
    larger = [e for e in (o.choice.estimate for o in others) if e.memory.total_bytes > size]
    choice = choose_context(
        model.facts, machine, model.role, options=options, asked=num_ctx, beside=larger
    )
    model.choice = replace(choice, why=_why_beside(model, choice, others))


def _why_beside(model: _Model, choice: ContextChoice, others: list[_Model]) -> str:
    names = " and ".join(each.facts.name for each in others)
    if model.asked is not None:
        return "as asked"
    rungs = contexts_of(model.role, model.facts.architecture.context_length)
    if choice.num_ctx == model.facts.architecture.context_length:
        return f"all that the model was trained for, with {names} loaded beside it"
    if choice.num_ctx >= rungs[0]:
        return f"ample for the role, with {names} loaded beside it"
    where = "stays on the GPU" if choice.estimate.placement.verdict == "gpu" else "fits"
    return f"the largest that {where} with {names} loaded beside it"


def _size_alone(model: _Model, kept: list[_Model], machine: Machine, options: RunOptions) -> None:
    """Size a model that takes turns: beside the embeddings if that costs nothing, else alone."""
    small = [each.choice.estimate for each in kept if each.facts.architecture.is_embedding]
    alone = choose_context(model.facts, machine, model.role, options=options, asked=model.asked)
    beside = choose_context(
        model.facts, machine, model.role, options=options, asked=model.asked, beside=small
    )
    usual = _usual(model.role, model.facts)
    good = beside.estimate.placement.verdict == alone.estimate.placement.verdict
    model.choice = beside if good and beside.num_ctx >= min(usual, alone.num_ctx) else alone


def _all_fit(
    models: Sequence[tuple[ModelFacts, int]], machine: Machine, options: RunOptions
) -> bool:
    """True when models with these contexts stay side by side, loaded largest first."""
    on_gpu = bool(machine.usable_accelerators)
    alone = [(facts, _fit(facts, machine, options, num_ctx)) for facts, num_ctx in models]
    loaded: list[FitEstimate] = []
    for facts, size in sorted(alone, key=lambda pair: -pair[1].memory.total_bytes):
        room = machine_beside(machine, loaded)
        estimate = _fit(facts, room, options, size.num_ctx)
        if estimate.placement.verdict != ("gpu" if on_gpu else "cpu"):
            return False
        if loaded and on_gpu:
            available = sum(gpu.free_bytes for gpu in measure_room(room).gpus)
            tokens = estimate.num_ctx * estimate.num_parallel
            if displaces_others(
                facts, tokens=tokens, num_batch=estimate.num_batch, available=available
            ):
                return False
        loaded.append(estimate)
    return True


def _at(
    facts: ModelFacts,
    machine: Machine,
    options: RunOptions,
    role: RoleProfile,
    asked: int | None,
    num_ctx: int,
) -> ContextChoice:
    why = "as asked" if asked is not None else f"the usual for {role.title}"
    shorter = tuple(n for n in contexts_of(role, facts.architecture.context_length) if n < num_ctx)
    return ContextChoice(num_ctx, why, _fit(facts, machine, options, num_ctx), shorter)


def _usual(role: RoleProfile, facts: ModelFacts) -> int:
    trained = facts.architecture.context_length
    return min(role.num_ctx, trained) if trained else role.num_ctx


def _fit(facts: ModelFacts, machine: Machine, options: RunOptions, num_ctx: int) -> FitEstimate:
    return estimate_fit(facts, machine, replace(options, num_ctx=num_ctx), with_limits=False)


def _file(facts: ModelFacts) -> str:
    return facts.resolved.lower()

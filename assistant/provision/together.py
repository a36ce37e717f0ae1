"""Several models sized side by side: who stays loaded, and with how much context each.

Ollama keeps models loaded while its rough prediction of the next one is at most 80 % of what is
free, and llama.cpp places a model on the GPU while a gibibyte stays free (MEMORY_MODEL 4.3, 4.4).
Models are taken to be loaded largest first, as `assistant setup` verifies them. Roles that one
model serves share a runner, which has one context length: they get the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.fit.room import measure_room
from assistant.fit.run_choices import choose_gpus, displaces_others, predict_vram
from assistant.machine.records import Machine
from assistant.provision.contexts import (
    AMPLE,
    ContextChoice,
    choose_context,
    contexts_of,
    why_asked,
)
from assistant.provision.room_left import machine_beside
from assistant.provision.wording import listed
from assistant.recommend.roles import RoleProfile

MODELS_PER_GPU: Final = 3
"""Models that Ollama keeps in memory for each GPU when nobody says (MEMORY_MODEL 4.8)."""


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
    """One model with all the roles it serves; the widest of them decides.

    `contexts` are those that it may get, longest first; `num_ctx` the one it has so far.
    """

    facts: ModelFacts
    role: RoleProfile
    asked: int | None
    contexts: tuple[int, ...]
    num_ctx: int
    stays: bool = False


def size_together(
    wanted: Sequence[Wanted],
    machine: Machine,
    *,
    options: RunOptions | None = None,
    max_loaded: int | None = None,
) -> tuple[Sized, ...]:
    """Return each role's context and whether its model stays loaded, in the order given.

    First it is seen which models stay side by side with the least context that their roles can
    do with: embeddings first, because they are small and asked often, then in the order of the
    roles. What is left of the memory goes into what each role usually needs, then into longer
    contexts, in the same order. `max_loaded` is OLLAMA_MAX_LOADED_MODELS; None is Ollama's own
    choice, three models a GPU, or three in all without one.
    """
    options = options or RunOptions()
    models = _models(wanted, machine)
    limit = max_loaded or MODELS_PER_GPU * max(1, len(machine.usable_accelerators))
    _keep_side_by_side(models, machine, options, limit)
    kept = [model for model in models if model.stays]
    choices: dict[str, ContextChoice] = {}
    if len(kept) == 1:
        choices[_file(kept[0].facts)] = _alone(kept[0], machine, options)
    elif kept:
        _lengthen(kept, machine, options)
        choices = _place(kept, machine, options)
    for model in models:
        if not model.stays:
            embedders = [
                choices[_file(each.facts)].estimate
                for each in kept
                if each.facts.architecture.is_embedding
            ]
            choices[_file(model.facts)] = _in_turn(model, embedders, machine, options)
    stays = {_file(model.facts): model.stays for model in models}
    return tuple(
        Sized(each.role, each.facts, choices[_file(each.facts)], stays[_file(each.facts)])
        for each in wanted
    )


def together_bytes(sized: Sequence[Sized], *, on_gpu: bool) -> int:
    """Return what those that stay loaded take of the GPUs, or of the RAM without any."""
    files = {_file(each.facts): each.choice.estimate for each in sized if each.stays_loaded}
    return sum((e.gpu if on_gpu else e.memory).total_bytes for e in files.values())


def _models(wanted: Sequence[Wanted], machine: Machine) -> list[_Model]:
    by_file: dict[str, list[Wanted]] = {}
    for each in wanted:
        by_file.setdefault(_file(each.facts), []).append(each)
    models = []
    for served in by_file.values():
        facts = served[0].facts
        widest = max((each.role for each in served), key=lambda role: AMPLE[role.name])
        asked = max((each.num_ctx or 0 for each in served), default=0) or None
        contexts = _contexts(facts, widest, machine, asked)
        models.append(_Model(facts, widest, asked, contexts, contexts[-1]))
    return models


def _contexts(
    facts: ModelFacts, role: RoleProfile, machine: Machine, asked: int | None
) -> tuple[int, ...]:
    """Return the contexts that a model may get: on the CPU none longer than the usual one."""
    trained = facts.architecture.context_length
    if asked is not None:
        return (min(asked, trained) if trained else asked,)
    contexts = contexts_of(role, trained)
    if machine.usable_accelerators:
        return contexts
    return tuple(n for n in contexts if n <= role.num_ctx) or contexts[-1:]


def _keep_side_by_side(
    models: list[_Model], machine: Machine, options: RunOptions, limit: int
) -> None:
    order = sorted(models, key=lambda model: not model.facts.architecture.is_embedding)
    kept: list[_Model] = []
    for model in order:
        if len(kept) >= limit:
            break
        if not kept or _all_fit([*kept, model], machine, options):
            model.stays = True
            kept.append(model)


def _lengthen(kept: Sequence[_Model], machine: Machine, options: RunOptions) -> None:
    """Give each model what it usually needs, then each the longest with which all still fit."""
    for usual_only in (True, False):
        for model in kept:
            before = model.num_ctx
            for longer in model.contexts:
                if longer <= before:
                    break
                if usual_only and longer > model.role.num_ctx:
                    continue
                model.num_ctx = longer
                if _all_fit(kept, machine, options):
                    break
                model.num_ctx = before


def _place(
    kept: Sequence[_Model], machine: Machine, options: RunOptions
) -> dict[str, ContextChoice]:
    """Return the choices of those that stay, each as it lands beside the larger ones."""
    choices: dict[str, ContextChoice] = {}
    loaded: list[FitEstimate] = []
    for model in _largest_first(kept, machine, options):
        choice = choose_context(
            model.facts,
            machine,
            model.role,
            options=options,
            asked=model.num_ctx,
            beside=loaded,
        )
        others = [each for each in kept if each is not model]
        why = _why_beside(model, choice, others, on_gpu=bool(machine.usable_accelerators))
        choices[_file(model.facts)] = replace(choice, why=why)
        loaded.append(choice.estimate)
    return choices


def _why_beside(
    model: _Model, choice: ContextChoice, others: Sequence[_Model], *, on_gpu: bool
) -> str:
    trained = model.facts.architecture.context_length
    if model.asked is not None:
        return why_asked(model.asked, choice.num_ctx)
    beside = f"with {listed([each.facts.name for each in others])} loaded beside it"
    if choice.num_ctx == trained:
        return f"all that the model was trained for, {beside}"
    if choice.num_ctx < model.contexts[0]:
        where = "stays on the GPU" if on_gpu else "the RAM holds"
        return f"the largest that {where} {beside}"
    if on_gpu:
        return f"ample for the role, {beside}"
    return f"the usual for {model.role.title}; no GPU, and longer prompts are slow on the CPU"


def _alone(model: _Model, machine: Machine, options: RunOptions) -> ContextChoice:
    return choose_context(model.facts, machine, model.role, options=options, asked=model.asked)


def _in_turn(
    model: _Model, embedders: Sequence[FitEstimate], machine: Machine, options: RunOptions
) -> ContextChoice:
    """Size a model that takes turns: beside the embeddings if that costs nothing, else alone."""
    alone = _alone(model, machine, options)
    beside = choose_context(
        model.facts, machine, model.role, options=options, asked=model.asked, beside=embedders
    )
    good = beside.estimate.placement.verdict == alone.estimate.placement.verdict
    return beside if good and beside.num_ctx >= min(model.role.num_ctx, alone.num_ctx) else alone


def _all_fit(models: Sequence[_Model], machine: Machine, options: RunOptions) -> bool:
    """True when models with these contexts stay side by side, loaded largest first.

    Ollama compares its prediction with the GPUs that it would choose for the model, and without
    a GPU it compares nothing (server/sched.go, `load`).
    """
    on_gpu = bool(machine.usable_accelerators)
    loaded: list[FitEstimate] = []
    for model in _largest_first(models, machine, options):
        facts = model.facts
        room = machine_beside(machine, loaded)
        estimate = _fit(facts, room, options, model.num_ctx)
        if estimate.placement.verdict != ("gpu" if on_gpu else "cpu"):
            return False
        if loaded and on_gpu:
            tokens = estimate.num_ctx * estimate.num_parallel
            gpus = choose_gpus(measure_room(room).gpus, predict_vram(facts, tokens))
            available = sum(gpu.free_bytes for gpu in gpus)
            if displaces_others(
                facts, tokens=tokens, num_batch=estimate.num_batch, available=available
            ):
                return False
        loaded.append(estimate)
    return True


def _largest_first(models: Sequence[_Model], machine: Machine, options: RunOptions) -> list[_Model]:
    def size(model: _Model) -> tuple[int, str]:
        estimate = _fit(model.facts, machine, options, model.num_ctx)
        return -estimate.memory.total_bytes, _file(model.facts)

    return sorted(models, key=size)


def _fit(facts: ModelFacts, machine: Machine, options: RunOptions, num_ctx: int) -> FitEstimate:
    run = replace(options, num_ctx=num_ctx)
    return estimate_fit(facts, machine, run, with_limits=False, with_speed=False)


def _file(facts: ModelFacts) -> str:
    return facts.resolved.lower()

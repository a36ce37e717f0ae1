"""Which context length a role gets: the largest that stays on the GPU, for what the role needs.

A longer context than a role uses costs memory that another model could have, so each role has
an upper end (`AMPLE`); below it, more is better as long as every layer stays on the GPU. Without
a GPU a long context is slow long before memory ends, and the role's usual one is taken.
Several models that live in memory together share what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.fit.remedies import ALL_LAYERS
from assistant.machine.records import Machine
from assistant.provision.room_left import free_where_it_lands, machine_beside
from assistant.recommend.roles import RoleProfile
from assistant.units import gib, tokens

AMPLE: Final = {
    "chat": 32_768,
    "code": 65_536,
    "embeddings": 8192,
    "vision": 16_384,
    "reasoning": 32_768,
    "writing": 32_768,
    "translation": 16_384,
    "summarize": 65_536,
    "rag": 32_768,
    "tools": 65_536,
    "extract": 16_384,
}
"""Tokens beyond which a role gains little: agents and coding tools want 64k (Ollama's
documentation), a long conversation 32k, an embedded passage a few thousand."""

RUNGS: Final = (2048, 4096, 8192, 12_288, 16_384, 24_576, 32_768, 49_152, 65_536)
"""Context lengths that are tried. 4096 and 32768 are also where Ollama's batch changes."""


_At = Callable[[int], FitEstimate]


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """A context, why, and the estimate with it.

    `shorter` are the contexts to fall back to when it does not stay on the GPU after all.
    `num_gpu` is given only where it must differ from what Ollama would choose.
    """

    num_ctx: int
    why: str
    estimate: FitEstimate
    shorter: tuple[int, ...] = ()
    num_gpu: int | None = None
    why_num_gpu: str | None = None


def choose_context(
    facts: ModelFacts,
    machine: Machine,
    role: RoleProfile,
    *,
    options: RunOptions | None = None,
    asked: int | None = None,
    beside: Sequence[FitEstimate] = (),
) -> ContextChoice:
    """Return the context for a model in a role on a machine.

    `options` are the server's settings (parallel requests, KV cache type), `asked` a context that
    the person wants, `beside` what stays loaded meanwhile.
    """
    options = options or RunOptions()
    room = machine_beside(machine, beside)
    trained = facts.architecture.context_length
    if asked is not None:
        return _as_asked(facts, room, role, options, asked)
    rungs = contexts_of(role, trained)

    def at(num_ctx: int) -> FitEstimate:
        return _estimate(facts, room, replace(options, num_ctx=num_ctx))

    if not room.usable_accelerators:
        return _in_ram(rungs, role, at)
    for index, num_ctx in enumerate(rungs):
        estimate = at(num_ctx)
        if estimate.placement.verdict == "gpu":
            why = _why_on_gpu(num_ctx, rungs, trained, estimate, room, bool(beside))
            return ContextChoice(num_ctx, why, estimate, rungs[index + 1 :])
    return _near_miss(facts, room, options, role, trained)


def contexts_of(role: RoleProfile, trained: int | None) -> tuple[int, ...]:
    """Return the contexts worth trying for a role, longest first, none beyond the trained one."""
    least, most = role.least_ctx, AMPLE[role.name]
    if trained is not None:
        most = min(most, trained)
    rungs = [rung for rung in RUNGS if least <= rung <= most]
    if trained is not None and trained <= most and trained not in rungs:
        rungs.append(trained)
    return tuple(sorted(rungs, reverse=True)) or (min(least, most),)


def why_asked(asked: int, num_ctx: int) -> str:
    """Return why a model gets the context that was asked for, or less: its trained one."""
    return "as asked" if num_ctx == asked else f"asked for {asked}, trained for {num_ctx}"


def _as_asked(
    facts: ModelFacts, room: Machine, role: RoleProfile, options: RunOptions, asked: int
) -> ContextChoice:
    trained = facts.architecture.context_length
    num_ctx = min(asked, trained) if trained else asked
    estimate = _estimate(facts, room, replace(options, num_ctx=num_ctx))
    shorter = tuple(n for n in contexts_of(role, trained) if n < num_ctx)
    return ContextChoice(num_ctx, why_asked(asked, num_ctx), estimate, shorter)


def _in_ram(rungs: tuple[int, ...], role: RoleProfile, at: _At) -> ContextChoice:
    """Return the role's usual context, or what of it the RAM holds."""
    usual = [rung for rung in rungs if rung <= role.num_ctx] or [rungs[-1]]
    for index, num_ctx in enumerate(usual):
        estimate = at(num_ctx)
        if estimate.placement.verdict == "cpu" or index + 1 == len(usual):
            why = f"the usual for {role.title}; no GPU, and longer prompts are slow on the CPU"
            if index:
                why = f"the most that the RAM holds of the usual {tokens(role.num_ctx)}"
            return ContextChoice(num_ctx, why, estimate, tuple(usual[index + 1 :]))
    raise AssertionError("contexts_of gives at least one")


def _why_on_gpu(
    num_ctx: int,
    rungs: tuple[int, ...],
    trained: int | None,
    estimate: FitEstimate,
    room: Machine,
    shares: bool,
) -> str:
    used, free = gib(estimate.gpu.total_bytes), free_where_it_lands(room, estimate)
    where = "the GPU" if len(estimate.placement.devices) == 1 else "the GPUs"
    beside = " beside what stays loaded" if shares else ""
    if num_ctx == trained:
        return f"all that the model was trained for; {used} on {where}{beside}"
    if num_ctx == rungs[0]:
        return f"ample for the role; {used} on {where}{beside}"
    longer = rungs[rungs.index(num_ctx) - 1]
    return (
        f"the largest that stays on {where}{beside}: {used} of {gib(free)}; "
        f"{tokens(longer)} would not"
    )


def _near_miss(
    facts: ModelFacts,
    room: Machine,
    options: RunOptions,
    role: RoleProfile,
    trained: int | None,
) -> ContextChoice:
    """Return the choice for a model that Ollama would not put on the GPU whole.

    llama.cpp keeps 1 GiB of each GPU free; where all layers fit into that, `num_gpu` says so.
    """
    num_ctx = min(role.least_ctx, trained) if trained else role.least_ctx
    forced = replace(options, num_ctx=num_ctx, num_gpu=ALL_LAYERS)
    whole = _estimate(facts, room, forced)
    if whole.placement.verdict == "gpu":
        gpu = "the GPU" if len(whole.placement.devices) == 1 else "each GPU"
        why = f"automatic placement keeps 1 GiB of {gpu} free; every layer fits into that"
        return ContextChoice(
            num_ctx,
            "the least for the role",
            whole,
            shorter=(num_ctx,),  # the same once more, placed automatically
            num_gpu=ALL_LAYERS,
            why_num_gpu=why,
        )
    estimate = _estimate(facts, room, replace(options, num_ctx=num_ctx))
    return ContextChoice(num_ctx, "the least for the role: it does not fit on the GPU", estimate)


def _estimate(facts: ModelFacts, machine: Machine, options: RunOptions) -> FitEstimate:
    return estimate_fit(facts, machine, options, with_limits=False)

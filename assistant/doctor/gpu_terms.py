"""Which term keeps a model from the GPU: the arithmetic again, with one thing changed at a time.

A `Case` is one model as it was loaded (or would be). The guilty term is the first change that
brings the whole of it onto the GPU: nothing else in memory, one request at a time, a GPU that
other programs leave alone, no projector, a short context. If none does, the weights are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from assistant.doctor.contexts import (
    ContextFrom,
    given_context,
    origin_of,
    run_options,
    server_settings,
)
from assistant.doctor.free_memory import machine_before, machine_empty, machine_idle, used_bytes
from assistant.doctor.records import ModelSeen, Observations, Term
from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.fit.remedies import USEFUL_CONTEXT
from assistant.machine.records import Machine
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import name_key
from assistant.units import GIB

MUCH_BYTES: Final = GIB
"""Memory of other programs on a GPU from which they are worth naming; a desktop takes less."""

LEAST_SHARE: Final = 0.005
"""A smaller part than this rounds to nothing in `ollama ps`."""

_HIDING: Final = {
    "CUDA_VISIBLE_DEVICES": "nvidia",
    "HIP_VISIBLE_DEVICES": "amd",
    "ROCR_VISIBLE_DEVICES": "amd",
}
_HIDDEN: Final = ("", "-1", "none", "nodevfiles")


@dataclass(frozen=True, slots=True)
class Case:
    """One model on the server's machine.

    `machine` is what it found when it was loaded, `idle` the same with no model in memory;
    `others` are the other models in memory. `estimate` is where the arithmetic puts it.
    """

    model: ModelSeen
    facts: ModelFacts
    loaded: LoadedModel | None
    others: tuple[LoadedModel, ...]
    machine: Machine
    idle: Machine
    options: RunOptions
    origin: ContextFrom
    estimate: FitEstimate


def build_case(seen: Observations, model: ModelSeen, loaded: LoadedModel | None) -> Case | None:
    """Return the case of a model, or None when machine, facts or context are not known."""
    if seen.machine is None or model.facts is None:
        return None
    settings = server_settings(seen)
    given, origin = given_context(model, seen.machine, settings)
    num_ctx = given if loaded is None or not loaded.num_ctx else loaded.num_ctx
    if num_ctx is None:
        return None
    if loaded is not None and loaded.num_ctx:
        origin = origin_of(model, loaded.num_ctx, seen.machine, settings)
    own = name_key(model.name if loaded is None else loaded.name)
    others = tuple(each for each in seen.loaded or () if name_key(each.name) != own)
    machine = machine_before(seen.machine, loaded, others)
    options = run_options(model, num_ctx, settings)
    return Case(
        model=model,
        facts=model.facts,
        loaded=loaded,
        others=others,
        machine=machine,
        idle=machine_idle(seen.machine, seen.loaded or ()),
        options=options,
        origin=origin,
        estimate=estimate_fit(model.facts, machine, options, with_limits=False),
    )


def fits(facts: ModelFacts, machine: Machine, options: RunOptions) -> bool:
    """Return whether the whole model stays on the GPU."""
    estimate = estimate_fit(facts, machine, options, with_limits=False, with_speed=False)
    return estimate.placement.verdict == "gpu"


def cpu_share(model: LoadedModel) -> float | None:
    """Return the share of a loaded model that is not on a GPU, as `ollama ps` counts it."""
    if not model.size_bytes or model.vram_bytes is None:
        return None
    return max(0.0, 1.0 - model.vram_bytes / model.size_bytes)


def guilty_term(case: Case, variables: Mapping[str, str]) -> Term:
    """Return what keeps a model that is not wholly on the GPU from it.

    `variables` are the server's. Of a model that is not loaded the estimate must say that it
    does not stay on the GPU.
    """
    if not case.machine.usable_accelerators:
        if case.loaded is not None and case.loaded.vram_bytes:
            return "not_computed"
        return "gpu_left_out" if case.machine.accelerators else "no_gpu"
    if forces_cpu(case):
        return "num_gpu"
    loaded = case.loaded
    on_gpu = case.estimate.placement.verdict == "gpu"
    if loaded is not None and not loaded.vram_bytes and case.estimate.placement.gpu_layers:
        elsewhere = any(each.vram_bytes for each in case.others)
        if not elsewhere or hiding_variable(case.machine, variables):
            return "gpu_not_seen"
        if on_gpu:
            return "memory_was_taken"
    if on_gpu:
        return "memory_was_taken"
    return _size_term(case)


def forces_cpu(case: Case) -> bool:
    """Return whether the Modelfile's num_gpu leaves layers to the CPU."""
    wanted = case.options.num_gpu
    return wanted is not None and 0 <= wanted < case.estimate.placement.layers


def hiding_variable(machine: Machine, variables: Mapping[str, str]) -> str | None:
    """Return the variable that hides every GPU of this machine from the server, or None."""
    vendors = {gpu.vendor for gpu in machine.usable_accelerators}
    for name, vendor in _HIDING.items():
        if vendors == {vendor} and variables.get(name, "0").strip().lower() in _HIDDEN:
            return name
    library = variables.get("OLLAMA_LLM_LIBRARY", "").strip().lower()
    return "OLLAMA_LLM_LIBRARY" if library.startswith("cpu") else None


def others_bytes(machine: Machine) -> int:
    """Return what other programs hold on the discrete GPUs of an idle machine."""
    gpus = machine.usable_accelerators
    return sum(used_bytes(gpu) for gpu in gpus if gpu.kind == "discrete")


def without_projector(facts: ModelFacts) -> ModelFacts:
    """Return the same model as if it could not see."""
    return replace(facts, weights=replace(facts.weights, projector_bytes=0))


def empty_of_programs(case: Case) -> Machine:
    """Return the machine with this server's models on it and no other program."""
    if not case.others:
        return machine_empty(case.machine)
    emptied = replace(machine_empty(case.machine), source="stated")
    return replace(machine_before(emptied, None, case.others), source=case.machine.source)


def _size_term(case: Case) -> Term:
    """Return the guilty term of a model that is too big for what was free."""
    for options in _two_contexts(case.options):
        term = _cured_by(case, options)
        if term is not None:
            return term
    return "weights"


def _two_contexts(options: RunOptions) -> Sequence[RunOptions]:
    """Return the options as they are, and with a context that costs nearly nothing."""
    short = min(options.num_ctx or USEFUL_CONTEXT, USEFUL_CONTEXT)
    return options, replace(options, num_ctx=short, num_parallel=1)


def _cured_by(case: Case, options: RunOptions) -> Term | None:
    """Return what alone brings the model onto the GPU with these options.

    With its own options the context is asked last; with a short one it is asked first.
    """
    facts = case.facts
    if options != case.options and fits(facts, case.machine, options):
        return "kv_cache"
    if any(each.vram_bytes for each in case.others) and fits(facts, case.idle, options):
        return "other_model"
    if case.estimate.num_parallel > 1 and fits(
        facts, case.machine, replace(options, num_parallel=1)
    ):
        return "parallel"
    much = others_bytes(case.idle) >= MUCH_BYTES
    if much and fits(facts, empty_of_programs(case), options):
        return "other_programs"
    if _projector_weighs(case, options) and fits(without_projector(facts), case.machine, options):
        return "projector"
    return None


def _projector_weighs(case: Case, options: RunOptions) -> bool:
    """Return whether the projector, reserved twice, outweighs the KV cache of these options."""
    twice = 2 * case.facts.weights.projector_bytes
    return bool(twice) and (options != case.options or twice >= case.estimate.memory.kv_cache_bytes)

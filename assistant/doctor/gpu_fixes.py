"""What brings a model onto the GPU: each fix is computed again before it is offered.

A `Fix` carries the options and the machine that it leads to, and the estimate made with them,
whose verdict is always `gpu`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from assistant.doctor.contexts import rung_below
from assistant.doctor.free_memory import machine_before, with_returned
from assistant.doctor.gpu_terms import Case, empty_of_programs, forces_cpu
from assistant.doctor.records import Observations, Term
from assistant.doctor.settings_steps import steps_to_set
from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.fit.remedies import ALL_LAYERS, USEFUL_CONTEXT, largest_context
from assistant.fit.room import measure_room
from assistant.machine.records import Machine
from assistant.models.quantization import quantization_rank
from assistant.ollama.records import LoadedModel

MOST_FIXES: Final = 3
_WIDE_CACHES: Final = ("f16", "f32", "bf16")
_SMALL_CACHE: Final = "q8_0"
_BARELY: Final = 1.15
_FEW: Final = 3.0


@dataclass(frozen=True, slots=True)
class Fix:
    """One way out: what to type, and where the model lands then. `faster` is a factor."""

    text: str
    facts: ModelFacts
    machine: Machine
    options: RunOptions
    estimate: FitEstimate
    faster: float | None = None

    @property
    def gain(self) -> str:
        """What it brings, in words."""
        if self.faster is None or self.faster < _BARELY:
            return "100 % GPU"
        digits = 1 if self.faster < _FEW else 0
        return f"100 % GPU, about {self.faster:.{digits}f}x faster"


def find_fixes(seen: Observations, case: Case, term: Term) -> tuple[Fix, ...]:
    """Return the ways onto the GPU, the one for the guilty term first; () when there is none."""
    if forces_cpu(case):
        return tuple(_without_num_gpu(case))[:1]
    ways = {
        "other_model": _stop_others,
        "parallel": _one_request,
        "other_programs": _close_programs,
        "kv_cache": _shorter_context,
        "cache type": _small_cache,
        "weights": _fewer_bits,
        "left out": _use_integrated,
        "all layers": _all_layers,
    }
    order = [term, *(name for name in ways if name != term)]
    if term == "projector":
        order.insert(0, "all layers")
        order.pop()
    found = [fix for name in order if name in ways for fix in ways[name](seen, case)]
    if not found:
        found = list(_two_at_once(seen, case))
    return tuple(found[:MOST_FIXES])


def speed_now(case: Case) -> float | None:
    """Return the expected tokens per second as the model is placed now; None when unknown."""
    loaded = case.loaded
    estimate = case.estimate
    if loaded is not None and loaded.size_bytes and loaded.vram_bytes is not None:
        share = loaded.vram_bytes / loaded.size_bytes
        if estimate.placement.verdict == "gpu" and share < 1.0:
            layers = int(share * estimate.placement.layers)
            options = replace(case.options, num_gpu=layers)
            estimate = estimate_fit(case.facts, case.machine, options, with_limits=False)
    return estimate.speed.decode.expected if estimate.speed.decode else None


def _try(
    case: Case,
    text: str,
    *,
    facts: ModelFacts | None = None,
    machine: Machine | None = None,
    options: RunOptions | None = None,
) -> Iterator[Fix]:
    """Yield the fix if the arithmetic says that it is one."""
    facts, machine = facts or case.facts, machine or case.machine
    options = options or case.options
    estimate = estimate_fit(facts, machine, options, with_limits=False)
    if estimate.placement.verdict != "gpu":
        return
    if options.kv_cache_type not in _WIDE_CACHES and not estimate.flash_attention:
        return
    before, after = speed_now(case), estimate.speed.decode
    faster = after.expected / before if before and after else None
    yield Fix(text, facts, machine, options, estimate, faster)


def _stop_others(seen: Observations, case: Case) -> Iterator[Fix]:
    others = [each for each in case.others if each.vram_bytes]
    for each in sorted(others, key=lambda model: model.vram_bytes or 0):
        machine = _without(seen, case, each)
        fixes = list(_try(case, _stopping(case, (each,)), machine=machine))
        if fixes:
            yield fixes[0]
            return
    if len(others) > 1:
        yield from _try(case, _stopping(case, others), machine=case.idle)


def _stopping(case: Case, models: Sequence[LoadedModel]) -> str:
    """Return the commands that stop these and the model itself, which stays where it is else."""
    names = [each.name for each in models]
    if case.loaded is None:
        return "\n".join(f"ollama stop {name}" for name in names)
    names.append(case.loaded.name)
    return "\n".join([*(f"ollama stop {name}" for name in names), f"then use {_name(case)} again"])


def _without(seen: Observations, case: Case, gone: LoadedModel) -> Machine:
    """Return the machine with one of the other models stopped."""
    if case.machine.source == "detected" or seen.machine is None:
        return with_returned(case.machine, (gone,))
    return machine_before(seen.machine, None, [each for each in case.others if each is not gone])


def _one_request(seen: Observations, case: Case) -> Iterator[Fix]:
    if case.estimate.num_parallel > 1:
        text = steps_to_set(seen, "OLLAMA_NUM_PARALLEL", "1")
        yield from _try(case, text, options=replace(case.options, num_parallel=1))


def _close_programs(_seen: Observations, case: Case) -> Iterator[Fix]:
    lister = ""
    if any(gpu.vendor == "nvidia" for gpu in case.machine.usable_accelerators):
        lister = " (nvidia-smi lists it)"
    text = f"close what else uses the GPU{lister}"
    if case.loaded is not None:
        text += f"\nollama stop {case.loaded.name}\nthen use {_name(case)} again"
    if all(gpu.memory_free_bytes is not None for gpu in case.machine.usable_accelerators):
        yield from _try(case, text, machine=empty_of_programs(case))


def _shorter_context(_seen: Observations, case: Case) -> Iterator[Fix]:
    num_ctx = _context_that_fits(case, case.options)
    if num_ctx is not None:
        options = replace(case.options, num_ctx=num_ctx)
        yield from _try(case, _context_text(case, num_ctx), options=options)


def _context_that_fits(case: Case, options: RunOptions) -> int | None:
    longest = largest_context(case.facts, measure_room(case.machine), options)
    rung = None if longest is None else rung_below(longest)
    if rung is None or rung < USEFUL_CONTEXT or rung >= case.estimate.num_ctx:
        return None
    return rung


def _context_text(case: Case, num_ctx: int) -> str:
    if case.origin == "request":
        return f"let the program that loads {_name(case)} ask for num_ctx {num_ctx}"
    return f"assistant tune {_name(case)} --num-ctx {num_ctx} --apply"


def _small_cache(seen: Observations, case: Case) -> Iterator[Fix]:
    if case.options.kv_cache_type in _WIDE_CACHES and case.options.flash_attention is not False:
        text = steps_to_set(seen, "OLLAMA_KV_CACHE_TYPE", _SMALL_CACHE)
        yield from _try(case, text, options=replace(case.options, kv_cache_type=_SMALL_CACHE))


def _fewer_bits(_seen: Observations, case: Case) -> Iterator[Fix]:
    """The quantization with the most bits that fits, at the same context."""
    own = quantization_rank(case.facts.quantization or "") or 0
    ranked = sorted(
        (each for each in case.model.alternatives if each.quantization and each.pullable),
        key=lambda each: quantization_rank(each.quantization or "") or 0,
        reverse=True,
    )
    for other in ranked:
        if own and (quantization_rank(other.quantization or "") or 0) >= own:
            continue
        found = list(_try(case, f"ollama pull {other.resolved}", facts=other))
        if found:
            yield found[0]
            return


def _use_integrated(seen: Observations, case: Case) -> Iterator[Fix]:
    gpus = tuple(
        replace(gpu, used_by_ollama=True) if gpu.kind == "integrated" else gpu
        for gpu in case.machine.accelerators
    )
    if not case.machine.usable_accelerators and gpus != case.machine.accelerators:
        text = steps_to_set(seen, "OLLAMA_IGPU_ENABLE", "1")
        yield from _try(case, text, machine=replace(case.machine, accelerators=gpus))


def _all_layers(_seen: Observations, case: Case) -> Iterator[Fix]:
    """Fill what Ollama keeps free: it then loads whole or not at all."""
    name = _name(case)
    text = (
        f"ollama show --modelfile {name} > Modelfile\n"
        f"add the line PARAMETER num_gpu {ALL_LAYERS} (fails when another program needs the room)\n"
        f"ollama create {name} -f Modelfile"
    )
    yield from _try(case, text, options=replace(case.options, num_gpu=ALL_LAYERS))


def _without_num_gpu(case: Case) -> Iterator[Fix]:
    """Take num_gpu out of the Modelfile, with a shorter context where that is needed too."""
    name = _name(case)
    free = replace(case.options, num_gpu=None)
    steps = (
        f"ollama show --modelfile {name} > Modelfile\n"
        "remove the line PARAMETER num_gpu{more}\n"
        f"ollama create {name} -f Modelfile"
    )
    yield from _try(case, steps.format(more=""), options=free)
    num_ctx = _context_that_fits(case, free)
    if num_ctx is not None:
        more = f", and set PARAMETER num_ctx {num_ctx}"
        yield from _try(case, steps.format(more=more), options=replace(free, num_ctx=num_ctx))


def _two_at_once(seen: Observations, case: Case) -> Iterator[Fix]:
    """A smaller cache type and a shorter context together, where neither is enough alone."""
    if case.options.kv_cache_type not in _WIDE_CACHES or case.options.flash_attention is False:
        return
    small = replace(case.options, kv_cache_type=_SMALL_CACHE)
    num_ctx = _context_that_fits(case, small)
    if num_ctx is not None:
        first = steps_to_set(seen, "OLLAMA_KV_CACHE_TYPE", _SMALL_CACHE)
        text = f"{first}\n{_context_text(case, num_ctx)}"
        yield from _try(case, text, options=replace(small, num_ctx=num_ctx))


def _name(case: Case) -> str:
    return case.model.name.removesuffix(":latest")

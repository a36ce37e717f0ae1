"""Where the loaded models are, and why one of them is not wholly on the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.doctor.checks_cpu import about_cpu, belongs_on_cpu, faster_model
from assistant.doctor.contexts import server_settings
from assistant.doctor.gpu_fixes import find_fixes
from assistant.doctor.gpu_terms import (
    LEAST_SHARE,
    Case,
    build_case,
    cpu_share,
    guilty_term,
    hiding_variable,
    others_bytes,
)
from assistant.doctor.known_speeds import alias_entry
from assistant.doctor.records import Finding, Level, ModelSeen, Observations, Term
from assistant.doctor.settings_steps import steps_to_restart, steps_to_unset
from assistant.fit.estimate import run_in_room
from assistant.fit.ps_size import ps_sizes
from assistant.fit.room import FIT_MARGIN_BYTES, measure_room
from assistant.machine.records import Machine
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import name_key
from assistant.units import gib

_LEFT_OUT_WORDS: Final = ("left out", "driver", "NVML")
_SIZE_TERMS: Final = (
    "weights", "kv_cache", "projector", "parallel", "other_model", "other_programs",
)  # fmt: skip
_CONTAINERS: Final = ("docker", "podman", "kubernetes")


def check_loaded(seen: Observations) -> Iterator[Finding]:
    """Yield a finding for each loaded model that is not wholly on a GPU, and for the asked one."""
    asked = seen.asked
    for loaded in seen.loaded or ():
        if asked is None or name_key(loaded.name) == name_key(asked):
            yield from _about_loaded(seen, loaded)
    if asked is not None:
        yield from _about_asked(seen, asked)


def check_gpus(seen: Observations) -> Iterator[Finding]:
    """Yield what keeps Ollama from the GPUs of the machine; else an ok."""
    machine = seen.machine
    if machine is None:
        return
    hidden = hiding_variable(machine, seen.environment.variables)
    if machine.usable_accelerators and hidden:
        value = seen.environment.variables[hidden]
        yield Finding(
            "gpu-hidden",
            "problem",
            f"{hidden} hides the GPU from the server",
            (f"the server has {hidden}={value!r}",),
            steps_to_unset(seen, hidden),
        )
    elif machine.usable_accelerators:
        yield Finding("driver", "ok", "driver")
    elif machine.accelerators or _driver_gaps(machine):
        yield from _left_out(seen, machine)


def _left_out(seen: Observations, machine: Machine) -> Iterator[Finding]:
    """Say that a card is not used; an integrated GPU is left out by default, and no news."""
    names = ", ".join(dict.fromkeys(gpu.name for gpu in machine.accelerators))
    reasons = _reasons(machine) or ("detection does not say why",)
    if any(gpu.used_by_ollama for gpu in machine.accelerators):
        what = f"the memory of {names} is unknown, so nothing can be computed for it"
        yield Finding("gpu-memory-unknown", "unknown", what, reasons)
    elif any(gpu.kind == "discrete" for gpu in machine.accelerators):
        what = f"Ollama leaves out {names}"
        yield Finding("gpu-left-out", "problem", what, reasons, _driver_fix(seen, machine))
    elif not machine.accelerators:
        what = "a GPU may be there, but its driver is not"
        yield Finding("gpu-left-out", "problem", what, reasons, _driver_fix(seen, machine))


def _driver_fix(seen: Observations, machine: Machine) -> str | None:
    reasons = " ".join(_reasons(machine)).lower()
    if "oldest ollama supports" in reasons and "compute capability" in reasons:
        return None
    if "driver" in reasons or "nvml" in reasons:
        return f"install a current graphics driver, restart the computer, then: {_restart(seen)}"
    return None


def _restart(seen: Observations) -> str:
    return steps_to_restart(seen).replace("stop the server, then: ", "")


def _reasons(machine: Machine) -> tuple[str, ...]:
    """Return what detection said about GPUs that are not used."""
    names = [gpu.name for gpu in machine.accelerators]
    said = [
        text.removesuffix(".")
        for text in machine.assumptions
        if any(name in text for name in names) and any(w in text for w in _LEFT_OUT_WORDS)
    ]
    return (*said, *(f"{gap}" for gap in _driver_gaps(machine)))


def _driver_gaps(machine: Machine) -> list[str]:
    return [
        f"{gap.what}: {gap.why}"
        for gap in machine.unavailable
        if "driver" in gap.what.lower() or gap.what.startswith(("NVIDIA GPU", "memory of "))
    ]


def _about_loaded(seen: Observations, loaded: LoadedModel) -> Iterator[Finding]:
    share = cpu_share(loaded)
    if share is None:
        yield Finding(
            "placement",
            "unknown",
            f"where {loaded.name} is cannot be told",
            ("the server does not say how large it is",),
            model=loaded.name,
        )
        return
    if share < LEAST_SHARE:
        return
    what = f"{loaded.name} runs{_share(share)} on the CPU"
    model = seen.model(loaded.name)
    case = build_case(seen, model, loaded) if model is not None else None
    if case is None:
        yield _not_computed(seen, loaded, model, what)
    else:
        yield from _explained(seen, case, what)


def _about_asked(seen: Observations, asked: str) -> Iterator[Finding]:
    """Say what the asked model would do; nothing when it is loaded, which is said already."""
    if any(name_key(each.name) == name_key(asked) for each in seen.loaded or ()):
        return
    model = seen.model(asked)
    if model is None or model.in_cloud:
        return
    case = build_case(seen, model, None)
    if case is None:
        why = model.why or "the computer that the server runs on is not known"
        yield Finding("placement", "unknown", f"where {asked} would go is not known", (why,))
        return
    placement = case.estimate.placement
    if placement.verdict == "gpu":
        yield _measured_otherwise(seen, asked) or Finding(
            "placement", "ok", f"{asked} stays on the GPU", model=asked
        )
        return
    if placement.verdict == "none":
        missing = gib(case.estimate.missing_bytes)
        yield Finding(
            "placement",
            "problem",
            f"{asked} does not fit this computer",
            (f"it lacks {missing} of memory with num_ctx {case.estimate.num_ctx}",),
            *_advice(seen, case, _term(seen, case)),
            model=asked,
            term=_term(seen, case),
        )
        return
    sizes = ps_sizes(case.estimate, case.facts.architecture)
    share = 1.0 - sizes.size_vram_bytes / sizes.size_bytes if sizes.size_bytes else 1.0
    yield from _explained(seen, case, f"{asked} would run{_share(share)} on the CPU")


def _measured_otherwise(seen: Observations, asked: str) -> Finding | None:
    """Return what was measured of an alias, where that was not wholly on the GPU."""
    entry = alias_entry(seen, asked)
    measured = None if entry is None else entry.measured
    share = None if measured is None else measured.gpu_share
    if measured is None or share is None or 1.0 - share < LEAST_SHARE:
        return None
    return Finding(
        "placement",
        "warning",
        f"{asked} ran{_share(1.0 - share)} on the CPU when it was measured ({measured.at[:10]})",
        ("it is not loaded now; by the arithmetic all of it has room on the GPU",),
        f"load it: ollama run {asked}\nassistant doctor {asked}",
        "which then says what is in the way",
        model=asked,
    )


def _explained(seen: Observations, case: Case, what: str) -> Iterator[Finding]:
    term = _term(seen, case)
    if belongs_on_cpu(case, term) and not find_fixes(seen, case, term):
        yield from about_cpu(seen, case, term, what)
        return
    yield Finding(
        "on-cpu",
        _level(case, term),
        what,
        _evidence(seen, case, term),
        *_advice(seen, case, term),
        model=case.model.name,
        term=term,
    )


def _term(seen: Observations, case: Case) -> Term:
    return guilty_term(case, seen.environment.variables)


def _level(case: Case, term: Term) -> Level:
    return "warning" if belongs_on_cpu(case, term) else "problem"


def _advice(
    seen: Observations, case: Case, term: Term
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return fix, gain and other ways."""
    if term == "memory_was_taken":
        name = case.model.name
        return f"ollama stop {name}\nthen use {name} again", "it is loaded anew", ()
    if term == "gpu_not_seen":
        return _not_seen_fix(seen, case), None, _after_sleep(seen, case)
    if term == "not_computed":
        return f"assistant doctor {case.model.name} --machine ...", "describe that computer", ()
    fixes = find_fixes(seen, case, term)
    if fixes:
        first, *more = fixes
        return first.text, first.gain, tuple(each.text for each in more)
    driver = _driver_fix(seen, case.machine) if term == "gpu_left_out" else None
    if driver is not None:
        return driver, None, ()
    if term in ("no_gpu", "gpu_left_out"):
        return (*faster_model(seen, case), ())
    role = " --role embeddings" if case.facts.architecture.is_embedding else ""
    return f"assistant recommend{role}", "models that stay on this GPU", ()


def _not_seen_fix(seen: Observations, case: Case) -> str:
    hidden = hiding_variable(case.machine, seen.environment.variables)
    if hidden:
        return steps_to_unset(seen, hidden)
    box = case.machine.container
    vendors = {gpu.vendor for gpu in case.machine.usable_accelerators}
    if box is not None and box.kind in _CONTAINERS:
        way = "--gpus=all" if "nvidia" in vendors else "--device /dev/kfd --device /dev/dri"
        return f"start the server's container with: {way}"
    if seen.server.platform == "linux" and seen.server.is_service:
        log = '\nits log says why: journalctl -u ollama | grep -i "inference compute"'
    else:
        log = "\nits log says which GPUs it found: inference compute"
    return f"{steps_to_restart(seen)}{log}"


def _after_sleep(seen: Observations, case: Case) -> tuple[str, ...]:
    """NVIDIA's driver may lose the GPU when a Linux computer sleeps (Ollama, docs/gpu.mdx)."""
    vendors = {gpu.vendor for gpu in case.machine.usable_accelerators}
    if vendors != {"nvidia"} or seen.server.platform != "linux":
        return ()
    return ("after the computer slept: sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm",)


def _evidence(seen: Observations, case: Case, term: Term) -> tuple[str, ...]:
    lines = []
    if term in _SIZE_TERMS:
        lines.append(_needs(case))
    lines.append(_why(seen, case, term))
    if term in ("kv_cache", "parallel") or (term == "weights" and case.options.num_parallel > 1):
        lines.append(_context_words(case))
    if server_settings(seen).gpu_overhead.is_set and term in _SIZE_TERMS:
        lines.append("OLLAMA_GPU_OVERHEAD has no effect on where a GGUF model is placed")
    return tuple(line for line in lines if line)


def _needs(case: Case) -> str:
    room = measure_room(case.machine)
    run = run_in_room(case.facts, room, case.options)
    gpus = run.choices.gpus
    free = sum((gpu.loadable_bytes or 0) + gpu.overhead_bytes for gpu in gpus)
    needed = free + (run.placed.missing_gpu_bytes or 0)
    name = _short_name(gpus[0].name) if len(gpus) == 1 else f"{len(gpus)} GPUs"
    has = "has" if len(gpus) == 1 else "have"
    left = " free" if case.machine.source == "detected" else " for it, as described"
    return (
        f"it needs {gib(needed)} with num_ctx {run.choices.num_ctx} ({gib(FIT_MARGIN_BYTES)} of it "
        f"to keep free), the {name} {has} {gib(free)}{left}"
    )


def _short_name(name: str) -> str:
    """Return a GPU's name as people say it."""
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("AMD ")


def _why(seen: Observations, case: Case, term: Term) -> str:
    memory = case.estimate.memory
    if term == "weights":
        return f"the weights ({gib(memory.weights_bytes)}) are too big, whatever the context"
    if term == "kv_cache":
        return f"the KV cache ({gib(memory.kv_cache_bytes)}) is what does not fit"
    if term == "projector":
        size = gib(case.facts.weights.projector_bytes)
        return f"the vision projector ({size}) is reserved twice, which takes its room"
    if term == "parallel":
        count = case.estimate.num_parallel
        one = memory.kv_cache_bytes // count
        return (
            f"OLLAMA_NUM_PARALLEL={count} keeps {count} KV caches: {gib(memory.kv_cache_bytes)} "
            f"where one takes {gib(one)}"
        )
    if term == "other_model":
        held = ", ".join(
            f"{each.name} holds {gib(each.vram_bytes)}" for each in case.others if each.vram_bytes
        )
        return f"another model is in the way: {held}"
    if term == "other_programs":
        return f"other programs hold {gib(others_bytes(case.idle))} of the GPU"
    return _why_around(seen, case, term)


def _why_around(seen: Observations, case: Case, term: Term) -> str:
    if term == "num_gpu":
        layers = case.estimate.placement.layers
        set_to = case.options.num_gpu
        return f"its Modelfile sets num_gpu {set_to}: {set_to} of its {layers} layers on the GPU"
    if term == "memory_was_taken":
        holds = "what is free now holds it"
        if case.machine.source != "detected":
            holds = "by its description the GPU holds it"
        return f"{holds}; when it was loaded, something else had the memory"
    if term == "gpu_not_seen":
        hidden = hiding_variable(case.machine, seen.environment.variables)
        names = ", ".join(dict.fromkeys(g.name for g in case.machine.usable_accelerators))
        if hidden:
            return f"{hidden} hides the {names} from the server"
        return f"nothing of it is on the {names}, where it would fit: the server does not see it"
    if term == "not_computed":
        held = gib((case.loaded.vram_bytes if case.loaded else None) or 0)
        return f"the server has {held} of it on a GPU that cannot be seen from here"
    if term == "gpu_left_out":
        return "; ".join(_reasons(case.machine)) or "Ollama leaves this computer's GPU out"
    return ""


def _context_words(case: Case) -> str:
    num_ctx = case.estimate.num_ctx
    if case.origin == "request":
        return f"the program that loaded it asked for num_ctx {num_ctx}"
    if case.origin == "tier":
        return f"nothing sets num_ctx: {num_ctx} is what Ollama takes for this much GPU memory"
    where = "its Modelfile" if case.origin == "Modelfile" else case.origin
    return f"num_ctx {num_ctx} comes from {where}"


def _not_computed(
    seen: Observations, loaded: LoadedModel, model: ModelSeen | None, what: str
) -> Finding:
    if seen.machine is None:
        why = "the server is on another computer: describe it with --machine"
    elif model is None:
        why = "it was removed while in memory, so its size cannot be taken apart"
    else:
        why = model.why or "the server does not describe it"
    return Finding(
        "on-cpu",
        "problem" if seen.machine is None or seen.machine.usable_accelerators else "warning",
        what,
        (why,),
        model=loaded.name,
        term="not_computed",
    )


def _share(share: float) -> str:
    """Return ` 38 %`, and nothing for all of it: "runs on the CPU"."""
    percent = round(100 * share)
    return "" if percent >= 100 else f" {percent} %"

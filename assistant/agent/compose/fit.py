"""Answers about whether and how a model fits, from `FitEstimate`s."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.agent.compose.text import (
    assumed,
    bullets,
    gpu_label,
    memory_label,
    model_label,
    paragraphs,
    sentence,
    short_speed,
    speed_range,
    table,
)
from assistant.fit.records import FitEstimate
from assistant.machine.records import Machine
from assistant.units import GIB, gb, gib, tokens

_CLAIM_TOLERANCE = 0.06
_NEAR_MISS_BYTES = GIB // 2
"""Ollama keeps 1 GiB of a card free, of which the driver's context takes about half: a miss up to
this size fits when a person sets the layers, or makes a little room."""


def compose_fit(
    estimate: FitEstimate,
    machine: Machine,
    *,
    asks_yes_no: bool,
    extra_assumptions: Sequence[str] = (),
    detected: bool = False,
    spilling: FitEstimate | None = None,
) -> str:
    """Return the answer to whether one model fits one machine.

    `spilling` is the estimate at the context that Ollama itself would choose, when that one
    does not stay on the GPU.
    """
    lead = _verdict_sentence(estimate, machine, asks_yes_no=asks_yes_no)
    assumptions = [*extra_assumptions, *fit_assumptions(estimate, machine)]
    if detected:
        assumptions.insert(0, "this computer is meant, since none was described")
    return paragraphs(
        lead,
        parts_table(estimate),
        _speed_sentence(estimate),
        _context_sentence(estimate),
        _spilling_sentence(estimate, spilling),
        _remedies(estimate),
        " ".join(sentence(note) for note in estimate.notes) or None,
        assumed(assumptions),
    )


def fit_assumptions(estimate: FitEstimate, machine: Machine) -> list[str]:
    """Return the assumptions that this estimate rests on.

    What was assumed of the RAM does not matter when everything stays on the GPU.
    """
    on_gpu = estimate.placement.verdict == "gpu" and not machine.unified_memory
    about_machine = [a for a in machine.assumptions if not (on_gpu and a.startswith("RAM"))]
    return [*estimate.assumptions, *about_machine]


def _verdict_sentence(estimate: FitEstimate, machine: Machine, *, asks_yes_no: bool) -> str:
    clamped = _clamp_clause(estimate)
    label = model_label(estimate)
    what = f"{label} with {tokens(estimate.num_ctx)} tokens of context"
    verdict = estimate.placement.verdict
    if verdict == "gpu":
        yes = "Yes: " if asks_yes_no and not clamped else ""
        need = f"{gib(estimate.placement.vram_bytes)} needed, {memory_label(machine)}"
        return f"{clamped}{yes}{what} fits on {gpu_label(machine)}: {need}."
    if verdict == "partial":
        return clamped + _partial_sentence(estimate, machine, what)
    total = gib(estimate.memory.total_bytes)
    if verdict == "cpu" and machine.usable_accelerators:
        return (
            f"{clamped}No: {what} does not fit on {gpu_label(machine)}; it would run on the CPU "
            f"alone, taking {total} of RAM."
        )
    if verdict == "cpu":
        yes = "Yes, on the CPU: " if asks_yes_no and not clamped else ""
        return f"{clamped}{yes}{what} runs in {total} of RAM ({memory_label(machine)})."
    return (
        f"{clamped}No: {what} does not fit at all. It needs {total}, "
        f"{gib(estimate.missing_bytes)} more than GPU and RAM of this machine hold together."
    )


def _partial_sentence(estimate: FitEstimate, machine: Machine, what: str) -> str:
    """Say what misses, and whether it is only the memory that Ollama keeps free."""
    placement = estimate.placement
    free = sum(
        a.memory_free_bytes or a.memory_total_bytes or 0 for a in machine.usable_accelerators
    )
    alone, missing = gib(free + estimate.missing_bytes), gib(estimate.missing_bytes)
    layers = f"{placement.gpu_layers} of {placement.layers} layers run on the GPU"
    where = gpu_label(machine)
    if estimate.missing_bytes <= _NEAR_MISS_BYTES:
        return (
            f"Just about: {what} nearly fits on {where}. By itself Ollama keeps 1 GiB of the card "
            f"free, which makes it {alone}, {missing} more than the {gib(free)} that are free, so "
            f"{layers} and the rest spills to system RAM."
        )
    return (
        f"No, not entirely: {what} does not fit on {where}. With the 1 GiB that Ollama keeps free "
        f"it takes {alone} of GPU memory, {missing} more than the {gib(free)} that are free: "
        f"{layers}{_experts_clause(estimate)}, the rest spills to system RAM, which makes it slow."
    )


def _experts_clause(estimate: FitEstimate) -> str:
    count = estimate.placement.expert_layers_on_host
    return f" with the experts of {count} layers in RAM" if count else ""


def _clamp_clause(estimate: FitEstimate) -> str:
    asked = estimate.requested_num_ctx
    if asked is None or asked <= estimate.num_ctx:
        return ""
    return (
        f"No, not at {tokens(asked)}: {estimate.resolved} was trained for "
        f"{tokens(estimate.num_ctx)} tokens, and Ollama cuts the context to that. "
    )


def parts_table(estimate: FitEstimate) -> str:
    """Return the table of what takes the memory, on the GPU and in RAM."""
    names = (
        ("weights", "weights_bytes"),
        ("KV cache", "kv_cache_bytes"),
        ("recurrent state", "recurrent_state_bytes"),
        ("compute buffers", "compute_buffer_bytes"),
        ("projector", "projector_bytes"),
        ("driver", "overhead_bytes"),
    )
    rows: list[tuple[str, ...]] = []
    for name, key in names:
        gpu, host = getattr(estimate.gpu, key), getattr(estimate.host, key)
        if gpu or host:
            rows.append((name, gib(gpu) if gpu else "-", gib(host) if host else "-"))
    rows.append(
        ("total", *(gib(n) if n else "-" for n in (estimate.gpu.total_bytes,
                                                  estimate.host.total_bytes)))
    )  # fmt: skip
    return table(("memory", "GPU", "RAM"), rows, right="12")


def _speed_sentence(estimate: FitEstimate) -> str | None:
    if estimate.speed.decode is None:
        return None
    text = f"Expected speed: {speed_range(estimate.speed.decode)}"
    if estimate.placement.verdict in ("partial", "cpu"):
        text += ", an order of magnitude rather than a figure"
    if estimate.download_bytes:
        return f"{text}. Download: {gb(estimate.download_bytes)}."
    return text + "."


def _context_sentence(estimate: FitEstimate) -> str | None:
    longest = estimate.limits.max_num_ctx_on_gpu
    if longest is None:
        return None
    trained = estimate.limits.trained_num_ctx
    tail = ", all it was trained for" if trained and longest >= trained else ""
    return f"Longest context that stays on the GPU: {tokens(longest)} tokens{tail}."


def _spilling_sentence(estimate: FitEstimate, spilling: FitEstimate | None) -> str | None:
    if spilling is None:
        return None
    return (
        f"Set `num_ctx {estimate.num_ctx}`: by itself Ollama would choose "
        f"{tokens(spilling.num_ctx)} tokens here, and run only {spilling.placement.gpu_layers} of "
        f"{spilling.placement.layers} layers on the GPU."
    )


def _remedies(estimate: FitEstimate) -> str | None:
    if not estimate.remedies or estimate.placement.verdict == "gpu":
        return None
    return "What would make it fit:\n\n" + bullets(estimate.remedies)


def compose_fit_variants(estimates: Sequence[tuple[str, FitEstimate]], claimed: str | None) -> str:
    """Return the answer when the named card is sold with several memory sizes."""
    label = model_label(estimates[0][1])
    fitting = [words for words, e in estimates if e.placement.verdict == "gpu"]
    failing = [words for words, e in estimates if e.placement.verdict != "gpu"]
    wrong = f", not with {claimed}" if claimed else ""
    need = gib(max(e.memory.total_bytes for _, e in estimates))
    if not fitting:
        answer = f"{label} needs {need} and fits on none of them"
    elif not failing:
        answer = f"{label} needs {need} and fits on each of them"
    else:
        answer = f"{label} needs {need}: it fits only on the card with {' or '.join(fitting)}"
    sold = " or ".join(words for words, _ in estimates)
    rows = [
        (
            words,
            "yes" if e.placement.verdict == "gpu" else "no",
            gib(e.placement.vram_bytes),
            gib(e.placement.ram_bytes),
            short_speed(e.speed.decode),
        )
        for words, e in estimates
    ]
    lead = f"That depends on the card: it is sold with {sold}{wrong}. {answer}."
    assumptions = [*(a for _, e in estimates for a in e.assumptions)]
    return paragraphs(
        lead,
        table(("card", "fits", "on the GPU", "in RAM", "speed"), rows, right="23"),
        assumed(assumptions),
    )


def compose_need(
    estimates: Sequence[FitEstimate],
    *,
    claimed_sizes: Sequence[int] = (),
    extra_assumptions: Sequence[str] = (),
) -> str:
    """Return how much GPU memory a model needs at several context lengths, whatever the card.

    A size that the question claims is compared with the download and the need.
    """
    first = estimates[0]
    label = model_label(first)
    vram = first.placement.vram_bytes
    context = tokens(first.num_ctx)
    claim = next((size for size in claimed_sizes if _is_download(size, first)), None)
    if claim is not None:
        lead = (
            f"Not quite: {_claimed(claim)} is the download size of {label}. In use it takes "
            f"{gib(vram)} of GPU memory with {context} of context, since cache, buffers and the "
            "driver come on top."
        )
    elif claimed_sizes:
        lead = _claim_sentence(label, claimed_sizes[0], vram, context)
    else:
        lead = f"{label} needs {gib(vram)} of GPU memory with {context} tokens of context."
    rows = [
        (
            tokens(e.num_ctx),
            gib(e.gpu.weights_bytes + e.gpu.projector_bytes),
            gib(e.gpu.kv_cache_bytes + e.gpu.recurrent_state_bytes),
            gib(e.gpu.compute_buffer_bytes + e.gpu.overhead_bytes),
            gib(e.placement.vram_bytes),
        )
        for e in estimates
    ]
    head = ("context", "weights", "KV cache", "buffers and driver", "GPU memory")
    tail = None
    if first.download_bytes:
        tail = f"The download is {gb(first.download_bytes)}."
    return paragraphs(
        lead,
        table(head, rows, right="1234"),
        tail,
        " ".join(sentence(note) for note in first.notes) or None,
        assumed([*extra_assumptions, *first.assumptions]),
    )


def _is_download(size: int, estimate: FitEstimate) -> bool:
    download = estimate.download_bytes
    return download is not None and abs(size - download) <= _CLAIM_TOLERANCE * download


def _claim_sentence(label: str, claim: int, vram: int, context: str) -> str:
    gibs = claim * GIB / 1e9
    if abs(gibs - vram) <= 0.1 * vram:
        return f"About that: {label} takes {gib(vram)} of GPU memory with {context} of context."
    word = "More than that" if vram > gibs else "Less than that"
    return (
        f"{word}: {label} takes {gib(vram)} of GPU memory with {context} of context, "
        f"not {_claimed(claim)}."
    )


def _claimed(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else gb(size)


def compose_kv_cache(estimates: Sequence[FitEstimate], *, extra: Sequence[str] = ()) -> str:
    """Return the size of the KV cache at one context, by cache type (the first is the asked)."""
    first = estimates[0]
    size = first.memory.kv_cache_bytes + first.memory.recurrent_state_bytes
    per_token = first.memory.kv_cache_bytes / (first.num_ctx * first.num_parallel)
    clamped = _clamp_clause(first)
    lead = (
        f"{clamped}{sentence(model_label(first))[:-1]} keeps a KV cache of "
        f"{gib(first.memory.kv_cache_bytes)} at {tokens(first.num_ctx)} tokens of context "
        f"({first.kv_cache_type}), {per_token / 1024:.0f} KiB a token on average."
    )
    if first.memory.kv_cache_bytes == 0 and size:
        lead = (
            f"`{first.resolved}` keeps no KV cache but a recurrent state of {gib(size)}, whatever "
            "the context."
        )
    rows = [(e.kv_cache_type, gib(e.memory.kv_cache_bytes)) for e in estimates]
    return paragraphs(
        lead,
        table(("cache type", f"at {tokens(first.num_ctx)}"), rows, right="1"),
        " ".join(sentence(note) for note in first.notes) or None,
        assumed([*extra, *first.assumptions]),
    )


def compose_max_context(
    estimate: FitEstimate, machine: Machine, *, with_q8_cache: int | None, detected: bool
) -> str:
    """Return the longest context that stays on the GPU."""
    longest = estimate.limits.max_num_ctx_on_gpu
    label = model_label(estimate)
    where = gpu_label(machine)
    trained = estimate.limits.trained_num_ctx
    if not machine.usable_accelerators:
        lead = (
            f"Without a usable GPU the context of {label} is bounded by RAM and patience"
            f"{f' and by the {tokens(trained)} tokens it was trained for' if trained else ''}."
        )
    elif longest is None:
        lead = (
            f"No context does: {label} needs {gib(estimate.memory.total_bytes)} and does not fit "
            f"on {where} ({memory_label(machine)}) at any useful context."
        )
    else:
        tail = ", all it was trained for" if trained and longest >= trained else ""
        lead = f"{label} keeps up to {tokens(longest)} tokens of context on {where}{tail}."
        if with_q8_cache and with_q8_cache > longest:
            lead += f" With a q8_0 cache it is {tokens(with_q8_cache)}."
    assumptions = fit_assumptions(estimate, machine)
    if detected:
        assumptions.insert(0, "this computer is meant, since none was described")
    return paragraphs(sentence(lead), parts_table(estimate), _remedies(estimate),
                      assumed(assumptions))  # fmt: skip


def compose_speed(estimate: FitEstimate, machine: Machine, *, detected: bool) -> str:
    """Return how fast a model is expected to be on a machine."""
    label = model_label(estimate)
    decode = estimate.speed.decode
    if decode is None:
        lead = (
            f"How fast {label} runs on {gpu_label(machine)} cannot be said: {estimate.speed.basis}."
        )
    else:
        lead = f"Expect {speed_range(decode)} from {label} on {gpu_label(machine)}"
        lead += {
            "gpu": ".",
            "partial": ", because part of it runs from system RAM.",
            "cpu": ", because it runs on the CPU.",
            "none": ", if it could be loaded: it does not fit.",
        }[estimate.placement.verdict]
    prompt = estimate.speed.prompt
    reading = f"Reading a prompt: {speed_range(prompt)}." if prompt else None
    assumptions = fit_assumptions(estimate, machine)
    if detected:
        assumptions.insert(0, "this computer is meant, since none was described")
    return paragraphs(
        sentence(lead),
        " ".join(filter(None, (reading, sentence(f"Basis: {estimate.speed.basis}")))),
        parts_table(estimate),
        _remedies(estimate),
        assumed(assumptions),
    )

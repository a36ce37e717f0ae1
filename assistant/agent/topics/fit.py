"""Questions about whether a model fits: on a machine, on no machine, its cache, its speed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from assistant.agent.topics.context import ROOMY, Context, Part
from assistant.fit.records import FitEstimate, KvCacheType
from assistant.machine.records import Machine

_NEED_CONTEXTS: Final = (4096, 8192, 32768, 131072)
_USABLE_NUM_CTX: Final = (4096, 8192)
_KV_TYPES: Final[tuple[KvCacheType, ...]] = ("f16", "q8_0", "q4_0")


def answer_fit(context: Context) -> Part:
    """Say whether a model fits a machine; for every version of a card when that is open."""
    from assistant.agent.compose.fit import compose_fit

    variants = _fit_variants(context)
    if variants is not None:
        return variants
    question = context.question
    machine = context.machine()
    estimate, spilling = _estimate_usable(context, machine, question.machine_words)
    text = compose_fit(
        estimate,
        machine,
        asks_yes_no=True,
        extra_assumptions=context.model_assumptions,
        detected=context.detected,
        spilling=spilling,
    )
    sections = [("memory", "Weights"), ("memory", "KV cache")]
    if estimate.placement.verdict != "gpu":
        sections.append(("memory", "When it does not all fit"))
    return text, tuple(sections)


def _estimate_usable(
    context: Context, machine: Machine, words: str | None
) -> tuple[FitEstimate, FitEstimate | None]:
    """Return the estimate to answer with, and the one that spills at Ollama's own context.

    Without a context in the question, a model that fits at a usable one (8k, or what the GPU
    holds from 4k on) fits, even when the context that Ollama would choose by itself does not.
    """
    question = context.question

    def estimate(num_ctx: int | None) -> FitEstimate:
        return context.tools.estimate_fit(
            question.models[0].name,
            machine,
            quantization=context.quantization,
            num_ctx=num_ctx,
            kv_cache_type=question.kv_cache_type,
            words=words,
        )

    first = estimate(question.num_ctx)
    longest = first.limits.max_num_ctx_on_gpu
    if question.num_ctx or first.placement.verdict == "gpu" or first.num_ctx <= _USABLE_NUM_CTX[0]:
        return first, None
    if longest is None or longest < _USABLE_NUM_CTX[0]:
        return estimate(min(first.num_ctx, _USABLE_NUM_CTX[1])), None
    return estimate(min(longest, _USABLE_NUM_CTX[1])), first


def _fit_variants(context: Context) -> Part | None:
    """Answer for every memory size of a card, when the question leaves it open or errs."""
    from assistant.agent.compose.fit import compose_fit_variants
    from assistant.machine.devices import variants
    from assistant.machine.parse import parse_machine
    from assistant.units import GIB

    question = context.question
    machine = question.machine
    if machine is None or len(machine.usable_accelerators) != 1:
        return None
    card = machine.usable_accelerators[0]
    versions = {v.memory_bytes: v for v in variants(card.name) if v.memory_bytes}
    if len(versions) < 2 or card.memory_total_bytes in versions:
        return None
    found = []
    for memory, name in sorted((m or 0, v.name) for m, v in versions.items()):
        estimate, _ = _estimate_usable(context, parse_machine(name), name)
        found.append((f"{memory / GIB:.0f} GB", estimate))
    claimed = f"{(card.memory_total_bytes or 0) / GIB:.0f} GB"
    return compose_fit_variants(found, claimed), (("memory", "Weights"),)


def answer_need(context: Context) -> Part:
    """How much memory a model takes, on no machine in particular."""
    from assistant.agent.compose.fit import compose_need
    from assistant.machine.parse import parse_machine

    question = context.question
    roomy = parse_machine(ROOMY)
    card, _ = context.tools.catalog.find(question.models[0].name)
    trained = card.context_length or _NEED_CONTEXTS[0]
    contexts = [question.num_ctx] if question.num_ctx else []
    contexts += [c for c in _NEED_CONTEXTS if c <= trained and c not in contexts]
    estimates = [
        context.tools.estimate_fit(
            question.models[0].name,
            roomy,
            quantization=context.quantization,
            num_ctx=num_ctx,
            kv_cache_type=question.kv_cache_type,
        )
        for num_ctx in contexts or [trained]
    ]
    text = compose_need(
        [_without_assumptions(e) for e in estimates],
        claimed_sizes=question.claimed_sizes,
        extra_assumptions=context.model_assumptions,
    )
    return text, (("memory", "Weights"), ("memory", "KV cache"), ("memory", "Buffers and driver"))


def _without_assumptions(estimate: FitEstimate) -> FitEstimate:
    return replace(estimate, assumptions=())


def answer_kv_cache(context: Context) -> Part:
    """Say how large the KV cache is, by cache type."""
    from assistant.agent.compose.fit import compose_kv_cache
    from assistant.machine.parse import parse_machine

    question = context.question
    machine = question.machine or parse_machine(ROOMY)
    num_ctx = question.num_ctx or (None if question.machine else _NEED_CONTEXTS[1])
    asked = question.kv_cache_type or "f16"
    kinds = [asked, *(k for k in _KV_TYPES if k != asked)]
    estimates = [
        context.tools.estimate_fit(
            question.models[0].name,
            machine,
            quantization=context.quantization,
            num_ctx=num_ctx,
            kv_cache_type=kind,
            words=question.machine_words,
        )
        for kind in kinds
    ]
    text = compose_kv_cache(
        [_without_assumptions(e) for e in estimates], extra=context.model_assumptions
    )
    return text, (("memory", "KV cache"), ("memory", "Cache types"))


def answer_max_context(context: Context) -> Part:
    """Say how long the context can be on the GPU."""
    from assistant.agent.compose.fit import compose_max_context

    question = context.question
    machine = context.machine()
    estimates = [
        context.tools.estimate_fit(
            question.models[0].name,
            machine,
            quantization=context.quantization,
            kv_cache_type=kind,
            words=question.machine_words,
        )
        for kind in (question.kv_cache_type or "f16", "q8_0")
    ]
    text = compose_max_context(
        estimates[0],
        machine,
        with_q8_cache=estimates[1].limits.max_num_ctx_on_gpu,
        detected=context.detected,
    )
    return text, (("memory", "KV cache"), ("memory", "Context length that Ollama chooses"))


def answer_speed(context: Context) -> Part:
    """Say how fast a model will be."""
    from assistant.agent.compose.fit import compose_speed

    question = context.question
    machine = context.machine()
    estimate = context.tools.estimate_fit(
        question.models[0].name,
        machine,
        quantization=context.quantization,
        num_ctx=question.num_ctx,
        kv_cache_type=question.kv_cache_type,
        words=question.machine_words,
    )
    sections = [("speed", "Decoding reads the model once per token")]
    if estimate.placement.verdict == "partial":
        sections.append(("speed", "Partial offload"))
    return compose_speed(estimate, machine, detected=context.detected), tuple(sections)

"""Sentences made from figures: why a pick is a pick, each checkable by hand."""

from __future__ import annotations

from typing import Final

from assistant.fit.records import FitEstimate, SpeedRange
from assistant.models.card import ModelCard
from assistant.recommend.evidence import Quality, Signal
from assistant.recommend.languages import language_claim
from assistant.recommend.quantization_loss import perplexity_increase
from assistant.recommend.roles import RoleProfile
from assistant.recommend.scales import RANKED_AMONG, SCALES
from assistant.units import gb, gib, tokens

CITED: Final = 3
_PERCENT: Final = ("swe_verified", "swe_pro", "terminal", "livecodebench", "bfcl4", "tau2",
                   "mmmlu", "gpqa", "mmmu", "ocrbench", "long_context", "humaneval")  # fmt: skip


def quality_reason(quality: Quality, role: RoleProfile, points: float) -> str:
    """Return what the evidence says: `Quality 41 of 100 for chat: ...`, with sources."""
    weights = dict(role.evidence)
    strongest = sorted(
        quality.signals, key=lambda s: (-weights[s.scale] * s.weight, s.thinking is not True)
    )
    cited: list[str] = []
    scales: set[str] = set()
    for signal in strongest:
        if signal.scale in scales or len(scales) == CITED:
            continue
        scales.add(signal.scale)
        cited.append(_cite(signal, quality.signals))
    sure = "" if quality.confidence >= 0.6 else " (thin evidence)"
    return f"Quality {points:.0f} of 100 for {role.title}{sure}: " + "; ".join(cited) + "."


def fit_reason(estimate: FitEstimate, memory_bytes: int) -> str:
    """Return where it runs and what it takes: `6.3 of 7.5 GiB of VRAM with 8k of context`."""
    verdict = estimate.placement.verdict
    context = f"with {tokens(estimate.num_ctx)} of context"
    if verdict == "gpu":
        used = amount_of(estimate.gpu.total_bytes, memory_bytes)
        text = f"Runs entirely on the GPU: {used} {context}"
        longest = estimate.limits.max_num_ctx_on_gpu
        if longest is not None and longest > estimate.num_ctx:
            text += f"; up to {tokens(longest)} stays there"
        return text + "."
    total = gib(estimate.memory.total_bytes)
    if verdict == "partial":
        return f"Does not fit the GPU alone: {split_of(estimate)}; {total} in all {context}."
    return f"Runs on the CPU: {total} of RAM {context}."


def split_of(estimate: FitEstimate) -> str:
    """Return how a model is split between GPU and CPU, in words."""
    placement = estimate.placement
    experts = placement.expert_layers_on_host
    if experts and placement.gpu_layers == placement.layers:
        return f"the experts of {experts} of {placement.layers} layers stay in RAM"
    return f"{placement.gpu_layers} of {placement.layers} layers there, the rest on the CPU"


def speed_reason(estimate: FitEstimate) -> str | None:
    """Return the expected speed as a range: `About 52 tokens/s (34 to 64)`."""
    decode = estimate.speed.decode
    if decode is None:
        return None
    return f"About {rate(decode.expected)} tokens/s expected ({span(decode)})."


def quantization_reason(quantization: str | None, *, aware: bool = False) -> str | None:
    """Return what the quantization costs, when it was measured."""
    increase = perplexity_increase(quantization, aware=aware)
    if increase is None or quantization is None or increase == 0.0:
        return None
    name = f"{quantization} (QAT)" if aware else quantization
    return f"{name} raises perplexity by about {increase:.2g} % over 16-bit."


def licence_reason(card: ModelCard) -> str:
    """Return the licence and what it allows."""
    licence = card.licence
    name = licence.name or "Licence unknown"
    says = {
        "yes": "commercial use allowed",
        "no": "no commercial use",
        "conditional": "commercial use under conditions",
        "unknown": "whether commercial use is allowed is unknown",
    }[licence.commercial_use]
    return f"{name}: {says}."


def language_reason(card: ModelCard, languages: tuple[str, ...]) -> str | None:
    """Return what the makers claim about languages, when the person asked for some."""
    claim = language_claim(card)
    return f"Languages: {claim}, {', '.join(languages)} included." if claim and languages else None


def figure(signal: Signal) -> str:
    """Return one figure as text: `0.41 on the AA 20-metric mean`, `rank 150 of 402 for chat`."""
    if signal.scale in RANKED_AMONG:
        task, among = RANKED_AMONG[signal.scale]
        return f"rank {signal.value:.0f} of {among} for {task}"
    title = SCALES[signal.scale].title
    if signal.scale == "aa20":
        return f"{signal.value:.3f} on the {title}"
    unit = " %" if signal.scale in _PERCENT else ""
    return f"{signal.value:g}{unit} on {title}"


def amount_of(used_bytes: int, memory_bytes: int) -> str:
    """Return `6.3 of 7.5 GiB`, or `6.3 GiB` when the memory is unknown."""
    if memory_bytes <= 0:
        return gib(used_bytes)
    return f"{gib(used_bytes).removesuffix(' GiB')} of {gib(memory_bytes)}"


def rate(value: float) -> str:
    """Return tokens per second in as many digits as an estimate deserves."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def span(decode: SpeedRange) -> str:
    """Return `34 to 64`."""
    return f"{rate(decode.low)} to {rate(decode.high)}"


def download(size_bytes: int | None) -> str:
    """Return a download size as text, or `-`."""
    return gb(size_bytes) if size_bytes else "-"


def _cite(signal: Signal, signals: tuple[Signal, ...]) -> str:
    text = figure(signal)
    if signal.thinking is not None:
        other = next(
            (s for s in signals if s.scale == signal.scale and s.thinking is not signal.thinking),
            None,
        )
        text += " with thinking" if signal.thinking else " without thinking"
        if other is not None:
            text += f", {other.value:.3f} without" if signal.thinking else ""
    who = "its maker's own figure" if signal.by_maker else signal.source
    return f"{text} ({who})"

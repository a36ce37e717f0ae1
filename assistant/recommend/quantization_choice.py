"""Which quantization of one model to take for a task on a machine, before downloading it.

The choice follows the same total as the picks (`scoring`): what a type costs in quality, more
for code and mathematics than for prose, against how fast it runs here, and first of all
whether it stays on the GPU. What is known and how surely is part of the answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from assistant.recommend.candidates import builds, pull_name
from assistant.recommend.quantization_loss import perplexity_increase, quality_loss
from assistant.recommend.reasons import rate
from assistant.recommend.records import QuantizationChoice, QuantizationOption
from assistant.recommend.roles import RoleProfile, role_profile
from assistant.recommend.scoring import (
    ON_GPU_BONUS,
    SHORT_CONTEXT_FACTOR,
    Prefer,
    expected_speed,
    speed_factor,
)
from assistant.recommend.search import estimate_tag
from assistant.units import gb, gib, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assistant.machine.records import Machine
    from assistant.models.card import ModelCard, Tag

MEASURED: Final = frozenset(
    {"Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "Q3_K_M", "Q2_K"}
)
AS_GOOD: Final = 0.997
ALMOST: Final = 0.97
"""Shares of the best value: three in a thousand cannot be told apart by any test, three in a
hundred are not worth the RAM of a model that spills."""
MUCH: Final = 10.0
"""Percent of perplexity from which a smaller model serves better."""
EVIDENCE: Final = (
    "Perplexity over 16-bit on Llama 3 8B: Q8_0 +0.04 %, Q6_K +0.35, Q5_K_M +0.9, Q4_K_M +2.8, "
    "Q2_K +56 (llama.cpp, tools/perplexity).",
    "Over 500,000 evaluations of Llama 3.1 put 4-bit weights within 1 to 2 % of 16-bit on tasks "
    "(arXiv 2411.02355).",
)
_TASK_EVIDENCE: Final = {
    "code": "Code: no measurement settles how much Q4 costs; Q5_K_M or Q6_K if it fits, Q4_K_M "
    "with tests and review otherwise.",
    "reasoning": "Mathematics and reasoning: one study finds that low bits hurt (arXiv "
    "2501.03035), another that difficulty hardly matters (arXiv 2409.11055); take more bits if "
    "they fit.",
    "writing": "Writing: no measurement of its own; Q4_K_M is the safe default, Q3 acceptable on a "
    "big model and only when Q4 does not fit.",
    "chat": "Chat: Q4_K_M is the usual choice; what Q8_0 adds is hard to notice.",
}
_PREFER: Final[dict[str, Prefer]] = {"code": "quality", "reasoning": "quality"}


def choose_quantization(
    card: ModelCard, task: str, machine: Machine, *, num_ctx: int | None = None
) -> QuantizationChoice:
    """Return which build of a model to pull for a task (a role, or `maths`) on a machine.

    `num_ctx` defaults to the task's usual context. `chosen` is None when no build fits.

    Raises:
        UsageError: there is no such task.
    """
    role = role_profile(task)
    wanted = num_ctx or role.num_ctx
    context = min(wanted, card.context_length or wanted)
    if num_ctx is not None:
        role = replace(role, least_ctx=context)
    tags = _by_size(builds(card))
    options = [o for tag in tags if (o := _option(card, tag, role, machine, context))]
    running = [o for o in options if o.estimate.placement.verdict != "none"]
    chosen = _best(running, role)
    marked = tuple(replace(o, chosen=o is chosen) for o in options)
    picked = next((o for o in marked if o.chosen), None)
    return QuantizationChoice(
        model=card.name,
        task=task,
        chosen=picked,
        options=marked,
        reasons=_reasons(card, picked, marked, role, context),
        evidence=(*EVIDENCE, *filter(None, [_TASK_EVIDENCE.get(role.name)])),
        sureness="measured" if picked and picked.quantization in MEASURED else "estimated",
        pull=f"ollama pull {picked.model}" if picked else None,
    )


def _by_size(tags: Iterable[Tag]) -> list[Tag]:
    """Return one tag per quantization, smallest first."""
    kept: dict[tuple[str | None, bool], Tag] = {}
    for tag in sorted(tags, key=lambda t: len(t.name)):
        if tag.download_bytes or tag.model_bytes:
            kept.setdefault((tag.quantization, tag.quantization_aware), tag)
    return sorted(kept.values(), key=lambda t: t.download_bytes or t.model_bytes or 0)


def _option(
    card: ModelCard, tag: Tag, role: RoleProfile, machine: Machine, num_ctx: int
) -> QuantizationOption | None:
    estimate = estimate_tag(card, tag, machine, num_ctx=num_ctx)
    if estimate is None or tag.quantization is None:
        return None
    short_context = False
    if num_ctx > role.least_ctx and estimate.placement.verdict == "partial":
        shorter = estimate_tag(card, tag, machine, num_ctx=role.least_ctx)
        if shorter is not None and shorter.placement.verdict == "gpu":
            estimate, short_context = shorter, True
    aware = tag.quantization_aware
    return QuantizationOption(
        model=pull_name(card, tag),
        quantization=tag.quantization,
        estimate=estimate,
        quality_loss=quality_loss(
            tag.quantization, role.name, parameters=card.parameters_total, aware=aware
        ),
        perplexity_increase=perplexity_increase(tag.quantization, aware=aware),
        quantization_aware=aware,
        short_context=short_context,
    )


def _best(options: list[QuantizationOption], role: RoleProfile) -> QuantizationOption | None:
    """Return the smallest build that is as good as the best; off the GPU, almost as good."""
    best = max(options, key=lambda o: _value(o, role), default=None)
    if best is None:
        return None
    verdict = best.estimate.placement.verdict
    share = AS_GOOD if verdict == "gpu" else ALMOST
    near = [
        o for o in options
        if o.estimate.placement.verdict == verdict and _value(o, role) >= share * _value(best, role)
    ]  # fmt: skip
    return min(near, key=lambda o: o.estimate.memory.total_bytes)


def _value(option: QuantizationOption, role: RoleProfile) -> float:
    factor = speed_factor(expected_speed(option.estimate), role, _PREFER.get(role.name, "balance"))
    on_gpu = option.estimate.placement.verdict == "gpu"
    whole = on_gpu and (option.perplexity_increase or 0.0) < MUCH
    if option.short_context:
        factor *= SHORT_CONTEXT_FACTOR
    return (1 - option.quality_loss) * factor * (ON_GPU_BONUS if whole else 1.0)


def _reasons(
    card: ModelCard,
    chosen: QuantizationOption | None,
    options: tuple[QuantizationOption, ...],
    role: RoleProfile,
    num_ctx: int,
) -> tuple[str, ...]:
    if chosen is None:
        smallest = options[0] if options else None
        if smallest is None:
            return (f"The catalog has no build of {card.name} that can be estimated.",)
        return (
            f"No build of {card.name} fits: the smallest, {smallest.label}, needs "
            f"{gib(smallest.estimate.memory.total_bytes)} with {tokens(num_ctx)} of context.",
        )
    said = [_why(chosen, role)]
    index = options.index(chosen)
    if index + 1 < len(options):
        said.append(_why_not_larger(chosen, options[index + 1]))
    if index > 0:
        said.append(_why_not_smaller(chosen, options[index - 1]))
    if (chosen.perplexity_increase or 0.0) > MUCH:
        said.append("That costs much quality: a smaller model at Q4 or more serves better here.")
    return tuple(said)


def _why(option: QuantizationOption, role: RoleProfile) -> str:
    where = {
        "gpu": "entirely on the GPU",
        "partial": "partly on the CPU",
        "cpu": "on the CPU",
    }[option.estimate.placement.verdict]
    size = gb(option.estimate.download_bytes) if option.estimate.download_bytes else "size unknown"
    speed = expected_speed(option.estimate)
    pace = f", about {rate(speed)} tokens/s" if speed else ""
    return (
        f"{option.label} ({size}) runs {where} with {tokens(option.estimate.num_ctx)} of "
        f"context"
        f"{pace}; {_cost(option)} for {role.title}."
    )


def _why_not_larger(chosen: QuantizationOption, larger: QuantizationOption) -> str:
    verdict = larger.estimate.placement.verdict
    needs = gib(larger.estimate.memory.total_bytes)
    if verdict == "none":
        return f"{larger.label} would need {needs}, more than there is."
    if verdict != chosen.estimate.placement.verdict:
        return f"{larger.label} would need {needs} and run partly on the CPU."
    gain = (chosen.quality_loss - larger.quality_loss) * 100
    speed, slower = expected_speed(chosen.estimate), expected_speed(larger.estimate)
    pace = f" at {rate(slower)} instead of {rate(speed)} tokens/s" if speed and slower else ""
    if gain < 0.05:
        return f"{larger.label} would add nothing that was measured{pace}."
    return f"{larger.label} would gain about {gain:.1f} % of the score{pace}."


def _why_not_smaller(chosen: QuantizationOption, smaller: QuantizationOption) -> str:
    cost = (smaller.quality_loss - chosen.quality_loss) * 100
    return f"{smaller.label} would cost about {max(cost, 0.0):.1f} % more of the score."


def _cost(option: QuantizationOption) -> str:
    if option.perplexity_increase is None:
        return "what it costs was not measured"
    if option.perplexity_increase < 0.005:
        return "it loses nothing"
    lost = option.quality_loss * 100
    on_tasks = f"about {lost:.1f} % of a task score" if lost >= 0.05 else "nothing on tasks"
    return f"perplexity +{option.perplexity_increase:.2g} %, {on_tasks}"

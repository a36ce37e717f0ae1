"""Answers about which quantization to take, for one model or in general."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.agent.compose.text import (
    assumed,
    bullets,
    gpu_label,
    paragraphs,
    sentence,
    short_speed,
    table,
)
from assistant.machine.records import Machine
from assistant.recommend.quantization_loss import perplexity_increase
from assistant.recommend.records import QuantizationChoice
from assistant.units import gb, gib, tokens

_LEVELS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
_DEFAULT = "Q4_K_M"
_LAST_RESORT = 20.0
_TASKS = {"code": "code", "maths": "mathematics", "writing": "writing", "chat": "chat"}


def compose_choice(
    choice: QuantizationChoice,
    machine: Machine,
    *,
    extra_assumptions: Sequence[str] = (),
    detected: bool = False,
) -> str:
    """Return which quantization of one model to take for a task on a machine."""
    where = gpu_label(machine)
    assumptions = [*extra_assumptions, *machine.assumptions]
    if detected:
        assumptions.insert(0, "this computer is meant, since none was described")
    if choice.chosen is None:
        lead = f"No quantization of `{choice.model}` fits on {where}."
        return paragraphs(lead, bullets(choice.reasons), assumed(assumptions))
    chosen = choice.chosen
    context = tokens(chosen.estimate.num_ctx)
    lead = (
        f"Take {chosen.quantization} of `{choice.model}` for "
        f"{_TASKS.get(choice.task, choice.task)} on {where}: `{choice.pull}`."
    )
    rows = [
        (
            ("**" + option.quantization + "**") if option.chosen else option.quantization,
            gb(option.estimate.download_bytes) if option.estimate.download_bytes else "-",
            gib(option.estimate.memory.total_bytes),
            {"gpu": "GPU", "partial": "GPU and CPU", "cpu": "CPU", "none": "does not fit"}[
                option.estimate.placement.verdict
            ],
            short_speed(option.estimate.speed.decode),
            _percent(option.perplexity_increase),
        )
        for option in choice.options
    ]
    head = ("quantization", "download", f"memory at {context}", "lands on", "speed", "perplexity")
    sure = {
        "measured": "The loss of this level was measured on several models.",
        "estimated": "The loss of this level is estimated from measured neighbours.",
    }[choice.sureness]
    return paragraphs(
        lead,
        table(head, rows, right="1245"),
        bullets(choice.reasons),
        "Evidence:\n\n" + bullets(choice.evidence),
        sure,
        assumed(assumptions),
    )


def compose_level_for_task(levels: Sequence[str], task: str, advice: str) -> str:
    """Return whether a quantization level is good enough for a task, for no model in particular.

    `advice` is the guide's text on levels and tasks.
    """
    name = _TASKS.get(task, task)
    asked = levels[0] if levels else _DEFAULT
    loss, usual = perplexity_increase(asked), perplexity_increase(_DEFAULT)
    if loss is None or usual is None:
        lead = f"Nobody has published how much {asked} costs; {_DEFAULT} is the usual choice."
    elif loss > _LAST_RESORT:
        lead = (
            f"{asked} is a last resort for {name}: it costs about {_percent(loss)} in perplexity, "
            f"{_DEFAULT} about {_percent(usual)}. It is acceptable on a very large model only, "
            "when nothing else fits."
        )
    elif asked == _DEFAULT:
        lead = (
            f"{asked} is fine for {name}, the usual choice: about {_percent(loss)} in perplexity."
        )
    elif loss > usual:
        lead = (
            f"{asked} is acceptable for {name} only when {_DEFAULT} does not fit: it costs about "
            f"{_percent(loss)} in perplexity, {_DEFAULT} about {_percent(usual)}."
        )
    else:
        lead = (
            f"{asked} is fine for {name}: it costs about {_percent(loss)} in perplexity against 16 "
            f"bits ({_DEFAULT} about {_percent(usual)})."
        )
    shown = dict.fromkeys((*_LEVELS, *levels))
    rows = [(level, _percent(perplexity_increase(level))) for level in shown]
    return paragraphs(
        sentence(lead),
        table(("level", "perplexity against 16 bits"), rows, right="1"),
        advice,
        "Perplexity: Llama 3 8B against 16 bits, measured by llama.cpp (tools/perplexity).",
    )


def _percent(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"+{value:.2f} %" if value < 1 else f"+{value:.1f} %"

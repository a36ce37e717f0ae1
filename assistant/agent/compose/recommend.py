"""Answers that recommend, from a `Recommendation`; and lists of models by licence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.agent.compose.facts import billions, default_tag
from assistant.agent.compose.fit import fit_assumptions
from assistant.agent.compose.text import (
    assumed,
    bullets,
    gpu_label,
    join_words,
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
from assistant.models.card import ModelCard, Tag
from assistant.recommend.records import Excluded, Needs, Pick, Recommendation, Role
from assistant.units import gb, gib, tokens

_ROLE_PHRASES = {
    "chat": "chat",
    "code": "code",
    "embeddings": "embeddings",
    "vision": "reading images",
    "reasoning": "reasoning and maths",
    "writing": "writing",
    "translation": "translation",
    "summarize": "summaries",
    "rag": "answering from documents",
    "tools": "tool calling",
    "extract": "extracting data",
}


def compose_recommend(
    recommendation: Recommendation,
    needs: Needs,
    *,
    detected: bool,
    also: Sequence[tuple[Role, Pick]] = (),
    yardsticks: Sequence[FitEstimate] = (),
) -> str:
    """Return the picks for one role on one machine, best first, and why the first one.

    `also` are the best picks for further roles; `yardsticks` are well-known models of growing
    size, which show where the limit of the machine is.
    """
    machine = recommendation.machine
    if not recommendation.picks:
        return _nothing_fits(recommendation, needs)
    best = recommendation.picks[0]
    return paragraphs(
        " ".join(
            filter(
                None,
                (
                    _size_limit(yardsticks, recommendation.picks, machine),
                    _lead(best, needs, machine),
                ),
            )
        ),
        picks_table(recommendation.picks),
        f"Why {best.model}:\n\n{bullets(best.reasons)}",
        bullets(_also_line(role, pick) for role, pick in also) or None,
        _left_out(recommendation.excluded),
        " ".join(sentence(note) for note in recommendation.notes) or None,
        assumed(_assumptions(machine, best, detected=detected)),
        f"Get it: `{best.pull}`",
    )


def _size_limit(
    yardsticks: Sequence[FitEstimate], picks: Sequence[Pick], machine: Machine
) -> str | None:
    """Return up to which size dense models stay on the GPU, by what was fitted."""
    tried = [*yardsticks, *(p.estimate for p in picks if p.quantization == "Q4_K_M")]
    dense = [e for e in tried if e.parameters_active in (None, e.parameters_total)]
    sizes = sorted(
        (e.parameters_total or 0, e.placement.verdict == "gpu", e.quantization) for e in dense
    )
    fitting = [size for size in sizes if size[1]]
    if not fitting or not yardsticks or not machine.usable_accelerators:
        return None
    largest, _, level = fitting[-1]
    beyond = [size for size, fits, _ in sizes if not fits and size > largest]
    where = gpu_label(machine)
    text = f"Models of up to about {billions(largest)} at {level} stay entirely on {where}"
    return f"{text}; {billions(beyond[0])} spills to the CPU." if beyond else f"{text}."


def _also_line(role: Role, pick: Pick) -> str:
    estimate = pick.estimate
    memory = gib(estimate.placement.vram_bytes or estimate.memory.total_bytes)
    licence = f", {pick.licence}" if pick.licence else ""
    return (
        f"For {_ROLE_PHRASES[role]}: {model_label(estimate)}, {memory} with "
        f"{tokens(estimate.num_ctx)} of context{licence}"
    )


def picks_table(picks: Sequence[Pick]) -> str:
    """Return the table of picks, with what its figures refer to below it."""
    rows = [
        (
            pick.label.split(",")[0]
            + ("*" if pick.estimate.placement.verdict == "partial" else ""),
            pick.model,
            gb(pick.estimate.download_bytes) if pick.estimate.download_bytes else "-",
            gib(pick.estimate.placement.vram_bytes or pick.estimate.memory.total_bytes),
            short_speed(pick.estimate.speed.decode).removesuffix(" t/s"),
            short_licence(pick.licence),
        )
        for pick in picks
    ]
    header = ("as", "model", "download", "memory", "tokens/s", "licence")
    estimates = [pick.estimate for pick in picks]
    where = "GPU memory" if estimates[0].placement.vram_bytes else "RAM"
    below = f"Memory: {where} with {tokens(estimates[0].num_ctx)} tokens of context."
    if any(e.placement.verdict == "partial" for e in estimates):
        below += " *Partly on the CPU."
    if estimates[0].speed.decode is None and estimates[0].placement.verdict == "cpu":
        below += (
            " How fast the RAM is could not be read; `assistant hardware --measure` measures it."
        )
    return f"{table(header, rows, right='234')}\n\n{below}"


def short_licence(name: str | None) -> str:
    """Return a licence's name without the words that all of them have: `Gemma`, `LFM 1.0`."""
    if name is None:
        return "unknown"
    short = re.sub(
        r"\b(?:terms of use|open|community|licen[cs]e|agreement)\b", "", name, flags=re.IGNORECASE
    )
    return " ".join(short.split()) or name


def _lead(best: Pick, needs: Needs, machine: Machine) -> str:
    role = _ROLE_PHRASES[needs.role]
    fits = {
        "gpu": f"it stays entirely on {gpu_label(machine)}",
        "partial": f"only part of it fits on {gpu_label(machine)}, the rest runs from RAM",
        "cpu": "it runs on the CPU",
        "none": "it does not fit",
    }[best.estimate.placement.verdict]
    conditions = []
    if needs.languages:
        from assistant.agent.compose.facts import LANGUAGE_NAMES

        conditions.append(join_words([LANGUAGE_NAMES.get(c, c) for c in needs.languages]))
    if needs.commercial:
        conditions.append("commercial use")
    extra = f" with {join_words(conditions)}" if conditions else ""
    longest = best.estimate.limits.max_num_ctx_on_gpu
    room = f", with room for {tokens(longest)} tokens of context" if longest else ""
    speed = best.estimate.speed.decode
    pace = f" at {speed_range(speed)}" if speed and needs.role != "embeddings" else ""
    return sentence(
        f"For {role}{extra} take {model_label(best.estimate)}: {fits}{pace}{room} "
        f"({memory_label(machine)})"
    )


def _left_out(excluded: Sequence[Excluded]) -> str | None:
    if not excluded:
        return None
    lines = [f"{item.model}: {_without_sources(item.reason)}" for item in excluded[:3]]
    return "Not picked:\n\n" + bullets(lines)


def _without_sources(text: str) -> str:
    """Return a sentence without what stands in brackets: the sources are in the first pick."""
    return re.sub(r"\s*\([^()]*\)", "", text)


def _nothing_fits(recommendation: Recommendation, needs: Needs) -> str:
    why = bullets(f"{e.model}: {e.reason}" for e in recommendation.excluded[:5])
    return paragraphs(
        f"Nothing that is still useful for {_ROLE_PHRASES[needs.role]} fits "
        f"{gpu_label(recommendation.machine)} ({memory_label(recommendation.machine)}) with these "
        "conditions.",
        why,
        " ".join(sentence(note) for note in recommendation.notes),
        assumed(recommendation.machine.assumptions),
    )


def _assumptions(machine: Machine, best: Pick, *, detected: bool) -> list[str]:
    found = fit_assumptions(best.estimate, machine)
    if detected:
        found.insert(0, "this computer is meant, since none was described")
    return found


def _is_licence(name: str | None, wanted: str) -> bool:
    """Return True for the licence itself: `Modified MIT` is not MIT."""
    key = re.sub(r"[^a-z0-9]", "", (name or "").lower())
    return key.startswith(re.sub(r"[^a-z0-9]", "", wanted.lower()))


def compose_licence_list(cards: Sequence[ModelCard], licences: Sequence[str], as_of: str) -> str:
    """Return the models of the catalog under each of `licences`, by family."""
    blocks = []
    for licence in licences:
        families: dict[str, list[ModelCard]] = {}
        for card in cards:
            if _is_licence(card.licence.name, licence):
                families.setdefault(card.name.split(":")[0], []).append(card)
        if not families:
            blocks.append(f"No model in the catalog is under {licence}.")
            continue
        names = join_words([f"`{name}`" for name in families])
        blocks.append(f"Under {licence}: {names}.")
    lead = sentence(f"by licence, from the catalog of {as_of}")
    note = "Licences can differ between the sizes of a family; ask for the one you take."
    return paragraphs(lead[:-1] + ":", *blocks, note)


def compose_other_quantization(card: ModelCard, quantization: str) -> str:
    """Return how to get a model at another quantization than its default."""
    found = [t for t in card.tags if t.quantization == quantization and t.pullable]
    default = default_tag(card)
    example = f"hf.co/<user>/<repository>-GGUF:{quantization}"
    if found:
        tag = found[0]
        size = f" ({gb(tag.download_bytes)})" if tag.download_bytes else ""
        lead = f"Pull the tag that has it: `ollama pull {tag.name}`{size}."
    else:
        lead = (
            f"The library has no {quantization} tag of `{card.name}`; pull a GGUF repository from "
            f"Hugging Face that has it: `ollama pull {example}`."
        )
    plain = ""
    if default is not None and default.quantization != quantization:
        plain = f" A bare `ollama pull {card.name}` gives {default.quantization}."
    rest = ""
    if found:
        rest = f"Any GGUF repository on Hugging Face works too: `ollama pull {example}`."
    return paragraphs(lead + plain, rest)


def compose_pull(card: ModelCard, tag: Tag) -> str:
    """Return how to get and start one model."""
    name = card.name if tag.name == card.default_tag else tag.name
    size = f" ({gb(tag.download_bytes)})" if tag.download_bytes else ""
    if not tag.pullable:
        return (
            f"`{name}` cannot be pulled from the Ollama library; look for a GGUF repository of it "
            "on Hugging Face: `ollama pull hf.co/<user>/<repository>-GGUF`."
        )
    return (
        f"Pull it with `ollama pull {name}`{size}, and talk to it with `ollama run {name}`.\n\n"
        f"Whether it fits this computer: `assistant fit {name}`."
    )

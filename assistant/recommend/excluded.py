"""Why the well-known models that a person would ask about are not picks.

Each reason carries its figure: how much too big, or by whom it is beaten and on what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError
from assistant.recommend.candidates import pull_name, why_not
from assistant.recommend.evidence import Quality, Signal, role_quality, signals_of
from assistant.recommend.reasons import figure, rate
from assistant.recommend.records import Excluded
from assistant.recommend.scales import RANKED_AMONG
from assistant.recommend.search import Option, Search, estimate_tag
from assistant.units import gib, tokens

if TYPE_CHECKING:
    from assistant.fit.records import FitEstimate
    from assistant.models.card import ModelCard, Tag
    from assistant.models.catalog import Catalog

WELL_KNOWN: Final = (
    "llama3.1:8b", "mistral:7b", "qwen2.5:7b", "gemma3:12b", "deepseek-r1:8b", "phi4:14b",
    "gpt-oss:20b", "gpt-oss:120b", "llama3.3:70b", "mixtral:8x7b",
)  # fmt: skip
WELL_KNOWN_FOR: Final = {
    "code": ("qwen2.5-coder:7b", "qwen3-coder:30b", "codellama:7b", "deepseek-coder-v2:16b",
             "codestral:22b", "gpt-oss:20b", "llama3.1:8b", "devstral:24b"),
    "embeddings": ("nomic-embed-text", "all-minilm:22m", "mxbai-embed-large:335m", "bge-m3:567m",
                   "qwen3-embedding:8b", "embeddinggemma:300m"),
    "vision": ("llava:7b", "llama3.2-vision:11b", "gemma3:12b", "qwen2.5vl:7b", "minicpm-v:8b"),
    "reasoning": ("deepseek-r1:8b", "deepseek-r1:14b", "deepseek-r1:32b", "qwq:32b", "gpt-oss:20b",
                  "gpt-oss:120b", "phi4-reasoning:14b"),
    "translation": ("translategemma:12b", "aya-expanse:8b", "llama3.1:8b", "mistral:7b",
                    "gpt-oss:20b"),
}  # fmt: skip


def excluded_models(
    search: Search, best: Option | None, picked: set[str], catalog: Catalog
) -> tuple[Excluded, ...]:
    """Return the well-known models of a role that are not picks, each with its reason."""
    found: list[Excluded] = []
    for name in WELL_KNOWN_FOR.get(search.role.name, WELL_KNOWN):
        try:
            card, tag = catalog.find(name)
        except AssistantError:
            continue
        if pull_name(card, tag) in picked or card.name in picked:
            continue
        found.append(Excluded(pull_name(card, tag), _reason(search, best, card, tag)))
    return tuple(found)


def _reason(search: Search, best: Option | None, card: ModelCard, tag: Tag) -> str:
    wanted = search.needs.num_ctx or search.role.num_ctx
    num_ctx = min(wanted, card.context_length or wanted)
    estimate = estimate_tag(card, tag, search.machine, num_ctx=num_ctx)
    excluded = why_not(card, search.role, search.needs)
    too_big = None if estimate is None else _too_big(search, estimate)
    beaten = None if best is None else _beaten(search, best, card)
    if too_big is not None:
        return too_big
    if excluded == "it is outdated":
        return f"It is outdated{': ' + beaten if beaten else '.'}"
    if excluded is not None:
        return excluded[0].upper() + excluded[1:] + "."
    if beaten is not None:
        return f"It fits, but {beaten}"
    return "It fits; nothing published rates it above the picks."


def _too_big(search: Search, estimate: FitEstimate) -> str | None:
    verdict = estimate.placement.verdict
    total = gib(estimate.memory.total_bytes)
    needs = f"It needs {total} with {tokens(estimate.num_ctx)} of context"
    if verdict == "gpu":
        return None
    if not search.gpu_bytes:
        short = estimate.memory.total_bytes - search.ram_bytes
        if verdict == "none" or short > 0:
            return f"{needs}, {gib(max(short, 0))} more than the RAM that is left for it."
        return None
    short = max(estimate.missing_bytes, estimate.memory.total_bytes - search.gpu_bytes)
    where = "GPU" if len(search.machine.usable_accelerators) == 1 else "GPUs"
    if verdict == "none":
        return f"{needs}: more than the {where} and RAM together."
    speed = estimate.speed.decode
    pace = f"; about {rate(speed.expected)} tokens/s with the rest on the CPU" if speed else ""
    return f"{needs}, {gib(short)} more than the {where}{pace}."


def _beaten(search: Search, best: Option, card: ModelCard) -> str | None:
    """Return a sentence with figures of both on one scale, or None when nothing compares."""
    mine, theirs = best.candidate.quality, role_quality(card, search.role)
    winner = pull_name(best.candidate.card, best.candidate.tag)
    shared = _common_scale(search, mine, card)
    if shared is not None:
        won, lost = shared
        return f"{winner} beats it, {_numbers(won, lost)}."
    if theirs is None:
        return f"no common scale rates it for {search.role.title}; {winner} has the evidence."
    if theirs.plain < mine.plain:
        points = f"{mine.plain:.0f} to {theirs.plain:.0f} points"
        return f"{winner} is rated higher for {search.role.title}, {points}."
    return _slower(search, best, card)


def _slower(search: Search, best: Option, card: ModelCard) -> str | None:
    option = next(
        (o for o in search.options.values() if o.candidate.card.name == card.name), None
    )
    if option is None or not option.speed or not best.speed or option.speed >= best.speed:
        return None
    winner = pull_name(best.candidate.card, best.candidate.tag)
    return f"{winner} is faster here, {rate(best.speed)} to {rate(option.speed)} tokens/s."


def _common_scale(
    search: Search, mine: Quality, card: ModelCard
) -> tuple[Signal, Signal] | None:
    """Return both figures on the heaviest scale of the role where the pick is ahead."""
    weights = dict(search.role.evidence)
    theirs = {s.scale: s for s in signals_of(card) if s.thinking is not True}
    theirs = {s.scale: s for s in signals_of(card) if s.thinking is True} | theirs
    for signal in sorted(mine.signals, key=lambda s: -weights[s.scale]):
        other = theirs.get(signal.scale)
        if other is None or signal.by_maker or signal.thinking is not other.thinking:
            continue
        if signal.points > other.points:
            return signal, other
    return None


def _numbers(won: Signal, lost: Signal) -> str:
    if won.scale in RANKED_AMONG:
        return f"{figure(won)} against {lost.value:.0f} ({won.source})"
    against = f"{lost.value:.3f}" if won.scale == "aa20" else f"{lost.value:g}"
    mode = {True: " with thinking", False: " without thinking", None: ""}[won.thinking]
    return f"{figure(won)} against {against}{mode} ({won.source})"

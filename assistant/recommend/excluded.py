"""Why the well-known models that a person would ask about are not picks.

Each reason carries its figure: how much too big, or by whom it is beaten and on what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.recommend.candidates import pull_name, why_not
from assistant.recommend.evidence import Quality, Signal, role_quality, signals_of
from assistant.recommend.reasons import amount_of, figure, rate, split_of
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
BETTER: Final = 1.05
NARROWLY: Final = 0.15
"""Share of the GPU's memory by which a model may be too big and still be a near miss."""


def excluded_models(
    search: Search, best: Option | None, picked: set[str], catalog: Catalog
) -> tuple[Excluded, ...]:
    """Return the well-known models of a role that are not picks, each with its reason.

    A better model that misses the GPU narrowly comes first.
    """
    found: list[Excluded] = []
    near = _near_miss(search, best, picked)
    if near is not None:
        found.append(near)
    taken = picked | {excluded.model for excluded in found}
    for name in WELL_KNOWN_FOR.get(search.role.name, WELL_KNOWN):
        card = catalog.card(name)
        tag = None if card is None or card.default_tag is None else card.tag(card.default_tag)
        if card is not None and tag is not None and card.name not in taken:
            found.append(_excluded(search, best, card, tag))
    return tuple(found)


def _near_miss(search: Search, best: Option | None, picked: set[str]) -> Excluded | None:
    """Return the better model that misses the GPU by the least, if one misses it narrowly."""
    if best is None or not search.gpu_bytes:
        return None
    better = [
        o for o in search.options.values()
        if o.verdict == "partial" and o.score.quality > BETTER * best.score.quality
        and 0 < o.estimate.missing_bytes <= NARROWLY * search.gpu_bytes
        and pull_name(o.candidate.card, o.candidate.tag) not in picked
        and o.candidate.card.name != best.candidate.card.name
    ]  # fmt: skip
    if not better:
        return None
    nearest = min(better, key=lambda o: o.estimate.missing_bytes)
    estimate = nearest.estimate
    pace = f", about {rate(nearest.speed)} tokens/s" if nearest.speed else ""
    return Excluded(
        pull_name(nearest.candidate.card, nearest.candidate.tag),
        f"It just misses: {gib(estimate.missing_bytes)} more than Ollama fills on the GPU with "
        f"{tokens(estimate.num_ctx)} of context ({split_of(estimate)}{pace})."
        f"{_forced(search, nearest)}",
        estimate.missing_bytes,
    )


def _forced(search: Search, nearest: Option) -> str:
    """Return what happens without the margins that Ollama keeps, if all of it has room."""
    candidate, estimate = nearest.candidate, nearest.estimate
    whole = estimate_tag(
        candidate.card, candidate.tag, search.machine,
        num_ctx=estimate.num_ctx, num_gpu=estimate.placement.layers,
    )  # fmt: skip
    if whole is None or len(search.machine.usable_accelerators) != 1:
        return ""
    if whole.gpu.total_bytes > search.gpu_bytes:
        return ""
    room = amount_of(whole.gpu.total_bytes, search.gpu_bytes)
    return f" All of it is {room}: the option num_gpu 99 makes Ollama load it whole."


def _excluded(search: Search, best: Option | None, card: ModelCard, tag: Tag) -> Excluded:
    name = pull_name(card, tag)
    wanted = search.needs.num_ctx or search.role.num_ctx
    num_ctx = min(wanted, card.context_length or wanted)
    estimate = estimate_tag(card, tag, search.machine, num_ctx=num_ctx)
    missing = None if estimate is None else _missing(search, estimate)
    if estimate is not None and missing is not None:
        return Excluded(name, _too_big(search, estimate, missing), missing)
    against = why_not(card, search.role, search.needs)
    beaten = None if best is None else _beaten(search, best, card)
    if against == "it is outdated":
        return Excluded(name, f"Outdated{': ' + beaten if beaten else ''}.")
    if against is not None:
        return Excluded(name, f"{against[0].upper()}{against[1:]}.")
    if beaten is not None:
        return Excluded(name, f"It fits, but {beaten}.")
    return Excluded(name, "It fits; nothing published puts the picks above it.")


def _missing(search: Search, estimate: FitEstimate) -> int | None:
    """Return by how many bytes a model is too big for the GPU (or RAM), None when it is not."""
    total, verdict = estimate.memory.total_bytes, estimate.placement.verdict
    if verdict == "gpu":
        return None
    if search.gpu_bytes:
        return max(estimate.missing_bytes, total - search.gpu_bytes, 1)
    short = total - search.ram_bytes
    return max(short, 1) if verdict == "none" or short > 0 else None


def _too_big(search: Search, estimate: FitEstimate, missing: int) -> str:
    context = tokens(estimate.num_ctx)
    needs = f"It needs {gib(estimate.memory.total_bytes)} with {context} of context"
    if not search.gpu_bytes:
        return f"{needs}, {gib(missing)} more than the RAM that is left for it."
    where = "GPU" if len(search.machine.usable_accelerators) == 1 else "GPUs"
    if estimate.placement.verdict == "none":
        return f"{needs}, more than the {where} and RAM together."
    speed = estimate.speed.decode
    pace = f"; about {rate(speed.expected)} tokens/s with the rest on the CPU" if speed else ""
    return f"{needs}, {gib(missing)} more than the {where}{pace}."


def _beaten(search: Search, best: Option, card: ModelCard) -> str | None:
    """Return a sentence with figures of both on one scale, or None when nothing compares."""
    mine, theirs = best.candidate.quality, role_quality(card, search.role)
    winner = pull_name(best.candidate.card, best.candidate.tag)
    shared = _common_scale(search, mine, card)
    if shared is not None:
        won, lost = shared
        return f"{winner} has {_numbers(won, lost)}"
    if theirs is None:
        return f"no scale that rates {winner} rates it"
    if theirs.plain < mine.plain:
        points = f"{mine.plain:.0f} against {theirs.plain:.0f} points"
        return f"{winner} is rated higher for {search.role.title}, {points}"
    return _slower(search, best, card)


def _slower(search: Search, best: Option, card: ModelCard) -> str | None:
    options = search.options.values()
    option = next((o for o in options if o.candidate.card.name == card.name), None)
    if option is None or not option.speed or not best.speed or option.speed >= best.speed:
        return None
    winner = pull_name(best.candidate.card, best.candidate.tag)
    return f"{winner} is faster here, {rate(best.speed)} against {rate(option.speed)} tokens/s"


def _common_scale(search: Search, mine: Quality, card: ModelCard) -> tuple[Signal, Signal] | None:
    """Return both figures on the heaviest scale of the role where the pick is ahead."""
    weights = dict(search.role.evidence)
    theirs = {(s.scale, s.thinking): s for s in signals_of(card)}
    for signal in sorted(mine.signals, key=lambda s: -weights[s.scale]):
        other = theirs.get((signal.scale, signal.thinking))
        if other is not None and not signal.by_maker and signal.points > other.points:
            return signal, other
    return None


def _numbers(won: Signal, lost: Signal) -> str:
    if won.scale in RANKED_AMONG:
        return f"{figure(won)}, it {lost.value:.0f} ({won.source})"
    other = f"{lost.value:.3f}" if won.scale == "aa20" else f"{lost.value:g}"
    mode = {True: " with thinking", False: " without thinking", None: ""}[won.thinking]
    return f"{figure(won)}{mode}, it {other} ({won.source})"

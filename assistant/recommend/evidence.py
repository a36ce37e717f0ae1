"""Which published figures speak for a model in a role, and what they say together.

Every figure becomes a `Signal`: its value, quality points on the common scale (`scales`), its
weight for the role (`roles`), who reported it and where. A model's quality for a role is their
weighted mean, pulled towards a low prior:

    quality = (sum(weight * points) + PRIOR_WEIGHT * PRIOR_POINTS) / (sum(weight) + PRIOR_WEIGHT)

so that one flattering figure does not beat five good ones. `confidence` is the share that the
evidence has in that sum with a second prior added. Quality is kept twice: with thinking (as
the indices measure it) and without, which is the honest one where tokens are slow. A model
rated only with thinking is taken to lose what the median of the others loses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assistant.models.card import Benchmark, ModelCard
from assistant.recommend.published import (
    FIGURES,
    TASK_RANKS,
    TASK_SCALES,
    TASK_SOURCE,
    THIN_RANKS,
)
from assistant.recommend.roles import RoleProfile
from assistant.recommend.scales import RANKED_AMONG, SCALES, rank_points

PRIOR_POINTS: Final = 5.0
"""Points of a model that nobody rated: where 2023's 7B models stand on AA20 (0.06)."""
PRIOR_WEIGHT: Final = 0.5
MAKER_WEIGHT: Final = 0.5
"""A maker's figure counts half: SWE-bench figures ran 4 to 20 points above re-runs."""
OLD_INDEX_WEIGHT: Final = 0.5
"""AA20 is thin for models from before 2025."""
THIN_RANK_WEIGHT: Final = 0.6
"""What a rank counts that its source marks as resting on few tests."""
TINY_PARAMETERS: Final = 500_000_000
"""Below it AA20 is left out: so few metrics exist that a 270M model tops a 70B of 2024."""
WITHOUT_THINKING: Final = 0.76
"""Median of AA20 without over AA20 with thinking, over the 19 models rated both ways."""

_EXACT: Final = {
    "MMMLU": "mmmlu",
    "GPQA-Diamond": "gpqa",
    "MMMU": "mmmu",
    "OCRBench": "ocrbench",
    "AA-LCR": "long_context",
    "HumanEval": "humaneval",
    "SWE-bench Verified": "swe_verified",
    "SWE-bench Pro": "swe_pro",
    "LiveCodeBench v6": "livecodebench",
    "MTEB multilingual mean (task)": "mteb_multilingual",
    "MTEB English v2 mean (task)": "mteb_english",
    "MTEB retrieval NDCG@10": "mteb_retrieval",
}
_PREFIXES: Final = (
    ("AA 20-metric mean", "aa20"),
    ("AA Intelligence Index", "aai"),
    ("whatmodel.sh composite", "wm"),
    ("Arena Elo", "arena"),
    ("BFCL v4", "bfcl4"),
    ("Terminal-Bench 2", "terminal"),
    ("tau2-bench", "tau2"),
)
_SHORT_SOURCES: Final = {
    "aa20": "Artificial Analysis",
    "aai": "Artificial Analysis",
    "wm": "whatmodel.sh",
    "arena": "Arena",
}


@dataclass(frozen=True, slots=True)
class Signal:
    """One published figure as evidence. `thinking` is None when the source does not say."""

    scale: str
    value: float
    points: float
    weight: float
    source: str
    thinking: bool | None = None
    by_maker: bool = False


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality points of one model for one role, 0 to 100, and what they rest on."""

    thinking: float
    plain: float
    confidence: float
    signals: tuple[Signal, ...]

    def at(self, thinking_share: float) -> float:
        """Return the points when `thinking_share` (0 to 1) of the answers may think first."""
        return self.plain + (self.thinking - self.plain) * thinking_share


def role_quality(card: ModelCard, role: RoleProfile) -> Quality | None:
    """Return a model's quality for a role, or None when no scale that counts rates it."""
    weights = dict(role.evidence)
    signals = tuple(_best_per_scale(s for s in signals_of(card) if s.scale in weights))
    if not signals:
        return None
    thinking = [(s, weights[s.scale] * s.weight) for s in signals if s.thinking is not False]
    plain = [(s, weights[s.scale] * s.weight) for s in signals if s.thinking is not True]
    rated = {s.scale for s, _ in plain}
    plain += [
        (_without_thinking(s), weight)
        for s, weight in thinking
        if s.thinking and s.scale not in rated
    ]
    measured = {s.scale for s, _ in thinking}
    thinking += [(s, weight) for s, weight in plain if s.scale not in measured]
    total = sum(weight for _, weight in thinking)
    high, low = _shrunk(thinking), _shrunk(plain)
    return Quality(max(high, low), min(high, low), total / (total + 1.0), signals)


def signals_of(card: ModelCard) -> tuple[Signal, ...]:
    """Return every figure of a card that a scale can read, unweighted by role."""
    return (*_from_benchmarks(card), *_from_published(card))


def _from_benchmarks(card: ModelCard) -> Iterator[Signal]:
    for row in card.benchmarks:
        name = _scale_of(row)
        if name is None or (name == "aa20" and _is_tiny(card)):
            continue
        by_maker = row.reported_by in ("maker", "qwen", "snowflake") and name not in ("aa20", "wm")
        by_maker = by_maker and not name.startswith("mteb")
        weight = MAKER_WEIGHT if by_maker else 1.0
        if name == "aa20" and (card.release or "") < "2025":
            weight *= OLD_INDEX_WEIGHT
        value = row.value * 100 if name == "aa20" else row.value
        points = value if name == "aa20" else SCALES[name].points(value, by_maker=by_maker)
        thinking = _thinking(row) if name == "aa20" else None
        yield Signal(name, row.value, points, weight, _source_of(name, row), thinking, by_maker)


def _from_published(card: ModelCard) -> Iterator[Signal]:
    for name, value in zip(TASK_SCALES, TASK_RANKS.get(card.name, ()), strict=False):
        if value is None:
            continue
        if name in RANKED_AMONG:
            points = rank_points(value, RANKED_AMONG[name][1])
        else:
            points = SCALES[name].points(value)
        thin = f"{card.name} {name}" in THIN_RANKS
        yield Signal(name, value, points, THIN_RANK_WEIGHT if thin else 1.0, TASK_SOURCE)
    for name, value, by_maker, source in FIGURES.get(card.name, ()):
        weight = MAKER_WEIGHT if by_maker else 1.0
        points = SCALES[name].points(value, by_maker=by_maker)
        yield Signal(name, value, points, weight, source, None, by_maker)


def _is_tiny(card: ModelCard) -> bool:
    return card.parameters_total is not None and card.parameters_total < TINY_PARAMETERS


def _scale_of(row: Benchmark) -> str | None:
    exact = _EXACT.get(row.name)
    if exact is not None:
        return exact
    return next((scale for prefix, scale in _PREFIXES if row.name.startswith(prefix)), None)


def _thinking(row: Benchmark) -> bool | None:
    setting = (row.setting or "").lower()
    if "reasoning on" in setting:
        return True
    return False if "reasoning off" in setting else None


def _source_of(scale: str, row: Benchmark) -> str:
    who = _SHORT_SOURCES.get(scale) or ("its maker" if row.reported_by == "maker" else row.source)
    return f"{who}, {row.date}" if row.date else who


def _best_per_scale(signals: Iterator[Signal]) -> list[Signal]:
    """Keep one figure per scale and mode: an independent one before a maker's, then the later."""
    kept: dict[tuple[str, bool | None], Signal] = {}
    for signal in signals:
        key = (signal.scale, signal.thinking)
        known = kept.get(key)
        if known is None or (known.by_maker and not signal.by_maker):
            kept[key] = signal
    return list(kept.values())


def _without_thinking(signal: Signal) -> Signal:
    return Signal(
        signal.scale, signal.value, signal.points * WITHOUT_THINKING, signal.weight, signal.source
    )


def _shrunk(weighted: list[tuple[Signal, float]]) -> float:
    total = sum(weight for _, weight in weighted)
    points = sum(weight * signal.points for signal, weight in weighted)
    return (points + PRIOR_WEIGHT * PRIOR_POINTS) / (total + PRIOR_WEIGHT)

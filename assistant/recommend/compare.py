"""A few models side by side: sizes, fit, published scores, licence, context, languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from assistant.recommend.candidates import pull_name
from assistant.recommend.evidence import Signal, role_quality, signals_of
from assistant.recommend.languages import language_claim
from assistant.recommend.reasons import rate
from assistant.recommend.records import ComparedModel, Comparison
from assistant.recommend.roles import role_profile
from assistant.recommend.scales import RANKED_AMONG, SCALES
from assistant.recommend.search import estimate_tag
from assistant.units import gb, gib, tokens

if TYPE_CHECKING:
    from assistant.machine.records import Machine
    from assistant.models.card import ModelCard, Tag

ROLES_COMPARED: Final = ("chat", "code", "reasoning", "vision", "tools", "embeddings")
_SHOWN: Final = ("aa20", "aai", "wm", "wm_chat", "wm_coding", "wm_vision", "arena", "swe_verified",
                 "bfcl4", "mmmlu", "mmmu", "mteb_multilingual", "mteb_retrieval")  # fmt: skip

_WHERE: Final = {
    "gpu": "stays on the GPU", "partial": "spills to the CPU", "cpu": "runs on the CPU",
    "none": "does not fit",
}  # fmt: skip


def compare_models(
    models: Sequence[tuple[ModelCard, Tag]],
    machine: Machine | None = None,
    *,
    num_ctx: int | None = None,
    role: str = "chat",
) -> Comparison:
    """Return models side by side; with a machine, as they would run there.

    `num_ctx` defaults to the usual context of `role`, which also leads the findings.

    Raises:
        UsageError: there is no such role.
    """
    profile = role_profile(role)
    wanted = num_ctx or profile.num_ctx
    rows = tuple(_row(card, tag, machine, wanted) for card, tag in models)
    return Comparison(rows, tuple(_findings(rows, profile.name)))


def _row(card: ModelCard, tag: Tag, machine: Machine | None, num_ctx: int) -> ComparedModel:
    context = min(num_ctx, card.context_length or num_ctx)
    estimate = None
    if machine is not None and card.architecture is not None:
        estimate = estimate_tag(card, tag, machine, num_ctx=context, with_limits=True)
    quality = {}
    for role in ROLES_COMPARED:
        profile = role_profile(role)
        rated = role_quality(card, profile) if profile.requires <= card.capabilities else None
        if rated is not None:
            quality[role] = round(rated.at(profile.thinking_share), 1)
    return ComparedModel(
        model=pull_name(card, tag),
        title=card.title,
        quantization=tag.quantization,
        download_bytes=tag.download_bytes or tag.model_bytes,
        parameters_total=card.parameters_total,
        parameters_active=card.parameters_active,
        context_length=tag.context_length or card.context_length,
        licence=card.licence.name,
        commercial_use=card.licence.commercial_use,
        languages=language_claim(card),
        capabilities=tuple(sorted(tag.capabilities or card.capabilities)),
        release=card.release,
        quality=quality,
        scores=_scores(signals_of(card)),
        estimate=estimate,
        notes=card.notes,
    )


def _scores(signals: tuple[Signal, ...]) -> tuple[tuple[str, float, str], ...]:
    found = []
    for signal in signals:
        if signal.scale not in _SHOWN:
            continue
        task = RANKED_AMONG.get(signal.scale)
        title = f"rank for {task[0]}, of {task[1]}" if task else SCALES[signal.scale].title
        if signal.thinking is not None:
            title += " with thinking" if signal.thinking else " without thinking"
        source = signal.source
        if signal.by_maker and not source.startswith("its maker"):
            source += " (its maker's figure)"
        found.append((title, signal.value, source))
    return tuple(found)


def _findings(rows: tuple[ComparedModel, ...], role: str) -> list[str]:
    if len(rows) < 2:
        return []
    return [text for text in (_sizes(rows), _fits(rows), _speeds(rows), _rated(rows, role),
                              _contexts(rows), _licences(rows)) if text]  # fmt: skip


def _sizes(rows: tuple[ComparedModel, ...]) -> str | None:
    sized = sorted((r for r in rows if r.download_bytes), key=lambda r: r.download_bytes or 0)
    if len(sized) < 2:
        return None
    small, large = sized[0], sized[-1]
    low, high = small.download_bytes or 1, large.download_bytes or 1
    if low == high:
        return f"All downloads are {gb(low)}."
    more = f"{gb(high - low)} ({(high - low) / low:.0%}) more"
    return f"{large.model} is {gb(high)} to download, {small.model} {gb(low)}: {more}."


def _fits(rows: tuple[ComparedModel, ...]) -> str | None:
    told = []
    for row in rows:
        if row.estimate is None:
            return None
        where = _WHERE[row.estimate.placement.verdict]
        total = gib(row.estimate.memory.total_bytes)
        told.append(f"{row.model} {where} ({total} with {tokens(row.estimate.num_ctx)})")
    return "; ".join(told) + "."


def _speeds(rows: tuple[ComparedModel, ...]) -> str | None:
    timed = [
        (row.estimate.speed.decode.expected, row.model)
        for row in rows
        if row.estimate is not None and row.estimate.speed.decode is not None
    ]
    if len(timed) < 2:
        return None
    timed.sort(reverse=True)
    return "Expected speed: " + ", ".join(f"{m} {rate(s)} tokens/s" for s, m in timed) + "."


def _rated(rows: tuple[ComparedModel, ...], role: str) -> str | None:
    rated = sorted(((r.quality[role], r.model) for r in rows if role in r.quality), reverse=True)
    if len({model for _, model in rated}) < 2 or rated[0][0] == rated[-1][0]:
        return None
    told = ", ".join(f"{model} {points:.0f}" for points, model in rated)
    return f"Quality points for {role}: {told} of 100."


def _contexts(rows: tuple[ComparedModel, ...]) -> str | None:
    lengths = {r.context_length for r in rows if r.context_length}
    if len(lengths) < 2:
        return None
    told = ", ".join(f"{r.model} {tokens(r.context_length)}" for r in rows if r.context_length)
    return f"Trained context: {told}."


def _licences(rows: tuple[ComparedModel, ...]) -> str | None:
    if len({r.licence for r in rows}) < 2:
        return None
    return "Licences: " + ", ".join(f"{r.model} {r.licence or 'unknown'}" for r in rows) + "."

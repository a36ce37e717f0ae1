"""The recommendation for one role: labelled picks, and why the usual suspects are not among them.

Labels, each promising what its pick's verdict keeps:

* `best overall`: the highest total (`scoring`).
* `best quality`: the highest quality that fits, when another model or quantization has it.
* `fastest`: the most tokens per second at 60 % of the best quality or more.
* `smallest useful`: the smallest download whose quality is still useful for the role.
* `alternative`: the best of another family, when it comes close.
* `best quality, partly on the CPU`: on a GPU machine, a clearly better model that spills into
  RAM and still decodes at a usable speed.

On a machine with a GPU every plain label means "entirely on the GPU". When nothing useful does
that, the labels say so: `best overall, partly on the CPU`. A model that wins several labels is
listed once, with all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from assistant.recommend import reasons
from assistant.recommend.candidates import pull_name
from assistant.recommend.excluded import excluded_models
from assistant.recommend.languages import language_claim
from assistant.recommend.quantization_loss import perplexity_increase
from assistant.recommend.records import Needs, Pick, Recommendation
from assistant.recommend.roles import role_profile
from assistant.recommend.scoring import USABLE_TOKENS
from assistant.recommend.search import (
    ASSUMED_RAM,
    Option,
    Search,
    estimate_tag,
    search_options,
)
from assistant.units import gib

if TYPE_CHECKING:
    from assistant.machine.records import Machine
    from assistant.models.catalog import Catalog

GOOD_SHARE: Final = 0.6
"""Share of the best quality that `fastest` must reach, unless speed is what was asked for."""
GOOD_SHARE_FOR_SPEED: Final = 0.45
CLOSE_SHARE: Final = 0.75
WORTH_MORE: Final = 1.03
"""Below 3 % more quality, another quantization of the same model is not a pick of its own."""
CLEARLY_BETTER: Final = 1.2
ONE_INDEX: Final = 0.5
"""Confidence that a single scale gives: too thin to call a tiny model useful."""
_WHERE: Final = {"partial": ", partly on the CPU", "cpu": ", on the CPU"}


def recommend(machine: Machine, needs: Needs, catalog: Catalog) -> Recommendation:
    """Return the labelled picks for a role on a machine, best first, and what was left out.

    `picks` is empty when nothing in the catalog fits.

    Raises:
        UsageError: there is no such role.
    """
    role = role_profile(needs.role, insert=needs.insert)
    search = search_options(machine, role, needs, catalog)
    labelled = label_options(search)
    picks = tuple(pick_option(search, option, labels) for option, labels in labelled)
    best = labelled[0][0] if labelled else None
    return Recommendation(
        machine=machine,
        role=role.name,
        picks=picks,
        excluded=excluded_models(search, best, _names(labelled, picks), catalog),
        as_of=catalog.as_of,
        notes=_notes(search, best),
    )


def label_options(search: Search) -> list[tuple[Option, tuple[str, ...]]]:
    """Return the options that won a label, with their labels, in the order they are shown."""
    pool = usable_options(search)
    if not pool:
        return []
    labels: dict[str, list[str]] = {}
    chosen: dict[str, Option] = {}

    def give(label: str, option: Option) -> None:
        name = option.candidate.tag.name
        chosen[name] = option
        labels.setdefault(name, []).append(label + _where(search, option))

    best = max(pool, key=_by_total)
    give("best overall", best)
    finest = max(pool, key=lambda o: (o.score.quality, o.score.total))
    if finest is best or _is_worth_more(finest, best):
        give("best quality", finest)
    other = _alternative(pool, best, finest)
    if other is not None:
        give("alternative", other)
    share = GOOD_SHARE_FOR_SPEED if search.needs.prefer == "speed" else GOOD_SHARE
    good = [o for o in pool if o.score.quality >= share * finest.score.quality]
    give("fastest", _same_or(max(good, key=_by_speed), best))
    rated = _well_rated(search, pool)
    give("smallest useful", min(rated, key=lambda o: (_size(o), -o.score.quality)))
    spilled = _spilled(search, finest)
    if spilled is not None:
        name = spilled.candidate.tag.name
        chosen[name], labels[name] = spilled, ["best quality, partly on the CPU"]
    return [(chosen[name], tuple(given)) for name, given in labels.items()]


def _names(labelled: list[tuple[Option, tuple[str, ...]]], picks: tuple[Pick, ...]) -> set[str]:
    """Return the names of the picks, and of their models at any quantization."""
    cards = {option.candidate.card.name for option, _ in labelled}
    return cards | {pick.model for pick in picks}


def usable_options(search: Search) -> list[Option]:
    """Return what the plain labels choose from, or the honest rest when that is empty."""
    options = [o for o in search.options.values() if search.fits(o)]
    useful = [o for o in options if search.is_useful(o)]
    if search.gpu_bytes:
        on_gpu = [o for o in useful if o.verdict == "gpu"]
        return on_gpu or useful or options
    return useful or options


def _well_rated(search: Search, pool: list[Option]) -> list[Option]:
    """Return the useful options that more than one index speaks for."""
    useful = [o for o in pool if search.is_useful(o)]
    if search.role.name == "embeddings":
        return useful or pool
    return [o for o in useful if o.candidate.quality.confidence > ONE_INDEX] or useful or pool


def _alternative(pool: Iterable[Option], best: Option, finest: Option) -> Option | None:
    taken = {_family(best), _family(finest)}
    others = [o for o in pool if _family(o) not in taken]
    if not others:
        return None
    other = max(others, key=_by_total)
    close = CLOSE_SHARE * best.score.quality * best.score.speed_factor
    return other if other.score.quality * other.score.speed_factor >= close else None


def _spilled(search: Search, finest: Option) -> Option | None:
    """Return a clearly better model that runs partly on the CPU at a usable speed."""
    if not search.gpu_bytes or finest.verdict != "gpu":
        return None
    better = [
        o for o in search.options.values()
        if o.verdict == "partial" and search.fits(o) and (o.speed or 0.0) >= 2 * USABLE_TOKENS
        and o.score.quality >= CLEARLY_BETTER * finest.score.quality
    ]  # fmt: skip
    if not better:
        return None
    winner = max(better, key=_by_total)
    builds = [
        o for o in better
        if o.candidate.card.name == winner.candidate.card.name
        and o.score.quality * WORTH_MORE >= winner.score.quality
    ]  # fmt: skip
    return min(builds, key=_size)


def _is_worth_more(finest: Option, best: Option) -> bool:
    if finest.candidate.card.name != best.candidate.card.name:
        return True
    return finest.score.quality >= WORTH_MORE * best.score.quality


def _same_or(option: Option, best: Option) -> Option:
    """Return `best` when the other is merely a smaller quantization of the same model."""
    return best if option.candidate.card.name == best.candidate.card.name else option


def _where(search: Search, option: Option) -> str:
    return _WHERE.get(option.verdict, "") if search.gpu_bytes else ""


def _family(option: Option) -> str:
    """Return the maker's line: qwen3.5 and qwen3.8 are one, gemma4 another."""
    name = option.candidate.card.name.partition(":")[0]
    return "".join(c for c in name if c.isalpha() or c == "-").split("-")[0]


def _size(option: Option) -> int:
    return option.candidate.bytes


def _by_total(option: Option) -> tuple[float, int]:
    return option.score.total, -_size(option)


def _by_speed(option: Option) -> tuple[float, float]:
    candidate = option.candidate
    read = max(1.0, candidate.bytes * candidate.active_share)
    return option.speed or 1e9 / read, option.score.quality


def pick_option(
    search: Search, option: Option, labels: tuple[str, ...], *, with_limits: bool = True
) -> Pick:
    """Return the pick of an option, with its limits estimated and its reasons written."""
    candidate = option.candidate
    card, tag = candidate.card, candidate.tag
    estimate = option.estimate
    if with_limits:
        limited = estimate_tag(
            card, tag, search.machine, num_ctx=estimate.num_ctx, with_limits=True
        )
        estimate = limited or estimate
    name = pull_name(card, tag)
    said: list[str | None] = [
        reasons.quality_reason(candidate.quality, search.role, option.score.quality),
        reasons.fit_reason(estimate, search.gpu_bytes),
        reasons.speed_reason(estimate) if search.role.name != "embeddings" else None,
        reasons.quantization_reason(tag.quantization, aware=tag.quantization_aware),
        reasons.language_reason(card, search.needs.languages),
        reasons.licence_reason(card),
    ]
    return Pick(
        label=labels[0],
        model=name,
        quantization=tag.quantization,
        reasons=tuple(text for text in said if text),
        licence=card.licence.name,
        commercial_use=card.licence.commercial_use,
        pull=f"ollama pull {name}",
        estimate=estimate,
        score=option.score.as_dict(),
        labels=labels,
        role=search.role.name,
        licence_note=card.licence.note,
        languages=language_claim(card),
    )


def _notes(search: Search, best: Option | None) -> tuple[str, ...]:
    notes: list[str] = []
    role = search.role
    if best is None:
        return ()
    if search.gpu_bytes and best.verdict != "gpu":
        notes.append(f"Nothing useful for {role.title} fits entirely on this GPU.")
    if search.machine.ram.total_bytes is None and best.verdict != "gpu":
        notes.append(f"The RAM is unknown: {gib(ASSUMED_RAM)} were assumed.")
    speed = best.speed
    if speed is None and role.name != "embeddings":
        notes.append("No speeds: the memory's bandwidth is unknown (assistant hardware --measure).")
    if speed is not None and speed < USABLE_TOKENS and role.name != "embeddings":
        notes.append("Slow: people read at 5 to 10 tokens/s.")
    increase = perplexity_increase(best.candidate.tag.quantization)
    if increase is not None and increase > 10:
        notes.append("The quantization costs much quality; a smaller model may serve better.")
    if not best.candidate.quality.confidence >= 0.5:
        notes.append("Few published scores speak for this role; try two before you settle.")
    return tuple(notes)

"""Several roles sized together: which models to keep beside each other in memory.

Ollama keeps models loaded side by side while they fit. A set is the combination with the
highest sum of its members' totals, where a role that has to be swapped in counts less
(`SWAPPED_SHARE`: loading takes seconds, and throws the other one out). One model for two
roles is a combination like any other, and often the best: it is never swapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Final

from assistant.fit.records import ModelFacts, RunOptions
from assistant.fit.room import FIT_MARGIN_BYTES
from assistant.recommend.picks import pick_option, usable_options
from assistant.recommend.records import Excluded, Needs, RecommendedSet, Role, SetMember
from assistant.recommend.roles import role_profile
from assistant.recommend.scoring import ON_GPU_BONUS
from assistant.recommend.search import Option, Search, search_options
from assistant.units import gib

if TYPE_CHECKING:
    from assistant.machine.records import Machine
    from assistant.models.catalog import Catalog

DEFAULT_ROLES: Final[tuple[Role, ...]] = ("chat", "code", "embeddings")
SWAPPED_SHARE: Final = 0.85
EMBEDDINGS_WEIGHT: Final = 0.2
"""Embedding points run to 100 where text points run to 70, and matter less in a set."""
TRIED_PER_ROLE: Final = 6


@dataclass(frozen=True, slots=True)
class _Combination:
    options: tuple[Option, ...]
    loaded: tuple[bool, ...]
    together_bytes: int
    value: float


def recommend_set(
    machine: Machine,
    catalog: Catalog,
    *,
    needs: Needs | None = None,
    roles: Sequence[Role] = DEFAULT_ROLES,
    with_details: bool = True,
    run: RunOptions | None = None,
) -> RecommendedSet:
    """Return one pick per role, chosen so that they fit in memory together if they can.

    `needs` gives the context, licence, languages and preference for every role; its own role
    is ignored. `members` is empty when nothing fits. Without `with_details` the members' limits
    and the excluded models are left out, which take a quarter of the time. `run` is
    what the server fixes for every model.
    """
    asked = needs or Needs()
    facts: dict[str, ModelFacts] = {}
    searches = [
        search_options(
            machine, role_profile(role), replace(asked, role=role), catalog,
            spilling=False, facts=facts, run=run,
        )
        for role in roles
    ]  # fmt: skip
    memory = searches[0].gpu_bytes or searches[0].ram_bytes
    best = _best_combination(searches, memory)
    if best is None:
        return RecommendedSet(
            machine, (), 0, memory, on_gpu=False, excluded=(), as_of=catalog.as_of
        )
    members = tuple(
        SetMember(role, pick_option(search, option, (role,), with_limits=with_details), stays)
        for role, search, option, stays in zip(
            roles, searches, best.options, best.loaded, strict=True
        )
    )
    first = searches[0]
    return RecommendedSet(
        machine=machine,
        members=members,
        together_bytes=best.together_bytes,
        memory_bytes=memory,
        on_gpu=bool(first.gpu_bytes),
        excluded=_excluded(first, best, members, catalog) if with_details else (),
        as_of=catalog.as_of,
        notes=_notes(members, best.together_bytes, memory),
    )


def _excluded(
    search: Search, best: _Combination, members: tuple[SetMember, ...], catalog: Catalog
) -> tuple[Excluded, ...]:
    from assistant.recommend.excluded import excluded_models

    picked = {m.pick.model for m in members} | {o.candidate.card.name for o in best.options}
    return excluded_models(search, best.options[0], picked, catalog)


def _best_combination(searches: list[Search], memory: int) -> _Combination | None:
    pools = [_shortlist(search) for search in searches]
    if not all(pools):
        return None
    combinations = (_combine(searches, options, memory) for options in product(*pools))
    return max(combinations, key=lambda c: (c.value, -c.together_bytes))


def _shortlist(search: Search) -> list[Option]:
    """Return the best options of one role, and its smallest, which may be all there is room for."""
    pool = usable_options(search)
    best = sorted(pool, key=lambda o: -o.score.total)[:TRIED_PER_ROLE]
    small = sorted(pool, key=_bytes)[:2]
    return list({o.candidate.tag.name: o for o in (*best, *small)}.values())


def _combine(searches: list[Search], options: tuple[Option, ...], memory: int) -> _Combination:
    """Return the combination with the roles that must be swapped marked, last roles first."""
    sizes: dict[str, int] = {}
    for option in options:
        name = option.candidate.tag.name
        sizes[name] = max(sizes.get(name, 0), _bytes(option))
    loaded = _loaded(searches, options, sizes, memory)
    pairs = zip(options, loaded, strict=True)
    together = sum(sizes[name] for name in {o.candidate.tag.name for o, stays in pairs if stays})
    value = 0.0
    for search, option, stays in zip(searches, options, loaded, strict=True):
        points = option.score.quality * option.score.speed_factor
        if option.verdict == "gpu":
            points += ON_GPU_BONUS
        weight = EMBEDDINGS_WEIGHT if search.role.name == "embeddings" else 1.0
        value += weight * points * (1.0 if stays else SWAPPED_SHARE)
    return _Combination(options, loaded, together, value)


def _loaded(
    searches: list[Search], options: tuple[Option, ...], sizes: dict[str, int], memory: int
) -> tuple[bool, ...]:
    """Return which roles stay loaded: embeddings first, then in the order of the roles.

    On a GPU a gibibyte must be left when a further model loads: llama.cpp keeps it free.
    """
    order = sorted(range(len(options)), key=lambda i: (searches[i].role.name != "embeddings", i))
    margin = FIT_MARGIN_BYTES if searches[0].gpu_bytes else 0
    held: set[str] = set()
    loaded = [False] * len(options)
    for index in order:
        name = options[index].candidate.tag.name
        beside = bool(held - {name})
        if sum(sizes[n] for n in held | {name}) + margin * beside <= memory:
            held.add(name)
            loaded[index] = True
    return tuple(loaded)


def _bytes(option: Option) -> int:
    estimate = option.estimate
    return estimate.gpu.total_bytes if option.verdict == "gpu" else estimate.memory.total_bytes


def _notes(members: tuple[SetMember, ...], together: int, memory: int) -> tuple[str, ...]:
    notes: list[str] = []
    by_model: dict[str, list[str]] = {}
    for member in members:
        by_model.setdefault(member.pick.model, []).append(member.role)
    for model, roles in by_model.items():
        if len(roles) > 1:
            notes.append(f"{model} serves {' and '.join(roles)}: no swapping between them.")
    swapped = [member.pick.model for member in members if not member.stays_loaded]
    if swapped:
        names = " and ".join(dict.fromkeys(swapped))
        notes.append(
            f"{names} is loaded only while it is used, and takes turns with the others: "
            f"together they would not fit {gib(memory)}."
        )
    else:
        notes.append(f"All of it stays loaded: {gib(together)} of {gib(memory)}.")
    return tuple(notes)

"""Estimating candidates until no other can be better: a bounded search over the catalog.

An estimate costs about a millisecond, the catalog holds some hundred candidates, and a command
has a quarter of a second. So candidates are tried in the order of what they could reach at
most (`best_possible` with a speed that memory bandwidth cannot exceed), and the search stops
when the next one cannot beat what was found. The result is that of an exhaustive search for
the best total; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, RunOptions
from assistant.recommend.candidates import Candidate, builds, candidates
from assistant.recommend.records import Needs
from assistant.recommend.roles import RoleProfile
from assistant.recommend.scoring import Score, best_possible, expected_speed, total_score
from assistant.units import GIB

if TYPE_CHECKING:
    from assistant.machine.records import Machine
    from assistant.models.card import ModelCard, Tag
    from assistant.models.catalog import Catalog

ENOUGH: Final = 5
"""Choices on the GPU that are estimated at least, so that labels have something to pick from."""
EXTRA_TRIES: Final = 4
PARTIAL_TRIES: Final = 6
FALLBACK_TRIES: Final = 40
RESERVED_RAM: Final = 3 * GIB
RESERVED_SHARE: Final = 0.2
"""What the system and its programs keep when a model runs in RAM: 3 GiB, or a fifth."""
_ON_GPU_AT_LEAST: Final = 0.6
_ON_GPU_AT_LEAST_PER_LAYER_EMBEDDINGS: Final = 0.2
"""Shares of a file that surely go to the GPU: embedding tables stay in RAM."""
_READ_AT_LEAST: Final = 0.5


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate with its estimate on this machine and its score."""

    candidate: Candidate
    estimate: FitEstimate
    score: Score

    @property
    def verdict(self) -> str:
        """Where it runs: `gpu`, `partial`, `cpu`, `none`."""
        return self.estimate.placement.verdict

    @property
    def speed(self) -> float | None:
        """Expected decode speed in tokens per second."""
        return expected_speed(self.estimate)


@dataclass(slots=True)
class Search:
    """One search: the machine, the role, and the options estimated so far, by tag."""

    machine: Machine
    role: RoleProfile
    needs: Needs
    options: dict[str, Option] = field(default_factory=dict)

    @property
    def gpu_bytes(self) -> int:
        """Memory of the accelerators that Ollama would use."""
        return sum(
            a.memory_free_bytes or a.memory_total_bytes or 0
            for a in self.machine.usable_accelerators
        )

    @property
    def ram_bytes(self) -> int:
        """RAM that a model may take: what is there less what the system keeps."""
        total = self.machine.ram.total_bytes or self.machine.ram.available_bytes or 0
        return max(0, total - max(RESERVED_RAM, int(total * RESERVED_SHARE)))

    def estimate(self, candidate: Candidate) -> Option | None:
        """Return the option of a candidate, estimated once; None when it cannot be."""
        name = candidate.tag.name
        if name not in self.options:
            estimate = estimate_tag(
                candidate.card, candidate.tag, self.machine, num_ctx=self._num_ctx(candidate.card)
            )
            if estimate is None:
                return None
            score = total_score(
                candidate.quality, self.role, estimate, loss=candidate.loss,
                memory_bytes=self.gpu_bytes or self.ram_bytes, prefer=self.needs.prefer,
            )  # fmt: skip
            self.options[name] = Option(candidate, estimate, score)
        return self.options[name]

    def fits(self, option: Option) -> bool:
        """True when the option runs, and leaves the system its RAM."""
        if option.verdict == "none":
            return False
        return option.verdict == "gpu" or option.estimate.host.total_bytes <= self.ram_bytes

    def is_useful(self, option: Option) -> bool:
        """True when the option's quality reaches what the role calls useful."""
        return option.score.quality >= self.role.useful_quality

    def _num_ctx(self, card: ModelCard) -> int:
        wanted = self.needs.num_ctx or self.role.num_ctx
        return min(wanted, card.context_length or wanted)


def estimate_tag(
    card: ModelCard, tag: Tag, machine: Machine, *, num_ctx: int | None, with_limits: bool = False
) -> FitEstimate | None:
    """Return the estimate of one tag, or None when the catalog's numbers do not allow one."""
    try:
        facts = facts_from_card(card, tag)
        others = [facts_from_card(card, other) for other in builds(card)] if with_limits else ()
        options = RunOptions(num_ctx=num_ctx)
        return estimate_fit(facts, machine, options, alternatives=others, with_limits=with_limits)
    except AssistantError:
        return None


def search_options(
    machine: Machine, role: RoleProfile, needs: Needs, catalog: Catalog, *, prune: bool = True
) -> Search:
    """Return the options worth comparing for a role on a machine.

    `prune=False` estimates every candidate.
    """
    search = Search(machine, role, needs)
    pool = candidates(catalog, role, needs)
    if not prune:
        for candidate in pool:
            search.estimate(candidate)
        return search
    if search.gpu_bytes:
        _search_gpu(search, pool)
    else:
        _search_ram(search, pool, tries=len(pool))
    return search


def _search_gpu(search: Search, pool: Iterable[Candidate]) -> None:
    fitting = [c for c in pool if _least_gpu_bytes(c) <= search.gpu_bytes]
    bandwidth = max((a.bandwidth_gb_per_s or 0.0) for a in search.machine.usable_accelerators)

    def on_gpu(option: Option) -> bool:
        return option.verdict == "gpu" and search.is_useful(option)

    _best_first(search, fitting, bandwidth, on_gpu)
    _for_labels(search, fitting, on_gpu)
    found = any(on_gpu(option) for option in search.options.values())
    _search_ram(search, pool, tries=PARTIAL_TRIES if found else FALLBACK_TRIES)


def _search_ram(search: Search, pool: Iterable[Candidate], *, tries: int) -> None:
    """Try what runs from RAM, wholly or partly, best possible first."""
    memory = search.ram_bytes + search.gpu_bytes
    fitting = [c for c in pool if c.bytes * _ON_GPU_AT_LEAST <= memory]
    bandwidth = search.machine.ram.bandwidth_gb_per_s or 0.0
    if search.gpu_bytes:
        if tries != FALLBACK_TRIES:
            fitting = [c for c in fitting if _worth_spilling(search, c)]
        bandwidth = 0.0
    _best_first(search, fitting, bandwidth, search.fits, tries=tries)
    if not search.gpu_bytes:
        _for_labels(search, fitting, search.fits)


def _best_first(
    search: Search,
    pool: Iterable[Candidate],
    bandwidth: float,
    accept: Callable[[Option], bool],
    *,
    tries: int | None = None,
) -> None:
    """Estimate in order of the best possible total until nothing can beat the best found."""
    bounded = [(_bound(search, candidate, bandwidth), candidate) for candidate in pool]
    bounded.sort(key=lambda pair: -pair[0])
    best, accepted = -1.0, 0
    for tried, (bound, candidate) in enumerate(bounded):
        if (accepted >= ENOUGH and bound < best) or (tries is not None and tried >= tries):
            return
        option = search.estimate(candidate)
        if option is not None and accept(option):
            accepted += 1
            best = max(best, option.score.quality * option.score.speed_factor)


def _for_labels(
    search: Search, pool: Iterable[Candidate], accept: Callable[[Option], bool]
) -> None:
    """Estimate what only the labels `fastest` and `smallest useful` may want."""
    useful = [c for c in pool if c.quality.plain * (1 - c.loss) >= search.role.useful_quality]
    by_reading = sorted(useful, key=lambda c: c.bytes * c.active_share)
    for candidate in by_reading[:EXTRA_TRIES]:
        search.estimate(candidate)
    good = [c for c in by_reading if c.quality.plain >= _half_of_best(search, accept)]
    for candidate in good[:EXTRA_TRIES]:
        search.estimate(candidate)
    for candidate in sorted(useful, key=lambda c: c.bytes)[:EXTRA_TRIES]:
        option = search.estimate(candidate)
        if option is not None and accept(option):
            return


def _half_of_best(search: Search, accept: Callable[[Option], bool]) -> float:
    found = [o.score.quality for o in search.options.values() if accept(o)]
    return 0.6 * max(found, default=0.0)


def _worth_spilling(search: Search, candidate: Candidate) -> bool:
    """True for a mixture of experts that was not estimated yet: dense models crawl from RAM."""
    return candidate.tag.name not in search.options and candidate.active_share < 1.0


def _bound(search: Search, candidate: Candidate, bandwidth: float) -> float:
    """Return a total that the candidate cannot exceed with that bandwidth (0: unknown)."""
    read = candidate.bytes * candidate.active_share * _READ_AT_LEAST
    speed = bandwidth * 1e9 / read if bandwidth and read else None
    return best_possible(
        candidate.quality, search.role, speed, loss=candidate.loss, prefer=search.needs.prefer
    )


def _least_gpu_bytes(candidate: Candidate) -> float:
    architecture = candidate.card.architecture
    per_layer = architecture is not None and architecture.embedding_length_per_layer_input > 0
    share = _ON_GPU_AT_LEAST_PER_LAYER_EMBEDDINGS if per_layer else _ON_GPU_AT_LEAST
    return candidate.bytes * share

"""Estimating candidates until no other can be better: a bounded search over the catalog.

An estimate costs about a millisecond, the catalog holds some hundred candidates, and a command
has a quarter of a second. So candidates are tried in the order of what they could reach at
most (`best_possible` with a speed that memory bandwidth cannot exceed), and the search stops
when the next one cannot beat what was found. The result is that of an exhaustive search for
the best total; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
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
ASSUMED_RAM: Final = 8 * GIB
"""Where the RAM could not be read: what small computers have."""
RESERVED_RAM: Final = 3 * GIB
RESERVED_SHARE: Final = 0.2
"""What the system and its programs keep when a model runs in RAM: 3 GiB (at most half of the
RAM), or a fifth."""
_ON_GPU_AT_LEAST: Final = 0.6
_ON_GPU_AT_LEAST_PER_LAYER_EMBEDDINGS: Final = 0.2
"""Shares of a file that surely go to the GPU: embedding tables stay in RAM."""
_READ_AT_LEAST: Final = 0.5
ASSUMED_BYTES_PER_S: Final = 20e9
"""What a machine of unknown memory bandwidth is taken to read, to compare models: two channels
of DDR4-2400 at half their peak, as virtual machines reach."""
RAM_SHARE: Final = 0.6
"""Share of the RAM bandwidth that CPUs reach, between laptops and desktops."""
GPU_SHARE: Final = 0.8
"""The same for GPUs, to compare what is split between both."""
FILLED_SHARE: Final = 0.6
LEAST_SPILLED: Final = 0.1
"""Share of a GPU's free memory that a spilled model's weights fill, beside cache, buffers and
margins, and the least share that is taken to spill."""
SMALLEST_BATCH: Final = 256


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
    """One search: the machine, the role, and the options estimated so far, by tag.

    `facts` are the files' facts built so far, which searches for other roles may share. `run` is
    what the server fixes for every model: parallel requests, the KV cache's type.
    """

    machine: Machine
    role: RoleProfile
    needs: Needs
    facts: dict[str, ModelFacts] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)
    run: RunOptions = field(default_factory=RunOptions)

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
        ram = self.machine.ram
        total = ram.total_bytes or ram.available_bytes or ASSUMED_RAM
        kept = max(min(RESERVED_RAM, total // 2), int(total * RESERVED_SHARE))
        return max(0, total - kept)

    @property
    def ram_bytes_per_s(self) -> float:
        """What is read from RAM in a second, of its bandwidth if that is known."""
        bandwidth = self.machine.ram.bandwidth_gb_per_s
        return ASSUMED_BYTES_PER_S if bandwidth is None else bandwidth * 1e9 * RAM_SHARE

    @property
    def gpu_bandwidth(self) -> float:
        """GB/s of the fastest GPU, 0 without one or when unknown."""
        found = [a.bandwidth_gb_per_s or 0.0 for a in self.machine.usable_accelerators]
        return max(found, default=0.0)

    def estimate(self, candidate: Candidate) -> Option | None:
        """Return the option of a candidate, estimated once; None when it cannot be."""
        name = candidate.tag.name
        if name not in self.options:
            contexts = self._contexts(candidate.card)
            option = self._estimated(candidate, contexts[0])
            if option is not None and self.gpu_bytes and option.verdict != "gpu":
                for num_ctx in contexts[1:]:
                    shorter = self._estimated(candidate, num_ctx)
                    if shorter is not None and shorter.verdict == "gpu":
                        option = shorter
                        break
            if option is None:
                return None
            self.options[name] = option
        return self.options[name]

    def fits(self, option: Option) -> bool:
        """True when the option runs, and leaves the system its RAM."""
        if option.verdict in ("none", "gpu"):
            return option.verdict == "gpu"
        shared = self.machine.unified_memory
        held = option.estimate.memory if shared else option.estimate.host
        return held.total_bytes <= self.ram_bytes

    def is_useful(self, option: Option) -> bool:
        """True when the option's quality reaches what the role calls useful."""
        return option.score.quality >= self.role.useful_quality

    def _contexts(self, card: ModelCard) -> list[int]:
        """Return the context asked for or usual, then what a small card may fall back to."""
        usual = self.needs.num_ctx or self.role.num_ctx
        contexts = [min(usual, card.context_length or usual)]
        if self.needs.num_ctx is None and self.role.least_ctx < contexts[0]:
            contexts.append(self.role.least_ctx)
        return contexts

    def _estimated(self, candidate: Candidate, num_ctx: int) -> Option | None:
        estimate = self._fit(candidate, replace(self.run, num_ctx=num_ctx))
        if estimate is None:
            return None
        usual = self._contexts(candidate.card)[0]
        score = total_score(
            candidate.quality,
            self.role,
            self._comparable_speed(candidate, estimate),
            on_gpu=estimate.placement.verdict == "gpu",
            needed_bytes=estimate.memory.total_bytes,
            loss=candidate.loss,
            memory_bytes=self.gpu_bytes or self.ram_bytes,
            prefer=self.needs.prefer,
            short_context=num_ctx < usual,
            crowding=self._crowding(candidate, estimate),
        )
        return Option(candidate, estimate, score)

    def _comparable_speed(self, candidate: Candidate, estimate: FitEstimate) -> float | None:
        """Return the speed that counts for the score, which must not fall with more memory.

        What spills out of a GPU is compared by the share of the file that stays in RAM: how
        fast it really is depends on what lands where, and is known to an order of magnitude
        only. So is what runs on a machine of unknown bandwidth. With more free memory Ollama
        takes bigger batches, whose padding a windowed cache's estimate counts as read:
        windowed models are compared at the smallest batch.
        """
        spills = bool(self.gpu_bytes) and estimate.placement.verdict != "gpu"
        if spills or estimate.speed.decode is None:
            return self._spilled_speed(candidate)
        architecture = candidate.card.architecture
        if architecture is None or not architecture.sliding_window:
            return expected_speed(estimate)
        options = replace(self.run, num_ctx=estimate.num_ctx, num_batch=SMALLEST_BATCH)
        smallest = self._fit(candidate, options)
        return expected_speed(smallest or estimate)

    def _fit(self, candidate: Candidate, options: RunOptions) -> FitEstimate | None:
        name = candidate.tag.name
        try:
            if name not in self.facts:
                self.facts[name] = facts_from_card(candidate.card, candidate.tag)
            return estimate_fit(self.facts[name], self.machine, options, with_limits=False)
        except AssistantError:
            return None

    def _crowding(self, candidate: Candidate, estimate: FitEstimate) -> float:
        """Return the share of the RAM left to models which a spilled one would take."""
        if not self.gpu_bytes or estimate.placement.verdict == "gpu" or not self.ram_bytes:
            return 0.0
        return self._spilled_bytes(candidate) / self.ram_bytes

    def _spilled_bytes(self, candidate: Candidate) -> float:
        """Return what of a file surely stays in RAM, so that more VRAM never means more."""
        return max(0.0, candidate.bytes - FILLED_SHARE * self.gpu_bytes)

    def _spilled_speed(self, candidate: Candidate) -> float | None:
        read = candidate.bytes * candidate.active_share
        if not read or self.role.name == "embeddings":
            return None
        in_ram = max(LEAST_SPILLED, self._spilled_bytes(candidate) / candidate.bytes)
        gpu_bytes_per_s = GPU_SHARE * self.gpu_bandwidth * 1e9 or self.ram_bytes_per_s
        return 1 / (read * (in_ram / self.ram_bytes_per_s + (1 - in_ram) / gpu_bytes_per_s))


def estimate_tag(
    card: ModelCard,
    tag: Tag,
    machine: Machine,
    *,
    num_ctx: int | None,
    num_gpu: int | None = None,
    with_limits: bool = False,
) -> FitEstimate | None:
    """Return the estimate of one tag, or None when the catalog's numbers do not allow one."""
    try:
        facts = facts_from_card(card, tag)
        others = [facts_from_card(card, other) for other in builds(card)] if with_limits else ()
        options = RunOptions(num_ctx=num_ctx, num_gpu=num_gpu)
        return estimate_fit(facts, machine, options, alternatives=others, with_limits=with_limits)
    except AssistantError:
        return None


def search_options(
    machine: Machine,
    role: RoleProfile,
    needs: Needs,
    catalog: Catalog,
    *,
    prune: bool = True,
    spilling: bool = True,
    facts: dict[str, ModelFacts] | None = None,
    run: RunOptions | None = None,
) -> Search:
    """Return the options worth comparing for a role on a machine.

    `prune=False` estimates every candidate; without `spilling` what runs partly on the CPU is
    tried only where nothing useful stays on the GPU. `facts` is shared between searches.
    """
    search = Search(machine, role, needs, {} if facts is None else facts, run=run or RunOptions())
    pool = candidates(catalog, role, needs)
    if not prune:
        for candidate in pool:
            search.estimate(candidate)
        return search
    if search.gpu_bytes:
        _search_gpu(search, pool, spilling=spilling)
    else:
        _search_ram(search, pool, tries=len(pool))
    return search


def _search_gpu(search: Search, pool: Iterable[Candidate], *, spilling: bool) -> None:
    fitting = [c for c in pool if _least_gpu_bytes(c) <= search.gpu_bytes]

    def on_gpu(option: Option) -> bool:
        return option.verdict == "gpu" and search.is_useful(option)

    _best_first(search, fitting, search.gpu_bandwidth, on_gpu)
    _for_labels(search, fitting, on_gpu)
    found = any(on_gpu(option) for option in search.options.values())
    if spilling or not found:
        _search_ram(search, pool, tries=PARTIAL_TRIES if found else FALLBACK_TRIES)


def _search_ram(search: Search, pool: Iterable[Candidate], *, tries: int) -> None:
    """Try what runs from RAM, wholly or partly, best possible first."""
    memory = search.ram_bytes + search.gpu_bytes
    fitting = [c for c in pool if c.bytes * _ON_GPU_AT_LEAST <= memory]
    bandwidth = search.ram_bytes_per_s / RAM_SHARE / 1e9
    if search.gpu_bytes:
        bandwidth = 0.0  # a part is read from the GPU: no bound is known
        if tries != FALLBACK_TRIES:
            fitting = [c for c in fitting if _worth_spilling(search, c)]

    def useful(option: Option) -> bool:
        return search.fits(option) and search.is_useful(option)

    _best_first(search, fitting, bandwidth, useful, tries=tries)
    if not search.gpu_bytes:
        _for_labels(search, fitting, useful)


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

"""What every recommendation keeps, on all machines from 4 GB of RAM to eight 80 GB cards."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.machine.records import Accelerator, Cpu, Machine, Ram
from assistant.models.catalog import Catalog, load_catalog
from assistant.recommend import recommend, recommend_set
from assistant.recommend.candidates import why_not
from assistant.recommend.languages import speaks
from assistant.recommend.picks import label_options
from assistant.recommend.records import Needs, Pick, Recommendation, Role
from assistant.recommend.roles import ROLE_NAMES, role_profile
from assistant.recommend.search import search_options
from assistant.units import GIB

VRAM_GIB: Final = (2, 3, 4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80)
RAM_GIB: Final = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
UNIFIED_GIB: Final = (8, 16, 18, 24, 32, 36, 48, 64, 96, 128, 192, 512)
SLOW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    return load_catalog()


def with_ram(gibibytes: int, bandwidth: float = 51.2) -> Machine:
    total = gibibytes * GIB
    ram = Ram(total, total - 2 * GIB, bandwidth, "stated")
    return Machine(os="Linux", cpu=Cpu(architecture="x86_64", device_class="cpu-x86"), ram=ram)


def card(gibibytes: int, bandwidth: float) -> Accelerator:
    total = gibibytes * GIB
    return Accelerator(
        name=f"GPU with {gibibytes} GB", vendor="nvidia", kind="discrete",
        memory_total_bytes=total, memory_free_bytes=total - GIB // 2,
        bandwidth_gb_per_s=bandwidth, compute_capability="8.6", backend="cuda",
        device_class="nv-ampere",
    )  # fmt: skip


def with_cards(count: int, gibibytes: int, ram_gibibytes: int, bandwidth: float = 600) -> Machine:
    machine = with_ram(ram_gibibytes)
    return replace(machine, accelerators=(card(gibibytes, bandwidth),) * count)


def apple(gibibytes: int, bandwidth: float = 200) -> Machine:
    total = gibibytes * GIB
    share = total * 2 // 3 if gibibytes <= 36 else total * 3 // 4
    gpu = Accelerator(
        name="Apple M", vendor="apple", kind="unified", memory_total_bytes=share,
        memory_free_bytes=share, bandwidth_gb_per_s=bandwidth, backend="metal",
        device_class="apple-m3",
    )  # fmt: skip
    ram = Ram(total, total - 3 * GIB, bandwidth, "stated")
    return Machine(os="macOS", ram=ram, accelerators=(gpu,), unified_memory=True)


bandwidths = st.sampled_from((128.0, 288.0, 360.0, 600.0, 936.0, 1800.0))
machines = st.one_of(
    st.builds(with_ram, st.sampled_from(RAM_GIB), st.sampled_from((17.1, 40.0, 51.2, 90.0))),
    st.builds(
        with_cards, st.sampled_from((1, 1, 1, 2, 4, 8)), st.sampled_from(VRAM_GIB),
        st.sampled_from(RAM_GIB), bandwidths,
    ),
    st.builds(apple, st.sampled_from(UNIFIED_GIB), st.sampled_from((68.0, 120.0, 273.0, 546.0))),
)  # fmt: skip
roles = st.sampled_from(ROLE_NAMES)
needs = st.builds(
    Needs,
    role=roles,
    commercial=st.booleans(),
    languages=st.sampled_from(((), (), ("de",), ("ja", "fr"))),
    prefer=st.sampled_from(("speed", "balance", "quality")),
)


def best_total(machine: Machine, asked: Needs) -> float:
    search = search_options(machine, role_profile(asked.role), asked, catalog())
    labelled = label_options(search)
    assert not labelled or labelled[0][1][0].startswith("best overall")
    return labelled[0][0].score.total if labelled else -1.0


def check_pick(pick: Pick, machine: Machine, asked: Needs) -> None:
    model, tag = catalog().find(pick.model)
    assert tag.pullable
    assert tag.format == "gguf"
    assert tag.purpose == ("embedding" if pick.role == "embeddings" else "instruct")
    assert pick.pull == f"ollama pull {pick.model}"
    assert not model.cautions & {"base", "uncensored", "domain", "cloud-only", "not-in-library"}
    profile = role_profile(pick.role)
    assert why_not(model, profile, replace(asked, role=pick.role)) is None
    assert pick.reasons
    if asked.commercial:
        assert pick.commercial_use == "yes"
    for language in asked.languages:
        assert speaks(model, language) == "yes"


def check_verdicts(found: Recommendation) -> None:
    for pick in found.picks:
        verdict = pick.estimate.placement.verdict
        assert verdict != "none"
        if not found.machine.usable_accelerators:
            assert verdict == "cpu"
        for label in pick.labels:
            expected = "gpu" if found.machine.usable_accelerators else "cpu"
            if label.endswith("partly on the CPU"):
                expected = "partial"
            elif label.endswith("on the CPU"):
                expected = "cpu"
            assert verdict == expected, (pick.model, label)


@SLOW
@given(machines, needs)
def test_every_pick_fits_as_labelled_and_may_be_pulled(machine: Machine, asked: Needs) -> None:
    found = recommend(machine, asked, catalog())
    check_verdicts(found)
    names = [pick.model for pick in found.picks]
    assert len(names) == len(set(names))
    labels = [label for pick in found.picks for label in pick.labels]
    assert len(labels) == len(set(labels))
    for pick in found.picks:
        check_pick(pick, machine, asked)
    assert not {e.model for e in found.excluded} & set(names)


@SLOW
@given(
    st.sampled_from((1, 2)), st.sampled_from(VRAM_GIB), st.sampled_from(RAM_GIB), bandwidths, needs
)
def test_more_video_memory_never_gives_a_worse_best_pick(
    count: int, gibibytes: int, ram: int, bandwidth: float, asked: Needs
) -> None:
    larger = VRAM_GIB[min(VRAM_GIB.index(gibibytes) + 1, len(VRAM_GIB) - 1)]
    small = best_total(with_cards(count, gibibytes, ram, bandwidth), asked)
    large = best_total(with_cards(count, larger, ram, bandwidth), asked)
    assert large >= small - 1e-6


@SLOW
@given(st.sampled_from(RAM_GIB), needs)
def test_more_ram_never_gives_a_worse_best_pick(gibibytes: int, asked: Needs) -> None:
    larger = RAM_GIB[min(RAM_GIB.index(gibibytes) + 1, len(RAM_GIB) - 1)]
    small = best_total(with_ram(gibibytes), asked)
    large = best_total(with_ram(larger), asked)
    assert large >= small - 1e-6


@SLOW
@given(st.sampled_from(UNIFIED_GIB), needs)
def test_more_unified_memory_never_gives_a_worse_best_pick(gibibytes: int, asked: Needs) -> None:
    larger = UNIFIED_GIB[min(UNIFIED_GIB.index(gibibytes) + 1, len(UNIFIED_GIB) - 1)]
    small = best_total(apple(gibibytes), asked)
    large = best_total(apple(larger), asked)
    assert large >= small - 1e-6


@SLOW
@given(st.sampled_from(VRAM_GIB), st.sampled_from((1, 2, 4)), roles)
def test_more_cards_never_give_a_worse_best_pick(gibibytes: int, count: int, role: Role) -> None:
    few = best_total(with_cards(count, gibibytes, 64), Needs(role=role))
    many = best_total(with_cards(2 * count, gibibytes, 64), Needs(role=role))
    assert many >= few - 1e-6


@SLOW
@given(st.sampled_from(VRAM_GIB), roles)
def test_faster_memory_never_gives_a_worse_best_pick(gibibytes: int, role: Role) -> None:
    slow = best_total(with_cards(1, gibibytes, 32, 288), Needs(role=role))
    fast = best_total(with_cards(1, gibibytes, 32, 936), Needs(role=role))
    assert fast >= slow - 1e-6


@settings(SLOW, max_examples=12)
@given(machines, needs)
def test_pruned_search_finds_what_an_exhaustive_one_does(machine: Machine, asked: Needs) -> None:
    role = role_profile(asked.role)
    pruned = search_options(machine, role, asked, catalog())
    everything = search_options(machine, role, asked, catalog(), prune=False)

    def best(search: object) -> float:
        options = [o for o in search.options.values() if search.fits(o)]  # type: ignore[attr-defined]
        return max((o.score.total for o in options), default=-1.0)

    assert best(pruned) == pytest.approx(best(everything))


@settings(SLOW, max_examples=25)
@given(machines)
def test_set_fits_together_or_says_what_is_swapped(machine: Machine) -> None:
    found = recommend_set(machine, catalog())
    if not found.members:
        return
    assert [member.role for member in found.members] == ["chat", "code", "embeddings"]
    assert found.together_bytes <= found.memory_bytes or not any(
        member.stays_loaded for member in found.members
    )
    for member in found.members:
        check_pick(member.pick, machine, Needs())
        assert member.pick.estimate.placement.verdict != "none"
    if found.swapped:
        assert any("takes turns" in note for note in found.notes)


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_8_gb_card_never_gets_a_13b_at_16_bits(role: Role) -> None:
    found = recommend(with_cards(1, 8, 32), Needs(role=role), catalog())
    assert found.picks
    for pick in found.picks:
        big = (pick.estimate.parameters_total or 0) >= 12_000_000_000
        assert not (big and pick.quantization in ("F16", "BF16"))

"""Scales, evidence and quality: published figures in, points out."""

from __future__ import annotations

import pytest

from assistant.errors import UsageError
from assistant.models.card import Benchmark, Licence, ModelCard
from assistant.models.catalog import load_catalog
from assistant.recommend.evidence import (
    MAKER_WEIGHT,
    PRIOR_POINTS,
    WITHOUT_THINKING,
    role_quality,
    signals_of,
)
from assistant.recommend.published import FIGURES, TASK_RANKS, TASK_SCALES, THIN_RANKS
from assistant.recommend.roles import AUTOCOMPLETE, ROLES, role_profile
from assistant.recommend.scales import RANK_CURVE, RANKED_AMONG, SCALES, Scale, rank_points


def card(*benchmarks: Benchmark, name: str = "made-up:1b", release: str = "2026-01") -> ModelCard:
    return ModelCard(
        name=name, family="made-up", title="Made Up", publisher=None, description=None,
        release=release, licence=Licence("MIT", "yes"), parameters_total=10**9,
        parameters_active=10**9, context_length=8192, capabilities=frozenset(), languages=None,
        architecture=None, tags=(), benchmarks=benchmarks,
    )  # fmt: skip


def aa20(value: float, mode: str) -> Benchmark:
    return Benchmark("AA 20-metric mean (0-1)", value, f"reasoning {mode}", "aggregate", "AA")


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda s: s.name)
def test_scale_passes_through_its_anchors(scale: Scale) -> None:
    for value, points in (scale.low, scale.high):
        assert scale.points(value) == pytest.approx(points)


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda s: s.name)
def test_scale_never_falls_and_stays_in_range(scale: Scale) -> None:
    low, high = scale.low[0], scale.high[0]
    values = [low + (high - low) * step / 10 for step in range(-20, 40)]
    points = [scale.points(value) for value in values]
    assert points == sorted(points)
    assert 0 <= points[0] <= points[-1] <= 100


def test_makers_figure_is_worth_less_where_re_runs_fell_short() -> None:
    swe = SCALES["swe_verified"]
    assert swe.points(68.6, by_maker=True) < swe.points(68.6)


def test_rank_points_fall_along_the_field() -> None:
    points = [rank_points(rank, 402) for rank in range(1, 403)]
    assert points == sorted(points, reverse=True)
    assert points[0] > 80
    assert points[-1] == 0
    assert [share for share, _ in RANK_CURVE] == sorted(share for share, _ in RANK_CURVE)


def test_every_role_weighs_known_scales() -> None:
    for role in (*ROLES, AUTOCOMPLETE):
        for name, weight in role.evidence:
            assert name in SCALES or name in RANKED_AMONG, (role.name, name)
            assert weight > 0


def test_published_tables_are_well_formed() -> None:
    names = {card.name for card in load_catalog().cards}
    assert set(TASK_RANKS) <= names
    assert set(FIGURES) <= names
    for thin in THIN_RANKS:
        name, _, scale = thin.partition(" ")
        assert TASK_RANKS[name][TASK_SCALES.index(scale)] is not None, thin
    for name, row in TASK_RANKS.items():
        assert len(row) == len(TASK_SCALES), name
        for scale, value in zip(TASK_SCALES[1:], row[1:], strict=True):
            assert value is None or 1 <= value <= RANKED_AMONG[scale][1], (name, scale)


def test_unrated_model_has_no_quality() -> None:
    assert role_quality(card(), role_profile("chat")) is None
    only_mmlu = card(Benchmark("MMLU", 99.0, None, "maker", "card"))
    assert role_quality(only_mmlu, role_profile("chat")) is None


def test_parameter_count_alone_says_nothing() -> None:
    big = load_catalog().card("falcon:180b")
    assert big is not None
    assert role_quality(big, role_profile("chat")) is None


def test_thinking_counts_only_as_far_as_it_is_shared() -> None:
    quality = role_quality(card(aa20(0.5, "on"), aa20(0.3, "off")), role_profile("reasoning"))
    assert quality is not None
    assert quality.plain < quality.thinking
    assert quality.at(0) == quality.plain
    assert quality.at(1) == pytest.approx(quality.thinking)


def test_model_rated_only_with_thinking_loses_the_median_without() -> None:
    role = role_profile("reasoning")
    both = role_quality(card(aa20(0.5, "on"), aa20(0.5 * WITHOUT_THINKING, "off")), role)
    one = role_quality(card(aa20(0.5, "on")), role)
    assert both is not None
    assert one is not None
    assert one.plain == pytest.approx(both.plain)


def test_one_flattering_figure_does_not_beat_many_good_ones() -> None:
    role = role_profile("code")
    lone = role_quality(card(Benchmark("SWE-bench Pro", 61.7, None, "maker", "card")), role)
    broad = role_quality(load_catalog().card("qwen3.5:27b"), role)
    assert lone is not None
    assert broad is not None
    assert lone.confidence < broad.confidence
    assert lone.plain < broad.plain
    assert lone.plain > PRIOR_POINTS


def test_independent_figure_replaces_the_makers() -> None:
    role = role_profile("code")
    maker = Benchmark("SWE-bench Verified", 59.2, None, "maker", "card")
    rerun = Benchmark("SWE-bench Verified", 39.7, None, "independent", "re-run")
    quality = role_quality(card(maker, rerun), role)
    assert quality is not None
    assert [s.value for s in quality.signals] == [39.7]
    [signal] = list(signals_of(card(maker)))
    assert signal.by_maker
    assert signal.weight == MAKER_WEIGHT


def test_thin_index_counts_half_before_2025() -> None:
    [old] = signals_of(card(aa20(0.2, "off"), release="2024-12"))
    [new] = signals_of(card(aa20(0.2, "off"), release="2025-01"))
    assert old.weight < new.weight


def test_gemma_leads_for_writing_and_qwen_for_code() -> None:
    """The evidence conflicts by role; both sides must show."""
    catalog = load_catalog()

    def points(name: str, role: str) -> float:
        quality = role_quality(catalog.card(name), role_profile(role))
        assert quality is not None
        return quality.plain

    assert points("gemma4:31b", "writing") > points("qwen3.8:27b", "writing")
    assert points("qwen3.8:27b", "code") > points("gemma4:31b", "code")
    assert points("gemma4:12b", "chat") > points("qwen3.5:9b", "chat")
    assert points("qwen3.5:9b", "tools") > points("gemma4:12b", "tools")


@pytest.mark.parametrize(
    ("old", "new"),
    [("llama3.1:8b", "qwen3.5:9b"), ("mistral:7b", "qwen3.5:9b"), ("llama3.3:70b", "qwen3.5:27b"),
     ("llama2:13b", "qwen3.5:4b"), ("gemma3:4b", "qwen3.5:4b"), ("phi4:14b", "gemma4:12b")],
)  # fmt: skip
def test_models_of_2024_are_rated_below_those_of_2026(old: str, new: str) -> None:
    catalog = load_catalog()
    for role in ("chat", "code", "reasoning"):
        before = role_quality(catalog.card(old), role_profile(role))
        after = role_quality(catalog.card(new), role_profile(role))
        assert after is not None
        assert before is None or before.plain < after.plain


@pytest.mark.parametrize(
    ("word", "role"), [("coding", "code"), ("OCR", "vision"), ("maths", "reasoning")]
)
def test_roles_are_found_by_synonym(word: str, role: str) -> None:
    assert role_profile(word).name == role


def test_unknown_role_is_a_usage_error_that_lists_the_roles() -> None:
    with pytest.raises(UsageError) as caught:
        role_profile("astrology")
    assert "embeddings" in (caught.value.hint or "")

"""Picks, sets, exclusions, quantization choices and comparisons on described machines."""

from __future__ import annotations

import pytest

from assistant.machine.parse import parse_machine
from assistant.machine.records import Machine
from assistant.models.catalog import load_catalog
from assistant.recommend import (
    choose_quantization,
    compare_models,
    recommend,
    recommend_set,
)
from assistant.recommend.records import Needs, Recommendation, Role
from assistant.recommend.serialize import choice_to_dict, comparison_to_dict, set_to_dict


def picks_for(spec: str, role: Role = "chat", **needs: object) -> Recommendation:
    asked = Needs(role=role, **needs)  # type: ignore[arg-type]
    return recommend(parse_machine(spec), asked, load_catalog())


@pytest.mark.parametrize(
    ("spec", "role", "expected"),
    [
        ("CPU only, 8GB RAM", "code", ("qwen3.5:4b",)),
        ("CPU only, 8GB RAM", "embeddings", ("qwen3-embedding:0.6b", "embeddinggemma")),
        ("CPU only, 32GB RAM", "chat", ("gemma4:26b", "gpt-oss:20b")),
        ("8GB VRAM", "code", ("qwen3.5:9b", "qwen3.5:4b")),
        ("12GB VRAM", "chat", ("gemma4:12b",)),
        ("12GB VRAM", "tools", ("qwen3.5:9b",)),
        ("16GB VRAM", "chat", ("gemma4:12b", "gemma4:26b")),
        ("16GB VRAM", "reasoning", ("qwen3.5:9b",)),
        ("24GB VRAM", "code", ("qwen3.8:27b",)),
        ("24GB VRAM", "reasoning", ("qwen3.8:27b",)),
        ("24GB VRAM", "writing", ("gemma4:31b", "gemma4:26b")),
        ("48GB VRAM", "vision", ("qwen3.8:27b",)),
        ("80GB VRAM", "embeddings", ("qwen3-embedding:8b", "qwen3-embedding:4b")),
        ("M4 16GB", "code", ("qwen3.5:9b",)),
        ("8x H100", "chat", ("qwen3.8:27b", "gemma4:31b")),
    ],
)
def test_best_pick_is_what_comparisons_of_autumn_2026_name(
    spec: str, role: Role, expected: tuple[str, ...]
) -> None:
    best = picks_for(spec, role).picks[0]
    assert best.model.startswith(expected)


def test_no_pick_is_a_habit_of_2024() -> None:
    for spec in ("CPU only, 16GB RAM", "8GB VRAM", "24GB VRAM", "M2 Max 32GB"):
        for pick in picks_for(spec).picks:
            assert not pick.model.startswith(("llama", "mistral", "mixtral", "phi", "gemma2"))


def test_a_model_that_wins_twice_is_listed_once_with_both_labels() -> None:
    found = picks_for("12GB VRAM")
    assert "best overall" in found.picks[0].labels
    assert any(len(pick.labels) > 1 for pick in found.picks)
    assert len({pick.model for pick in found.picks}) == len(found.picks)


def test_fastest_is_the_fastest_and_smallest_the_smallest() -> None:
    found = picks_for("24GB VRAM")
    by_label = {label: pick for pick in found.picks for label in pick.labels}
    speeds = {
        pick.model: pick.estimate.speed.decode.expected
        for pick in found.picks
        if pick.estimate.speed.decode
    }
    best = by_label["best overall"]
    assert speeds[by_label["fastest"].model] >= speeds[best.model]
    sizes = [pick.estimate.download_bytes or 0 for pick in found.picks]
    assert by_label["smallest useful"].estimate.download_bytes == min(sizes)


def test_reasons_carry_figures_and_their_source() -> None:
    best = picks_for("12GB VRAM").picks[0]
    assert "whatmodel.sh" in best.reasons[0] or "Artificial Analysis" in best.reasons[0]
    assert any("GiB" in reason for reason in best.reasons)
    assert any("tokens/s" in reason for reason in best.reasons)
    assert any("commercial use" in reason for reason in best.reasons)


def test_well_known_models_are_explained() -> None:
    found = picks_for("8GB VRAM")
    reasons = {excluded.model: excluded.reason for excluded in found.excluded}
    assert "Outdated" in reasons["llama3.1:8b"]
    assert "0.164" in reasons["llama3.1:8b"]
    assert "more than" in reasons["llama3.3:70b"]
    missing = {excluded.model: excluded.missing_bytes for excluded in found.excluded}
    assert missing["llama3.1:8b"] is None
    assert (missing["gpt-oss:20b"] or 0) > 2**30


def test_what_spills_is_labelled_so_and_never_first_when_something_useful_fits() -> None:
    found = picks_for("8GB VRAM, 64GB RAM")
    assert found.picks[0].estimate.placement.verdict == "gpu"
    spilled = [p for p in found.picks if p.estimate.placement.verdict == "partial"]
    assert [p.label for p in spilled] == ["best quality, partly on the CPU"]


def test_unknown_machine_gets_a_cautious_answer_with_a_note() -> None:
    found = recommend(Machine(), Needs(), load_catalog())
    assert found.picks
    assert any("RAM is unknown" in note for note in found.notes)
    assert any("bandwidth is unknown" in note for note in found.notes)
    assert found.picks[0].estimate.memory.total_bytes < 6 * 2**30


def test_set_on_a_small_card_shares_or_swaps() -> None:
    found = recommend_set(parse_machine("8GB VRAM"), load_catalog())
    models = [member.pick.model for member in found.members]
    assert len(set(models)) < 3 or found.swapped
    assert found.together_bytes <= found.memory_bytes
    data = set_to_dict(found)
    assert data["together"]["swapped"] == list(found.swapped)


def test_quantization_for_code_takes_more_bits_when_they_fit() -> None:
    card = load_catalog().card("llama3.1:8b")
    assert card is not None
    roomy = choose_quantization(card, "code", parse_machine("24GB VRAM"))
    tight = choose_quantization(card, "code", parse_machine("8GB VRAM"))
    assert roomy.chosen is not None
    assert tight.chosen is not None
    assert roomy.chosen.quantization in ("Q6_K", "Q8_0")
    assert tight.chosen.quantization in ("Q4_K_M", "Q5_K_M")
    assert tight.chosen.estimate.placement.verdict == "gpu"
    assert tight.pull == f"ollama pull {tight.chosen.model}"
    assert any("arXiv" in line for line in tight.evidence)


def test_quantization_says_when_none_fits() -> None:
    card = load_catalog().card("llama3.3:70b")
    assert card is not None
    choice = choose_quantization(card, "chat", parse_machine("CPU only, 8GB RAM"))
    assert choice.chosen is None
    assert choice.pull is None
    assert "No build" in choice.reasons[0]
    assert choice_to_dict(choice)["chosen"] is None


def test_two_bits_come_with_a_warning() -> None:
    card = load_catalog().card("llama3.3:70b")
    assert card is not None
    choice = choose_quantization(card, "writing", parse_machine("RTX 4090, 32GB RAM"))
    if choice.chosen is not None and choice.chosen.quantization == "Q2_K":
        assert any("smaller model" in reason for reason in choice.reasons)


def test_comparison_gives_sizes_fit_and_scores() -> None:
    catalog = load_catalog()
    pair = [catalog.find("llama3.1:8b-instruct-q5_K_M"), catalog.find("llama3.1:8b")]
    found = compare_models(pair, parse_machine("12GB VRAM"))
    assert "5.7 GB" in found.findings[0]
    assert "4.9 GB" in found.findings[0]
    assert [row.quantization for row in found.models] == ["Q5_K_M", "Q4_K_M"]
    assert all(row.estimate is not None for row in found.models)
    data = comparison_to_dict(found)
    assert data["models"][0]["scores"]
    assert compare_models(pair).models[0].estimate is None

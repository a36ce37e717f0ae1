"""Quantization loss, languages, candidates and the score's parts."""

from __future__ import annotations

import itertools

import pytest

from assistant.models.catalog import load_catalog
from assistant.recommend.candidates import builds, candidates, pull_name, why_not
from assistant.recommend.languages import language_claim, speaks
from assistant.recommend.quantization_loss import perplexity_increase, quality_loss
from assistant.recommend.records import Needs
from assistant.recommend.roles import ROLES, RoleProfile, role_profile
from assistant.recommend.scoring import Prefer, memory_factor, speed_factor, thinking_share

CHAT = role_profile("chat")


def test_fewer_bits_cost_more() -> None:
    order = ["BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_M", "Q2_K"]
    losses = [quality_loss(name, "chat") for name in order]
    assert losses == sorted(losses)
    assert losses[0] == 0
    assert losses[4] == pytest.approx(0.011, abs=0.002)


def test_qat_build_costs_less_than_the_same_type_without() -> None:
    assert quality_loss("Q4_0", "chat", aware=True) < quality_loss("Q4_0", "chat")


def test_code_and_reasoning_lose_more_than_writing() -> None:
    assert (
        quality_loss("Q4_K_M", "writing")
        < quality_loss("Q4_K_M", "chat")
        < quality_loss("Q4_K_M", "code")
        < quality_loss("Q4_K_M", "reasoning")
    )


def test_small_models_lose_more_and_unknown_types_are_not_free() -> None:
    assert quality_loss("Q4_K_M", "chat", parameters=10**9) > quality_loss("Q4_K_M", "chat")
    assert perplexity_increase("IQ9_XXL") is None
    assert quality_loss("IQ9_XXL", "chat") > 0


@pytest.mark.parametrize(
    ("model", "language", "support"),
    [("gemma4:12b", "de", "yes"), ("qwen3.5:9b", "sw", "yes"), ("llama3.1:8b", "th", "yes"),
     ("llama3.1:8b", "ja", "no"), ("bge-m3:567m", "de", "yes"), ("bge-large:335m", "de", "no"),
     ("nomic-embed-text", "de", "no"), ("gemma4:12b", "tlh", "unknown"),
     ("gemma4:12b", "pt-BR", "yes")],
)  # fmt: skip
def test_languages(model: str, language: str, support: str) -> None:
    card = load_catalog().card(model)
    assert card is not None
    assert speaks(card, language) == support


def test_language_claim_in_words() -> None:
    card = load_catalog().card("gemma4:12b")
    assert card is not None
    assert language_claim(card) == "over 140 languages"


@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_candidates_are_pullable_typed_and_without_caution(role: RoleProfile) -> None:
    found = candidates(load_catalog(), role, Needs(role=role.name))
    assert found
    wanted = "embedding" if role.name == "embeddings" else "instruct"
    for candidate in found:
        assert candidate.tag.pullable
        assert candidate.tag.format == "gguf"
        assert candidate.tag.purpose == wanted
        assert role.requires <= candidate.card.capabilities
        assert not candidate.card.cautions & {"base", "uncensored", "domain", "cloud-only"}
        assert candidate.bytes > 0


@pytest.mark.parametrize("model", ["dolphin3:8b", "medgemma:4b", "starcoder2:7b", "llama2:13b"])
def test_never_offered_unasked(model: str) -> None:
    card = load_catalog().card(model)
    assert card is not None
    assert why_not(card, CHAT, Needs())


def test_commercial_need_leaves_only_plain_licences() -> None:
    needs = Needs(commercial=True)
    licences = {c.card.licence.commercial_use for c in candidates(load_catalog(), CHAT, needs)}
    assert licences == {"yes"}


def test_context_above_the_trained_one_is_no_candidate() -> None:
    found = candidates(load_catalog(), CHAT, Needs(num_ctx=262_144))
    assert found
    assert all((c.card.context_length or 0) >= 262_144 for c in found)


def test_autocomplete_needs_insert() -> None:
    role = role_profile("code", insert=True)
    found = candidates(load_catalog(), role, Needs(role="code", insert=True))
    assert {"qwen2.5-coder:1.5b", "qwen2.5-coder:7b"} <= {c.card.name for c in found}
    assert all("insert" in c.card.capabilities for c in found)


def test_builds_are_the_default_model_at_other_types() -> None:
    card = load_catalog().card("gemma4:26b")
    assert card is not None
    names = {tag.name for tag in builds(card)}
    assert {"gemma4:26b", "gemma4:26b-a4b-it-qat", "gemma4:26b-a4b-it-q8_0"} <= names
    assert not any("mlx" in name or "nvfp4" in name for name in names)


def test_builds_leave_out_base_variants_and_distillations() -> None:
    card = load_catalog().card("llama3.1:8b")
    assert card is not None
    assert not any("text" in tag.name for tag in builds(card))


def test_default_tag_is_pulled_by_the_models_own_name() -> None:
    catalog = load_catalog()
    card, tag = catalog.find("qwen3.5:9b")
    assert pull_name(card, tag) == "qwen3.5:9b"


@pytest.mark.parametrize("prefer", ["speed", "balance", "quality"])
@pytest.mark.parametrize("role", ROLES, ids=lambda r: r.name)
def test_speed_factor_never_falls_with_speed(role: RoleProfile, prefer: Prefer) -> None:
    factors = [speed_factor(tenth / 10, role, prefer) for tenth in range(0, 3000, 3)]
    assert factors == sorted(factors)
    assert factors[0] == 0
    assert speed_factor(3 * role.comfortable_speed, role, prefer) == 1.0


def test_thinking_share_grows_with_speed_up_to_the_roles() -> None:
    shares = [thinking_share(CHAT, speed) for speed in range(100)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == CHAT.thinking_share


def test_memory_factor_grows_with_memory() -> None:
    factors = [memory_factor(10**9, memory * 10**9) for memory in range(1, 50)]
    assert all(a <= b for a, b in itertools.pairwise(factors))
    assert factors[-1] == 1.0

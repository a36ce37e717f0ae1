"""Models named in sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.models.card import ModelCard
from assistant.models.catalog import load_catalog
from assistant.models.text_matching import MatchedModel
from assistant.models.usual_names import BRANDS

CATALOG = load_catalog()


def _matches(text: str) -> list[MatchedModel]:
    return CATALOG.match_text(text)


@pytest.mark.parametrize(
    ("text", "name", "level"),
    [
        ("can my 12gb 3060 do llama3.1 8b at q8?", "llama3.1:8b", "Q8_0"),
        ("yi 34b q4_k_m on a 4060 ti 16g?", "yi:34b", "Q4_K_M"),
        ("qwen2.5 7b q4_k_m, 32k ctx, 8gb vram?", "qwen2.5:7b", "Q4_K_M"),
        ("code llama 34b fill in the middle?", "codellama:34b", None),
        ("mixtral 8x7b total params", "mixtral:8x7b", None),
        ("Is Mixtral 8x22b OK on 2x3090?", "mixtral:8x22b", None),
        ("falcon 180b apache?", "falcon:180b", None),
        ("llama3.1 8b kv at 32k?", "llama3.1:8b", None),
        ("tinyllama needs 638MB of vram?", "tinyllama:1.1b", None),
        ("phi3 medium on 12gb", "phi3:14b", None),
        ("phi 3 mini 128k", "phi3:3.8b", None),
        ("deepseek r1 14b on 16gb", "deepseek-r1:14b", None),
        ("deepseek v3 671b", "deepseek-v3:671b", None),
        ("deepseek coder v2 lite", "deepseek-coder-v2:16b", None),
        ("llama-3.1-8b-instruct in 4-bit", "llama3.1:8b", "Q4_K_M"),
        ("gpt oss 20b", "gpt-oss:20b", None),
        ("gpt-oss 120b on a mac studio 128gb", "gpt-oss:120b", None),
        ("command-r+ 104b", "command-r-plus:104b", None),
        ("qwen3 30b a3b 32k on 24gb", "qwen3:30b", None),
        ("llama 3.2 11b vision", "llama3.2-vision:11b", None),
        ("llama 4 scout", "llama4:16x17b", None),
        ("gemma4 e4b on my phone", "gemma4:e4b", None),
        ("gemma3 e4b", "gemma3n:e4b", None),
        ("mistral nemo 12b 128k", "mistral-nemo:12b", None),
        ("mistral small 3.2", "mistral-small3.2:24b", None),
        ("starcoder 15b", "starcoder2:15b", None),
        ("what's llama3.1:8b-instruct-q5_K_M size", "llama3.1:8b", "Q5_K_M"),
        ("Llama 3.3 70B Q4_K_M on 48GB", "llama3.3:70b", "Q4_K_M"),
        ("does nomic-embed-text do german", "nomic-embed-text", None),
        ("r1 32b", "deepseek-r1:32b", None),
        ("zephyr 7b beta", "zephyr:7b", None),
    ],
)
def test_a_model_in_a_sentence(text: str, name: str, level: str | None) -> None:
    matches = _matches(text)
    assert [(m.card.name, m.quantization) for m in matches] == [(name, level)]
    assert matches[0].sized
    assert matches[0].assumption is None


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("gemma 2 context?", "gemma2"),
        ("gemma 3 commercial ok?", "gemma3"),
        ("languages llama 3.1 officially supports", "llama3.1"),
        ("is falcon apache?", "falcon"),
        ("ollama run llama3", "llama3"),
    ],
)
def test_a_family_without_a_size(text: str, family: str) -> None:
    (match,) = _matches(text)
    assert (match.family, match.sized) == (family, False)
    assert match.assumption is not None
    assert match.card.name in match.assumption


@pytest.mark.parametrize(
    ("text", "name", "level"),
    [
        ("7b q8_0 on an 8gb card?", "mistral:7b", "Q8_0"),
        ("a100 is 48gb or more so 70b q6 fits, yes?", "llama3.3:70b", "Q6_K"),
        ("can it run 13b?", "llama2:13b", None),
        ("70b at 2 bit", "llama3.3:70b", "Q2_K"),
        ("how much vram for 405b", "llama3.1:405b", None),
        ("qwen 14b", "qwen3:14b", None),
        ("qwen 7b", "qwen2.5:7b", None),
        ("run the 70b llama on two 3090s", "llama3.3:70b", None),
        ("gemma 2b on a pi", "gemma:2b", None),
        ("gemma 4b", "gemma3:4b", None),
        ("granite 8b", "granite4.2:8b", None),
        ("lama3.1 8b?", "llama3.1:8b", None),
        ("mixtrel 8x7b", "mixtral:8x7b", None),
    ],
)
def test_what_is_assumed_is_said(text: str, name: str, level: str | None) -> None:
    (match,) = _matches(text)
    assert (match.card.name, match.quantization) == (name, level)
    assert match.assumption is not None
    assert name in match.assumption


@pytest.mark.parametrize(
    "text",
    [
        "what about at 128k?",
        "i have a 4070 12gb, want one model for chat and a bit of python",
        "how do i get a q6 version in ollama",
        "mit or apache, which models are MIT",
        "what is q4_k_m",
        "i7-13700 and rtx 3060",
        "hi, 16gb ddr4, xeon e5",
        "is 8gb ram enough",
        "solar panel question",
        "translate this to swedish: good morning",
        "raspberry pi 5 8gb",
        "3080 ti vram",
        "",
    ],
)
def test_no_model_where_none_is_named(text: str) -> None:
    assert _matches(text) == []


def test_several_models_in_one_sentence() -> None:
    matches = _matches("gemma 2 9b vs llama 3 8b")
    assert [m.card.name for m in matches] == ["gemma2:9b", "llama3:8b"]
    matches = _matches("compare mistral 7b q4 and qwen 2.5 7b q8")
    assert [(m.card.name, m.quantization) for m in matches] == [
        ("mistral:7b", "Q4_K_M"),
        ("qwen2.5:7b", "Q8_0"),
    ]
    matches = _matches("mistral 7b or llama 3.1 8b at q8?")
    assert [m.quantization for m in matches] == ["Q8_0", "Q8_0"]


def test_several_levels_of_one_model() -> None:
    matches = _matches("Q5_K_M vs Q4_K_M size on 8b")
    assert [(m.card.name, m.quantization) for m in matches] == [
        ("llama3.1:8b", "Q5_K_M"),
        ("llama3.1:8b", "Q4_K_M"),
    ]


def test_the_tag_of_a_match() -> None:
    (match,) = _matches("llama3.1 8b at q8?")
    assert match.tag is not None
    assert match.tag.name == "llama3.1:8b-instruct-q8_0"
    (match,) = _matches("is gemma3:12b-it-qat any good")
    assert match.tag is not None
    assert match.tag.name == "gemma3:12b-it-qat"
    (match,) = _matches("gemma3 12b q5_k_m")
    assert match.tag is not None
    assert not match.tag.in_library


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    for match in _matches(text):
        start, end = match.span
        assert 0 <= start < end <= len(text.lower())


_NAMED = [c for c in CATALOG.cards if ":" in c.name and c.tags]
_FRAMES = ["{}", "can I run {} on 8gb?", "what is the licence of {}", "{} or nothing"]


@given(st.sampled_from(_NAMED), st.sampled_from(_FRAMES))
def test_every_model_is_found_by_its_own_name(card: ModelCard, frame: str) -> None:
    matches = _matches(frame.format(card.name))
    assert [match.card.name for match in matches] == [card.name]
    assert matches[0].assumption is None


@given(st.sampled_from(_NAMED), st.sampled_from(_FRAMES), st.sampled_from([" ", "-"]))
def test_separators_do_not_matter(card: ModelCard, frame: str, separator: str) -> None:
    if card.family in BRANDS:
        return  # `qwen 7b` means the newest Qwen of that size, `qwen:7b` the one named so
    text = frame.format(card.name.replace(":", separator))
    assert card.name in [match.card.name for match in _matches(text)], text


def test_a_word_that_only_begins_a_name_is_not_that_model() -> None:
    assert load_catalog().match_text("multilingual embedding model under 1gb") == []


def test_an_everyday_name_is_a_model_when_models_are_talked_about() -> None:
    found = load_catalog().match_text("is granite good for code")
    assert [match.family for match in found] == ["granite4.2"]

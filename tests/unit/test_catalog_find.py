"""Finding models and tags by the names people and programs use."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import UnknownModelError
from assistant.models.catalog import load_catalog

CATALOG = load_catalog()
NAMES = [name for card in CATALOG.cards for tag in card.tags for name in (tag.name, *tag.aliases)]


@pytest.mark.parametrize(
    ("text", "card", "tag"),
    [
        ("llama3.1:8b", "llama3.1:8b", "llama3.1:8b"),
        ("llama3.1", "llama3.1:8b", "llama3.1:8b"),
        ("llama3.1:latest", "llama3.1:8b", "llama3.1:8b"),
        ("LLaMA3.1:8B", "llama3.1:8b", "llama3.1:8b"),
        ("library/llama3.1:8b", "llama3.1:8b", "llama3.1:8b"),
        ("llama3.1:8b-instruct-q5_K_M", "llama3.1:8b", "llama3.1:8b-instruct-q5_K_M"),
        ("llama3.1:8b-instruct-Q5_k_m", "llama3.1:8b", "llama3.1:8b-instruct-q5_K_M"),
        ("llama3.1:8b-q5_K_M", "llama3.1:8b", "llama3.1:8b-instruct-q5_K_M"),
        ("llama3.1:8b-instruct-q4_K_M", "llama3.1:8b", "llama3.1:8b"),
        ("mixtral", "mixtral:8x7b", "mixtral:8x7b"),
        ("qwen3:30b-a3b", "qwen3:30b", "qwen3:30b"),
        ("qwen3:30b-a3b-q4_K_M", "qwen3:30b", "qwen3:30b-a3b-q4_K_M"),
        ("gemma3:12b-it-qat", "gemma3:12b", "gemma3:12b-it-qat"),
        ("phi3:medium", "phi3:14b", "phi3:14b"),
        ("openhermes", "openhermes", "openhermes:latest"),
        ("nomic-embed-text", "nomic-embed-text", "nomic-embed-text:latest"),
        ("glm-4.7-flash:q8_0", "glm-4.7-flash", "glm-4.7-flash:q8_0"),
        ("Llama 3.1 8B", "llama3.1:8b", "llama3.1:8b"),
        ("Llama-3.3-70B-Instruct", "llama3.3:70b", "llama3.3:70b"),
        ("qwen2.5 7b q8_0", "qwen2.5:7b", "qwen2.5:7b-instruct-q8_0"),
        ("code llama 34b", "codellama:34b", "codellama:34b"),
    ],
)
def test_names_are_found(text: str, card: str, tag: str) -> None:
    found_card, found_tag = CATALOG.find(text)
    assert (found_card.name, found_tag.name) == (card, tag)


@given(st.sampled_from(NAMES))
def test_every_name_of_the_library_finds_its_own_tag(name: str) -> None:
    card, tag = CATALOG.find(name)
    assert name in (tag.name, *tag.aliases)
    assert tag in card.tags


@pytest.mark.parametrize(
    ("text", "level", "tag"),
    [
        ("llama3.1:8b", "q8", "llama3.1:8b-instruct-q8_0"),
        ("llama3.1:8b", "Q4_K_M", "llama3.1:8b"),
        ("yi:34b", "q4_k_m", "yi:34b-chat-v1.5-q4_K_M"),
        ("llama3.1", "fp16", "llama3.1:8b-instruct-fp16"),
        ("mistral:7b", "q8", "mistral:7b-instruct-v0.3-q8_0"),
        ("phi3:14b", "q6", "phi3:14b-medium-128k-instruct-q6_K"),
    ],
)
def test_another_level_of_the_same_build(text: str, level: str, tag: str) -> None:
    card, like = CATALOG.find(text)
    found_card, found = CATALOG.find(text, level)
    assert found_card is card
    assert tag in (found.name, *found.aliases)
    assert found.purpose == like.purpose
    assert found.in_library


@pytest.mark.parametrize(
    ("text", "level"), [("gemma3:12b", "Q5_K_M"), ("gpt-oss:20b", "Q8_0"), ("phi-1", "Q4_K_M")]
)
def test_a_level_without_a_tag_can_be_estimated_but_not_pulled(text: str, level: str) -> None:
    _, tag = CATALOG.find(text, level)
    assert tag.quantization == level
    assert not tag.in_library
    assert not tag.pullable
    assert tag.model_bytes is None


def test_a_missing_level_written_in_the_tag() -> None:
    _, tag = CATALOG.find("llama3.1:8b-instruct-iq4_xs")
    assert (tag.quantization, tag.in_library, tag.pullable) == ("IQ4_XS", False, False)


def test_hugging_face_repositories_of_known_models() -> None:
    card, tag = CATALOG.find("hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q5_K_M")
    assert card.name == "llama3.1:8b"
    assert (tag.quantization, tag.pullable, tag.in_library) == ("Q5_K_M", True, False)
    with pytest.raises(UnknownModelError) as caught:
        CATALOG.find("hf.co/nobody/Never-Seen-3B-GGUF")
    assert "Hugging Face" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("lama3.1:8b", "llama3.1:8b"),
        ("qwen25:7b", "qwen2.5:7b"),
        ("mixtrel", "mixtral:8x7b"),
        ("gema3:12b", "gemma3:12b"),
        ("deepseekr1:14b", "deepseek-r1:14b"),
        ("llama3.1:13b", "llama3.1:8b"),
        ("qwen 14b", "qwen3:14b"),
        ("7b", "mistral:7b"),
    ],
)
def test_a_miss_says_what_may_be_meant(text: str, meant: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        CATALOG.find(text)
    assert meant in (caught.value.hint or "")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "   ", "what?", "x" * 5000, "a/b/c/d", "ns/own-model:1"])
def test_nonsense_is_one_clear_error(text: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        CATALOG.find(text)
    assert len(caught.value.message) < 250
    assert caught.value.hint


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownModelError, match="not a quantization level"):
        CATALOG.find("llama3.1:8b", "Q9")


@given(st.text(max_size=40))
def test_any_text_is_found_or_unknown(text: str) -> None:
    try:
        card, tag = CATALOG.find(text)
    except UnknownModelError:
        return
    assert card.name
    assert tag.name


def test_search_needs_all_words() -> None:
    assert {c.name for c in CATALOG.search("Qwen coder 7b")} == {"qwen2.5-coder:7b"}
    assert all("embedding" in c.capabilities for c in CATALOG.search("embedding snowflake"))
    assert CATALOG.search("coder zebra") == []


def test_families_hold_their_models() -> None:
    families = CATALOG.families()
    assert [c.name for c in families["gemma2"]] == ["gemma2:2b", "gemma2:9b", "gemma2:27b"]
    assert CATALOG.family("GEMMA2") == families["gemma2"]
    assert CATALOG.family("no-such") == ()


def test_the_catalog_is_loaded_once_and_says_its_date() -> None:
    assert load_catalog() is CATALOG
    assert CATALOG.as_of == "2026-08-21"
    assert len(CATALOG) == len(list(CATALOG)) == 276


def test_loading_and_building_all_cards_is_fast() -> None:
    """Under 25 ms where it was measured; three tries leave room for a busy machine."""
    code = (
        "import time; from assistant.models import catalog; t = time.perf_counter();"
        "catalog.load_catalog().cards; print(time.perf_counter() - t)"
    )
    best = 9.0
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        best = min(best, float(done.stdout))
        if best < 0.06:
            break
        time.sleep(0.2)
    assert best < 0.25

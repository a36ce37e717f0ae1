"""The OLLAMA_* settings, read as Ollama reads them."""

from __future__ import annotations

import typing

import pytest

from assistant.cli import options
from assistant.config import KV_CACHE_TYPES, Setting, read_settings
from assistant.fit.records import KvCacheType


def test_nothing_set_is_ollamas_own_choice() -> None:
    settings = read_settings({})
    assert settings.context_length == Setting(None, "default", "OLLAMA_CONTEXT_LENGTH")
    assert settings.flash_attention.value is None
    assert settings.host.value is None
    assert settings.assumptions == ()


def test_values_and_where_they_come_from() -> None:
    settings = read_settings({
        "OLLAMA_CONTEXT_LENGTH": " '8192' ",
        "OLLAMA_NUM_PARALLEL": "4",
        "OLLAMA_KV_CACHE_TYPE": "Q8_0",
        "OLLAMA_FLASH_ATTENTION": "1",
        "OLLAMA_MODELS": '"/srv/models"',
        "OLLAMA_GPU_OVERHEAD": "1073741824",
    })  # fmt: skip
    assert settings.context_length == Setting(8192, "environment", "OLLAMA_CONTEXT_LENGTH")
    assert settings.num_parallel.value == 4
    assert settings.kv_cache_type.value == "q8_0"
    assert settings.flash_attention == Setting(True, "environment", "OLLAMA_FLASH_ATTENTION")
    assert settings.models.value == "/srv/models"
    assert settings.gpu_overhead.value == 1024**3
    assert "OLLAMA_CONTEXT_LENGTH=8192 from the environment" in settings.assumptions
    assert "OLLAMA_FLASH_ATTENTION=1 from the environment" in settings.assumptions


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("T", True), ("0", False), ("false", False), ("yes", True),
     ("", None), (" ", None)],
)  # fmt: skip
def test_switches_are_gos_booleans(text: str, value: bool | None) -> None:
    assert read_settings({"OLLAMA_FLASH_ATTENTION": text}).flash_attention.value is value


@pytest.mark.parametrize("text", ["abc", "-1", "0x10", "4.5", "٤"])
def test_what_is_no_number_is_ignored_and_said(text: str) -> None:
    settings = read_settings({"OLLAMA_NUM_PARALLEL": text})
    assert settings.num_parallel == Setting(None, "default", "OLLAMA_NUM_PARALLEL")
    assert settings.ignored == (
        f"OLLAMA_NUM_PARALLEL={text!r} is not a whole number; Ollama ignores it",
    )
    assert settings.ignored[0] in settings.assumptions


def test_zero_is_ollamas_own_choice() -> None:
    settings = read_settings({"OLLAMA_MAX_LOADED_MODELS": "0"})
    assert settings.max_loaded_models.value is None
    assert settings.ignored == ()


def test_an_unknown_cache_type_is_said() -> None:
    settings = read_settings({"OLLAMA_KV_CACHE_TYPE": "q9_9"})
    assert settings.kv_cache_type.value is None
    assert "Ollama loads no model with it" in settings.ignored[0]


def test_the_cache_types_are_the_same_everywhere() -> None:
    assert options.KV_CACHE_TYPES == KV_CACHE_TYPES
    assert set(KV_CACHE_TYPES) == set(typing.get_args(KvCacheType))

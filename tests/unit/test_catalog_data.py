"""Every row of the shipped catalog obeys the schema and makes sense."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import assistant.models
from assistant.models.architecture import Architecture
from assistant.models.card import ModelCard, Tag
from assistant.models.catalog import CATALOG_FILE, load_catalog
from assistant.models.names import parse_model_name, parse_quantization

DATA = Path(assistant.models.__file__).parent / "data"
CARDS = load_catalog().cards
TAGS = [(card, tag) for card in CARDS for tag in card.tags]
# Bits per weight of whole files, as llama.cpp's quantize tool documents them.
BITS = {
    "Q2_K": 3.2, "Q3_K_M": 4.0, "Q3_K_L": 4.3, "Q4_0": 4.6, "Q4_1": 5.1, "Q4_K_S": 4.7,
    "Q4_K_M": 4.9, "Q5_0": 5.6, "Q5_1": 6.1, "Q5_K_S": 5.6, "Q5_K_M": 5.7, "Q6_K": 6.6,
    "Q8_0": 8.5, "F16": 16.0, "BF16": 16.0, "MXFP4": 4.4,
}  # fmt: skip


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(CATALOG_FILE.read_text(encoding="utf-8"))
    return data


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = (DATA / "catalog.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_every_row_obeys_the_schema(raw: dict[str, Any], schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    problems = [f"{list(e.absolute_path)}: {e.message[:200]}" for e in validator.iter_errors(raw)]
    assert problems == []


def test_the_schema_refuses_what_it_should(raw: dict[str, Any], schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    for change in (
        {"name": "No Such Name"},
        {"cautions": ["sticky"]},
        {"capabilities": ["telepathy"]},
        {"parameters": [-1, 1]},
        {"tags": [["8b", [], "Q99"]]},
        {"extra": 1},
        {"architecture": {"name": "llama"}},
    ):
        bad = {**raw, "models": [{**raw["models"][0], **change}]}
        assert not validator.is_valid(bad), change


def test_the_schema_knows_every_architecture_field(schema: dict[str, Any]) -> None:
    known = set(schema["$defs"]["architecture"]["properties"])
    assert known == {field.name for field in fields(Architecture)}


def test_the_whole_library_listing_is_there() -> None:
    assert len(CARDS) == 276
    assert sum(1 + len(tag.aliases) for _, tag in TAGS) >= 2630
    assert len({card.family for card in CARDS}) == 149


def test_the_file_is_small() -> None:
    assert CATALOG_FILE.stat().st_size < 1_200_000


def test_no_name_stands_for_two_files() -> None:
    names = Counter(card.name for card in CARDS)
    assert [name for name, count in names.items() if count > 1] == []
    tags = Counter(n.lower() for _, tag in TAGS for n in (tag.name, *tag.aliases))
    assert [name for name, count in tags.items() if count > 1] == []


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_model_makes_sense(card: ModelCard) -> None:
    assert parse_model_name(card.name).model == card.family or not card.tags
    assert card.title
    assert card.parameters_total is not None
    assert card.parameters_active is not None
    assert 0 < card.parameters_active <= card.parameters_total
    assert card.release is None or "2020" < card.release < "2027"
    if card.tags:
        default = card.tag(card.default_tag or "")
        assert default is not None
        assert default.format == "gguf"
        assert default.download_bytes is not None or card.name.startswith("qwen3.8-flash-next")
    else:
        assert card.cautions & {"not-in-library", "cloud-only"}
    assert len(set(card.benchmarks)) == len(card.benchmarks)
    for score in card.benchmarks:
        assert score.source
        assert score.date is None or score.date <= "2026-11"


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_an_architecture_is_consistent(card: ModelCard) -> None:
    for arch in [card.architecture, *(tag.architecture for tag in card.tags)]:
        if arch is None:
            continue
        blocks = arch.block_count
        assert len(arch.head_count) == len(arch.head_count_kv) == blocks
        assert len(arch.feed_forward_length) == blocks
        assert all(q % kv == 0 for q, kv in zip(arch.head_count, arch.head_count_kv, strict=True)
                   if kv)  # fmt: skip
        assert any(arch.feed_forward_length) or arch.expert_feed_forward_length
        assert 0 < arch.expert_used_count <= arch.expert_count or arch.expert_count == 0
        assert arch.shared_kv_layers < blocks
        for flags in (arch.sliding_window_pattern, arch.recurrent_layers):
            if isinstance(flags, tuple):
                assert len(flags) == blocks
                assert any(flags)
        if arch.sliding_window_pattern is not None:
            assert arch.sliding_window
        if arch.ssm_inner_size or arch.shortconv_l_cache:
            assert arch.recurrent_layers is not None
        assert arch.name not in {"gptoss", "qwen25vl", "olmo3", "glm4moelite"}, "not rewritten"
    if card.mla_keys is not None:
        assert card.architecture is not None
        latent = card.architecture.key_length_mla is not None
        assert latent == (card.mla_keys == "present")
        if latent:
            assert set(card.architecture.head_count_kv) == {1}
            rope = card.architecture.rope_dimension_count or 0
            assert card.architecture.key_length == (card.architecture.kv_lora_rank or 0) + rope


def test_every_tag_is_a_name_that_ollama_reads() -> None:
    for _, tag in TAGS:
        for name in (tag.name, *tag.aliases):
            assert parse_model_name(name).is_library


def test_what_cannot_be_pulled_is_marked() -> None:
    for card, tag in TAGS:
        cloud = "cloud" in tag.name
        assert tag.pullable == (tag.format == "gguf" and not cloud), tag.name
        if tag.pullable:
            assert tag.quantization in BITS, tag.name
            assert parse_quantization(tag.quantization or "") == tag.quantization
        assert "not-in-library" not in card.cautions


def _weight_bytes(card: ModelCard, tag: Tag) -> int | None:
    if tag.model_bytes is not None:
        return tag.model_bytes - (card.inline_projector_bytes or 0)
    if tag.download_bytes is None:
        return None
    return tag.download_bytes - (tag.projector_bytes or 0) - (card.inline_projector_bytes or 0)


def test_sizes_agree_with_parameters_and_bits() -> None:
    """Models with huge vocabularies or rows that K-quants cannot hold get wide bounds."""
    wide_families = {
        "gemma", "gemma3", "gemma3n", "gemma4", "phi4-reasoning", "phi4-mini-reasoning",
        "nemotron-3-nano", "nemotron-3.5-lightning", "nemotron-cascade-2",
    }  # fmt: skip
    for card, tag in TAGS:
        size = _weight_bytes(card, tag)
        if not tag.pullable or size is None or card.parameters_total is None:
            continue
        encoders = (card.inline_projector_bytes or tag.projector_bytes or 0) // 2
        text_parameters = card.parameters_total - encoders
        ratio = size * 8 / text_parameters / BITS[tag.quantization or ""]
        wide = card.parameters_total < 2e9 or card.family in wide_families
        low, high = (0.65, 2.4) if wide else (0.85, 1.2)
        assert low < ratio < high, (tag.name, ratio)


def test_a_lower_level_is_not_larger() -> None:
    order = ["Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]
    for card in CARDS:
        groups: dict[str, dict[str, int]] = {}
        for tag in card.tags:
            size = tag.model_bytes or tag.download_bytes
            if tag.pullable and size and tag.quantization in order and not tag.quantization_aware:
                stem = tag.name.lower().rpartition("-q")[0]
                if stem:
                    groups.setdefault(stem, {})[tag.quantization or ""] = size
        for sizes in groups.values():
            ordered = [sizes[level] for level in order if level in sizes]
            assert ordered == sorted(ordered), card.name


def test_embedding_models_are_typed_as_such() -> None:
    for card in CARDS:
        embeds = "embedding" in card.capabilities
        assert all((tag.purpose == "embedding") == embeds for tag in card.tags), card.name
        if card.architecture is not None:
            assert card.architecture.is_embedding == embeds or not card.tags, card.name


def test_uncensored_and_domain_models_are_marked() -> None:
    for card in CARDS:
        if "uncensored" in card.name or card.name.startswith("dolphin"):
            assert "uncensored" in card.cautions
        if card.family in {"medgemma", "functiongemma", "translategemma", "glm-ocr"}:
            assert "domain" in card.cautions


def test_sources_can_be_looked_up() -> None:
    for card in CARDS:
        for score in card.benchmarks:
            assert not re.search(r"\bids? \d", score.source), score.source
            assert not score.source.startswith("S_")

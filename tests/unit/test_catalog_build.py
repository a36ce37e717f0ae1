"""The script that builds the catalog, on a small set of facts made for the test."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from assistant.models.catalog import load_catalog
from assistant.models.catalog_rows import build_card

ROOT = Path(__file__).resolve().parents[2]
INPUT = ROOT / "scripts" / "catalog_input"
CARDS = {card.name for card in load_catalog().cards}


def _fact(name: str, **values: Any) -> dict[str, Any]:
    model, _, size = name.partition(":")
    fact: dict[str, Any] = {
        "id": name, "ollama_name": model, "size_tag": size, "title": name, "publisher": "Maker",
        "family": model, "hf_repo": "maker/model", "release": "2025-05",
        "licence": {"name": "MIT"}, "params_total_b": 8.03, "params_active_b": 8.03,
        "context_length": 131072, "capabilities": ["tools"], "languages": ["en"], "arch": None,
        "tags": [], "benchmarks": [], "default_tag": name, "sources": {"arch": []},
    }  # fmt: skip
    return {**fact, **values}


def _tag(name: str, quant: str, digest: str, **values: Any) -> dict[str, Any]:
    tag: dict[str, Any] = {
        "tag": name, "quant": quant, "format": "gguf", "id12": digest, "total_bytes": None,
        "model_bytes": None, "projector_bytes": None, "context_listed": "128K",
        "size_gb_listed": 5.0, "aliases": [],
    }  # fmt: skip
    return {**tag, **values}


LLAMA = {
    "general.architecture": "llama", "block_count": 32, "embedding_length": 4096,
    "feed_forward_length": 14336, "head_count": 32, "head_count_kv": 8, "key_length": 128,
    "value_length": 128, "vocab_size": 128256,
    "size_check": {"output_tied": False, "attn_v_kept_f16": True, "verdict": "consistent"},
}  # fmt: skip


def _build(tmp_path: Path, facts: list[dict[str, Any]]) -> dict[str, Any]:
    (tmp_path / "models.json").write_text(json.dumps(facts))
    (tmp_path / "model_sources.json").write_text(json.dumps({"listing_date": "2026-01-02"}))
    output = tmp_path / "catalog.json"
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_catalog.py"), str(tmp_path), str(output)],
        check=True,
        capture_output=True,
    )
    catalog: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "assistant/models/data/catalog.schema.json").read_text())
    jsonschema.validate(catalog, schema)
    return catalog


def test_facts_become_cards(tmp_path: Path) -> None:
    score = {"name": "MMLU", "value": 70.0, "source": "https://x/card via S_LLMLB",
             "setting": "5-shot", "reported_by": "maker"}  # fmt: skip
    facts = [
        _fact(
            "plain:8b",
            arch=LLAMA,
            benchmarks=[score, score],
            tags=[
                _tag("plain:latest", "Q4_K_M", "aaaaaaaaaaaa", model_bytes=4_920_738_944,
                     total_bytes=4_920_753_328, aliases=["8b"]),
                _tag("plain:8b", "Q4_K_M", "aaaaaaaaaaaa", model_bytes=4_920_738_944,
                     total_bytes=4_920_753_328, aliases=["latest"]),
                _tag("plain:8b-instruct-q8_0", "Q8_0", "bbbbbbbbbbbb",
                     derived_model_bytes=8_540_000_000, context_listed="4K"),
                _tag("plain:8b-text-q2_K", "Q2_K", "cccccccccccc"),
                _tag("plain:8b-it-qat", "QAT-Q4_0", "dddddddddddd"),
                _tag("plain:8b-nvfp4", "NVFP4", "eeeeeeeeeeee", format="mlx-safetensors"),
            ],
        )
    ]  # fmt: skip
    catalog = _build(tmp_path, facts)
    card = build_card(catalog["models"][0], catalog)
    assert catalog["as_of"] == "2026-01-02"
    assert card.parameters_total == card.parameters_active == 8_030_261_248
    assert card.architecture_confidence == "checked"
    assert card.quantization_hints == {"attn_v_f16"}
    assert len(card.benchmarks) == 1
    assert card.benchmarks[0].source == "https://x/card (llm-leaderboard data set)"
    assert card.benchmarks[0].date == "2025-05"
    first, eight, base, aware, other = card.tags
    assert (first.name, first.aliases, first.exactness) == ("plain:8b", ("plain:latest",), "exact")
    assert (eight.exactness, eight.download_bytes, eight.context_length) == (
        "derived", 8_540_000_000, 4096,
    )  # fmt: skip
    assert (base.purpose, base.exactness, base.download_bytes) == ("base", "listed", 5 * 10**9)
    assert (aware.quantization, aware.quantization_aware) == ("Q4_0", True)
    assert not other.pullable


def test_architectures_are_renamed_and_hybrids_marked(tmp_path: Path) -> None:
    moe = {**LLAMA, "general.architecture": "gptoss", "expert_count": 8, "expert_used_count": 2,
           "expert_feed_forward_length": 64, "sliding_window": 128,
           "sliding_window_pattern": {"period": 2, "full_attention_position": "last"},
           "full_attention_layers": list(range(1, 32, 2))}  # fmt: skip
    hybrid = {**LLAMA, "general.architecture": "granitehybrid", "block_count": 4,
              "head_count_kv": [0, 8, 0, 0],
              "ssm": {"conv_kernel": 4, "state_size": 128, "inner_size": 64}}  # fmt: skip
    latent = {**LLAMA, "general.architecture": "deepseek2", "mla_in_gguf": True,
              "mla": {"kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64,
                      "qk_nope_head_dim": 128, "v_head_dim": 128}}  # fmt: skip
    catalog = _build(
        tmp_path, [_fact("m:1b", arch=moe), _fact("h:1b", arch=hybrid), _fact("l:1b", arch=latent)]
    )
    cards = [build_card(row, catalog) for row in catalog["models"]]
    archs = [card.architecture for card in cards]
    assert archs[0] is not None
    assert (archs[0].name, archs[0].sliding_window_pattern) == ("gpt-oss", 2)
    assert archs[1] is not None
    assert archs[1].recurrent_layers == (True, False, True, True)
    assert archs[2] is not None
    assert (archs[2].key_length, archs[2].value_length) == (576, 512)
    assert (archs[2].key_length_mla, archs[2].head_count_kv[0]) == (192, 1)
    assert [card.mla_keys for card in cards] == [None, None, "present"]
    assert all("not-in-library" in card.cautions for card in cards)


def test_corrections_meet_models_that_exist() -> None:
    from fnmatch import fnmatchcase

    models = tomllib.loads((INPUT / "models.toml").read_text(encoding="utf-8"))["models"]
    for entry in models:
        for pattern in entry["match"]:
            wanted = pattern.removeprefix("!")
            assert any(fnmatchcase(name, wanted) for name in CARDS), pattern
    evidence = tomllib.loads((INPUT / "evidence.toml").read_text(encoding="utf-8"))["evidence"]
    assert {entry["model"] for entry in evidence} <= CARDS


@pytest.mark.parametrize("name", ["licences.toml", "models.toml", "evidence.toml"])
def test_reviewed_inputs_are_toml(name: str) -> None:
    assert tomllib.loads((INPUT / name).read_text(encoding="utf-8"))

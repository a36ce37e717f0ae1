"""The 13 cases that estimators get wrong somewhere, from the catalog alone, within 5 %."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from memory_cases import (
    CASES,
    Case,
    ample_machine,
    estimate_case,
    vram_mib,
)

from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card, facts_from_header
from assistant.fit.records import RunOptions
from assistant.models.catalog import load_catalog
from assistant.models.gguf import read_header
from assistant.units import GIB, MIB

HEADERS = Path(__file__).parents[1] / "data" / "headers"


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.model}-{c.num_ctx}")
def test_within_five_percent(case: Case) -> None:
    estimate = estimate_case(case)
    assert vram_mib(estimate) == pytest.approx(case.truth_mib, rel=0.05)
    assert estimate.gpu.kv_cache_bytes / MIB == pytest.approx(case.kv_mib)
    assert estimate.placement.verdict == "gpu"


def test_there_are_thirteen() -> None:
    assert len(CASES) == 13


def test_gemma2_above_its_trained_context_says_so() -> None:
    case = next(c for c in CASES if c.model == "gemma2:9b" and c.num_ctx == 32768)
    estimate = estimate_case(case)
    assert estimate.num_ctx == 8192
    assert estimate.requested_num_ctx == 32768
    assert "trained for 8k of context, so Ollama uses 8k instead of 32k" in estimate.notes[0]
    full, window = 32768, 5120  # 21 layers each, 8 heads of 256, K and V in two bytes
    unclamped = 21 * (full + window) * 2 * 8 * 256 * 2 / GIB
    assert f"would have been {unclamped:.1f} GiB" in estimate.notes[0]


def test_gemma3_is_10_gib_and_says_that_most_layers_keep_a_window() -> None:
    estimate = estimate_case(next(c for c in CASES if c.model == "gemma3:12b"))
    assert vram_mib(estimate) * MIB == pytest.approx(10.6 * GIB, rel=0.05)
    assert "40 of 48 layers keep a window of 1,024 tokens only" in estimate.notes


def test_deepseek_says_whether_the_file_carries_the_mla_keys() -> None:
    estimate = estimate_case(next(c for c in CASES if c.model.startswith("deepseek")))
    assert estimate.gpu.kv_cache_bytes / GIB == pytest.approx(38.1, rel=0.01)
    assert "the file carries no MLA keys" in " ".join(estimate.notes)
    assert "a file with them would take 0.5 GiB" in " ".join(estimate.notes)

    header = read_header(HEADERS / "deepseek-v3-671b.gguf")
    with_keys = estimate_fit(
        facts_from_header(header, name="deepseek-v3"),
        ample_machine(),
        RunOptions(num_ctx=8192),
        with_speed=False,
    )
    assert with_keys.gpu.kv_cache_bytes / GIB == pytest.approx(0.536, rel=0.01)
    assert "the file carries the MLA keys" in " ".join(with_keys.notes)


def test_phi3_uses_the_full_cache_despite_its_window_key() -> None:
    card, tag = load_catalog().find("phi3:14b")
    estimate = estimate_fit(
        facts_from_card(card, tag), ample_machine(), RunOptions(num_ctx=8192), with_speed=False
    )
    assert not any("window" in note for note in estimate.notes)

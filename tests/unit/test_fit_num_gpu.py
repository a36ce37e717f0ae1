"""A number of layers that was asked for is loaded as it is: no margin, only the memory counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.cli.fit_text import render_estimates, reserved_bytes
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, RunOptions
from assistant.machine.parse import parse_machine
from assistant.machine.records import Machine
from assistant.models.catalog import load_catalog
from assistant.units import GIB


def estimate(machine: Machine, num_gpu: int | None, model: str = "qwen3.5:9b") -> FitEstimate:
    facts = facts_from_card(*load_catalog().find(model))
    return estimate_fit(facts, machine, RunOptions(num_ctx=8192, num_batch=512, num_gpu=num_gpu))


def with_free(machine: Machine, free_bytes: int) -> Machine:
    gpu = replace(machine.accelerators[0], memory_free_bytes=free_bytes)
    return replace(machine, accelerators=(gpu,))


class TestAskedLayers:
    def test_all_layers_load_into_the_margin(self) -> None:
        machine = parse_machine("8GB VRAM, 16GB RAM")
        assert estimate(machine, None).placement.verdict == "partial"
        forced = estimate(machine, 99)
        assert forced.placement.verdict == "gpu"
        assert forced.placement.gpu_layers == forced.placement.layers
        assert any("num_gpu 99" in note for note in forced.notes)

    def test_no_such_note_when_everything_fits_anyway(self) -> None:
        forced = estimate(parse_machine("RTX 4090, 64GB RAM"), 99)
        assert forced.placement.verdict == "gpu"
        assert not any("num_gpu" in note for note in forced.notes)

    @pytest.mark.parametrize("num_gpu", [99, 20])
    def test_the_memory_itself_is_the_limit(self, num_gpu: int) -> None:
        machine = parse_machine("24GB VRAM, 64GB RAM")
        need = estimate(machine, num_gpu).gpu.total_bytes
        assert estimate(with_free(machine, need), num_gpu).placement.verdict != "none"
        refused = estimate(with_free(machine, need - 1), num_gpu)
        assert refused.placement.verdict == "none"
        assert refused.missing_bytes == 1

    def test_nothing_is_shown_as_kept_free(self) -> None:
        machine = parse_machine("8GB VRAM, 16GB RAM")
        forced = estimate(machine, 99)
        assert reserved_bytes(forced, machine) == 0
        text = render_estimates([forced], machine)
        assert "kept free" not in text
        assert "num_gpu 99" in text
        assert forced.gpu.total_bytes <= round(7.5 * GIB)

    def test_a_narrow_miss_names_the_option(self) -> None:
        missed = estimate(parse_machine("8GB VRAM, 16GB RAM"), None)
        assert any(remedy.startswith("num_gpu 99") for remedy in missed.remedies)
        missed = estimate(parse_machine("4GB VRAM, 16GB RAM"), None)
        assert not any("num_gpu" in remedy for remedy in missed.remedies)

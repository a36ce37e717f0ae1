"""What `/api/ps` will say: on the loads recorded from a real server, and by the rules of 4.10."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card, facts_from_show
from assistant.fit.ps_size import ps_sizes
from assistant.fit.records import FitEstimate, ModelFacts, RunOptions
from assistant.machine.parse import load_machine
from assistant.machine.records import Machine
from assistant.models.catalog import load_catalog
from assistant.ollama.records import ShownModel
from assistant.units import MIB

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "tests" / "data" / "ollama_traces"
LOADS = json.loads((TRACES / "memory.json").read_bytes())
SHOWN = {"smollm2:135m": "show_smollm2.json", "gemma3:270m": "show_gemma3.json"}
CARD_24_GB = "RTX 4090 24GB, 64GB RAM"


def shown(name: str) -> ModelFacts:
    answer = json.loads((TRACES / SHOWN[name]).read_bytes())["body_json"]
    tensors = tuple((t["name"], t["type"], tuple(t["shape"])) for t in answer["tensors"])
    quantization = answer["details"]["quantization_level"]
    capabilities = frozenset(answer["capabilities"])
    return facts_from_show(
        ShownModel(
            name,
            answer["model_info"],
            tensors,
            capabilities=capabilities,
            quantization=quantization,
        )
    )


def estimated(name: str, machine: str, **options: Any) -> tuple[FitEstimate, ModelFacts]:
    facts = facts_from_card(*load_catalog().find(name))
    run = RunOptions(**options)
    return estimate_fit(facts, load_machine(machine), run, with_limits=False), facts


@pytest.mark.parametrize(
    "load",
    LOADS,
    ids=lambda load: (
        f"{load['model']}-{load['num_ctx_requested']}-{load['num_parallel']}-{load['kv_cache_type']}"
    ),
)
def test_the_recorded_loads_are_foretold_to_a_tenth_of_a_mib(load: dict[str, Any]) -> None:
    facts = shown(load["model"])
    options = RunOptions(
        num_ctx=load["num_ctx_requested"],
        num_parallel=load["num_parallel"],
        kv_cache_type=load["kv_cache_type"] or "f16",
    )
    estimate = estimate_fit(facts, Machine(), options, with_limits=False)
    sizes = ps_sizes(estimate, facts.architecture)
    assert estimate.num_ctx == load["ps"]["context_length"]
    assert abs(sizes.size_bytes - load["ps"]["size"]) < 0.1 * MIB
    assert sizes.size_vram_bytes == load["ps"]["size_vram"] == 0
    logged = sum(buffer[3] for buffer in load["buffers_MiB"])
    assert abs(sizes.size_bytes + sizes.unreported_bytes - logged * MIB) < 0.1 * MIB


def test_the_missing_cache_is_that_of_the_full_attention_blocks() -> None:
    facts = shown("gemma3:270m")
    estimate = estimate_fit(facts, Machine(), RunOptions(num_ctx=32768), with_limits=False)
    whole, reported = ps_sizes(estimate), ps_sizes(estimate, facts.architecture)
    assert reported.unreported_bytes == 96 * MIB
    assert whole.size_bytes - reported.size_bytes == 96 * MIB
    assert whole.unreported_bytes == 0


# Sizes of `/api/ps` on real GPUs, captured live and published (2026-09): name, context, bytes.
@pytest.mark.parametrize(
    ("name", "size", "tolerance"),
    [
        ("mistral:7b-instruct", 4_950_883_040, 0.0001),
        ("llama3.2:1b", 1_514_584_145, 0.002),
    ],
)
def test_published_sizes_on_a_gpu(name: str, size: int, tolerance: float) -> None:
    estimate, facts = estimated(name, CARD_24_GB, num_ctx=4096)
    sizes = ps_sizes(estimate, facts.architecture)
    assert sizes.size_bytes == sizes.size_vram_bytes
    assert sizes.size_bytes == pytest.approx(size, rel=tolerance)


def test_on_the_gpu_driver_and_projector_are_left_out_and_the_host_is_hidden() -> None:
    estimate, _ = estimated("gemma3:4b", CARD_24_GB, num_ctx=4096)
    gpu = estimate.gpu
    assert gpu.overhead_bytes > 0
    assert gpu.projector_bytes > 0
    assert estimate.host.total_bytes > 0
    left = gpu.total_bytes - gpu.overhead_bytes - gpu.projector_bytes
    assert ps_sizes(estimate).size_bytes == left
    assert ps_sizes(estimate).size_vram_bytes == left


def test_in_a_split_both_sides_count() -> None:
    estimate, facts = estimated("llama3.1:70b", CARD_24_GB, num_ctx=8192)
    assert estimate.placement.verdict == "partial"
    sizes = ps_sizes(estimate, facts.architecture)
    overhead = estimate.memory.overhead_bytes
    assert sizes.size_bytes == estimate.memory.total_bytes - overhead
    assert 0 < sizes.size_vram_bytes == estimate.gpu.total_bytes - overhead < sizes.size_bytes


def test_in_a_split_each_side_loses_its_own_full_attention_cache() -> None:
    estimate, facts = estimated("gemma3:27b", "RTX 3060 12GB, 64GB RAM", num_ctx=16384)
    assert estimate.placement.verdict == "partial"
    whole, reported = ps_sizes(estimate), ps_sizes(estimate, facts.architecture)
    lost_on_gpu = whole.size_vram_bytes - reported.size_vram_bytes
    lost = whole.size_bytes - reported.size_bytes
    assert 0 < lost_on_gpu < lost == reported.unreported_bytes
    # 10 of its 62 blocks see the whole context; keys and values in F16.
    arch = facts.architecture
    rows = (arch.key_length + arch.value_length) * max(arch.head_count_kv) * 2
    assert lost == 10 * rows * 16384


def test_a_side_without_windowed_blocks_loses_nothing() -> None:
    estimate, facts = estimated("gemma2:27b", CARD_24_GB, num_ctx=8192, num_gpu=2)
    assert estimate.placement.gpu_layers == 2, "the output layer and the last of 46 blocks"
    whole, reported = ps_sizes(estimate), ps_sizes(estimate, facts.architecture)
    assert reported.size_vram_bytes == whole.size_vram_bytes
    # Every second block sees the whole context, the last one among them.
    one = estimate.gpu.kv_cache_bytes
    assert reported.unreported_bytes == 22 * one


def test_the_benchmark_prints_a_summary_and_every_load() -> None:
    script = ROOT / "benchmarks" / "ps.py"
    command = [sys.executable, str(script), str(TRACES / "memory.json"), "--markdown"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "| /api/ps size | 34 | 0.00 % | 0.00 % | 0.01 % |" in ran.stdout
    assert "| logged buffers | 34 |" in ran.stdout
    assert ran.stdout.count("| gemma3:270m, ") == 17
    assert "differs from the server's in 0." in ran.stdout

"""Laws of the tuning table, over models, machines and cache types."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import KvCacheType, ModelFacts, RunOptions
from assistant.machine.records import Accelerator, Machine, Ram
from assistant.models.catalog import load_catalog
from assistant.provision.tune import rungs, tune_table
from assistant.provision.tune_records import TuneTable
from assistant.units import GIB

NAMES = (
    "llama3.1:8b", "llama3.2:1b", "llama3.3:70b", "gemma2:9b", "gemma3:12b", "gemma4:e4b",
    "qwen3:14b", "qwen3:30b-a3b", "qwen3.5:9b", "gpt-oss:20b", "deepseek-v3:671b", "phi3:14b",
    "nomic-embed-text", "qwen2.5:7b", "all-minilm:22m",
)  # fmt: skip
FACTS = [facts_from_card(*load_catalog().find(name)) for name in NAMES]
models = st.sampled_from(FACTS)
vram = st.sampled_from([2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 80])
contexts = st.sampled_from([None, 2048, 5000, 8192, 32_768, 131_072])
types: st.SearchStrategy[KvCacheType] = st.sampled_from(["f16", "q8_0", "q4_0", "f32"])


def machine(vram_gib: int | None, ram_gib: int = 64) -> Machine:
    size = (vram_gib or 0) * GIB
    gpu = Accelerator(
        "GPU", "nvidia", "discrete", memory_total_bytes=size, memory_free_bytes=size, backend="cuda"
    )
    return Machine(
        os="linux",
        ram=Ram(total_bytes=ram_gib * GIB),
        accelerators=(gpu,) if vram_gib else (),
    )


def longest(table: TuneTable, kind: str) -> int:
    return table.row(table.quantization, kind).longest_num_ctx or 0


@settings(max_examples=60, deadline=None)
@given(models, vram, vram, types)
def test_more_vram_never_shortens_the_longest_context(
    facts: ModelFacts, size: int, more: int, kind: KvCacheType
) -> None:
    # With the batch fixed: Ollama takes larger batches where there is more memory.
    options = RunOptions(kv_cache_type=kind, num_batch=512)
    small = tune_table(facts, machine(size), run_options=options)
    large = tune_table(facts, machine(size + more), run_options=options)
    for each in small.cache_types:
        assert longest(small, each) <= longest(large, each)


@settings(max_examples=60, deadline=None)
@given(models, st.sampled_from([4, 8, 16, 64, 512]), st.sampled_from([1, 8, 100]))
def test_more_ram_never_shortens_the_longest_context_without_a_gpu(
    facts: ModelFacts, ram: int, more: int
) -> None:
    small = tune_table(facts, machine(None, ram))
    large = tune_table(facts, machine(None, ram + more))
    assert longest(small, "f16") <= longest(large, "f16")


@settings(max_examples=80, deadline=None)
@given(models, st.none() | vram)
def test_fewer_bits_of_cache_never_shorten_the_longest_context(
    facts: ModelFacts, size: int | None
) -> None:
    table = tune_table(facts, machine(size))
    if table.cache_types == ("f16",):
        return
    loads = [kind for kind in table.cache_types if table.row(table.quantization, kind).loads]
    found = [longest(table, kind) for kind in loads]
    assert found == sorted(found)


@settings(max_examples=80, deadline=None)
@given(models, st.none() | vram, contexts, types)
def test_what_the_table_says_stays_does_stay(
    facts: ModelFacts, size: int | None, num_ctx: int | None, kind: KvCacheType
) -> None:
    on = machine(size)
    options = RunOptions(num_ctx=num_ctx, kv_cache_type=kind)
    table = tune_table(facts, on, run_options=options)
    wanted = "gpu" if size else "cpu"
    assert [row.is_best for row in table.rows].count(True) == (table.best is not None)
    for row in table.rows:
        assert row.stays == (row.loads and row.estimate.placement.verdict == wanted)
        if row.longest_num_ctx is not None:
            asked = replace(options, num_ctx=row.longest_num_ctx, kv_cache_type=row.kv_cache_type)
            again = estimate_fit(facts, on, asked, with_limits=False, with_speed=False)
            assert again.placement.verdict == wanted
    if table.best is not None:
        assert table.best_num_ctx is not None
        best = replace(options, num_ctx=table.best_num_ctx, kv_cache_type=table.best.kv_cache_type)
        at_best = estimate_fit(facts, on, best, with_limits=False, with_speed=False)
        assert at_best.placement.verdict == wanted
        assert table.best_num_ctx <= table.num_ctx


@settings(max_examples=60, deadline=None)
@given(models, vram, contexts)
def test_the_grid_covers_the_ladder_and_grows_with_context(
    facts: ModelFacts, size: int, num_ctx: int | None
) -> None:
    table = tune_table(facts, machine(size), run_options=RunOptions(num_ctx=num_ctx, num_batch=512))
    ladder = rungs(facts.architecture.context_length)
    assert tuple(dict.fromkeys(cell.num_ctx for cell in table.grid)) == ladder
    assert len(table.grid) == len(ladder) * len(table.cache_types)
    for kind in table.cache_types:
        cells = [cell for cell in table.grid if cell.kv_cache_type == kind]
        on_gpu = [cell.stays for cell in cells]
        assert on_gpu == sorted(on_gpu, reverse=True)
        sizes = [cell.memory_bytes for cell in cells if cell.stays]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize("facts", FACTS, ids=lambda f: f.name)
def test_every_model_has_a_table(facts: ModelFacts) -> None:
    table = tune_table(facts, machine(4000, 4000))
    assert table.best is table.named
    assert table.named.longest_num_ctx == facts.architecture.context_length

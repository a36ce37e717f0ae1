"""Laws that every estimate obeys, over models, machines and options."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.fit.estimate import estimate_fit
from assistant.fit.kv_cache import cache_bytes
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, KvCacheType, ModelFacts, RunOptions
from assistant.fit.room import FIT_MARGIN_BYTES, measure_room
from assistant.machine.records import Accelerator, Machine, Ram
from assistant.models.catalog import load_catalog
from assistant.units import GIB

NAMES = (
    "llama3.1:8b", "llama3.2:1b", "llama3.3:70b", "gemma2:9b", "gemma3:12b", "gemma3:270m",
    "gemma4:e4b", "gemma3n:e2b", "qwen3:30b-a3b", "qwen3.5:9b", "gpt-oss:20b", "mixtral:8x7b",
    "deepseek-v3:671b", "phi3:14b", "granite4:3b", "nomic-embed-text", "command-r:35b",
    "lfm2:24b", "qwen2.5vl:7b", "nemotron-3-nano:30b", "all-minilm:22m", "falcon:7b",
)  # fmt: skip


def _known() -> list[ModelFacts]:
    catalog = load_catalog()
    found = []
    for name in NAMES:
        try:
            found.append(facts_from_card(*catalog.find(name)))
        except LookupError:
            continue
        except Exception as error:
            if type(error).__name__ != "UnknownModelError":
                raise
    assert len(found) > 15
    return found


FACTS = _known()
CONTEXTS = st.sampled_from([512, 2048, 4096, 5000, 8192, 16384, 32768, 65536, 131072])
VRAM = st.sampled_from([2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 80, 141])
CACHE_TYPES: list[KvCacheType] = ["f16", "q8_0", "q4_0", "f32"]
facts_of_models = st.sampled_from(FACTS)
options = st.builds(
    RunOptions,
    num_ctx=CONTEXTS,
    num_parallel=st.sampled_from([1, 2, 4]),
    num_batch=st.sampled_from([None, 256, 512, 2048]),
    kv_cache_type=st.sampled_from(CACHE_TYPES),
    num_gpu=st.sampled_from([None, None, None, 0, 7, 999]),
)


def machine(sizes: list[int], ram: int = 64, *, kind: str = "discrete") -> Machine:
    gpus = tuple(
        Accelerator(
            f"GPU {index}",
            "nvidia" if kind == "discrete" else "apple",
            "discrete" if kind == "discrete" else "unified",
            memory_total_bytes=size * GIB,
            memory_free_bytes=size * GIB,
            backend="cuda" if kind == "discrete" else "metal",
        )
        for index, size in enumerate(sizes)
    )
    return Machine(
        os="linux",
        ram=Ram(total_bytes=ram * GIB),
        accelerators=gpus,
        unified_memory=kind != "discrete",
    )


machines = st.builds(
    machine,
    st.lists(VRAM, min_size=0, max_size=4),
    st.sampled_from([4, 8, 16, 64, 512]),
    kind=st.sampled_from(["discrete", "discrete", "unified"]),
)


def estimate(facts: ModelFacts, on: Machine, run: RunOptions) -> FitEstimate:
    return estimate_fit(facts, on, run, with_limits=False, with_speed=False)


@settings(max_examples=250, deadline=None)
@given(facts_of_models, machines, options)
def test_parts_layers_and_devices_agree(facts: ModelFacts, on: Machine, run: RunOptions) -> None:
    found = estimate(facts, on, run)
    gpu, host, placement = found.gpu, found.host, found.placement
    for part in ("weights_bytes", "kv_cache_bytes", "recurrent_state_bytes",
                 "compute_buffer_bytes", "projector_bytes", "overhead_bytes"):  # fmt: skip
        assert getattr(gpu, part) >= 0
        assert getattr(host, part) >= 0
        assert getattr(found.memory, part) == getattr(gpu, part) + getattr(host, part)
    assert found.memory.total_bytes == gpu.total_bytes + host.total_bytes
    assert placement.vram_bytes == gpu.total_bytes == sum(d.bytes for d in placement.devices)
    assert placement.ram_bytes == host.total_bytes
    assert placement.layers == facts.architecture.block_count + 1
    assert 0 <= placement.gpu_layers <= placement.layers
    assert placement.gpu_layers == sum(device.layers for device in placement.devices)
    assert found.missing_bytes >= 0
    copies = facts.weights.token_embedding_bytes if facts.weights.tied else 0
    together = gpu.weights_bytes + host.weights_bytes
    assert together in (facts.weights.file_bytes, facts.weights.file_bytes + copies)


@settings(max_examples=250, deadline=None)
@given(facts_of_models, machines, options)
def test_the_verdict_says_where_it_runs(facts: ModelFacts, on: Machine, run: RunOptions) -> None:
    found = estimate(facts, on, run)
    placement = found.placement
    if placement.verdict == "gpu":
        assert placement.gpu_layers == placement.layers
        assert found.host.kv_cache_bytes == 0
        assert found.missing_bytes == 0
        by_name = {gpu.name: gpu for gpu in measure_room(on).gpus}
        kept_free = (
            FIT_MARGIN_BYTES if run.num_gpu is None else 0
        )  # asked layers are loaded as asked
        for share in placement.devices:
            gpu = by_name[share.name]
            assert share.bytes - gpu.overhead_bytes + kept_free <= gpu.free_bytes
    if placement.verdict == "cpu":
        assert placement.gpu_layers == 0
        assert found.gpu.total_bytes == 0
    if placement.verdict == "partial":
        assert placement.gpu_layers > 0
        assert placement.gpu_layers < placement.layers or placement.expert_layers_on_host
    if placement.verdict == "none":
        assert found.missing_bytes > 0


@settings(max_examples=150, deadline=None)
@given(facts_of_models, CONTEXTS, CONTEXTS, st.sampled_from([512, 1024, 2048]))
def test_more_context_never_takes_less(facts: ModelFacts, one: int, other: int, batch: int) -> None:
    on = machine([1000], 1000)
    short, long = sorted((one, other))
    run = RunOptions(num_batch=batch)
    small = estimate(facts, on, replace(run, num_ctx=short))
    large = estimate(facts, on, replace(run, num_ctx=long))
    assert small.gpu.kv_cache_bytes <= large.gpu.kv_cache_bytes
    assert small.memory.total_bytes <= large.memory.total_bytes


@settings(max_examples=200, deadline=None)
@given(facts_of_models, VRAM, options, VRAM)
def test_more_vram_never_takes_a_model_off_the_gpu(
    facts: ModelFacts, size: int, run: RunOptions, more: int
) -> None:
    # With several GPUs it can: Ollama then finds one of them large enough and takes it alone,
    # by a prediction that knows no cache types; the remedies say so.
    run = replace(run, num_batch=run.num_batch or 512)
    if estimate(facts, machine([size]), run).placement.verdict == "gpu":
        assert estimate(facts, machine([size + more]), run).placement.verdict == "gpu"


def test_one_gpu_chosen_by_a_rough_prediction_where_two_would_hold_it() -> None:
    facts = next(f for f in FACTS if f.name == "phi3:14b")
    run = RunOptions(num_ctx=4096, num_parallel=4, num_batch=512, kv_cache_type="f32")
    assert estimate(facts, machine([8, 10]), run).placement.verdict == "gpu"
    found = estimate_fit(facts, machine([12, 14]), run)
    assert found.placement.verdict == "partial"
    assert len(found.placement.devices) == 1
    assert "all GPUs together hold it (OLLAMA_SCHED_SPREAD=1)" in found.remedies


@settings(max_examples=150, deadline=None)
@given(facts_of_models, CONTEXTS, st.sampled_from([1, 4]))
def test_fewer_bits_never_take_more_cache(facts: ModelFacts, num_ctx: int, parallel: int) -> None:
    arch = facts.architecture
    if arch.key_length % 32 or arch.value_length % 32:
        return
    sizes = [
        cache_bytes(
            arch,
            num_ctx=num_ctx,
            num_batch=512,
            num_parallel=parallel,
            kv_cache_type=kind,
        ).kv_cache_bytes
        for kind in ("f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
    ]
    assert sizes == sorted(sizes, reverse=True)


@settings(max_examples=60, deadline=None)
@given(facts_of_models, st.lists(VRAM, min_size=1, max_size=2), st.sampled_from(CACHE_TYPES))
def test_the_largest_context_fits_and_the_remedies_hold(
    facts: ModelFacts, sizes: list[int], kind: KvCacheType
) -> None:
    on = machine(sizes)
    run = RunOptions(num_ctx=32768, kv_cache_type=kind)
    found = estimate_fit(facts, on, run, with_speed=False)
    largest = found.limits.max_num_ctx_on_gpu
    if largest is not None:
        again = estimate(facts, on, replace(run, num_ctx=largest))
        assert again.placement.verdict == "gpu"
        assert again.num_ctx == largest or "vision" in facts.capabilities
    if found.placement.verdict == "gpu":
        assert found.remedies == ()
    for remedy in found.remedies:
        if remedy.startswith("num_ctx "):
            wanted = int(remedy.split()[1])
            assert estimate(facts, on, replace(run, num_ctx=wanted)).placement.verdict == "gpu"
        if remedy.startswith("a q8_0"):
            smaller = replace(run, kv_cache_type="q8_0", num_ctx=found.num_ctx)
            assert estimate(facts, on, smaller).placement.verdict == "gpu"
        if remedy.endswith(" GB card"):
            size = int(remedy.split()[1])
            assert size > max(sizes)


@pytest.mark.parametrize("facts", FACTS, ids=lambda f: f.name)
def test_every_model_can_be_estimated_without_a_gpu(facts: ModelFacts) -> None:
    found = estimate_fit(facts, machine([], 2048), RunOptions())
    assert found.placement.verdict == "cpu"
    assert found.num_ctx == min(4096, facts.architecture.context_length or 4096)

"""The decode-speed estimate: known figures, and what must hold for every machine and model."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.fit.records import DeviceShare, Placement, Speed, WeightBytes
from assistant.fit.speed import TYPICAL_DEPTH, cpu_bandwidth, estimate_speed
from assistant.machine.records import Accelerator, Cpu, Machine, Ram
from assistant.models.architecture import Architecture
from assistant.units import GIB

LLAMA_8B = Architecture(
    name="llama",
    block_count=32,
    embedding_length=4096,
    vocab_size=128256,
    feed_forward_length=(14336,) * 32,
    head_count=(32,) * 32,
    head_count_kv=(8,) * 32,
    key_length=128,
    value_length=128,
    context_length=131072,
)
CACHE_PER_TOKEN = 2 * 2 * 8 * 128 * 32
"""Bytes of llama3.1:8b's cache per token: K and V, F16, 8 heads of 128, 32 blocks."""


def weights_of(total: float, *, blocks: int = 32, experts: float = 0.0) -> WeightBytes:
    """Return weights of `total` bytes read per step, plus an input embedding that is not."""
    output = int(total * 0.08)
    block = int((total - output) / blocks)
    return WeightBytes(
        input_bytes=int(total * 0.08),
        token_embedding_bytes=int(total * 0.08),
        output_bytes=output,
        tied=False,
        block_bytes=(block,) * blocks,
        block_expert_bytes=(int(block * experts),) * blocks,
        exact=True,
    )


def gpu(bandwidth: float | None = 936, **changes: object) -> Accelerator:
    card = Accelerator(
        name="RTX 3090",
        vendor="nvidia",
        kind="discrete",
        memory_total_bytes=24 * GIB,
        bandwidth_gb_per_s=bandwidth,
        backend="cuda",
        device_class="nv-ampere",
    )
    return dataclasses.replace(card, **changes)  # type: ignore[arg-type]


def machine_of(*cards: Accelerator, ram: float | None = 51.2) -> Machine:
    return Machine(
        cpu=Cpu(name="Ryzen 7 5700X"),
        ram=Ram(32 * GIB, 30 * GIB, ram, "table"),
        accelerators=cards,
    )


def speed_of(
    weights: WeightBytes,
    machine: Machine,
    *,
    arch: Architecture = LLAMA_8B,
    gpu_layers: int | None = None,
    num_ctx: int = 8192,
    verdict: str | None = None,
    **more: int,
) -> Speed:
    """Return the speed with the last `gpu_layers` layers on the GPU (all when left out)."""
    layers = arch.block_count + 1
    gpu_layers = layers if gpu_layers is None else gpu_layers
    if verdict is None:
        verdict = "gpu" if gpu_layers == layers else "partial" if gpu_layers else "cpu"
    on_gpu = 0
    if gpu_layers:
        first = arch.block_count - (gpu_layers - 1)
        on_gpu = weights.output_bytes + sum(weights.block_bytes[first:])
    placement = Placement(verdict, gpu_layers, layers, on_gpu, 0)  # type: ignore[arg-type]
    return estimate_speed(
        arch,
        weights,
        placement,
        machine,
        num_ctx=num_ctx,
        kv_cache_bytes=CACHE_PER_TOKEN * num_ctx,
        gpu_weight_bytes=on_gpu,
        host_weight_bytes=weights.file_bytes - on_gpu,
        parameters_active=8_030_261_248,
        **more,
    )


def expected(speed: Speed) -> float:
    assert speed.decode is not None, speed.basis
    return speed.decode.expected


@pytest.mark.parametrize(
    ("card", "model_gib", "measured"),
    [
        pytest.param(
            gpu(120, name="Apple M4", vendor="apple", device_class="apple-m4", backend="metal"),
            4.28,
            20.9,
            id="llama3.1 8B Q4_K_M on a Mac mini M4 (brand-o/normiebench issue 3)",
        ),
        pytest.param(
            gpu(409.6, name="Apple M1 Max", vendor="apple", device_class="apple-m1"),
            4.28,
            46.2,
            id="llama3.1 8B Q4_K_M on an M1 Max (brand-o/normiebench issue 40)",
        ),
        pytest.param(gpu(936), 12.3, 48.5, id="llama 7B F16 on an RTX 3090 (llama.cpp PR 4766)"),
        pytest.param(gpu(936), 3.49, 121.8, id="llama 7B Q4_0 on an RTX 3090 (llama.cpp PR 4766)"),
    ],
)
def test_published_llama_bench_figures_are_met(
    card: Accelerator, model_gib: float, measured: float
) -> None:
    # Bytes read per token (the file without its input embedding), at the depth of tg128.
    speed = speed_of(weights_of(model_gib * GIB), machine_of(card), num_ctx=256)
    assert expected(speed) == pytest.approx(measured, rel=0.30)


@given(
    bandwidth=st.floats(30, 4000),
    factor=st.floats(1.05, 4),
    gib=st.floats(0.2, 40),
    layers=st.integers(1, 33),
)
def test_more_bandwidth_is_faster(bandwidth: float, factor: float, gib: float, layers: int) -> None:
    weights = weights_of(gib * GIB)
    slow = speed_of(weights, machine_of(gpu(bandwidth), ram=50.0), gpu_layers=layers)
    fast = speed_of(weights, machine_of(gpu(bandwidth * factor), ram=50.0), gpu_layers=layers)
    assert expected(fast) > expected(slow)


@given(gib=st.floats(0.2, 40), factor=st.floats(1.05, 4), layers=st.integers(0, 33))
def test_more_bytes_are_slower(gib: float, factor: float, layers: int) -> None:
    machine = machine_of(gpu())
    small = speed_of(weights_of(gib * GIB), machine, gpu_layers=layers)
    large = speed_of(weights_of(gib * factor * GIB), machine, gpu_layers=layers)
    assert expected(large) < expected(small)


@given(gib=st.floats(1, 40), layers=st.integers(1, 32))
def test_a_split_model_is_between_the_cpu_and_the_gpu(gib: float, layers: int) -> None:
    weights, machine = weights_of(gib * GIB), machine_of(gpu())
    whole = expected(speed_of(weights, machine))
    cpu = expected(speed_of(weights, machine, gpu_layers=0))
    split = speed_of(weights, machine, gpu_layers=layers)
    assert cpu < expected(split) < whole
    assert "order of magnitude" in split.basis


@given(
    gib=st.floats(0.1, 60),
    layers=st.integers(0, 33),
    num_ctx=st.integers(1, 131072),
    bandwidth=st.floats(20, 8000),
)
def test_ranges_are_ordered_and_positive(
    gib: float, layers: int, num_ctx: int, bandwidth: float
) -> None:
    speed = speed_of(
        weights_of(gib * GIB),
        machine_of(gpu(bandwidth, fp32_tflops=35.6)),
        gpu_layers=layers,
        num_ctx=num_ctx,
    )
    for shown in (speed.decode, speed.prompt):
        if shown is not None:
            assert 0 < shown.low < shown.expected < shown.high


@given(first=st.integers(1, 131072), more=st.integers(1, 131072))
def test_a_longer_context_never_raises_any_bound(first: int, more: int) -> None:
    weights, machine = weights_of(4 * GIB), machine_of(gpu())
    short = speed_of(weights, machine, num_ctx=first).decode
    long = speed_of(weights, machine, num_ctx=first + more).decode
    assert short is not None
    assert long is not None
    assert long.low <= short.low * (1 + 1e-9)
    assert long.expected <= short.expected * (1 + 1e-9)


def test_expected_holds_at_the_typical_depth_and_low_with_a_full_context() -> None:
    weights, machine = weights_of(4 * GIB), machine_of(gpu())
    at_depth = speed_of(weights, machine, num_ctx=TYPICAL_DEPTH)
    full = speed_of(weights, machine, num_ctx=131072)
    assert expected(full) == pytest.approx(expected(at_depth))
    assert full.decode is not None
    # 16 GiB of cache beside 4 GiB of weights: far below the usual low end.
    assert full.decode.low < 0.4 * full.decode.expected


def test_a_second_request_does_not_slow_the_first() -> None:
    weights, machine = weights_of(4 * GIB), machine_of(gpu())
    alone = speed_of(weights, machine, num_ctx=8192)
    placement = Placement("gpu", 33, 33, 0, 0)
    beside = estimate_speed(
        LLAMA_8B,
        weights,
        placement,
        machine,
        num_ctx=8192,
        kv_cache_bytes=4 * CACHE_PER_TOKEN * 8192,
        gpu_weight_bytes=weights.output_bytes + sum(weights.block_bytes),
        host_weight_bytes=weights.input_bytes,
        parameters_active=None,
        num_parallel=4,
    )
    assert expected(beside) == pytest.approx(expected(alone))


def test_only_the_experts_in_use_are_read() -> None:
    moe = dataclasses.replace(LLAMA_8B, expert_count=64, expert_used_count=8)
    weights = weights_of(16 * GIB, experts=0.9)
    machine = machine_of(gpu())
    sparse = expected(speed_of(weights, machine, arch=moe))
    read = (0.08 + 0.92 * (0.1 + 0.9 / 8)) * 16 * GIB
    dense = expected(speed_of(weights_of(read), machine))
    assert sparse > 2 * expected(speed_of(weights, machine))
    assert 0.6 * dense < sparse < dense


def test_experts_in_ram_cost_ram_bandwidth() -> None:
    moe = dataclasses.replace(LLAMA_8B, expert_count=64, expert_used_count=8)
    weights = weights_of(16 * GIB, experts=0.9)
    host = 16 * weights.block_expert_bytes[0]
    placement = Placement("partial", 33, 33, 0, 0, expert_layers_on_host=16)
    speed = estimate_speed(
        moe,
        weights,
        placement,
        machine_of(gpu(), ram=51.2),
        num_ctx=4096,
        kv_cache_bytes=CACHE_PER_TOKEN * 4096,
        gpu_weight_bytes=weights.file_bytes - weights.input_bytes - host,
        host_weight_bytes=weights.input_bytes + host,
        parameters_active=3_000_000_000,
    )
    at_least = host / 8 / (0.75 * 51.2e9)
    assert at_least < 1 / expected(speed) < at_least + 0.02


def test_a_window_bounds_what_a_deep_context_costs() -> None:
    gemma = dataclasses.replace(
        LLAMA_8B, name="gemma3", sliding_window=1024, sliding_window_pattern=6
    )
    weights, machine = weights_of(4 * GIB), machine_of(gpu())
    full = speed_of(weights, machine, num_ctx=32768)
    # The same allocation read by a windowed model: at 1,024 tokens the windows are full.
    windowed = speed_of(weights, machine, arch=gemma, num_ctx=32768)
    assert expected(windowed) < expected(full)


def test_delta_attention_is_slower_than_plain_attention() -> None:
    delta = dataclasses.replace(LLAMA_8B, name="qwen35", full_attention_interval=4)
    weights, machine = weights_of(4 * GIB), machine_of(gpu())
    assert expected(speed_of(weights, machine, arch=delta)) < expected(speed_of(weights, machine))


def test_bandwidths_of_several_gpus_do_not_add() -> None:
    weights = weights_of(30 * GIB)
    one = speed_of(weights, machine_of(gpu()))
    two = speed_of(weights, machine_of(gpu(), gpu()))
    assert expected(one) == expected(two)


def test_the_slowest_gpu_that_carries_layers_counts() -> None:
    weights = weights_of(4 * GIB)
    slow = gpu(360, name="RTX 3060")
    machine = machine_of(gpu(), slow)
    both = speed_of(weights, machine)
    assert expected(both) == expected(speed_of(weights, machine_of(slow)))
    placement = Placement("gpu", 33, 33, 0, 0, devices=(DeviceShare("RTX 3090", 1, 33),))
    fast_only = estimate_speed(
        LLAMA_8B,
        weights,
        placement,
        machine,
        num_ctx=8192,
        kv_cache_bytes=CACHE_PER_TOKEN * 8192,
        gpu_weight_bytes=weights.file_bytes - weights.input_bytes,
        host_weight_bytes=weights.input_bytes,
        parameters_active=None,
    )
    assert expected(fast_only) == pytest.approx(expected(speed_of(weights, machine_of(gpu()))))


@pytest.mark.parametrize(
    ("machine", "layers", "reason"),
    [
        (machine_of(gpu(None)), 33, "bandwidth of this GPU is unknown"),
        (machine_of(gpu(), ram=None), 0, "RAM bandwidth is unknown"),
        (machine_of(gpu(), ram=None), 10, "RAM bandwidth is unknown"),
        (
            Machine(cpu=Cpu(name="RK3588", architecture="aarch64"), ram=Ram(1, 1, 34.0, "table")),
            0,
            "ARM processor",
        ),
    ],
)
def test_unknown_bandwidth_gives_no_figure_and_says_why(
    machine: Machine, layers: int, reason: str
) -> None:
    speed = speed_of(weights_of(4 * GIB), machine, gpu_layers=layers)
    assert speed.decode is None
    assert speed.prompt is None
    assert reason in speed.basis


def test_what_does_not_fit_has_no_speed() -> None:
    speed = speed_of(weights_of(4 * GIB), machine_of(gpu()), verdict="none")
    assert (speed.decode, speed.prompt) == (None, None)


@pytest.mark.parametrize(
    ("cpu", "source", "share"),
    [
        ("AMD Ryzen 7 5700X", "table", 0.75),
        ("Intel(R) Core(TM) i5-9500 CPU @ 3.00GHz", "table", 0.75),
        ("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", "table", 0.55),
        ("11th Gen Intel(R) Core(TM) i5-1135G7 @ 2.40GHz", "table", 0.55),
        ("AMD Ryzen 7 7840HS w/ Radeon 780M Graphics", "table", 0.55),
        ("Raspberry Pi 5", "table", 0.55),
        (None, "assumed", 0.65),
        ("AMD Ryzen 7 5700X", "measured", 0.9),
        ("RK3588", "measured", 0.9),
    ],
)
def test_the_share_of_ram_bandwidth_follows_the_processor(
    cpu: str | None, source: str, share: float
) -> None:
    ram = Ram(bandwidth_gb_per_s=40.0, bandwidth_source=source)  # type: ignore[arg-type]
    arm = "aarch64" if cpu in ("RK3588", "Raspberry Pi 5") else "x86_64"
    reached, _ = cpu_bandwidth(Machine(cpu=Cpu(name=cpu, architecture=arm), ram=ram))
    assert reached == pytest.approx(share * 40e9)


def test_prompt_speed_needs_a_known_gpu_and_the_whole_model_on_it() -> None:
    weights = weights_of(4 * GIB)
    known = machine_of(gpu(fp32_tflops=35.6))
    prompt = speed_of(weights, known).prompt
    # llama-bench, llama 7B Q4_0 on an RTX 3090: 3,400 to 5,200 tokens/s by build.
    assert prompt is not None
    assert prompt.low < 4000 < prompt.high
    assert speed_of(weights, known, gpu_layers=20).prompt is None
    assert speed_of(weights, machine_of(gpu())).prompt is None


def test_an_embedding_model_has_no_decode_speed() -> None:
    bert = dataclasses.replace(LLAMA_8B, name="nomic-bert", pooling_type=1)
    speed = speed_of(weights_of(GIB), machine_of(gpu(fp32_tflops=35.6)), arch=bert)
    assert (speed.decode, speed.prompt) == (None, None)
    assert "embedding" in speed.basis


def test_a_gpu_of_unknown_class_takes_the_figure_of_its_kind() -> None:
    weights = weights_of(4 * GIB)
    unknown = speed_of(weights, machine_of(gpu(device_class=None)))
    assert expected(unknown) == expected(speed_of(weights, machine_of(gpu())))
    shared = gpu(100, vendor="intel", kind="integrated", device_class=None, backend="vulkan")
    assert expected(speed_of(weights, machine_of(shared))) == pytest.approx(
        1 / (4 * GIB / 58e9), rel=0.1
    )

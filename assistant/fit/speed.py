"""How fast a model decodes and reads its prompt on a machine, as ranges.

A decoded token reads every active weight and the filled part of the cache once:

    seconds per token = (m * weight_bytes + cache_bytes) / (e * bandwidth) + c * blocks * o

`e` is the share of the published memory bandwidth that the device's class reaches, `c` the
time one block costs besides its bytes (kernel launches); `m` and `o` are 1 but for mixtures
of experts and gated delta attention. The constants are in `speed_constants`, the errors on
measured rows in docs/speed.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from assistant.fit.kv_cache import cache_layout
from assistant.fit.records import Placement, Speed, SpeedRange, WeightBytes
from assistant.fit.speed_constants import (
    CPU_DESKTOP,
    CPU_LAPTOP,
    CPU_MEASURED,
    CPU_RANGE,
    CPU_UNKNOWN,
    FITTED,
    GPU_RANGE,
    PARTIAL_RANGE,
    PROMPT_MOE,
    PROMPT_MOE_RANGE,
    PROMPT_PER_FP32,
    PROMPT_RANGE,
    TINY_BYTES,
    TINY_RANGE,
    SpeedConstants,
    efficiency_group,
)
from assistant.machine.records import Accelerator, Machine
from assistant.models.architecture import Architecture

TYPICAL_DEPTH: Final = 1024
"""Tokens in the context for which `expected` holds: a question and its answer."""

_DELTA_ARCHITECTURES: Final = ("qwen3next", "qwen35", "kimi-linear")
_F32_BYTES: Final = 4
_SMALLEST_PROMPT_MODEL: Final = 1_000_000_000
_LAPTOP_CPU: Final = r"\d(?:U|H|HK|HS|HX|P|Y|V|G\d)\b|raspberry pi|\bN\d{2,3}\b|celeron|atom|mobile"


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """What one decode step does on one device: bytes read, and blocks run."""

    weight_bytes: float
    cache_bytes: float
    blocks: float
    is_moe: bool = False
    is_delta: bool = False


def gpu_step_seconds(
    step: DecodeStep, accelerator: Accelerator, *, constants: SpeedConstants = FITTED
) -> float | None:
    """Return the seconds of one decode step on a GPU; None when its bandwidth is unknown."""
    if not accelerator.bandwidth_gb_per_s:
        return None
    reached = constants.efficiency[efficiency_group(accelerator)]
    bandwidth = reached * accelerator.bandwidth_gb_per_s * 1e9
    metal = accelerator.backend == "metal" or accelerator.vendor == "apple"
    per_block = constants.block_seconds_metal if metal else constants.block_seconds
    weights = step.weight_bytes
    if step.is_moe:
        per_block *= constants.moe_blocks
    if step.is_delta:
        per_block *= constants.delta_blocks
        weights *= constants.delta_weights
    return (weights + step.cache_bytes) / bandwidth + per_block * step.blocks


def cpu_bandwidth(machine: Machine) -> tuple[float | None, str]:
    """Return the bytes per second that decoding reads from RAM, and where that is from.

    A measured bandwidth beats the table. Of ARM processors only the Raspberry Pi 5 is known:
    for the others None without a measurement, and the reason.
    """
    ram, cpu = machine.ram, machine.cpu
    if not ram.bandwidth_gb_per_s:
        return None, "the RAM bandwidth is unknown (assistant hardware --measure)"
    stated = f"RAM {ram.bandwidth_gb_per_s:.0f} GB/s"
    name = cpu.name or ""
    if ram.bandwidth_source == "measured":
        share = CPU_MEASURED
        stated += " measured"
    elif _is_arm(machine) and "raspberry pi 5" not in name.lower():
        return None, "how much of its RAM bandwidth this ARM processor reaches is unknown"
    elif re.search(_LAPTOP_CPU, name, re.IGNORECASE):
        share = CPU_LAPTOP
    else:
        share = CPU_DESKTOP if name else CPU_UNKNOWN
    return share * ram.bandwidth_gb_per_s * 1e9, stated


def prompt_tokens_per_second(
    accelerator: Accelerator, *, parameters_active: int, is_moe: bool = False
) -> float | None:
    """Return how many prompt tokens a GPU reads per second, a first look.

    Two operations per active parameter and token, at the share of the FP32 peak that the
    class reaches. None where the peak or the share is unknown, and for dense models under a
    billion parameters, which do not keep a GPU busy.
    """
    if parameters_active < _SMALLEST_PROMPT_MODEL and not is_moe:
        return None
    device_class = accelerator.device_class or ""
    if device_class == "nv-turing" and "GTX" in accelerator.name:
        device_class = "nv-pascal"  # the GTX 16 series has no tensor cores
    share = PROMPT_PER_FP32.get(device_class)
    if share is None or not accelerator.fp32_tflops:
        return None
    dense = share * accelerator.fp32_tflops * 1e12 / (2 * parameters_active)
    return dense * PROMPT_MOE if is_moe else dense


def estimate_speed(
    arch: Architecture,
    weights: WeightBytes,
    placement: Placement,
    machine: Machine,
    *,
    num_ctx: int,
    kv_cache_bytes: int,
    gpu_weight_bytes: int,
    host_weight_bytes: int,
    parameters_active: int | None,
    num_parallel: int = 1,
) -> Speed:
    """Return decode and prompt speed in tokens per second, each None where unknown.

    `kv_cache_bytes` is the whole cache of `num_parallel` sequences of `num_ctx` tokens;
    `gpu_weight_bytes` and `host_weight_bytes` are the weights on either side, the input
    embedding (of which a step reads one row) counted on the host. The speed is that of one
    request alone: `expected` with TYPICAL_DEPTH tokens in its context, `low` also with a full
    one. The formula is the module's.
    """
    if placement.verdict == "none":
        return Speed(None, None, "it does not fit this machine")
    if arch.is_embedding:
        return Speed(None, None, "an embedding model writes no text")
    reads = _weights_read(
        arch,
        weights,
        placement,
        gpu_weight_bytes=gpu_weight_bytes,
        host_weight_bytes=host_weight_bytes,
    )
    depth = min(num_ctx, TYPICAL_DEPTH)
    one = kv_cache_bytes / max(1, num_parallel)
    typical, full = (
        _step_seconds(arch, placement, machine, reads, _cache_read(arch, one, num_ctx, filled))
        for filled in (depth, num_ctx)
    )
    if isinstance(typical, str):
        return Speed(None, None, typical)
    decode = _range(1 / typical, _spread(placement, sum(reads)))
    if not isinstance(full, str):
        decode = SpeedRange(min(decode.low, 1 / full), decode.expected, decode.high)
    prompt = _prompt_speed(arch, placement, machine, parameters_active)
    return Speed(decode, prompt, _basis(placement, machine, depth))


def _is_arm(machine: Machine) -> bool:
    architecture = (machine.cpu.architecture or "").lower()
    return architecture in {"arm64", "aarch64", "arm"} or machine.cpu.device_class == "cpu-arm"


def _weights_read(
    arch: Architecture,
    weights: WeightBytes,
    placement: Placement,
    *,
    gpu_weight_bytes: int,
    host_weight_bytes: int,
) -> tuple[float, float]:
    """Return the weight bytes that one step reads on the GPU and on the host."""
    blocks = len(weights.block_bytes)
    if placement.verdict == "cpu":
        output = weights.token_embedding_bytes if weights.tied else 0
        gpu, host = 0.0, float(sum(weights.block_bytes) + weights.output_bytes + output)
        host_layers = blocks
    else:
        gpu = float(gpu_weight_bytes)
        host = max(0.0, float(host_weight_bytes - weights.input_bytes))
        whole = max(0, placement.layers - placement.gpu_layers)
        host_layers = min(blocks, whole + placement.expert_layers_on_host)
    if arch.expert_count and arch.expert_used_count:
        idle = 1.0 - arch.expert_used_count / arch.expert_count
        host -= idle * sum(weights.block_expert_bytes[:host_layers])
        gpu -= idle * sum(weights.block_expert_bytes[host_layers:])
    return max(0.0, gpu), max(0.0, host)


def _cache_read(arch: Architecture, cache_bytes: float, num_ctx: int, depth: int) -> float:
    """Return the bytes that a step reads of a cache with `depth` of `num_ctx` tokens filled.

    A block with a sliding window reads its window at most; a recurrent state is read and
    written whole (for gated delta attention the fitted constants have that in them).
    """
    layout = cache_layout(arch)
    filled = whole = state = 0
    for index in layout.block_kinds:
        kind = layout.kinds[index]
        row = kind.k_elements + kind.v_elements
        limit = layout.window if kind.windowed else num_ctx
        filled += row * min(depth, limit)
        whole += row * min(num_ctx, limit)
        state += kind.state_elements
    read = cache_bytes * filled / whole if whole else 0.0
    return read if _is_delta(arch) else read + 2 * _F32_BYTES * state


def _is_delta(arch: Architecture) -> bool:
    return arch.name.startswith(_DELTA_ARCHITECTURES)


def _step_seconds(
    arch: Architecture,
    placement: Placement,
    machine: Machine,
    reads: tuple[float, float],
    cache: float,
) -> float | str:
    """Return the seconds of one decode step, or the reason why they are unknown."""
    gpu_weights, host_weights = reads
    on_gpu = 0.0
    if placement.verdict != "cpu":
        on_gpu = min(1.0, placement.gpu_layers / max(1, placement.layers))
    seconds = 0.0
    if gpu_weights > 0 or on_gpu > 0:
        step = DecodeStep(
            weight_bytes=gpu_weights,
            cache_bytes=cache * on_gpu,
            blocks=arch.block_count * on_gpu,
            is_moe=arch.is_moe,
            is_delta=_is_delta(arch),
        )
        accelerator = _slowest(machine, placement)
        part = gpu_step_seconds(step, accelerator) if accelerator else None
        if part is None:
            return "the memory bandwidth of this GPU is unknown"
        seconds += part
    host_bytes = host_weights + cache * (1.0 - on_gpu)
    if placement.verdict != "gpu" and host_bytes > 0:
        bandwidth, reason = cpu_bandwidth(machine)
        if bandwidth is None:
            return reason
        seconds += host_bytes / bandwidth
    return seconds or "the weights of this model are unknown"


def _slowest(machine: Machine, placement: Placement) -> Accelerator | None:
    """Return the GPU with the least bandwidth among those that carry layers.

    Layers run one card after the other, so bandwidths do not add. None when any is unknown.
    """
    names = {share.name for share in placement.devices if share.layers}
    used = [a for a in machine.usable_accelerators if a.name in names]
    used = used or list(machine.usable_accelerators)
    if not used or any(not a.bandwidth_gb_per_s for a in used):
        return None
    return min(used, key=lambda a: a.bandwidth_gb_per_s or 0.0)


def _spread(placement: Placement, weight_bytes: float) -> tuple[float, float]:
    if placement.verdict == "partial":
        return PARTIAL_RANGE
    if placement.verdict == "cpu":
        return CPU_RANGE
    return TINY_RANGE if weight_bytes < TINY_BYTES else GPU_RANGE


def _range(expected: float, spread: tuple[float, float]) -> SpeedRange:
    return SpeedRange(expected * spread[0], expected, expected * spread[1])


def _prompt_speed(
    arch: Architecture, placement: Placement, machine: Machine, parameters_active: int | None
) -> SpeedRange | None:
    """Return the prompt speed of a model that is wholly on the GPU; else it is not known."""
    accelerator = _slowest(machine, placement)
    if placement.verdict != "gpu" or accelerator is None or not parameters_active:
        return None
    expected = prompt_tokens_per_second(
        accelerator, parameters_active=parameters_active, is_moe=arch.is_moe
    )
    if expected is None:
        return None
    return _range(expected, PROMPT_MOE_RANGE if arch.is_moe else PROMPT_RANGE)


def _basis(placement: Placement, machine: Machine, depth: int) -> str:
    accelerator = _slowest(machine, placement)
    parts = []
    if placement.verdict in ("gpu", "partial") and accelerator is not None:
        parts.append(f"{accelerator.name} {accelerator.bandwidth_gb_per_s:.0f} GB/s")
    if placement.verdict in ("cpu", "partial"):
        parts.append(cpu_bandwidth(machine)[1])
    text = f"estimated from memory bandwidth ({', '.join(parts)}) with {depth:,} tokens in context"
    if placement.verdict == "partial":
        text += "; split between GPU and CPU, so an order of magnitude only"
    elif placement.verdict == "cpu":
        text += "; on the CPU, so a wide range"
    return text

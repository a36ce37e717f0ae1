"""How fast a model decodes and reads its prompt on a machine, as ranges.

A decoded token reads every active weight and the filled part of the cache once:

    seconds per token = (m * weight_bytes + cache_bytes) / (e * bandwidth) + c * block_count * o

`e` is the share of the published memory bandwidth that the class of device reaches, `c` the
time one block costs besides its bytes (kernel launches), `m` and `o` what a mixture of
experts adds to either. The form and constants are fitted on 488 published measurements;
docs/speed.md has the error table that benchmarks/speed.py prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from assistant.fit.records import Placement, Speed, SpeedRange, WeightBytes
from assistant.machine.records import Accelerator, Machine
from assistant.models.architecture import Architecture
from assistant.units import GIB

TYPICAL_DEPTH: Final = 1024
"""Tokens in the cache for which `expected` holds: a question and its answer."""

_EFFICIENCY: Final[dict[str, float]] = {
    "nv-blackwell": 0.89,
    "nv-ada": 0.89,
    "nv-ampere": 0.89,
    "nv-turing": 0.89,
    "nv-hbm": 0.69,
    "nv-pascal": 0.57,
    "nv-old": 0.42,
    "gb10": 0.82,
    "jetson": 0.58,
    "amd-rdna4": 0.89,
    "amd-rdna3": 0.89,
    "amd-rdna2": 0.89,
    "amd-rdna1": 0.89,
    "amd-gcn": 0.45,
    "amd-cdna": 0.45,
    "apu-strixhalo": 0.82,
    "intel-arc": 0.89,
    "igpu-amd": 0.58,
    "igpu-intel": 0.58,
    "apple": 0.82,
}
_SMALL_PASCAL_GB_PER_S: Final = 130.0
_SMALL_PASCAL: Final = 0.42
_BLOCK_SECONDS: Final = 65e-6
_BLOCK_SECONDS_METAL: Final = 99e-6
_MOE_WEIGHTS: Final = 1.23
_MOE_BLOCKS: Final = 1.66

_GPU_RANGE: Final = (0.65, 1.23)
_TINY_RANGE: Final = (0.50, 1.30)
_TINY_BYTES: Final = 1.3 * GIB
_CPU_RANGE: Final = (0.6, 1.3)
_PARTIAL_RANGE: Final = (0.4, 1.6)
_PROMPT_RANGE: Final = (0.6, 1.5)

_CPU_DESKTOP: Final = 0.75
_CPU_LAPTOP: Final = 0.55
_CPU_UNKNOWN: Final = 0.65
_CPU_MEASURED: Final = 0.9
_LAPTOP_CPU: Final = (
    r"\d(?:U|H|HK|HS|HX|P|Y|V|G\d)\b|ryzen ai|raspberry pi|\bN\d{2,3}\b|celeron|atom|mobile"
)

_PROMPT_PER_FP32: Final[dict[str, float]] = {
    "nv-blackwell": 2.0,
    "nv-ada": 2.0,
    "nv-ampere": 2.0,
    "nv-turing": 2.0,
    "nv-hbm": 3.0,
    "nv-pascal": 1.3,
    "gb10": 1.4,
    "amd-rdna4": 1.4,
    "amd-rdna3": 0.75,
    "amd-rdna2": 1.2,
}


@dataclass(frozen=True, slots=True)
class StepBytes:
    """Bytes that one decode step reads on one side: active weights, and filled cache."""

    weights: float
    cache: float


def device_efficiency(accelerator: Accelerator) -> float:
    """Return the share of its published bandwidth that decoding reaches on this device.

    A device of an unknown class takes the figure of its kind.
    """
    name = accelerator.device_class or ""
    if name == "nv-pascal" and (accelerator.bandwidth_gb_per_s or 0.0) < _SMALL_PASCAL_GB_PER_S:
        return _SMALL_PASCAL
    if name in _EFFICIENCY:
        return _EFFICIENCY[name]
    if accelerator.vendor == "apple":
        return _EFFICIENCY["apple"]
    return _EFFICIENCY["igpu-amd" if accelerator.kind != "discrete" else "nv-turing"]


def gpu_decode_seconds(
    step: StepBytes, accelerator: Accelerator, *, blocks: float, is_moe: bool
) -> float | None:
    """Return the seconds that the GPU's part of one decode step takes.

    None when the bandwidth of the device is unknown. `blocks` is how many run on it.
    """
    bandwidth = accelerator.bandwidth_gb_per_s
    if not bandwidth:
        return None
    reached = device_efficiency(accelerator) * bandwidth * 1e9
    weights = step.weights * (_MOE_WEIGHTS if is_moe else 1.0)
    metal = accelerator.backend == "metal" or accelerator.vendor == "apple"
    per_block = _BLOCK_SECONDS_METAL if metal else _BLOCK_SECONDS
    overhead = per_block * blocks * (_MOE_BLOCKS if is_moe else 1.0)
    return (weights + step.cache) / reached + overhead


def cpu_bandwidth(machine: Machine) -> tuple[float | None, str]:
    """Return the bytes per second that decoding reads from RAM, and a word on where it is from.

    A measured bandwidth beats the table; for ARM boards other than the Raspberry Pi 5 the
    share that is reached is not known, so without a measurement there is no figure.
    """
    ram, cpu = machine.ram, machine.cpu
    if not ram.bandwidth_gb_per_s:
        return None, "the RAM bandwidth of this machine is unknown"
    stated = f"RAM {ram.bandwidth_gb_per_s:.0f} GB/s"
    if ram.bandwidth_source == "measured":
        return _CPU_MEASURED * ram.bandwidth_gb_per_s * 1e9, f"{stated} measured"
    name = cpu.name or ""
    is_arm = (cpu.architecture or "").lower() in {"arm64", "aarch64", "arm"} or (
        cpu.device_class == "cpu-arm"
    )
    if is_arm and "raspberry pi 5" not in name.lower():
        return None, "how much RAM bandwidth this ARM processor reaches is unknown"
    if re.search(_LAPTOP_CPU, name, re.IGNORECASE):
        share = _CPU_LAPTOP
    else:
        share = _CPU_DESKTOP if name else _CPU_UNKNOWN
    return share * ram.bandwidth_gb_per_s * 1e9, stated


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
) -> Speed:
    """Return decode and prompt speed in tokens per second, each None where unknown.

    `kv_cache_bytes` is the whole cache at `num_ctx`; `gpu_weight_bytes` and
    `host_weight_bytes` are the weights on either side, the input embedding (of which a step
    reads one row) counted on the host. `expected` holds at TYPICAL_DEPTH tokens of filled
    context; `low` also covers a full one. The formula is the module's.
    """
    if placement.verdict == "none":
        return Speed(None, None, "it does not fit this machine")
    gpu, host = _weights_read(
        arch,
        weights,
        placement,
        gpu_weight_bytes=gpu_weight_bytes,
        host_weight_bytes=host_weight_bytes,
    )
    depth = min(num_ctx, TYPICAL_DEPTH)
    filled = kv_cache_bytes * depth / num_ctx if num_ctx else 0.0
    typical = _step_seconds(arch, placement, machine, gpu, host, filled)
    full = _step_seconds(arch, placement, machine, gpu, host, float(kv_cache_bytes))
    if isinstance(typical, str) or isinstance(full, str):
        return Speed(None, None, typical if isinstance(typical, str) else str(full))
    decode = _range(1 / typical, _spread(placement, gpu + host))
    decode = SpeedRange(min(decode.low, 1 / full), decode.expected, decode.high)
    prompt = _prompt_speed(arch, placement, machine, parameters_active)
    return Speed(decode, prompt, _basis(placement, machine, depth))


def _weights_read(
    arch: Architecture,
    weights: WeightBytes,
    placement: Placement,
    *,
    gpu_weight_bytes: int,
    host_weight_bytes: int,
) -> tuple[float, float]:
    """Return the weight bytes that one step reads on the GPU and on the host."""
    on_gpu = placement.verdict in ("gpu", "partial")
    gpu = float(gpu_weight_bytes if on_gpu else 0)
    input_read = 0 if on_gpu or not weights.tied else weights.token_embedding_bytes
    host = max(0.0, float(host_weight_bytes - weights.input_bytes)) + input_read
    if not on_gpu:
        host = float(sum(weights.block_bytes) + weights.output_bytes + input_read)
    if not arch.expert_count or not arch.expert_used_count:
        return gpu, host
    idle = 1.0 - arch.expert_used_count / arch.expert_count
    host_layers = 0 if on_gpu else len(weights.block_bytes)
    if placement.verdict == "partial":
        whole = max(0, placement.layers - placement.gpu_layers)
        host_layers = min(len(weights.block_bytes), whole + placement.expert_layers_on_host)
    host_experts = sum(weights.block_expert_bytes[:host_layers])
    gpu_experts = sum(weights.block_expert_bytes[host_layers:])
    return max(0.0, gpu - idle * gpu_experts), max(0.0, host - idle * host_experts)


def _step_seconds(
    arch: Architecture,
    placement: Placement,
    machine: Machine,
    gpu_weights: float,
    host_weights: float,
    cache: float,
) -> float | str:
    """Return the seconds of one decode step, or the reason why they are unknown."""
    blocks = float(arch.block_count)
    gpu_share = min(1.0, placement.gpu_layers / max(1, placement.layers))
    if placement.verdict == "cpu":
        gpu_share = 0.0
    seconds = 0.0
    if gpu_share > 0:
        accelerator = _slowest(machine)
        step = StepBytes(gpu_weights, cache * gpu_share)
        part = accelerator and gpu_decode_seconds(
            step, accelerator, blocks=blocks * gpu_share, is_moe=arch.is_moe
        )
        if not part:
            return "the memory bandwidth of this GPU is unknown"
        seconds += part
    host_cache = cache * (1.0 - gpu_share)
    if placement.verdict != "gpu" and host_weights + host_cache > 0:
        bandwidth, reason = cpu_bandwidth(machine)
        if bandwidth is None:
            return reason
        seconds += (host_weights + host_cache) / bandwidth
    return seconds or "nothing is known to read"


def _slowest(machine: Machine) -> Accelerator | None:
    """Return the GPU with the least bandwidth: layers run one card after the other."""
    known = [a for a in machine.usable_accelerators if a.bandwidth_gb_per_s]
    return min(known, key=lambda a: a.bandwidth_gb_per_s or 0.0) if known else None


def _spread(placement: Placement, weight_bytes: float) -> tuple[float, float]:
    if placement.verdict == "partial":
        return _PARTIAL_RANGE
    if placement.verdict == "cpu":
        return _CPU_RANGE
    return _TINY_RANGE if weight_bytes < _TINY_BYTES else _GPU_RANGE


def _range(expected: float, spread: tuple[float, float]) -> SpeedRange:
    return SpeedRange(expected * spread[0], expected, expected * spread[1])


def _prompt_speed(
    arch: Architecture, placement: Placement, machine: Machine, parameters_active: int | None
) -> SpeedRange | None:
    """Return the prompt speed of a model that is wholly on one modern GPU; else None."""
    accelerator = _slowest(machine)
    if placement.verdict != "gpu" or accelerator is None or not parameters_active or arch.is_moe:
        return None
    share = _PROMPT_PER_FP32.get(accelerator.device_class or "")
    if share is None or not accelerator.fp32_tflops:
        return None
    expected = share * accelerator.fp32_tflops * 1e12 / (2 * parameters_active)
    return _range(expected, _PROMPT_RANGE)


def _basis(placement: Placement, machine: Machine, depth: int) -> str:
    accelerator = _slowest(machine)
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

"""The fitted constants of the decode-speed model, per class of device.

Fitted by `benchmarks/speed.py FILE --fit-dev` on published measurements (llama-bench tables
and engines' own counters on some 60 devices), rounded; docs/speed.md has the errors. Classes
that behave alike share one figure, so that a figure rests on several devices where it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from assistant.machine.records import Accelerator
from assistant.units import GIB

_GROUP_OF_CLASS: Final = {
    "nv-blackwell": "nvidia",
    "nv-ada": "nvidia",
    "nv-ampere": "nvidia",
    "nv-turing": "nvidia",
    "nv-hbm": "nvidia-hbm",
    "nv-pascal": "pascal",
    "nv-old": "maxwell",
    "gb10": "unified",
    "apu-strixhalo": "unified",
    "jetson": "integrated",
    "igpu-amd": "integrated",
    "igpu-intel": "integrated",
    "amd-rdna4": "nvidia",
    "amd-rdna3": "rdna",
    "amd-rdna2": "rdna",
    "amd-rdna1": "rdna",
    "amd-gcn": "amd-hbm",
    "amd-cdna": "amd-hbm",
    "intel-arc": "nvidia",
    "apple-m1": "apple",
    "apple-m2": "apple",
    "apple-m3": "apple",
    "apple-m4": "apple-m4",
    "apple-m5": "apple-m4",
}
_SMALL_PASCAL_GB_PER_S: Final = 130.0


@dataclass(frozen=True, slots=True)
class SpeedConstants:
    """`efficiency`: share of the published bandwidth reached, per group of device classes.

    `block_seconds` is what one block costs besides its bytes, `block_seconds_metal` the same
    with Metal; `moe_blocks` multiplies it for a mixture of experts. A block with gated delta
    attention (qwen3next, qwen3.5) costs `delta_blocks` times that, and its model reads as if
    it had `delta_weights` times its bytes.
    """

    efficiency: Mapping[str, float]
    block_seconds: float
    block_seconds_metal: float
    moe_blocks: float
    delta_weights: float
    delta_blocks: float


FITTED: Final = SpeedConstants(
    efficiency=MappingProxyType(
        {
            "nvidia": 0.90,
            "nvidia-hbm": 0.69,
            "pascal": 0.57,
            "pascal-small": 0.40,
            "maxwell": 0.42,
            "unified": 0.83,
            "integrated": 0.58,
            "rdna": 0.80,
            "amd-hbm": 0.45,
            "apple": 0.80,
            "apple-m4": 0.85,
        }
    ),
    block_seconds=66e-6,
    block_seconds_metal=100e-6,
    moe_blocks=1.56,
    delta_weights=1.12,
    delta_blocks=1.30,
)

# The share of FP32 peak that reading a prompt reaches (two operations per active parameter);
# above 1 where tensor cores or packed half precision do the work. From the prompt speeds of
# the same llama-bench tables. PROMPT_MOE is what a mixture of experts keeps of it.
PROMPT_PER_FP32: Final[Mapping[str, float]] = MappingProxyType(
    {
        "nv-blackwell": 2.0,
        "nv-ada": 2.0,
        "nv-ampere": 2.0,
        "nv-turing": 2.0,
        "nv-hbm": 3.0,
        "nv-pascal": 1.3,
        "gb10": 1.4,
        "amd-rdna4": 1.2,
        "amd-rdna3": 0.75,
        "amd-rdna2": 1.2,
        "amd-gcn": 1.1,
        "amd-cdna": 1.5,
        "apple-m1": 0.68,
        "apple-m2": 0.68,
        "apple-m3": 0.68,
        "apple-m4": 0.68,
    }
)
PROMPT_MOE: Final = 0.23

GPU_RANGE: Final = (0.65, 1.23)
TINY_RANGE: Final = (0.55, 1.25)
TINY_BYTES: Final = round(1.3 * GIB)
CPU_RANGE: Final = (0.6, 1.3)
PARTIAL_RANGE: Final = (0.4, 1.6)
PROMPT_RANGE: Final = (0.6, 1.4)
PROMPT_MOE_RANGE: Final = (0.5, 1.7)

CPU_DESKTOP: Final = 0.75
CPU_LAPTOP: Final = 0.55
CPU_UNKNOWN: Final = 0.65
CPU_MEASURED: Final = 0.90


def efficiency_group(accelerator: Accelerator) -> str:
    """Return the group of a device; one of an unknown class goes with its kind.

    Small Pascal cards (GTX 1050 and 1050 Ti) are a group of their own: they reach less.
    """
    group = _GROUP_OF_CLASS.get(accelerator.device_class or "")
    if group == "pascal" and (accelerator.bandwidth_gb_per_s or 0.0) < _SMALL_PASCAL_GB_PER_S:
        return "pascal-small"
    if group is not None:
        return group
    if accelerator.vendor == "apple":
        return "apple"
    return "nvidia" if accelerator.kind == "discrete" else "integrated"

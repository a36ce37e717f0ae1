"""The 13 cases that estimators get wrong somewhere, with the truth written out.

Truth is VRAM without the driver's own context, one large GPU, Ollama's own batch. Where
llama.cpp's planner was asked (llama3.1:8b, llama3.3:70b, gemma3:12b, qwen3:30b-a3b,
gpt-oss:20b) the MiB are the planner's; the others are sums of shapes, block sizes and the
published formulas for cache and compute buffer, independent of the package's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, RunOptions
from assistant.machine.records import Accelerator, Machine, Ram
from assistant.models.catalog import load_catalog
from assistant.units import GIB, MIB

Q4_0, Q6_K, F32 = 18 / 32, 210 / 256, 4.0


@dataclass(frozen=True, slots=True)
class Case:
    """One model and context; `truth_mib` is the VRAM, `kv_mib` the cache in it."""

    model: str
    num_ctx: int
    truth_mib: float
    kv_mib: float
    trap: str


def _compute(batch: int, peak: int, *cells: int) -> float:
    """MiB of a compute buffer: inputs and masks, and `peak` F32 elements, per token."""
    inputs = 4 + sum(2 * count + 16 for count in cells)
    return batch * (inputs + 4 * peak) / MIB


def _qwen25_14b() -> tuple[float, float]:
    weights = 8148.38  # printed by llama.cpp for this file, all 49 layers on the GPU
    kv = 48 * 2 * 8 * 128 * 2 * 8192 / MIB
    return weights + kv + _compute(1024, 2 * 5120 + 5120 + 3 * 13824, 8192), kv


def _mixtral() -> tuple[float, float]:
    weights = 25145.55  # printed by llama.cpp for this file, all 33 layers on the GPU
    kv = 32 * 2 * 8 * 128 * 2 * 8192 / MIB
    return weights + kv + _compute(1024, 2 * 4096 + 4096 + 3 * 2 * 14336, 8192), kv


def _gemma2_9b() -> tuple[float, float]:
    block = 3584 * (4096 + 2048 + 2048 + 4096 + 3 * 14336)
    norms = (42 * 4 + 1) * 3584 * F32
    weights = (42 * block * Q4_0 + norms + 256_000 * 3584 * Q6_K) / MIB
    row = 2 * 8 * 256 * 2
    window = 4096 + 1024
    kv = 21 * row * (8192 + window) / MIB
    return weights + kv + _compute(1024, 2 * 3584 + 4096 + 3 * 14336, 8192, window), kv


def _deepseek_v3(*, mla: bool) -> tuple[float, float]:
    weights = 385_315.4  # from the tensor list, checked against the planner
    heads, latent, rope, key = 128, 512, 64, 192
    row = latent + rope if mla else heads * (key + 128)
    kv = 61 * row * 2 * 8192 / MIB
    attention = heads * (latent + (latent + rope) + key) + 4 * 7168 + 2 * latent
    experts = 2 * 7168 + heads * 128 + 8 * (3 * 2048 + 7168)
    return weights + kv + _compute(1024, attention if mla else experts, 8192), kv


def _phi3_14b() -> tuple[float, float]:
    block = 5120 * (5120 + 2 * 1280) + 5120 * 5120 + 5120 * 2 * 17920 + 17920 * 5120
    weights = (40 * block * Q4_0 + 81 * 5120 * F32 + 32_064 * 5120 * Q6_K) / MIB
    kv = 40 * 2 * 10 * 128 * 2 * 8192 / MIB
    return weights + kv + _compute(1024, 2 * 5120 + 5120 + 3 * 17920, 8192), kv


GEMMA3_PROJECTOR_MIB = 850_527_456 / MIB

CASES: Sequence[Case] = (
    Case("llama3.1:8b", 8192, 5659.5, 1024.0, "grouped heads: a quarter of a full cache"),
    Case("llama3.1:8b", 32768, 8779.5, 4096.0, "no logits for every token any more"),
    Case("llama3.1:8b", 131072, 21731.5, 16384.0, "batch 2048 from 32k of context on"),
    Case("qwen2.5:14b", 8192, *_qwen25_14b(), "grouped heads"),
    Case("mixtral:8x7b", 8192, *_mixtral(), "all experts are in memory, not the active two"),
    Case("llama3.3:70b", 8192, 42987.5, 2560.0, "grouped heads: an eighth of a full cache"),
    Case("gemma2:9b", 8192, *_gemma2_9b(), "half the layers keep a window; tied output copied"),
    Case("gemma2:9b", 32768, *_gemma2_9b(), "trained for 8k: Ollama cuts it to that"),
    Case(
        "gemma3:12b",
        32768,
        9938.2 + GEMMA3_PROJECTOR_MIB,
        2688.0,
        "five of six layers keep a window; image projector beside the text model",
    ),
    Case("qwen3:30b-a3b", 32768, 20828.4, 3072.0, "key length 128, not embedding / heads"),
    Case("gpt-oss:20b", 32768, 13074.7, 798.0, "every other layer keeps 128 tokens; MXFP4"),
    Case(
        "deepseek-v3:671b",
        8192,
        *_deepseek_v3(mla=False),
        "38 GiB of cache in a file without the MLA keys, 0.54 GiB with them",
    ),
    Case("phi3:14b", 8192, *_phi3_14b(), "fused tensors; the window in the file is not used"),
)


def ample_machine() -> Machine:
    """Return a machine with one GPU that everything fits on."""
    gpu = Accelerator(
        "large GPU", "nvidia", "discrete", memory_total_bytes=1024 * GIB, backend="cuda"
    )
    return Machine(os="linux", ram=Ram(total_bytes=1024 * GIB), accelerators=(gpu,))


def estimate_case(case: Case) -> FitEstimate:
    """Return the estimate for a case, from the catalog alone."""
    facts = facts_from_card(*load_catalog().find(case.model))
    options = RunOptions(num_ctx=case.num_ctx)
    return estimate_fit(facts, ample_machine(), options, with_limits=False, with_speed=False)


def vram_mib(estimate: FitEstimate) -> float:
    """Return the estimated VRAM in MiB, without the driver's own context."""
    return (estimate.gpu.total_bytes - estimate.gpu.overhead_bytes) / MIB


def case_rows() -> list[tuple[str, ...]]:
    """Return one row of text for each case."""
    rows: list[tuple[str, ...]] = []
    for case in CASES:
        estimate = estimate_case(case)
        gpu, total = estimate.gpu, vram_mib(estimate)
        rows.append(
            (
                case.model,
                f"{case.num_ctx:,}",
                f"{gpu.weights_bytes / MIB:,.1f}",
                f"{gpu.kv_cache_bytes / MIB:,.1f}",
                f"{(gpu.compute_buffer_bytes + gpu.projector_bytes) / MIB:,.1f}",
                f"{total:,.1f}",
                f"{case.truth_mib:,.1f}",
                f"{100 * (total / case.truth_mib - 1):+.2f} %",
                case.trap,
            )
        )
    return rows

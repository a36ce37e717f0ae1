"""Score the memory estimate on what real servers printed while they loaded a model.

The estimate is for Ollama 0.33 and its llama.cpp b10488. Older engines differ in ways that
their logs show, and that an `Engine` states: logits for every token of a batch, cells padded to
32, one cache for all sequences, a cache even for encoders, the output layer placed last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from assistant.fit.compute_buffer import compute_buffers
from assistant.fit.kv_cache import CELL_PADDING, CacheBytes, cache_bytes, cache_layout
from assistant.fit.records import WeightBytes
from assistant.fit.weights import tokenizer_bytes, weights_from_architecture
from assistant.models.architecture import Architecture
from assistant.models.quantization import parse_quantization
from assistant.units import GIB, MIB

Record = dict[str, Any]

LAST_OLD_OLLAMA = (0, 29)
FIRST_NEW_LLAMA_CPP = 9000
FIRST_OUTPUT_FIRST_LLAMA_CPP = 8000
OLD_PADDING = 32
HOST = ("CPU", "CUDA_Host", "ROCm_Host", "Vulkan_Host", "AMX", "BLAS")
TOLERANCES = {
    "KV cache": 0.0005,
    "recurrent state": 0.0005,
    "weights": 0.01,
    "compute buffer": 0.10,
    "total": 0.05,
}


UNPRINTED: dict[tuple[str, int], dict[str, Any]] = {
    ("deepseek2", 27): {"leading_dense_block_count": 1, "expert_shared_count": 2},
    ("deepseek2", 61): {"leading_dense_block_count": 3, "expert_shared_count": 1},
    ("gemma4", 42): {
        "key_length_swa": 256,
        "value_length_swa": 256,
        "sliding_window_pattern": tuple(block % 6 != 5 for block in range(42)),
        "shared_kv_layers": 18,
        "embedding_length_per_layer_input": 256,
    },
}
"""Published numbers of an architecture (DeepSeek-V2-Lite, DeepSeek-V3, Gemma 4 E4B) that the
records leave out, by architecture and blocks."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How an engine differs from the one that the estimate is for."""

    all_logits: bool
    output_first: bool
    padding: int = CELL_PADDING
    caches_encoders: bool = False


@dataclass(frozen=True, slots=True)
class LogCheck:
    """One figure of one log."""

    quantity: str
    estimate: int
    truth: int

    @property
    def error(self) -> float:
        """Relative error."""
        return self.estimate / self.truth - 1 if self.truth else float(self.estimate != 0)


@dataclass(frozen=True, slots=True)
class LogRow:
    """One record: its group (empty when not scored, `note` says why) and its figures."""

    label: str
    group: str
    checks: tuple[LogCheck, ...] = ()
    note: str = ""
    explanations: dict[str, str] = field(default_factory=dict)
    tolerances: dict[str, float] = field(default_factory=lambda: TOLERANCES)


def score_logs(records: list[Record]) -> list[LogRow]:
    """Return every record with the figures that can be compared."""
    return [_score(record) for record in records]


def _score(record: Record) -> LogRow:
    label = f"{record['id']} {record['model_name'] or record['model_file'] or ''}".strip()
    label += f" {record['quant'] or ''}, {record['engine']} {record['engine_version'] or ''}"
    arch = _architecture(record)
    if arch is None:
        return LogRow(label, "", note="the log names no architecture, so nothing can be computed")
    group = f"{record['engine']}, quality {record['quality']}"
    if record["engine"] == "ik_llama.cpp":
        group = "ik_llama.cpp (a fork)"
    elif record["quality"] == "C":
        group = "quality C (an older Ollama's own estimate)"
    checks, explanations = _checks(record, arch)
    if not checks:
        return LogRow(label, "", note="the log prints no buffer that could be compared")
    return LogRow(label, group, tuple(checks), explanations=explanations)


def _engine(record: Record) -> Engine:
    """Return the profile of the record's engine and version."""
    version = str(record["engine_version"] or "")
    numbers = [int(n) for n in re.findall(r"\d+", version)]
    padding = CELL_PADDING if record["flash_attn_resolved"] else OLD_PADDING
    if record["engine"] == "ollama":
        # None of the logs without a version prints the smaller buffers of the newer engine.
        old = tuple(numbers[:2]) <= LAST_OLD_OLLAMA if len(numbers) > 1 else True
        return Engine(old, not old, padding if old else CELL_PADDING, old)
    build = numbers[0] if numbers else 0
    return Engine(
        all_logits=build < FIRST_NEW_LLAMA_CPP,
        output_first=build >= FIRST_OUTPUT_FIRST_LLAMA_CPP or not build,
        padding=CELL_PADDING,
        caches_encoders=False,
    )


def _architecture(record: Record) -> Architecture | None:
    """Return the architecture that the log prints, or None when it prints too little."""
    needed = ("arch", "n_layer", "n_embd", "n_head", "n_head_kv", "n_ff")
    if any(record.get(key) is None for key in needed):
        return None
    blocks = record["n_layer"]

    def per_block(value: Any) -> tuple[int, ...]:
        numbers = _numbers(value)
        return numbers if len(numbers) == blocks else (max(numbers),) * blocks

    heads = per_block(record["n_head"])
    kv_heads = per_block(record["n_head_kv"])
    head = record["n_embd"] // max(heads) if max(heads) else 0
    arch = Architecture(
        name=record["arch"],
        block_count=blocks,
        embedding_length=record["n_embd"],
        vocab_size=record["n_vocab"] or 0,
        feed_forward_length=per_block(record["n_ff"]),
        head_count=heads,
        head_count_kv=kv_heads,
        key_length=max(_numbers(record["head_dim_k"] or head)),
        value_length=max(_numbers(record["head_dim_v"] or head)),
        context_length=record["n_ctx_train"],
        kv_lora_rank=record["n_lora_kv"] or None,
        rope_dimension_count=record["n_rot"],
        sliding_window=record["n_swa"],
        expert_count=record["n_expert"] or 0,
        expert_used_count=record["n_expert_used"] or 0,
        expert_feed_forward_length=record["n_ff_exp"] or None,
        ssm_conv_kernel=record["ssm_d_conv"] or None,
        ssm_inner_size=record["ssm_d_inner"] or None,
        ssm_state_size=record["ssm_d_state"] or None,
        ssm_group_count=record["ssm_n_group"] or 0,
        ssm_time_step_rank=record["ssm_dt_rank"] or None,
        shortconv_l_cache=3 if record["arch"] == "lfm2" else None,
        tied_embeddings=False,
        **UNPRINTED.get((record["arch"], blocks), {}),
    )
    return _with_latent_cache(record, arch)


def _numbers(value: Any) -> tuple[int, ...]:
    """Return the numbers of a value that a log prints once or as a list."""
    return tuple(int(number) for number in re.findall(r"\d+", str(value)))


def _with_latent_cache(record: Record, arch: Architecture) -> Architecture:
    """Return the architecture of a fork that computes the latent cache from any file."""
    if not record.get("mla_attn") or not arch.kv_lora_rank:
        return arch
    rope = arch.rope_dimension_count or 64
    return replace(
        arch,
        head_count_kv=(1,) * arch.block_count,
        key_length=arch.kv_lora_rank + rope,
        key_length_mla=arch.key_length,
        value_length_mla=arch.value_length,
    )


def _checks(record: Record, arch: Architecture) -> tuple[list[LogCheck], dict[str, str]]:
    engine = _engine(record)
    checks: list[LogCheck] = []
    explanations: dict[str, str] = {}
    cache = _cache(record, arch, engine)
    if cache is not None:
        _check_cache(record, cache, checks, explanations)
    weights = _weights(record, arch)
    gpu_weights = None
    if weights is not None and record["weights_mib"]:
        gpu_weights = _check_weights(record, weights, engine, checks, explanations)
    buffers = _check_compute(record, arch, weights, engine, checks, explanations)
    truth = record["gpu_total_mib_derived"]
    if record["layers_offloaded"] and truth and cache and gpu_weights and buffers is not None:
        share = _gpu_cache_share(record, arch, engine)
        total = gpu_weights + round(cache.total_bytes * share) + buffers
        checks.append(LogCheck("total", total, round(truth * MIB)))
        explanations["total"] = explanations.get("compute buffer", "")
        if abs(checks[-1].error) > TOLERANCES["total"] and _is_off(checks, "weights"):
            explanations["total"] = explanations["weights"]
    return checks, explanations


def _is_off(checks: list[LogCheck], quantity: str) -> bool:
    return any(c.quantity == quantity and abs(c.error) > TOLERANCES[quantity] for c in checks)


def _cache(record: Record, arch: Architecture, engine: Engine) -> CacheBytes | None:
    if record["n_ctx"] is None:
        return None
    kinds = (record["kv_type_k"] or "f16", record["kv_type_v"] or record["kv_type_k"] or "f16")
    if engine.caches_encoders and "bert" in arch.name:
        arch = replace(arch, name="llama")
    unified = record["kv_unified"] is not False
    parallel = record["n_parallel"] or 1
    if kinds[0] != kinds[1]:
        return None
    return cache_bytes(
        arch,
        num_ctx=record["n_ctx"] if unified else record["n_ctx"] // parallel,
        num_batch=record["n_ubatch"] or record["n_batch"] or 512,
        num_parallel=parallel,
        kv_cache_type=kinds[0],
        flash_attention=bool(record["flash_attn_resolved"]),
        unified=unified,
        padding=engine.padding,
    )


def _check_cache(
    record: Record, cache: CacheBytes, checks: list[LogCheck], explanations: dict[str, str]
) -> None:
    truth = record["kv_total_mib"]
    if truth:
        checks.append(LogCheck("KV cache", cache.kv_cache_bytes, round(truth * MIB)))
        explanations["KV cache"] = "the log's own architecture numbers do not give its cache"
    state = record["recurrent_total_mib"]
    if state and cache.recurrent_state_bytes:
        checks.append(LogCheck("recurrent state", cache.recurrent_state_bytes, round(state * MIB)))
        explanations["recurrent state"] = "rounded to 0.01 MiB in the log"


def _weights(record: Record, arch: Architecture) -> WeightBytes | None:
    quantization = parse_quantization((record["quant"] or "").replace("mostly ", ""))
    size = record["file_size_bytes"] or (record["file_size_gib"] or 0) * GIB
    if quantization is None or not arch.vocab_size or not size:
        return None
    candidates = [replace(arch, tied_embeddings=tied) for tied in (False, True)]
    rebuilt = [weights_from_architecture(one, quantization) for one in candidates]
    nearest = min((0, 1), key=lambda i: abs(rebuilt[i].file_bytes - size))
    return weights_from_architecture(
        candidates[nearest],
        quantization,
        file_bytes=round(size) + tokenizer_bytes(arch),
    )


def _check_weights(
    record: Record,
    weights: WeightBytes,
    engine: Engine,
    checks: list[LogCheck],
    explanations: dict[str, str],
) -> int | None:
    """Compare the weights on the GPU, or all of them on the CPU; return those on the GPU."""
    printed: dict[str, float] = record["weights_mib"]
    gpu = sum(size for name, size in printed.items() if not name.startswith(HOST))
    offloaded, total = record["layers_offloaded"], record["layers_total"]
    if not gpu:
        truth = sum(size for name, size in printed.items() if name != "CPU_REPACK")
        checks.append(LogCheck("weights", weights.file_bytes, round(truth * MIB)))
        explanations["weights"] = "memory maps and repacked copies are counted more than once"
        return None
    if offloaded is None or total is None or record["engine"] == "ik_llama.cpp":
        return None  # the fork's logs come with tensor overrides that they do not print
    blocks = weights.block_bytes
    with_output = offloaded >= total or (engine.output_first and offloaded > 0)
    repeating = min(offloaded - (1 if engine.output_first else 0), len(blocks))
    estimate = sum(blocks[len(blocks) - repeating :])
    if with_output:
        estimate += weights.output_bytes
        estimate += weights.token_embedding_bytes if weights.tied else 0
    checks.append(LogCheck("weights", estimate, round(gpu * MIB)))
    explanations["weights"] = "the file departs from the usual mixture of its quantization"
    if any(name.endswith("_Mapped") for name in printed if not name.startswith(HOST)):
        explanations["weights"] = "Metal maps one stretch of the file, inputs in it included"
    return estimate


def _check_compute(
    record: Record,
    arch: Architecture,
    weights: WeightBytes | None,
    engine: Engine,
    checks: list[LogCheck],
    explanations: dict[str, str],
) -> int | None:
    """Compare the compute buffers of all GPUs, or of the CPU; return those of the GPUs."""
    printed: dict[str, float] = record["compute_mib"] or {}
    if not printed or record["n_ctx"] is None:
        return None
    gpus = {name: size for name, size in printed.items() if not name.startswith(HOST)}
    batch = record["n_ubatch"] or record["n_batch"] or 512
    batch = min(batch, record["n_ctx"])
    unified = record["kv_unified"] is not False
    parallel = 1 if unified else record["n_parallel"] or 1
    buffers = compute_buffers(
        arch,
        num_ctx=record["n_ctx"] // parallel,
        num_batch=batch,
        num_parallel=parallel,
        flash_attention=bool(record["flash_attn_resolved"]),
        kv_cache_type=record["kv_type_k"] or "f16",
    )
    partial = (record["layers_offloaded"] or 0) < (record["layers_total"] or 0)
    logits = 0
    if engine.all_logits and "bert" not in arch.name:
        logits = 4 * batch * (arch.vocab_size + arch.embedding_length)
        if partial and gpus and weights is not None and not engine.output_first:
            logits += weights.output_bytes
    mask = 0
    if engine.all_logits and record["flash_attn_resolved"]:
        # The mask was made in F32 and cast to F16, so both live at once beside the embeddings.
        mask = batch * (6 * record["n_ctx"] + 8 * arch.embedding_length)
    one = max(buffers.gpu_bytes if gpus else buffers.cpu_bytes, logits, mask)
    if gpus and (record["pipeline_copies"] or 1) > 1:
        one += (record["pipeline_copies"] - 1) * buffers.input_bytes
    estimate = one * max(1, len(gpus))
    truth = sum(gpus.values()) if gpus else sum(printed.values())
    checks.append(LogCheck("compute buffer", estimate, round(truth * MIB)))
    explanations["compute buffer"] = _why_compute(record, partial=partial, gpus=bool(gpus))
    return estimate if gpus else None


def _why_compute(record: Record, *, partial: bool, gpus: bool) -> str:
    if record["engine"] == "ik_llama.cpp":
        return "a fork with attention and buffers of its own"
    if partial and gpus:
        return "a split graph: most likely weights left in RAM are copied to the GPU per batch"
    if record["kv_type_k"] not in (None, "f16"):
        return "a quantized cache: most likely CUDA's half-precision copies of K and V"
    return "an older engine's graph, which the formula for today's does not follow"


def _gpu_cache_share(record: Record, arch: Architecture, engine: Engine) -> float:
    """Return the share of the cache on the GPU, by the blocks that were offloaded."""
    offloaded, total = record["layers_offloaded"], record["layers_total"]
    if offloaded >= total:
        return 1.0
    blocks = offloaded - (1 if engine.output_first else 0)
    layout = cache_layout(arch)
    owners = [bool(layout.kinds[kind].k_elements) for kind in layout.block_kinds]
    return sum(owners[len(owners) - blocks :]) / max(1, sum(owners))

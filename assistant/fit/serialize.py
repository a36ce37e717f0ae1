"""`FitEstimate` as the plain values that `--json`, `recommend` and the agent's tools print.

The field names are the contract of `assistant fit --json`. Bytes stay integers, unknown is
None, speeds are rounded to four digits (they are estimates).
"""

from __future__ import annotations

from typing import Any

from assistant.fit.records import FitEstimate, MemoryParts, Speed, SpeedRange

_SPEED_DIGITS = 4


def estimate_to_dict(estimate: FitEstimate) -> dict[str, Any]:
    """Return one estimate as the object that stands in `data.estimates`."""
    return {
        "model": estimate.model,
        "resolved": estimate.resolved,
        "source": estimate.source,
        "exact": estimate.exact,
        "architecture": estimate.architecture,
        "parameters_total": estimate.parameters_total,
        "parameters_active": estimate.parameters_active,
        "quantization": estimate.quantization,
        "download_bytes": estimate.download_bytes,
        "num_ctx": estimate.num_ctx,
        "requested_num_ctx": estimate.requested_num_ctx,
        "num_parallel": estimate.num_parallel,
        "num_batch": estimate.num_batch,
        "kv_cache_type": estimate.kv_cache_type,
        "flash_attention": estimate.flash_attention,
        "num_gpu": estimate.num_gpu,
        "memory": {
            **_parts(estimate.memory),
            "gpu": _parts(estimate.gpu),
            "host": _parts(estimate.host),
        },
        "placement": _placement(estimate),
        "speed": _speed(estimate.speed),
        "limits": {
            "max_num_ctx_on_gpu": estimate.limits.max_num_ctx_on_gpu,
            "best_quantization_on_gpu": estimate.limits.best_quantization_on_gpu,
            "trained_num_ctx": estimate.limits.trained_num_ctx,
        },
        "pullable": estimate.pullable,
        "missing_bytes": estimate.missing_bytes,
        "remedies": list(estimate.remedies),
        "notes": list(estimate.notes),
        "assumptions": list(estimate.assumptions),
    }


def _parts(parts: MemoryParts) -> dict[str, int]:
    return {
        "weights_bytes": parts.weights_bytes,
        "kv_cache_bytes": parts.kv_cache_bytes,
        "recurrent_state_bytes": parts.recurrent_state_bytes,
        "compute_buffer_bytes": parts.compute_buffer_bytes,
        "projector_bytes": parts.projector_bytes,
        "overhead_bytes": parts.overhead_bytes,
        "total_bytes": parts.total_bytes,
    }


def _placement(estimate: FitEstimate) -> dict[str, Any]:
    placement = estimate.placement
    return {
        "verdict": placement.verdict,
        "gpu_layers": placement.gpu_layers,
        "layers": placement.layers,
        "expert_layers_on_host": placement.expert_layers_on_host,
        "vram_bytes": placement.vram_bytes,
        "ram_bytes": placement.ram_bytes,
        "devices": [
            {"name": share.name, "bytes": share.bytes, "layers": share.layers}
            for share in placement.devices
        ],
    }


def _speed(speed: Speed) -> dict[str, Any]:
    return {
        "decode_tokens_per_s": _range(speed.decode),
        "prompt_tokens_per_s": _range(speed.prompt),
        "basis": speed.basis,
    }


def _range(speed: SpeedRange | None) -> dict[str, float] | None:
    if speed is None:
        return None
    return {
        "low": _rounded(speed.low),
        "expected": _rounded(speed.expected),
        "high": _rounded(speed.high),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{_SPEED_DIGITS}g}")

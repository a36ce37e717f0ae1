"""Recommendations, sets, choices and comparisons as the plain values that `--json` prints."""

from __future__ import annotations

from typing import Any

from assistant.fit.serialize import estimate_to_dict
from assistant.machine.serialize import machine_to_dict
from assistant.recommend.records import (
    ComparedModel,
    Comparison,
    Excluded,
    Pick,
    QuantizationChoice,
    QuantizationOption,
    Recommendation,
    RecommendedSet,
)


def recommendation_to_dict(recommendation: Recommendation) -> dict[str, Any]:
    """Return the `data` of `assistant recommend --role ROLE --json`."""
    return {
        "machine": machine_to_dict(recommendation.machine),
        "role": recommendation.role,
        "picks": [pick_to_dict(pick) for pick in recommendation.picks],
        "excluded": [_excluded(e) for e in recommendation.excluded],
        "as_of": recommendation.as_of,
        "notes": list(recommendation.notes),
        "assumptions": list(recommendation.machine.assumptions),
    }


def set_to_dict(recommended: RecommendedSet) -> dict[str, Any]:
    """Return the `data` of `assistant recommend --json`: the same fields, and `together`."""
    return {
        "machine": machine_to_dict(recommended.machine),
        "role": None,
        "picks": [
            {**pick_to_dict(member.pick), "stays_loaded": member.stays_loaded}
            for member in recommended.members
        ],
        "excluded": [_excluded(e) for e in recommended.excluded],
        "as_of": recommended.as_of,
        "notes": list(recommended.notes),
        "assumptions": list(recommended.machine.assumptions),
        "together": {
            "bytes": recommended.together_bytes,
            "memory_bytes": recommended.memory_bytes,
            "on_gpu": recommended.on_gpu,
            "swapped": list(recommended.swapped),
        },
    }


def pick_to_dict(pick: Pick) -> dict[str, Any]:
    """Return one pick."""
    return {
        "label": pick.label,
        "labels": list(pick.labels),
        "role": pick.role,
        "model": pick.model,
        "quantization": pick.quantization,
        "reasons": list(pick.reasons),
        "license": pick.licence,
        "license_note": pick.licence_note,
        "commercial_use": pick.commercial_use,
        "languages": pick.languages,
        "pull": pick.pull,
        "score": dict(pick.score),
        "estimate": estimate_to_dict(pick.estimate),
    }


def choice_to_dict(choice: QuantizationChoice) -> dict[str, Any]:
    """Return a quantization choice, as the agent's tool `choose_quantization` gives it."""
    return {
        "model": choice.model,
        "task": choice.task,
        "chosen": None if choice.chosen is None else _quantization(choice.chosen),
        "options": [_quantization(option) for option in choice.options],
        "reasons": list(choice.reasons),
        "evidence": list(choice.evidence),
        "sureness": choice.sureness,
        "pull": choice.pull,
    }


def comparison_to_dict(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison, as the agent's tool `compare_models` gives it."""
    return {
        "models": [_compared(row) for row in comparison.models],
        "findings": list(comparison.findings),
    }


def _quantization(option: QuantizationOption) -> dict[str, Any]:
    return {
        "model": option.model,
        "quantization": option.quantization,
        "chosen": option.chosen,
        "perplexity_increase_percent": option.perplexity_increase,
        "quality_loss": round(option.quality_loss, 4),
        "estimate": estimate_to_dict(option.estimate),
    }


def _compared(row: ComparedModel) -> dict[str, Any]:
    return {
        "model": row.model,
        "title": row.title,
        "quantization": row.quantization,
        "download_bytes": row.download_bytes,
        "parameters_total": row.parameters_total,
        "parameters_active": row.parameters_active,
        "context_length": row.context_length,
        "license": row.licence,
        "commercial_use": row.commercial_use,
        "languages": row.languages,
        "capabilities": list(row.capabilities),
        "release": row.release,
        "quality": dict(row.quality),
        "scores": [
            {"benchmark": name, "value": value, "source": source}
            for name, value, source in row.scores
        ],
        "estimate": None if row.estimate is None else estimate_to_dict(row.estimate),
        "notes": list(row.notes),
    }


def _excluded(excluded: Excluded) -> dict[str, Any]:
    return {
        "model": excluded.model,
        "reason": excluded.reason,
        "missing_bytes": excluded.missing_bytes,
    }

"""Evidence with fixed figures for the tests of grounding: a miss, three picks, two licences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assistant.agent.evidence import Evidence, gather_evidence
from assistant.agent.model_words import ModelWords
from assistant.agent.records import ToolCall
from assistant.units import GIB

FAMILIES = ("qwen2.5", "qwen3.5", "llama3.1", "mistral", "gemma2", "gemma4", "lfm2.5", "gpt-oss")
WORDS = ModelWords(FAMILIES)

MACHINE: dict[str, Any] = {
    "ram": {"total_bytes": 16 * GIB, "available_bytes": 12 * GIB, "bandwidth_gb_per_s": 51.2},
    "accelerators": [
        {
            "name": "RTX 3060",
            "memory_total_bytes": 12 * GIB,
            "memory_free_bytes": 12_176_232_285,
            "bandwidth_gb_per_s": 360,
        }
    ],
    "assumptions": ["Free VRAM: 11.3 of 12 GiB, as a desktop leaves it"],
}


def estimate(model: str, verdict: str, **more: Any) -> dict[str, Any]:
    """Return an estimate as `assistant fit --json` has it, cut to what matters here."""
    found: dict[str, Any] = {
        "model": model,
        "resolved": model,
        "parameters_total": 14_770_033_664,
        "quantization": "Q4_K_M",
        "download_bytes": 8_988_124_069,
        "num_ctx": 16384,
        "kv_cache_type": "f16",
        "memory": {
            "weights_bytes": 8_981_115_752,
            "kv_cache_bytes": 3 * GIB,
            "total_bytes": 12_948_509_544,
        },
        "placement": {"verdict": verdict, "gpu_layers": 43, "layers": 49},
        "speed": {"decode_tokens_per_s": {"low": 6.819, "expected": 17.05, "high": 27.28}},
        "limits": {"max_num_ctx_on_gpu": 9216, "trained_num_ctx": 32768},
        "missing_bytes": 1_274_285_067,
        "remedies": ["num_ctx 9216 fits (9k of context)", "a q8_0 KV cache fits", "a 16 GB card"],
    }
    return found | more


MISS_TEXT = """\
No, not entirely: `qwen2.5:14b` (Q4_K_M) with 16k tokens of context does not fit on the RTX 3060. \
It needs 12.1 GiB, 1.2 GiB more than its memory leaves (11.3 GiB free of 12 GiB): 43 of 49 layers \
run on the GPU, the rest spills to system RAM.

| memory | GPU | RAM |
|---|---:|---:|
| weights | 7.0 GiB | 1.4 GiB |
| KV cache | 2.6 GiB | 0.4 GiB |

Expected speed: 6.8 to 27 tokens/s. Download: 9.0 GB.

What would make it fit:

- num_ctx 9216 fits (9k of context)
- a q8_0 KV cache fits (OLLAMA_KV_CACHE_TYPE=q8_0)
- a 16 GB card"""


def miss() -> Evidence:
    """qwen2.5:14b does not fit an RTX 3060 at 16k."""
    call = ToolCall(
        "estimate_fit",
        {"model": "qwen2.5:14b", "num_ctx": 999_999},
        {"estimate": estimate("qwen2.5:14b", "partial"), "machine": MACHINE},
    )
    return gather_evidence([call], composed=MISS_TEXT, words=WORDS)


def _small(model: str, total: float, low: float, high: float) -> dict[str, Any]:
    return estimate(
        model,
        "gpu",
        num_ctx=8192,
        memory={"total_bytes": round(total * GIB), "kv_cache_bytes": GIB // 4},
        speed={"decode_tokens_per_s": {"low": low, "expected": (low + high) / 2, "high": high}},
        missing_bytes=0,
        parameters_total=4_660_000_000,
        limits={"max_num_ctx_on_gpu": 13312, "trained_num_ctx": 262_144},
    )


PICKS_TEXT = """\
For chat take `qwen3.5:4b-q8_0` (Q8_0): it stays entirely on the GPU with 8 GB at 37 to 69 tokens/s.

| as | model | download | memory | tokens/s | licence |
|---|---|---:|---:|---:|---|
| best overall | qwen3.5:4b-q8_0 | 5.3 GB | 5.7 GiB | 37-69 | Apache 2.0 |
| fastest | lfm2.5:8b | 5.2 GB | 5.5 GiB | 98-223 | LFM 1.0 |

Not picked:

- mistral:7b: Outdated.

Get it: `ollama pull qwen3.5:4b-q8_0`"""


def picks() -> Evidence:
    """Two picks with their figures, and one model that was not picked."""
    rows = [
        ("qwen3.5:4b-q8_0", "Q8_0", 5_279_294_453, "Apache 2.0", _small("q", 5.72, 36.6, 69.3)),
        ("lfm2.5:8b", "Q4_K_M", 5_200_000_000, "LFM 1.0", _small("l", 5.5, 98.0, 223.0)),
    ]
    result = {
        "picks": [
            {
                "model": name,
                "quantization": level,
                "license": licence,
                "commercial_use": "yes",
                "pull": f"ollama pull {name}",
                "estimate": fit
                | {"model": name, "resolved": name, "quantization": level, "download_bytes": size},
            }
            for name, level, size, licence, fit in rows
        ],
        "excluded": [{"model": "mistral:7b", "reason": "Outdated."}],
    }
    call = ToolCall("recommend_models", {"role": "chat"}, result)
    return gather_evidence([call], composed=PICKS_TEXT, words=WORDS)


def pair() -> Evidence:
    """Two models side by side, both on the GPU, with different licences and contexts."""
    rows = [
        ("mistral:7b", 4_372_824_384, 7_248_023_552, 32768, "Apache 2.0", "yes", 5.79),
        ("llama3.1:8b", 4_920_753_328, 8_030_261_248, 131_072, "Llama 3.1 Community License",
         "conditional", 6.3),
    ]  # fmt: skip
    models = [
        {
            "model": name,
            "quantization": "Q4_K_M",
            "download_bytes": size,
            "parameters_total": count,
            "context_length": length,
            "license": licence,
            "commercial_use": use,
            "release": "2024-07",
            "estimate": {
                "model": name,
                "num_ctx": 8192,
                "quantization": "Q4_K_M",
                "memory": {"total_bytes": round(total * GIB)},
                "placement": {"verdict": "gpu"},
            },
        }
        for name, size, count, length, licence, use, total in rows
    ]
    call = ToolCall("compare_models", {}, {"models": models})
    return gather_evidence([call], composed="llama3.1:8b is larger.", words=WORDS)


def licence() -> Evidence:
    """gemma2 under its own terms, with conditions."""
    result = {
        "model": "gemma2:9b",
        "license": "Gemma Terms of Use",
        "commercial_use": "conditional",
        "context_length": 8192,
        "release": "2024-06",
        "license_note": "not an open-source licence",
    }
    text = "Gemma2 comes under Gemma Terms of Use; commercial use is allowed under conditions."
    return gather_evidence([ToolCall("model_info", {}, result)], composed=text, words=WORDS)


@dataclass(frozen=True)
class Note:
    """A passage for the tests."""

    text: str
    guide: str = "Notes"
    section: str = "All"
    origin: str = "own"


def noted(text: str, origin: str = "own") -> Evidence:
    """The miss, with one passage added as [1]."""
    call = ToolCall(
        "estimate_fit", {}, {"estimate": estimate("qwen2.5:14b", "partial"), "machine": MACHINE}
    )
    passage = Note(text, origin=origin)
    return gather_evidence([call], composed=MISS_TEXT, passages=[passage], words=WORDS)

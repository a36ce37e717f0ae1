"""What Ollama changes in its own published files before llama.cpp loads them.

Many files of the Ollama library carry architecture names, keys and tensors that only Ollama's
former engine knew. Ollama 0.33 rewrites them while loading (`handle_*` in
llama/compat/llama-ollama-compat.cpp); the same is done here, as far as it changes sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from assistant.models.gguf import TensorInfo
from assistant.models.quantization import tensor_bytes

Keys = dict[str, object]
Tensors = tuple[TensorInfo, ...]

SKIPPED_PREFIXES = ("v.", "mm.", "a.", "s.", "mtp.", "model.vision_tower.")
"""Tensors of a one-file multimodal model that the text loader skips (`add_skip_prefix`)."""


def rewrite_header(
    metadata: Mapping[str, object], tensors: Sequence[TensorInfo] = ()
) -> tuple[Keys, Tensors]:
    """Return keys and tensors as llama.cpp sees them under Ollama.

    Projector tensors inside the file (`v.`, `mm.`, `a.`) stay in the result: which part of the
    program loads them is for the caller. A file that needs no rewrite comes back unchanged.
    """
    keys = {key: value for key, value in metadata.items() if value is not None}
    name = keys.get("general.architecture")
    rewrite = _REWRITES.get(name) if isinstance(name, str) else None
    if rewrite is None:
        return keys, tuple(tensors)
    return rewrite(keys, tuple(tensors))


def _find(tensors: Tensors, name: str) -> TensorInfo | None:
    return next((tensor for tensor in tensors if tensor.name == name), None)


def _dim(tensors: Tensors, name: str, axis: int) -> int | None:
    tensor = _find(tensors, name)
    return tensor.dims[axis] if tensor is not None and len(tensor.dims) > axis else None


def _rename_architecture(keys: Keys, old: str, new: str) -> Keys:
    renamed = {
        f"{new}.{key.removeprefix(f'{old}.')}" if key.startswith(f"{old}.") else key: value
        for key, value in keys.items()
    }
    renamed["general.architecture"] = new
    return renamed


def _set_missing(keys: Keys, key: str, value: int | None) -> None:
    if value is not None:
        keys.setdefault(key, value)


def _renamer(old: str, new: str) -> Callable[[Keys, Tensors], tuple[Keys, Tensors]]:
    def rewrite(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
        return _rename_architecture(keys, old, new), tensors

    return rewrite


def _gptoss(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    keys = _rename_architecture(keys, "gptoss", "gpt-oss")
    width = _dim(tensors, "blk.0.ffn_gate_exps.weight", 1)
    _set_missing(keys, "gpt-oss.expert_feed_forward_length", width)
    return keys, tensors


def _glmocr(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    keys = _rename_architecture(keys, "glmocr", "glm4")
    length = keys.get("glm4.attention.key_length")
    if isinstance(length, int):
        _set_missing(keys, "glm4.rope.dimension_count", length)
    return keys, tensors


def _deepseekocr(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    keys = _rename_architecture(keys, "deepseekocr", "deepseek2-ocr")
    width_key = "deepseek2-ocr.expert_feed_forward_length"
    _set_missing(keys, width_key, _dim(tensors, "blk.1.ffn_down_exps.weight", 0))
    width = keys.get(width_key)
    shared = _dim(tensors, "blk.1.ffn_down_shexp.weight", 0)
    if isinstance(width, int) and width > 0 and shared is not None:
        _set_missing(keys, "deepseek2-ocr.expert_shared_count", shared // width)
    return keys, tensors


def _gemma3(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    """Embeddinggemma is published as gemma3 with two dense layers after pooling."""
    marked = _find(tensors, "dense.0.weight") is not None
    if not marked and (tensors or "gemma3.pooling_type" not in keys):
        return keys, tensors
    keys = _rename_architecture(keys, "gemma3", "gemma-embedding")
    keys.pop("gemma-embedding.attention.sliding_window_pattern", None)
    names = {
        "dense.0.weight": "dense_2.weight",
        "dense.1.weight": "dense_3.weight",
        "norm.weight": "output_norm.weight",
    }
    return keys, tuple(replace(t, name=names.get(t.name, t.name)) for t in tensors)


def _gemma3n(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    """The token embedding loses the rows that the per-layer embedding does not have."""
    rows = _dim(tensors, "per_layer_token_embd.weight", 1)
    whole = _find(tensors, "token_embd.weight")
    if rows is None or whole is None or len(whole.dims) < 2 or whole.dims[1] == rows:
        return keys, tensors
    dims = (whole.dims[0], rows)
    cut = replace(whole, dims=dims, bytes=tensor_bytes(whole.type, dims))
    return keys, tuple(cut if tensor is whole else tensor for tensor in tensors)


def _lfm2(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    old_names = _find(tensors, "output_norm.weight") and not _find(
        tensors, "token_embd_norm.weight"
    )
    if not old_names:
        return keys, tensors
    width = _dim(tensors, "blk.0.ffn_gate.weight", 1)
    if width is not None:
        keys["lfm2.feed_forward_length"] = width
    return keys, tuple(
        replace(t, name="token_embd_norm.weight") if t.name == "output_norm.weight" else t
        for t in tensors
    )


def _glm4moelite(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    """Per-head dimensions become the latent ones of multi-head latent attention."""
    keys = _rename_architecture(keys, "glm4moelite", "deepseek2")
    attention = "deepseek2.attention"
    head_dim = keys.get(f"{attention}.key_length")
    rank = keys.get(f"{attention}.kv_lora_rank")
    rope = keys.get("deepseek2.rope.dimension_count")
    keys[f"{attention}.head_count_kv"] = 1
    if isinstance(rank, int) and isinstance(rope, int):
        keys[f"{attention}.key_length"] = rank + rope
        keys[f"{attention}.value_length"] = rank
    if isinstance(head_dim, int):
        keys[f"{attention}.key_length_mla"] = head_dim
        keys[f"{attention}.value_length_mla"] = head_dim
    return keys, tensors


def _nemotron_h_omni(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    old = "nemotron_h_omni"
    has_experts = any(keys.get(f"{old}.{key}") for key in ("expert_count", "expert_used_count"))
    new = "nemotron_h_moe" if has_experts else "nemotron_h"
    return _rename_architecture(keys, old, new), tensors


def _collapse_head_count_kv(keys: Keys, name: str, fallback: int) -> None:
    key = f"{name}.attention.head_count_kv"
    counts = keys.get(key)
    if isinstance(counts, (tuple, list)):
        largest = max((count for count in counts if isinstance(count, int)), default=0)
        if largest or fallback:
            keys[key] = largest or fallback


def _qwen3next(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    _collapse_head_count_kv(keys, "qwen3next", 0)
    return keys, tensors


def _qwen35(keys: Keys, tensors: Tensors) -> tuple[Keys, Tensors]:
    name = str(keys["general.architecture"])
    _collapse_head_count_kv(keys, name, 2)
    old = [tensor.name for tensor in tensors if tensor.name.startswith("mtp.")]
    native = any(t.name.startswith("blk.") and ".nextn." in t.name for t in tensors)
    if not old or native:
        return keys, tensors
    blocks = [i for t in tensors if (i := _index(t.name, "blk.")) is not None]
    layers = [i for n in old if (i := _index(n, "mtp.layers.")) is not None]
    count = keys.get(f"{name}.block_count")
    base = max(blocks) + 1 if blocks else count
    if not isinstance(base, int):
        return keys, tensors
    nextn = max(layers) + 1 if layers else 1
    keys[f"{name}.nextn_predict_layers"] = nextn
    keys[f"{name}.block_count"] = base + nextn
    return keys, tuple(replace(t, name=_mtp_name(t.name, base, nextn)) for t in tensors)


_SHARED_MTP = {
    "mtp.fc.weight": "eh_proj.weight",
    "mtp.pre_fc_norm_embedding.weight": "enorm.weight",
    "mtp.pre_fc_norm_hidden.weight": "hnorm.weight",
    "mtp.embed_tokens.weight": "embed_tokens.weight",
    "mtp.shared_head.head.weight": "shared_head_head.weight",
    "mtp.shared_head.norm.weight": "shared_head_norm.weight",
    "mtp.norm.weight": "shared_head_norm.weight",
}


def _mtp_name(name: str, base: int, nextn: int) -> str:
    """The name of a multi-token-prediction tensor as a block after the last one.

    Experts that are stored one by one keep their number behind the merged tensor's name.
    """
    layer = _index(name, "mtp.layers.")
    if layer is not None and layer < nextn:
        rest = name.removeprefix(f"mtp.layers.{layer}.")
        parts = rest.split(".")
        if rest.startswith("mlp.experts.") and len(parts) == 5:
            rest = f"ffn_{parts[3].removesuffix('_proj')}_exps.{parts[2]}.{parts[4]}"
        return f"blk.{base + layer}.{rest}"
    if nextn == 1 and name in _SHARED_MTP:
        return f"blk.{base}.nextn.{_SHARED_MTP[name]}"
    return name


def _index(name: str, prefix: str) -> int | None:
    if not name.startswith(prefix):
        return None
    number, dot, _ = name.removeprefix(prefix).partition(".")
    # Five digits are more than any block number, and int() of a long text is slow.
    return (
        int(number) if dot and number.isascii() and number.isdigit() and len(number) < 6 else None
    )


_REWRITES: dict[str, Callable[[Keys, Tensors], tuple[Keys, Tensors]]] = {
    "gptoss": _gptoss,
    "olmo3": _renamer("olmo3", "olmo2"),
    "qwen25vl": _renamer("qwen25vl", "qwen2vl"),
    "glmocr": _glmocr,
    "deepseekocr": _deepseekocr,
    "gemma3": _gemma3,
    "gemma3n": _gemma3n,
    "lfm2": _lfm2,
    "glm4moelite": _glm4moelite,
    "nemotron_h_omni": _nemotron_h_omni,
    "qwen3next": _qwen3next,
    "qwen35": _qwen35,
    "qwen35moe": _qwen35,
}

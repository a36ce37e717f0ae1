"""Architecture numbers of the facts under the names of our `Architecture` record.

Numbers that are the same in every block are written once; per-block lists only where blocks
differ. Ollama's own renaming of architectures (`gptoss` and others, in its llama.cpp
compatibility layer) is applied here, so that the catalog says what llama.cpp will see.
"""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

_RENAMED = {"gptoss": "gpt-oss", "qwen25vl": "qwen2vl", "olmo3": "olmo2", "glmocr": "glm4"}
_SAME_NAME = (
    "block_count",
    "embedding_length",
    "vocab_size",
    "head_count",
    "context_length",
    "key_length_swa",
    "value_length_swa",
    "sliding_window",
    "shared_kv_layers",
    "expert_count",
    "expert_used_count",
    "expert_feed_forward_length",
    "expert_shared_feed_forward_length",
    "expert_shared_count",
    "leading_dense_block_count",
    "full_attention_interval",
    "shortconv_l_cache",
    "embedding_length_per_layer_input",
)
_BY_BLOCK = ("head_count_kv", "feed_forward_length", "key_length", "value_length")
_SSM = {
    "conv_kernel": "ssm_conv_kernel",
    "inner_size": "ssm_inner_size",
    "state_size": "ssm_state_size",
    "group_count": "ssm_group_count",
    "time_step_rank": "ssm_time_step_rank",
}
# Encoder-only embedding models pool their output: 1 mean, 2 first token (gguf-py PoolingType).
_POOLING = {
    "bert": 2,
    "nomic-bert": 1,
    "gemma-embedding": 1,
    "qwen3": 3,
}
_MEAN_POOLED = {"all-minilm"}


def architecture_fields(fact: Row, merged: Row) -> Row | None:
    """Return the fields of our `Architecture`, or None where too little is known."""
    overrides = merged.get("architecture", {})
    if merged.get("architecture_unknown"):
        return None
    if (fact["arch"] or {}).get("block_count") is None:
        return dict(overrides) if "block_count" in overrides else None
    arch = completed(fact["arch"], merged)
    fields: Row = {"name": _RENAMED.get(name := arch["general.architecture"], name)}
    fields |= {key: arch[key] for key in _SAME_NAME if arch.get(key) is not None}
    fields |= {key: collapse(arch[key]) for key in _BY_BLOCK if arch.get(key) is not None}
    state_space = arch.get("ssm") or {}
    fields |= {ours: state_space[key] for key, ours in _SSM.items() if key in state_space}
    add_window_pattern(fields, arch)
    add_recurrent_layers(fields, arch)
    add_mla(fields, arch)
    widen_shared_blocks(fields, arch)
    tied = (arch.get("size_check") or {}).get("output_tied")
    if tied is not None:
        fields["tied_embeddings"] = tied
    if "embedding" in fact["capabilities"]:
        pooled_by_mean = fact["ollama_name"] in _MEAN_POOLED
        fields["pooling_type"] = 1 if pooled_by_mean else _POOLING.get(fields["name"], 1)
    if fields.get("context_length") is None and fact["context_length"]:
        fields["context_length"] = fact["context_length"]
    fields |= {key: value for key, value in overrides.items() if key not in _BY_BLOCK}
    if not fields.get("sliding_window"):
        fields.pop("sliding_window", None)
        fields.pop("sliding_window_pattern", None)
    return fields


def completed(arch: Row, merged: Row) -> Row:
    """Return the numbers with reviewed corrections, and GGUF's defaults for keys left out."""
    full = dict(arch)
    if full.get("head_count_kv") is None:
        full["head_count_kv"] = full["head_count"]
    for key in ("key_length", "value_length"):
        if full.get(key) is None:
            full[key] = full["embedding_length"] // full["head_count"]
    if full.get("mla") and merged.get("mla_keys"):
        full["mla_in_gguf"] = merged["mla_keys"] == "present"
    overrides = merged.get("architecture", {})
    full.update({key: value for key, value in overrides.items() if key in _BY_BLOCK})
    return full


def collapse(value: int | list[int]) -> int | list[int]:
    """Return one number for a list that repeats it."""
    if isinstance(value, list) and len(set(value)) == 1:
        return int(value[0])
    return value


def add_window_pattern(fields: Row, arch: Row) -> None:
    """Write the window pattern: a period, or one flag per block where no period says it."""
    pattern = arch.get("sliding_window_pattern")
    if not pattern or not arch.get("sliding_window"):
        return
    count, full = arch["block_count"], arch.get("full_attention_layers")
    period, last = pattern["period"], pattern["full_attention_position"] == "last"
    by_period = [i for i in range(count) if i % period == (period - 1 if last else 0)]
    if fields["name"] == "gemma4" or (full is not None and full != by_period):
        unwindowed = by_period if full is None else full
        fields["sliding_window_pattern"] = [int(i not in unwindowed) for i in range(count)]
    elif last or fields["name"] in {"laguna", "smallthinker", "cohere2moe"}:
        fields["sliding_window_pattern"] = period
    else:
        fields["sliding_window_pattern"] = [int(i not in by_period) for i in range(count)]


def add_recurrent_layers(fields: Row, arch: Row) -> None:
    """Mark the blocks with a recurrent state, and the blocks without feed-forward."""
    count = arch["block_count"]
    if arch.get("recurrent_layers"):
        recurrent = set(arch["recurrent_layers"])
    elif arch.get("recurrent_layers_count") and arch.get("full_attention_layers"):
        recurrent = set(range(count)) - set(arch["full_attention_layers"])
    elif fields["name"] == "granitehybrid" or arch.get("shortconv_l_cache"):
        counts = fields.get("head_count_kv")
        if not isinstance(counts, list):
            return
        recurrent = {i for i, heads in enumerate(counts) if heads == 0}
    else:
        return
    fields["recurrent_layers"] = [int(i in recurrent) for i in range(count)]
    if fields["name"].startswith("nemotron_h") and arch.get("moe_or_mlp_layers"):
        width = arch["feed_forward_length"]
        mlp = set(arch["moe_or_mlp_layers"])
        fields["feed_forward_length"] = [width if i in mlp else 0 for i in range(count)]


def add_mla(fields: Row, arch: Row) -> None:
    """Write the latent-attention numbers; as one latent row per token if the file says so."""
    mla = arch.get("mla")
    if not mla:
        return
    fields["kv_lora_rank"] = mla["kv_lora_rank"]
    if mla.get("q_lora_rank"):
        fields["q_lora_rank"] = mla["q_lora_rank"]
    fields["rope_dimension_count"] = mla["qk_rope_head_dim"]
    if arch.get("mla_in_gguf"):
        fields["key_length_mla"] = mla["qk_nope_head_dim"] + mla["qk_rope_head_dim"]
        fields["value_length_mla"] = mla["v_head_dim"]
        fields["head_count_kv"] = 1
        fields["key_length"] = mla["kv_lora_rank"] + mla["qk_rope_head_dim"]
        fields["value_length"] = mla["kv_lora_rank"]


def widen_shared_blocks(fields: Row, arch: Row) -> None:
    """Widen the feed-forward of the shared-KV blocks where the model doubles it."""
    if not arch.get("feed_forward_length_note", "").startswith("use_double_wide_mlp"):
        return
    owning, width = arch["kv_owning_layers"], arch["feed_forward_length"]
    fields["feed_forward_length"] = [
        width if i < owning else 2 * width for i in range(arch["block_count"])
    ]


def count_parameters(arch: Row) -> int | None:
    """Return the parameters of a plain decoder from its shapes, or None for other kinds.

    Embedding, output where it is its own matrix, attention, gated feed-forward (of every
    expert) and norms; biases where the architecture has them.
    """
    if arch["name"] not in {"llama", "qwen2", "qwen3", "qwen3moe", "gemma2", "gemma3"}:
        return None
    if arch.get("tied_embeddings") is None or isinstance(arch["head_count_kv"], list):
        return None
    width, blocks = arch["embedding_length"], arch["block_count"]
    keys = arch["key_length"] * arch["head_count_kv"]
    values = arch["value_length"] * arch["head_count_kv"]
    queries = arch["key_length"] * arch["head_count"]
    output = arch["value_length"] * arch["head_count"]
    attention = width * (queries + keys + values + output)
    if arch.get("expert_count"):
        inner = arch.get("expert_feed_forward_length") or arch["feed_forward_length"]
        forward = arch["expert_count"] * 3 * width * inner + width * arch["expert_count"]
    else:
        forward = 3 * width * arch["feed_forward_length"]
    norms = 2 * width
    if arch["name"] == "qwen2":
        norms += queries + keys + values
    if arch["name"] in {"qwen3", "qwen3moe", "gemma3"}:
        norms += arch["key_length"] * 2
    if arch["name"] in {"gemma2", "gemma3"}:
        norms += 2 * width
    embeddings = arch["vocab_size"] * width * (1 if arch["tied_embeddings"] else 2)
    return int(embeddings + width + blocks * (attention + forward + norms))


def draft_parameters(arch: Row | None) -> int | None:
    """Return the parameters of the one multi-token-prediction layer of a Qwen3.5 model.

    A full-attention block with its output gate, its feed-forward (all experts), and the matrix
    that joins the two inputs.
    """
    if arch is None:
        return None
    width = arch["embedding_length"]
    queries = arch["key_length"] * arch["head_count"]
    keys = arch["key_length"] * arch["head_count_kv"]
    attention = width * (2 * queries + 2 * keys) + queries * width
    if arch.get("expert_count"):
        experts = arch["expert_count"] * arch["expert_feed_forward_length"]
        inner = experts + arch.get("expert_shared_feed_forward_length", 0)
    else:
        inner = arch["feed_forward_length"]
    return int(attention + 3 * width * inner + 2 * width * width)


def vision_bytes(fact: Row) -> int | None:
    """Return the size of a Qwen-style vision tower inside the blob, kept in F16.

    Only for models whose configuration states it; the feed-forward width is that of the same
    tower in Qwen's published configurations (4304 for 1152, otherwise four times the width).
    """
    vision = (fact["arch"] or {}).get("vision")
    if not vision or not vision.get("spatial_merge_size"):
        return None
    if (fact.get("projector") or {}).get("kind") == "separate blob":
        return None
    width, merge = vision["embedding_length"], vision["spatial_merge_size"] ** 2
    inner = 4304 if width == 1152 else 4 * width
    block = 4 * width * width + 2 * width * inner + 9 * width + inner
    merged_width = width * merge
    merger = merged_width**2 + merged_width * fact["arch"]["embedding_length"]
    patch = 2 * 3 * vision["patch_size"] ** 2 * width
    positions = 48 * 48 * width
    return int(2 * (vision["depth"] * block + merger + patch) + 4 * positions)

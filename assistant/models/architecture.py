"""The numbers of a model's architecture, under their GGUF key names.

`Architecture` is what every formula in `assistant.fit` reads. It is filled from a GGUF
header (`assistant.models.gguf`), from a server's `/api/show`, or from the catalog.
Per-layer quantities are tuples with one entry per block (`block_count` long).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """Architecture numbers; the prefix `<general.architecture>.` of each key is dropped.

    `name` is `general.architecture` after the rewrites that Ollama applies to its own files
    (`gptoss` is `gpt-oss` here). None means that the file has no such key.
    `sliding_window_pattern` is a period, or one flag per block (True: windowed), or None for
    the architecture's own rule.
    """

    name: str
    block_count: int
    embedding_length: int
    vocab_size: int
    feed_forward_length: tuple[int, ...]
    head_count: tuple[int, ...]
    head_count_kv: tuple[int, ...]
    key_length: int
    value_length: int
    context_length: int | None = None
    key_length_swa: int | None = None
    value_length_swa: int | None = None
    key_length_mla: int | None = None
    value_length_mla: int | None = None
    kv_lora_rank: int | None = None
    q_lora_rank: int | None = None
    rope_dimension_count: int | None = None
    sliding_window: int | None = None
    sliding_window_pattern: int | tuple[bool, ...] | None = None
    shared_kv_layers: int = 0
    nextn_predict_layers: int = 0
    expert_count: int = 0
    expert_used_count: int = 0
    expert_feed_forward_length: int | None = None
    expert_shared_feed_forward_length: int | None = None
    expert_shared_count: int = 0
    leading_dense_block_count: int = 0
    ssm_conv_kernel: int | None = None
    ssm_inner_size: int | None = None
    ssm_state_size: int | None = None
    ssm_group_count: int = 0
    ssm_time_step_rank: int | None = None
    full_attention_interval: int | None = None
    recurrent_layers: tuple[bool, ...] | None = None
    shortconv_l_cache: int | None = None
    wkv_head_size: int | None = None
    token_shift_count: int | None = None
    kda_head_dim: int | None = None
    embedding_length_per_layer_input: int = 0
    indexer_key_length: int | None = None
    pooling_type: int | None = None
    tied_embeddings: bool | None = None

    @property
    def is_embedding(self) -> bool:
        """True when the file is an embedding model (it carries a pooling type)."""
        return self.pooling_type is not None

    @property
    def is_moe(self) -> bool:
        """True for a mixture of experts."""
        return self.expert_count > 0

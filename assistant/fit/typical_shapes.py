"""A typical architecture for a number of parameters, when nothing else is known of a model.

The shapes are those of widely used dense models of each size (their config.json), so that
cache and buffers have the usual magnitude; whoever uses one says that it is not exact.
"""

from __future__ import annotations

from math import log
from typing import Final

from assistant.models.architecture import Architecture

# parameters, blocks, embedding, feed-forward, heads, KV heads, vocabulary, tied embeddings
_DECODERS: Final = (
    (135e6, 30, 576, 1536, 9, 3, 49_152, True),  # SmolLM2-135M
    (494e6, 24, 896, 4864, 14, 2, 151_936, True),  # Qwen2.5-0.5B
    (1.24e9, 16, 2048, 8192, 32, 8, 128_256, True),  # Llama-3.2-1B
    (3.21e9, 28, 3072, 8192, 24, 8, 128_256, True),  # Llama-3.2-3B
    (8.03e9, 32, 4096, 14336, 32, 8, 128_256, False),  # Llama-3.1-8B
    (14.8e9, 48, 5120, 13824, 40, 8, 152_064, False),  # Qwen2.5-14B
    (23.6e9, 40, 5120, 32768, 32, 8, 131_072, False),  # Mistral-Small-3
    (32.8e9, 64, 5120, 27648, 40, 8, 152_064, False),  # Qwen2.5-32B
    (70.6e9, 80, 8192, 28672, 64, 8, 128_256, False),  # Llama-3.1-70B
    (122.6e9, 88, 12288, 28672, 96, 8, 32_768, False),  # Mistral-Large-2407
    (405.9e9, 126, 16384, 53248, 128, 8, 128_256, False),  # Llama-3.1-405B
)
_ENCODERS: Final = (
    (22e6, 6, 384, 1536, 12, 12, 30_522, False),  # all-MiniLM-L6-v2
    (33e6, 12, 384, 1536, 12, 12, 30_522, False),  # bge-small-en-v1.5
    (109e6, 12, 768, 3072, 12, 12, 30_522, False),  # bge-base-en-v1.5
    (335e6, 24, 1024, 4096, 16, 16, 30_522, False),  # bge-large-en-v1.5
    (568e6, 24, 1024, 4096, 16, 16, 250_002, False),  # bge-m3
)
_HEAD: Final = 128
_ENCODER_POOLING: Final = 1


def typical_architecture(
    parameters: int, *, embedding: bool = False, context_length: int | None = None
) -> Architecture:
    """Return the shape of a well-known model with about that many parameters."""
    _, blocks, width, inner, heads, kv_heads, vocabulary, tied = min(
        _ENCODERS if embedding else _DECODERS,
        key=lambda shape: abs(log(shape[0] / max(1, parameters))),
    )
    head = width // heads if embedding else min(_HEAD, width // heads)
    return Architecture(
        name="bert" if embedding else "llama",
        block_count=blocks,
        embedding_length=width,
        vocab_size=vocabulary,
        feed_forward_length=(inner,) * blocks,
        head_count=(heads,) * blocks,
        head_count_kv=(kv_heads,) * blocks,
        key_length=head,
        value_length=head,
        context_length=context_length,
        pooling_type=_ENCODER_POOLING if embedding else None,
        tied_embeddings=tied,
    )

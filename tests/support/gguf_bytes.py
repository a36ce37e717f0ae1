"""A writer of small GGUF files, sound or broken on purpose."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.models.quantization import TENSOR_TYPES_BY_NAME, tensor_bytes
from assistant.units import pad

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_NUMBERS[12] = "d"


class Typed:
    """A value with an explicit GGUF value type; `of` is the item type of an array."""

    def __init__(self, kind: int, value: Any, of: int | None = None) -> None:
        self.kind, self.value, self.of = kind, value, of


def u32(value: int) -> Typed:
    """Return an unsigned 32-bit value."""
    return Typed(4, value)


def array(of: int, items: Sequence[Any]) -> Typed:
    """Return an array value."""
    return Typed(9, items, of)


def string_bytes(text: str | bytes) -> bytes:
    """Return a GGUF string: length and bytes."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def _value_bytes(kind: int, value: Any, of: int | None = None) -> bytes:
    if kind == 8:
        return string_bytes(value)
    if kind == 9:
        assert of is not None
        head = struct.pack("<IQ", of, len(value))
        return head + b"".join(_value_bytes(of, item) for item in value)
    return struct.pack("<" + _NUMBERS[kind], value)


def key_value(key: str, value: Any) -> bytes:
    """Return one metadata entry; plain values take the type converters give them."""
    if isinstance(value, bool):
        value = Typed(7, value)
    elif isinstance(value, int):
        value = Typed(4, value)
    elif isinstance(value, float):
        value = Typed(6, value)
    elif isinstance(value, str):
        value = Typed(8, value)
    elif isinstance(value, (list, tuple)):
        value = array(8 if value and isinstance(value[0], str) else 5, value)
    head = string_bytes(key) + struct.pack("<I", value.kind)
    return head + _value_bytes(value.kind, value.value, value.of)


def gguf_bytes(
    metadata: Mapping[str, Any] | None = None,
    tensors: Sequence[tuple[str, Sequence[int], str]] = (),
    *,
    version: int = 3,
    alignment: int = 32,
    data: bool = False,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """Return a GGUF file; `counts` overrides the tensor and key counts in its head."""
    metadata = metadata or {}
    tensor_count, key_count = counts or (len(tensors), len(metadata))
    parts = [b"GGUF", struct.pack("<IQQ", version, tensor_count, key_count)]
    parts += [key_value(key, value) for key, value in metadata.items()]
    offset = 0
    for name, dims, kind in tensors:
        parts.append(string_bytes(name) + struct.pack("<I", len(dims)))
        parts.append(b"".join(struct.pack("<Q", dim) for dim in dims))
        parts.append(struct.pack("<IQ", TENSOR_TYPES_BY_NAME[kind].id, offset))
        offset = pad(offset + tensor_bytes(kind, dims), alignment)
    head = b"".join(parts)
    head += bytes(pad(len(head), alignment) - len(head))
    return head + bytes(offset if data else 0)


LLAMA = {
    "general.architecture": "llama",
    "general.file_type": 15,
    "llama.block_count": 2,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "llama.rope.freq_base": 10000.0,
    "llama.attention.causal": True,
    "tokenizer.ggml.tokens": [f"t{i}" for i in range(300)],
    "tokenizer.ggml.scores": array(6, [0.5] * 300),
}
LLAMA_TENSORS = (
    ("token_embd.weight", (64, 300), "F16"),
    ("blk.0.attn_q.weight", (64, 64), "Q8_0"),
    ("blk.0.ffn_down.weight", (256, 3), "Q4_K"),
    ("blk.1.attn_norm.weight", (64,), "F32"),
)


def small_model(**extra: Any) -> bytes:
    """Return a complete small file with tokenizer arrays and data."""
    return gguf_bytes({**LLAMA, **extra}, LLAMA_TENSORS, data=True)

"""From GGUF metadata to an `Architecture`: the keys of llama.cpp's `load_hparams`.

Keys, defaults and per-layer arrays as in src/llama-model.cpp and src/models/*.cpp of llama.cpp
b10488; Ollama's own files are rewritten first (`ollama_rewrites`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from assistant.errors import GgufError
from assistant.models.architecture import Architecture
from assistant.models.gguf import Omitted, TensorInfo
from assistant.models.ollama_rewrites import rewrite_header

MAX_BLOCKS: Final = 512
"""`LLAMA_MAX_LAYERS` in src/llama-hparams.h."""

_INT32_MAX: Final = 2**31 - 1
_MAX_NAME: Final = 64

# Recurrent throughout: these files have no attention heads.
_WITHOUT_ATTENTION: Final = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
# Encoders have no output matrix at all, so nothing is tied (load_tensors of each).
_WITHOUT_OUTPUT: Final = frozenset(
    {
        "bert",
        "eurobert",
        "jina-bert-v2",
        "jina-bert-v3",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
    }
)
# How each loader reads attention.sliding_window_pattern (src/models/*.cpp): as flags, as a
# period or flags; all others take a period and ignore an array.
_PATTERN_IS_FLAGS: Final = frozenset({"gemma4", "gemma4-assistant", "mimo2", "step35"})
_PATTERN_IS_EITHER: Final = frozenset({"cohere2moe", "mellum", "muse-glimmer"})


def architecture_from_metadata(
    metadata: Mapping[str, object], tensors: Sequence[TensorInfo] | None = None
) -> Architecture:
    """Return the architecture that a file's metadata describes, as llama.cpp loads it.

    `metadata` holds full GGUF key names; None values count as absent, so `model_info` of a
    server's `/api/show` will do. With `tensors` the vocabulary is exact, `tied_embeddings` is
    known, and Ollama's rewrites that read tensor shapes apply.

    Raises:
        GgufError: a required key is missing or has an impossible value, or the file is not a
            language model (a projector or an adapter).
    """
    keys, table = rewrite_header(metadata, tensors or ())
    name = keys.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise _missing("general.architecture")
    # The name goes into messages, so it may not carry anything that acts on a terminal.
    if len(name) > _MAX_NAME or not name.isascii() or not name.isprintable():
        raise GgufError(
            f"the metadata key 'general.architecture' is {name[:_MAX_NAME]!a}",
            hint="The file is damaged or no language model; take another conversion of it.",
        )
    if name == "clip" or keys.get("general.type") in ("mmproj", "adapter"):
        raise GgufError(
            f"this is a {'projector' if name == 'clip' else keys['general.type']},"
            " not a language model",
            hint="Give the file of the language model it belongs to.",
        )
    return _build(_Reader(name, keys), table if tensors is not None else None)


def _missing(key: str) -> GgufError:
    return GgufError(
        f"the metadata key {key!r} is missing",
        hint="The file is incomplete or not a language model; take another conversion of it.",
    )


class _Reader:
    """Typed access to the keys of one architecture."""

    def __init__(self, name: str, keys: Mapping[str, object]) -> None:
        self.name = name
        self.keys = keys
        self.block_count = self.required("block_count")
        if not 1 <= self.block_count <= MAX_BLOCKS:
            raise self.wrong("block_count", f"1 to {MAX_BLOCKS}")

    def wrong(self, key: str, expected: str) -> GgufError:
        value = repr(self.keys[f"{self.name}.{key}"])
        shown = value if len(value) <= 60 else value[:57] + "..."
        return GgufError(
            f"the metadata key '{self.name}.{key}' is {shown}, not {expected}",
            hint="The file is damaged or wrongly converted; take another conversion of it.",
        )

    def number(self, key: str) -> int | None:
        value = self.keys.get(f"{self.name}.{key}")
        if value is None:
            return None
        if isinstance(value, (tuple, list)) and value and set(value) == {value[0]}:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _INT32_MAX:
            raise self.wrong(key, "a whole number")
        return value

    def count(self, key: str) -> int:
        return self.number(key) or 0

    def required(self, key: str) -> int:
        value = self.number(key)
        if value is None:
            raise _missing(f"{self.name}.{key}")
        return value

    def per_block(self, key: str) -> tuple[int, ...] | None:
        value = self.keys.get(f"{self.name}.{key}")
        if not isinstance(value, (tuple, list)):
            number = self.number(key)
            return None if number is None else (number,) * self.block_count
        if len(value) != self.block_count:
            raise self.wrong(key, f"{self.block_count} numbers, one per block")
        for item in value:
            if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= _INT32_MAX:
                raise self.wrong(key, "whole numbers")
        return tuple(value)

    def flags(self, key: str) -> tuple[bool, ...] | None:
        """One flag per block; a single value stands for all blocks.

        Some architectures leave the prediction blocks at the end out of the array.
        """
        value = self.keys.get(f"{self.name}.{key}")
        if value is None:
            return None
        if isinstance(value, int):
            return (bool(value),) * self.block_count
        lengths = (self.block_count, self.block_count - self.count("nextn_predict_layers"))
        if not isinstance(value, (tuple, list)) or not value or len(value) not in lengths:
            raise self.wrong(key, f"{self.block_count} flags, one per block")
        if not all(isinstance(item, int) for item in value):
            raise self.wrong(key, "flags")
        flags = tuple(bool(item) for item in value)
        return flags + (False,) * (self.block_count - len(flags))

    def sliding_window_pattern(self) -> int | tuple[bool, ...] | None:
        """A period or flags, by what the architecture's loader takes; the rest is ignored."""
        key = "attention.sliding_window_pattern"
        is_array = isinstance(self.keys.get(f"{self.name}.{key}"), (tuple, list, Omitted))
        if self.name in _PATTERN_IS_FLAGS or (is_array and self.name in _PATTERN_IS_EITHER):
            return self.flags(key)
        return None if is_array else self.number(key)


def _heads(reader: _Reader) -> tuple[int, ...]:
    heads = reader.per_block("attention.head_count")
    if heads is not None:
        return heads
    if reader.name not in _WITHOUT_ATTENTION:
        raise _missing(f"{reader.name}.attention.head_count")
    return (0,) * reader.block_count


def _vocabulary(reader: _Reader, tensors: Sequence[TensorInfo]) -> int:
    for tensor in tensors:
        if tensor.name == "token_embd.weight" and len(tensor.dims) > 1:
            return tensor.dims[1]
    tokens = reader.keys.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Omitted):
        return tokens.count
    if isinstance(tokens, (tuple, list)) and tokens:
        return len(tokens)
    size = reader.number("vocab_size")
    if size is None:
        raise _missing("tokenizer.ggml.tokens")
    return size


def _tied(reader: _Reader, tensors: Sequence[TensorInfo] | None) -> bool | None:
    if not tensors:
        return None
    if reader.name in _WITHOUT_OUTPUT:
        return False
    return all(tensor.name != "output.weight" for tensor in tensors)


def _build(reader: _Reader, tensors: Sequence[TensorInfo] | None) -> Architecture:
    number, count = reader.number, reader.count
    embedding_length = reader.required("embedding_length")
    heads = _heads(reader)
    divisor = heads[0] or max(heads)
    head_dim = embedding_length // divisor if divisor else 0
    key_length = number("attention.key_length")
    value_length = number("attention.value_length")
    return Architecture(
        name=reader.name,
        block_count=reader.block_count,
        embedding_length=embedding_length,
        vocab_size=_vocabulary(reader, tensors or ()),
        feed_forward_length=(reader.per_block("feed_forward_length") or (0,) * reader.block_count),
        head_count=heads,
        head_count_kv=reader.per_block("attention.head_count_kv") or heads,
        key_length=head_dim if key_length is None else key_length,
        value_length=head_dim if value_length is None else value_length,
        context_length=number("context_length"),
        key_length_swa=number("attention.key_length_swa"),
        value_length_swa=number("attention.value_length_swa"),
        key_length_mla=number("attention.key_length_mla"),
        value_length_mla=number("attention.value_length_mla"),
        kv_lora_rank=number("attention.kv_lora_rank"),
        q_lora_rank=number("attention.q_lora_rank"),
        rope_dimension_count=number("rope.dimension_count"),
        sliding_window=number("attention.sliding_window"),
        sliding_window_pattern=reader.sliding_window_pattern(),
        shared_kv_layers=count("attention.shared_kv_layers"),
        nextn_predict_layers=count("nextn_predict_layers"),
        expert_count=count("expert_count"),
        expert_used_count=count("expert_used_count"),
        expert_feed_forward_length=number("expert_feed_forward_length"),
        expert_shared_feed_forward_length=number("expert_shared_feed_forward_length"),
        expert_shared_count=count("expert_shared_count"),
        leading_dense_block_count=count("leading_dense_block_count"),
        ssm_conv_kernel=number("ssm.conv_kernel"),
        ssm_inner_size=number("ssm.inner_size"),
        ssm_state_size=number("ssm.state_size"),
        ssm_group_count=count("ssm.group_count"),
        ssm_time_step_rank=number("ssm.time_step_rank"),
        full_attention_interval=number("full_attention_interval"),
        recurrent_layers=reader.flags("attention.recurrent_layers"),
        shortconv_l_cache=number("shortconv.l_cache"),
        wkv_head_size=number("wkv.head_size"),
        token_shift_count=number("token_shift_count"),
        kda_head_dim=number("kda.head_dim"),
        embedding_length_per_layer_input=count("embedding_length_per_layer_input"),
        indexer_key_length=number("attention.indexer.key_length"),
        pooling_type=number("pooling_type"),
        tied_embeddings=_tied(reader, tensors),
    )

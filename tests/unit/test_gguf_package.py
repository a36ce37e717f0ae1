"""Files written and read by the `gguf` package, read by ours."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES

from assistant.models.architecture_keys import architecture_from_metadata
from assistant.models.gguf import Omitted, read_header

# Types that a file can hold; Q8_1 and Q8_K exist only while computing.
STORED = [k for k in GGMLQuantizationType if k.name not in ("Q8_1", "Q8_K")]


def write_model(path: Path, seed: int) -> None:
    """Write a random small model with every way the package stores values."""
    rng = random.Random(seed)
    writer = GGUFWriter(path, "qwen3")
    blocks = rng.randint(1, 6)
    writer.add_block_count(blocks)
    writer.add_context_length(rng.choice([2048, 40960]))
    writer.add_embedding_length(64)
    writer.add_feed_forward_length([rng.randint(1, 512) for _ in range(blocks)])
    writer.add_head_count(8)
    writer.add_head_count_kv(rng.choice([1, 2, 4, 8]))
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_name("a näme")
    writer.add_tags(["one", "two"])
    writer.add_bool("qwen3.flag", rng.random() < 0.5)
    writer.add_uint8("x.u8", 200)
    writer.add_int8("x.i8", -100)
    writer.add_uint16("x.u16", 60000)
    writer.add_int16("x.i16", -30000)
    writer.add_int32("x.i32", -(2**31))
    writer.add_uint64("x.u64", 2**64 - 1)
    writer.add_int64("x.i64", -(2**63))
    writer.add_float64("x.f64", rng.random())
    vocabulary = rng.randint(300, 700)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"tok{i}" for i in range(vocabulary)])
    writer.add_token_types([1] * vocabulary)
    if rng.random() < 0.5:
        writer.add_custom_alignment(rng.choice([32, 64, 256]))
    writer.add_tensor("token_embd.weight", np.zeros((vocabulary, 64), dtype=np.float16))
    for index in range(blocks):
        kind = rng.choice(STORED)
        block, size = GGML_QUANT_SIZES[kind]
        rows, wide = rng.randint(1, 5), block * rng.randint(1, 3)
        data = np.zeros((rows, wide // block * size), dtype=np.uint8)
        name = f"blk.{index}.ffn_down.weight"
        if data.nbytes and block > 1:
            writer.add_tensor(name, data, raw_dtype=kind)
        else:
            writer.add_tensor(name, np.zeros((rows, wide), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def theirs(path: Path) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    reader = GGUFReader(path)
    values = {
        name: entry.contents() for name, entry in reader.fields.items() if "GGUF." not in name
    }
    tensors = [
        (t.name, tuple(int(d) for d in t.shape), t.tensor_type.name, int(t.n_bytes))
        for t in reader.tensors
    ]
    return values, tensors


@pytest.mark.parametrize("seed", range(40))
def test_both_readers_agree(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "model.gguf"
    write_model(path, seed)
    values, tensors = theirs(path)
    header = read_header(path)
    assert [(t.name, t.dims, t.type.name, t.bytes) for t in header.tensors] == tensors
    assert list(header.metadata) == list(values)
    for key, value in header.metadata.items():
        expected = values[key]
        if isinstance(value, Omitted):
            assert value.count == len(expected)
        elif isinstance(value, tuple):
            assert list(value) == list(expected)
        else:
            assert value == expected
    assert header.data_offset + header.data_bytes == path.stat().st_size
    assert header.data_present


def test_an_architecture_from_such_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_model(path, 1)
    values, tensors = theirs(path)
    header = read_header(path)
    arch = architecture_from_metadata(header.metadata, header.tensors)
    assert arch.name == "qwen3"
    assert list(arch.feed_forward_length) == list(values["qwen3.feed_forward_length"])
    assert arch.vocab_size == tensors[0][1][1] == len(values["tokenizer.ggml.tokens"])
    assert arch.key_length == arch.value_length == 64 // 8
    assert arch.tied_embeddings is True

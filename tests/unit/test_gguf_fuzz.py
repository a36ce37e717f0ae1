"""100,000 damaged headers: each gives a header or one GgufError, quickly and in little memory."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc

import pytest
from support.gguf_bytes import LLAMA, LLAMA_TENSORS, Typed, array, gguf_bytes, small_model

from assistant.errors import GgufError
from assistant.models.architecture_keys import architecture_from_metadata
from assistant.models.gguf import read_header
from assistant.units import MIB

SEED = 20260821
RUNS = 100_000
_ALL_TYPES = {
    "general.architecture": "qwen35",
    "qwen35.block_count": 2,
    "qwen35.embedding_length": 64,
    "qwen35.attention.head_count": 4,
    "qwen35.attention.head_count_kv": array(4, [0, 2]),
    "qwen35.attention.recurrent_layers": array(7, [True, False]),
    "qwen35.vocab_size": 100,
    "x.u8": Typed(0, 1),
    "x.f64": Typed(12, 0.5),
    "x.strings": ["a", "bc", "def"],
    "x.nums": array(10, [1, 2, 3]),
    "split.count": Typed(2, 1),
    "general.alignment": 32,
}
BASES = (
    gguf_bytes(_ALL_TYPES, [("mtp.layers.0.a", (32, 2), "Q8_0"), ("blk.0.b", (64,), "F32")]),
    gguf_bytes({k: v for k, v in LLAMA.items() if "tokenizer" not in k}, LLAMA_TENSORS),
    gguf_bytes({**LLAMA, "tokenizer.ggml.tokens": ["<s>"] * 260}, LLAMA_TENSORS[:1]),
)
# Values that loaders have tripped over: sign bits, wrap-arounds, sizes just above limits.
NASTY = (0, 1, 2, 7, 31, 255, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
NASTY_64 = (*NASTY, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)


def damage(rng: random.Random, base: bytes) -> bytes:
    """Return `base` after one to four random damages."""
    body = bytearray(base)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(body) or 1)
        kind = rng.randrange(8)
        if kind == 0:
            del body[at:]
        elif kind == 1:
            del body[at : at + rng.randint(1, 16)]
        elif kind == 2:
            body[at:at] = rng.randbytes(rng.randint(1, 16))
        elif kind == 3:
            body[at : at + 8] = struct.pack("<Q", rng.choice(NASTY_64))
        elif kind == 4:
            body[at : at + 4] = struct.pack("<I", rng.choice(NASTY))
        elif kind == 5:
            other = rng.randrange(len(body) or 1)
            body[at : at + 24] = body[other : other + 24]
        elif body:
            body[at % len(body)] = rng.randrange(256)
    return bytes(body)


def outcome(body: bytes) -> bool:
    """Read like a caller would; True when the header and its architecture were accepted."""
    try:
        header = read_header(lambda offset, length: body[offset : offset + length])
        architecture_from_metadata(header.metadata, header.tensors)
    except GgufError as error:
        message = error.message
    else:
        return True
    assert message
    assert "\n" not in message
    return False


@pytest.mark.slow
def test_100_000_damaged_headers() -> None:
    rng = random.Random(SEED)
    accepted = 0
    slowest = 0.0
    for run in range(RUNS):
        body = damage(rng, BASES[run % len(BASES)])
        start = time.thread_time()
        accepted += outcome(body)
        slowest = max(slowest, time.thread_time() - start)
    # Both outcomes must be well represented, or the damage is not where it matters.
    assert RUNS * 0.05 < accepted < RUNS * 0.9
    assert slowest < 1.0


def test_damaged_headers_take_little_memory() -> None:
    rng = random.Random(SEED + 1)
    bodies = [damage(rng, BASES[run % len(BASES)]) for run in range(1000)]
    tracemalloc.start()
    try:
        for body in bodies:
            outcome(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MIB


@pytest.mark.parametrize(
    "attack",
    [
        gguf_bytes({f"k{i}": array(0, [1] * 4096) for i in range(900)}),
        gguf_bytes({f"k{i}": "x" * 60_000 for i in range(300)}),
        gguf_bytes({f"k{i}": [""] * 256 for i in range(1100)}),
        gguf_bytes({"k": [""] * 400_000}),
        gguf_bytes({"k": array(0, bytes(4_000_000))}),
    ],
    ids=["number arrays", "strings", "string arrays", "one string array", "bytes"],
)
def test_large_sound_headers_are_bounded_too(attack: bytes) -> None:
    def read(offset: int, length: int) -> bytes:
        return attack[offset : offset + length]

    start = time.thread_time()
    assert read_header(read).metadata
    assert time.thread_time() - start < 3
    tracemalloc.start()
    try:
        read_header(read)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The fetched bytes themselves, and a bounded amount of kept values.
    assert peak < 2 * len(attack) + 32 * MIB


def test_an_endless_source_is_given_up() -> None:
    start = time.thread_time()
    fetched = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal fetched
        fetched += length
        head = b"GGUF" + struct.pack("<IQQ", 3, 0, 16_000)
        entry = struct.pack("<Q", 3) + b"k%02d" + struct.pack("<IIQ", 9, 8, 4_000_000)
        return (head + entry % 1).ljust(offset + length, b"\0")[offset : offset + length]

    with pytest.raises(GgufError):
        read_header(read)
    assert fetched <= 64 * MIB
    assert time.thread_time() - start < 20


def test_the_undamaged_headers_are_accepted() -> None:
    assert all(outcome(base) for base in BASES)
    assert outcome(small_model())

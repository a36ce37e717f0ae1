"""Finding the machine inside a question, and nothing where there is none."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.machine.parse import find_machine, find_machine_span
from assistant.machine.records import Machine
from assistant.units import GIB

Expected = tuple[list[tuple[str, float]], float]


def summary(machine: Machine) -> Expected:
    """Return name and GiB of each accelerator, and the GiB of RAM."""
    cards = [(a.name, round((a.memory_total_bytes or 0) / GIB, 1)) for a in machine.accelerators]
    return cards, (machine.ram.total_bytes or 0) / GIB


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("can my 12gb 3060 do llama3.1 8b at q8?", ([("RTX 3060", 12)], 16)),
        ("7b q8_0 on an 8gb card?", ([("GPU with 8 GB", 8)], 16)),
        ("yi 34b q4_k_m on a 4060 ti 16g?", ([("RTX 4060 Ti 16GB", 16)], 32)),
        ("qwen2.5 7b q4_k_m, 32k ctx, 8gb vram?", ([("GPU with 8 GB", 8)], 16)),
        ("i have a 4070 12gb, want one model for chat", ([("RTX 4070", 12)], 16)),
        ("french + german customer support bot, 8gb, company use", ([("GPU with 8 GB", 8)], 16)),
        ("raspberry pi 5 8gb", ([], 8)),
        ("fastest decent model on 24gb for autocomplete", ([("GPU with 24 GB", 24)], 32)),
        ("3080 ti vram", ([("RTX 3080 Ti", 12)], 16)),
        ("my 8gb card", ([("GPU with 8 GB", 8)], 16)),
        ("what runs on my 8GB card?", ([("GPU with 8 GB", 8)], 16)),
        ("a 3060", ([("RTX 3060", 12)], 16)),
        ("8GB laptop", ([], 8)),
        ("two 3090s", ([("RTX 3090", 24)] * 2, 64)),
        ("can i run llama 70b q4 with 2x3090", ([("RTX 3090", 24)] * 2, 64)),
        ("llama3.3 70b on 2x 4090?", ([("RTX 4090", 24)] * 2, 64)),
        ("mac mini m4 16gb", ([("Apple M4", 10.7)], 16)),
        ("16gb m1 air", ([("Apple M1", 10.7)], 16)),
        ("my macbook air m2 8gb", ([("Apple M2", 5.3)], 8)),
        ("no gpu 16 gigs of ram", ([], 16)),
        ("what can I run without a GPU?", ([], 16)),
        ("what can I run with 16GB of RAM and no GPU?", ([], 16)),
        ("is 16gb ram enough for llama3.1:8b", ([], 16)),
        ("is 24gb enough", ([("GPU with 24 GB", 24)], 32)),
        ("will 6 GB do for gemma3:4b", ([("GPU with 6 GB", 6)], 16)),
        ("does gemma3:27b fit in 16 GB of VRAM with 32k?", ([("GPU with 16 GB", 16)], 32)),
        ("the model file is 9GB, will it run on my 8GB GPU?", ([("GPU with 8 GB", 8)], 16)),
        ("it takes 5gb of vram on my 3060", ([("RTX 3060", 12)], 16)),
        ("i've 2 gpus: 3060 12gb and 1070 8gb", ([("RTX 3060", 12), ("GTX 1070", 8)], 32)),
        ("deepseek r1 671b on 8x80gb", ([("GPU with 80 GB", 80)] * 8, 1280)),
        ("mixtral 8x22b on 4xa100", ([("A100 40GB", 40)] * 4, 320)),
        ("my pc has 8gb of ram and intel uhd graphics", ([], 8)),
        ("on a 4 core vps with 8gb ram", ([], 8)),
        ("orange pi 5 16gb", ([], 16)),
        ("gemma3:27b on a mac studio m1 ultra 64gb", ([("Apple M1 Ultra", 48)], 64)),
        ("bge-m3 on my m3", ([("Apple M3", 5.3)], 8)),
        ("minimax m2 on my m2 max 64gb", ([("Apple M2 Max", 48)], 64)),
        ("thinkpad with 32gb ram, what chat model?", ([], 32)),
        ("RTX 4060 laptop with 16GB", ([("RTX 4060 Laptop", 8)], 16)),
        ("dual gpu 3090s", ([("RTX 3090", 24)] * 2, 64)),
        ("M3 Max 40-core GPU 64GB", ([("Apple M3 Max 40-core", 48)], 64)),
        ("12gb+32gb", ([("GPU with 12 GB", 12)], 32)),
        ("my gpu only has 3.5gb free", ([("GPU with 3.5 GB", 3.5)], 16)),
        ("rx 7600 8gb vs 3060 12gb", ([("RX 7600", 8)], 16)),
        ("16gb of unified memory", ([("Apple M1", 10.7)], 16)),
        ("surface with 8 gigs", ([], 8)),
        ("ryzen 5 3600 and 3060", ([("RTX 3060", 12)], 16)),
        ("does qwen3 4b fit a phone with 8gb", ([], 8)),
        ("3.8gb model on 4gb vram", ([("GPU with 4 GB", 4)], 16)),
        ("my rtx 3600 12gb", ([("NVIDIA GPU with 12 GB", 12)], 16)),
        ("can a T4 run qwen 14b", ([("Tesla T4", 16)], 32)),
        ("a100 is 48gb or more so 70b q6 fits, yes?", ([("A100 PCIe 80GB", 48)], 64)),
    ],
)
def test_the_machine_of_a_question_is_found(question: str, expected: Expected) -> None:
    machine = find_machine(question)
    assert machine is not None
    assert summary(machine) == expected


@pytest.mark.parametrize(
    "question",
    [
        "",
        "what about at 128k?",
        "embedding model that handles german docs",
        "Q5_K_M vs Q4_K_M size on 8b",
        "i dont get what the K and M mean in q4_k_m",
        "story writing, is Q3 ok?",
        "why is my 7b using more memory than the download size",
        "mixtral 8x7b total params",
        "llama3.1 8b kv at 32k?",
        "modelfile for chat on llama3.1 8b with 8k",
        "tinyllama needs 638MB of vram?",
        "mixtral takes 26GB",
        "7b fp16 needs 14GB, right?",
        "llama 70b is 40gb, right?",
        "how big is the 40GB model",
        "best under 5GB download",
        "what's the best model under 5GB?",
        "how much vram do i need for 70b q4",
        "qwen 14b vs gemma 12b at 32k",
        "llama 3070?",
        "set num_ctx 3060",
        "num_ctx=3060",
        "4096 tokens",
        "i get 4070 tokens",
        "how long is 2080 tokens",
        "in 2060 will we have AGI",
        "my budget is $3060",
        "why is my model on cpu only",
        "awq vs gguf for my ollama box",
        "bge-m3:567m-fp16",
        "minimax-m2",
        "a2 option",
        "translate this to swedish: good morning",
        "where does ollama keep models on windows, my laptop disk has 20GB storage left",
    ],
)
def test_no_machine_is_made_up(question: str) -> None:
    assert find_machine_span(question) is None


MODEL_WORDS = (
    "llama3.1:8b-instruct-q8_0 llama3.3:70b qwen2.5:14b qwen3:30b-a3b-q4_K_M qwen2.5-coder:7b"
    " gemma2:9b gemma3:12b gemma3n:e4b phi3:14b phi4 mixtral:8x7b mixtral:8x22b mistral-small3.1"
    " gpt-oss:20b deepseek-v3:671b deepseek-r1:1.5b-qwen-distill-q4_K_M codellama:34b yi:34b-chat"
    " falcon:180b starcoder2:3b nomic-embed-text bge-m3:567m minimax-m2 snowflake-arctic-embed2"
    " command-r-plus:104b granite3.3:8b smollm2:1.7b-instruct-fp16 olmo2:13b aya:35b"
).split()


@pytest.mark.parametrize("model", MODEL_WORDS)
@pytest.mark.parametrize("form", ["can i run {}?", "{}", "is {} any good at 32k ctx with q5_K_M"])
def test_model_names_are_not_hardware(model: str, form: str) -> None:
    assert find_machine_span(form.format(model)) is None
    assert find_machine_span(form.format(model.replace(":", " ").replace("-", " "))) is None


@pytest.mark.parametrize("model", MODEL_WORDS)
def test_a_model_beside_it_does_not_change_the_machine(model: str) -> None:
    found = find_machine_span(f"can my 12gb 3060 run {model} at 16k?")
    assert found is not None
    assert summary(found[0]) == ([("RTX 3060", 12)], 16)
    assert [f"can my 12gb 3060 run {model} at 16k?"[a:b] for a, b in found[1]] == ["12gb", "3060"]


@pytest.mark.parametrize(
    ("question", "places"),
    [
        ("can my 12gb 3060 do llama3.1 8b at q8?", ["12gb", "3060"]),
        ("8 gb vram 16 gb ram", ["8 gb vram", "16 gb ram"]),
        ("I run two RTX 3090s, 64GB of DDR5-5600", ["two RTX 3090s", "64GB of DDR5-5600"]),
        ("M2 Max with 32GB of RAM", ["M2 Max", "32GB of RAM"]),
        ("Ryzen 7 5700X, no gpu", ["Ryzen 7 5700X", "no gpu"]),
    ],
)
def test_the_places_of_the_machine_are_told(question: str, places: list[str]) -> None:
    found = find_machine_span(question)
    assert found is not None
    assert [question[start:end] for start, end in found[1]] == places


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("3060 or 4070 for a 14b?", "RTX 3060"),
        ("rtx 5090 vs 4090 for llms", "RTX 5090"),
        ("is a 5060 ti 16gb better than a 3090", "RTX 5060 Ti 16GB"),
    ],
)
def test_cards_that_are_compared_are_not_added_up(question: str, first: str) -> None:
    machine = find_machine(question)
    assert machine is not None
    assert [a.name for a in machine.accelerators] == [first]


def test_the_reading_of_a_bare_amount_is_said() -> None:
    machine = find_machine("chat bot, 8gb, company use")
    assert machine is not None
    assert "8gb: read as video memory (VRAM), not RAM" in machine.assumptions


@given(st.text(max_size=200))
def test_no_question_raises(text: str) -> None:
    found = find_machine_span(text)
    if found is not None:
        assert all(0 <= start < end <= len(text) for start, end in found[1])


WORDS = st.sampled_from(
    ["3060", "8gb", "16gb", "2x", "x2", "ram", "vram", "laptop", "free", "of", "is", "needs", "-",
     "or", "m1", "no gpu", "llama", "8b", "q4", "32k", "?", ",", "0gb", "99999gb", "i7", "mac",
     "GB/s", "total", "two", "A100", "pi 5", "ddr4", "at least", "or more", "İ", "²", "\u0000"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_no_mixture_of_words_raises(text: str) -> None:
    found = find_machine_span(text)
    if found is not None:
        spans = found[1]
        assert spans == sorted(spans)
        assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_long_texts_are_quick() -> None:
    for filler in ("8gb ", "a ", "with ", "3060 ", "-", "ryzen 5 ", "1", "x", "2 x ", "nvidia "):
        started = time.perf_counter()
        find_machine_span(filler * 5000)
        assert time.perf_counter() - started < 2.0

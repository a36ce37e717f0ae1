"""Which questions are about the model and its computer, and what they are answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.chat.about_facts import gather_facts
from assistant.chat.about_machine import (
    AboutTopic,
    MachineFacts,
    about_topics,
    compose_about,
    fact_line,
    is_only_about,
)
from assistant.chat.own_model import OwnModel
from assistant.errors import OllamaError
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import RunOptions
from assistant.machine.parse import parse_machine
from assistant.models.catalog import load_catalog
from assistant.ollama.records import InstalledModel, LoadedModel, ShownModel
from assistant.ollama.server_address import ServerAddress, parse_address
from assistant.recommend import recommend
from assistant.recommend.records import Needs
from assistant.units import GIB

CARD = parse_machine("RTX 3060 12GB, 32GB RAM")
FACTS = MachineFacts(
    name="qwen3:4b",
    server="http://127.0.0.1:11434",
    num_ctx=16384,
    quantization="Q4_K_M",
    parameter_size="4.0B",
    parameters_total=4_000_000_000,
    trained_num_ctx=40960,
)


@pytest.mark.parametrize(
    "text, topics",
    [
        ("What model are you?", ("model",)),
        ("which model is this", ("model",)),
        ("Hi, which model am I talking to right now?", ("model",)),
        ("how many parameters do you have?", ("model",)),
        ("Which quantization do you use?", ("model",)),
        ("Are you running locally?", ("model",)),
        ("How much memory do you use?", ("memory",)),
        ("how much VRAM does this model take up", ("memory",)),
        ("Are you running on the GPU or the CPU?", ("memory",)),
        ("Could I run a bigger one?", ("bigger",)),
        ("can this computer run a larger model?", ("bigger",)),
        ("Would a better model fit?", ("bigger",)),
        ("What is your context length?", ("context",)),
        ("how many tokens can you remember?", ("context",)),
        ("How large is your context window?", ("context",)),
        ("what model are you, how much memory do you use, could I run a bigger one",
         ("model", "memory", "bigger")),
        ("Hello! What model are you and what is your context? Thanks", ("model", "context")),
    ],
)  # fmt: skip
def test_such_questions_are_recognised(text: str, topics: tuple[AboutTopic, ...]) -> None:
    assert about_topics(text) == topics
    assert is_only_about(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "Hello, thanks",
        "What model of car should I buy?",
        "What model are you using in the second experiment of the paper?",
        "How much memory does a hash table use?",
        "How much memory do you use in the solution above?",
        "Can I run a marathon?",
        "Could we use a larger sample?",
        "Explain the context of the French Revolution",
        "What is the context of this quote?",
        "who are you",
        "Write a story in which a robot is asked: what model are you?",
        "Translate 'how much memory do you use?' into German",
        "```\nwhat model are you?\n```",
        "What model are you? " + "x" * 300,
    ],
)
def test_other_questions_are_left_to_the_model(text: str) -> None:
    assert not is_only_about(text)


def test_a_message_with_more_in_it_is_not_only_about_that() -> None:
    text = "What model are you, and can you write a poem?"
    assert about_topics(text) == ("model",)
    assert not is_only_about(text)


def test_the_model_and_its_context() -> None:
    told = compose_about(("model", "context"), replace(FACTS, used_tokens=1234))
    assert told == (
        "This is `qwen3:4b` (4.0B parameters, quantized to Q4_K_M), run by Ollama on this "
        "computer.\n\nThe context is 16,384 tokens, of which this conversation takes about 1,234. "
        "It was trained for 40k.\n\nWhat a longer one costs: `assistant tune qwen3:4b`"
    )


@pytest.mark.parametrize(
    "size, vram, words",
    [
        (6 * GIB, 6 * GIB, "It takes 6.0 GiB of memory with 16k tokens of context: all of it in "
         "the memory of the RTX 3060."),
        (8 * GIB, 6 * GIB, "6.0 GiB in the GPU's memory and 2.0 GiB in RAM (25 % of it on the "
         "CPU)"),
        (3 * GIB, 0, "all of it in RAM, on the CPU"),
    ],
)  # fmt: skip
def test_memory_as_the_server_says(size: int, vram: int, words: str) -> None:
    facts = replace(FACTS, size_bytes=size, vram_bytes=vram, machine=CARD)
    told = compose_about(("memory",), facts)
    assert words in told
    assert ("assistant doctor" in told) == (vram < size)


def test_memory_of_a_model_that_is_not_loaded_is_an_estimate() -> None:
    card, tag = load_catalog().find("qwen3:4b")
    estimate = estimate_fit(facts_from_card(card, tag), CARD, RunOptions(num_ctx=16384))
    told = compose_about(("memory",), replace(FACTS, estimate=estimate))
    assert "not in memory at the moment" in told
    assert f"about {estimate.memory.total_bytes / GIB:.1f} GiB" in told
    assert "(an estimate)" in told
    assert "could not be computed" in compose_about(("memory",), FACTS)


def test_what_the_server_leaves_out_is_told() -> None:
    card, tag = load_catalog().find("gemma3:12b")
    estimate = estimate_fit(facts_from_card(card, tag), CARD, RunOptions(num_ctx=16384))
    total = estimate.memory.total_bytes
    less = replace(FACTS, estimate=estimate, size_bytes=total * 8 // 10, vram_bytes=total * 8 // 10)
    told = compose_about(("memory",), less)
    assert f"with what it leaves out about {total / GIB:.1f} GiB" in told
    assert "leaves out" not in compose_about(("memory",), replace(less, size_bytes=total))
    assert "leaves out" not in compose_about(("memory",), replace(less, num_ctx=8192))


def test_a_bigger_model_without_a_gpu_runs_on_the_cpu() -> None:
    machine = parse_machine("CPU only, 16GB RAM")
    pick = recommend(machine, Needs("chat", num_ctx=4096), load_catalog()).picks[0]
    told = compose_about(("bigger",), replace(FACTS, machine=machine, bigger=pick))
    assert "runs on the CPU (" in told


def test_a_bigger_model_is_named_with_what_it_takes() -> None:
    pick = recommend(CARD, Needs("chat", num_ctx=16384), load_catalog()).picks[0]
    told = compose_about(("bigger",), replace(FACTS, machine=CARD, bigger=pick))
    assert told.startswith(f"Yes: `{pick.model}`")
    assert "stays entirely on the RTX 3060" in told
    assert told.endswith(f"Get it: `{pick.pull}`")
    none = compose_about(("bigger",), replace(FACTS, machine=CARD))
    assert none.startswith("No larger model")


def test_a_server_elsewhere_and_a_cloud_are_said_to_be_so() -> None:
    far = replace(FACTS, server="http://10.0.0.9:11434", is_local=False)
    assert "on the server at http://10.0.0.9:11434" in compose_about(("model",), far)
    assert "on another computer" in compose_about(("bigger",), far)
    cloud = replace(FACTS, remote=True)
    assert "runs in a cloud" in compose_about(("model",), cloud)
    assert "no memory" in compose_about(("memory",), cloud)
    assert "in a cloud" in fact_line(cloud)


def test_the_line_for_the_model_has_the_same_figures() -> None:
    line = fact_line(replace(FACTS, size_bytes=6 * GIB))
    for figure in ("qwen3:4b (4.0B, Q4_K_M)", "16,384 tokens", "6.0 GiB"):
        assert figure in line
    assert "\n" not in line


class Server:
    """A server with one model in memory, or one that does not answer."""

    def __init__(self, address: str = "127.0.0.1:11434", *, answers: bool = True) -> None:
        self.address: ServerAddress = parse_address(address)
        self.answers = answers

    def installed_models(self) -> tuple[InstalledModel, ...]:
        return (InstalledModel("tiny:latest"),)

    def loaded_models(self) -> tuple[LoadedModel, ...]:
        return (LoadedModel("tiny:latest", 2 * GIB, 2 * GIB, 8192),)

    def show(self, name: str) -> ShownModel:
        if not self.answers:
            raise OllamaError("it does not answer.")
        return ShownModel(name, {}, quantization="Q8_0", parameter_size="1.2B")

    show_with_arrays = show


OWN = OwnModel("tiny", frozenset({"completion"}), 4096)


def test_facts_are_gathered_from_the_server() -> None:
    facts = gather_facts(Server(), OWN, topics=("memory",), num_ctx=4096, detect=lambda: CARD)
    assert (facts.size_bytes, facts.num_ctx, facts.quantization) == (2 * GIB, 8192, "Q8_0")
    assert facts.machine == CARD
    assert facts.estimate is None  # nothing is known of its architecture
    bigger = gather_facts(Server(), OWN, topics=("bigger",), num_ctx=4096, detect=lambda: CARD)
    assert bigger.bigger is not None
    assert bigger.bigger.estimate.placement.verdict == "gpu"


def test_this_computer_is_not_looked_at_for_a_server_elsewhere_or_without_need() -> None:
    def never() -> object:
        raise AssertionError("nobody should look")

    far = gather_facts(
        Server("10.0.0.9:11434"),
        OWN,
        topics=("bigger",),
        num_ctx=4096,
        detect=never,  # type: ignore[arg-type]
    )
    assert (far.is_local, far.machine) == (False, None)
    near = gather_facts(Server(), OWN, topics=("model",), num_ctx=4096, detect=never)  # type: ignore[arg-type]
    assert near.machine is None


def test_a_server_that_does_not_answer_leaves_facts_unknown() -> None:
    facts = gather_facts(Server(answers=False), OWN, topics=("model", "memory"), num_ctx=4096)
    assert (facts.size_bytes, facts.quantization, facts.num_ctx) == (None, None, 4096)
    assert "`tiny`" in compose_about(("model", "memory"), facts)

"""Which questions are about the model and its computer, and what they are answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.agent.answer import answer_question
from assistant.chat.about_facts import gather_facts
from assistant.chat.about_machine import MachineFacts, compose_about, fact_line
from assistant.chat.about_words import (
    AboutTopic,
    about_topics,
    is_only_about,
    models_asked_about,
)
from assistant.chat.own_model import OwnModel
from assistant.errors import OllamaError
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import RunOptions
from assistant.machine.parse import parse_machine
from assistant.machine.records import MeasuredRun
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
        ("can I run llama3.3:70b?", ("run",)),
        ("Could I run Qwen3 8B here?", ("run",)),
        ("does gpt-oss:20b fit on my card", ("run",)),
        ("what gpu do I have?", ("gpu",)),
        ("Which graphics card does this computer have?", ("gpu",)),
        ("how fast are you?", ("speed",)),
        ("How many tokens per second do you generate?", ("speed",)),
        ("is anything sent to the internet?", ("private",)),
        ("does my data leave this computer?", ("private",)),
        ("Do you send anything to the cloud?", ("private",)),
        # German
        ("Welches Modell bist du?", ("model",)),
        ("Mit welchem Modell spreche ich gerade?", ("model",)),
        ("Wie viel Speicher brauchst du?", ("memory",)),
        ("Wieviel VRAM verbrauchst du gerade?", ("memory",)),
        ("Kann ich ein größeres Modell laufen lassen?", ("bigger",)),
        ("Wie groß ist dein Kontextfenster?", ("context",)),
        ("Kann ich llama3.3:70b laufen lassen?", ("run",)),
        ("Läuft llama3.3:70b auf meinem Rechner?", ("run",)),
        ("Welche Grafikkarte habe ich?", ("gpu",)),
        ("Wie schnell bist du?", ("speed",)),
        ("Wird etwas ins Internet gesendet?", ("private",)),
        ("Werden meine Daten ins Internet übertragen?", ("private",)),
        ("Welches Modell bist du und wie viel Speicher brauchst du?", ("model", "memory")),
        # French
        ("Quel modèle es-tu ?", ("model",)),
        ("Combien de mémoire utilises-tu ?", ("memory",)),
        ("Puis-je faire tourner un modèle plus grand ?", ("bigger",)),
        ("Est-ce que je peux utiliser un plus gros modèle ?", ("bigger",)),
        ("Quelle est la taille de ton contexte ?", ("context",)),
        ("Est-ce que je peux faire tourner llama3.3:70b ?", ("run",)),
        ("Quelle carte graphique ai-je ?", ("gpu",)),
        ("À quelle vitesse réponds-tu ?", ("speed",)),
        ("Est-ce que quelque chose est envoyé sur Internet ?", ("private",)),
        ("Mes données sont-elles envoyées sur internet ?", ("private",)),
        # Spanish
        ("¿Qué modelo eres?", ("model",)),
        ("¿Cuánta memoria usas?", ("memory",)),
        ("cuanta memoria usas", ("memory",)),
        ("¿Puedo usar un modelo más grande?", ("bigger",)),
        ("¿Cuál es tu contexto?", ("context",)),
        ("¿Puedo ejecutar llama3.3:70b?", ("run",)),
        ("¿Qué tarjeta gráfica tengo?", ("gpu",)),
        ("¿Qué tan rápido eres?", ("speed",)),
        ("¿Se envía algo a internet?", ("private",)),
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
        "can I run python3?",
        "can I run python:3.12?",
        "Can I run 10 km?",
        "how fast is it?",
        "how fast are cheetahs?",
        "what gpu should I buy?",
        "is anything sent to the printer?",
        "Is this private?",
        "how much memory does python use?",
        "Wie schnell bist du gerannt, als du ein Kind warst?",
        "Wie viel Speicher braucht ein Wörterbuch?",
        "Quel modèle de voiture dois-je acheter ?",
        "¿Qué modelo de coche compro?",
        "Write a story in which a robot is asked: what model are you?",
        "Translate 'how much memory do you use?' into German",
        "```\nwhat model are you?\n```",
        "What model are you? " + "x" * 300,
    ],
)
def test_other_questions_are_left_to_the_model(text: str) -> None:
    assert not is_only_about(text)


def test_the_models_that_are_asked_about_are_named() -> None:
    text = "Can I run Llama3.3:70b, would qwen3:4b fit and what gpu do I have?"
    assert about_topics(text) == ("run", "gpu")
    assert is_only_about(text)
    assert models_asked_about(text) == ("llama3.3:70b", "qwen3:4b")
    assert models_asked_about("what gpu do I have?") == ()


def test_the_gpu_of_this_computer() -> None:
    with_card = compose_about(("gpu",), replace(FACTS, machine=CARD))
    assert "RTX 3060" in with_card
    assert "of 12 GiB without this model" in with_card
    cpu = parse_machine("CPU only, 16GB RAM")
    assert "No GPU was found" in compose_about(("gpu",), replace(FACTS, machine=cpu))
    assert "not looked at" in compose_about(("gpu",), FACTS)
    assert "on another computer" in compose_about(("gpu",), replace(FACTS, is_local=False))


def test_speed_is_measured_here_or_before_or_expected() -> None:
    card, tag = load_catalog().find("qwen3:4b")
    estimate = estimate_fit(facts_from_card(card, tag), CARD, RunOptions(num_ctx=16384))
    expected = replace(FACTS, estimate=estimate)
    before = replace(expected, measured_speed=55.24, measured_on="2026-11-20")
    here = replace(before, chat_speed=61.0)
    assert "known when it has written" in compose_about(("speed",), FACTS)
    assert "are expected" in compose_about(("speed",), expected)
    assert "55.2 tokens/s when it was last measured, on 2026-11-20" in compose_about(
        ("speed",), before
    )
    assert compose_about(("speed",), here).startswith("It writes 61.0 tokens/s")


def test_where_what_is_written_goes() -> None:
    here = compose_about(("private",), FACTS)
    assert here.startswith("No: ")
    assert FACTS.server in here
    far = replace(FACTS, server="http://10.0.0.9:11434", is_local=False)
    told = compose_about(("private",), far)
    assert "sent over the network to the Ollama server at http://10.0.0.9:11434" in told
    assert compose_about(("private",), replace(FACTS, remote=True)).startswith("Yes: ")


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
        (6 * GIB, 6 * GIB, "It uses 6.0 GiB of memory, all of it on the GPU. That includes 16k "
         "tokens of context."),
        (8 * GIB, 6 * GIB, "6.0 GiB of it on the GPU and 2.0 GiB in RAM (25 % of it on the CPU)"),
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
    assert (
        f"It uses {total * 0.8 / GIB:.1f} GiB of memory, all of it on the GPU "
        f"({total / GIB:.1f} GiB with what the server does not count)."
    ) in told
    assert "not count" not in compose_about(("memory",), replace(less, size_bytes=total))
    assert "not count" not in compose_about(("memory",), replace(less, num_ctx=8192))


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


def test_a_named_model_is_answered_as_ask_does_and_its_measured_speed_is_found() -> None:
    run = MeasuredRun("tiny", "Q8_0", 8192, "gpu", 80.5, "2026-11-20")
    old = replace(run, decode_tokens_per_s=70.0, measured_on="2026-10-01")
    machine = replace(CARD, measured_runs=(run, old, replace(run, model="other")))
    facts = gather_facts(
        Server(), OwnModel("tiny:latest", frozenset({"completion"}), 4096),
        topics=("run", "speed"), num_ctx=4096, named=("llama3.3:70b", "llama3.1:8b"),
        detect=lambda: machine,
    )  # fmt: skip
    assert (facts.measured_speed, facts.measured_on) == (80.5, "2026-11-20")
    for name, told in zip(("llama3.3:70b", "llama3.1:8b"), facts.runs, strict=True):
        assert told == answer_question(f"can I run {name}?", detect=lambda: machine).text
    assert compose_about(("run",), facts).startswith("No")


def test_a_server_that_does_not_answer_leaves_facts_unknown() -> None:
    facts = gather_facts(Server(answers=False), OWN, topics=("model", "memory"), num_ctx=4096)
    assert (facts.size_bytes, facts.quantization, facts.num_ctx) == (None, None, 4096)
    assert "`tiny`" in compose_about(("model", "memory"), facts)

"""Whatever is asked one after another has an answer, or an error that says what is wrong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.agent.answer import answer_question
from assistant.errors import AssistantError
from assistant.machine.parse import parse_machine
from assistant.models.catalog import load_catalog

CATALOG = load_catalog()
MACHINE = parse_machine("RTX 3060 12GB, 32GB RAM")
QUESTIONS: list[str] = [
    entry["question"]
    for name in ("questions", "more_questions")
    for entry in json.loads(
        (Path(__file__).parents[1] / "data" / "qa" / f"{name}.json").read_text("utf-8")
    )
]
FOLLOW_UPS = (
    "and with 32k?", "is it Apache?", "how fast?", "what runs on it?", "which one is better?",
    "can I use it commercially?", "what about the licence?", "and q4?", "how do I install it?",
    "show me a Modelfile for it", "what is its context?", "and on a 3060?", "how big is it?",
    "same with q8_0 kv cache", "what about vision?", "and in French?", "does it have tools?",
    "something smaller instead", "which is faster?", "what quantization?", "best one?",
    "why does it need so much memory?", "and llama3.1:8b?", "could I run a bigger model?",
    "how do I make Ollama use more context?", "and what is the capital of France?",
    "which models can you compare, and how much memory do elephants have?",
)  # fmt: skip
asked = st.one_of(st.sampled_from(FOLLOW_UPS), st.sampled_from(QUESTIONS), st.text(max_size=30))


@settings(max_examples=300, deadline=None)
@given(history=st.lists(asked, max_size=4), text=asked)
def test_no_sequence_of_questions_breaks_an_answer(history: list[str], text: str) -> None:
    with contextlib.suppress(AssistantError):
        answer = answer_question(text, history=history, catalog=CATALOG, detect=lambda: MACHINE)
        assert answer.text.strip()


@pytest.mark.parametrize("text", FOLLOW_UPS)
@pytest.mark.parametrize(
    "history",
    [
        ("one model for chat and a bit of python on a 4070 12gb", "what is its context?"),
        ("a 64gb mac runs which models?", "does quantizing change a models licence"),
        ("which model for code on a 3060?", "how do I install it?"),
    ],
)
def test_a_follow_up_to_one_about_the_recommended_model(
    history: tuple[str, ...], text: str
) -> None:
    assert answer_question(text, history=history, catalog=CATALOG, detect=lambda: MACHINE).text


def test_the_recommended_model_stays_the_one_that_is_meant() -> None:
    history = ["which model for code on a 3060 12gb?", "what is its context?"]
    picked = answer_question(history[1], history=history[:1], catalog=CATALOG)
    again = answer_question("and its licence?", history=history, catalog=CATALOG)
    run = answer_question("and with 32k?", history=history, catalog=CATALOG)
    named = next(c.arguments["model"] for c in picked.tool_calls if c.name == "model_info")
    assert named in again.text
    assert named in run.text


@pytest.mark.parametrize(
    "text",
    [
        "how do I make Ollama use more context?",
        "why is Ollama slow?",
        "where are Ollama's models stored?",
        "how can I quantize a GGUF file?",
    ],
)
@pytest.mark.parametrize(
    "history",
    [
        ("does llama3.1:8b fit on a 3060?",),
        ("what model are you?", "how much memory do you use?"),
        ("which model for code on a 3060?", "what is its context?"),
    ],
)
def test_a_question_with_an_object_of_its_own_is_read_alone(
    history: tuple[str, ...], text: str
) -> None:
    after = answer_question(text, history=history, catalog=CATALOG, detect=lambda: MACHINE)
    assert after == answer_question(text, catalog=CATALOG, detect=lambda: MACHINE)

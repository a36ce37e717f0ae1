"""Torture: a real model of 135M parameters talks nonsense, and every fact shown is still right.

It needs two packages (see `tests/support/small_model.py`); without them the test is skipped and
says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from assistant.agent.engine import answer_with_engine, passages_of
from assistant.agent.evidence import gather_evidence
from assistant.agent.grounding import ground
from assistant.agent.loop import LoopLimits
from assistant.agent.model_words import ModelWords
from assistant.agent.records import Answer
from assistant.machine.parse import parse_machine
from assistant.models.catalog import load_catalog
from tests.support.ollama_server import FakeOllama, ServedModel, serving
from tests.support.small_model import SmallModel, why_missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_missing() is not None, reason=str(why_missing())),
]

QUESTIONS = (
    "what runs on my 8GB card?",
    "does qwen2.5:14b fit on a 3060 12GB at 16k?",
    "can a 4090 run llama3.3 70b at 8k?",
    "compare mistral 7b and llama3.1 8b on a 3060 12GB",
    "what is the licence of gemma2?",
    "how many parameters does mixtral 8x7b have?",
    "gemma 2 context?",
    "which quantization of llama3.1 8b for code on 8GB?",
    "llama3.1 8b kv at 32k?",
    "3080 ti vram",
    "why does partial offload kill speed",
    "does ollama create download the whole model again",
)
NAME = "smollm2:135m"
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_TAG = re.compile(r"\b[a-z][a-z0-9.-]*:[a-z0-9][A-Za-z0-9._-]*")
_LEVEL = re.compile(r"\bI?Q\d_[A-Z0-9_]+\b")
_LICENCES = ("Apache", "MIT", "Llama 2", "Llama 3", "Gemma Terms", "CC BY", "GPL", "BSD")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOllama]:
    model = ServedModel(
        SmallModel(),
        size=98_362_745,
        capabilities=("completion",),
        quantization_level="Q4_1",
        parameter_size="134.52M",
        context_length=8192,
    )
    with serving({NAME: model}) as running:
        yield running


def allowed_text(answer: Answer, composed: Answer) -> str:
    """Return everything that backs the answer, as one text."""
    results = json.dumps([call.result for call in answer.tool_calls])
    passages = "\n".join(p.text for p in passages_of(answer.citations))
    return f"{composed.text}\n{results}\n{passages}"


def assert_backed(shown: str, backing: str) -> None:
    """Check by other means than grounding's own that nothing in `shown` is made up."""
    numbers = {float(n.replace(",", "")) for n in _NUMBER.findall(backing)}
    units = (1.0, 1e3, 1e6, 1e9, 2.0**10, 2.0**20, 2.0**30)
    for text in _NUMBER.findall(re.sub(r"\[\d+\]", "", shown)):
        number = float(text.replace(",", ""))
        half = 0.51 * 10.0 ** -len(text.partition(".")[2])
        near = any(abs(n / unit - number) <= half for n in numbers for unit in units)
        assert near, f"{text} is in no evidence: {shown}"
    for pattern in (_TAG, _LEVEL):
        for name in pattern.findall(shown):
            assert name.lower() in backing.lower(), f"{name} is in no evidence: {shown}"
    for licence in _LICENCES:
        assert licence not in shown or licence in backing, licence


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_fact_shown_is_backed(server: FakeOllama, question: str) -> None:
    machine = parse_machine("RTX 3060 12GB, 32GB RAM")
    heard: list[str] = []
    options: dict[str, Any] = {"detect": lambda: machine}
    composed = answer_with_engine(question, no_llm=True, **options)
    answer = answer_with_engine(
        question,
        server=server.address,
        limits=LoopLimits(num_predict=80),
        on_token=heard.append,
        **options,
    )
    assert heard, "the model was not asked"
    backing = allowed_text(answer, composed)
    assert_backed(answer.text, backing)
    lead = composed.text.split("\n\n")[0]
    assert answer.text == composed.text or lead in answer.text or answer.engine.kind == "ollama"
    evidence = gather_evidence(
        composed.tool_calls,
        composed=composed.text,
        passages=passages_of(composed.citations),
        words=ModelWords(load_catalog().family_names()),
    )
    raw = "".join(heard)
    once = ground(raw, evidence)
    assert_backed(once.text, backing)
    assert ground(once.text, evidence).text == once.text

"""Our own questions, in the form of the question file, worded independently of the guides.

The regexes judge facts, so a few misses are allowed; not where a wrong answer misleads: traps,
injections, and what is out of scope.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.machine.parse import parse_machine
from benchmarks.answers import Score, score_question

QUESTIONS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "qa" / "more_questions.json").read_text("utf-8")
)
LEAST_SHARE = 0.95


def score(entry: dict[str, Any], patch: pytest.MonkeyPatch) -> Score:
    """Score a question on a described computer, so that all computers test the same."""
    patch.setattr(
        "assistant.agent.answer._detect_this_computer", lambda: parse_machine("cpu, 16 GB RAM")
    )
    return score_question(entry)


def must_be_right(entry: dict[str, Any]) -> bool:
    return entry["category"] in ("trap", "out-of-scope") or "injection" in entry["tags"]


@pytest.mark.parametrize(
    "entry", [q for q in QUESTIONS if must_be_right(q)], ids=lambda q: str(q["id"])
)
def test_traps_injections_and_what_is_out_of_scope(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = score(entry, monkeypatch)
    assert result.passed, (result.question, result.missing, result.forbidden, result.answer)


def test_nearly_all_questions_are_answered_right(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [s for s in (score(entry, monkeypatch) for entry in QUESTIONS) if not s.passed]
    share = 1 - len(wrong) / len(QUESTIONS)
    assert share >= LEAST_SHARE, [(s.id, s.question) for s in wrong]


def test_the_questions_are_well_formed() -> None:
    ids = [entry["id"] for entry in QUESTIONS]
    assert len(ids) == len(set(ids)) >= 160
    for entry in QUESTIONS:
        assert {"category", "question", "history", "must", "must_not", "gold", "bad"} <= set(entry)
        assert entry["must"], entry["id"]

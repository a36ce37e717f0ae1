"""Tests of `assistant.knowledge.likeness`: near matches of listed questions come first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.knowledge.bm25 import Bm25Index, Hit
from assistant.knowledge.likeness import ListedQuestions, all_words
from assistant.knowledge.passages import Passage


def passage(section: str, *asked: str, text: str = "") -> Passage:
    return Passage(id=section, guide="Guide", section=section, text=text, asked=asked)


PASSAGES = (
    passage(
        "Which parameters work",
        "parameter list of a modelfile",
        "which parameters does ollama know",
        text="PARAMETER honours parameters at loading, and parameters for sampling.",
    ),
    passage("What parameters are", "what are parameters", "what does 8b mean", text="Numbers."),
    passage("Colours", "which colours are there", text="Red."),
)


def test_a_question_that_is_listed_is_wholly_alike() -> None:
    listed = ListedQuestions(PASSAGES)
    assert listed.likeness("What are parameters?", 1) == pytest.approx(1.0)
    assert listed.likeness("what are parameters", 0) < 0.8
    assert listed.likeness("what are parameters", 2) < 0.5
    assert listed.likeness("zzz", 1) == 0.0


def test_a_listed_question_passes_a_section_that_repeats_its_words() -> None:
    query = "what are parameters"
    hits = Bm25Index(PASSAGES).search(query, 3)
    assert hits[0].index == 0
    assert ListedQuestions(PASSAGES).reorder(query, hits)[0].index == 1


def test_small_words_are_kept_and_marked() -> None:
    assert all_words("What's a token?") == all_words("what is a token")
    assert all_words("doesn't it fit") == all_words("does it not fit")
    assert "~a" in all_words("a token")
    assert all_words("quantizing") == all_words("quantized")


def test_a_passage_without_listed_questions_is_compared_by_its_heading() -> None:
    listed = ListedQuestions((passage("Flash attention"), passage("", "flash")))
    assert listed.likeness("flash attention", 0) == pytest.approx(1.0)


@given(st.text(max_size=80))
def test_likeness_lies_between_nothing_and_the_same(query: str) -> None:
    listed = ListedQuestions(PASSAGES)
    assert all(0.0 <= listed.likeness(query, n) <= 1.0 + 1e-9 for n in range(len(PASSAGES)))


@given(st.text(max_size=80))
def test_reordering_keeps_the_hits_and_deals_out_their_scores_again(query: str) -> None:
    hits = Bm25Index(PASSAGES).search(query, 3)
    after = ListedQuestions(PASSAGES).reorder(query, hits)
    assert {hit.index for hit in after} == {hit.index for hit in hits}
    assert [hit.score for hit in after] == sorted((hit.score for hit in hits), reverse=True)
    coverage = {hit.index: hit.coverage for hit in hits}
    assert all(hit.coverage == coverage[hit.index] for hit in after)


def test_a_listed_question_passes_hits_with_several_times_its_score() -> None:
    crowd = tuple(
        passage(f"Speed {n}", "how fast is it", text="token tokens token speed " * 5)
        for n in range(4)
    )
    passages = (*crowd, passage("Token", "what is a token", text="The unit of text."))
    hits = [Hit(index=n, score=score) for n, score in enumerate((10.0, 9.0, 8.0, 7.0, 2.0))]
    assert ListedQuestions(passages).reorder("what is a token?", hits)[0].index == 4

"""The guides' format: front matter, sections, and what is indexed but never shown."""

from __future__ import annotations

import pytest

from assistant.errors import FileProblemError
from assistant.knowledge.guides import load_guides, parse_guide
from assistant.knowledge.passages import fingerprint, passages_of_guides

TEXT = """\
+++
title = "T"
topics = ["a", "b"]
as_of = "2026-11-21"
sources = ["s"]
+++

# T

## First
<!-- asked: what is it | why
is it so -->

One is v1.5 of two. Three.

<!-- table: x -->
| a |
<!-- end table -->

## Second

Text.
"""


def test_a_guide_is_read() -> None:
    guide = parse_guide("t", TEXT)
    assert (guide.title, guide.topics, guide.as_of, guide.sources) == (
        "T", ("a", "b"), "2026-11-21", ("s",),
    )  # fmt: skip
    first, second = guide.sections
    assert first.asked == ("what is it", "why is it so")
    assert first.first_sentence == "One is v1.5 of two."
    assert "<!--" not in first.text
    assert "| a |" in first.text
    assert (second.heading, second.asked) == ("Second", ())
    assert guide.section("Second") is second


@pytest.mark.parametrize(
    "text", ["", "# T\n\n## S\n", "+++\ntitle = 1\n+++\n", "+++\n[\n+++\n", "x\n+++\n+++\n"]
)
def test_a_guide_without_its_front_matter_is_refused(text: str) -> None:
    with pytest.raises(FileProblemError):
        parse_guide("t", text)


def test_every_section_is_one_passage_and_ids_are_unique() -> None:
    guides = load_guides()
    passages = passages_of_guides(guides.values())
    assert len(passages) == sum(len(guide.sections) for guide in guides.values())
    assert len({passage.id for passage in passages}) == len(passages)
    assert all(passage.origin == "bundled" and passage.text for passage in passages)


def test_questions_are_searched_and_neither_shown_nor_embedded() -> None:
    passage = passages_of_guides([parse_guide("t", TEXT)])[0]
    assert "why is it so" in passage.searched
    assert "why is it so" not in passage.embedded + passage.text


def test_the_fingerprint_follows_the_text() -> None:
    one = passages_of_guides([parse_guide("t", TEXT)])
    assert fingerprint(one) == fingerprint(passages_of_guides([parse_guide("t", TEXT)]))
    other = passages_of_guides([parse_guide("t", TEXT.replace("Three", "Four"))])
    assert fingerprint(one) != fingerprint(other)

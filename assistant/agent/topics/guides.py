"""Questions that the guides answer: concepts, settings, habits, troubleshooting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.agent.topics.context import Context, Part

if TYPE_CHECKING:
    from assistant.knowledge.passages import Passage

LEAST_COVERAGE: Final = 0.55
"""Share of a question's words that a passage must have to count as an answer to it."""

_SEE_ALSO_SHARE: Final = 0.55
_SHOWN: Final = 2


def answer_guides(context: Context) -> Part | None:
    """Return what the guides say, or None when no passage is about the question."""
    from assistant.agent.compose.guides import compose_guides

    found = find_passages(context)
    if not found:
        return None
    return compose_guides(found), tuple((p.guide, p.section) for p in found)


def find_passages(context: Context, *, least_coverage: float = LEAST_COVERAGE) -> list[Passage]:
    """Return the passage that answers the question and those that come close, best first."""
    result = context.tools.search_guides(context.question.text)
    wanted = _words(context.question.text)
    answering = [f for f in result.passages if coverage(wanted, f.passage) >= least_coverage]
    if not answering:
        return []
    best = answering[0].score
    near = [f.passage for f in answering[1:] if f.score >= _SEE_ALSO_SHARE * best]
    return [answering[0].passage, *near[: _SHOWN - 1]]


def coverage(wanted: frozenset[str], passage: Passage) -> float:
    """Return the share of the words `wanted` that a passage has; 0 when nothing is wanted."""
    if not wanted:
        return 0.0
    return len(wanted & _words(passage.searched)) / len(wanted)


def _words(text: str) -> frozenset[str]:
    from assistant.knowledge.words import words_of

    return frozenset(words_of(text))

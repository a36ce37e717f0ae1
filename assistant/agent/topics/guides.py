"""Questions that the guides answer: concepts, settings, habits, troubleshooting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from assistant.agent import cues
from assistant.agent.topics.context import Context, Part

if TYPE_CHECKING:
    from assistant.knowledge.passages import Passage

LEAST_COVERAGE: Final = 0.3
"""Share of a question's words that a passage must be about to count as an answer to it."""

LEAST_COVERAGE_ELSEWHERE: Final = 0.75
"""The same for a question without any word of the field: it is probably about something else."""

_IN_PASSING: Final = 0.5
"""What a word counts that a passage has in its text only, not in its heading or questions."""

_MUCH_COVERAGE: Final = 0.75
_SEE_ALSO_SHARE: Final = 0.55
_SHOWN: Final = 2


def answer_guides(context: Context) -> Part | None:
    """Return what the guides say, or None when no passage is about the question."""
    from assistant.agent.compose.guides import compose_guides

    found = find_passages(context)
    if not found:
        return None
    return compose_guides(found), tuple((p.guide, p.section) for p in found)


def further_reading(
    context: Context, cited: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Return the (guide, section) of the passage that says more, if it is not cited yet."""
    best = find_passages(context, least_coverage=_MUCH_COVERAGE)[:1]
    return tuple((p.guide, p.section) for p in best if p.section not in {s for _, s in cited})


def find_passages(context: Context, *, least_coverage: float | None = None) -> list[Passage]:
    """Return the passage that answers the question and those that come close, best first."""
    if least_coverage is None:
        ours = context.question.models or cues.is_about_local_models(context.question.text)
        least_coverage = LEAST_COVERAGE if ours else LEAST_COVERAGE_ELSEWHERE
    query = context.question.query or context.question.text
    result = context.tools.search_guides(query)
    wanted = _words(query)
    answering = [f for f in result.passages if coverage(wanted, f.passage) >= least_coverage]
    if not answering:
        return []
    best = answering[0].score
    near = [f.passage for f in answering[1:] if f.score >= _SEE_ALSO_SHARE * best]
    return [answering[0].passage, *near[: _SHOWN - 1]]


def coverage(wanted: frozenset[str], passage: Passage) -> float:
    """Return the share of the words `wanted` that a passage is about; 0 when nothing is wanted."""
    if not wanted:
        return 0.0
    about = wanted & _words("\n".join((passage.guide, passage.section, *passage.asked)))
    in_passing = (wanted & _words(passage.text)) - about
    return (len(about) + _IN_PASSING * len(in_passing)) / len(wanted)


def _words(text: str) -> frozenset[str]:
    from assistant.knowledge.words import words_of

    return frozenset(words_of(text))

"""How alike a question is to the questions listed for a passage, to put near matches first.

BM25 adds up words over a whole passage, so a section that holds the words of a question somewhere
can pass one that lists the question itself. Here each listed question is compared as a whole:
likeness is Dice's coefficient, 2 |A and B| / (|A| + |B|), with every word weighted by how rare it
is among all listed questions. Words such as "what" and "is" count too, at half their weight:
"what are parameters" and "which parameters work" differ in nothing else.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from assistant.knowledge.bm25 import Hit
from assistant.knowledge.passages import Passage
from assistant.knowledge.words import words_of

GAIN: Final = 1.0
"""How much a listed question that is the query itself adds to a score: the score once more. Chosen
on questions that were worded independently of the guides: of 31 concept questions the right section
is first for 11 without, 22 with 1.0 and 25 with 2.0; of the guides' own questions, each left out of
the index, the section itself is among the first four for 67.7, 69.3 and 68.0 %."""

NEARLY_LISTED: Final = 0.75
"""The likeness from which a listed question counts as the one that was asked."""

_SMALL_WORD_WEIGHT: Final = 0.5
_TOKEN: Final = re.compile(r"[a-z0-9_.+/]+")
_SMALL: Final = "~"
_SHORT_FORMS: Final = {
    **{f"{word}s": (word, "is") for word in ("what", "who", "how", "where", "that")},
    **{f"{word}nt": (word, "not") for word in ("do", "does", "did", "is", "are", "has", "was")},
    "cant": ("can", "not"), "wont": ("will", "not"), "im": ("i", "am"), "ive": ("i", "have"),
}  # fmt: skip


class ListedQuestions:
    """The listed questions and headings of passages; made once, compared in a millisecond."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._lines = [
            [all_words(line) for line in (*passage.asked, passage.section)] for passage in passages
        ]
        self._counts = Counter(word for lines in self._lines for line in lines for word in line)
        self._total = sum(map(len, self._lines))

    def likeness(self, query: str, index: int) -> float:
        """Return how alike the query and the nearest listed question of a passage are, 0 to 1."""
        return self._nearest(all_words(query), index)

    def reorder(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits, best first, after each score was raised to score * (1 + GAIN * l^2).

        l is the likeness, so half-likeness adds little. From NEARLY_LISTED on up to the best
        score is added as well: a question that is listed decides. The scores that the hits had
        are dealt out again in the new order: they stay comparable with those of other indexes.
        """
        wanted = all_words(query)
        scores = sorted((hit.score for hit in hits), reverse=True)

        def raised(hit: Hit) -> tuple[float, int]:
            likeness = self._nearest(wanted, hit.index)
            decides = max(likeness - NEARLY_LISTED, 0.0) / (1 - NEARLY_LISTED)
            return -(hit.score * (1 + GAIN * likeness**2) + decides * scores[0]), hit.index

        ordered = sorted(hits, key=raised)
        return [replace(hit, score=score) for hit, score in zip(ordered, scores, strict=True)]

    def _nearest(self, wanted: frozenset[str], index: int) -> float:
        return max((self._dice(wanted, line) for line in self._lines[index]), default=0.0)

    def _dice(self, one: frozenset[str], other: frozenset[str]) -> float:
        both = sum(map(self._weight, one & other))
        if not both:
            return 0.0
        return 2 * both / (sum(map(self._weight, one)) + sum(map(self._weight, other)))

    def _weight(self, word: str) -> float:
        count = self._counts[word]
        rarity = math.log(1 + (self._total - count + 0.5) / (count + 0.5))
        return rarity * (_SMALL_WORD_WEIGHT if word.startswith(_SMALL) else 1.0)


def all_words(text: str) -> frozenset[str]:
    """Return the stems of a text's words, the small words marked as such."""
    found: set[str] = set()
    for written in _TOKEN.findall(text.lower().replace("'", "").replace("’", "")):
        for token in _written_out(written):
            found.update(words_of(token) or (_SMALL + token,))
    return frozenset(found)


def _written_out(token: str) -> tuple[str, ...]:
    """Return the words of a short form: `whats` is "what is", `doesnt` "does not"."""
    if token in _SHORT_FORMS:
        return _SHORT_FORMS[token]
    return (token,)

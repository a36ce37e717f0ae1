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

_SMALL_WORD_WEIGHT: Final = 0.5
_TOKEN: Final = re.compile(r"[a-z0-9_.+/]+")
_SMALL: Final = "~"


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

        l is the likeness, so half-likeness adds little. The scores that the hits had are dealt
        out again in the new order: they stay comparable with those of other indexes.
        """
        wanted = all_words(query)

        def raised(hit: Hit) -> tuple[float, int]:
            return -hit.score * (1 + GAIN * self._nearest(wanted, hit.index) ** 2), hit.index

        scores = sorted((hit.score for hit in hits), reverse=True)
        return [
            replace(hit, score=score)
            for hit, score in zip(sorted(hits, key=raised), scores, strict=True)
        ]

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
    for token in _TOKEN.findall(text.lower().replace("'", "").replace("’", "")):
        found.update(words_of(token) or (_SMALL + token,))
    return frozenset(found)

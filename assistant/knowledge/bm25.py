"""BM25 over passages: weighted fields, an inverted index, synonyms and near spellings.

Formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009),
with the term frequency of a field multiplied by the field's weight (BM25F), which is why k1 is
larger than the usual 1.2. The weights were chosen by asking each `asked` line of the guides
with that line left out of the index, not by the questions that retrieval is measured with.

Several indexes are searched as one (`search_indexes`): how rare a word is, is counted over all of
them, so that the scores of bundled guides and of a person's own notes can be compared.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from assistant.knowledge import words
from assistant.knowledge.passages import Passage

K1: Final = 2.5
B: Final = 0.3
SYNONYM_WEIGHT: Final = 0.25
NEAR_WEIGHT: Final = 0.7
_FIELD_WEIGHTS: Final = (
    ("section", 4.0), ("guide", 2.0), ("questions", 0.7), ("context", 0.5), ("text", 1.0),
)  # fmt: skip
_COUNTED_IN_LENGTH: Final = frozenset({"section", "text"})
_MOST_NEAR_WORDS: Final = 3

Postings = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Hit:
    """The place of a passage in its index, and its score; higher is better.

    `coverage` is the share of the query's words, weighted by rarity, that the passage has.
    """

    index: int
    score: float
    coverage: float = 0.0


class WordIndex(Protocol):
    """What BM25 asks an inverted index; passages are numbered from 0."""

    @property
    def count(self) -> int:
        """The number of passages."""

    @property
    def total_length(self) -> float:
        """The sum of the passages' lengths."""

    def length(self, index: int) -> float:
        """Return the length of a passage in words."""

    def postings(self, word: str) -> Postings:
        """Return the passages that have a word, with the word's weighted frequency in each."""

    def known(self, candidates: Iterable[str]) -> set[str]:
        """Return those of the words that occur anywhere."""


class Bm25Index:
    """An inverted index in memory. Building takes time once, a search a few milliseconds."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self._lengths: list[float] = []
        for index, passage in enumerate(passages):
            frequencies, length = weigh(passage)
            self._lengths.append(length)
            for word, frequency in frequencies.items():
                self._postings[word].append((index, frequency))
        self.count = len(self._lengths)
        self.total_length = sum(self._lengths)

    def length(self, index: int) -> float:
        """Return the length of a passage in words."""
        return self._lengths[index]

    def postings(self, word: str) -> Postings:
        """Return the passages that have a word, with the word's weighted frequency in each."""
        return self._postings.get(word, ())

    def known(self, candidates: Iterable[str]) -> set[str]:
        """Return those of the words that occur anywhere."""
        return {word for word in candidates if word in self._postings}

    def search(self, query: str, limit: int) -> list[Hit]:
        """Return up to `limit` passages that share words with the query, best first."""
        return [hit for _, hit in search_indexes(query, (self,), limit)]


def weigh(passage: Passage) -> tuple[Mapping[str, float], float]:
    """Return the weighted frequency of each word of a passage, and its length in words."""
    frequencies: Counter[str] = Counter()
    length = 0.0
    for field, weight in _FIELD_WEIGHTS:
        found = words.words_of(getattr(passage, field))
        if field in _COUNTED_IN_LENGTH:
            length += len(found)
        for word in found:
            frequencies[word] += weight  # type: ignore[assignment]
    return frequencies, length


def search_indexes(query: str, indexes: Sequence[WordIndex], limit: int) -> list[tuple[int, Hit]]:
    """Return up to `limit` (number of the index, hit), best first, over all indexes as one.

    The order does not depend on how often a word is repeated in the query.
    """
    count = sum(index.count for index in indexes)
    mean = sum(index.total_length for index in indexes) / count if count else 1.0
    scores: dict[tuple[int, int], float] = defaultdict(float)
    covered: dict[tuple[int, int], float] = defaultdict(float)
    whole = 0.0
    for word, weight in _weighted_words(query, indexes).items():
        found = [(n, index.postings(word)) for n, index in enumerate(indexes)]
        frequency = sum(len(postings) for _, postings in found)
        rarity = math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
        written = weight > SYNONYM_WEIGHT
        if written:
            whole += weight * rarity
        for n, postings in found:
            for place, tf in postings:
                norm = K1 * (1 - B + B * indexes[n].length(place) / mean)
                scores[n, place] += weight * rarity * tf * (K1 + 1) / (tf + norm)
                if written:
                    covered[n, place] += weight * rarity
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return [
        (n, Hit(place, score, coverage=min(covered[n, place] / whole, 1.0) if whole else 0.0))
        for (n, place), score in best
    ]


def _weighted_words(query: str, indexes: Sequence[WordIndex]) -> dict[str, float]:
    """Return the words to look for with weights: what was written counts most."""
    written = words.query_words(query)
    known = _known(written, indexes)
    weights = {word: weight for word, weight in written.items() if word in known}
    for word, weight in written.items():
        if word not in known:
            for near in _nearest(word, indexes):
                weights.setdefault(near, weight * NEAR_WEIGHT)
    for word, weight in tuple(weights.items()):
        for synonym in words.synonyms(word):
            weights.setdefault(synonym, weight * SYNONYM_WEIGHT)
    return {**written, **weights}


def _nearest(word: str, indexes: Sequence[WordIndex]) -> Iterator[str]:
    """Yield known words that an unknown one may stand for: two in one, or a slip away."""
    if not words.can_be_misspelt(word):
        return
    for head, tail in words.splits(word):
        pair = {words.stem(head), words.stem(tail)}
        if len(_known(pair, indexes)) == len(pair):
            yield from sorted(pair)
            return
    near = _known(set(words.near_spellings(word)), indexes)

    def how_common(candidate: str) -> int:
        return sum(len(index.postings(candidate)) for index in indexes)

    yield from sorted(near, key=lambda w: (-how_common(w), w))[:_MOST_NEAR_WORDS]


def _known(candidates: Iterable[str], indexes: Sequence[WordIndex]) -> set[str]:
    listed = list(candidates)
    return {word for index in indexes for word in index.known(listed)}

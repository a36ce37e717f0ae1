"""BM25 over passages: weighted fields, an inverted index, synonyms and near spellings.

Formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009),
with the term frequency of a field multiplied by the field's weight (BM25F), which is why k1 is
larger than the usual 1.2. The weights were chosen by asking each `asked` line of the guides
with that line left out of the index, not by the questions that retrieval is measured with.

Several indexes are searched as one (`search_indexes`): how rare a word is, is counted over all of
them, so that the scores of bundled guides and of a person's own notes can be compared.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
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
_MOST_MISSPELT: Final = 12
"""Unknown words of a query that are compared with near spellings: pasted text has many."""

Postings = tuple[Sequence[int], Sequence[float]]
"""The passages that have a word, and the word's weighted frequency in each."""


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
    def lengths(self) -> Sequence[float]:
        """The length of each passage in words."""

    def postings(self, word: str) -> Postings:
        """Return the passages that have a word; nothing for an unknown one."""

    def known(self, candidates: Iterable[str]) -> set[str]:
        """Return those of the words that occur anywhere."""


class Bm25Index:
    """An inverted index in memory. Building takes time once, a search a few milliseconds."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._postings: dict[str, tuple[list[int], list[float]]] = {}
        self.lengths: list[float] = []
        for index, passage in enumerate(passages):
            frequencies, length = weigh(passage)
            self.lengths.append(length)
            for word, frequency in frequencies.items():
                places, found = self._postings.setdefault(word, ([], []))
                places.append(index)
                found.append(frequency)
        self.count = len(self.lengths)

    def postings(self, word: str) -> Postings:
        """Return the passages that have a word; nothing for an unknown one."""
        return self._postings.get(word, ((), ()))

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
    mean = sum(sum(index.lengths) for index in indexes) / max(count, 1) or 1.0
    sought = _sought(query, indexes, count)
    best: list[tuple[int, int, float]] = []
    for n, index in enumerate(indexes):
        scores = _scores(index, n, sought, mean)
        top = heapq.nlargest(
            limit, ((score, -place) for place, score in enumerate(scores) if score)
        )
        best.extend((n, -place, score) for score, place in top)
    best.sort(key=lambda found: (-found[2], found[0], found[1]))
    covered = _coverage(sought, {(n, place) for n, place, _ in best[:limit]})
    return [(n, Hit(place, score, covered[n, place])) for n, place, score in best[:limit]]


@dataclass(frozen=True, slots=True)
class _Sought:
    """A word to look for: how much it counts, and where each index has it."""

    weight: float
    rarity: float
    written: bool
    postings: tuple[Postings, ...]


def _sought(query: str, indexes: Sequence[WordIndex], count: int) -> list[_Sought]:
    sought = []
    for word, weight in _weighted_words(query, indexes).items():
        postings = tuple(index.postings(word) for index in indexes)
        found = sum(len(places) for places, _ in postings)
        rarity = math.log(1 + (count - found + 0.5) / (found + 0.5))
        sought.append(_Sought(weight, rarity, weight > SYNONYM_WEIGHT, postings))
    return sought


def _scores(index: WordIndex, n: int, sought: Sequence[_Sought], mean: float) -> list[float]:
    """Return the score of every passage of an index; 0 for those without any word."""
    scores = [0.0] * index.count
    fixed, per_word = K1 * (1 - B), K1 * B / mean
    norms = [fixed + per_word * length for length in index.lengths]
    for word in sought:
        factor = word.weight * word.rarity * (K1 + 1)
        for place, frequency in zip(*word.postings[n], strict=True):
            scores[place] += factor * frequency / (frequency + norms[place])
    return scores


def _coverage(
    sought: Sequence[_Sought], places: set[tuple[int, int]]
) -> dict[tuple[int, int], float]:
    """Return the share of the query's words that each passage has, weighted by rarity."""
    whole = sum(word.weight * word.rarity for word in sought if word.written) or 1.0
    covered = dict.fromkeys(places, 0.0)
    for word in sought:
        for n, (found, _) in enumerate(word.postings):
            if word.written:
                wanted = {place for index, place in places if index == n}
                for place in wanted.intersection(found):
                    covered[n, place] += word.weight * word.rarity / whole
    return {place: min(share, 1.0) for place, share in covered.items()}


def _weighted_words(query: str, indexes: Sequence[WordIndex]) -> dict[str, float]:
    """Return the words to look for with weights: what was written counts most."""
    written = words.query_words(query)
    known = _known(written, indexes)
    weights = {word: weight for word, weight in written.items() if word in known}
    unknown = [word for word in written if word not in known]
    for word in unknown[:_MOST_MISSPELT]:
        for near in _nearest(word, indexes):
            weights.setdefault(near, written[word] * NEAR_WEIGHT)
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
    spellings = set(words.near_spellings(word))
    near = _known(spellings | {words.stem(spelling) for spelling in spellings}, indexes)

    def how_common(candidate: str) -> int:
        return sum(len(index.postings(candidate)[0]) for index in indexes)

    yield from sorted(near, key=lambda w: (-how_common(w), w))[:_MOST_NEAR_WORDS]


def _known(candidates: Iterable[str], indexes: Sequence[WordIndex]) -> set[str]:
    listed = list(candidates)
    return {word for index in indexes for word in index.known(listed)}

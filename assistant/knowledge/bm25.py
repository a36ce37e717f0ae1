"""BM25 over passages: Okapi weights with fields, an inverted index, and light stemming.

Formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), with the
term frequency of a field multiplied by the field's weight (BM25F). k1 = 1.2, b = 0.6.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from assistant.knowledge.passages import Passage

K1: Final = 1.2
B: Final = 0.6
_FIELD_WEIGHTS: Final = (
    ("section", 3.0), ("questions", 2.0), ("context", 1.0), ("guide", 1.5), ("text", 1.0),
)  # fmt: skip
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9._+#-]*")
_STOP: Final = frozenset(
    "a an and any are as at be been but by can could do does for from get got had has have how i "
    "if im in into is it its just like me my no not of on or our should so some than that the "
    "their them then there these they this to up us was we were what whats when where which who "
    "why will with would you your".split()
)
_SUFFIXES: Final = (
    "izations", "isations", "ization", "isation", "izing", "ising", "ized", "ised", "izer", "izes",
    "ises", "ations", "ation", "ize", "ise", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es",
    "s", "e",
)  # fmt: skip
_SHORTEST_STEM: Final = 3
_SYNONYMS: Final = {
    "vram": ("memory", "gpu"), "ram": ("memory",), "gpu": ("card", "vram"), "card": ("gpu",),
    "quant": ("quantization",), "quants": ("quantization",), "ctx": ("context",),
    "t/s": ("tokens", "speed"), "tps": ("tokens", "speed"), "oom": ("memory", "out"),
    "finetune": ("fine-tune",), "licence": ("license",), "pc": ("computer",),
    "fim": ("fill-in-the-middle",), "infill": ("fill-in-the-middle",), "moe": ("experts",),
    "hallucinate": ("hallucination",), "kv": ("cache",), "embeddings": ("embedding",),
}  # fmt: skip


def words_of(text: str) -> list[str]:
    """Return the stems of a text's words, without words that say nothing."""
    found = []
    for raw in _WORD.findall(text.lower()):
        word = raw.strip("._-+")
        if not word or word in _STOP:
            continue
        found.append(stem(word))
        if any(mark in word for mark in "-_.") and not word.replace(".", "").isdigit():
            found.extend(stem(part) for part in re.split(r"[-_.]", word) if len(part) > 1)
    return found


def stem(word: str) -> str:
    """Return the word without a common English ending: `quantized` and `quantizing` meet."""
    if any(character.isdigit() for character in word):
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            return word[: -len(suffix)]
    return word


@dataclass(frozen=True, slots=True)
class Hit:
    """The place of a passage in the list searched, and its score; higher is better."""

    index: int
    score: float


class Bm25Index:
    """An inverted index over passages. Building takes time once, a search a few milliseconds."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self._lengths: list[float] = []
        for index, passage in enumerate(passages):
            frequencies: Counter[str] = Counter()
            for field, weight in _FIELD_WEIGHTS:
                for word in words_of(getattr(passage, field)):
                    frequencies[word] += weight
            self._lengths.append(sum(frequencies.values()))
            for word, frequency in frequencies.items():
                self._postings[word].append((index, frequency))
        self._mean = sum(self._lengths) / len(self._lengths) if self._lengths else 1.0

    def search(self, query: str, limit: int) -> list[Hit]:
        """Return up to `limit` passages that share words with the query, best first."""
        scores: dict[int, float] = defaultdict(float)
        count = len(self._lengths)
        for word, weight in _query_words(query).items():
            postings = self._postings.get(word, ())
            if not postings:
                continue
            rarity = math.log(1 + (count - len(postings) + 0.5) / (len(postings) + 0.5))
            for index, frequency in postings:
                norm = 1 - B + B * self._lengths[index] / self._mean
                scores[index] += weight * rarity * frequency * (K1 + 1) / (frequency + K1 * norm)
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return [Hit(index, score) for index, score in best[:limit]]


def _query_words(query: str) -> dict[str, float]:
    """Return the stems of a query with weights; synonyms weigh less than what was written."""
    weights: dict[str, float] = {}
    for word in words_of(query):
        weights[word] = 1.0
    for raw in _WORD.findall(query.lower()):
        for synonym in _SYNONYMS.get(raw, ()):
            weights.setdefault(stem(synonym), 0.4)
    return weights

"""Search over the guides: words (BM25), meaning (dense vectors) when an index is there, fused.

`search_guides` answers from memory after the first call in a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from assistant.knowledge.bm25 import Bm25Index
from assistant.knowledge.guides import load_guides
from assistant.knowledge.passages import Passage, passages_of_guides

SearchKind = Literal["hybrid", "bm25"]


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage and how it was found.

    `score` orders the results of one search and means nothing beyond it. `bm25_rank` and
    `dense_rank` count from 1; None when that search did not bring the passage.
    """

    passage: Passage
    score: float
    bm25_rank: int | None = None
    dense_rank: int | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The passages for one query, best first, and how they were searched.

    `kind` is `hybrid` when dense vectors took part, made by `embedder`; else `bm25`, and `note`
    says in a sentence why words alone were compared when more was expected.
    """

    query: str
    passages: tuple[FoundPassage, ...]
    kind: SearchKind = "bm25"
    embedder: str | None = None
    note: str | None = None


def search_guides(query: str, limit: int = 4) -> SearchResult:
    """Return up to `limit` passages for the query, best first.

    Raises:
        FileProblemError: the guides cannot be read.
    """
    passages, index = _bundled()
    return SearchResult(
        query=query,
        passages=tuple(
            FoundPassage(passages[hit.index], score=hit.score, bm25_rank=rank)
            for rank, hit in enumerate(index.search(query, limit), start=1)
        ),
    )


@lru_cache(maxsize=1)
def _bundled() -> tuple[tuple[Passage, ...], Bm25Index]:
    passages = passages_of_guides(load_guides().values())
    return passages, Bm25Index(passages)

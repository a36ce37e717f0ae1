"""Search over the guides and a person's own notes: words and meaning, fused.

Words are compared always (BM25). Meaning takes part when an index was built for the shelf
(`assistant guides index`) and its embedder answers. `dense` says how long that may take:

    ready   only what this process has opened already: never waits
    load    opens chromadb and the embedder first: 0.8 s, six with sentence-transformers
    off     words only

Own notes carry the origin `own`; `origin` limits a search to them or to the bundled guides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

from assistant.knowledge.bm25 import Bm25Index, Hit, WordIndex, search_indexes
from assistant.knowledge.embedders import Reranker
from assistant.knowledge.fusion import fuse_ranks
from assistant.knowledge.guides import load_guides
from assistant.knowledge.likeness import ListedQuestions
from assistant.knowledge.note_store import NoteIndex, NotesDamagedError, open_notes, store_file
from assistant.knowledge.passages import (
    Origin,
    Passage,
    fingerprint,
    passages_of_guides,
    vector_id,
)

SearchKind = Literal["hybrid", "bm25"]
Dense = Literal["ready", "load", "off"]
LONGEST_QUERY: Final = 2000
CANDIDATES: Final = 50
"""Passages that each ranking brings to the fusion."""
DENSE_WEIGHT: Final = 0.5
"""Of the dense ranking beside the one by words: the best of those tried on the guides' own
questions, each left out of the index (recall in the first four: 0.77; 0.73 with equal weights,
0.72 by words alone, 0.59 by meaning alone)."""
RERANKED: Final = 20


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage and how it was found.

    `score` orders the results of one search and means nothing beyond it. `bm25_rank` and
    `dense_rank` count from 1; None when that search did not bring the passage. `coverage` is
    the share of the query's words, weighted by rarity, that the passage has.
    """

    passage: Passage
    score: float
    bm25_rank: int | None = None
    dense_rank: int | None = None
    coverage: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The passages for one query, best first, and how they were searched.

    `kind` is `hybrid` when vectors made by `embedder` took part, else `bm25`. `note` says in a
    sentence what was expected to take part and did not; `outdated` is True when building the
    index again would help.
    """

    query: str
    passages: tuple[FoundPassage, ...]
    kind: SearchKind = "bm25"
    embedder: str | None = None
    note: str | None = None
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Shelf:
    """The passages of one origin, opened for searching."""

    origin: Origin
    words: WordIndex
    fingerprint: str
    _bundled: tuple[Passage, ...] = ()
    _notes: NoteIndex | None = None

    def passage(self, number: int) -> Passage:
        """Return a passage by its number."""
        return self._bundled[number] if self._notes is None else self._notes.passage(number)

    def passages(self) -> tuple[Passage, ...]:
        """Return all passages."""
        if self._notes is None:
            return self._bundled
        return tuple(passage for passage, _ in self._notes.passages())

    def with_vectors(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """Return the numbers of the passages whose vectors have these ids."""
        if self._notes is not None:
            return self._notes.with_vectors(keys)
        numbers = _bundled_vectors()
        return {key: numbers[key] for key in keys if key in numbers}


Place = tuple[int, int]
"""A shelf's place in the search, and the passage's number on it."""


def search_guides(
    query: str,
    limit: int = 4,
    *,
    origin: Origin | None = None,
    dense: Dense = "ready",
    reranker: Reranker | None = None,
) -> SearchResult:
    """Return up to `limit` passages for the query, best first.

    Without an index, an embedder or a sound store of notes the search goes on without them, and
    the result's `note` says so.

    Raises:
        FileProblemError: the bundled guides cannot be read.
    """
    query = query[:LONGEST_QUERY]
    shelves, note = _shelves(origin)
    hits = _by_words(query, shelves)
    by_words = [(n, hit.index) for n, hit in hits]
    scores: dict[Place, float] = {(n, hit.index): hit.score for n, hit in hits}
    coverage = {(n, hit.index): hit.coverage for n, hit in hits}
    by_meaning: list[Place] = []
    embedder, outdated = None, False
    if dense != "off" and query.strip():
        from assistant.knowledge.dense import search_dense

        found = search_dense(query, shelves, CANDIDATES, load=dense == "load")
        by_meaning, embedder, outdated = found.places, found.embedder, found.outdated
        note = note or found.note
    ranking = by_words
    if by_meaning:
        ranking = fuse_ranks([by_words, by_meaning], weights=(1.0, DENSE_WEIGHT))
        scores = {place: 1.0 / rank for rank, place in enumerate(ranking, start=1)}
    word_ranks = {place: rank for rank, place in enumerate(by_words, start=1)}
    dense_ranks = {place: rank for rank, place in enumerate(by_meaning, start=1)}
    chosen = [
        FoundPassage(
            passage=shelves[place[0]].passage(place[1]),
            score=scores[place],
            bm25_rank=word_ranks.get(place),
            dense_rank=dense_ranks.get(place),
            coverage=coverage.get(place, 0.0),
        )
        for place in ranking[: RERANKED if reranker else limit]
    ]
    return SearchResult(
        query=query,
        passages=tuple(_reranked(query, chosen, reranker)[:limit]),
        kind="hybrid" if by_meaning else "bm25",
        embedder=embedder,
        note=note,
        outdated=outdated,
    )


def open_shelf(origin: Origin) -> Shelf | None:
    """Return a shelf, or None when no notes were added.

    Raises:
        FileProblemError: the bundled guides cannot be read.
        NotesDamagedError: the stored notes cannot be read.
    """
    return _bundled_shelf() if origin == "bundled" else _own_shelf()


def _shelves(origin: Origin | None) -> tuple[list[Shelf], str | None]:
    shelves: list[Shelf] = []
    note = None
    if origin != "own":
        shelves.append(_bundled_shelf())
    if origin != "bundled":
        try:
            own = _own_shelf()
        except NotesDamagedError as error:
            own, note = None, f"Your notes were left out: {error.message} {error.hint}"
        if own is not None:
            shelves.append(own)
    return shelves, note


def _by_words(query: str, shelves: Sequence[Shelf]) -> list[tuple[int, Hit]]:
    """Return the shelf's place and the hit, best first.

    Hits among the guides are put in order by the questions that their sections list.
    """
    hits = search_indexes(query, [shelf.words for shelf in shelves], CANDIDATES)
    for n, shelf in enumerate(shelves):
        if shelf.origin == "bundled":
            places = [place for place, (m, _) in enumerate(hits) if m == n]
            reordered = _listed_questions().reorder(query, [hits[place][1] for place in places])
            for place, hit in zip(places, reordered, strict=True):
                hits[place] = (n, hit)
    return hits


def _reranked(
    query: str, found: list[FoundPassage], reranker: Reranker | None
) -> list[FoundPassage]:
    if reranker is None:
        return found
    scores = reranker.score(query, [item.passage.embedded for item in found])
    scored = [replace(item, score=score) for item, score in zip(found, scores, strict=True)]
    return sorted(scored, key=lambda item: -item.score)


@lru_cache(maxsize=1)
def _bundled_shelf() -> Shelf:
    passages = passages_of_guides(load_guides().values())
    return Shelf("bundled", Bm25Index(passages), fingerprint(passages), _bundled=passages)


@lru_cache(maxsize=1)
def _listed_questions() -> ListedQuestions:
    return ListedQuestions(_bundled_shelf().passages())


@lru_cache(maxsize=1)
def _bundled_vectors() -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number, passage in enumerate(_bundled_shelf().passages()):
        numbers.setdefault(vector_id(passage), []).append(number)
    return numbers


_opened: dict[str, tuple[tuple[int, ...], Shelf]] = {}


def _own_shelf() -> Shelf | None:
    """Return the notes, opened once until their store changes."""
    file = store_file()
    try:
        state = file.stat()
    except OSError:
        open_notes()  # says so when notes are listed and their store is gone
        return None
    version = (state.st_mtime_ns, state.st_size, state.st_ino)
    before = _opened.get(str(file))
    if before is not None and before[0] == version:
        return before[1]
    notes = open_notes()
    if notes is None:
        return None
    shelf = Shelf("own", notes, notes.fingerprint(), _notes=notes)
    _opened[str(file)] = (version, shelf)
    return shelf

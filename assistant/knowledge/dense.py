"""The dense half of a search: the query's vector beside those of the passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.errors import AssistantError
from assistant.knowledge.embedder_choice import open_embedder
from assistant.knowledge.embedders import Embedder
from assistant.knowledge.index import (
    DenseIndex,
    IndexDamagedError,
    IndexRecord,
    index_folder,
    open_index,
    read_record,
)

if TYPE_CHECKING:
    from assistant.knowledge.search import Place, Shelf

_indexes: dict[str, DenseIndex] = {}
_embedders: dict[tuple[str, str, str, int], Embedder] = {}


@dataclass(frozen=True, slots=True)
class DenseRanking:
    """Passages by the similarity of their vectors, and what made those.

    `note` says what failed; `outdated` is True when building the index again would help.
    """

    places: list[Place]
    embedder: str | None = None
    note: str | None = None
    outdated: bool = False


def search_dense(query: str, shelves: Sequence[Shelf], limit: int, *, load: bool) -> DenseRanking:
    """Return up to `limit` passages of the shelves, the most similar first.

    With `load` false only what this process has opened before is used. Never raises for a
    missing, stale or damaged index: the note says what to do.
    """
    found: list[tuple[float, Place]] = []
    names: list[str] = []
    notes: list[str] = []
    vectors: dict[str, list[float]] = {}
    outdated, missing = False, 0
    for n, shelf in enumerate(shelves):
        record = read_record(shelf.origin)
        if record is None:
            missing += 1
            continue
        if not load and not _is_open(record):
            continue
        try:
            index, embedder = _open(shelf, record)
            if embedder.name not in vectors:
                vectors[embedder.name] = embedder.embed([query], query=True)[0]
            near = index.search(vectors[embedder.name], limit)
        except IndexDamagedError as error:
            _forget(record)
            notes.append(f"{_sentence(error.message)} {error.hint}")
            outdated = True
            continue
        except AssistantError as error:
            notes.append(f"Words only: {error.message}")
            continue
        places = shelf.with_vectors([key for key, _ in near])
        found.extend((score, (n, place)) for key, score in near for place in places.get(key, ()))
        names.append(embedder.name)
        if record.fingerprint != shelf.fingerprint:
            notes.append(_stale(shelf))
            outdated = True
    ranked = [place for _, place in sorted(found, key=lambda item: (-item[0], item[1]))]
    if missing == len(shelves):
        notes.append("Words only; to search by meaning too: assistant guides index")
    said = " ".join(dict.fromkeys(notes)) if load else ""
    return DenseRanking(
        places=ranked[:limit],
        embedder=", ".join(dict.fromkeys(names)) or None,
        note=said or None,
        outdated=outdated or 0 < missing < len(shelves),
    )


def _open(shelf: Shelf, record: IndexRecord) -> tuple[DenseIndex, Embedder]:
    key = str(index_folder() / record.folder)
    if key not in _indexes:
        _indexes[key] = open_index(shelf.origin, record)
    made_with = _embedder_key(record)
    if made_with not in _embedders:
        _embedders[made_with] = open_embedder(
            record.kind, record.model, name=record.name, dimension=record.dimension
        )
    return _indexes[key], _embedders[made_with]


def _is_open(record: IndexRecord) -> bool:
    return str(index_folder() / record.folder) in _indexes and _embedder_key(record) in _embedders


def _forget(record: IndexRecord) -> None:
    _indexes.pop(str(index_folder() / record.folder), None)


def _embedder_key(record: IndexRecord) -> tuple[str, str, str, int]:
    return (record.kind, record.model, record.name, record.dimension)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stale(shelf: Shelf) -> str:
    what = "the guides" if shelf.origin == "bundled" else "your notes"
    return f"The index is older than {what}; bring it up to date with: assistant guides index"

"""Building the indexes of all shelves, and bringing them up to date."""

from __future__ import annotations

from collections.abc import Callable

from assistant.knowledge.embedder_choice import ChosenEmbedder, open_embedder
from assistant.knowledge.index import IndexRecord, build_index, read_record, remove_index
from assistant.knowledge.passages import Origin
from assistant.knowledge.search import open_shelf

ORIGINS: tuple[Origin, ...] = ("bundled", "own")

Progress = Callable[[Origin, int, int], None]
"""Called with the shelf, the passages embedded so far, and all of them."""


def build_indexes(
    chosen: ChosenEmbedder, *, progress: Progress = lambda _shelf, _done, _all: None
) -> dict[Origin, IndexRecord]:
    """Build the index of each shelf that is not current, and return all of them.

    Raises:
        AssistantError: the embedder fails, or a shelf or the folder cannot be used.
    """
    built: dict[Origin, IndexRecord] = {}
    for origin in ORIGINS:
        shelf = open_shelf(origin)
        if shelf is None or shelf.words.count == 0:
            remove_index(origin)
            continue

        def report(done: int, total: int, origin: Origin = origin) -> None:
            progress(origin, done, total)

        built[origin] = build_index(
            origin, shelf.passages(), shelf.fingerprint, chosen, progress=report
        )
    return built


def embedder_in_use() -> ChosenEmbedder | None:
    """Return the embedder of the current indexes, opened; None when there are none.

    Raises:
        AssistantError: it is not there any more.
    """
    records = [record for origin in ORIGINS if (record := read_record(origin))]
    if not records:
        return None
    first = records[0]
    embedder = open_embedder(first.kind, first.model, name=first.name, dimension=first.dimension)
    return ChosenEmbedder(first.kind, first.model, embedder)

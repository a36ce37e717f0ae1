"""The vectors of passages in chromadb: built whole, swapped in at once, checked when opened.

One folder per shelf (`bundled`, `own`) below the person's data folder:

    bundled.json                      which index is current, what it was made from and with
    bundled-<hash>-<embedder>-<n>/    a chromadb database, never changed after it was built

A vector is kept under a hash of the text it was made from, so that an index of older guides is
incomplete and never wrong, and a new one takes over what is unchanged. The only door to
chromadb: vectors are always handed in (it would download a model otherwise), its telemetry is
off, and settings of `.env` files in the current folder, which it would read, are kept from it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from assistant.errors import AssistantError, FileProblemError
from assistant.knowledge.embedder_choice import KINDS, ChosenEmbedder, EmbedderKind
from assistant.knowledge.passages import Origin, Passage, vector_id
from assistant.lock import writing
from assistant.paths import data_folder

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

FORMAT: Final = 1
BATCH: Final = 32
_COLLECTION: Final = "passages"
_DATABASE: Final = "chroma.sqlite3"

Progress = Callable[[int, int], None]
"""Called with the passages embedded so far, and all of them."""


class IndexDamagedError(AssistantError):
    """The stored vectors cannot be read."""

    code = "index_damaged"

    def __init__(self, shelf: Origin) -> None:
        what = "the guides" if shelf == "bundled" else "your notes"
        super().__init__(
            f"the index of {what} is damaged.", hint="Build it again with: assistant guides index"
        )


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """The current index of a shelf: its folder, what it was made from, and with what.

    `fingerprint` is the hash of the passages; `kind` and `model` open the embedder again, `name`
    and `dimension` must agree with it. `files` are the sizes of the database's segments.
    """

    folder: str
    fingerprint: str
    kind: EmbedderKind
    model: str
    name: str
    dimension: int
    count: int
    files: Mapping[str, int]


def index_folder() -> Path:
    """Return the folder of the indexes."""
    return data_folder().absolute() / "guides" / "index"


def read_record(shelf: Origin) -> IndexRecord | None:
    """Return which index of the shelf is current; None when there is none that can be used."""
    try:
        stored = json.loads((index_folder() / f"{shelf}.json").read_text("utf-8"))
        if stored.pop("format") != FORMAT:
            return None
        record = IndexRecord(**stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    sound = (
        isinstance(record.folder, str)
        and Path(record.folder).name == record.folder
        and record.kind in KINDS
        and isinstance(record.files, dict)
        and isinstance(record.dimension, int)
    )
    return record if sound else None


class DenseIndex:
    """An index opened for searching."""

    def __init__(self, shelf: Origin, record: IndexRecord, folder: Path) -> None:
        """Open the database of `record`.

        Raises:
            IndexDamagedError: it cannot be read, or is not what the record says.
        """
        self.record = record
        self._shelf = shelf
        with _damage_told(shelf):
            _check_files(folder, record.files)
            self._client = _open_client(folder)
            self._collection = _collection(self._client)
            if self._collection.count() != record.count:
                raise IndexDamagedError(shelf)

    def search(self, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        """Return up to `limit` (vector id, cosine similarity), the most similar first.

        Raises:
            IndexDamagedError: the database cannot be read.
        """
        if self.record.count == 0:
            return []
        with _damage_told(self._shelf):
            found = self._collection.query(
                query_embeddings=cast("Any", [list(vector)]),
                n_results=min(limit, self.record.count),
                include=["distances"],
            )
            distances = found["distances"]
            if distances is None or not found["ids"]:
                raise IndexDamagedError(self._shelf)
            pairs = zip(found["ids"][0], distances[0], strict=True)
            return [(key, 1.0 - float(distance)) for key, distance in pairs]

    def vectors(self, keys: Sequence[str]) -> dict[str, list[float]]:
        """Return the stored vectors of those ids that are here.

        Raises:
            IndexDamagedError: the database cannot be read.
        """
        with _damage_told(self._shelf):
            found = self._collection.get(ids=list(keys), include=["embeddings"])
            vectors = found["embeddings"]
            listed = [] if vectors is None else [[float(n) for n in v] for v in vectors]
            return dict(zip(found["ids"], listed, strict=True))

    def close(self) -> None:
        """Close the database."""
        with suppress(Exception):
            self._client.close()


def open_index(shelf: Origin, record: IndexRecord) -> DenseIndex:
    """Return the shelf's index, opened.

    Raises:
        IndexDamagedError: it cannot be read, or is not what the record says.
    """
    return DenseIndex(shelf, record, index_folder() / record.folder)


def build_index(
    shelf: Origin,
    passages: Sequence[Passage],
    fingerprint: str,
    chosen: ChosenEmbedder,
    *,
    progress: Progress = lambda _done, _all: None,
) -> IndexRecord:
    """Embed the passages and make their index the current one; return its record.

    Nothing changes for others until the last moment: an interruption leaves the index that was
    there. A second process waits, and takes what the first one made.

    Raises:
        FileProblemError: the folder cannot be written.
        AssistantError: the embedder fails.
    """
    base = index_folder()
    with writing(base / "lock"):
        current = read_record(shelf)
        texts = {vector_id(passage): passage.embedded for passage in passages}
        old = _opened_if_same(shelf, current, chosen)
        try:
            if current and old and current.fingerprint == fingerprint:
                return current
            vectors = old.vectors(list(texts)) if old else {}
        except IndexDamagedError:
            vectors = {}
        finally:
            if old:
                old.close()
        _embed_missing(texts, vectors, chosen, progress)
        record = _write_database(base, shelf, vectors, fingerprint, chosen)
        _make_current(base, shelf, record)
        return record


def remove_index(shelf: Origin) -> None:
    """Forget the shelf's index.

    Raises:
        FileProblemError: the folder cannot be written.
    """
    base = index_folder()
    if not base.is_dir():
        return
    with writing(base / "lock"):
        (base / f"{shelf}.json").unlink(missing_ok=True)
        _remove_others(base, shelf, keep="")


def _opened_if_same(
    shelf: Origin, record: IndexRecord | None, chosen: ChosenEmbedder
) -> DenseIndex | None:
    """Return the current index when its vectors are of the same embedder and readable."""
    embedder = chosen.embedder
    if record is None or (record.name, record.dimension) != (embedder.name, embedder.dimension):
        return None
    try:
        return open_index(shelf, record)
    except IndexDamagedError:
        return None


def _embed_missing(
    texts: Mapping[str, str],
    vectors: dict[str, list[float]],
    chosen: ChosenEmbedder,
    progress: Progress,
) -> None:
    missing = [key for key in texts if key not in vectors]
    progress(len(texts) - len(missing), len(texts))
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        made = chosen.embedder.embed([texts[key] for key in batch])
        vectors.update(zip(batch, made, strict=True))
        progress(len(texts) - len(missing) + start + len(batch), len(texts))


def _write_database(
    base: Path,
    shelf: Origin,
    vectors: Mapping[str, list[float]],
    fingerprint: str,
    chosen: ChosenEmbedder,
) -> IndexRecord:
    """Write a new database and return its record; on any failure nothing of it is left."""
    embedder = chosen.embedder
    slug = re.sub(r"[^a-z0-9]+", "-", embedder.name.lower()).strip("-")[:40]
    name = f"{shelf}-{fingerprint}-{slug}-{embedder.dimension}-{secrets.token_hex(4)}"
    folder = base / name
    try:
        with _client(folder) as client:
            collection = client.create_collection(
                _COLLECTION,
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine"}},
                metadata={"embedder": embedder.name, "dimension": embedder.dimension},
            )
            keys, most = list(vectors), client.get_max_batch_size()
            for start in range(0, len(keys), most):
                batch = keys[start : start + most]
                collection.add(ids=batch, embeddings=cast("Any", [vectors[key] for key in batch]))
        files = _sizes(folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, (KeyboardInterrupt, SystemExit, AssistantError)):
            raise
        raise FileProblemError(
            f"the index cannot be written ({type(error).__name__}).",
            hint=f"Check the room on the disk and the folder {base}.",
        ) from error
    return IndexRecord(
        folder=name,
        fingerprint=fingerprint,
        kind=chosen.kind,
        model=chosen.model,
        name=embedder.name,
        dimension=embedder.dimension,
        count=len(vectors),
        files=files,
    )


def _make_current(base: Path, shelf: Origin, record: IndexRecord) -> None:
    """Point the shelf at the record's folder at once, then remove the others."""
    pointer = base / f"{shelf}.json"
    fresh = base / f".{shelf}-{secrets.token_hex(4)}.json"
    try:
        fresh.write_text(json.dumps({"format": FORMAT, **asdict(record)}), encoding="utf-8")
        fresh.replace(pointer)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FileProblemError(
            f"{str(pointer)!r} cannot be written: {(error.strerror or str(error)).lower()}."
        ) from error
    _remove_others(base, shelf, keep=record.folder)


def _remove_others(base: Path, shelf: Origin, *, keep: str) -> None:
    for folder in base.glob(f"{shelf}-*"):
        if folder.name != keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _client(folder: Path) -> Iterator[Client]:
    client = _open_client(folder)
    try:
        yield client
    finally:
        client.close()


def _open_client(folder: Path) -> Client:
    with _without_dotenv():
        import chromadb
        from chromadb.config import Settings
    settings: Any = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings' own argument
        anonymized_telemetry=False,
        chroma_otel_collection_endpoint="",
    )
    return cast("Client", chromadb.PersistentClient(path=str(folder), settings=settings))


def _collection(client: Client) -> Collection:
    return client.get_collection(_COLLECTION, embedding_function=None)


@contextmanager
def _without_dotenv() -> Iterator[None]:
    """Leave the current folder meanwhile: importing chromadb reads the `.env` file in it."""
    try:
        before = Path.cwd()
    except OSError:
        before = None
    os.chdir(Path(__file__).parent)
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.chdir(before)


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of the database's vector segments."""
    segments = (path for path in folder.glob("*/*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in segments}


def _check_files(folder: Path, expected: Mapping[str, int]) -> None:
    """Raise unless the files are whole; chromadb's own code prints and aborts on some damage.

    Raises:
        ValueError: a segment is missing or has another size, or SQLite finds the database bad.
    """
    if _sizes(folder) != dict(expected):
        raise ValueError("segments")
    database = folder / _DATABASE
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise ValueError("database")


@contextmanager
def _damage_told(shelf: Origin) -> Iterator[None]:
    """Turn whatever reading the database raises into `IndexDamagedError`.

    chromadb is written in Rust, whose panics arrive as a BaseException.
    """
    try:
        yield
    except (AssistantError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise IndexDamagedError(shelf) from error

"""A person's own documents as they are stored: read, listed, and searched by words on disk.

Two files in the data folder, readable by their owner only:

    notes.json      the name and path of each document: what was added, and never derived
    notes.sqlite    their passages and an inverted index, made again from the files if damaged

The postings of a word are kept per document, so that adding or removing one document touches
nothing of the others, and a search over ten thousand passages reads a few rows.
Adding and removing is in `assistant.knowledge.notes`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from assistant.errors import AssistantError
from assistant.knowledge.bm25 import Postings
from assistant.knowledge.documents import file_digest
from assistant.knowledge.passages import Passage
from assistant.knowledge.words import FORMAT as WORDS_FORMAT
from assistant.paths import data_folder

_SCHEMA_FORMAT: Final = 1
FORMAT: Final = _SCHEMA_FORMAT * 1000 + WORDS_FORMAT
WAIT_S: Final = 10.0
SCHEMA: Final = """
CREATE TABLE document (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, title TEXT NOT NULL,
    path TEXT UNIQUE NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    added_at REAL NOT NULL, lengths BLOB NOT NULL);
CREATE TABLE passage (
    document INTEGER NOT NULL, number INTEGER NOT NULL, section TEXT NOT NULL,
    text TEXT NOT NULL, overlap INTEGER NOT NULL, vector TEXT NOT NULL,
    PRIMARY KEY (document, number)) WITHOUT ROWID;
CREATE TABLE posting (
    word TEXT NOT NULL, document INTEGER NOT NULL, found BLOB NOT NULL,
    PRIMARY KEY (word, document)) WITHOUT ROWID;
CREATE INDEX passage_vector ON passage (vector);
CREATE INDEX posting_document ON posting (document);
"""

State = Literal["current", "changed", "missing"]


class NotesDamagedError(AssistantError):
    """The stored notes cannot be read; the files that they came from are untouched."""

    code = "notes_damaged"

    def __init__(self) -> None:
        super().__init__(
            "the stored copy of your notes is damaged.",
            hint="Read the files again with: assistant guides index",
        )


@dataclass(frozen=True, slots=True)
class Note:
    """One added document. `state` says how its file is now beside what was read of it."""

    name: str
    title: str
    path: Path
    passages: int
    size: int
    added_at: float
    state: State


def notes_folder() -> Path:
    """Return the folder of the notes' store."""
    return data_folder().absolute() / "guides"


class NoteIndex:
    """The stored passages, opened for searching; a `WordIndex` of `assistant.knowledge.bm25`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read how long the passages are.

        Raises:
            NotesDamagedError: the store cannot be read, or is of another version.
        """
        if list(_rows(connection, "PRAGMA user_version")) != [(FORMAT,)]:
            raise NotesDamagedError
        self._connection = connection
        self._first: dict[int, int] = {}
        self._documents: list[tuple[int, int]] = []
        self._lengths = array("f")
        for document, lengths in _rows(connection, "SELECT id, lengths FROM document ORDER BY id"):
            self._first[document] = len(self._lengths)
            self._documents.append((len(self._lengths), document))
            self._lengths.frombytes(lengths)
        self.count = len(self._lengths)

    @property
    def lengths(self) -> Sequence[float]:
        """The length of each passage in words."""
        return self._lengths

    def postings(self, word: str) -> Postings:
        """Return the passages that have a word; nothing for an unknown one."""
        places: list[int] = []
        frequencies: list[float] = []
        query = "SELECT document, found FROM posting WHERE word = ?"
        for document, blob in _rows(self._connection, query, (word,)):
            first, values = self._first.get(document), array("f")
            if first is None:
                continue  # added by another process since this index was opened
            values.frombytes(blob)
            places.extend([first + int(number) for number in values[::2]])
            frequencies.extend(values[1::2])
        return places, frequencies

    def known(self, candidates: Iterable[str]) -> set[str]:
        """Return those of the words that occur anywhere."""
        listed, known = list(dict.fromkeys(candidates)), set[str]()
        for start in range(0, len(listed), 500):
            part = listed[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT DISTINCT word FROM posting WHERE word IN ({marks})"  # noqa: S608
            known.update(word for (word,) in _rows(self._connection, query, part))
        return known

    def passage(self, index: int) -> Passage:
        """Return a passage by its number."""
        first, document = max(d for d in self._documents if d[0] <= index)
        query = _PASSAGES + " WHERE d.id = ? AND p.number = ?"
        for row in _rows(self._connection, query, (document, index - first)):
            return _passage(row)[0]
        raise NotesDamagedError

    def with_vectors(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """Return the numbers of the passages that the vectors were made from."""
        found: dict[str, list[int]] = {}
        marks = ",".join("?" * len(keys))
        query = f"SELECT vector, document, number FROM passage WHERE vector IN ({marks})"  # noqa: S608
        for key, document, number in _rows(self._connection, query, keys):
            if document in self._first:
                found.setdefault(key, []).append(self._first[document] + number)
        return found

    def passages(self, name: str | None = None) -> list[tuple[Passage, int]]:
        """Return the passages (of one document) in order, and how much each repeats."""
        where, given = (" WHERE d.name = ?", (name,)) if name else ("", ())
        query = f"{_PASSAGES}{where} ORDER BY d.id, p.number"
        return [_passage(row) for row in _rows(self._connection, query, given)]

    def notes(self) -> list[Note]:
        """Return the stored documents."""
        query = (
            "SELECT name, title, path, length(lengths) / 4, size, added_at, sha256 FROM document"
        )
        return [
            Note(name, title, Path(path), passages, size, added, _state(Path(path), size, sha256))
            for name, title, path, passages, size, added, sha256 in _rows(self._connection, query)
        ]

    def fingerprint(self) -> str:
        """Return a hash of what is stored: equal documents give equal hashes."""
        query = "SELECT name, title, sha256 FROM document ORDER BY name"
        listed = json.dumps(list(_rows(self._connection, query)))
        return hashlib.sha256(listed.encode()).hexdigest()[:16]

    def close(self) -> None:
        """Close the store."""
        self._connection.close()


_PASSAGES: Final = (
    "SELECT d.name, d.title, p.number, p.section, p.text, p.overlap"
    " FROM passage p JOIN document d ON d.id = p.document"
)


def open_notes() -> NoteIndex | None:
    """Return the stored notes, or None when none were added.

    Raises:
        NotesDamagedError: the store cannot be read.
    """
    if not store_file().exists():
        if list_file().exists() and read_list():
            raise NotesDamagedError
        return None
    with _damage_told():
        uri = f"{store_file().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=WAIT_S, check_same_thread=False)
    try:
        return NoteIndex(connection)
    except BaseException:
        connection.close()
        raise


def _passage(row: tuple[Any, ...]) -> tuple[Passage, int]:
    name, title, number, section, text, overlap = row
    passage = Passage(
        id=f"{name}#{number}", guide=title, section=section, text=text, name=name, origin="own"
    )
    return passage, overlap


def _state(path: Path, size: int, sha256: str) -> State:
    try:
        if path.stat().st_size == size and file_digest(path) == sha256:
            return "current"
    except (OSError, AssistantError):
        return "missing"
    return "changed"


def _rows(
    connection: sqlite3.Connection, query: str, given: Sequence[object] = ()
) -> Iterator[tuple[Any, ...]]:
    with _damage_told():
        yield from connection.execute(query, given)


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise NotesDamagedError from error


def list_notes() -> tuple[Note, ...]:
    """Return what was added, by name.

    Raises:
        NotesDamagedError: the store cannot be read.
    """
    stored = {} if (index := open_notes()) is None else {n.name: n for n in index.notes()}
    missing = (
        Note(name, path.stem, path, 0, 0, 0.0, "missing")
        for name, path in read_list().items()
        if name not in stored
    )
    return tuple(sorted((*stored.values(), *missing), key=lambda note: note.name))


def store_file() -> Path:
    """Return the file of the passages and their index."""
    return notes_folder() / "notes.sqlite"


def list_file() -> Path:
    """Return the file that says what was added."""
    return notes_folder() / "notes.json"


def read_list() -> dict[str, Path]:
    """Return the name and path of each added document; none when the list cannot be read."""
    try:
        stored = json.loads(list_file().read_text("utf-8"))
        return {str(entry["name"]): Path(entry["path"]) for entry in stored["notes"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        return _list_from_store()


def _list_from_store() -> dict[str, Path]:
    with contextlib.suppress(sqlite3.Error, OSError):
        uri = f"{store_file().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            found = connection.execute("SELECT name, path FROM document").fetchall()
            return {name: Path(path) for name, path in found}
    return {}

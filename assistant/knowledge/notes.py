"""Adding a person's own documents to what is searched, and removing them.

What is stored, and how, is in `assistant.knowledge.note_store`.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from assistant.errors import AssistantError, FileProblemError, UsageError
from assistant.knowledge.bm25 import weigh
from assistant.knowledge.documents import Document, file_digest, find_files, read_document
from assistant.knowledge.note_store import (
    FORMAT,
    SCHEMA,
    WAIT_S,
    list_file,
    notes_folder,
    read_list,
    store_file,
)
from assistant.knowledge.passages import Passage, vector_id
from assistant.lock import writing

PREFIX: Final = "my/"
"""Starts the name of every own document, so that none is taken for a bundled guide."""

Progress = Callable[[int, int, str], None]


@dataclass(slots=True)
class AddReport:
    """What adding came to: names of documents, and what could not be added."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    problems: list[AssistantError] = field(default_factory=list)


def add_notes(path: Path, *, progress: Progress = lambda _n, _all, _name: None) -> AddReport:
    """Add a file, or those in a folder; what was added before is read again if it changed.

    One file that cannot be read does not keep the others from being added. An interruption
    keeps the files that were done.

    Raises:
        FileProblemError: there is nothing to add, or the store cannot be written.
        UsageError: the file is of another kind.
    """
    path = path.expanduser().absolute()
    files = find_files(path)
    base = path if path.is_dir() else None
    report = AddReport()
    with _changing() as store:
        for number, file in enumerate(files):
            progress(number, len(files), file.name)
            store.add(file, _wanted_name(file, base), report)
    return report


def refresh_notes(*, progress: Progress = lambda _n, _all, _name: None) -> AddReport:
    """Read the documents again whose files changed, and all of them if the store is damaged.

    Raises:
        FileProblemError: the store cannot be written.
    """
    report = AddReport()
    if not list_file().exists():
        return report
    with _changing() as store:
        listed = read_list()
        for number, (name, path) in enumerate(listed.items()):
            progress(number, len(listed), path.name)
            store.add(path, name, report)
    return report


def remove_notes(name: str) -> tuple[str, ...]:
    """Forget a document, or all of a folder; the files themselves stay. Return their names.

    Raises:
        UsageError: nothing of that name was added.
        FileProblemError: the store cannot be written.
    """
    wanted = name if name.startswith(PREFIX) else PREFIX + name
    wanted = wanted.rstrip("/")
    if not list_file().exists():
        raise _unknown(name, ())
    with _changing() as store:
        names = read_list()
        gone = [n for n in names if n == wanted or n.startswith(f"{wanted}/")]
        if not gone:
            raise _unknown(name, names)
        for each in gone:
            store.remove(each)
    return tuple(gone)


class _Store:
    """The store opened for changing, under the lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, path: Path, name: str, report: AddReport) -> None:
        """Add one file, unless it is stored as it is now."""
        query = "SELECT name, sha256 FROM document WHERE path = ?"
        before = self._connection.execute(query, (str(path),)).fetchone()
        try:
            if before and before[1] == file_digest(path):
                report.unchanged.append(before[0])
                return
            document = read_document(path)
        except AssistantError as error:
            report.problems.append(error)
            return
        name = before[0] if before else self._free_name(name, path)
        with self._connection:
            if before:
                self._delete(name)
            self._insert(name, document)
        _write_list({**read_list(), name: path})
        (report.changed if before else report.added).append(name)

    def remove(self, name: str) -> None:
        """Forget one document."""
        with self._connection:
            self._delete(name)
        listed = read_list()
        listed.pop(name, None)
        _write_list(listed)

    def _free_name(self, name: str, path: Path) -> str:
        """Return the name, with a number if another file has it."""
        taken = {n for n, p in read_list().items() if p != path}
        numbered = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        return next(candidate for candidate in numbered if candidate not in taken)

    def _delete(self, name: str) -> None:
        found = self._connection.execute("SELECT id FROM document WHERE name = ?", (name,))
        for (document,) in found.fetchall():
            for query in (
                "DELETE FROM posting WHERE document = ?",
                "DELETE FROM passage WHERE document = ?",
                "DELETE FROM document WHERE id = ?",
            ):
                self._connection.execute(query, (document,))

    def _insert(self, name: str, document: Document) -> None:
        postings: dict[str, array[float]] = defaultdict(lambda: array("f"))
        lengths = array("f")
        vectors: list[str] = []
        for number, chunk in enumerate(document.chunks):
            passage = Passage("", document.title, chunk.section, chunk.text)
            vectors.append(vector_id(passage))
            frequencies, length = weigh(passage)
            lengths.append(length)
            for word, frequency in frequencies.items():
                postings[word].extend((number, frequency))
        cursor = self._connection.execute(
            "INSERT INTO document (name, title, path, sha256, size, added_at, lengths)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                name,
                document.title,
                str(document.path),
                document.sha256,
                document.size,
                time.time(),
                lengths.tobytes(),
            ),
        )
        key = cursor.lastrowid
        self._connection.executemany(
            "INSERT INTO passage VALUES (?, ?, ?, ?, ?, ?)",
            (
                (key, n, c.section, c.text, c.overlap, vectors[n])
                for n, c in enumerate(document.chunks)
            ),
        )
        self._connection.executemany(
            "INSERT INTO posting VALUES (?, ?, ?)",
            ((word, key, found.tobytes()) for word, found in sorted(postings.items())),
        )


@contextlib.contextmanager
def _changing() -> Iterator[_Store]:
    """Open the store for changing: made if missing, made again from the list if damaged."""
    folder = notes_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error) from error
    with writing(folder / "notes.lock"):
        try:
            connection = _writable()
        except (sqlite3.Error, OSError) as error:
            raise _unwritable(error) from error
        try:
            store = _Store(connection)
            stored = {n for (n,) in connection.execute("SELECT name FROM document")}
            for name, path in read_list().items():
                if name not in stored:
                    store.add(path, name, AddReport())
            yield store
        except sqlite3.Error as error:
            raise _unwritable(error) from error
        finally:
            connection.close()


def _writable() -> sqlite3.Connection:
    """Return a sound database of this format; another one is removed first."""
    file = store_file()
    if file.exists():
        connection = sqlite3.connect(file, timeout=WAIT_S)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if version == FORMAT and said == "ok":
                return connection
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError:
            pass
        connection.close()
        file.unlink()
    file.with_name(file.name + "-journal").unlink(missing_ok=True)
    file.touch(mode=0o600)
    connection = sqlite3.connect(file, timeout=WAIT_S)
    connection.executescript(f"{SCHEMA} PRAGMA user_version = {FORMAT};")
    return connection


def _wanted_name(file: Path, base: Path | None) -> str:
    """Return `my/notes` for a file, `my/folder/sub/notes` for one that came with its folder."""
    parts = [file.stem]
    if base is not None:
        inside = file.relative_to(base)
        parts = [base.name, *inside.parts[:-1], inside.stem]
    named = (re.sub(r"[^\w.+-]+", "-", part).strip("-") or "notes" for part in parts)
    return PREFIX + "/".join(named)


def _write_list(notes: dict[str, Path]) -> None:
    file = list_file()
    fresh = file.with_name(f".{file.name}.new")
    listed = [{"name": name, "path": str(path)} for name, path in sorted(notes.items())]
    try:
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({"format": 1, "notes": listed}, indent=1), encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: Exception) -> FileProblemError:
    why = (getattr(error, "strerror", None) or str(error)).lower()
    return FileProblemError(
        f"your notes cannot be stored in {str(notes_folder())!r}: {why}.",
        hint="Check the room on the disk and the folder's permissions.",
    )


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(PREFIX + name.removeprefix(PREFIX), list(known), n=1)
    hint = f"Did you mean {near[0]}?" if near else "See what was added with: assistant guides list"
    return UsageError(f"no note of yours is called {name!r}.", hint=hint)

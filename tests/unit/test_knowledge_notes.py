"""A person's own notes: added, changed, removed, kept apart, and made again when damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.errors import AssistantError, UsageError
from assistant.knowledge.note_store import (
    NotesDamagedError,
    list_file,
    list_notes,
    open_notes,
    store_file,
)
from assistant.knowledge.notes import add_notes, refresh_notes, remove_notes
from assistant.knowledge.search import search_guides


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    notes = tmp_path / "notes"
    (notes / "sub").mkdir(parents=True)
    (notes / "backup.md").write_text("# Backup\n\nThe walrus server is saved at three.\n")
    (notes / "sub" / "printer.txt").write_text("The printer is called penguin.")
    return notes


def found(query: str) -> list[tuple[str, str]]:
    result = search_guides(query, limit=20)
    return [(f.passage.origin, f.passage.name) for f in result.passages]


def test_what_is_added_is_found_and_marked_as_own(folder: Path) -> None:
    report = add_notes(folder)
    assert report.added == ["my/notes/backup", "my/notes/sub/printer"]
    assert found("walrus server")[0] == ("own", "my/notes/backup")
    assert [f.passage.text for f in search_guides("penguin", origin="own").passages] == [
        "The printer is called penguin."
    ]
    only_bundled = search_guides("walrus penguin printer", limit=20, origin="bundled")
    assert {f.passage.origin for f in only_bundled.passages} <= {"bundled"}


def test_notes_leave_a_search_of_the_bundled_guides_as_it_was(folder: Path) -> None:
    before = search_guides("why is partial offload slow", origin="bundled")
    (folder / "offload.md").write_text("partial offload is slow " * 50)
    add_notes(folder)
    assert search_guides("why is partial offload slow", origin="bundled") == before


def test_adding_again_reads_only_what_changed(folder: Path) -> None:
    add_notes(folder)
    (folder / "backup.md").write_text("# Backup\n\nThe seal server is saved at four.\n")
    assert [(note.name, note.state) for note in list_notes()] == [
        ("my/notes/backup", "changed"),
        ("my/notes/sub/printer", "current"),
    ]
    report = add_notes(folder)
    assert (report.added, report.changed, report.unchanged) == (
        [], ["my/notes/backup"], ["my/notes/sub/printer"],
    )  # fmt: skip
    assert ("own", "my/notes/backup") in found("seal")
    assert ("own", "my/notes/backup") not in found("walrus")
    assert refresh_notes().changed == []


def test_removing_forgets_and_leaves_the_file(folder: Path) -> None:
    add_notes(folder)
    assert remove_notes("notes/sub") == ("my/notes/sub/printer",)
    assert found("penguin") == []
    assert (folder / "sub" / "printer.txt").exists()
    assert [note.name for note in list_notes()] == ["my/notes/backup"]
    assert remove_notes("my/notes/backup") == ("my/notes/backup",)
    assert list_notes() == ()


def test_an_unknown_name_is_said_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UsageError):
        remove_notes("anything")
    add_notes(folder)
    with pytest.raises(UsageError) as caught:
        remove_notes("notes/bakup")
    assert caught.value.hint == "Did you mean my/notes/backup?"


def test_two_files_of_one_name_are_two_notes(folder: Path) -> None:
    add_notes(folder / "backup.md")
    other = folder / "sub" / "backup.md"
    other.write_text("another")
    add_notes(other)
    assert [note.name for note in list_notes()] == ["my/backup", "my/backup-2"]
    assert [note.path for note in list_notes()] == [folder / "backup.md", other]


def test_a_bad_file_does_not_keep_the_others_out(folder: Path) -> None:
    (folder / "bad.pdf").write_bytes(b"no pdf")
    report = add_notes(folder)
    assert len(report.added) == 2
    assert [type(problem).__name__ for problem in report.problems] == ["FileProblemError"]


def test_text_of_notes_is_text(folder: Path) -> None:
    """SQL, format and template characters come back as they were written."""
    text = "'); DROP TABLE passage; -- {0} %s ${HOME} <script> ?"
    (folder / "odd.txt").write_text(text)
    add_notes(folder)
    (passage,) = [f.passage for f in search_guides("script", origin="own").passages]
    assert passage.text == text


DAMAGE = {
    "cut": lambda f: os.truncate(f, 3000),
    "empty": lambda f: os.truncate(f, 0),
    "garbage": lambda f: f.write_bytes(os.urandom(30_000)),
    "gone": lambda f: f.unlink(),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_store_is_said_and_made_again(kind: str, folder: Path) -> None:
    add_notes(folder)
    DAMAGE[kind](store_file())
    result = search_guides("walrus server")
    assert result.note is not None
    assert "assistant guides index" in result.note
    with pytest.raises(NotesDamagedError):
        list_notes()
    refresh_notes()
    assert found("walrus server")[0] == ("own", "my/notes/backup")
    assert all(note.state == "current" for note in list_notes())


def test_a_damaged_list_is_made_from_the_store(folder: Path) -> None:
    add_notes(folder)
    list_file().write_text("{")
    assert len(list_notes()) == 2
    assert remove_notes("my/notes/backup") == ("my/notes/backup",)


def test_the_store_is_readable_by_its_owner_only(folder: Path) -> None:
    add_notes(folder)
    for file in (store_file(), list_file()):
        assert file.stat().st_mode & 0o077 == 0, file


def test_two_processes_add_at_once(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from assistant.knowledge.notes import add_notes\n"
        "print(len(add_notes(Path(sys.argv[1])).added))"
    )
    folders = []
    for n in range(3):
        each = tmp_path / f"many{n}"
        each.mkdir()
        for m in range(10):
            (each / f"n{m}.md").write_text(f"# Note {m}\n\ntext of walrus{n}x{m}\n")
        folders.append(each)
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(each)], stdout=subprocess.PIPE)
        for each in folders
    ]
    assert [int(process.communicate()[0]) for process in running] == [10, 10, 10]
    assert len(list_notes()) == 30
    assert found("walrus2x7")[0] == ("own", "my/many2/n7")


def test_a_folder_that_cannot_be_written_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path / "file"))
    with pytest.raises(AssistantError):
        add_notes(folder)


def test_pieces_come_back_in_order(folder: Path) -> None:
    (folder / "long.txt").write_text(" ".join(f"word{n}" for n in range(1000)))
    add_notes(folder / "long.txt")
    notes = open_notes()
    assert notes is not None
    joined = "".join(p.text[overlap:] for p, overlap in notes.passages("my/long"))
    assert joined.split() == [f"word{n}" for n in range(1000)]

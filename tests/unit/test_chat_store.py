"""The store of conversations: what is kept, found, forgotten, and refused."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.chat.migrations import APPLICATION_ID, LATEST, migrate
from assistant.chat.records import Attachment, Conversation, ConversationInfo
from assistant.chat.store import (
    ConversationStore,
    memory_store,
    open_store,
    set_aside,
    store_file,
)
from assistant.chat.store_errors import (
    SessionExistsError,
    SessionNameError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreNewerError,
    UnknownSessionError,
)
from tests.support.chat_stores import (
    LATER,
    NOW,
    answered,
    check_sound,
    said,
    store_without_fts5,
)

PICTURE = Attachment("cat.png", "image", data=b"\x89PNG\x00\xff", tokens=256)
NOTES = Attachment("notes.md", "text", text="the ferry leaves at nine", tokens=6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[ConversationStore]:
    with open_store(path) as opened:
        yield opened


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


# Files


def test_the_store_is_in_the_data_folder_and_for_its_owner_alone(own_world: Path) -> None:
    before = os.umask(0)
    try:
        with open_store() as store:
            talk = store.create(now=NOW)
            store.append(talk.id, said("hello"))
            files = sorted(store_file().parent.iterdir())
            assert {file.name for file in files} >= {
                "conversations.sqlite",
                "conversations.sqlite-wal",
                "conversations.sqlite-shm",
            }
            assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)
    assert store_file() == own_world / "data" / "conversations.sqlite"
    assert mode(store_file().parent) == 0o700


def test_a_file_that_others_could_read_is_taken_back(path: Path) -> None:
    open_store(path).close()
    path.chmod(0o644)
    open_store(path).close()
    assert mode(path) == 0o600


def open_files() -> set[str]:
    """What the descriptors of this process lead to, where the system tells."""
    found = set()
    for descriptor in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.add(str(descriptor.readlink()))
    return {name for name in found if not name.startswith("/proc/")}


def test_what_is_not_to_be_saved_touches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    before = open_files()
    with memory_store() as store:
        assert store.path is None
        talk = store.create(now=NOW)
        for number in range(40):
            store.append(talk.id, said(f"word{number} " * 2000))
            assert open_files() <= before
        assert len(store.search("word39")) == 1
        assert open_files() <= before
        assert store.forget(talk.id)
        assert open_files() <= before
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_folder_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path / "file" / "conversations.sqlite")
    assert "cannot be kept in" in caught.value.message
    assert "--no-save" in (caught.value.hint or "")


def test_a_full_disk_is_said_and_changes_nothing(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    store.append(talk.id, said("kept"))
    with store._database.alone() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError) as caught:
        store.append(talk.id, said("x" * 1_000_000))
    assert "the disk is full" in caught.value.message
    assert [m.content for m in store.load(talk.id).messages] == ["kept"]


def test_a_closed_store_is_an_error_and_closing_twice_is_none(store: ConversationStore) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.infos()


# Conversations and messages


def test_everything_of_a_conversation_comes_back_in_another_process(path: Path) -> None:
    with open_store(path) as store:
        talk = store.create(name="Trip", model="m:1b", role="chat", system="Be short.", now=NOW)
        question = store.append(
            talk.id, said("When does it leave?", attachments=(NOTES, PICTURE), tokens=40)
        )
        answer = store.append(
            talk.id,
            answered(
                "At nine.",
                at=LATER,
                kind="grounded",
                thinking="let me see",
                model="m:1b",
                tokens=4,
                generated_tokens=3,
                decode_tokens_per_s=31.5,
                interrupted=True,
            ),
        )
    with open_store(path) as store:
        assert store.load(talk.id) == Conversation(
            id=talk.id,
            title="When does it leave?",
            created_at=NOW,
            updated_at=LATER,
            name="Trip",
            model="m:1b",
            role="chat",
            system="Be short.",
            messages=(question, answer),
        )
    assert question.id is not None
    assert question.attachments == (NOTES, PICTURE)
    assert answer.interrupted


def test_an_answer_that_grows_is_one_message(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    store.append(talk.id, said("Tell me.", attachments=(PICTURE,)))
    draft = store.append(talk.id, answered("Once", interrupted=True))
    store.update(talk.id, replace(draft, content="Once upon", interrupted=True))
    store.update(talk.id, replace(draft, content="Once upon a time.", interrupted=False, tokens=5))
    question, answer = store.load(talk.id).messages
    assert (answer.content, answer.interrupted, answer.tokens) == ("Once upon a time.", False, 5)
    assert [hit.message_id for hit in store.search("time")] == [draft.id]
    store.update(talk.id, replace(question, tokens=9, attachments=(NOTES,)))
    assert store.load(talk.id).messages[0] == replace(question, tokens=9, attachments=(NOTES,))
    assert store.search("cat.png") == ()


def test_removing_takes_a_message_and_all_after_it(store: ConversationStore) -> None:
    talk, other = store.create(now=NOW), store.create(now=NOW)
    first = store.append(talk.id, said("first question"))
    elsewhere = store.append(other.id, said("another question"))
    second = store.append(talk.id, answered("first answer"))
    third = store.append(talk.id, said("second question"))
    assert store.remove_from(talk.id, second.id or 0) == (second, third)
    assert store.load(talk.id).messages == (first,)
    assert store.load(other.id).messages == (elsewhere,)
    assert [hit.message_id for hit in store.search("question")] == [elsewhere.id, first.id]
    for wrong in (third.id or 0, elsewhere.id or 0, 999):
        with pytest.raises(UnknownSessionError):
            store.remove_from(talk.id, wrong)
    assert store.load(talk.id).messages == (first,)


def test_the_title_is_the_beginning_of_the_first_question(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    assert talk.title == ""
    long = "Why  is\nthe sky blue on this side of the planet and black on the other one?"
    first = store.append(talk.id, said(long))
    title = "Why is the sky blue on this side of the planet and black on…"
    assert store.load(talk.id).title == title
    store.append(talk.id, said("And the sea?"))
    assert store.load(talk.id).title == title
    store.remove_from(talk.id, first.id or 0)
    assert store.load(talk.id).title == ""
    store.append(talk.id, said("x" * 200))
    assert store.load(talk.id).title == "x" * 59 + "…"


def test_a_summary_comes_after_what_it_stands_for(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    kept = [store.append(talk.id, said(f"number {n}")) for n in range(6)]
    ids = [message.id or 0 for message in kept]
    older = store.set_summary(talk.id, "two things", up_to=ids[1], now=LATER)
    newer = store.set_summary(talk.id, "four things", up_to=ids[3], now=LATER)
    loaded = store.load(talk.id)
    assert loaded.summarised_to == ids[3]
    assert loaded.messages == (*kept[:4], newer, *kept[4:])
    assert newer.kind == "summary"
    assert newer.content == "four things"
    assert store.search("things") == ()
    assert store.infos()[0].message_count == 6

    assert store.remove_from(talk.id, ids[4]) == tuple(kept[4:])
    assert store.load(talk.id).summarised_to == ids[3]
    assert store.remove_from(talk.id, ids[2]) == tuple(kept[2:4])
    loaded = store.load(talk.id)
    assert loaded.summarised_to == ids[1]
    assert loaded.messages == (*kept[:2], older)
    assert store.remove_from(talk.id, ids[0]) == tuple(kept[:2])
    assert store.load(talk.id).messages == ()
    assert store.load(talk.id).summarised_to is None


def test_a_summary_of_what_is_not_there_is_refused(store: ConversationStore) -> None:
    talk, other = store.create(now=NOW), store.create(now=NOW)
    elsewhere = store.append(other.id, said("hello"))
    with pytest.raises(UnknownSessionError):
        store.set_summary(talk.id, "it", up_to=elsewhere.id or 0, now=NOW)
    with pytest.raises(ValueError, match="set_summary"):
        store.append(talk.id, answered("it", kind="summary"))


def test_settings_of_a_conversation_change_one_by_one(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    store.set_model(talk.id, "m:2b")
    store.set_role(talk.id, "code")
    store.set_system(talk.id, "Be kind.")
    store.rename(talk.id, "Tools")
    changed = store.load(talk.id)
    assert (changed.model, changed.role, changed.system, changed.name) == (
        "m:2b",
        "code",
        "Be kind.",
        "Tools",
    )
    store.set_system(talk.id, None)
    store.rename(talk.id, None)
    assert store.load(talk.id) == replace(talk, model="m:2b", role="code")
    assert store.by_name("Tools") is None


def test_the_latest_is_the_one_last_written_to(store: ConversationStore) -> None:
    assert store.latest() is None
    one, two = store.create(now=NOW), store.create(name="two", now=NOW)
    store.create(now=LATER)
    assert store.latest() is None, "none has a message"
    store.append(one.id, said("in one", at="2026-08-01T12:30:00+02:00"))
    store.append(two.id, said("in two", at="2026-08-01T11:00:00+00:00"))
    assert (store.latest() or two).id == two.id, "10:30 and 11:00 in the same zone"
    store.append(one.id, answered("again", at="2026-08-01T11:00:00Z"))
    assert (store.latest() or two).id == one.id, "written at the same instant, but after it"
    assert store.infos() == (
        ConversationInfo(one.id, "in one", "2026-08-01T11:00:00Z", 2),
        ConversationInfo(two.id, "in two", "2026-08-01T11:00:00+00:00", 1, name="two"),
    )
    assert len(store.infos(limit=1)) == 1


# Names


def test_a_name_is_found_however_it_is_typed(store: ConversationStore) -> None:
    talk = store.create(name="  Été  à Köln ", now=NOW)
    assert talk.name == "Été à Köln"
    for typed in ("été à köln", "ÉTÉ À KÖLN", "E\u0301te\u0301 à Köln"):
        assert (store.by_name(typed) or Conversation(0, "", "", "")).id == talk.id
    assert store.by_name("ete a koln") is None
    assert store.by_name("half \ud83d") is None


def test_two_conversations_cannot_share_a_name(store: ConversationStore) -> None:
    talk = store.create(name="Work", now=NOW)
    with pytest.raises(SessionExistsError) as caught:
        store.create(name="WORK", now=NOW)
    assert "'Work'" in caught.value.message
    assert 'assistant chat --session "Work"' in (caught.value.hint or "")
    other = store.create(now=NOW)
    with pytest.raises(SessionExistsError):
        store.rename(other.id, "work")
    store.rename(talk.id, "work")
    assert store.load(talk.id).name == "work"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\x1b[31mb", "a\u202eb", "a\ud800b"])
def test_what_cannot_be_a_name_is_refused(store: ConversationStore, name: str) -> None:
    with pytest.raises(SessionNameError) as caught:
        store.create(name=name, now=NOW)
    assert caught.value.message.isprintable()
    assert store.infos() == ()


def test_find_takes_a_name_or_a_number_and_offers_near_ones(store: ConversationStore) -> None:
    first = store.create(name="holiday", now=NOW)
    second = store.create(name="1", now=NOW)
    assert store.find("Holiday").id == first.id
    assert store.find("1").id == second.id, "a name goes before a number"
    assert store.find("#2").id == second.id
    with pytest.raises(UnknownSessionError) as caught:
        store.find("holidya")
    assert caught.value.hint == "Did you mean 'holiday'?"
    for unknown in ("zzzz", "9" * 40, "٣"):
        with pytest.raises(UnknownSessionError) as caught:
            store.find(unknown)
        assert "/sessions" in (caught.value.hint or "")


# Search

QUESTIONS = [
    "How do I learn C++ and C# quickly?",
    "Kannst du Straße und Fußgänger übersetzen",
    "你好吗？我想去北京",
    "東京タワーへ行きたい",
    "วันนี้อากาศดีมาก",
    "a party 🎉🎊 for 👩‍💻",
    'she said "maybe NEAR the sea" OR not AND',
    "snake_case and kebab-case, don't",
    "naïve café ＡＢＣ",
    "한국어를 배우고 싶어요",
    "привет, Мир",
]


@pytest.fixture(params=["with FTS5", "without FTS5"])
def searched(request: pytest.FixtureRequest) -> Iterator[ConversationStore]:
    with memory_store() if request.param == "with FTS5" else store_without_fts5() as store:
        talk = store.create(now=NOW)
        for question in QUESTIONS:
            store.append(talk.id, said(question))
        yield store


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("c++", [0]),
        ("c#", [0]),
        ("C", [7, 8, 0]),
        ("strasse", [1]),
        ("STRASSE fuß", [1]),
        ("ubersetzen", [1]),
        ("你好", [2]),
        ("北京", [2]),
        ("京", [3, 2]),
        ("タワー", [3]),
        ("อากาศ", [4]),
        ("🎉", [5]),
        ("🎊 party", [5]),
        ("👩‍💻", [5]),
        ("near", [6]),
        ("NEAR AND OR NOT", [6]),
        ("sea OR", [6]),
        ('"near the sea"', [6]),
        ("“the near”", []),
        ('"nea"', []),
        ("the near", [6]),
        ("case", [7]),
        ("snake_case", [7]),
        ("kebab-case", [7]),
        ("don't", [7]),
        ("naive cafe", [8]),
        ("abc", [8]),
        ("한국", [9]),
        ("МИР", [10]),
        ("quick* learn)", [0]),
        ("words: party", []),
        ("-party", [5]),
        ("^party", [5]),
        ('"party', [5]),
        ("party\x00", [5]),
        ("party\ud83c", [5]),
        ("", []),
        ("  *** ", []),
        ("\ud83c", []),
        ("' OR 1=1 --", []),
    ],
)
def test_search_finds_what_a_person_means(
    searched: ConversationStore, text: str, found: list[int]
) -> None:
    ids = [hit.message_id - 1 for hit in searched.search(text)]
    assert ids == sorted(found, reverse=True)
    for hit in searched.search(text):
        assert "[" in hit.excerpt


def test_search_says_where_and_shows_the_place(store: ConversationStore) -> None:
    talk = store.create(name="Physics", now=NOW)
    store.append(talk.id, said("Hello"))
    text = "word " * 100 + "here is\nthe Entropy of\t\tthe universe " + "word " * 100
    answer = store.append(talk.id, answered(text, at=LATER))
    (hit,) = store.search("entropy univ")
    assert (hit.conversation_id, hit.message_id, hit.title) == (talk.id, answer.id, "Physics")
    assert (hit.speaker, hit.at) == ("assistant", LATER)
    assert hit.excerpt.startswith("…")
    assert hit.excerpt.endswith("…")
    assert "here is the [Entropy] of the [universe]" in hit.excerpt
    assert len(hit.excerpt) < 90


def test_search_returns_the_newest_and_no_more_than_asked(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    for number in range(30):
        store.append(talk.id, said(f"apple {number}"))
    assert [hit.message_id for hit in store.search("apple", limit=3)] == [30, 29, 28]
    assert len(store.search("apple")) == 20
    assert store.search("apple", limit=0) == ()


def test_a_file_is_found_by_its_name(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    store.append(talk.id, said("Read this.", attachments=(NOTES, PICTURE)))
    (hit,) = store.search("notes.md")
    assert hit.excerpt == "Read this. [notes.md] cat.png"


def test_a_page_of_pasted_text_can_be_searched_for(searched: ConversationStore) -> None:
    assert searched.search("word" * 20_000) == ()
    assert searched.search("好" * 20_000) == ()
    assert searched.search(" ".join(f"w{n}" for n in range(5_000))) == ()


def test_an_sqlite_without_fts5_and_one_with_it_can_take_turns(path: Path) -> None:
    with open_store(path) as store:
        talk, other = store.create(now=NOW), store.create(now=NOW)
        store.append(talk.id, said("alpha Geheimwort"))
        store.append(other.id, said("beta"))
    with store_without_fts5(path) as store:
        assert len(store.search("geheim")) == 1
        store.append(other.id, said("gamma"))
        assert len(store.search("gamma")) == 1
        assert store.forget(talk.id)
    assert b"geheim" not in everything_in(path.parent).lower()
    with open_store(path) as store:
        assert [len(store.search(word)) for word in ("alpha", "beta", "gamma")] == [0, 1, 1]
        store.append(other.id, said("delta"))
        assert len(store.search("delta")) == 1
    check_sound(path)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM message_search_data",
        "UPDATE message_search_data SET block = x'00ff00ff' WHERE id > 10",
        "DELETE FROM message_search_data WHERE id = 10",
        "DELETE FROM message_search_idx",
    ],
)
@pytest.mark.parametrize("then", ["search", "append", "remove", "forget"])
def test_a_damaged_index_is_made_again(path: Path, damage: str, then: str) -> None:
    with open_store(path) as store:
        talk, other = store.create(now=NOW), store.create(now=NOW)
        store.append(talk.id, said("one two"))
        last = store.append(other.id, said("three"))
    connection = raw(path)
    connection.execute(damage)
    connection.close()
    with open_store(path) as store:
        if then == "append":
            store.append(talk.id, said("four"))
        elif then == "remove":
            store.remove_from(other.id, last.id or 0)
        elif then == "forget":
            store.forget(other.id)
        assert len(store.search("two")) == 1
        assert len(store.search("four")) == (then == "append")
        assert len(store.search("three")) == (then in {"search", "append"})


def test_a_damaged_index_keeps_no_message_from_being_written(path: Path) -> None:
    with open_store(path) as store:
        talk = store.create(now=NOW)
        store.append(talk.id, said("one"))
        with store._database.writing() as connection:
            connection.execute("UPDATE message_search_data SET block = x'ff'")
        store.append(talk.id, said("two"))
        assert [hit.message_id for hit in store.search("two")] == [2]
        assert [hit.message_id for hit in store.search("one")] == [1]
    check_sound(path)


# Forgetting


def test_forgetting_leaves_nothing_in_the_files(path: Path) -> None:
    folder = path.parent
    secrets = [b"Zimtschnecke", b"zimtschnecke", b"Pfeffernuss", b"QUARKBALL", b"Lebkuchen"]
    with open_store(path) as store:
        kept = store.create(now=NOW)
        for number in range(200):
            store.append(kept.id, said(f"kept {number} " + "filler words " * 50))
        talk = store.create(name="Lebkuchen", system="Think of Pfeffernuss", now=NOW)
        store.append(talk.id, said("about Zimtschnecke " * 300))
        draft = store.append(talk.id, answered("QUARKBALL", thinking="QUARKBALL " * 999))
        store.update(talk.id, replace(draft, content="a QUARKBALL of " * 500))
        store.append(
            talk.id,
            said("x", attachments=(Attachment("Lebkuchen.txt", "text", "Pfeffernuss " * 9999),)),
        )
        store.set_summary(talk.id, "Zimtschnecke, briefly", up_to=draft.id or 0, now=NOW)
        before = everything_in(folder)
        assert [secret for secret in secrets if secret not in before] == []

        assert store.forget(talk.id) is True
        after = everything_in(folder)
        assert [secret for secret in secrets if secret in after] == []
        with store._database.alone() as connection:
            assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert store.forget(talk.id) is False
        assert len(store.load(kept.id).messages) == 200
        assert len(store.search("filler", limit=500)) == 200
        with pytest.raises(UnknownSessionError):
            store.load(talk.id)
    after = everything_in(folder)
    assert [secret for secret in secrets if secret in after] == []
    check_sound(path)


def test_what_was_undone_is_gone_too_once_anything_is_forgotten(path: Path) -> None:
    with open_store(path) as store:
        talk, other = store.create(now=NOW), store.create(now=NOW)
        undone = store.append(talk.id, said("Zimtschnecke"))
        store.remove_from(talk.id, undone.id or 0)
        store.append(other.id, said("hello"))
        assert b"zimtschnecke" in everything_in(path.parent).lower()
        store.forget(other.id)
        assert b"zimtschnecke" not in everything_in(path.parent).lower()


def test_what_was_removed_is_overwritten(path: Path) -> None:
    with open_store(path) as store:
        talk = store.create(now=NOW)
        store.append(talk.id, said("hello"))
        last = store.append(talk.id, answered("x", thinking="Quarkball " * 5000))
    assert b"Quarkball" in path.read_bytes()
    with open_store(path) as store:
        store.remove_from(talk.id, last.id or 0)
    assert b"Quarkball" not in path.read_bytes()


def test_forgetting_writes_no_temporary_file(path: Path) -> None:
    with open_store(path) as store:
        talk, other = store.create(now=NOW), store.create(now=NOW)
        store.append(talk.id, said("x"))
        for _ in range(40):
            store.append(other.id, answered("y", thinking="filler" * 40_000))
        before, during = open_files(), set[str]()
        with store._database.alone() as connection:
            connection.set_progress_handler(lambda: during.update(open_files()), 5)
        store.forget(talk.id)
    assert during <= before


def test_forget_all_counts_and_empties(path: Path) -> None:
    with open_store(path) as store:
        assert store.forget_all() == 0
        for number in range(3):
            talk = store.create(name=f"Zimt {number}", now=NOW)
            store.append(talk.id, said("Zimtschnecke"))
        assert store.forget_all() == 3
        assert store.infos() == ()
        assert b"zimt" not in everything_in(path.parent).lower()
        assert store.create(now=NOW).id == 4, "a number is never given twice"


def test_forgetting_while_another_chat_is_open_erases_as_well(path: Path) -> None:
    with open_store(path) as one, open_store(path) as two:
        talk = one.create(now=NOW)
        first = one.append(talk.id, said("Zimtschnecke"))
        assert two.load(talk.id).messages == (first,)
        assert one.forget(talk.id)
        assert b"zimtschnecke" not in everything_in(path.parent).lower()
        for late in (
            lambda: two.append(talk.id, answered("late")),
            lambda: two.update(talk.id, first),
            lambda: two.rename(talk.id, "late"),
            lambda: two.set_model(talk.id, "late"),
        ):
            with pytest.raises(UnknownSessionError):
                late()
        two.create(now=NOW)
        assert two.search("late") == ()


def test_an_erasure_that_another_program_prevents_is_made_up_for(path: Path) -> None:
    with open_store(path, wait_s=0.1) as store:
        talk = store.create(now=NOW)
        reader = raw(path)
        store.append(talk.id, said("Zimtschnecke"))
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM message").fetchall()
        with pytest.raises(StoreBusyError) as caught:
            store.forget(talk.id)
        assert "forgotten" in caught.value.message
        assert store.infos() == ()
    with open_store(path, wait_s=0.1):
        pass  # it cannot be erased now either, and opening goes on
    assert b"Zimtschnecke" in everything_in(path.parent)
    reader.execute("COMMIT")
    with open_store(path):
        assert b"zimtschnecke" not in everything_in(path.parent).lower()
    reader.close()
    check_sound(path)


# Two at once


def test_a_store_that_is_kept_busy_says_so_after_a_while(path: Path) -> None:
    with open_store(path, wait_s=0.1) as store:
        talk = store.create(now=NOW)
        other = raw(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            store.append(talk.id, said("hello"))
        assert store.load(talk.id).messages == (), "reading goes on"
        other.execute("ROLLBACK")
        other.close()
        assert store.append(talk.id, said("hello")).id


def test_two_chats_write_one_after_the_other(path: Path) -> None:
    with open_store(path) as one, open_store(path) as two:
        talk = one.create(name="ours", now=NOW)
        there = two.by_name("ours")
        assert there is not None
        first = one.append(talk.id, said("from one"))
        second = two.append(there.id, said("from two"))
        assert one.load(talk.id).messages == two.load(talk.id).messages == (first, second)


def test_threads_share_a_store(store: ConversationStore) -> None:
    talk = store.create(now=NOW)
    problems: list[StoreError | sqlite3.Error] = []

    def write(name: str) -> None:
        try:
            for number in range(20):
                store.append(talk.id, said(f"{name} {number}"))
                store.search(name)
                store.infos()
        except (StoreError, sqlite3.Error) as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("red", "green", "blue")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(store.load(talk.id).messages) == 60


def test_ctrl_c_in_the_middle_of_a_change_leaves_the_store_usable(
    store: ConversationStore,
) -> None:
    talk = store.create(now=NOW)

    def interrupted() -> None:
        with store._database.writing() as connection:
            connection.execute("DELETE FROM conversation")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.load(talk.id) == talk
    with store._database.alone() as connection:
        connection.execute("BEGIN")  # as if it had come between two statements of ours
        connection.execute("DELETE FROM conversation")
    assert store.load(talk.id) == talk
    store.append(talk.id, said("hello"))


# Damaged, foreign, older and newer files


def filled(path: Path) -> None:
    with open_store(path) as store:
        talk = store.create(now=NOW)
        for number in range(100):
            store.append(talk.id, said(f"question {number} " * 50))


def garble_header(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[:16] = b"not an sqlite db"
    path.write_bytes(data)


def garble_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_text(path: Path) -> None:
    path.write_text("Dear diary, this is no database. " * 50)


def make_foreign(path: Path) -> None:
    path.unlink()
    connection = raw(path)
    connection.execute("CREATE TABLE conversation (id INTEGER PRIMARY KEY, theirs TEXT)")
    connection.close()


def give_strange_speaker(path: Path) -> None:
    connection = raw(path)
    connection.execute("UPDATE message SET speaker = 'narrator'")
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [garble_header, garble_middle, cut_short, make_text, make_foreign, give_strange_speaker],
)
def test_a_damaged_file_is_named_and_left_as_it_is(
    path: Path, damage: Callable[[Path], None]
) -> None:
    filled(path)
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreDamagedError) as caught, open_store(path) as store:
        store.load(1)
    assert str(path) in caught.value.message
    assert "left as it is" in (caught.value.hint or "")
    assert path.read_bytes() == before


def test_a_damaged_file_can_be_set_aside_when_asked(path: Path) -> None:
    for number in (1, 2):
        path.parent.mkdir(exist_ok=True)
        path.write_text("no database")
        path.with_name(f"{path.name}-wal").write_text("its log")
        aside = set_aside(path)
        assert aside == path.with_name(f"conversations.damaged-{number}.sqlite")
        assert aside.read_text() == "no database"
        assert aside.with_name(f"{aside.name}-wal").read_text() == "its log"
        assert not path.exists()
    with open_store(path) as store:
        assert store.infos() == ()


def test_a_file_of_a_newer_version_is_refused_and_left(path: Path) -> None:
    filled(path)
    connection = raw(path)
    connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreNewerError):
        open_store(path)
    assert path.read_bytes() == before


def made_by_version(version: int, path: Path) -> None:
    """A file as the steps up to that version made it, with what such a program wrote."""
    path.parent.mkdir(parents=True)
    connection = raw(path)
    if version:
        migrate(connection, to=version)
    if version >= 1:
        columns = "conversation_id, speaker, kind, at, interrupted, content, thinking"
        connection.executescript(
            f"""
            INSERT INTO conversation (name, name_key, title, created_at, updated_at)
            VALUES ('Old', 'old', 'What is Entropy?', '{NOW}', '{NOW}');
            INSERT INTO message ({columns})
            VALUES (1, 'user', 'message', '{NOW}', 0, 'What is Entropy?', '');
            INSERT INTO message ({columns})
            VALUES (1, 'assistant', 'message', '{NOW}', 0, 'Disorder, ÉNTROPY', 'hm');
            INSERT INTO message ({columns}, summary_to)
            VALUES (1, 'system', 'summary', '{NOW}', 0, 'about entropy', '', 2);
            INSERT INTO attachment (message_id, name, kind, text)
            VALUES (1, 'book.txt', 'text', 'long');
            """
        )
    connection.close()


@pytest.mark.parametrize("version", range(LATEST))
def test_an_older_file_is_brought_up_to_date(path: Path, version: int) -> None:
    made_by_version(version, path)
    with open_store(path) as store:
        if version:
            old = store.find("old")
            assert [m.content for m in old.messages] == [
                "What is Entropy?",
                "Disorder, ÉNTROPY",
                "about entropy",
            ]
            assert old.summarised_to == 2
            assert [hit.message_id for hit in store.search("entropy")] == [2, 1]
            assert [hit.message_id for hit in store.search("book.txt")] == [1]
        talk = store.create(now=NOW)
        store.append(talk.id, said("new"))
        assert len(store.search("new")) == 1
    connection = raw(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (LATEST,)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    fresh = raw(path.with_name("fresh.sqlite"))
    migrate(fresh)
    schema = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'message_search%' ORDER BY 1"
    assert connection.execute(schema).fetchall() == fresh.execute(schema).fetchall()
    connection.close()
    fresh.close()
    check_sound(path)


def test_an_upgrade_that_fails_leaves_the_old_file(path: Path) -> None:
    made_by_version(1, path)
    connection = raw(path)
    connection.execute("CREATE TABLE blocker (x)")
    connection.execute(
        "CREATE TRIGGER stop BEFORE UPDATE ON message BEGIN SELECT raise(ABORT, 'no'); END"
    )
    with pytest.raises(StoreError):
        open_store(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.execute("DROP TRIGGER stop")
    connection.close()
    with open_store(path) as store:
        assert len(store.search("entropy")) == 2


# Import


def test_a_conversation_is_added_under_numbers_of_its_own(store: ConversationStore) -> None:
    talk = store.create(name="Trip", model="m", now=NOW)
    first = store.append(talk.id, said("one", attachments=(PICTURE,)))
    store.append(talk.id, answered("two"))
    store.set_summary(talk.id, "one, briefly", up_to=first.id or 0, now=NOW)
    exported = store.load(talk.id)
    with pytest.raises(SessionExistsError):
        store.add(exported)
    added = store.add(replace(exported, name="Trip again"))
    assert added.id != talk.id
    assert [replace(m, id=None) for m in added.messages] == [
        replace(m, id=None) for m in exported.messages
    ]
    assert not {m.id for m in added.messages} & {m.id for m in exported.messages}
    assert added.summarised_to == added.messages[0].id
    assert added == store.load(added.id)
    assert {hit.conversation_id for hit in store.search("one")} == {talk.id, added.id}
    assert store.load(talk.id) == exported


def test_the_numbers_of_messages_are_those_of_the_conversation_without_summaries() -> None:
    with memory_store() as store:
        one, other = store.create(now=NOW), store.create(now=NOW)
        kept = [store.append(one.id, said(text)) for text in ("a", "b")]
        store.append(other.id, said("c"))
        store.set_summary(one.id, "short", up_to=kept[0].id or 0, now=NOW)
        assert store.message_ids(one.id) == tuple(m.id for m in kept)
        assert store.message_ids(999) == ()

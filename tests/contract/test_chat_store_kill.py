"""Chats that are killed, or that run at the same time: processes of their own, on one file."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from assistant.chat.records import Message
from assistant.chat.store import open_store
from tests.support.chat_stores import NOW, check_sound, said

SECRET = b"zimtschnecke"
COMMON = """
import sys
from dataclasses import replace
from pathlib import Path
from assistant.chat.records import Message
from assistant.chat.store import open_store
path, name, now = Path(sys.argv[1]), sys.argv[2], "2026-08-01T10:00:00+00:00"
def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()
"""
CHATTING = (
    COMMON
    + """
with open_store(path) as store:
    talk = store.by_name(name) or store.create(name=name, now=now)
    n = len(talk.messages)
    say("open")
    while True:
        message = store.append(talk.id, Message("assistant", f"answer {n} " * 300, now))
        say("kept", n)
        store.update(talk.id, replace(message, content=f"answer {n} " * 600, tokens=n))
        say("grown", n)
        n += 1
"""
)
FORGETTING = (
    COMMON
    + """
with open_store(path) as store:
    say("open")
    say("forgotten", store.forget(store.find(name).id))
"""
)
DYING_BEFORE_ERASING = (
    COMMON
    + """
import os, signal
from assistant.chat.store_file import Database
Database.alone = lambda self: os.kill(os.getpid(), signal.SIGKILL)
with open_store(path) as store:
    store.forget(store.find(name).id)
"""
)
AT_ONCE = (
    COMMON
    + """
say("ready")
sys.stdin.readline()
for round in range(3):
    with open_store(path) as store:
        talk = store.by_name(name) or store.create(name=name, now=now)
        for n in range(10):
            store.append(talk.id, Message("user", f"{name} {round} {n}", now))
            store.search(name)
            store.latest()
say("done")
"""
)


def start(script: str, path: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_a_kill_at_any_instant_loses_at_most_the_message_being_written(tmp_path: Path) -> None:
    path = tmp_path / "conversations.sqlite"
    chance = random.Random(5)
    kept = 0
    cut_off: set[int] = set()
    for _ in range(8):
        process = start(CHATTING, path, "talk")
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        said_so, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        lines = [line.split() for line in said_so.splitlines() if line.count(" ") == 1]
        kept = max([kept, *(int(number) + 1 for word, number in lines if word == "kept")])
        grown = max([-1, *(int(number) for word, number in lines if word == "grown")])
        with open_store(path) as store:
            talk = store.find("talk")
            assert len(talk.messages) in {kept, kept + 1}
            for number, message in enumerate(talk.messages):
                once, twice = f"answer {number} " * 300, f"answer {number} " * 600
                whole = number <= grown and number not in cut_off
                assert message.content in ({twice} if whole else {once, twice})
            kept = len(talk.messages)
            cut_off.add(kept - 1)
            newest = store.search("answer", limit=1000)
            assert [hit.message_id for hit in newest] == [m.id for m in talk.messages][::-1]
        check_sound(path)
    assert kept > 8


def test_a_kill_while_forgetting_is_made_up_for(tmp_path: Path) -> None:
    path = tmp_path / "conversations.sqlite"
    chance = random.Random(6)
    outcomes = set()
    for number in range(10):
        with open_store(path) as store:
            store.forget_all()
            for name in ("kept", "secret"):
                word = SECRET.decode() if name == "secret" else "harmless"
                talk = store.create(name=name, now=NOW)
                for _ in range(60):
                    store.append(talk.id, said(f"{word} " * 400))
        process = start(FORGETTING, path, "secret")
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0, 0.004 * number))
        process.send_signal(signal.SIGKILL)
        said_so, _ = process.communicate()
        with open_store(path) as store:
            names = {info.name for info in store.infos()}
            outcomes.add((said_so, "secret" in names))
            if "secret" in names:
                assert said_so == "", "it said that it was forgotten"
                assert len(store.find("secret").messages) == 60
                assert len(store.search(SECRET.decode(), limit=100)) == 60
            else:
                assert SECRET not in bytes_of(tmp_path)
                assert store.search(SECRET.decode()) == ()
            assert len(store.find("kept").messages) == 60
        check_sound(path)
    assert len(outcomes) > 1, "the kills came at different instants"


def test_a_kill_between_forgetting_and_erasing_is_made_up_for(tmp_path: Path) -> None:
    path = tmp_path / "conversations.sqlite"
    with open_store(path) as store:
        talk = store.create(name="secret", now=NOW)
        store.append(talk.id, said(SECRET.decode()))
        process = start(DYING_BEFORE_ERASING, path, "secret")
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert store.infos() == ()
        assert SECRET in bytes_of(tmp_path), "in the log"
        with open_store(path):
            assert SECRET not in bytes_of(tmp_path)


def test_processes_that_begin_at_once_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "data" / "conversations.sqlite"
    names = [f"chat{number}x" for number in range(10)]
    processes = [start(AT_ONCE, path, name) for name in names]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert (output, errors) == ("done\n", "")
    with open_store(path) as store:
        for name in names:
            talk = store.find(name)
            assert [m.content for m in talk.messages] == [
                f"{name} {turn} {n}" for turn in range(3) for n in range(10)
            ]
        assert len(store.search("chat7x", limit=100)) == 30
    check_sound(path)


def test_a_log_that_a_killed_chat_left_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "conversations.sqlite"
    process = start(CHATTING, path, "talk")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("grown"):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    files = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert "conversations.sqlite-wal" in files
    assert set(files.values()) == {0o600}
    with open_store(path) as store:
        talk = store.find("talk")
        store.append(talk.id, Message("user", "and on it goes", NOW))
        assert len(store.search("goes")) == 1

"""State files that a kill leaves whole, and one writer at a time."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant import lock
from assistant.errors import FileProblemError
from assistant.files import write_atomically
from assistant.lock import writing

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_is_read_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state" / "file.json"
    write_atomically(path, text)
    assert path.read_bytes() == text.encode()
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]


@POSIX
def test_files_are_their_owners_alone_unless_said_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, "x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    write_atomically(path, "y", mode=0o644)
    assert stat.S_IMODE(path.stat().st_mode) & 0o644 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(FileProblemError) as caught:
        write_atomically(tmp_path / "state" / "file", "x")
    assert "cannot be written" in caught.value.message
    assert caught.value.hint is not None


def test_a_folder_in_the_way_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(FileProblemError):
        write_atomically(tmp_path / "file", "x")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_text_that_cannot_be_encoded_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(FileProblemError):
        write_atomically(path, "a lone surrogate: \ud800")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_up_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileProblemError, match="no space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_kill_at_any_instant_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "0" * 100_000)
    code = (
        "import sys; from pathlib import Path; from assistant.files import write_atomically\n"
        "print('ready', flush=True)\n"
        "for n in range(10**9): write_atomically(Path(sys.argv[1]), str(n % 10) * 100_000)"
    )
    for pause in (0.0, 0.01, 0.03):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            process.kill()
        text = path.read_text()
        assert (len(text), len(set(text))) == (100_000, 1)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "made" / "setup.lock"
    order: list[str] = []

    def second() -> None:
        with writing(path, on_wait=lambda: order.append("waits")):
            order.append("second")

    with writing(path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.5)
        order.append("first")
    thread.join(10)
    assert order == ["waits", "first", "second"]


def test_who_waits_too_long_is_told_by_whom(tmp_path: Path) -> None:
    path = tmp_path / "setup.lock"
    with (
        writing(path),
        pytest.raises(FileProblemError) as caught,
        writing(path, wait_s=0.2, held_by="is setting up models"),
    ):
        raise AssertionError("two writers")
    assert caught.value.message == "another process is setting up models."
    assert caught.value.hint is not None


def test_an_error_inside_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "setup.lock"
    with pytest.raises(KeyError), writing(path):
        raise KeyError("x")
    with writing(path, wait_s=0):
        pass


@POSIX
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "setup.lock"
    code = (
        "import sys, time; from pathlib import Path; from assistant.lock import writing\n"
        "with writing(Path(sys.argv[1])):\n"
        "    print('holds', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(FileProblemError), writing(path, wait_s=0.1):
            raise AssertionError("two writers")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with writing(path, wait_s=5):
            pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with (
        pytest.raises(FileProblemError, match="cannot be written"),
        writing(tmp_path / "home" / "setup.lock"),
    ):
        raise AssertionError("no lock")


@POSIX
def test_a_file_system_without_locks_does_not_stop_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def without_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without_locks)
    done = False
    with writing(tmp_path / "setup.lock", wait_s=0):
        done = True
    assert done
    assert lock.WAIT_S > 0

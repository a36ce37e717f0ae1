"""A setup that is killed at any instant, or stopped with Ctrl-C, is finished by the next one.

The program runs as a process of its own. It is killed by the server, just before the server
answers its nth request, or by itself at its nth change of a file (a small driver lets renaming
and linking end the process at once, before or after they are done).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.provision.ledger import FILE_NAME, PREVIOUS_NAME, ledger_from_dict, read_ledger
from tests.support.fake_ollama import SMOLLM2, Fault
from tests.support.setup_scene import COMMAND, MODEL, Requests, Scene, scene

MOST_STEPS = 60
KILLED = -signal.SIGKILL
WEIGHTS = SMOLLM2.weights
DRIVER = """
import os, sys
from pathlib import Path

at, after, calls = int(sys.argv[1]), sys.argv[2] == "after", 0

def mortal(real):
    def change(*given, **named):
        global calls
        calls += 1
        if calls == at and not after:
            os._exit(86)
        done = real(*given, **named)
        if calls == at:
            os._exit(86)
        return done
    return change

Path.replace = mortal(Path.replace)
Path.hardlink_to = mortal(Path.hardlink_to)
from assistant.cli.main import run
sys.exit(run(sys.argv[3:]))
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as found:
        yield found


def start(scene: Scene, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **scene.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_setup(scene: Scene) -> subprocess.Popen[str]:
    return start(scene, "-m", "assistant", *COMMAND)


def check_ledger(scene: Scene) -> None:
    """The ledger can be read, or the one before it; a version in use was measured."""
    sound = []
    for name in (FILE_NAME, PREVIOUS_NAME):
        path = scene.data / name
        if path.exists():
            sound.append(ledger_from_dict(json.loads(path.read_text())))
    ledger = read_ledger(scene.data)
    assert not sound or ledger in sound
    entry = ledger.current("chat")
    assert entry is None or entry.measured is not None


def set_up_before(scene: Scene, model: str | None) -> str | None:
    """Let a model serve the role already; return the digest of its alias."""
    if model is None:
        return None
    seen = scene.run("setup", "--yes", "--model", f"chat={model}", "--bandwidth", "1GB/s")
    assert seen.exit_code == 0
    manifest = scene.server.manifest("assistant-chat")
    assert manifest is not None
    return manifest.digest


def check_finishes(scene: Scene, *others: str) -> None:
    """The same command comes to its end, and leaves the alias and nothing else."""
    seen = scene.setup()
    assert (seen.exit_code, seen.error) == (0, "")
    assert scene.names() == ["assistant-chat:latest", *others, MODEL]
    alias = scene.server.manifest("assistant-chat")
    entry = read_ledger(scene.data).current("chat")
    assert alias is not None
    assert entry is not None
    assert entry.alias_digest == alias.digest
    assert entry.measured is not None
    assert read_ledger(scene.data).pending is None
    assert scene.setup().stdout.startswith("Everything is as planned.")
    left = {path.name for path in scene.data.iterdir()}
    assert left >= {FILE_NAME, "modelfiles", "setup.lock"}


class Killer:
    """Kills a process at the nth request, before the server answers it."""

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self.asked: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, path: str, _count: int) -> None:
        self.asked.append(path)
        if len(self.asked) != self.nth:
            return
        while self.process is None:
            time.sleep(0.001)
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("before", [None, "gemma3:270m"])
def test_killed_at_any_request_it_is_finished_by_the_next_run(
    tmp_path: Path, before: str | None
) -> None:
    """From nothing, and where another model serves the role already."""
    killed_at = []
    for nth in range(1, MOST_STEPS):
        with scene(tmp_path / str(nth)) as here:
            old = set_up_before(here, before)
            here.server.requests.clear()
            killer = Killer(nth)
            here.server.requests = Requests(killer)
            process = killer.process = start_setup(here)
            _, err = process.communicate(timeout=60)
            if process.returncode == 0:
                break
            assert process.returncode == KILLED, err
            killed_at.append(killer.asked[nth - 1])
            pulled = here.asked("/api/pull")
            here.server.requests = []
            check_ledger(here)
            now = here.server.manifest("assistant-chat")
            assert old is None or now is not None
            if now is not None and now.digest != old:
                assert "/api/copy" in killer.asked
            check_finishes(here, *([before] if before else []))
            assert here.asked("/api/pull") <= 1
            if pulled and killed_at[-1] != "/api/pull":
                assert here.asked("/api/pull") == 0
    else:
        pytest.fail("it never came to its end")
    assert {
        "/api/pull", "/api/create", "/api/generate", "/api/chat", "/api/copy", "/api/delete",
    } <= set(killed_at)  # fmt: skip
    assert killed_at[-1] == "/api/tags"  # a look for candidates that are left over


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_change_of_a_file_it_is_finished_by_the_next_run(
    tmp_path: Path, when: str
) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    for nth in range(1, MOST_STEPS):
        with scene(tmp_path / str(nth)) as here:
            process = start(here, str(driver), str(nth), when, *COMMAND)
            _, err = process.communicate(timeout=60)
            if process.returncode == 0:
                break
            assert process.returncode == 86, err
            check_ledger(here)
            check_finishes(here)
            assert here.asked("/api/pull") == 1
    else:
        pytest.fail("it never came to its end")
    assert nth > 8


def until_half_pulled(scene: Scene) -> int:
    """Wait until a third of the weights is there; return how much of them is."""
    end = time.monotonic() + 30
    while scene.kept_bytes() < WEIGHTS.size // 3:
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
    return scene.kept_bytes()


def first_progress(scene: Scene) -> list[int]:
    """Note what every pull from now on finds of the weights when it begins."""
    found: list[int] = []

    def note(path: str, _count: int) -> None:
        if path == "/api/pull":
            found.append(scene.kept_bytes())

    scene.server.requests = Requests(note)
    return found


def test_killed_in_the_middle_of_a_pull_it_goes_on_from_there(here: Scene) -> None:
    here.server.bytes_per_s = WEIGHTS.size / 3
    process = start_setup(here)
    kept = until_half_pulled(here)
    process.kill()
    process.communicate(timeout=60)
    check_ledger(here)
    pending = read_ledger(here.data).pending
    assert pending is not None
    here.server.bytes_per_s = None
    found = first_progress(here)
    check_finishes(here)
    assert len(found) == 1
    assert found[0] >= kept


def test_ctrl_c_in_the_middle_of_a_pull_says_what_is_kept(here: Scene) -> None:
    here.server.bytes_per_s = WEIGHTS.size / 3
    process = start_setup(here)
    kept = until_half_pulled(here)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    last = err.splitlines()[-1]
    said = (
        r"Stopped\. \d+ MB of 0\.3 GB of smollm2:135m are kept; "
        r"run assistant setup --model chat=smollm2:135m to go on\."
    )
    assert re.fullmatch(said, last)
    assert "Traceback" not in err
    check_ledger(here)
    here.server.bytes_per_s = None
    found = first_progress(here)
    check_finishes(here)
    assert found[0] >= kept


def test_ctrl_c_while_a_model_loads_leaves_no_candidate(here: Scene) -> None:
    here.server.faults.add(Fault.slow("/api/chat", delay_s=1.5, times=1))
    process = start_setup(here)
    while not here.asked("/api/chat"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        "Stopped. What was done is kept; run assistant setup --model chat=smollm2:135m to go on."
    )
    assert here.names() == [MODEL]
    check_ledger(here)
    check_finishes(here)
    assert here.asked("/api/pull") == 1

"""What `assistant setup` does when something goes wrong: every fault at every step where it can be.

    python -m benchmarks.setup_faults [--fault WORD]

Each row of `CASES` is one fault at one step of a first setup of one role, against the test
server. It is run twice: with the fault, then the same command again without it. The table says
what the person sees, the exit code, what is left behind, and how the second run ended. The
tests hold every row to what is written here (`tests/contract/test_setup_faults.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assistant.errors import FileProblemError
from assistant.ollama.local_server import find_ollama, how_to_start
from assistant.provision.ledger import FILE_NAME, PREVIOUS_NAME, read_ledger
from tests.support.fake_ollama import SMOLLM2, Fault, Say, Script
from tests.support.setup_scene import MODEL, SHORT_S, Requests, Scene, Seen, scene, short_waits

AGAIN: Final = "Run the same command again; assistant doctor looks for the reason."
KEPT: Final = "What came is kept; run the same command again."
RERUN: Final = "Run the same command again."
SERVE: Final = "Start it with: ollama serve"
HOST: Final = "Set OLLAMA_HOST to the address of the Ollama server."
ROOM: Final = "Free some space (assistant models remove NAME), then run the same command again."
NETWORK: Final = (
    "Check the server's network (and its HTTPS_PROXY); what came is kept. "
    "Run the same command again."
)
FOLDER: Final = "Check the folder's permissions and the room on the disk, or set ASSISTANT_HOME."
LOST: Final = "the connection to the server was lost"
GONE: Final = "no Ollama server answers at {url} (remote end closed connection without response)."
REFUSED: Final = "the Ollama server at {url} answered 500: something went wrong"
BUSY: Final = "the Ollama server is busy: its queue is full."
MOMENT: Final = "Try again in a moment."
REFUSED_503: Final = (
    "the Ollama server at {url} answered 503: server busy, please try again. maximum pending "
    "requests exceeded"
)
CUT_OFF: Final = (
    "no Ollama server answers at {url} (server disconnected without sending a response)."
)
CLOSED: Final = "no Ollama server answers at {url} (connection refused)."
RESTART: Final = "Something listens there and does not answer: restart Ollama."
INSTALL: Final = how_to_start(find_ollama())
NOT_JSON: Final = "the server sent something that is not JSON"
STOPPED: Final = f"the model '{MODEL}' stopped in the middle of its answer."
PART: Final = "part of the download"
EMPTY: Final = "an empty download"
UNTIDY: Final = f"assistant-chat:next, {MODEL}"
DONE: Final = f"assistant-chat:latest, {MODEL}"
NOT_OLLAMA: Final = "what answers at {url} is not an Ollama server: "
NO_ANSWER: Final = f"no Ollama server answers at {{url}} (no answer within {SHORT_S:g} s)."
SILENT: Final = f"the server said nothing for {SHORT_S:g} s"


def add(*faults: Fault) -> Callable[[Scene], None]:
    """Return what lets faults of the server happen."""
    return lambda scene: scene.server.faults.add(*faults)


STEPS: Final = {
    "reach": "/api/version",
    "list": "/api/tags",
    "pull": "/api/pull",
    "create": "/api/create",
    "load": "/api/generate",
    "generate": "/api/chat",
    "activate": "/api/copy",
}
_LINES: Final = {"pull": 6, "create": 2, "generate": 2}
"""Lines of a stream that arrive before it breaks."""
_TIMES: Final = {"load": 2}
"""The model is unloaded before it is loaded, with a request to the same path."""


def at(fault: Callable[..., Fault], step: str, **more: Any) -> Callable[[Scene], None]:
    """Return what makes a fault of the server wait at a step."""
    if fault in {Fault.cut, Fault.hang, Fault.garbage, Fault.kill}:
        more.setdefault("after_lines", _LINES.get(step, 0))
    if fault != Fault.kill:
        more.setdefault("times", _TIMES.get(step, 1))
    return lambda scene: scene.server.faults.add(fault(STEPS[step], **more))


def mend(scene: Scene) -> None:
    """Let nothing more go wrong; a server that is gone is started again with what it had."""
    scene.server.faults.clear()
    scene.server.bytes_per_s = None
    if not scene.server.alive:
        scene.server.start()


def restart(scene: Scene) -> None:
    """Start the server anew, which ends what hangs in it."""
    scene.server.stop()
    mend(scene)


@dataclass(frozen=True)
class Case:
    """One fault at one step: how it comes about, and what must come of it.

    `says` is empty when the setup comes to its end in spite of it; `left` is what is there
    afterwards, `mend` what a person does about the fault before the second run.
    """

    fault: str
    step: str
    arrange: Callable[[Scene], None]
    exit_code: int
    says: str = ""
    hint: str = ""
    left: str = MODEL
    mend: Callable[[Scene], None] = mend
    impatient: bool = False

    @property
    def id(self) -> str:
        """A short name."""
        return f"{self.fault} at {self.step}".replace(" ", "-")


def _every_step() -> Iterator[Case]:
    """Yield the faults that any request can meet, at every step."""
    for step in STEPS:
        yield Case("slow", step, _slow(step), 0, left=DONE)
    for step in ("reach", "list"):
        said = f"{NOT_OLLAMA}{STEPS[step]} does not answer with a JSON object."
        hang = at(Fault.hang, step)
        yield Case("hang", step, hang, 3, NO_ANSWER, RESTART, "nothing", impatient=True)
        yield Case("cut", step, at(Fault.cut, step), 3, GONE, RESTART, "nothing")
        yield Case("500", step, at(Fault.error, step), 3, REFUSED, AGAIN, "nothing")
        yield Case("503", step, at(Fault.busy, step), 3, REFUSED_503, AGAIN, "nothing")
        yield Case("garbage", step, at(Fault.garbage, step), 3, said, HOST, "nothing")
        yield Case("html", step, at(Fault.html, step), 3, said, HOST, "nothing")
    yield Case("server gone", "reach", _gone, 3, CLOSED, INSTALL, "nothing")
    yield Case("server killed", "list", at(Fault.kill, "list"), 3, GONE, SERVE, "nothing")
    yield from _streams("pull", 3, f"the pull of '{MODEL}' broke off", KEPT)
    yield from _streams("create", 5, "the creation of 'assistant-chat' broke off", RERUN)
    for step in ("pull", "create"):
        left = "nothing" if step == "pull" else MODEL
        code = 3 if step == "pull" else 5
        yield Case("500", step, at(Fault.error, step), code, REFUSED, AGAIN, left)
        yield Case("503", step, at(Fault.busy, step), code, BUSY, MOMENT, left)
    for step in ("load", "generate"):
        said = "does not answer with a JSON object" if step == "load" else "sends a line that is "
        said = f"{NOT_OLLAMA}{STEPS[step]} {said}{'not JSON' if step == 'generate' else ''}."
        yield Case("500", step, at(Fault.error, step), 5, REFUSED, AGAIN)
        yield Case("503", step, at(Fault.busy, step), 5, BUSY, MOMENT)
        yield Case("garbage", step, at(Fault.garbage, step), 5, said, HOST)
        yield Case("html", step, at(Fault.html, step), 5, said, HOST)
    yield Case("hang", "load", at(Fault.hang, "load"), 5, NO_ANSWER, RESTART, impatient=True)
    yield Case("cut", "load", at(Fault.cut, "load"), 5, GONE, RESTART)
    yield Case("server killed", "load", at(Fault.kill, "load"), 5, CLOSED, SERVE, UNTIDY)
    slow = f"the model '{MODEL}' took longer than allowed."
    yield Case("hang", "generate", at(Fault.hang, "generate"), 5, slow, AGAIN, impatient=True)
    yield Case("cut", "generate", at(Fault.cut, "generate"), 5, STOPPED, AGAIN)
    yield Case("server killed", "generate", at(Fault.kill, "generate"), 5, STOPPED, AGAIN, UNTIDY)
    yield Case("hang", "activate", at(Fault.hang, "activate"), 5, NO_ANSWER, RESTART,
               impatient=True)  # fmt: skip
    yield Case("cut", "activate", at(Fault.cut, "activate"), 5, CUT_OFF, RESTART)
    yield Case("server killed", "activate", at(Fault.kill, "activate"), 5, CUT_OFF, SERVE, UNTIDY)
    yield Case("500", "activate", at(Fault.error, "activate"), 5, REFUSED, AGAIN)
    yield Case("503", "activate", at(Fault.busy, "activate"), 5, REFUSED_503, AGAIN)
    yield Case("garbage", "activate", at(Fault.garbage, "activate"), 0, left=DONE)
    vain = f"{NOT_OLLAMA}it says that it copied a model to assistant-chat, in vain."
    yield Case("html", "activate", at(Fault.html, "activate"), 5, vain, HOST)


def _streams(step: str, code: int, said: str, hint: str) -> Iterator[Case]:
    """Yield what can become of the stream of a pull or a creation."""
    half, none = (PART, "nothing") if step == "pull" else (MODEL, MODEL)
    lost, odd, silent = f"{said}: {LOST}.", f"{said}: {NOT_JSON}.", f"{said}: {SILENT}."
    killed = EMPTY if step == "pull" else MODEL
    yield Case(
        "hang", step, at(Fault.hang, step), code, silent, hint, half, restart, impatient=True
    )
    yield Case("cut", step, at(Fault.cut, step), code, lost, hint, half)
    yield Case("server killed", step, at(Fault.kill, step), code, lost, hint, killed)
    yield Case("garbage", step, _unhurried(at(Fault.garbage, step)), code, odd, hint, half)
    yield Case("html", step, at(Fault.html, step), code, odd, hint, none)


def _their_own() -> Iterator[Case]:
    """Yield the faults that belong to one step."""
    full = f"the disk of the Ollama server is full; '{MODEL}' is not complete (write "
    yield Case("disk full", "pull", at(Fault.disk_full, "pull", after_lines=6), 3, full, ROOM, PART)
    full = "the disk of the Ollama server is full; 'assistant-chat' was not created (no space "
    no_space = add(Fault.error_line("/api/create", "no space left on device"))
    yield Case("disk full", "create", no_space, 5, full, ROOM)
    bad = f"the download of '{MODEL}' is damaged: digest mismatch, file must be downloaded again"
    doctor = "Run the same command again; if it says the same, assistant doctor names the part "
    yield Case("bad digest", "pull", at(Fault.bad_digest, "pull"), 3, bad, doctor, "nothing")
    poison = add(Fault.poisoned_partial(after_lines=4))
    bad = f"the download of '{MODEL}' is damaged: EOF."
    yield Case("poisoned part file", "pull", poison, 3, bad, doctor, PART, _without_partials)
    gone = f"the Ollama server cannot reach the registry for '{MODEL}': "
    early, late = (at(Fault.registry_gone, "pull", after_lines=n) for n in (0, 6))
    yield Case("no registry", "pull", early, 3, f"{gone}pull model manifest: ", NETWORK, "nothing")
    yield Case("registry gone", "pull", late, 3, f"{gone}max retries exceeded: ", NETWORK, PART)
    none, name = f"the registry has no model '{MODEL}'.", "Check the name: assistant models list"
    yield Case("no such model", "pull", at(Fault.missing_model, "pull"), 3, none, name, "nothing")
    memory = f"the Ollama server has not enough memory to load '{MODEL}'."
    fit = f"See what fits: assistant fit {MODEL}"
    short = at(Fault.load_failure, "load", times=None)
    yield Case("out of memory", "load", short, 5, memory, fit)
    died = "llama-server process has terminated: exit status 1: no kernel image"
    broken = f"the Ollama server could not load '{MODEL}': {died}."
    yield Case("runner dies", "load", at(Fault.load_failure, "load", text=died), 5, broken, AGAIN)
    killed = at(Fault.runner_killed, "generate", after_lines=2)
    yield Case("runner killed", "generate", killed, 5, STOPPED, AGAIN)
    empty = f"'{MODEL}' loads, but writes nothing."
    other = "Its file or its template may be damaged; take another model or quantization."
    yield Case("empty reply", "generate", _mute, 5, empty, other, MODEL, _speaking)
    yield Case(
        "500", "list what is loaded", add(Fault.error("/api/ps", times=2)), 5, REFUSED, AGAIN
    )
    yield Case("500", "show", add(Fault.error("/api/show")), 5, REFUSED, AGAIN)
    uncertain = add(Fault.error("/api/ps", times=1))
    yield Case("500", "look at the machine", uncertain, 0, left=DONE)
    yield from _ledger()


def _ledger() -> Iterator[Case]:
    """Yield what can be wrong with the ledger."""
    lock = "'{home}/data/setup.lock' cannot be written: not a directory."
    folder = "Check the folder's permissions, or set ASSISTANT_HOME to another one."
    yield Case("folder not writable", "start", _no_folder, 1, lock, folder, "nothing", _folder)
    said = "'{home}/data/ledger.json' cannot be written: is a directory."
    yield Case("not writable", "plan noted", _blocked, 1, said, FOLDER, "nothing", _unblocked)
    later = _blocked_at("/api/show")
    yield Case("not writable", "ledger", later, 5, said, FOLDER, MODEL, _unblocked)
    both = "the ledger '{home}/data/ledger.json' is damaged, and so is the copy beside it."
    away = "Move both files away and run: assistant setup (models on the server are kept)."
    yield Case("ledger damaged", "start", _damaged, 1, both, away, "nothing", _moved_away)
    yield Case("ledger damaged", "start, copy sound", _damaged_after, 0, left=DONE)


def _slow(step: str) -> Callable[[Scene], None]:
    return add(Fault.slow(STEPS[step], delay_s=0.1, between_s=0.002))


def _unhurried(arrange: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Return the same at a line of some speed: a client that leaves is noticed in time."""

    def slowly(scene: Scene) -> None:
        scene.server.bytes_per_s = SMOLLM2.weights.size / 2
        arrange(scene)

    return slowly


def _gone(scene: Scene) -> None:
    scene.server.stop()


def _without_partials(scene: Scene) -> None:
    scene.server.state.partials.clear()
    mend(scene)


def _mute(scene: Scene) -> None:
    scene.server.chats[SMOLLM2.weights.digest] = Script([Say("")])


def _speaking(scene: Scene) -> None:
    scene.server.chats.clear()


def _no_folder(scene: Scene) -> None:
    scene.home.write_text("in the way")


def _folder(scene: Scene) -> None:
    scene.home.unlink()


def _blocked(scene: Scene) -> None:
    """Put a folder where the new ledger is written: not even root can do that then."""
    _unfinished(scene).mkdir(parents=True)


def _blocked_at(path: str) -> Callable[[Scene], None]:
    def arrange(scene: Scene) -> None:
        def block(asked: str, _count: int) -> None:
            if asked == path:
                _unfinished(scene).mkdir(exist_ok=True)

        scene.server.requests = Requests(block)

    return arrange


def _unblocked(scene: Scene) -> None:
    scene.server.requests = []
    _unfinished(scene).rmdir()


def _unfinished(scene: Scene) -> Path:
    return scene.data / f"{FILE_NAME}.{os.getpid()}.new"


def _damaged(scene: Scene) -> None:
    scene.data.mkdir(parents=True)
    for name in (FILE_NAME, PREVIOUS_NAME):
        (scene.data / name).write_text('{"version": 1, "ali')


def _moved_away(scene: Scene) -> None:
    for name in (FILE_NAME, PREVIOUS_NAME):
        (scene.data / name).rename(scene.data / f"{name}.damaged")


def _damaged_after(scene: Scene) -> None:
    scene.setup()
    (scene.data / FILE_NAME).write_text("")


CASES: Final = (*_every_step(), *_their_own())


@dataclass(frozen=True)
class Result:
    """What came of a case: the run with the fault, what it left, and the run without it."""

    case: Case
    seen: Seen
    left: str
    pending: bool | None
    again: Seen
    left_again: str
    alias_digest: str | None
    url: str
    home: str

    def filled(self, text: str) -> str:
        """Return a sentence of the table with this run's address and folder."""
        return text.replace("{url}", self.url).replace("{home}", self.home)

    def plain(self, text: str) -> str:
        """Return what was printed with the address and the folder left out."""
        return text.replace(self.url, "{url}").replace(self.home, "{home}")


def try_case(case: Case, folder: Path) -> Result:
    """Run one case in an empty folder: with its fault, then again without."""
    with scene(folder) as here:
        case.arrange(here)
        with short_waits() if case.impatient else contextlib.nullcontext():
            seen = here.setup()
        left, pending = here.left(), _pending(here.data)
        case.mend(here)
        again = here.setup()
        alias = here.server.manifest("assistant-chat")
        return Result(
            case=case,
            seen=seen,
            left=left,
            pending=pending,
            again=again,
            left_again=here.left(),
            alias_digest=None if alias is None else alias.digest,
            url=here.server.address.url,
            home=str(here.home),
        )


def _pending(folder: Path) -> bool | None:
    """Return whether the ledger remembers an unfinished setup; None when it cannot be read."""
    try:
        return read_ledger(folder).pending is not None
    except FileProblemError:
        return None


def row(result: Result) -> str:
    """Return a line of the table."""
    case = result.case
    shown = result.plain(result.seen.error) or "nothing: it is done all the same"
    again = f"exit {result.again.exit_code}: {result.left_again}"
    cells = (case.fault, case.step, shown, str(result.seen.exit_code), result.left, again)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description="Every fault at every step of a setup.")
    parser.add_argument("--fault", default="", help="only those with this word")
    wanted = parser.parse_args().fault
    print("| fault | step | what the person sees | exit | left behind | the same command again |")
    print("|---|---|---|--:|---|---|")
    for case in CASES:
        if wanted in case.fault:
            with tempfile.TemporaryDirectory() as folder:
                print(row(try_case(case, Path(folder))), flush=True)


if __name__ == "__main__":
    main()

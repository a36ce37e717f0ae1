"""`assistant chat` as a person sees it: the real program in a terminal, against the test server."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from assistant.chat.store import open_store
from assistant.ollama.client import OllamaClient
from tests.support.fake_ollama import (
    ALL_MINILM,
    Break,
    Fault,
    OllamaServer,
    Say,
    Script,
    library_model,
)
from tests.support.provisioned import set_up
from tests.support.terminal import Terminal

NAME = "qwen3:8b"
ANSWER = """\
Blue light is **scattered** more than red light.

1. Sunlight enters the `air`.
2. Short waves scatter:
   ```python
   def scatter(wavelength):
       return 1 / wavelength**4
   ```
3. Blue reaches the eye, from all sides of the sky.

| colour | wavelength |
|--------|-----------:|
| blue   | 450 nm |
| red    | 700 nm |

That is *Rayleigh scattering*."""
LINES = 60
CODE = "Code:\n\n```python\n" + "\n".join(f"n{i} = {i}" for i in range(LINES)) + "\n```\n\nDone."
STYLE = re.compile(rb"\x1b\[([0-9;]*)m")
COLORS = re.compile(r"(?:^|;)(?:3|4|9|10)\d(?:;|$)")
PROMPT = "\n>"

pytestmark = pytest.mark.slow
Start = Callable[..., Terminal]


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer(library=[library_model(NAME)], installed=[NAME]) as running:
        running.answer_with(NAME, Script([Say(ANSWER)]))
        yield running


@pytest.fixture
def start(server: OllamaServer, own_world: Path, tmp_path: Path) -> Start:
    """Return what starts the program and waits for its prompt; use it with `with`."""

    @contextmanager
    def starting(
        *arguments: str, columns: int = 80, rows: int = 40, env: dict[str, str] | None = None
    ) -> Iterator[Terminal]:
        environment = {
            "OLLAMA_HOST": server.host,
            "ASSISTANT_HOME": str(own_world),
            "NO_COLOR": "",
            **(env or {}),
        }
        with Terminal(
            ["chat", *arguments], columns=columns, rows=rows, env=environment, cwd=str(tmp_path)
        ) as terminal:
            plain = "--plain" in arguments or {"TERM", "ASSISTANT_PLAIN"} & set(env or {})
            terminal.wait_for("You:" if plain else PROMPT)
            terminal.settle()
            yield terminal

    return starting  # type: ignore[return-value]


def say(terminal: Terminal, text: str, *, until: str) -> str:
    """Type a line and Enter; return the text when `until` came and all is quiet."""
    terminal.type(text)
    terminal.settle(0.15)
    terminal.type("\r")
    terminal.wait_for(until)
    terminal.settle()
    return terminal.text()


def steady(text: str) -> str:
    """Return the text without the time that thinking took on this machine."""
    return re.sub(r"(?<=hought for )(under 1 s|\d+ s)", "N s", text)


def asked(server: OllamaServer) -> list[dict[str, Any]]:
    return [body for _, path, body in server.requests if path == "/api/chat"]


def questions(server: OllamaServer) -> list[str]:
    return [body["messages"][-1]["content"] for body in asked(server)]


# What it looks like


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("color", ["colour", "no-colour"])
def test_a_conversation_on_the_screen(
    start: Start, server: OllamaServer, snapshot: SnapshotAssertion, columns: int, color: str
) -> None:
    server.answer_with(NAME, Script([Say(ANSWER, thinking="The sky. Light. Air.")]))
    env = {"NO_COLOR": "1"} if color == "no-colour" else {}
    with start(columns=columns, rows=44, env=env) as terminal:
        say(terminal, "Why is the sky blue?", until="Rayleigh scattering.")
        say(terminal, "/hepl", until="Did you mean")
        assert steady(terminal.screen()) == snapshot
        assert max(map(len, terminal.screen().splitlines())) <= columns
        codes = {code.decode() for code in STYLE.findall(terminal.raw)}
    colored = {code for code in codes if COLORS.search(code)}
    assert bool(colored) is (color == "colour")
    if color == "no-colour":
        assert codes <= {"", "0"}


@pytest.mark.parametrize("env", [{}, {"TERM": "dumb"}, {"ASSISTANT_PLAIN": "1"}], ids=str)
def test_plain_mode_only_appends(
    start: Start, server: OllamaServer, snapshot: SnapshotAssertion, env: dict[str, str]
) -> None:
    server.answer_with(NAME, Script([Say(ANSWER, thinking="The sky. Light. Air.")]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.002))
    with start(*([] if env else ["--plain"]), env={"NO_COLOR": "1", **env}) as terminal:
        terminal.type("Why is the sky blue?\r")
        terminal.wait_for("Rayleigh scattering.\nYou:")
        terminal.type("/nope\r")
        terminal.wait_for("/help lists")
        terminal.settle()
        text = terminal.text()
        terminal.type("\x04")
        assert terminal.wait_exit() == 0
        raw = terminal.raw.replace(b"\x1b[?2004h", b"").replace(b"\x1b[?2004l", b"")
    assert steady(text) == snapshot(name="plain")
    assert b"\x1b" not in raw, "nothing moves the cursor"
    assert b"\r" not in raw.replace(b"\r\n", b"")


def test_the_status_line_has_model_context_and_speed(start: Start) -> None:
    with start() as terminal:
        assert terminal.screen().splitlines()[-1] == f"{NAME}    0 of 4,096 tokens"
        say(terminal, "Why?", until="Rayleigh scattering.")
        line = terminal.screen().splitlines()[-1]
    assert re.fullmatch(rf"{NAME}    \d+ of 4,096 tokens    40 tokens/s", line), line


def test_an_answer_appears_while_it_is_written(start: Start, server: OllamaServer) -> None:
    server.faults.add(Fault.slow("/api/chat", between_s=0.02))
    with start() as terminal:
        terminal.type("Why?\r")
        terminal.wait_for("Blue light is")
        assert "Rayleigh" not in terminal.text()
        assert "**" not in terminal.text()
        terminal.wait_for("Rayleigh scattering.")


def test_waiting_is_said_and_gone_afterwards(start: Start, server: OllamaServer) -> None:
    server.faults.add(Fault.slow("/api/chat", delay_s=1.5))
    with start() as terminal:
        terminal.type("Why?\r")
        terminal.wait_for(f"loading {NAME}")
        terminal.wait_for("Ctrl-C stops")
        text = say(terminal, "", until="Rayleigh scattering.")
    assert "Ctrl-C stops" not in text


def test_thinking_is_shown_then_folded_and_opened(start: Start, server: OllamaServer) -> None:
    server.answer_with(NAME, Script([Say("Four.", thinking="Two and two, " * 20)]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.02))
    with start() as terminal:
        terminal.type("2 + 2?\r")
        terminal.wait_for(lambda text: "thinking" in text and "Two and two" in text)
        text = terminal.wait_for("Four.")
        assert "thought for" in text
        assert "Two and two" not in text
        terminal.settle()
        assert "Two and two" in say(terminal, "/think", until="stays open")
        server.faults.clear()
        text = say(terminal, "/retry", until="Four.\n")
        assert text.count("thought for") == 2
    assert text.count("Two and two") > 20


def test_a_long_answer_scrolls_by_whole(start: Start, server: OllamaServer) -> None:
    server.answer_with(NAME, Script([Say(CODE)]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.001))
    with start(rows=12) as terminal:
        text = say(terminal, "Code, please", until="Done.")
    shown = [line for line in text.splitlines() if re.fullmatch(r"n\d+ = \d+", line)]
    assert shown == [f"n{i} = {i}" for i in range(LINES)]


def test_text_is_appended_not_drawn_again(start: Start, server: OllamaServer) -> None:
    words = "word " * 300
    server.answer_with(NAME, Script([Say(words)]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.001))
    with start() as terminal:
        before = len(terminal.raw)
        say(terminal, "Talk", until="word\n\n>")
        written = terminal.raw[before:]
    assert len(written) < 3 * len(words) + 4000


def test_the_window_may_change_its_size(start: Start, server: OllamaServer) -> None:
    server.faults.add(Fault.slow("/api/chat", between_s=0.01))
    with start() as terminal:
        terminal.type("Why?\r")
        terminal.wait_for("Sunlight")
        terminal.resize(100, 30)
        text = terminal.wait_for("Rayleigh scattering.")
    for line in ("2. Short waves scatter:", "def scatter(wavelength):", "3. Blue reaches"):
        assert text.count(line) == 1


# Keys


def test_ctrl_c_stops_the_answer_and_not_the_program(start: Start, server: OllamaServer) -> None:
    server.answer_with(NAME, Script([Say("word " * 2000), Say("Whole.")]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.01))
    with start() as terminal:
        terminal.type("Talk\r")
        terminal.wait_for("word word")
        terminal.interrupt()
        terminal.wait_for("Stopped. /retry asks again.")
        terminal.settle()
        server.faults.clear()
        text = say(terminal, "/retry", until="Whole.")
        assert text.rstrip().splitlines()[-1].startswith(NAME)
        terminal.type("\x04")
        assert terminal.wait_exit() == 0
    with open_store() as store:
        latest = store.latest()
    assert latest is not None
    assert [m.content for m in latest.messages] == ["Talk", "Whole."]


def test_a_stopped_answer_is_kept_as_far_as_it_came(start: Start, server: OllamaServer) -> None:
    server.answer_with(NAME, Script([Say("word " * 2000)]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.01))
    with start() as terminal:
        terminal.type("Talk\r")
        terminal.wait_for("word word")
        terminal.interrupt()
        terminal.wait_for("Stopped.")
    with open_store() as store:
        latest = store.latest()
    assert latest is not None
    assert latest.messages[-1].interrupted
    assert latest.messages[-1].content.startswith("word word")


def test_ctrl_c_while_waiting_stops_that(start: Start, server: OllamaServer) -> None:
    server.faults.add(Fault.hang("/api/chat"))
    with start() as terminal:
        terminal.type("Why?\r")
        terminal.wait_for("Ctrl-C stops")
        terminal.interrupt()
        terminal.wait_for("Stopped.")
        terminal.settle()
        say(terminal, "/retry", until="Rayleigh scattering.")


def test_ctrl_c_clears_the_line_and_then_says_how_to_leave(start: Start) -> None:
    with start() as terminal:
        terminal.type("half a thought")
        terminal.settle()
        terminal.interrupt()
        terminal.wait_for(lambda text: "half a thought" not in text)
        assert "/exit" not in terminal.text()
        terminal.interrupt()
        terminal.wait_for("Ctrl-D or /exit ends the chat.")
        terminal.settle()
        terminal.type("/exit\r")
        assert terminal.wait_exit() == 0


def test_a_pasted_text_is_one_message(start: Start, server: OllamaServer) -> None:
    pasted = "first line\n\n    indented\nlast line"
    with start() as terminal:
        terminal.paste(pasted)
        terminal.wait_for("  last line")
        assert asked(server) == []
        terminal.type("\r")
        terminal.wait_for("Rayleigh scattering.")
    assert questions(server) == [pasted]


def test_lines_go_on_after_alt_enter_and_a_backslash(start: Start, server: OllamaServer) -> None:
    with start() as terminal:
        terminal.type("one")
        terminal.type("\x1b\r")
        terminal.type("two\\\r")
        terminal.type("three")
        terminal.wait_for("> one\n  two\n  three")
        terminal.type("\r")
        terminal.wait_for("Rayleigh scattering.")
    assert questions(server) == ["one\ntwo\nthree"]


def test_what_is_typed_meanwhile_waits_for_the_prompt(start: Start, server: OllamaServer) -> None:
    server.faults.add(Fault.slow("/api/chat", between_s=0.02))
    with start() as terminal:
        terminal.type("Why?\r")
        terminal.wait_for("Blue light")
        assert not terminal.is_echoing()
        terminal.type("and why not?")
        terminal.wait_for("Rayleigh scattering.")
        terminal.wait_for("> and why not?")
        assert terminal.text().count("and why not?") == 1


def test_completion_of_commands_models_and_files(
    start: Start, server: OllamaServer, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("The sky is blue.")
    with start() as terminal:
        terminal.type("/se")
        terminal.wait_for("search all conversations")
        terminal.type("\t")
        terminal.wait_for("> /sessions")
        terminal.interrupt()
        terminal.wait_for(lambda text: "search all" not in text)
        terminal.type("/model q")
        terminal.settle()
        terminal.type("\t")
        terminal.wait_for(f"> /model {NAME}")
        terminal.interrupt()
        terminal.settle()
        terminal.type("/file no")
        terminal.settle()
        terminal.type("\t")
        terminal.wait_for("> /file notes.md")
        terminal.type("\r")
        terminal.wait_for("goes with the next message")
        terminal.settle()
        assert "1 file attached" in terminal.screen()
        say(terminal, "What colour?", until="Rayleigh scattering.")
    assert "The sky is blue." in questions(server)[0]
    assert questions(server)[0].rstrip().endswith("What colour?")


def test_earlier_messages_come_back_with_the_arrow(start: Start, own_world: Path) -> None:
    with start() as terminal:
        say(terminal, "Why is the sky blue?", until="Rayleigh scattering.")
        terminal.type("\x04")
        terminal.wait_exit()
    with start() as terminal:
        terminal.type("\x1b[A")
        terminal.wait_for("> Why is the sky blue?")
    (kept,) = own_world.rglob("typed.jsonl")
    assert kept.stat().st_mode & 0o077 == 0


# Commands


def test_an_unknown_command_says_what_may_be_meant(start: Start, server: OllamaServer) -> None:
    with start() as terminal:
        text = say(terminal, "/modle", until="Did you mean /model?")
    assert "Error: there is no command /modle." in text
    assert asked(server) == []


def test_edit_brings_the_question_back(start: Start, server: OllamaServer) -> None:
    with start() as terminal:
        say(terminal, "Why is it red?", until="Rayleigh scattering.")
        terminal.type("/edit\r")
        terminal.wait_for("Taken back")
        terminal.settle()
        assert "> Why is it red?" in terminal.text().rpartition("Taken back")[2]
        terminal.type("\x7f" * 4 + "blue?\r")
        terminal.wait_for(lambda text: text.count("Rayleigh") == 2)
    assert questions(server) == ["Why is it red?", "Why is it blue?"]
    assert len(asked(server)[1]["messages"]) == len(asked(server)[0]["messages"])


def test_conversations_are_named_found_and_left(start: Start) -> None:
    with start() as terminal:
        say(terminal, "Why is the sky blue?", until="Rayleigh scattering.")
        say(terminal, "/save the sky", until="--session 'the sky'")
        say(terminal, "/new", until="A new conversation.")
        say(terminal, "Other things", until="Other things\n\nBlue")
        assert "the sky: Why is the sky" in say(terminal, "/sessions", until="Go to one")
        text = say(terminal, "/search rayleigh", until="#NUMBER")
        assert "[Rayleigh]" in text
        say(terminal, "/sessions The Sky", until="Going on with 'the sky'")
        terminal.type("/exit\r")
        terminal.wait_exit()
        assert "Go on with: assistant chat --session 'the sky'" in terminal.text()
    with start("--session", "the sky") as terminal:
        assert "Going on with 'the sky', 2 messages." in terminal.text()
        assert "Rayleigh scattering." in terminal.text()


def test_forget_leaves_no_byte(start: Start, own_world: Path, server: OllamaServer) -> None:
    server.answer_with(NAME, Script([Say("An answer about zebrafish.")]))
    with start() as terminal:
        say(terminal, "A question about axolotls", until="zebrafish.")
        assert any(b"axolotl" in p.read_bytes() for p in own_world.rglob("*") if p.is_file())
        terminal.type("/forget\r")
        terminal.wait_for("for good? [y/N]:")
        terminal.type("y\r")
        terminal.wait_for("Deleted.")
        terminal.settle()
        terminal.type("/exit\r")
        assert terminal.wait_exit() == 0
    kept = b"".join(path.read_bytes() for path in own_world.rglob("*") if path.is_file())
    assert b"axolotl" not in kept
    assert b"zebrafish" not in kept


def test_no_save_leaves_nothing_behind(start: Start, own_world: Path, tmp_path: Path) -> None:
    with start("--no-save") as terminal:
        assert "not saved" in terminal.text()
        say(terminal, "A secret", until="Rayleigh scattering.")
        assert "nothing of this chat is saved" in say(terminal, "/save x", until="Error:")
        terminal.type("\x1b[A\x1b[A")
        terminal.wait_for("> A secret")
        terminal.interrupt()
        terminal.settle()
        terminal.type("\x04")
        assert terminal.wait_exit() == 0
        assert "Go on with" not in terminal.text()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_copy_asks_the_terminal_for_a_code_block(start: Start) -> None:
    with start(env={"DISPLAY": "", "WAYLAND_DISPLAY": ""}) as terminal:
        say(terminal, "Why?", until="Rayleigh scattering.")
        say(terminal, "/copy 1", until="Code 1 is copied, 2 lines")
        raw = terminal.raw
    code = b"def scatter(wavelength):\n    return 1 / wavelength**4"
    assert b"\x1b]52;c;" + base64.b64encode(code) + b"\x07" in raw


def test_export_and_import(start: Start, tmp_path: Path) -> None:
    with start() as terminal:
        say(terminal, "Why is the sky blue?", until="Rayleigh scattering.")
        say(terminal, "/export", until="Written to Why-is-the-sky-blue.md")
        say(terminal, "/export json kept.json", until="Written to kept.json")
        say(terminal, "/export json kept.json", until="Written to kept-2.json")
        say(terminal, "/import kept.json", until="Going on with 'Why is the sky blue?'")
    assert "Rayleigh" in (tmp_path / "Why-is-the-sky-blue.md").read_text()
    assert (tmp_path / "kept.json").read_bytes() == (tmp_path / "kept-2.json").read_bytes()
    assert (tmp_path / "kept.json").stat().st_mode & 0o077 == 0
    with open_store() as store:
        assert len(store.infos()) == 2


def test_a_file_too_large_is_refused_with_its_size_or_split(
    start: Start, server: OllamaServer, tmp_path: Path
) -> None:
    (tmp_path / "big.txt").write_text("a few words in every line\n" * 1500)
    with start() as terminal:
        text = say(terminal, "/file big.txt", until="/file --split big.txt")
        assert re.search(r"takes about [\d,]+ tokens, and there is room for [\d,]+", text)
        say(terminal, "/file --split big.txt", until="Type a message; part 1 goes with it.")
        say(terminal, "First part", until="(part 2 of")
    assert "part 1 of" in questions(server)[0]


def test_guides_answer_with_sources(start: Start, server: OllamaServer) -> None:
    with start() as terminal:
        question = "does llama3.1:8b fit on a 3060 12GB at 8k?"
        text = say(terminal, f"/guides {question}", until="[1] What fills the memory")
    assert "Yes: llama3.1:8b (Q4_K_M) with 8k tokens of context fits" in text
    with open_store() as store:
        latest = store.latest()
    assert latest is not None
    assert latest.messages[-1].kind == "grounded"


def test_the_machine_is_known(start: Start, server: OllamaServer) -> None:
    with start() as terminal:
        text = say(terminal, "what model are you?", until=f"This is {NAME}")
    assert "Error" not in text
    assert asked(server) == []


# When something goes wrong


def test_an_answer_that_breaks_off_is_kept_and_asked_for_again(
    start: Start, server: OllamaServer
) -> None:
    server.answer_with(NAME, Script([Break("Blue light "), Say("Whole.")]))
    with start() as terminal:
        text = say(terminal, "Why?", until="Error:")
        assert "Blue light" in text
        assert "/retry asks again" in text
        say(terminal, "/retry", until="Whole.")
    with open_store() as store:
        latest = store.latest()
    assert latest is not None
    assert [m.content for m in latest.messages] == ["Why?", "Whole."]


def test_a_server_that_is_gone_is_said_and_may_come_back(
    start: Start, server: OllamaServer
) -> None:
    with start() as terminal:
        server.stop()
        text = say(terminal, "Why?", until="ollama serve")
        assert f"no Ollama server answers at http://{server.host}" in " ".join(text.split())
        with OllamaServer(
            library=[library_model(NAME)], port=server.port, state=server.state
        ) as again:
            again.answer_with(NAME, Script([Say("Back again.")]))
            say(terminal, "/retry", until="Back again.")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.busy("/api/chat"), "the Ollama server is busy"),
        (Fault.load_failure("/api/chat"), "not enough memory"),
        (Fault.runner_killed("/api/chat"), "stopped in the middle"),
        (Fault.cut("/api/chat", after_lines=3), "stopped in the middle"),
    ],
    ids=["busy", "memory", "runner", "cut"],
)
def test_faults_are_a_line_and_the_chat_goes_on(
    start: Start, server: OllamaServer, fault: Fault, words: str
) -> None:
    server.faults.add(fault)
    with start() as terminal:
        terminal.type("Why?\r")
        terminal.wait_for(lambda text: words in " ".join(text.split()))
        assert "Traceback" not in terminal.text()
        terminal.settle()
        say(terminal, "/retry", until="Rayleigh scattering.")


def test_a_message_too_long_comes_back_to_be_changed(start: Start, server: OllamaServer) -> None:
    long = "many words " * 3000
    with start() as terminal:
        terminal.paste(long)
        terminal.settle()
        terminal.type("\r")
        terminal.wait_for("Error: the message takes about")
        terminal.settle()
        assert "many words many words" in terminal.screen()
        terminal.interrupt()
        terminal.settle()
        say(terminal, "Shorter", until="Rayleigh scattering.")
    assert questions(server) == ["Shorter"]


def test_the_prompt_is_there_soon(start: Start) -> None:
    """A second on this machine would be slow; five times that is allowed on a busy one."""
    before = time.monotonic()
    with start():
        assert time.monotonic() - before < 5


def test_a_model_that_was_set_up_opens_with_what_it_is(start: Start, server: OllamaServer) -> None:
    with OllamaClient(server.address) as client:
        set_up(client, "chat", NAME, num_ctx=8192)
    with start() as terminal:
        first = terminal.screen().splitlines()[0]
        assert first.startswith(f"assistant-chat ({NAME}) · 8,192 tokens of context · nothing")
        assert terminal.screen().splitlines()[-1].startswith("assistant-chat    ")


def test_going_on_shows_the_last_turn(start: Start) -> None:
    with start() as terminal:
        say(terminal, "Why is the sky blue?", until="Rayleigh scattering.")
        terminal.type("\x04")
        terminal.wait_exit()
    for arguments, you in ((("--continue",), "> "), (("--continue", "--plain"), "You: ")):
        with start(*arguments) as terminal:
            text = terminal.text()
        assert "Going on with 'Why is the sky blue?', 2 messages." in text
        assert f"{you}Why is the sky blue?" in text
        assert "Rayleigh scattering." in text


def test_a_nervous_ctrl_c_does_not_end_the_chat(start: Start, server: OllamaServer) -> None:
    server.answer_with(NAME, Script([Say("word " * 2000)]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.01))
    with start() as terminal:
        terminal.type("Talk\r")
        terminal.wait_for("word word")
        for _ in range(4):
            terminal.interrupt()
        terminal.settle(0.6)
        server.faults.clear()
        server.answer_with(NAME, Script([Say("Still here.")]))
        say(terminal, "Hello?", until="Still here.")


def test_a_picture_goes_to_a_model_that_sees(
    start: Start, server: OllamaServer, tmp_path: Path
) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(64)
    (tmp_path / "a cat.png").write_bytes(picture)
    server.publish(library_model("gemma3:4b"))
    server.install("gemma3:4b")
    server.answer_with("gemma3:4b", Script([Say("A cat.")]))
    with start("--model", NAME) as terminal:
        refused = " ".join(say(terminal, "/file a cat.png", until="Error:").split())
        assert "cannot see pictures" in refused
        say(terminal, "/model gemma3:4b", until="answers from here on")
        say(terminal, "/file 'a cat.png'", until="goes with the next message")
        say(terminal, "What is it?", until="A cat.")
    (body,) = asked(server)
    assert body["model"] == "gemma3:4b"
    assert body["messages"][-1]["images"] == [base64.b64encode(picture).decode()]


def test_two_chats_at_once(start: Start, server: OllamaServer) -> None:
    with start() as one, start() as other:
        say(one, "From one", until="Rayleigh scattering.")
        say(other, "From the other", until="Rayleigh scattering.")
        text = say(one, "/sessions", until="Go to one")
        assert "From the other" in text


def test_a_piped_question_is_laid_out_in_a_terminal(server: OllamaServer, own_world: Path) -> None:
    program = (
        "import io, sys; sys.stdin = io.StringIO('Why?'); "
        "from assistant.cli.main import main; main()"
    )
    env = {"OLLAMA_HOST": server.host, "ASSISTANT_HOME": str(own_world), "NO_COLOR": "1"}
    with Terminal(["chat"], env=env, program=program) as terminal:
        assert terminal.wait_exit() == 0
        text = terminal.text()
    assert text.startswith("Blue light is scattered more than red light.\n\n1. Sunlight enters")
    assert text.endswith("That is Rayleigh scattering.")


# What newcomers stumbled over


def test_forget_takes_the_commands_too_and_all_empties_the_history(
    start: Start, own_world: Path
) -> None:
    with start() as terminal:
        say(terminal, "/search lawyer fees", until="No message has")
        say(terminal, "/system Be a divorce lawyer.", until="is set for this")
        say(terminal, "/custody who gets it", until="there is no command")
        (typed,) = own_world.rglob("typed.jsonl")
        assert b"lawyer" in typed.read_bytes()
        assert b"custody" in typed.read_bytes()
        terminal.type("/forget\r")
        terminal.wait_for("for good? [y/N]:")
        terminal.type("y\r")
        terminal.wait_for("Deleted.")
        terminal.settle()
        assert b"lawyer" not in typed.read_bytes()
        assert b"custody" not in typed.read_bytes()
        say(terminal, "/stats", until="tokens written")
        terminal.type("/forget all\r")
        terminal.wait_for("Delete all conversations for good? [y/N]:")
        terminal.type("y\r")
        terminal.wait_for("This is a new one.")
        terminal.settle()
        assert typed.read_bytes() == b""


def test_why_a_draft_was_not_sent_stands_below_it_until_a_key(
    start: Start, server: OllamaServer
) -> None:
    draft = " ".join(f"word{number}" for number in range(1900))
    with start(rows=24) as terminal:
        terminal.paste(draft)
        terminal.settle()
        terminal.type("\r")
        terminal.wait_for(lambda _: "Not sent: about" in terminal.screen())
        terminal.settle()
        assert "word1899" in terminal.screen()
        assert "Not sent: about" in terminal.screen()
        terminal.interrupt()
        terminal.wait_for(lambda _: "word1899" not in terminal.screen())
        assert "Not sent" not in terminal.screen()
        terminal.type("\x1b[A")
        terminal.wait_for(lambda _: "word1899" in terminal.screen())
    assert asked(server) == []


def test_what_is_typed_meanwhile_survives_the_stop(start: Start, server: OllamaServer) -> None:
    server.answer_with(NAME, Script([Say("word " * 2000)]))
    server.faults.add(Fault.slow("/api/chat", between_s=0.01))
    with start() as terminal:
        terminal.type("Talk\r")
        terminal.wait_for("word word")
        terminal.type("and then?")
        time.sleep(0.2)
        terminal.interrupt()
        terminal.wait_for("Stopped. /retry asks again.")
        terminal.wait_for("> and then?")


def test_files_are_listed_told_twice_and_dropped(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words\n")
    (tmp_path / "big.txt").write_text("a few words in every line\n" * 1500)
    (tmp_path / "huge.txt").write_text("a few words in every line\n" * 30_000)
    with start() as terminal:
        say(terminal, "/file", until="No file is attached.")
        say(terminal, "/file a.txt", until="goes with the next message")
        say(terminal, "/file ./a.txt", until="a.txt is attached already.")
        say(terminal, "/file", until="/file - drops this.")
        say(terminal, "/file -", until="Dropped: a.txt.")
        say(terminal, "/file --split big.txt", until="Type a message; part 1 goes with it.")
        told = say(terminal, "/file", until="drops this.\n\n>")
        assert "with the next message, 4 more parts" in " ".join(told.split())
        told = say(terminal, "/file --split huge.txt", until="50 are the most")
        assert re.search(r"huge.txt would be in \d{2,} parts", told)


def test_export_knows_two_formats(start: Start, tmp_path: Path) -> None:
    with start() as terminal:
        say(terminal, "Why?", until="Rayleigh scattering.")
        say(terminal, "/export pdf", until="/export md or /export json")
        say(terminal, "/export json no/such/folder.json", until="Name another file: /export json")
    assert list(tmp_path.glob("*pdf*")) == []


def test_roles_and_models_that_cannot_chat_are_not_offered(
    start: Start, server: OllamaServer
) -> None:
    server.publish(ALL_MINILM)
    server.install("all-minilm")
    server.publish(library_model("gemma3:4b"))
    server.install("gemma3:4b")
    with start("--model", NAME) as terminal:
        text = say(terminal, "/model", until="Also installed:\ngemma3:4b.")
        assert "minilm" not in text
        say(terminal, "/role nope", until="Roles: chat, code")
        text = say(terminal, "/role", until="The role is chat.")
        assert "embeddings" not in text
        say(terminal, "/", until="Did you mean /help?")


def test_a_picture_that_will_not_be_sent_is_said(
    start: Start, server: OllamaServer, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    server.publish(library_model("gemma3:4b"))
    server.install("gemma3:4b")
    with start("--model", "gemma3:4b") as terminal:
        say(terminal, "/file cat.png", until="goes with the next message")
        told = say(terminal, f"/model {NAME}", until="not sent to it.")
        assert "It cannot see pictures: cat.png; it is not sent to it." in told


def test_a_context_much_smaller_than_announced_is_said_once(own_world: Path, start: Start) -> None:
    with OllamaServer(
        library=[library_model(NAME)], installed=[NAME], env={"OLLAMA_CONTEXT_LENGTH": "2048"}
    ) as small:
        small.answer_with(NAME, Script([Say("Yes."), Say("Again.")]))
        with start(env={"OLLAMA_HOST": small.host}) as terminal:
            assert "about 4,096 tokens of context" in terminal.text()
            said = "this model 2,048 tokens of context, not the 4,096"
            say(terminal, "Are you there?", until=said)
            text = say(terminal, "And now?", until="Again.")
            assert text.count(said) == 1


def test_guides_fill_the_lines(start: Start) -> None:
    with start(columns=120) as terminal:
        question = "does llama3.1:8b fit on a 3060 12GB at 8k?"
        text = say(terminal, f"/guides {question}", until="[1] What fills the memory")
    answer = text[text.index("Yes: llama3.1") : text.index("[1] What fills")]
    first = answer.splitlines()[0]
    assert len(first) > 60

"""Lines that change in place, on a screen that does what a terminal does with every byte."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from assistant.cli.chat_answer import AnswerScreen, duration_text
from assistant.cli.chat_interrupts import HeldInterrupts
from assistant.cli.chat_live import LiveLines, Size, rows_of, terminal_reflows
from assistant.cli.chat_plain import PlainAnswer
from assistant.cli.chat_screen import Line


class Screen:
    """A terminal of a size; `written` is what came, piece by piece."""

    def __init__(self, columns: int = 40, rows: int = 8) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self._stream = pyte.Stream(self._screen)
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.written.append(text)
        self._stream.feed(text.replace("\n", "\r\n"))

    def size(self) -> Size:
        return Size(self._screen.columns, self._screen.lines)

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)

    def text(self) -> str:
        columns = range(self._screen.columns)
        above = ["".join(row[at].data for at in columns) for row in self._screen.history.top]
        lines = [line.rstrip() for line in (*above, *self._screen.display)]
        return "\n".join(lines).rstrip("\n")


def lines(*texts: str) -> list[Line]:
    return [Line(text, cell_len(text)) for text in texts]


CUT = Line("...", 3)
SOME = st.lists(st.text(alphabet="abc 12", max_size=60).map(str.rstrip), max_size=9)


@settings(max_examples=40)
@given(st.lists(st.tuples(SOME, SOME), max_size=8), SOME)
def test_what_is_final_is_all_that_stays(steps: list[tuple[list[str], list[str]]], end: list[str]
                                         ) -> None:  # fmt: skip
    screen = Screen(columns=40, rows=8)
    live = LiveLines(screen.write, screen.size, cut=CUT)
    for final, changing in steps:
        live.show(lines(*final), lines(*changing))
    live.show(lines(*end))
    wanted = [text for final, _ in steps for text in final] + end
    wrapped = [text[at : at + 40].rstrip() for text in wanted
               for at in range(0, max(len(text), 1), 40)]  # fmt: skip
    assert screen.text() == "\n".join(wrapped).rstrip("\n")


@settings(max_examples=40)
@given(SOME, SOME)
def test_live_lines_are_the_last_that_fit(final: list[str], changing: list[str]) -> None:
    screen = Screen(columns=80, rows=8)
    live = LiveLines(screen.write, screen.size, cut=CUT)
    live.show(lines(*final), lines(*changing))
    shown = changing if len(changing) <= 6 else ["...", *changing[-5:]]
    assert screen.text() == "\n".join([*final, *shown]).rstrip("\n")


def test_text_that_grows_is_appended() -> None:
    screen = Screen()
    live = LiveLines(screen.write, screen.size, cut=CUT)
    live.show((), lines("one"))
    live.show((), lines("one two"))
    live.show(lines("one two"), lines("three"))
    assert screen.written == ["one", " two", "\nthree"]


def test_only_lines_that_differ_are_written_again() -> None:
    screen = Screen()
    live = LiveLines(screen.write, screen.size, cut=CUT)
    live.show((), lines("stays", "goes", "too"))
    live.show((), lines("stays", "comes"))
    assert "stays" not in screen.written[-1]
    assert screen.text() == "stays\ncomes"


def test_nothing_is_written_when_nothing_changed() -> None:
    screen = Screen()
    live = LiveLines(screen.write, screen.size, cut=CUT)
    live.show((), lines("same"))
    live.show((), lines("same"))
    assert len(screen.written) == 1


def test_long_lines_take_the_rows_they_are_wrapped_to() -> None:
    assert rows_of(lines("", "x" * 40, "x" * 41, "好" * 30), 40) == 1 + 1 + 2 + 2


def answer_on(screen: Screen, **more: object) -> AnswerScreen:
    options: dict[str, object] = {
        "width": lambda: screen.size().columns - 1,
        "color": False,
        "waiting_for": lambda: "loading m",
    }
    return AnswerScreen(screen.write, screen.size, **(options | more))  # type: ignore[arg-type]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_waiting_is_said_after_a_while_and_leaves_nothing() -> None:
    screen = Screen()
    with answer_on(screen) as view:
        assert screen.text() == ""
        until(lambda: "loading m" in screen.text())
        view.text("Done.")
    assert screen.text() == "Done."
    assert not view.is_empty


def test_a_quick_answer_is_not_waited_for() -> None:
    screen = Screen()
    with answer_on(screen) as view:
        view.text("Quick.")
    assert "".join(screen.written) == "Quick.\n"


def test_thinking_is_shown_and_folded() -> None:
    screen = Screen()
    with answer_on(screen) as view:
        view.thinking("First this.")
        until(lambda: "First this." in screen.text())
        view.text("So.")
    assert re.fullmatch(r"thought for (under 1|\d+) s\n\nSo\.", screen.text())


def test_thinking_can_be_kept() -> None:
    screen = Screen(rows=6)
    thoughts = "\n".join(f"thought {n}" for n in range(20))
    with answer_on(screen, keep_thinking=True) as view:
        view.thinking(thoughts)
        view.text("So.")
    expected = "\n".join(f"  thought {n}" for n in range(20))
    assert screen.text() == f"{expected}\nthought for under 1 s\n\nSo."


def test_what_came_last_is_shown_although_nothing_follows() -> None:
    screen = Screen()
    with answer_on(screen) as view:
        for piece in ("one ", "two ", "three"):
            view.text(piece)
        until(lambda: screen.text() == "one two three")


def test_notes_stand_above_or_below_the_answer() -> None:
    screen = Screen(rows=12)
    with answer_on(screen) as view:
        view.note("Older turns were summarised.")
        view.text("Answer.")
        view.note("It was cut.")
    assert screen.text() == "Older turns were summarised.\n\nAnswer.\n\nIt was cut."


def test_every_block_takes_the_width_that_the_window_has_then() -> None:
    screen = Screen(columns=60, rows=20)
    first, second = "one " * 30, "two " * 30
    with answer_on(screen) as view:
        view.text(f"{first.strip()}\n\nnext\n\n- a\n- ")
        until(lambda: "- a" in screen.text())
        screen.resize(90, 20)
        view.text(f"b\n\n{second.strip()}")
    shown = screen.text().splitlines()
    assert 50 < max(len(line) for line in shown if "one" in line) <= 59
    assert 80 < max(len(line) for line in shown if "two" in line) <= 89
    assert screen.text().split() == [*first.split(), "next", "-", "a", "-", "b", *second.split()]


@pytest.mark.parametrize("rows", [20, 8])
def test_a_narrower_window_that_does_not_reflow_keeps_what_is_above(rows: int) -> None:
    screen = Screen(columns=60, rows=rows)
    with answer_on(screen, reflows=False) as view:
        view.text(f"kept 1\n\nkept 2\n\nkept 3\n\n{'word ' * 30}")
        until(lambda: screen.text().count("word") == 30)
        screen.resize(30, rows)
        view.text("and more " * 10)
    shown = screen.text()
    assert shown.split() == ["kept", "1", "kept", "2", "kept", "3", *["word"] * 30,
                             *["and", "more"] * 10]  # fmt: skip
    assert max(map(len, shown.splitlines())) <= 29


@pytest.mark.parametrize(
    ("environ", "reflows"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm", "XTERM_VERSION": "XTerm(390)"}, False),
        ({"TERM": "screen", "STY": "1.pts"}, False),
        ({"TERM": "linux"}, False),
    ],
)
def test_which_terminals_wrap_anew(environ: dict[str, str], reflows: bool) -> None:
    assert terminal_reflows(environ) is reflows


def test_the_block_being_written_is_laid_out_anew_in_a_new_window() -> None:
    screen = Screen(columns=40, rows=20)
    with answer_on(screen) as view:
        view.text("word " * 20)
        until(lambda: screen.text().count("word") == 20)
        screen.resize(70, 20)
        until(lambda: max(map(len, screen.text().splitlines())) > 60)
        assert screen.text().count("word") == 20


def test_a_turn_without_an_answer_is_empty() -> None:
    screen = Screen()
    with answer_on(screen) as view:
        until(lambda: "loading" in screen.text())
    assert view.is_empty
    assert screen.text() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "under 1 s"), (4.9, "4 s"), (80, "1 min 20 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_ctrl_c_waits_for_the_end_of_a_drawing() -> None:
    done = []
    interrupts = HeldInterrupts()
    with interrupts:

        def interrupted_drawing() -> None:
            with interrupts.held():
                signal.raise_signal(signal.SIGINT)
                done.append("drawn")

        with pytest.raises(KeyboardInterrupt):
            interrupted_drawing()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert done == ["drawn"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


PROSE = st.lists(
    st.sampled_from(("A sentence. ", "Is it? ", "**Bold. Two.** ", "1. x\n", "2. y\n\n", "`c. d` ",
                     "\n\n", "```\ncode. 1\n```\n", "- item. more\n", "| a |\n|---|\n| b |\n\n")),
    max_size=8,
).map("".join)  # fmt: skip


@settings(max_examples=40)
@given(PROSE, st.integers(1, 7))
def test_plain_mode_appends_and_says_everything_once(text: str, step: int) -> None:
    said: list[str] = []
    whole: list[str] = []
    for heard, pieces in (
        (said, [text[at : at + step] for at in range(0, len(text), step)]),
        (whole, [text] if text else []),
    ):
        with PlainAnswer(heard.append, width=lambda: 79, waiting_for=lambda: "waiting") as view:
            for piece in pieces:
                view.text(piece)
    assert "".join(said) == "".join(whole)
    assert "\x1b" not in "".join(said)
    assert "\r" not in "".join(said)


def plain(*pieces: str, width: int = 79) -> list[str]:
    """Return what plain mode writes, write by write."""
    said: list[str] = []
    with PlainAnswer(said.append, width=lambda: width, waiting_for=lambda: "waiting") as view:
        for piece in pieces:
            view.text(piece)
    return said


@pytest.mark.parametrize("after", ["", "\nAnd so on."])
@pytest.mark.parametrize("before", ["", "Two. Words.\n\n", "- a\n- b\n\n"])
def test_plain_mode_says_a_table_once_and_whole(before: str, after: str) -> None:
    rows = "".join(f"| e.g. this one. {n} | that is the other one. {n} |\n" for n in range(9))
    text = f"{before}| a | b |\n|---|---|\n{rows}{after}"
    said = plain(*text, width=30)
    whole = "".join(said)
    assert whole.count("\n─") == 1
    assert max(len(line.rstrip()) for line in whole.splitlines()) <= 30
    assert sum("this" in write for write in said) == 1


def test_plain_mode_breaks_between_words_and_leaves_code_alone() -> None:
    code = "x = " + "1 + " * 20 + "1"
    words = "some words of a sentence that is long. "
    whole = "".join(plain(*(words * 4), f"\n\n```\n{code}\n```\n{'y' * 50} z", width=24))
    prose, _, rest = whole.partition("code 1")
    assert max(len(line.rstrip()) for line in prose.splitlines()) <= 24
    assert prose.split() == ["Assistant:", *(words * 4).split()]
    assert code in rest.splitlines()
    assert "y" * 50 in rest.split()


def test_plain_mode_says_whole_sentences_as_they_come() -> None:
    said: list[str] = []
    with PlainAnswer(said.append, width=lambda: 79, waiting_for=lambda: "waiting") as view:
        view.text("One sentence. And a ")
        assert "".join(said) == "Assistant: One sentence. "
        view.text("half. Then")
        assert "".join(said) == "Assistant: One sentence. And a half. "
    assert "".join(said) == "Assistant: One sentence. And a half. Then\n"


def test_plain_mode_says_that_the_model_thinks() -> None:
    said: list[str] = []
    with PlainAnswer(said.append, width=lambda: 79, waiting_for=lambda: "waiting") as view:
        view.thinking("hm")
        view.text("So.")
    assert "".join(said) == "The model is thinking.\nThought for under 1 s.\nAssistant: So.\n"


def test_a_long_thinking_shows_its_end() -> None:
    screen = Screen(rows=12)
    with answer_on(screen) as view:
        for number in range(2000):
            view.thinking(f"thought {number} ")
        until(lambda: "thought 1999" in screen.text())
        assert len(screen.text().splitlines()) <= 7
        view.text("So.")
    assert re.fullmatch(r"thought for (under 1|\d+) s\n\nSo\.", screen.text())

"""What an answer looks like while it arrives: however it is cut, the screen is the same."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assistant.cli.chat_screen import Layout, Line
from assistant.cli.chat_stream import MarkdownStream, code_blocks, harmless, reflowed

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
BLOCKS = (
    "# A title",
    "Plain text with **bold**, *emphasis*, `code` and a [link](https://example.org/a).",
    "Two lines\nof one paragraph",
    "- one\n- two\n  - nested\n- three",
    "1. first\n\n2. second\n\n   more of it",
    "1. Run:\n   ```sh\n   ls -l\n   ```\n2. Then go on.",
    "```python\ndef f(x):\n    return x\n```",
    "~~~\n```\nnot the end\n~~~",
    "```\nnever closed",
    "| a | b |\n|---|--:|\n| 1 | 2 |\n| long cell text | 33 |",
    "> quoted\n> text",
    "***",
    "Title\n=====",
    "    indented code\n    and more",
    "<div>\nraw\n</div>",
    "[ref]: https://example.org",
    "* star\n+ plus",
    "你好，世界，" * 12,
    "a\\\nb",
    "#",
    "-",
    "```",
)
MARKS = st.text(alphabet="ab *_`~#->|+1.)\n\t[]()<>=:\\", max_size=40)


@st.composite
def texts(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.one_of(st.sampled_from(BLOCKS), MARKS), max_size=7))
    return "".join(part + draw(st.sampled_from(("\n\n", "\n", "", "\n\n\n"))) for part in parts)


def shown(pieces: list[str], *, width: int = 60, color: bool = False) -> list[Line]:
    """Return what is final in the end when the text comes in these pieces."""
    stream = MarkdownStream(Layout(width=width, color=color))
    lines: list[Line] = []
    for piece in pieces:
        stream.feed(piece)
        final, _ = stream.take()
        lines += final
    return lines + stream.finish()


def text_of(*pieces: str, width: int = 60) -> str:
    return "\n".join(line.text for line in shown(list(pieces), width=width))


@settings(max_examples=60)
@given(texts(), st.lists(st.integers(0, 400), max_size=12))
@example("- a\n- b\n", [2, 4])
def test_screen_in_the_end_is_that_of_the_whole_text(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert shown(pieces) == shown([text])


@settings(max_examples=60)
@given(texts())
def test_screen_in_the_end_is_the_same_letter_by_letter(text: str) -> None:
    assert shown(list(text)) == shown([text])


@settings(max_examples=60)
@given(texts())
def test_no_word_is_left_out(text: str) -> None:
    """What a model wrote is on the screen, whatever the parser makes of its marks."""
    words = re.findall(r"[A-Za-z]{2,}|[你好世界]+", text)
    seen = "".join(line.text for line in shown([text], width=200))
    assert [word for word in words if word not in seen] == []


@settings(max_examples=60)
@given(texts(), st.integers(20, 90))
def test_lines_fit_except_those_of_code(text: str, width: int) -> None:
    codes = {line.expandtabs(4).strip() for code in code_blocks(text) for line in code.split("\n")}
    wide = [line.text for line in shown([text], width=width) if line.columns > width]
    assert [line for line in wide if line.strip(" >│") not in codes] == []


@settings(max_examples=60)
@given(texts())
def test_colour_changes_no_text(text: str) -> None:
    colored = [ESCAPE.sub("", line.text).rstrip() for line in shown([text], color=True)]
    assert colored == [line.text.rstrip() for line in shown([text])]


@settings(max_examples=60)
@given(texts(), st.integers(0, 400))
def test_final_lines_stay_final(text: str, cut: int) -> None:
    """What was handed out as final is the beginning of the whole."""
    stream = MarkdownStream(Layout(width=60, color=False))
    stream.feed(text[:cut])
    final, _ = stream.take()
    assert shown([text])[: len(final)] == final


@pytest.mark.parametrize(
    ("text", "screen"),
    [
        ("# Title\n\nSome *text* and `code`.", "Title\n\nSome text and code."),
        ("First line\nsecond line", "First line\nsecond line"),
        ("- one\n- two\n\n  more\n  - in", "- one\n- two\n\n  more\n  - in"),
        ("Here:\n- one\n- two", "Here:\n- one\n- two"),
        ("3. c\n4. d", "3. c\n4. d"),
        ("```python\ndef f():\n\treturn 1\n```", "code 1 · python\ndef f():\n    return 1"),
        ("```\nx\n```\n```sh\ny\n```", "code 1\nx\n\ncode 2 · sh\ny"),
        ("1. Run:\n   ```sh\n   ls\n   ```\n2. Go", "1. Run:\n\ncode 1 · sh\nls\n\n2. Go"),
        ("> a\n> b", "│ a\n│ b"),
        ("[a](https://b.org) <https://b.org>", "a (https://b.org) https://b.org"),
        ("one <b>two</b><br>three", "one <b>two</b>\nthree"),
        ("<table>\n<tr>x</tr>\n</table>", "<table>\n<tr>x</tr>\n</table>"),
        ("![cat](cat.png)", "cat (cat.png)"),
        ("[r]: https://b.org", "[r]: https://b.org"),
        ("a\n\n---\n\nb", "a\n\n───\n\nb"),
        ("```\nnever closed", "code 1\nnever closed"),
        ("", ""),
    ],
)  # fmt: skip
def test_markdown_as_it_looks(text: str, screen: str) -> None:
    assert text_of(text) == screen


def test_tables_are_aligned_and_narrowed() -> None:
    table = "| name | size |\n|---|--:|\n| a | 1 |\n| a long name of a thing | 22 |"
    assert text_of(table) == (
        "name                     size\n"
        "─────────────────────────────\n"
        "a                           1\n"
        "a long name of a thing     22"
    )
    assert max(map(len, text_of(table, width=20).splitlines())) <= 20


@pytest.mark.parametrize("width", [20, 26, 30, 38])
def test_words_in_tables_stay_whole(width: int) -> None:
    words = ["colour", "wave", "length", "something", "blueberries", "450", "nm", "abc", "7"]
    table = (
        "| colour | wave length something | x |\n|---|---|--:|\n| blueberries | 450 nm abc | 7 |"
    )
    shown = text_of(table, width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert set(words) <= set(shown.replace(":", " ").split())


def test_a_table_without_room_is_told_row_by_row() -> None:
    table = "| name | described |\n|---|---|\n| a | breathtaking |\n| b | unremarkable things |"
    assert text_of(table, width=14) == (
        "name: a\ndescribed:\nbreathtaking\n\nname: b\ndescribed:\nunremarkable\nthings"
    )


def test_a_cell_without_a_heading_is_not_left_out() -> None:
    assert "surplus" in text_of("| a | b |\n|---|---|\n| 1 | 2 | surplus |")


@pytest.mark.parametrize(
    ("text", "flowing"),
    [
        ("One line\nand another.\n\nNext\n", "One line and another.\n\nNext\n"),
        ("- an item\n  goes on\n- two", "- an item goes on\n- two"),
        ("[1] A  \n[2] B", "[1] A  \n[2] B"),
        ("a\\\nb\nc", "a\\\nb c"),
        ("```\na\nb\n```", "```\na\nb\n```"),
        ("| a |\n|---|\n| b |", "| a |\n|---|\n| b |"),
        ("> a\n> b", "> a\n> b"),
        ("", ""),
    ],
)
def test_paragraphs_of_guides_flow(text: str, flowing: str) -> None:
    assert reflowed(text) == flowing


@given(texts())
def test_flowing_loses_no_word(text: str) -> None:
    assert reflowed(text).split() == text.split()


def test_code_is_not_wrapped_and_has_neither_frame_nor_indent() -> None:
    long = "x = " + "1 + " * 40 + "1"
    assert text_of(f"```python\n{long}\n```", width=40).splitlines()[1] == long


def test_wide_characters_count_two_columns() -> None:
    assert [line.columns for line in shown(["你好世界" * 10], width=40)] == [40, 40]


def test_a_model_cannot_move_the_cursor() -> None:
    text = text_of("a\x1b[2Jb \x9b31m \x07 \u202e c\r\n\n```\n\x1b]52;c;eA==\x07\n```\n")
    assert not any(c in text for c in "\x1b\x9b\x07\u202e\r")
    assert harmless("tab\tand\nline") == "tab\tand\nline"


def test_code_blocks_are_numbered_as_on_the_screen() -> None:
    text = "```a\n1\n```\n- x\n  ```b\n  2\n  ```\n\n~~~\n3\n\n4\n~~~\n"
    assert code_blocks(text) == ["1", "2", "3\n\n4"]
    assert re.findall(r"code (\d)", text_of(text)) == ["1", "2", "3"]


def live_of(text: str) -> str:
    stream = MarkdownStream(Layout(width=60, color=False))
    stream.feed(text)
    final, live = stream.take()
    return "\n".join(line.text for line in [*final, *live])


@pytest.mark.parametrize(
    ("begun", "screen"),
    [
        ("Some **bold wor", "Some bold wor"),
        ("Some `co", "Some co"),
        ("Some **", "Some"),
        ("Here:\n-", "Here:"),
        ("Here:\n- it", "Here:\n- it"),
        ("Text\n``", "Text"),
        ("```py", ""),
        ("```py\nx = 1\n``", "code 1 · py\nx = 1"),
        ("```py\nx = 1\ny", "code 1 · py\nx = 1\ny"),
    ],
)
def test_what_is_only_begun_does_not_flicker(begun: str, screen: str) -> None:
    assert live_of(begun) == screen


def test_lines_of_code_are_final_one_by_one() -> None:
    stream = MarkdownStream(Layout(width=60, color=True))
    stream.feed("```python\na = 1\nb = 2\nc =")
    final, live = stream.take()
    assert [ESCAPE.sub("", line.text) for line in final] == ["code 1 · python", "a = 1", "b = 2"]
    assert [ESCAPE.sub("", line.text) for line in live] == ["c ="]


def test_items_of_a_list_are_final_one_by_one() -> None:
    stream = MarkdownStream(Layout(width=60, color=False))
    stream.feed("1. one\n2. two\n3. thr")
    final, live = stream.take()
    assert [line.text for line in final] == ["1. one"]
    assert [line.text for line in live] == ["2. two", "3. thr"]


@settings(max_examples=60)
@given(st.lists(st.text(max_size=12), max_size=12))
def test_any_text_can_be_shown(pieces: list[str]) -> None:
    assert shown(pieces, color=True) == shown(["".join(pieces)], color=True)


def test_a_long_answer_is_laid_out_in_no_time() -> None:
    """A minute of a fast model: what is drawn at each piece does not grow with the answer."""
    text = "A paragraph of some words, *marked* here and there.\n\n- item\n- item\n\n" * 400
    stream = MarkdownStream(Layout(width=80, color=True))
    began = time.perf_counter()
    for at in range(0, len(text), 40):
        stream.feed(text[at : at + 40])
        stream.take()
    assert time.perf_counter() - began < 10

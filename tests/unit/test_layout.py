"""Tables, wrapping and bars as plain text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assistant.cli import layout

WORDS = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30), max_size=40
)


def test_a_table_is_aligned() -> None:
    assert layout.table(
        ["model", "download", "licence"],
        [["qwen3.5:9b", "6.6 GB", "Apache-2.0"], ["x", "13.0 GB", "MIT"]],
        align="lrl",
    ) == (
        "  model       download  licence\n"
        "  qwen3.5:9b    6.6 GB  Apache-2.0\n"
        "  x            13.0 GB  MIT"
    )  # fmt: skip


def test_a_wide_last_column_wraps_under_itself() -> None:
    assert layout.table((), [["memory", "one two three four five six"]], width=28) == (
        "  memory  one two three four\n          five six"
    )


def test_an_empty_table_is_nothing() -> None:
    assert layout.table((), []) == ""


def test_short_rows_are_filled() -> None:
    assert layout.table(["a", "b"], [["1"]]) == "  a  b\n  1"


@given(WORDS, st.integers(10, 100))
def test_wrapping_loses_nothing_and_keeps_the_width(words: list[str], width: int) -> None:
    lines = layout.wrap(" ".join(words), width)
    assert " ".join(lines).split() == words
    assert all(len(line) <= width or " " not in line for line in lines)


@given(
    st.lists(
        st.lists(st.text(st.characters(categories=["L"]), max_size=20), min_size=3, max_size=3),
        min_size=1,
        max_size=6,
    )
)
def test_no_cell_of_a_table_is_cut(rows: list[list[str]]) -> None:
    text = layout.table((), rows, width=40).replace("\n", " ")
    assert all(cell in text for row in rows for cell in row)


def test_a_figure_stays_with_its_unit() -> None:
    assert layout.wrap("needs 12.4\u00a0GiB", 12) == ["needs", "12.4 GiB"]


def test_a_hanging_paragraph() -> None:
    assert layout.paragraph("one two three", width=9, indent="- ", hanging="  ") == (
        "- one two\n  three"
    )


def test_bars_are_proportional() -> None:
    assert layout.bar(1, 2, width=10) == "█" * 5
    assert layout.bar(1, 2, width=10, rest="░") == "█" * 5 + "░" * 5
    assert layout.bar(0, 2, width=10) == ""
    assert layout.bar(1, 10_000, width=10) == "█"
    assert layout.bar(9, 2, width=10) == "█" * 10
    assert layout.bar(1, 0, width=10) == ""


def test_a_stacked_bar_shows_each_part() -> None:
    assert layout.stacked_bar([(6, "#"), (2, "=")], 10, width=10) == "######==░░"


@given(
    st.lists(st.tuples(st.floats(0, 1e12), st.sampled_from("#=-")), max_size=6),
    st.floats(0, 1e12),
    st.integers(1, 80),
)
def test_a_stacked_bar_is_always_as_wide_as_asked(
    parts: list[tuple[float, str]], whole: float, width: int
) -> None:
    assert len(layout.stacked_bar(parts, whole, width=width)) == width


COLUMNS = (
    layout.Column("", ["!", ""]),
    layout.Column("name", ["assistant-embeddings", "assistant-chat"]),
    layout.Column("size", ["45.9 MB", "5.2 GB"], "r", drop=2),
    layout.Column("quant", ["F16", "Q4_K_M"], drop=1),
    layout.Column("context", ["256", "16k"], "r", word="context"),
)


def test_columns_go_in_their_order_where_there_is_no_room() -> None:
    def headers(width: int) -> list[str]:
        return [column.header for column in layout.fitting(COLUMNS, width=width)]

    assert headers(80) == ["", "name", "size", "quant", "context"]
    assert headers(50) == ["", "name", "size", "context"]
    assert headers(40) == ["", "name", "context"]


def test_a_row_that_fits_no_line_is_a_paragraph_with_all_of_it() -> None:
    assert layout.fitted_table(COLUMNS, width=30, named=1) == (
        "  ! assistant-embeddings:\n    45.9 MB, F16, context 256\n"
        "  assistant-chat: 5.2 GB,\n    Q4_K_M, context 16k"
    )


def test_a_word_stands_before_a_long_cell_too() -> None:
    columns = (layout.Column("", ["chat"]), layout.Column("now", ["a b c d e f g h"], word="now"))
    assert layout.fitted_table(columns, width=14) == "  chat: now\n    a b c d e\n    f g h"


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(categories=["L"]), max_size=20)] * 4),
        min_size=1,
        max_size=5,
    ),
    st.permutations([0, 1, 2, 3]),
    st.integers(40, 100),
)
def test_a_fitted_table_is_never_wider(
    rows: list[tuple[str, ...]], drops: list[int], width: int
) -> None:
    cells = list(zip(*rows, strict=True))
    columns = [layout.Column(f"c{n}", cells[n], "lr"[n % 2], drop=drops[n]) for n in range(4)]
    lines = layout.fitted_table(columns, width=width).splitlines()
    assert all(len(line) <= width for line in lines)


def test_a_command_longer_than_a_line_goes_on_as_it_is_typed() -> None:
    command = layout.unbroken("Next: assistant tune llama3.1:8b --num-ctx 32768 --apply")
    assert layout.wrap(command, 80) == [command.replace("\u00a0", " ")]
    lines = layout.wrap(command, 40)
    assert lines == ["Next:", "assistant tune llama3.1:8b --num-ctx \\", "32768 --apply"]
    assert layout.unbroken("nothing to type") == "nothing to type"


def test_what_is_held_together_is_broken_where_it_fits_no_line() -> None:
    assert layout.wrap("a\u00a0b\u00a0c dd", 3) == ["a b", "c", "dd"]


def test_two_short_texts_share_a_line_where_there_is_room() -> None:
    assert layout.side_by_side("one", "two", width=20) == "one      two"
    assert layout.side_by_side("one", "two", width=10) == "one\ntwo"

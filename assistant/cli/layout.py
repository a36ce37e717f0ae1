"""Plain text layout for the terminal: aligned tables, bars, wrapped paragraphs.

Pure functions, text in and text out, no escape codes and no dependency, so that piped output
costs nothing to make. Widths count characters; the blocks and Latin text used here are one
column wide each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FULL_BLOCK = "█"
LIGHT_SHADE = "░"
NBSP = "\u00a0"
"""Holds together what belongs on one line: a figure and its unit, a command to be typed."""

_MIN_LAST_COLUMN = 16
_COMMANDS = ("assistant", "ollama", "sudo", "export", "launchctl", "setx")
_GOES_ON = " \\"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table that has to fit the terminal.

    `drop` is the order in which columns go where there is no room, 1 first; 0 never goes.
    `word` stands before the cell where the row becomes a paragraph: `context 16k`.
    """

    header: str
    cells: Sequence[str]
    align: str = "l"
    drop: int = 0
    word: str = ""


def fitting(
    columns: Sequence[Column], *, width: int = 80, indent: str = "  "
) -> tuple[Column, ...]:
    """Return the columns that stay so that a table of them is at most `width` wide.

    When even those that never go are too wide together, these are returned.
    """
    kept = tuple(columns)
    for order in sorted({column.drop for column in columns if column.drop}):
        if _fits(_drawn(kept, width, indent), width):
            break
        kept = tuple(column for column in kept if column.drop != order)
    return kept


def fitted_table(
    columns: Sequence[Column], *, width: int = 80, indent: str = "  ", named: int = 0
) -> str:
    """Return a table of what fits into `width`, or else a paragraph for each row.

    A paragraph has all cells, those of dropped columns too; `named` is the column that it
    begins with, after what stands before that one.
    """
    drawn = _drawn(fitting(columns, width=width, indent=indent), width, indent)
    if _fits(drawn, width):
        return drawn
    rows = zip(*(column.cells for column in columns), strict=True)
    return "\n".join(_folded(columns, row, width, indent, named) for row in rows)


def side_by_side(left: str, right: str, *, width: int = 80) -> str:
    """Return two short texts on one line, or below one another where there is no room."""
    line = f"{left}      {right}"
    if len(line) <= width:
        return line
    return "\n".join(paragraph(unbroken(each), width=width) for each in (left, right))


def unbroken(text: str) -> str:
    """Return a text with the command in it held together: from `assistant` or `ollama` on."""
    starts = [at for word in _COMMANDS if (at := f" {text}".find(f" {word} ")) >= 0]
    if not starts:
        return text
    return text[: min(starts)] + text[min(starts) :].replace(" ", NBSP)


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    align: str = "",
    width: int = 80,
    indent: str = "  ",
    gap: str = "  ",
) -> str:
    """Return an aligned table, one line a row, without a trailing newline.

    `align` has one letter per column, `l` or `r` (missing letters are `l`). When the whole is
    wider than `width`, the last column is wrapped under itself if at least 16 columns remain
    for it; nothing is ever cut. Without headers (an empty sequence) only the rows are given.
    """
    body = [[str(cell) for cell in row] for row in rows]
    lines = ([list(headers)] if headers else []) + body
    if not lines:
        return ""
    columns = max(len(line) for line in lines)
    lines = [line + [""] * (columns - len(line)) for line in lines]
    align = align.ljust(columns, "l")
    widths = [max(len(line[i]) for line in lines) for i in range(columns)]
    before_last = len(indent) + sum(widths[:-1]) + len(gap) * (columns - 1)
    last = max(width - before_last, _MIN_LAST_COLUMN)
    if before_last + widths[-1] <= width or align[columns - 1] == "r":
        last = widths[-1]
    rendered: list[str] = []
    for line in lines:
        cells = [
            cell.rjust(widths[i]) if align[i] == "r" else cell.ljust(widths[i])
            for i, cell in enumerate(line[:-1])
        ]
        tail = wrap(line[-1], last) or [""]
        if align[columns - 1] == "r":
            tail = [line[-1].rjust(last)]
        rendered.append((indent + gap.join([*cells, tail[0]])).rstrip())
        rendered.extend(" " * before_last + more for more in tail[1:])
    return "\n".join(rendered)


def wrap(text: str, width: int) -> list[str]:
    """Return `text` broken at spaces into lines of at most `width` columns.

    A word longer than `width` gets a line of its own, uncut. Non-breaking spaces (U+00A0)
    hold a figure and its unit together and come out as plain spaces. What they hold is broken
    all the same where it is longer than a line: a command then goes on after a backslash, as
    it is typed.
    """
    lines: list[str] = []
    line = ""
    for word in _words(text, width):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        lines.append(line)
    return [each.replace(NBSP, " ") for each in lines]


def paragraph(text: str, *, width: int = 80, indent: str = "", hanging: str | None = None) -> str:
    """Return `text` wrapped to `width`, each line after `indent` (after the first: `hanging`)."""
    rest = indent if hanging is None else hanging
    lines = wrap(text, width - max(len(indent), len(rest)))
    return "\n".join((indent if i == 0 else rest) + line for i, line in enumerate(lines))


def bar(value: float, whole: float, *, width: int = 42, rest: str = "") -> str:
    """Return a bar of `width` columns for `whole`, filled for `value`, padded with `rest`.

    A value above zero fills at least one column; a value above `whole` fills them all.
    """
    filled = _columns(value, whole, width)
    return FULL_BLOCK * filled + rest * (width - filled)


def stacked_bar(
    parts: Sequence[tuple[float, str]], whole: float, *, width: int = 60, rest: str = LIGHT_SHADE
) -> str:
    """Return one bar of several parts, each (value, character), against `whole`.

    Boundaries are rounded on the running sum, so that the bar's length is right even when
    each part's is not. Parts that go beyond `whole` are cut at `width`.
    """
    drawn = ""
    total = 0.0
    for value, character in parts:
        total += value
        drawn += character * (_columns(total, whole, width) - len(drawn))
    return drawn + rest * (width - len(drawn))


def _columns(value: float, whole: float, width: int) -> int:
    if whole <= 0 or value <= 0:
        return 0
    if value >= whole:
        return width
    return min(width, max(1, round(width * value / whole)))


def _words(text: str, width: int) -> list[str]:
    """Return the pieces that stay whole: words, and what fits a line and is held together."""
    words: list[str] = []
    for word in text.split(" "):
        if NBSP in word and len(word) > width:
            words += _pieces(word.split(NBSP), width)
        else:
            words.append(word)
    return words


def _pieces(words: list[str], width: int) -> list[str]:
    """Return words joined into as few pieces as fit lines; a command's end in a backslash."""
    end = _GOES_ON.replace(" ", NBSP) if words[0].lstrip("(") in _COMMANDS else ""
    pieces = [words[0]]
    for word in words[1:]:
        longer = f"{pieces[-1]}{NBSP}{word}"
        if len(longer) + len(end) <= width:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return [*(piece + end for piece in pieces[:-1]), pieces[-1]]


def _drawn(columns: Sequence[Column], width: int, indent: str) -> str:
    headers = [column.header for column in columns]
    rows = list(zip(*(column.cells for column in columns), strict=True))
    align = "".join(column.align for column in columns)
    return table(headers if any(headers) else (), rows, align=align, width=width, indent=indent)


def _fits(drawn: str, width: int) -> bool:
    return max(map(len, drawn.splitlines()), default=0) <= width


def _folded(
    columns: Sequence[Column], row: Sequence[str], width: int, indent: str, named: int
) -> str:
    """Return one row as a paragraph: `! assistant-chat: qwen3:8b, 5.2 GB, context 16k`."""
    first = " ".join(cell for cell in row[: named + 1] if cell)
    rest = [
        said.replace(" ", NBSP) if len(said) < width // 2 else said
        for column, cell in zip(columns[named + 1 :], row[named + 1 :], strict=True)
        if cell.strip(" -") and (said := f"{column.word} {cell}".strip())
    ]
    text = f"{first}: {', '.join(rest)}" if rest else first
    return paragraph(text, width=width, indent=indent, hanging=f"{indent}  ")

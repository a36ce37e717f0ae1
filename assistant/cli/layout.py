"""Plain text layout for the terminal: aligned tables, bars, wrapped paragraphs.

Pure functions, text in and text out, no escape codes and no dependency, so that piped output
costs nothing to make. Widths count characters; the blocks and Latin text used here are one
column wide each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

FULL_BLOCK = "█"
LIGHT_SHADE = "░"
_MIN_LAST_COLUMN = 16


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
    hold a figure and its unit together and come out as plain spaces.
    """
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        lines.append(line)
    return [each.replace("\u00a0", " ") for each in lines]


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

"""Markdown laid out for a terminal, part by part, so that it can be shown while it is written.

The door to rich, which parses Markdown (CommonMark with tables) and knows colours and the width
of characters. Three things differ from rich's own layout: code has neither frame nor indent nor
padding, so that it can be selected and copied; a line break in the source is one on the screen;
and nothing is left out, HTML and link definitions are shown as they are written.

`parts_of` cuts a text into parts that are laid out independently of each other: blocks, and the
items of lists. What stands before the last part never changes when more text follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from rich import box
from rich.cells import cell_len
from rich.console import COLOR_SYSTEMS, Console
from rich.markdown import Markdown
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

PartKind = Literal["block", "item", "fence", "raw"]
Token: TypeAlias = Any
"""A token of rich's Markdown parser."""

BOLD: Final = Style(bold=True)
DIM: Final = Style(dim=True)
_CODE: Final = Style(color="cyan")
_LINK: Final = Style(underline=True)
_INLINE: Final = {
    "strong_open": BOLD,
    "em_open": Style(italic=True),
    "s_open": Style(strike=True),
}
_TAB: Final = 4
_SMALLEST_WIDTH: Final = 10
_CELL_END: Final = re.compile(r"(?<!\\)\|")
_COLUMN_GAP: Final = 3
"""Columns between two cells of a table (rich's padding and divider)."""
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line for the screen: its text, with escape codes where colour is welcome, and columns.

    `is_fixed` lines, of code and tables, mean nothing when they are wrapped; `is_table` is one of
    a table.
    """

    text: str
    columns: int
    is_fixed: bool = False
    is_table: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text: its lines from `start` up to but not including `end`.

    A `fence` is a code block at the outermost level, `info` what stands on its first line;
    `raw` is what the parser makes nothing visible of.
    """

    kind: PartKind
    start: int
    end: int
    info: str = ""


BLANK: Final = Line("", 0)


def columns_of(text: str) -> int:
    """Return how many columns a text takes that has no escape codes."""
    return cell_len(text)


def parts_of(text: str) -> list[Part]:
    """Return the parts of a text, in order; blank lines between them belong to none."""
    lines = text.split("\n")
    parts: list[Part] = []
    covered = 0
    for part in _outer_parts(_parse(text)):
        parts.extend(_raw_parts(lines, covered, part.start))
        end = part.end
        while end > part.start + 1 and not lines[end - 1].strip():
            end -= 1
        parts.append(Part(part.kind, part.start, end, part.info))
        covered = max(covered, part.end)
    return [*parts, *_raw_parts(lines, covered, len(lines))]


def _outer_parts(tokens: Sequence[Token]) -> Iterator[Part]:
    for token in tokens:
        if token.map is None or token.nesting < 0:
            continue
        start, end = token.map
        if token.level == 0 and token.type == "fence":
            yield Part("fence", start, end, token.info.strip())
        elif token.level == 0 and not token.type.endswith("_list_open"):
            yield Part("block", start, end)
        elif token.level == 1 and token.type == "list_item_open":
            yield Part("item", start, end)


def _raw_parts(lines: list[str], start: int, end: int) -> Iterator[Part]:
    """Yield the runs of lines that are not blank."""
    begun: int | None = None
    for at in range(start, end + 1):
        if at < end and lines[at].strip():
            begun = at if begun is None else begun
        elif begun is not None:
            yield Part("raw", begun, at)
            begun = None


def paragraphs_of(text: str) -> Iterator[tuple[int, int]]:
    """Yield the paragraphs outside quotations: first line, and the one after the last."""
    quoted = 0
    for token in _parse(text):
        quoted += token.nesting if token.type.startswith("blockquote") else 0
        if token.type == "paragraph_open" and not quoted:
            yield token.map[0], token.map[1]


def _parse(text: str) -> list[Token]:
    return list(Markdown(text).parsed)


class Layout:
    """Lays out Markdown for `width` columns, with or without escape codes.

    `table_width` is the most that tables take, where that is less.
    """

    def __init__(self, *, width: int, color: bool, table_width: int | None = None) -> None:
        self.width = self.table_width = 0
        self.resize(width, table_width=table_width)
        self.color = color
        self._console = Console(
            width=self.width,
            force_terminal=color,
            color_system="auto" if color else None,
            highlight=False,
            legacy_windows=False,
        )
        self._colors = COLOR_SYSTEMS.get(self._console.color_system or "")
        self._lexed: dict[str, Syntax] = {}

    def resize(self, width: int, *, table_width: int | None = None) -> None:
        """Lay out for another width from here on."""
        self.width = max(width, _SMALLEST_WIDTH)
        self.table_width = max(min(self.width, table_width or self.width), _SMALLEST_WIDTH)

    def part(self, source: str, kind: PartKind, *, codes: list[str]) -> list[Line]:
        """Return the lines of one part; code blocks in it are added to `codes`."""
        if kind == "raw":
            return self.plain(source)
        blocks = _Blocks(self, source, codes)
        return [
            replace(self._line(row.text), is_fixed=row.is_code or row.is_table,
                    is_table=row.is_table)
            for row in blocks.lines(_parse(source), self.width)
        ]  # fmt: skip

    def plain(self, text: str, *, dim: bool = False, indent: str = "") -> list[Line]:
        """Return text that is no Markdown, wrapped."""
        style = DIM if dim else Style.null()
        width = max(self.width - len(indent), _SMALLEST_WIDTH)
        return [
            self._line(Text(indent) + each)
            for each in self.wrapped(Text(text.rstrip("\n"), style), width)
        ]

    def label(self, number: int, info: str) -> Line:
        """Return the line above a code block: its number for /copy, and its language."""
        return replace(self._line(self.label_text(number, info)), is_fixed=True)

    def label_text(self, number: int, info: str) -> Text:
        """Return what `label` shows."""
        language = info.split(maxsplit=1)[0] if info.strip() else ""
        return Text.assemble((f"code {number}{f' · {language}' if language else ''}", DIM))

    def code(self, code: str, info: str, *, skip: int = 0) -> list[Line]:
        """Return the lines of a code block after the first `skip`, as they are, not wrapped."""
        texts = self.code_texts(code, info)[skip:]
        return [replace(self._line(text), is_fixed=bool(text.plain)) for text in texts]

    def code_texts(self, code: str, info: str) -> list[Text]:
        """Return the lines of a code block, coloured where colour is welcome."""
        code = "\n".join(line.expandtabs(_TAB) for line in code.split("\n"))
        if not code:
            return []
        text = self._highlighted(code, info) if self.color else Text(code)
        return list(text.split("\n", allow_blank=True))

    def wrapped(self, text: Text, width: int) -> list[Text]:
        """Return `text` in lines of at most `width` columns; too long a word is cut."""
        lines = text.wrap(self._console, width, justify="default", overflow="fold", tab_size=_TAB)
        for line in lines:
            line.rstrip()
        return list(lines)

    def table(self, table: Table, width: int) -> list[Text]:
        """Return the lines of a table, its columns narrowed to fit.

        Words stay whole; where there is no room for that, each row becomes lines of its own, a
        cell each, with the column's heading before it.
        """
        width = min(width, self.table_width)
        if not self._narrow(table, width):
            return self._row_by_row(table, width)
        options = self._console.options.update(width=width, height=None)
        lines = []
        for segments in self._console.render_lines(table, options, pad=False):
            line = Text.assemble(*((s.text, s.style or Style.null()) for s in segments))
            line.rstrip()
            lines.append(line)
        return lines

    def _narrow(self, table: Table, width: int) -> bool:
        """Give the columns widths that keep words whole; return False when there are none."""
        room = width - _COLUMN_GAP * (len(table.columns) - 1)
        sizes = []
        for column in table.columns:
            cells = [_as_text(column.header), *map(_as_text, column.cells)]
            words = [cell_len(word) for cell in cells for word in cell.plain.split()]
            whole = [cell_len(line) for cell in cells for line in cell.plain.split("\n")]
            sizes.append((max(words, default=1), max(whole, default=1)))
        spare = room - sum(least for least, _ in sizes)
        wanted = sum(most - least for least, most in sizes)
        if spare < 0:
            return False
        if spare < wanted:
            for column, (least, most) in zip(table.columns, sizes, strict=True):
                column.width = least + spare * (most - least) // wanted
        return True

    def _row_by_row(self, table: Table, width: int) -> list[Text]:
        lines: list[Text] = []
        columns = [(_as_text(c.header), [*map(_as_text, c.cells)]) for c in table.columns]
        for at in range(table.row_count):
            lines += [Text()] if lines else []
            for header, cells in columns:
                named = Text.assemble(header, ": " if header.plain else "", cells[at])
                lines += self.wrapped(named, width)
        return lines or [line for header, _ in columns for line in self.wrapped(header, width)]

    def _highlighted(self, code: str, info: str) -> Text:
        language = info.split(maxsplit=1)[0].lower() if info.strip() else "text"
        syntax = self._lexed.get(language)
        if syntax is None:
            syntax = Syntax("", language, theme="ansi_dark", tab_size=_TAB)
            self._lexed[language] = syntax
        text = syntax.highlight(code)
        text.right_crop(len(text.plain) - len(code))
        return text if text.plain == code else Text(code)

    def _line(self, text: Text) -> Line:
        if not self.color:
            return Line(text.plain, cell_len(text.plain))
        shown = "".join(
            segment.style.render(segment.text, color_system=self._colors)
            if segment.style
            else segment.text
            for segment in text.render(self._console, end="")
        )
        return Line(shown, cell_len(text.plain))


class _Row(NamedTuple):
    """A line of a block; `is_code` lines are not indented by the lists around them."""

    text: Text
    is_code: bool = False
    is_table: bool = False


class _Blocks:
    """The blocks of one part, laid out into lines of text."""

    def __init__(self, layout: Layout, source: str, codes: list[str]) -> None:
        self._layout = layout
        self._source = source.split("\n")
        self._codes = codes

    def lines(self, tokens: Sequence[Token], width: int) -> list[_Row]:
        """Return the lines of all blocks."""
        shown: list[_Row] = []
        for row in self._rows(tokens, width):
            if row.is_code or row.text.plain or (shown and shown[-1].text.plain):
                shown.append(row)
        while shown and not shown[-1].text.plain:
            shown.pop()
        return shown

    def _rows(self, tokens: Sequence[Token], width: int) -> Iterator[_Row]:
        """Yield the rows of all blocks; they are a blank line apart where the source is."""
        at = 0
        while at < len(tokens):
            token = tokens[at]
            end = _end_of(tokens, at)
            if at and token.map and self._blank_before(token.map[0]):
                yield _Row(Text())
            yield from self._block(tokens[at:end], max(width, _SMALLEST_WIDTH))
            at = end

    def _blank_before(self, line: int) -> bool:
        return line > 0 and not self._source[line - 1].strip(" >\t")

    def _block(self, tokens: Sequence[Token], width: int) -> Iterator[_Row]:
        first, inside = tokens[0], tokens[1:-1]
        kind = first.type
        if kind in {"paragraph_open", "heading_open"}:
            style = BOLD if kind == "heading_open" else Style.null()
            yield from map(_Row, self._layout.wrapped(_inline(inside[0], style), width))
        elif kind in {"bullet_list_open", "ordered_list_open"}:
            yield from self._items(inside, width)
        elif kind == "blockquote_open":
            for row in self._rows(inside, width - 2):
                yield _Row(_prefixed("│ ", row.text, DIM), is_table=row.is_table)
        elif kind in {"fence", "code_block"}:
            yield from self._code(first)
        elif kind == "table_open":
            table, source = _table(inside), self._source[slice(*first.map)]
            lines = self._layout.table(table, width)
            if any(_cells(line) > len(table.columns) for line in source):
                # The parser leaves out what has no heading.
                lines = self._layout.wrapped(Text("\n".join(source)), self._layout.table_width)
            yield from (_Row(line, is_table=True) for line in lines)
        elif kind == "hr":
            yield _Row(Text("─" * 3, DIM))
        else:
            yield from map(_Row, self._layout.wrapped(Text(first.content.rstrip("\n")), width))

    def _items(self, tokens: Sequence[Token], width: int) -> Iterator[_Row]:
        at = 0
        while at < len(tokens):
            item = tokens[at]
            end = _end_of(tokens, at)
            mark = f"{item.info}{item.markup} " if item.info else "- "
            if at and self._blank_before(item.map[0]):
                yield _Row(Text())
            prefix = mark
            for row in self._rows(tokens[at + 1 : end - 1], width - len(mark)):
                if row.is_code and prefix == mark:
                    yield _Row(Text(mark.rstrip()))
                    prefix = " " * len(mark)
                text = row.text if row.is_code else _prefixed(prefix, row.text, Style.null())
                yield row._replace(text=text)
                prefix = " " * len(mark)
            if prefix == mark:
                yield _Row(Text(mark.rstrip()))
            at = end

    def _code(self, token: Token) -> Iterator[_Row]:
        """Yield a code block with its label; blank lines are around it, wherever it stands."""
        code = token.content.removesuffix("\n")
        self._codes.append(code)
        yield _Row(Text())
        yield _Row(self._layout.label_text(len(self._codes), token.info), is_code=True)
        for line in self._layout.code_texts(code, token.info):
            yield _Row(line, is_code=True)
        yield _Row(Text())


def _prefixed(prefix: str, line: Text, style: Style) -> Text:
    text = Text.assemble((prefix, style), line)
    text.rstrip()
    return text


def _end_of(tokens: Sequence[Token], start: int) -> int:
    """Return the index after the block that begins at `start`."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += tokens[at].nesting
        if depth == 0:
            return at + 1
    return len(tokens)


def _inline(token: Token, style: Style) -> Text:
    """Return the text of an inline token in its styles."""
    text = Text()
    styles, link = [style], ("", 0)
    for child in token.children or ():
        kind = child.type
        if kind in _INLINE:
            styles.append(styles[-1] + _INLINE[kind])
        elif kind == "link_open":
            link = (str(child.attrs.get("href", "")), len(text))
            styles.append(styles[-1] + _LINK)
        elif child.nesting < 0:
            styles.pop()
            if kind == "link_close" and text.plain[link[1] :] not in {link[0], ""}:
                text.append(f" ({link[0]})", styles[-1])
        elif kind in {"softbreak", "hardbreak"} or _BREAK.fullmatch(child.content):
            text.append("\n")
        elif kind == "code_inline":
            text.append(child.content, styles[-1] + _CODE)
        elif kind == "image":
            text.append(f"{child.content} ({child.attrs.get('src', '')})".strip(), styles[-1])
        else:
            text.append(child.content, styles[-1])
    return text


def _cells(line: str) -> int:
    return len(_CELL_END.split(line.strip().strip("|")))


def _as_text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _table(tokens: Sequence[Token]) -> Table:
    """Return rich's table of a table's tokens."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style=BOLD)
    row: list[Text] = []
    for before, token in pairwise(tokens):
        if token.type == "inline" and before.type == "th_open":
            right = "right" in str(before.attrs.get("style", ""))
            table.add_column(
                _inline(token, Style.null()),
                justify="right" if right else "left",
                overflow="fold",
            )
        elif token.type == "inline" and before.type == "td_open":
            row.append(_inline(token, Style.null()))
        elif token.type == "tr_close" and row:
            table.add_row(*row)
            row = []
    return table

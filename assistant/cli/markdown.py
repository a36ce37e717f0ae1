"""Markdown for people: laid out as plain text, or by rich in a terminal with colour.

The plain form knows what answers are made of: paragraphs, headings, lists, tables, code and
emphasis. It is what pipes and snapshots see, and costs no import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from assistant.cli.layout import paragraph, table

_ITEM = re.compile(r"(?P<indent>\s*)(?P<mark>[-*+]|\d+[.)])\s+(?P<text>.*)")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*")
_LINK = re.compile(r"\[([^\]]+)\]\((\S+?)\)")
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_EMPHASIS = re.compile(r"(?<![\w*])([*_])(?=\S)(.+?)(?<=\S)\1(?![\w*])")
_CODE = re.compile(r"`([^`]+)`")


def render_plain(text: str, *, width: int = 80) -> str:
    """Return Markdown as plain text of at most `width` columns, blocks a blank line apart."""
    return "\n\n".join(block for block in _blocks(text.splitlines(), width) if block)


def render_rich(text: str, *, width: int = 80) -> str:
    """Return Markdown as terminal text with escape codes, laid out by rich."""
    import io

    from rich.console import Console
    from rich.markdown import Markdown

    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, highlight=False)
    console.print(Markdown(text))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _blocks(lines: list[str], width: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif line.lstrip().startswith("```"):
            end = next(
                (i for i in range(at + 1, len(lines)) if lines[i].lstrip().startswith("```")),
                len(lines),
            )
            yield "\n".join("    " + code for code in lines[at + 1 : end])
            at = end + 1
        elif line.lstrip().startswith("|") and _is_table(lines, at):
            end = _run(lines, at, lambda each: each.lstrip().startswith("|"))
            yield _table(lines[at:end], width)
            at = end
        elif line.startswith("#"):
            yield _inline(line.lstrip("#").strip())
            at += 1
        elif _ITEM.match(line):
            end = _run(lines, at, lambda each: bool(each.strip()))
            yield "\n".join(_items(lines[at:end], width))
            at = end
        elif line.startswith("    "):
            end = _run(lines, at, lambda each: each.startswith("    "))
            yield "\n".join(lines[at:end])
            at = end
        else:
            end = _run(lines, at, _is_prose)
            end = max(end, at + 1)
            yield "\n".join(_prose(lines[at:end], width))
            at = end


def _run(lines: list[str], start: int, belongs: Callable[[str], bool]) -> int:
    """Return the index after the last line from `start` on for which `belongs` holds."""
    end = start
    while end < len(lines) and belongs(lines[end]):
        end += 1
    return end


def _is_prose(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("#", "```", "|")) and not _ITEM.match(line)


def _is_table(lines: list[str], at: int) -> bool:
    return at + 1 < len(lines) and _TABLE_RULE.fullmatch(lines[at + 1]) is not None


def _prose(lines: list[str], width: int) -> Iterator[str]:
    """Yield the lines of a paragraph; two spaces or a backslash at a line's end break it."""
    gathered: list[str] = []
    for line in lines:
        gathered.append(line.strip().removesuffix("\\").rstrip())
        if line.endswith(("  ", "\\")):
            yield paragraph(_inline(" ".join(gathered)), width=width)
            gathered = []
    if gathered:
        yield paragraph(_inline(" ".join(gathered)), width=width)


def _items(lines: list[str], width: int) -> Iterator[str]:
    """Yield a list's lines; a line that starts no item goes on with the one before."""
    items: list[tuple[str, str, str]] = []
    for line in lines:
        match = _ITEM.match(line)
        if match is not None:
            mark = "-" if match["mark"] in "-*+" else match["mark"]
            items.append((match["indent"], mark, match["text"]))
        elif items:
            indent, mark, text = items[-1]
            items[-1] = (indent, mark, f"{text} {line.strip()}")
    for indent, mark, text in items:
        first = f"{indent}{mark} "
        yield paragraph(_inline(text), width=width, indent=first, hanging=" " * len(first))


def _table(lines: list[str], width: int) -> str:
    """Return a pipe table aligned; the rule's colons say which columns are right-aligned."""
    rows = [_cells(line) for line in (lines[0], *lines[2:])]
    align = "".join("r" if rule.endswith(":") else "l" for rule in _cells(lines[1]))
    header, *body = [[_inline(cell) for cell in row] for row in rows]
    return table(header, body, align=align, width=width)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _inline(text: str) -> str:
    """Return text without the marks of emphasis, code and links; code is left as it is."""
    parts = _CODE.split(text)
    for i in range(0, len(parts), 2):
        plain = _STRONG.sub(r"\2", _LINK.sub(_link, parts[i]))
        parts[i] = _EMPHASIS.sub(r"\2", plain)
    return "".join(parts)


def _link(match: re.Match[str]) -> str:
    words, target = match[1], match[2]
    return words if words == target else f"{words} ({target})"

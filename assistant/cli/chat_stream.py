"""An answer as it arrives: which lines are final, and which may still change.

The text is cut into parts (`chat_screen.parts_of`); all but the last are final once another one
follows in whole lines. The lines of a code block are final one by one, so that a long one scrolls
by as it is written. However the text is cut into pieces, the lines in the end are the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from assistant.cli.chat_screen import BLANK, Layout, Line, Part, paragraphs_of, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_FENCE: Final = re.compile(r"(?P<indent> {0,3})(?P<marks>`{3,}|~{3,})")
_UNDECIDED: Final = re.compile(r"\s*(?:[-=+*_#>|~`\s]+|\d{1,9}[.)]?\s*|`{3}[^`]*|~{3}.*)")
"""A line begun that may become anything: showing it would only flicker."""
_LONGEST_MARK: Final = 80
_INNER_FENCE: Final = re.compile(r"^\s*(?:[-*+]\s+|\d+[.)]\s+)?(?:`{3}|~{3})", re.MULTILINE)
_OPENING: Final = re.compile(r"(?<=\s)(?:\*{1,3}|`{1,2}|~~|\[)$")
_TICKS: Final = re.compile(r"`+")
_CODE_SPAN: Final = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_STRONG: Final = re.compile(r"\*\*")
_CONTROLS: Final = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\n\t"
}
_CONTROLS[ord("\r")] = ""


def harmless(text: str) -> str:
    """Return text in which no character moves the cursor or changes the terminal's state.

    What a model writes is data: escape codes and marks that reorder text are shown as `\ufffd`.
    """
    return text.translate(_CONTROLS)


@dataclass(slots=True)
class _OpenCode:
    """A code block being written; `lines` are those shown already."""

    info: str
    indent: int
    closing: re.Pattern[str]
    lines: list[str] = field(default_factory=list)

    def line(self, text: str) -> str:
        """Return a line of the block without the indent that the fence has."""
        return text[min(self.indent, len(text) - len(text.lstrip(" "))) :]


@dataclass(slots=True)
class _Place:
    """What stands before the next part: anything, a blank line in the source, a code block."""

    begun: bool = False
    gap: bool = False
    after_code: bool = False


class MarkdownStream:
    """Turns the pieces of an answer into lines.

    `codes` has the code blocks that are complete so far, as they were written. `closes` shows
    what is begun as if it were ended: bold is bold from its first letter.
    """

    def __init__(self, layout: Layout, *, closes: bool = True) -> None:
        self._closes = closes
        self.codes: list[str] = []
        self._layout = layout
        self._tail = ""
        self._code: _OpenCode | None = None
        self._place = _Place()

    def feed(self, piece: str) -> None:
        """Take a piece of the text."""
        self._tail += harmless(piece)

    def take(self) -> tuple[list[Line], list[Line]]:
        """Return the lines that have become final, and those that may still change."""
        final: list[Line] = []
        while self._step(final):
            pass
        return final, self._live()

    def finish(self) -> list[Line]:
        """Return the lines that were not final yet; no more text follows."""
        if self._tail and not self._tail.endswith("\n"):
            self._tail += "\n"
        final: list[Line] = []
        while self._step(final):
            pass
        if self._code is not None:
            self._close(self._code)
        lines = self._tail.split("\n")
        for part in parts_of(self._tail):
            final.extend(self._lay_out(lines, part, self.codes))
        self._tail = ""
        return final

    def _step(self, final: list[Line]) -> bool:
        """Move what is final out of the tail; return whether there may be more."""
        if self._code is not None:
            return self._code_step(self._code, final)
        whole = self._tail[: self._tail.rfind("\n") + 1]
        lines = whole.split("\n")
        parts = parts_of(whole)
        if not parts:
            return False
        stop = next((part for part in parts if part.kind == "fence"), parts[-1])
        for part in parts[: parts.index(stop)]:
            final.extend(self._lay_out(lines, part, self.codes))
        if stop.kind == "fence":
            self._open(lines, stop, final)
            return True
        self._cut(lines, stop.start)
        return False

    def _cut(self, lines: Sequence[str], start: int) -> None:
        """Let the tail begin at a line of itself."""
        if start:
            self._place.gap = not lines[start - 1].strip()
        self._tail = self._tail[sum(len(line) + 1 for line in lines[:start]) :]

    def _open(self, lines: Sequence[str], part: Part, final: list[Line]) -> None:
        match = _FENCE.match(lines[part.start])
        assert match is not None, "the parser says that a fence begins here"
        mark = match["marks"][0]
        closing = re.compile(rf" {{0,3}}{mark}{{{len(match['marks'])},}}[ \t]*")
        self._code = _OpenCode(part.info, len(match["indent"]), closing)
        if self._place.begun:
            final.append(BLANK)
        final.append(self._layout.label(len(self.codes) + 1, part.info))
        self._cut(lines, part.start + 1)

    def _code_step(self, code: _OpenCode, final: list[Line]) -> bool:
        *whole, rest = self._tail.split("\n")
        known = len(code.lines)
        closed = False
        for number, line in enumerate(whole, start=1):
            if code.closing.fullmatch(line):
                rest = "\n".join([*whole[number:], rest])
                closed = True
                break
            code.lines.append(code.line(line))
        if len(code.lines) > known:
            shown = "\n".join(code.lines)
            final.extend(self._layout.code(shown, code.info, skip=known) or [BLANK])
        self._tail = rest
        if closed:
            self._close(code)
        return closed

    def _close(self, code: _OpenCode) -> None:
        self.codes.append("\n".join(code.lines))
        self._code = None
        self._place = _Place(begun=True, after_code=True)

    def _lay_out(self, lines: Sequence[str], part: Part, codes: list[str]) -> list[Line]:
        """Return the lines of a part, after a blank one where it stands apart."""
        place = self._place
        gap = not lines[part.start - 1].strip() if part.start else place.gap
        apart = place.begun and (gap or place.after_code or part.kind != "item")
        known = len(codes)
        laid = self._layout.part("\n".join(lines[part.start : part.end]), part.kind, codes=codes)
        self._place = _Place(begun=True, after_code=len(codes) > known)
        return [BLANK, *laid] if apart else laid

    def _live(self) -> list[Line]:
        """Return the lines of the tail as it would be if nothing more came."""
        begun, _, last = self._tail.rpartition("\n")
        if self._code is not None:
            if set(last.strip()) <= {"`"} or set(last.strip()) <= {"~"}:
                return []  # nothing yet, or perhaps the fence that closes the block
            code = "\n".join([*self._code.lines, self._code.line(last)])
            return self._layout.code(code, self._code.info, skip=len(self._code.lines))
        is_open = len(last) <= _LONGEST_MARK and _UNDECIDED.fullmatch(last)
        text = begun if is_open else self._tail
        if self._closes and text is not begun:
            text = _closed(text)
        lines = text.split("\n")
        place, codes = self._place, list(self.codes)
        shown: list[Line] = []
        for part in parts_of(text):
            kind = "block" if part.kind == "fence" else part.kind
            shown.extend(self._lay_out(lines, replace(part, kind=kind), codes))
        self._place = place
        return shown


def _closed(text: str) -> str:
    """Return text that breaks off, with what it begins closed.

    Only for showing what may still change; a block of code in a list is left as it is.
    """
    before, gap, last = text.rpartition("\n\n")
    if _INNER_FENCE.search(last):
        return text
    last = _OPENING.sub("", last.rstrip(" "))
    if len(_TICKS.findall(last)) % 2:
        last += _TICKS.findall(last)[-1]
    elif len(_STRONG.findall(_CODE_SPAN.sub("", last))) % 2:
        last += "**"
    return f"{before}{gap}{last}"


def reflowed(text: str) -> str:
    """Return Markdown in which a line break inside a paragraph is a space.

    Breaks that Markdown itself calls hard ones stay, and so do quotations.
    """
    lines: list[str | None] = [*text.split("\n")]
    for first, end in paragraphs_of(text):
        at = first
        for number in range(first + 1, end):
            before, line = lines[at] or "", lines[number] or ""
            if before.endswith(("  ", "\\")):
                at = number
                continue
            lines[at] = f"{before.rstrip()} {line.lstrip()}"
            lines[number] = None
    return "\n".join(line for line in lines if line is not None)


def code_blocks(text: str) -> list[str]:
    """Return the code blocks of a text, numbered as they are on the screen."""
    stream = MarkdownStream(Layout(width=80, color=False))
    stream.feed(text)
    stream.take()
    stream.finish()
    return stream.codes

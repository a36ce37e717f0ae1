"""Markdown cut into the pieces that stand or fall alone: sentences, list items, table rows, code.

Pure. The pieces joined again are the text, character by character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from assistant.agent.claims import Around
from assistant.agent.model_words import ModelWords

LONGEST_UNIT: Final = 1200
"""A longer sentence or row is not read: keeps the work linear, and nobody writes one."""

UnitKind = Literal["sentence", "row", "head", "rule", "code", "space"]

_SENTENCE_END = re.compile(r"(?<=[.!?])[)\"'*_`\]]{0,3}\s+(?=[\"'*_`(\[]{0,3}[A-Z0-9])")
_ABBREVIATION: Final = ("e.g.", "i.e.", "approx.", "vs.", "etc.", "cf.", "no.", "ca.", "dr.", "mr.")
_MARKER = re.compile(r"\s*(?:[-*+•]\s+|\d{1,3}[.)]\s+|#{1,6}\s+|>\s?)+")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-*:?\s*)*\|?\s*")


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece: `before` (list marker, indent), `text`, `after` (the space behind it).

    `block` numbers the paragraph, list item or table; `head` is a table's head line.
    """

    kind: UnitKind
    text: str
    before: str = ""
    after: str = ""
    block: int = 0
    head: str = ""

    def cells(
        self, words: ModelWords, around: Around | None = None
    ) -> Iterator[tuple[str, Around]]:
        """Yield the parts that are read alone, each with what its surroundings say of it."""
        around = around or Around()
        if self.kind not in {"row", "head"}:
            yield self.text, around
            return
        heads = _split_row(self.head) if self.kind == "row" else []
        cells = _split_row(self.text)
        models = words.find(self.text)
        for index, cell in enumerate(cells):
            head = heads[index] if index < len(heads) else ""
            in_head = words.find(head)
            subject = next(iter(models or in_head), around.subject)
            yield cell, replace(around, subject=subject, level=_level_in(self.text) or around.level,
                                head=head)  # fmt: skip


def read_units(text: str) -> list[Unit]:
    """Return the pieces of `text` in order; joined, they give `text` again."""
    units: list[Unit] = []
    lines = text.splitlines(keepends=True)
    index, block = 0, 0
    while index < len(lines):
        line = lines[index]
        block += 1
        if not line.strip():
            units.append(Unit("space", line, block=block))
            index += 1
        elif _FENCE.match(line):
            end = next((i for i in range(index + 1, len(lines)) if _FENCE.match(lines[i])), None)
            end = len(lines) if end is None else end + 1
            units.append(Unit("code", "".join(lines[index:end]), block=block))
            index = end
        elif line.lstrip().startswith("|"):
            end = _while(lines, index, lambda x: x.lstrip().startswith("|"))
            units += _table(lines[index:end], block)
            index = end
        else:
            end = _while(lines, index + 1, _continues)
            units += _sentences("".join(lines[index:end]), block)
            index = end
    return units


def join_units(units: Sequence[Unit]) -> str:
    """Return the text of the pieces."""
    return "".join(u.before + u.text + u.after for u in units)


def _while(lines: list[str], start: int, holds: object) -> int:
    end = start
    while end < len(lines) and callable(holds) and holds(lines[end]):
        end += 1
    return end


def _continues(line: str) -> bool:
    begins = _MARKER.match(line) or _FENCE.match(line) or line.lstrip().startswith("|")
    return bool(line.strip()) and not begins


def _table(lines: list[str], block: int) -> list[Unit]:
    ruled = len(lines) > 1 and _is_rule(lines[1])
    units = []
    for index, line in enumerate(lines):
        body, after = _split_end(line)
        kind: UnitKind = "row"
        if ruled and index < 2:
            kind = "head" if index == 0 else "rule"
        elif _is_rule(body):
            kind = "rule"
        units.append(Unit(kind, body, after=after, block=block, head=lines[0] if ruled else ""))
    return units


def _is_rule(line: str) -> bool:
    return len(line) < LONGEST_UNIT and _RULE.fullmatch(line.rstrip("\n")) is not None


def _sentences(text: str, block: int) -> list[Unit]:
    marker = _MARKER.match(text)
    before = marker.group() if marker else ""
    rest = text[len(before) :]
    units: list[Unit] = []
    start = 0
    for match in _SENTENCE_END.finditer(rest):
        last = rest[max(start, match.start() - 12) : match.start()].split()[-1:]
        if last and last[0].lower().lstrip("(") in _ABBREVIATION:
            continue
        gap = re.search(r"\s+$", match.group())
        cut = match.end() - (len(gap.group()) if gap else 0)
        units.append(Unit("sentence", rest[start:cut], before, rest[cut : match.end()], block))
        before, start = "", match.end()
    body, after = _split_end(rest[start:])
    units.append(Unit("sentence", body, before, after, block))
    return units


def _split_end(text: str) -> tuple[str, str]:
    body = text.rstrip()
    return body, text[len(body) :]


def _split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _level_in(row: str) -> str | None:
    from assistant.agent.claims import read_claims

    levels = read_claims(row, ModelWords()).levels
    return levels[0] if len(levels) == 1 else None

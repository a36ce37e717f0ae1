"""A person's own document to pieces of a size that is retrieved and read whole.

Markdown is cut at its headings, and each piece knows the headings above it. What is still too
long is cut between paragraphs, then between sentences, then between words; each piece then
begins with the end of the one before, so that nothing is lost at a border. Together the pieces,
without those overlaps, are the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MOST_WORDS: Final = 180
OVERLAP_WORDS: Final = 40
_HEADING: Final = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*")
_FENCE: Final = re.compile(r"[ ]{0,3}(```+|~~~+)")
_PARAGRAPH: Final = re.compile(r".+?(?:\n[ \t]*\n+|\Z)", re.DOTALL)
_SENTENCE: Final = re.compile(r".+?(?:[.!?][\"')\]]*\s+|\n|\Z)", re.DOTALL)
_WORDS: Final = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece: the place it is from, its text, and how many characters repeat the last one."""

    section: str
    text: str
    overlap: int = 0

    @property
    def own_text(self) -> str:
        """The text without what it repeats."""
        return self.text[self.overlap :]


def chunk_markdown(text: str, *, title: str) -> list[Chunk]:
    """Return the pieces of a Markdown document; text above the first heading is under `title`."""
    return [
        chunk for place, body in _by_heading(text) for chunk in chunk_text(body, place or title)
    ]


def chunk_text(text: str, section: str) -> list[Chunk]:
    """Return the pieces of plain text, all from the same place."""
    chunks: list[Chunk] = []
    current, before = "", ""
    for unit in _units(text):
        if current and _count(current) + _count(unit) > MOST_WORDS:
            chunks.append(_chunk(section, current, before))
            before, current = current, ""
        current += unit
    if current.strip():
        chunks.append(_chunk(section, current, before))
    return chunks


def _chunk(section: str, text: str, before: str) -> Chunk:
    repeated = _ending(before) if before else ""
    return Chunk(section, repeated + text, overlap=len(repeated))


def _ending(text: str) -> str:
    """Return the last paragraph or sentences of a text, up to the overlap; else its last words."""
    taken = ""
    for sentence in reversed(_SENTENCE.findall(text)):
        if _count(sentence + taken) > OVERLAP_WORDS:
            break
        taken = sentence + taken
    return taken or "".join(_WORDS.findall(text)[-OVERLAP_WORDS:])


def _units(text: str) -> Iterator[str]:
    """Yield the text in parts that fit in a piece: paragraphs, or sentences, or runs of words."""
    for paragraph in _PARAGRAPH.findall(text):
        if _count(paragraph) <= MOST_WORDS:
            yield paragraph
            continue
        for sentence in _SENTENCE.findall(paragraph):
            if _count(sentence) <= MOST_WORDS:
                yield sentence
                continue
            words = re.findall(r"\s*\S+\s*", sentence)
            for start in range(0, len(words), MOST_WORDS):
                yield "".join(words[start : start + MOST_WORDS])


def _by_heading(text: str) -> Iterator[tuple[str, str]]:
    """Yield (headings above, text below) for each heading; `#` in code is none."""
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1][:3]
        elif mark and mark[1].startswith(fence):
            fence = ""
        heading = None if fence or mark else _HEADING.fullmatch(line.rstrip("\n"))
        if heading is None:
            lines.append(line)
            continue
        yield _place(path), "".join(lines)
        lines = []
        level = len(heading[1])
        path = [(above, name) for above, name in path if above < level]
        path.append((level, heading[2]))
    yield _place(path), "".join(lines)


def _place(path: list[tuple[int, str]]) -> str:
    return " > ".join(name for _, name in path)


def _count(text: str) -> int:
    return len(text.split())

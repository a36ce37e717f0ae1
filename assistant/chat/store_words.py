"""The words of a text as the search of conversations sees them. Pure.

Upper and lower case, accents and full-width forms do not matter. Scripts that are written without
spaces (Chinese, Japanese, Thai, ...) are cut into single characters, and a word of them is then
looked for as a run; symbols and emoji are words of their own, so that `C++` and a `🎉` can be
found. Words hold ASCII letters and digits, the symbols below, and what is beyond ASCII: what
FTS5's `ascii` tokenizer, told of `SYMBOLS`, takes as one token
(https://www.sqlite.org/fts5.html#ascii_tokenizer).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

SYMBOLS: Final = "#$+<=>|~"
MOST_PHRASES: Final = 32
"""A search with more words looks for the first ones; FTS5 allows a depth of 256."""
MOST_WORDS: Final = 256
EXCERPT_LENGTH: Final = 76
_BEFORE: Final = 24
_ASCII: Final = re.compile(f"[a-z0-9]+|[{re.escape(SYMBOLS)}]")
_ASKED: Final = re.compile(r'"([^"]*)"|([^\s"]+)')
_NO_SPACES: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


@dataclass(frozen=True, slots=True)
class Word:
    """A folded word and where it is in its text: from `start` up to, not including, `end`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that must follow each other; the last may go on in the text unless `exact`."""

    words: tuple[str, ...]
    exact: bool = False


def split_words(text: str) -> list[Word]:
    """Return the words of a text, in order."""
    if text.isascii():
        return [Word(m[0], m.start(), m.end()) for m in _ASCII.finditer(text.lower())]
    return list(_split(text))


def words_line(text: str) -> str:
    """Return the words with a space before and after each, as they are stored and searched."""
    words = " ".join(word.text for word in split_words(text))
    return f" {words} " if words else ""


def parse_search(text: str) -> tuple[Phrase, ...]:
    """Return what is looked for: each word, begun or whole, and "words in quotes" as they stand."""
    found: dict[Phrase, None] = {}
    for match in _ASKED.finditer(text.replace("“", '"').replace("”", '"')):
        exact = match[1] is not None
        words = tuple(word.text for word in split_words(match[1] if exact else match[2]))
        if words:
            found[Phrase(words[:MOST_WORDS], exact)] = None
        if len(found) == MOST_PHRASES:
            break
    return tuple(found)


def fts_query(phrases: Sequence[Phrase]) -> str:
    """Return the phrases as FTS5 takes them; quoted, so that no word of it is an operator."""
    return " ".join(f'"{" ".join(p.words)}"{"" if p.exact else "*"}' for p in phrases)


def in_line(phrase: Phrase) -> str:
    """Return the text that a line of `words_line` contains where the phrase matches."""
    return f" {' '.join(phrase.words)}{' ' if phrase.exact else ''}"


def excerpt(text: str, phrases: Sequence[Phrase], *, length: int = EXCERPT_LENGTH) -> str:
    """Return about `length` characters of the text, on one line, with matches in brackets.

    It begins shortly before the first match; without a match, at the beginning.
    """
    spans = _spans(split_words(text), phrases)
    start = max(0, spans[0][0] - _BEFORE) if spans else 0
    if start:
        space = re.search(r"\s", text[start : spans[0][0]])
        start += space.end() if space else 0
    end = min(len(text), max(start + length, spans[0][1] if spans else 0))
    pieces = []
    at = start
    for span_start, span_end in spans:
        if span_end > end:
            break
        pieces.append(f"{text[at:span_start]}[{text[span_start:span_end]}]")
        at = span_end
    pieces.append(text[at:end])
    shown = " ".join("".join(pieces).split())
    return f"{'…' if start else ''}{shown}{'…' if end < len(text) else ''}"


def _spans(words: Sequence[Word], phrases: Sequence[Phrase]) -> list[tuple[int, int]]:
    """Return where the phrases match, in order and without overlaps."""
    found = []
    for phrase in phrases:
        *head, last = phrase.words
        for first in range(len(words) - len(head)):
            ending = words[first + len(head)]
            fits = ending.text == last or (not phrase.exact and ending.text.startswith(last))
            if fits and all(words[first + n].text == word for n, word in enumerate(head)):
                found.append((words[first].start, ending.end))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _split(text: str) -> Iterator[Word]:
    """Yield the words of a text that is not ASCII alone."""
    run: list[str] = []
    begun = 0
    for at, char in enumerate(text):
        folded, alone = _fold(char)
        if folded is None or alone:
            if run:
                yield Word("".join(run), begun, at)
                run = []
            if folded:
                yield from (Word(each, at, at + 1) for each in folded)
        elif folded:
            if not run:
                begun = at
            run.append(folded)
    if run:
        yield Word("".join(run), begun, len(text))


@lru_cache(maxsize=8192)
def _fold(char: str) -> tuple[str | None, bool]:
    """Return the character as it is searched, None for none, and whether it is a word alone.

    An accent is "": it ends no word and adds nothing to it.
    """
    category = unicodedata.category(char)
    if category in {"So", "Sm", "Sc"} or char in SYMBOLS:
        return (char, True) if char in SYMBOLS or char >= "\x80" else (None, False)
    if category[0] not in "LNM":
        return None, False
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    folded = "".join(
        c for c in plain if unicodedata.category(c)[0] in "LNM" and not "\u0300" <= c <= "\u036f"
    )
    return folded, any(low <= ord(c) <= high for c in folded for low, high in _NO_SPACES)

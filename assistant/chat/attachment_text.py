"""Text out of bytes, and long text in parts. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Final

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b")) + b"\x7f"
_MOST_CONTROLS: Final = 0.02
_BLOCKS: Final = re.compile(r"\n[ \t]*\n+")


def looks_binary(head: bytes) -> bool:
    """Return True when the first bytes of a file are no text in any usual encoding."""
    if any(head.startswith(bom) for bom, _ in _BOMS):
        return False
    if b"\0" in head:
        return _utf16_without_bom(head) is None
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls > _MOST_CONTROLS * len(head)


def decode_text(data: bytes) -> str | None:
    """Return the text of a file with its lines ended by a newline, None when it is none.

    UTF-8, UTF-16 and UTF-32 with their marks, UTF-16 without one, and otherwise Windows-1252,
    which is what most old text files in Western languages are.
    """
    named = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    for encoding in filter(None, (named, "utf-8", _utf16_without_bom(data), "cp1252")):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    return None


def split_text(text: str, most_tokens: int, count: Callable[[str], float]) -> list[str]:
    """Return a text in parts of at most `most_tokens` each; put together they are the text.

    One character is never cut, so a part of one character may be larger.
    """
    parts: list[str] = []
    held, held_tokens = "", 0.0
    for piece in _pieces(text, most_tokens, count):
        tokens = count(piece)
        if held and held_tokens + tokens > most_tokens and count(held + piece) > most_tokens:
            parts.append(held)
            held, held_tokens = "", 0.0
        held += piece
        held_tokens += tokens
    return [*parts, held] if held else parts


def _pieces(text: str, most_tokens: int, count: Callable[[str], float]) -> Iterator[str]:
    """Yield the paragraphs of a text; of those that are too large the lines, or pieces of them."""
    for block in _cut_after(_BLOCKS, text):
        if count(block) <= most_tokens:
            yield block
            continue
        for line in block.splitlines(keepends=True):
            yield from _halves(line, most_tokens, count)


def _halves(line: str, most_tokens: int, count: Callable[[str], float]) -> Iterator[str]:
    if len(line) < 2 or count(line) <= most_tokens:
        yield line
        return
    middle = line.rfind(" ", 0, len(line) // 2) + 1 or len(line) // 2
    yield from _halves(line[:middle], most_tokens, count)
    yield from _halves(line[middle:], most_tokens, count)


def _cut_after(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    start = 0
    for match in pattern.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _utf16_without_bom(data: bytes) -> str | None:
    """Return the encoding of text in which nearly every second byte is 0, or None."""
    sample = data[:4096]
    if len(sample) < 4:
        return None
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None

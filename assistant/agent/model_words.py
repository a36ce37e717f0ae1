"""Model names in a text, as tags (`qwen3:8b-q8_0`) or in prose (`Qwen 3 8B`), without guessing.

Pure. The families come from the caller's catalog; names of models that are not in it (`GPT-4`,
`Claude`) are known here so that they are seen at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from assistant.models.names import split_tag

Span = tuple[int, int]

_OTHERS: Final = (
    "gpt chatgpt gpt-2 gpt-3 gpt-3.5 gpt-4 gpt-4o gpt-5 claude gemini bard grok copilot vicuna"
    " alpaca bert roberta distilbert t5 bloom opt palm dall-e stable-diffusion midjourney whisper"
    " mpt dbrx jamba ernie wizardcoder codet5 pythia gpt-j gpt-neo lamda chinchilla gopher"
    " perplexity-ai cohere openai anthropic"
).split()
_PLAIN_ENGLISH: Final = frozenset(
    {"opt", "bloom", "command", "solar", "falcon", "hermes", "orca", "granite", "phi", "yi",
     "whisper", "bard", "gopher", "north", "reflection", "muse", "laguna", "marco", "rnj"}
)  # fmt: skip
_NO_STEMS: Final = frozenset({"all", "multilingual", "paraphrase", "stable", "nous", "north"})
_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)*")
_TAGGED = re.compile(
    r"(?<![\w/.:-])(?:[A-Za-z0-9_-][\w.-]*/){0,2}[A-Za-z][\w.-]*:[A-Za-z0-9][\w.-]*", re.ASCII
)
_SIZE = re.compile(
    r"[\s:_(-]{0,2}((?:\d+\s?[x×]\s?)?e?\d+(?:\.\d+)?)[\s-]?(b|billion|m)(?![a-z0-9])"
)
_GAP: Final = re.compile(r"[\s\-_:./]{0,2}")
_LONGEST: Final = 8


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model as a text names it: family key, size word or None, the whole tag when written."""

    family: str
    size: str | None
    span: Span
    tag: str | None = None

    def is_like(self, other: NamedModel) -> bool:
        """Return True when both can mean the same model.

        A name in prose without a version ("Qwen", "Qwen 7B") can mean any version.
        """
        if self.family != other.family and not (self._covers(other) or other._covers(self)):
            return False
        return self.size is None or other.size is None or self.size == other.size

    def _covers(self, other: NamedModel) -> bool:
        stem = re.match(r"[a-z]+", other.family)
        return self.tag is None and stem is not None and stem.group() == self.family


class ModelWords:
    """The families whose names are recognised; `catalog_families` are those of the catalog."""

    def __init__(self, catalog_families: Iterable[str] = ()) -> None:
        self._keys: dict[str, str] = {}
        self._heads: set[str] = set()
        for name in [*_OTHERS, *catalog_families]:
            self._add(name)
            stem = re.match(r"[a-z]+", name)
            if stem and len(stem.group()) > 2 and stem.group() not in _NO_STEMS:
                self._add(stem.group())

    def _add(self, name: str) -> None:
        tokens = _TOKEN.findall(name.lower())
        if tokens:
            self._keys["".join(tokens)] = "".join(tokens)
            self._heads.add(tokens[0])

    def find(self, text: str) -> list[NamedModel]:
        """Return the models named in `text`, in order, not overlapping."""
        found = [named for match in _TAGGED.finditer(text) if (named := self._tagged(match))]
        taken = [n.span for n in found]
        covered = blank(text, taken)
        found += self._in_prose(covered)
        return sorted(found, key=lambda named: named.span)

    def read(self, name: str) -> NamedModel:
        """Return the model of a full name such as `qwen3:8b-q8_0`, known or not."""
        base, _, tag = name.lower().rpartition("/")[2].partition(":")
        size = split_tag(tag).size if tag else None
        return NamedModel(_squash(base), _plain(size), (0, len(name)), name.lower())

    def _tagged(self, match: re.Match[str]) -> NamedModel | None:
        text = match.group().rstrip(".-_")
        base, _, tag = text.lower().rpartition("/")[2].partition(":")
        if not tag or not (_squash(base) in self._keys or any(c.isdigit() for c in text)):
            return None
        size = split_tag(tag).size
        span = (match.start(), match.start() + len(text))
        return NamedModel(_squash(base), _plain(size), span, text.lower())

    def _in_prose(self, text: str) -> list[NamedModel]:
        lowered = text.lower()
        if len(lowered) != len(text):
            lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        tokens = list(_TOKEN.finditer(lowered))
        found: list[NamedModel] = []
        index = 0
        while index < len(tokens):
            end = self._longest(lowered, tokens, index) if self._begins(text, tokens[index]) else 0
            if not end:
                index += 1
                continue
            family = "".join(t.group() for t in tokens[index:end])
            start, stop = tokens[index].start(), tokens[end - 1].end()
            size = _SIZE.match(lowered, stop)
            if size:
                stop = size.end()
            name = f"{size[1]}{size[2][0]}" if size else None
            found.append(NamedModel(self._keys[family], _plain(name), (start, stop)))
            while index < len(tokens) and tokens[index].start() < stop:
                index += 1
        return found

    def _begins(self, text: str, token: re.Match[str]) -> bool:
        if token.group() not in self._heads:
            return False
        start = token.start()
        if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
            return False
        return token.group() not in _PLAIN_ENGLISH or text[start].isupper()

    def _longest(self, text: str, tokens: list[re.Match[str]], start: int) -> int:
        """Return the index behind the longest family that begins at token `start`, or 0."""
        best, joined = 0, ""
        for index in range(start, min(start + _LONGEST, len(tokens))):
            token = tokens[index]
            if index > start and not _GAP.fullmatch(text, tokens[index - 1].end(), token.start()):
                break
            joined += token.group()
            if joined in self._keys and self._ends(text, token.end()):
                best = index + 1
        return best

    @staticmethod
    def _ends(text: str, end: int) -> bool:
        return end >= len(text) or not text[end].isalpha()


def _squash(name: str) -> str:
    return "".join(_TOKEN.findall(name.lower()))


def _plain(size: str | None) -> str | None:
    return None if size is None else re.sub(r"\s|-", "", size).replace("×", "x").lower()


def blank(text: str, spans: Iterable[Span]) -> str:
    """Return `text` with spaces where the spans are."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = " " * (end - start)
    return "".join(characters)

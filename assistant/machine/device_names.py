"""Names of devices as tokens: what drivers write and what people type, made comparable.

`NVIDIA GeForce RTX 3060 Laptop GPU`, `RTX3060 laptop` and `a 3060 laptop` all hold the
tokens `3060 laptop`; the device table lists the token sequences (aliases) of each device,
and `find_aliases` finds them in any text, the longest first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

#: Words that makers and drivers put around a name and that say nothing about which device it is.
BRAND_WORDS: Final = frozenset(
    "nvidia geforce amd ati intel corporation corp inc apple radeon graphics gpu the card".split()
)
#: Words that make another device of the name before them: an unknown `RTX 3050 Super` is no 3050.
_OTHER_DEVICE: Final = frozenset("ti super xt xtx gre ultra m".split())

_SPLIT_PREFIX: Final = "rtx|gtx|rx|arc|titan|quadro|tesla|radeon|geforce|instinct|ryzen|vega"
_SUFFIXES: Final = "tis|ti|super|xtx|xt|gre|d|m|laptop|mobile"


class Token(NamedTuple):
    """One lower-case word or number of a text, with the place where it stands."""

    text: str
    start: int
    end: int


class AliasHit(NamedTuple):
    """An alias found in a text: the devices it may mean, usual one first, and its place."""

    alias: str
    devices: tuple[int, ...]
    first_token: int
    end_token: int
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """Return the words and numbers of `text`, lower-case, joined model names split apart.

    `RTX3060` gives `rtx`, `3060`; `4060ti` gives `4060`, `ti`; `M4Max` gives `m4`, `max`;
    trade marks such as (R) and (TM) are dropped.
    """
    word, trademark, split = _patterns()
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters grow when lowered: keep the offsets true
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    lowered = trademark.sub(lambda m: " " * len(m[0]), lowered)
    tokens: list[Token] = []
    for match in word.finditer(lowered):
        parts = split.fullmatch(match[0])
        if parts is None:
            tokens.append(Token(match[0], match.start(), match.end()))
            continue
        for group, part in enumerate(parts.groups(), start=1):
            if part:
                at = match.start() + parts.start(group)
                tokens.append(Token(part, at, at + len(part)))
    return tokens


def find_aliases(
    tokens: Sequence[Token], aliases: Mapping[tuple[str, ...], tuple[int, ...]], *, longest: int
) -> list[AliasHit]:
    """Return the aliases standing in `tokens`, left to right, the longest at each place.

    An alias followed by a word that names another device (`RTX 3060` in `RTX 3060 Super`) is
    left out: it is not the device.
    """
    hits: list[AliasHit] = []
    at = 0
    while at < len(tokens):
        hit = _alias_at(tokens, at, aliases, longest)
        if hit is None:
            at += 1
            continue
        following = tokens[hit.end_token].text if hit.end_token < len(tokens) else ""
        if following not in _OTHER_DEVICE:
            hits.append(hit)
        at = hit.end_token
    return hits


def _alias_at(
    tokens: Sequence[Token],
    at: int,
    aliases: Mapping[tuple[str, ...], tuple[int, ...]],
    longest: int,
) -> AliasHit | None:
    for length in range(min(longest, len(tokens) - at), 0, -1):
        words = tuple(token.text for token in tokens[at : at + length])
        devices = aliases.get(words) or aliases.get(_singular(words))
        if devices:
            first, last = tokens[at], tokens[at + length - 1]
            return AliasHit(
                alias=" ".join(words),
                devices=devices,
                first_token=at,
                end_token=at + length,
                start=first.start,
                end=last.end,
            )
    return None


def _singular(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return `words` without a plural s at the end: `3090s`, `h100s`, `radeon vii`."""
    last = words[-1]
    return (*words[:-1], last[:-1]) if len(last) > 2 and last.endswith("s") else words


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    word = re.compile(r"\d{1,3}x(?=[a-z]{0,5}\d{2})|[a-z0-9]+")
    trademark = re.compile(r"\((?:r|tm|c)\)|[®™©]")
    split = re.compile(
        rf"({_SPLIT_PREFIX})(\d{{2,4}})({_SUFFIXES})?s?"
        rf"|(\d{{4}})({_SUFFIXES})(super)?s?"
        r"|(m\d)(pro|max|ultra|air)"
    )
    return word, trademark, split

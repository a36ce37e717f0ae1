"""Figures in a text: numbers as digits or words, with their units, ranges included.

Pure: text in, records out. A number with no unit of its own takes the unit of the number it is
joined to ("18 to 34 tokens/s", "5.7 of 7.5 GiB"). Each pattern is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Final, Literal

from assistant.units import GB, GIB, KB, KIB, MB, MIB

Kind = Literal[
    "bytes", "tokens", "speed", "percent", "parameters", "bits", "bandwidth", "money", "number"
]
Span = tuple[int, int]

BYTES: Final[dict[str, int]] = {
    "kb": KB, "mb": MB, "gb": GB, "tb": 1000**4, "kib": KIB, "mib": MIB, "gib": GIB,
    "tib": 1024**4, "b": 1,
}  # fmt: skip
BINARY: Final[dict[str, int]] = {"kb": KIB, "mb": MIB, "gb": GIB, "tb": 1024**4}
_COUNTED: Final = (
    "layer core card gpu expert head user request slot language point experts block parameter size"
    " time thread device watt rank model bit version second minute hour day month year millisecond"
    " ms page word prompt question passage step tflops ghz mhz benchmark"
).split()

_WORDS: Final[dict[str, float]] = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        " fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90, "hundred": 100, "thousand": 1000, "dozen": 12, "half": 0.5, "quarter": 0.25,
}  # fmt: skip
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_SPACE: Final = "\u00a0\u2007\u2009\u202f"
_NUMBER = re.compile(
    rf"(?P<grouped>(?<![\w.])\d{{1,3}}(?:[,'’ {_SPACE}]\d{{3}})+(?![\d.,]*\d)(?:\.\d+)?)"
    r"|(?P<comma>(?<![\w.,])\d{1,4},\d{1,2}(?![\d,]))"
    r"|(?P<plain>(?<![\w.])\d+(?:\.\d+)+(?:\.\d+)*|(?<![\w.])\d+|(?<=[\w.])\d+(?:\.\d+)?)"
    rf"|(?P<words>\b(?:{_WORD})(?:(?:[ -]|\s+and\s+)(?:{_WORD}))*\b)",
    re.IGNORECASE,
)
_PER_SECOND = r"\s?(?:/|per|a)\s?s(?:ec(?:ond)?s?)?\b"
_UNIT = re.compile(
    rf"[\s{_SPACE}-]?\s?(?:(?:a|an|of)\s)?(?:"
    r"(?P<scale>k|thousand|million|billion|trillion|hundred)?[\s-]?(?:"
    rf"(?P<bandwidth>(?:[kmgt]i?b|gigabytes?){_PER_SECOND})"
    rf"|(?P<speed>(?:tokens?|toks?|t){_PER_SECOND}|tps\b|tok/s)"
    r"|(?P<bytes>(?:[kmgt]i?b(?:ytes?)?|(?:kilo|mega|giga|tera|kibi|mebi|gibi|tebi)bytes?"
    r"|gigs?|megs?|bytes?)\b)"
    r"|(?P<percent>%|(?:percent|per\s?cent|percentage\spoints?)\b)"
    r"|(?P<bits>bits?\b)"
    r"|(?P<money>dollars?\b|euros?\b|usd\b|eur\b|cents?\b|pounds?\b|[$€£¥])"
    r"|(?P<tokens>(?:tokens?|context|ctx)\b)"
    r"|(?P<parameters>param\w*))"
    r"|(?P<short>k|b|bn|m|billion|million|trillion|thousand)\b(?:[ -]?(?P<what>tokens?|context|ctx|"
    r"param\w*))?)",
    re.IGNORECASE,
)
_JOIN = re.compile(
    r"\s*(?:(?P<tight>-|–|—|‑|−|to|through|until|up to)|and|or|of|,|/|, or|, and)\s*"
    r"(?:about |around |roughly |approximately |up to |~|≈)?",
    re.IGNORECASE,
)
_NOUN = re.compile(r"[\s-]{1,2}([A-Za-z]+)")
_MONEY_BEFORE = re.compile(r"[$€£¥]\s?$")
_TOKENS_BEFORE = re.compile(
    r"(?:num_ctx|context(?: length| window| size)?|ctx|num_predict)[`*]*"
    r"\s*(?:of|=|:|is|to|at)?\s*[`*]*$",
    re.IGNORECASE,
)  # fmt: skip
_LARGE: Final = {"k": 1e3, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
                 "hundred": 1e2, "m": 1e6, "b": 1e9, "bn": 1e9}  # fmt: skip
_NAMED_BYTES: Final = {"gig": "gb", "meg": "mb", "kilobyte": "kb", "megabyte": "mb",
                       "gigabyte": "gb", "terabyte": "tb", "kibibyte": "kib", "mebibyte": "mib",
                       "gibibyte": "gib", "tebibyte": "tib", "byte": "b"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and what it counts.

    `number` is as written, `half` half of its last place, `unit` the unit as written in lower
    case (`gib`, `k`, ...), `noun` what a plain number counts. `inherited` says that the unit is
    that of the number it is joined to, loosely when `loose`. `in_words` numbers without a unit
    are part of the prose up to ten.
    """

    kind: Kind
    number: float
    half: float
    span: Span
    unit: str = ""
    noun: str | None = None
    inherited: bool = False
    loose: bool = False
    in_words: bool = False
    is_version: bool = False

    @property
    def value(self) -> float:
        """The amount in bytes, tokens, tokens/s, parameters...; `16k` tokens are 16,384."""
        if self.kind == "bytes":
            return self.number * BYTES[self.unit]
        if self.kind == "tokens" and self.unit == "k":
            return self.number * KIB
        return self.number * _LARGE.get(self.unit, 1.0)


def plain_digits(text: str) -> str:
    """Return `text` with the decimal digits of every script as ASCII, character by character."""
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(c)) if not c.isascii() and c.isdecimal() else c for c in text
    )


def find_figures(text: str) -> list[Figure]:
    """Return every figure in `text`, in order. `text` has been through `plain_digits`."""
    found = [_read(text, match) for match in _NUMBER.finditer(text)]
    for index in range(len(found) - 2, -1, -1):
        mine, next_one = found[index], found[index + 1]
        if mine.kind != "number" or mine.noun or mine.is_version:
            continue
        if next_one.kind == "number" and not next_one.noun:
            continue
        join = _JOIN.fullmatch(text, mine.span[1], next_one.span[0])
        if join:
            found[index] = replace(
                mine,
                kind=next_one.kind,
                unit=next_one.unit,
                noun=next_one.noun,
                inherited=True,
                loose=not join["tight"],
            )
    return found


def _read(text: str, match: re.Match[str]) -> Figure:
    number, half, version = _number(match)
    words = match["words"] is not None
    figure = Figure("number", number, half, match.span(), in_words=words, is_version=version)
    if version:
        return figure
    unit = _UNIT.match(text, match.end())
    if _MONEY_BEFORE.search(text, max(0, match.start() - 2), match.start()):
        return replace(figure, kind="money")
    if unit is None or unit.end() == match.end():
        return _without_unit(text, figure)
    return _with_unit(figure, unit)


def _number(match: re.Match[str]) -> tuple[float, float, bool]:
    """Return the value, half of its last place, and whether it has two points (a version)."""
    if match["words"]:
        return _from_words(match["words"]), 0.5, False
    digits = match.group()
    if match["grouped"]:
        digits = re.sub(rf"[,'’ {_SPACE}]", "", digits)
    elif match["comma"]:
        digits = digits.replace(",", ".")
    if digits.count(".") > 1:
        return 0.0, 0.0, True
    if len(digits) > 30:
        return float("inf"), 0.0, False
    places = len(digits.partition(".")[2])
    return float(digits), 0.5 * 10.0**-places, False


def _from_words(text: str) -> float:
    total, part = 0.0, 0.0
    for word in re.findall(r"[a-z]+", text.lower()):
        if word == "and":
            continue
        value = _WORDS[word]
        if word in {"hundred", "dozen"}:
            part = (part or 1) * value
        elif word == "thousand":
            total, part = total + (part or 1) * value, 0.0
        else:
            part += value
    return total + part


def _with_unit(figure: Figure, unit: re.Match[str]) -> Figure:
    span = (figure.span[0], unit.end())
    short, what = (unit["short"] or "").lower(), (unit["what"] or "").lower()
    if short:
        kind: Kind = "parameters"
        if short in {"k", "thousand"} or what.startswith(("tok", "con", "ctx")):
            kind = "tokens"
        if short == "thousand" and not what:
            return replace(figure, number=figure.number * 1000, half=figure.half * 1000, span=span)
        return replace(figure, kind=kind, unit=short, span=span)
    kind = next(k for k in _KINDS if unit[k])
    scale = (unit["scale"] or "").lower()
    name = ""
    if kind == "bytes":
        name = _byte_unit(unit["bytes"])
    elif kind == "tokens" and scale == "k":
        return replace(figure, kind=kind, unit="k", span=span)
    factor = _LARGE.get(scale, 1.0)
    return replace(
        figure,
        kind=kind,
        unit=name,
        span=span,
        number=figure.number * factor,
        half=figure.half * factor,
    )


_KINDS: Final[tuple[Kind, ...]] = (
    "bandwidth", "speed", "bytes", "percent", "bits", "money", "tokens", "parameters"
)  # fmt: skip


def _byte_unit(text: str) -> str:
    word = text.lower()
    singular = word.removesuffix("s")
    if singular in _NAMED_BYTES:
        return _NAMED_BYTES[singular]
    return re.sub(r"b(?:ytes?)?$", "b", word)


def _without_unit(text: str, figure: Figure) -> Figure:
    before = text[max(0, figure.span[0] - 30) : figure.span[0]]
    if _TOKENS_BEFORE.search(before):
        return replace(figure, kind="tokens")
    noun = _NOUN.match(text, figure.span[1])
    word = noun[1].lower() if noun else ""
    singular = word.removesuffix("s")
    if singular in _COUNTED or word in _COUNTED:
        return replace(figure, noun=singular)
    return figure

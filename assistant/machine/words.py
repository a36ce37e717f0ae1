"""What a text says about a computer, word by word: cards, amounts of memory, processors.

`scan_words` finds the pieces and the place of each in the text; putting them together into a
`Machine` is the work of `assistant.machine.described`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal, cast

from assistant.machine.amounts import Amount, scan_amounts
from assistant.machine.device_names import BRAND_WORDS
from assistant.machine.devices import Device, find_device_hits, hit_devices

MarkKind = Literal[
    "cpu_only", "laptop", "computer", "mac", "intel_mac", "integrated", "linux", "windows", "macos"
]

FigureKind = Literal["bandwidth", "cores", "threads", "cards"]

NUMBER_WORDS: Final = {
    "one": 1, "single": 1, "two": 2, "dual": 2, "twin": 2, "double": 2, "pair of": 2,
    "couple of": 2, "three": 3, "triple": 3, "four": 4, "quad": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "ten": 10, "twelve": 12, "sixteen": 16,
}  # fmt: skip


@dataclass(slots=True)
class Card:
    """A device of the table named in the text, with the versions the name may mean."""

    devices: tuple[Device, ...]
    text: str
    start: int
    end: int
    count: int = 1
    counted: bool = False
    alternative: bool = False
    amount: Amount | None = None
    free: Amount | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that says what kind of computer it is."""

    kind: MarkKind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MemoryKind:
    """A kind of RAM such as `DDR4-3200`; parts that were not said are None."""

    generation: str | None
    transfers: int | None
    channels: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CpuWords:
    """The name of a processor as it was written."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with a meaning of its own: GB/s, cores, threads, or `4 GPUs`."""

    kind: FigureKind
    value: float
    start: int
    end: int


@dataclass(slots=True)
class Words:
    """Everything `scan_words` understood.

    `text` is the original in lower case, of the same length, and `rest` what is left of it
    when the places that were understood are blanked out.
    """

    original: str
    text: str
    rest: str
    cards: list[Card] = field(default_factory=list)
    amounts: list[Amount] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    memory_kinds: list[MemoryKind] = field(default_factory=list)
    cpus: list[CpuWords] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def has(self, *kinds: MarkKind) -> bool:
        """Say whether one of these marks was found."""
        return any(mark.kind in kinds for mark in self.marks)

    def blank(self, start: int, end: int) -> None:
        """Take a place out of the rest, so that nothing else is read there."""
        self.rest = self.rest[:start] + _BLANK * (end - start) + self.rest[end:]


_BLANK: Final = "\0"


def scan_words(text: str, *, free_text: bool = False) -> Words:
    """Return the pieces of a machine description found in `text`.

    With `free_text` the text is a question about anything: a number alone counts cards only
    when it is written `2x` or the name has a plural s.
    """
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    words = Words(original=text, text=lowered, rest=lowered)
    _scan_marks(words, _early_marks())
    _scan_memory_kinds(words)
    _scan_figures(words)
    _scan_cpus(words)
    _scan_amounts(words)
    _scan_cards(words, free_text=free_text)
    _scan_marks(words, _late_marks())
    return words


def leftover(words: Words) -> Iterator[tuple[int, int]]:
    """Yield the places of words that nothing was made of, neighbours joined."""
    word, fillers = _leftover_words()
    start = end = -1
    for match in word.finditer(words.rest):
        if match[0] in fillers:
            continue
        if start >= 0 and not words.rest[end : match.start()].strip(" -./"):
            end = match.end()
            continue
        if start >= 0:
            yield start, end
        start, end = match.span()
    if start >= 0:
        yield start, end


def _scan_marks(words: Words, patterns: tuple[tuple[MarkKind, re.Pattern[str]], ...]) -> None:
    for kind, pattern in patterns:
        for match in pattern.finditer(words.rest):
            words.marks.append(Mark(kind, match.start(), match.end()))
            words.blank(match.start(), match.end())


@cache
def _early_marks() -> tuple[tuple[MarkKind, re.Pattern[str]], ...]:
    card = r"(?:(?:dedicated|discrete|graphics?|video|external|real|nvidia|separate)\s+)*"
    card += r"(?:gpus?|cards?|vram|graphics)"
    return (
        (
            "cpu_only",
            re.compile(
                rf"\bcpu[ -]?only\b|\bonly (?:a |the |my )?cpu\b|\b(?:no|without(?: an?)?|0)\s+{card}\b"
                rf"|\b(?:don'?t|do not|doesn'?t|haven'?t) (?:have|got) an? {card}\b|\bgpu[ -]?less\b"
            ),
        ),
        ("intel_mac", re.compile(r"\bintel(?:[ -]based)?\s+(?:i?mac\w*)(?:\s+(?:pro|air|mini))?\b")),
    )


@cache
def _late_marks() -> tuple[tuple[MarkKind, re.Pattern[str]], ...]:
    return (
        (
            "mac",
            re.compile(
                r"\b(?:mac ?book(?: ?(?:pro|air|neo))?|i?macs?(?: ?(?:pro|mini|studio))?|mbp|mba"
                r"|apple silicon)\b"
            ),
        ),
        ("laptop", re.compile(r"\b(?:gaming )?(?:laptop|notebook|ultrabook|thinkpad|chromebook)s?\b")),
        (
            "integrated",
            re.compile(
                r"\b(?:intel )?(?:integrated|onboard|on-board|shared)\s+(?:graphics?|gpu|video)\b"
                r"|\bi-?gpus?\b|\b(?:intel )?u?hd graphics(?: \d+)?\b|\buhd(?: \d{3})?\b"
                r"|\bradeon graphics\b|\bvega (?:3|6|7|8|10|11)(?: graphics)?\b|\bapu\b"
            ),
        ),
        (
            "computer",
            re.compile(
                r"\b(?:mini[ -]?pc|nuc|pc|computer|desktop|workstation|server|machine|vps|vm|nas"
                r"|box|rig)s?\b"
            ),
        ),
        ("windows", re.compile(r"\b(?:windows|win ?1[01]|wsl2?)(?: ?1[01])?\b")),
        ("linux", re.compile(r"\b(?:linux|ubuntu|debian|fedora|arch linux|mint|proxmox)\b")),
        ("macos", re.compile(r"\b(?:macos|mac os|os x)\b")),
    )


def _scan_memory_kinds(words: Words) -> None:
    for match in _memory_kind_pattern().finditer(words.rest):
        generation = match["generation"]
        transfers = int(match["transfers"]) if match["transfers"] else None
        named = match["channels"]
        channels = _count(named) if named else None
        words.memory_kinds.append(
            MemoryKind(generation, transfers, channels, match.start(), match.end())
        )
        words.blank(match.start(), match.end())


@cache
def _memory_kind_pattern() -> re.Pattern[str]:
    return re.compile(
        r"\b(?P<generation>lpddr[345]x?|ddr[2345])(?:[ -]?(?P<transfers>[1-9]\d{3,4})"
        r"(?![ ]?(?:gb|mb|g)\b)(?:[ ]?(?:mhz|mt/?s))?)?"
        r"|\b(?P<channels>single|dual|triple|quad|\d{1,2}|two|four|six|eight|twelve)"
        r"[ -]?channels?\b"
    )


def _scan_figures(words: Words) -> None:
    for match in _figure_pattern().finditer(words.rest):
        kind = match.lastgroup
        if kind is None:
            continue
        value = float(_count(match[kind])) if kind == "cards" else float(match[kind])
        words.figures.append(Figure(cast("FigureKind", kind), value, match.start(), match.end()))
        words.blank(match.start(), match.end())


@cache
def _figure_pattern() -> re.Pattern[str]:
    return re.compile(
        r"(?<![\w.])(?:(?P<bandwidth>\d+(?:\.\d+)?)\s*g(?:i?b|bytes?)?\s*(?:/|p|per )\s*s(?:ec(?:ond)?)?\b"
        r"(?:\s+(?:of\s+)?(?:memory\s+)?bandwidth)?"
        r"|(?P<cores>\d{1,3})[ -]?(?:cpu |physical )?cores?\b(?! gpu)"
        r"|(?P<threads>\d{1,3})[ -]?threads?\b"
        rf"|(?P<cards>\d{{1,3}}|{'|'.join(NUMBER_WORDS)})(?:\s*x)?\s+(?:identical |nvidia |amd )?(?:gpus?|cards?)\b)"
    )


def _scan_cpus(words: Words) -> None:
    for match in _cpu_pattern().finditer(words.rest):
        words.cpus.append(CpuWords(match[0].strip(), match.start(), match.end()))
        words.blank(match.start(), match.end())


@cache
def _cpu_pattern() -> re.Pattern[str]:
    return re.compile(
        r"\b(?:(?:amd )?ryzen (?:threadripper (?:pro )?\d{4}\w*"
        r"|ai \d (?:hx )?(?:pro )?\d{3}\w*|[3579] (?:pro )?\d{3,4}\w*(?: ?3d)?)"
        r"|(?:amd )?threadripper(?: pro)?(?: \d{4}\w*)?|(?:amd )?epyc(?: \d{4}\w*)?"
        r"|(?:amd )?r[3579] \d{4}\w*"
        r"|(?:intel )?(?:core )?i[3579][ -]?\d{3,5}\w*|(?:intel )?(?:core )?i[3579]\b"
        r"|(?:intel )?core ultra(?: [579])?(?: \d{3}\w*)?|(?:intel )?core 2 (?:duo|quad) ?\w*"
        r"|(?:intel )?core [3579] \d{3}\w*"
        r"|(?:intel )?xeon(?: (?:gold|silver|platinum|bronze|w))?(?: ?-?(?:e[357]|w\d?|d|e))?"
        r"(?:[ -]?\d{4,5}\w*)?(?: ?v\d)?"
        r"|(?:intel )?(?:celeron|pentium|atom)(?: (?:gold|silver))?(?: \w?\d{3,4}\w*)?"
        r"|(?:intel )?(?:processor )?n(?:95|97|100|150|200|305)\b|(?:amd )?ryzen(?: [3579])?\b(?! ai| z1| \d)"
        r"|(?:qualcomm )?snapdragon(?: x)?(?: (?:elite|plus))?)\b(?![.-]\d)"
    )


def _scan_amounts(words: Words) -> None:
    words.amounts.extend(scan_amounts(words.text, words.rest))
    for amount in words.amounts:
        words.blank(amount.start, amount.end)


def _scan_cards(words: Words, *, free_text: bool) -> None:
    for hit in find_device_hits(words.rest.replace(_BLANK, "|")):
        start, count, counted = _count_before(words, hit.start, hit.alias, free_text=free_text)
        end, count_after = _count_after(words, hit.end)
        if count_after is not None and not counted:
            count, counted = count_after, True
        words.cards.append(
            Card(
                devices=hit_devices(hit),
                text=words.text[hit.start : hit.end],
                start=start,
                end=end if count_after is not None else hit.end,
                count=count,
                counted=counted,
            )
        )
    for card in words.cards:
        words.blank(card.start, card.end)


def _count_before(
    words: Words, start: int, alias: str, *, free_text: bool
) -> tuple[int, int, bool]:
    brands = "|".join(sorted(BRAND_WORDS - {"the", "card"}))
    names = "|".join(NUMBER_WORDS)
    lead = re.search(
        rf"(?:(?<![\w.,-])(?P<count>\d{{1,4}}|{names})(?P<times>\s*[x×*])?\s*(?:of\s+)?)?"  # noqa: RUF001
        rf"(?:\b(?:{brands})\s+)*$",
        words.rest[:start],
    )
    if lead is None or lead["count"] is None:
        return (lead.start() if lead else start), 1, False
    counted = _count(lead["count"])
    bare = lead["count"].isdigit() and not lead["times"]
    if bare and (counted > _MOST_BARE or (free_text and not alias.endswith("s"))):
        return start, 1, False
    return lead.start(), counted, True


_MOST_BARE: Final = 16


def _count_after(words: Words, end: int) -> tuple[int, int | None]:
    match = re.compile(r"\s*(?:[x×*]\s*(\d{1,3})\b(?!\s*gb?\b)|\(?\s*(\d{1,3})\s*x\s*\)?(?!\w))").match(  # noqa: RUF001
        words.rest, end
    )
    return (match.end(), int(match[1] or match[2])) if match else (end, None)


def _count(text: str) -> int:
    words = re.sub(r"\s+", " ", text.strip())
    return int(words) if words.isdigit() else NUMBER_WORDS.get(words, 1)


@cache
def _leftover_words() -> tuple[re.Pattern[str], frozenset[str]]:
    fillers = frozenset(
        "and with w plus a an the my i have has got of on in it is its one only just about gpu gpus"
        " card cards graphics graphic video nvidia geforce amd intel radeon apple cpu processor"
        " memory ram vram each total free dedicated discrete unified system chip soc single max-q"
        " air mini studio book at running run edition gaming oc generation new old version gen mobile".split()
    )
    return re.compile(r"[^\s\0,;:()+/|\[\]&•.!?-]+(?:[.-][^\s\0,;:()+/|\[\]&.!?-]+)*"), fillers

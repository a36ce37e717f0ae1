"""What a text says about a computer, word by word: cards, amounts of memory, processors.

`scan_words` finds the pieces and the place of each in the text; putting them together into a
`Machine` is the work of `assistant.machine.described`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from assistant.machine.amounts import Amount, scan_amounts
from assistant.machine.device_names import BRAND_WORDS
from assistant.machine.devices import find_device_hits, hit_devices

if TYPE_CHECKING:
    from assistant.machine.devices import Device

MarkKind = Literal[
    "cpu_only", "laptop", "computer", "mac", "intel_mac", "integrated", "linux", "windows", "macos"
]
FigureKind = Literal["bandwidth", "cores", "threads", "cards"]

NUMBER_WORDS: Final = {
    "one": 1, "single": 1, "two": 2, "dual": 2, "twin": 2, "double": 2, "pair of": 2,
    "couple of": 2, "three": 3, "triple": 3, "four": 4, "quad": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "ten": 10, "twelve": 12, "sixteen": 16,
}  # fmt: skip

_BLANK: Final = "\0"
_MOST_BARE: Final = 16
_FILLERS: Final = frozenset(
    "and with w plus a an the my i have has got of on in it is its one only just about gpu gpus"
    " card cards graphics graphic video nvidia geforce amd intel radeon apple cpu processor"
    " memory ram vram each total free dedicated discrete unified system chip soc single max-q"
    " air mini studio book at running run edition gaming oc generation gen new old mobile".split()
)


_SERIES: Final = frozenset("rtx gtx rx arc quadro tesla instinct titan cuda rocm vulkan".split())


@dataclass(slots=True)
class Card:
    """A device of the table named in the text, with the versions the name may mean.

    `count` is 2 in `2x RTX 3090`, and `counted` says that a number was written. An
    `alternative` stands beside another card (`3060 or 4070`), not with it in one computer.
    """

    devices: tuple[Device, ...]
    text: str
    start: int
    end: int
    count: int = 1
    counted: bool = False
    alternative: bool = False
    amount: Amount | None = None
    free: Amount | None = None


class Mark(NamedTuple):
    """A word that says what kind of computer it is."""

    kind: MarkKind
    start: int
    end: int


class MemoryKind(NamedTuple):
    """A kind of RAM such as `DDR4-3200`; parts that were not said are None."""

    generation: str | None
    transfers: int | None
    channels: int | None
    start: int
    end: int


class CpuWords(NamedTuple):
    """The name of a processor as it was written, in lower case."""

    name: str
    start: int
    end: int


class Figure(NamedTuple):
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

    def find(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Yield what the pattern matches in the rest, and blank it out."""
        for match in pattern.finditer(self.rest):
            yield match
            self.blank(match.start(), match.end())

    def blank(self, start: int, end: int) -> None:
        """Take a place out of the rest, so that nothing else is read there."""
        self.rest = self.rest[:start] + _BLANK * (end - start) + self.rest[end:]


def scan_words(text: str, *, free_text: bool = False) -> Words:
    """Return the pieces of a machine description found in `text`.

    With `free_text` the text is a question about anything: a number alone counts cards only
    when it is written `2x` or the name has a plural s.
    """
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    if not free_text:
        lowered = lowered.replace("_", " ")
    words = Words(original=text, text=lowered, rest=lowered)
    _scan_marks(words, _EARLY_MARKS)
    _scan_memory_kinds(words)
    _scan_bandwidth(words)
    _scan_cpus(words)
    words.amounts = scan_amounts(words.text, words.rest)
    for amount in words.amounts:
        amount.text = text[amount.start : amount.start + len(amount.text)].strip()
        words.blank(amount.start, amount.end)
    _scan_cards(words, free_text=free_text)
    _scan_counts(words)
    _scan_marks(words, _LATE_MARKS)
    return words


def leftover(words: Words) -> Iterator[tuple[int, int]]:
    """Yield the places of words that nothing was made of, neighbours joined.

    A series without a number (`Arc`, `RTX`) is left over only together with what follows it.
    """
    start = end = -1
    meant = False
    for match in _leftover_pattern().finditer(words.rest):
        if match[0] in _FILLERS:
            continue
        if start >= 0 and words.rest[end : match.start()].strip(" -./"):
            if meant:
                yield start, end
            start = -1
        start, end = match.start() if start < 0 else start, match.end()
        meant = (meant and start != match.start()) or match[0] not in _SERIES
    if start >= 0 and meant:
        yield start, end


_CARD_WORDS: Final = (
    r"(?:(?:dedicated|discrete|graphics?|video|external|real|nvidia|separate)\s+)*"
    r"(?:gpus?|cards?|vram|graphics)"
)
# Each mark: the letters that must be there before its pattern is tried at all, and the pattern.
_EARLY_MARKS: Final[tuple[tuple[MarkKind, str, str], ...]] = (
    (
        "cpu_only",
        "cpu gpu card graphics vram",
        r"\bcpu[ -]?only\b|\bonly (?:a |the |my )?cpu\b"
        rf"|\b(?:no|without(?: an?)?|0)\s+{_CARD_WORDS}\b"
        rf"|\b(?:don'?t|do not|doesn'?t|haven'?t) (?:have|got) an? {_CARD_WORDS}\b"
        r"|\bgpu[ -]?less\b",
    ),
    (
        "computer",
        "pi rock rk odroid deck radxa phone pad android",
        r"\b(?:(?:orange|banana|nano|rock) ?pi(?: ?\d\w*)?|rock ?5\w?|rk3588s?|odroid(?: \w+)?"
        r"|steam ?deck|i?phone|ipad|android)\b",
    ),
    (
        "intel_mac",
        "mac",
        r"\bintel(?:[ -]based)?\s+(?:i?mac\w*)(?:\s+(?:pro|air|mini))?\b",
    ),
)
_LATE_MARKS: Final[tuple[tuple[MarkKind, str, str], ...]] = (
    (
        "mac",
        "mac mbp mba apple",
        r"\b(?:mac ?book(?: ?(?:pro|air|neo))?|i?macs?(?: ?(?:pro|mini|studio))?|mbp|mba"
        r"|apple silicon)\b",
    ),
    (
        "laptop",
        "book laptop thinkpad",
        r"\b(?:gaming )?(?:laptop|notebook|ultrabook|thinkpad|chromebook)s?\b",
    ),
    (
        "integrated",
        "graphics gpu uhd vega apu video",
        r"\b(?:intel )?(?:integrated|onboard|on-board|shared)\s+(?:graphics?|gpu|video)\b"
        r"|\bi-?gpus?\b|\b(?:intel )?u?hd graphics(?: \d+)?\b|\buhd(?: \d{3})?\b"
        r"|\bradeon graphics\b|\bvega (?:3|6|7|8|10|11)(?: graphics)?\b|\bapu\b",
    ),
    (
        "computer",
        "pc nuc computer desktop station server machine vps vm nas box rig surface",
        r"\b(?:mini[ -]?pc|nuc|pc|computer|desktop|workstation|server|machine|vps|vm|nas|box"
        r"|rig|surface(?: (?:pro|go|laptop|book))?)s?\b",
    ),
    ("windows", "win wsl", r"\b(?:windows|win ?1[01]|wsl2?)(?: ?1[01])?\b"),
    (
        "linux",
        "linux ubuntu debian fedora mint proxmox",
        r"\b(?:linux|ubuntu|debian|fedora|arch linux|mint|proxmox)\b",
    ),
    ("macos", "mac os", r"\b(?:macos|mac os|os x)\b"),
)


def _scan_marks(words: Words, marks: tuple[tuple[MarkKind, str, str], ...]) -> None:
    for kind, letters, pattern in marks:
        if any(word in words.rest for word in letters.split()):
            for match in words.find(re.compile(pattern)):
                words.marks.append(Mark(kind, match.start(), match.end()))


def _scan_memory_kinds(words: Words) -> None:
    if "ddr" not in words.rest and "channel" not in words.rest:
        return
    for match in words.find(_memory_kind_pattern()):
        transfers = int(match["transfers"]) if match["transfers"] else None
        channels = _count(match["channels"]) if match["channels"] else None
        words.memory_kinds.append(
            MemoryKind(match["generation"], transfers, channels, match.start(), match.end())
        )


@cache
def _memory_kind_pattern() -> re.Pattern[str]:
    return re.compile(
        r"\b(?P<generation>lpddr[345]x?|ddr[2345])(?:[ -]?(?P<transfers>[1-9]\d{3,4})"
        r"(?![ ]?(?:gb|mb|g)\b)(?:[ ]?(?:mhz|mt/?s))?)?"
        r"|\b(?P<channels>single|dual|triple|quad|\d{1,2}|two|four|six|eight|twelve)"
        r"[ -]?channels?\b"
    )


def _scan_bandwidth(words: Words) -> None:
    pattern = (
        r"(?<![\w.])(\d{1,6}(?:\.\d{1,3})?)\s*g(?:i?b|bytes?)?\s*(?:/|p|per )\s*s(?:ec(?:ond)?)?\b"
        r"(?:\s+(?:of\s+)?(?:memory\s+)?bandwidth)?"
    )
    for match in words.find(re.compile(pattern)):
        words.figures.append(Figure("bandwidth", float(match[1]), match.start(), match.end()))


def _scan_counts(words: Words) -> None:
    if not any(part in words.rest for part in ("core", "thread", "gpu", "card")):
        return
    pattern = (
        r"(?<![\w.])(?:(?P<cores>\d{1,3})[ -]?(?:cpu |physical )?cores?(?: cpu| gpu)?\b"
        r"|(?P<threads>\d{1,3})[ -]?threads?\b"
        rf"|(?P<cards>\d{{1,3}}|{'|'.join(NUMBER_WORDS)})(?:\s*x)?\s+(?:identical |nvidia |amd )?"
        r"(?:gpus?|cards?)\b)"
    )
    for match in words.find(re.compile(pattern)):
        kind = cast("FigureKind", match.lastgroup)
        value = float(_count(match[kind]))
        words.figures.append(Figure(kind, value, match.start(), match.end()))


def _scan_cpus(words: Words) -> None:
    for match in words.find(_cpu_pattern()):
        words.cpus.append(CpuWords(match[0].strip(), match.start(), match.end()))


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
        r"|(?:intel )?(?:processor )?n(?:95|97|100|150|200|305)\b"
        r"|(?:amd )?ryzen(?: [3579])?\b(?! ai| z1| \d)"
        r"|[1-9]\d{3}x(?:3d|t)?|[5-9]\d{3}(?:hs|hx|u)"
        r"|(?:qualcomm )?snapdragon(?: x)?(?: (?:elite|plus))?)\b(?![.-]\d)"
    )


def _scan_cards(words: Words, *, free_text: bool) -> None:
    for hit in find_device_hits(words.rest):
        start, count, counted = _count_before(words, hit.start, hit.alias, free_text=free_text)
        end, count_after = _count_after(words, hit.end)
        if count_after is not None and not counted:
            count, counted = count_after, True
        words.cards.append(
            Card(
                devices=hit_devices(hit),
                text=words.original[hit.start : hit.end],
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
    """Return where the card begins with its count and brand words, the count, and if it was said.

    The words before the name are gone through backwards.
    """
    before = words.rest[:start]
    brand = re.search(rf"(?:\b(?:{'|'.join(sorted(BRAND_WORDS - {'the', 'card'}))})\s+)*$", before)
    begin = brand.start() if brand else start
    lead = re.search(
        rf"(?<![\w.,-])(?P<count>\d{{1,4}}|{'|'.join(NUMBER_WORDS)})(?P<times>\s*[x×*])?\s*(?:of\s+)?$",
        words.rest[max(0, begin - 24) : begin],
    )
    if lead is None:
        return begin, 1, False
    counted = _count(lead["count"])
    bare = lead["count"].isdigit() and not lead["times"]
    if bare and (counted > _MOST_BARE or (free_text and not alias.endswith("s"))):
        return begin, 1, False
    return max(0, begin - 24) + lead.start(), counted, True


def _count_after(words: Words, end: int) -> tuple[int, int | None]:
    match = re.match(
        r"\s*(?:[x×*]\s*(\d{1,3})\b(?!\s*gb?\b)|\(?\s*(\d{1,3})\s*x\s*\)?(?!\w))", words.rest[end:]
    )
    return (end + match.end(), int(match[1] or match[2])) if match else (end, None)


def _count(text: str) -> int:
    words = " ".join(text.split())
    return int(words) if words.isdecimal() else NUMBER_WORDS.get(words, 1)


@cache
def _leftover_pattern() -> re.Pattern[str]:
    letters = r"[^\s\0,;:()+/|\[\]&•.!?-]+"
    return re.compile(rf"{letters}(?:[.-]{letters})*")

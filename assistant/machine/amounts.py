"""Amounts of memory in a text, and what the words around each say it is.

`12GB VRAM`, `RAM: 32GB`, `20 GB free`, `8x80GB`, `8GB laptop`. A bare GB means GiB, as
memory is sold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from assistant.units import GIB, MIB

Role = Literal["vram", "ram", "unified", "computer", "disk", "other"]

_LABELS: Final[dict[Role, str]] = {
    "vram": "vram v-ram video-ram video-memory video-card graphics-ram graphics-memory"
    " graphics-card graphic-card graphics-cards gpu-ram gpu-memory gpu-vram gpu-card gpu gpus card"
    " cards gddr5 gddr5x gddr6 gddr6x gddr7 hbm hbm2 hbm2e hbm3 hbm3e graphics",
    "unified": "unified unified-memory unified-ram shared-memory shared-ram",
    "ram": "ram memory mem system-ram system-memory main-memory computer-ram cpu-ram host-ram"
    " total-ram ddr2 ddr3 ddr4 ddr5 lpddr4 lpddr4x lpddr5 lpddr5x dimm dimms",
    "disk": "ssd hdd nvme disk disk-space storage drive harddisk hard-disk hard-drive",
    "other": "model models file files download downloads gguf quant quants weight weights blob"
    " blobs kv kv-cache cache data dataset pdf pdfs doc docs document documents text checkpoint"
    " context swap swapfile page-file pagefile adapter lora bandwidth",
    "computer": "laptop notebook ultrabook chromebook thinkpad pc mini-pc minipc computer machine"
    " desktop workstation server system box macbook macbook-pro macbook-air mac mac-mini mac-studio"
    " mac-pro imac mbp mba nuc vps vm nas raspberry pi steam-deck phone tablet surface",
}
_FREE: Final = frozenset("free available spare left unused".split())
_TOTAL: Final = frozenset("total combined altogether together".split())
_PASSED_OVER: Final = frozenset(
    "of each apiece dedicated usable nvidia amd intel geforce radeon gaming fast installed soldered"
    " windows linux ubuntu old in it is still worth apple per fast new tiny small big".split()
)
_LINKING: Final = frozenset(
    "with has have having of is are only just about around w that and the a my total size comes"
    " got roughly approximately ~ free says shows reports".split()
)
_SEARCHED_FOR: Final = frozenset(("model", "models"))
"""Directly before an amount these say what is wanted for it: `vision model 8gb`."""
_ABSENT: Final = frozenset(("no", "without"))
"""Before a card's name they say that the amount behind it is RAM: `no gpu 8gb`."""
_WALK: Final = 7


@dataclass(slots=True)
class Amount:
    """An amount of memory in a text.

    `role` is what it is an amount of, None when the words do not say. `count` is 8 in
    `8x80GB`; `at_least` is set by `or more`, `total` by `in total`, `free` by `free`.
    """

    size_bytes: int
    text: str
    start: int
    end: int
    role: Role | None = None
    free: bool = False
    at_least: bool = False
    total: bool = False
    count: int = 1


class _Word(NamedTuple):
    text: str
    start: int
    end: int


def scan_amounts(text: str, rest: str) -> list[Amount]:
    """Return the amounts in `rest`; `text` is the same text with nothing blanked out."""
    words = [_Word(m[0], m.start(), m.end()) for m in _word_pattern().finditer(text)]
    amounts: list[Amount] = []
    used = 0
    for match in _amount_pattern().finditer(rest):
        number = ("-" if match["sign"] else "") + match["number"]
        amount = Amount(
            size_bytes=_bytes(number, match["unit"]),
            text=text[match.start() : match.end()],
            start=match.start(),
            end=match.end(),
            count=int(match["count"] or match["times"] or 1),
        )
        used = _label(amount, text, words, used)
        amounts.append(amount)
    for first, second in pairwise(amounts):
        between = text[first.end : second.start].strip()
        if second.free and between in ("of", "out of", "/", "of the"):
            first.free, second.free = True, False  # 11GB of 12GB free
            first.role = first.role or second.role
    return amounts


def _label(amount: Amount, text: str, words: list[_Word], used: int) -> int:
    """Set what the words around `amount` say; return the place up to which they are used."""
    own_end = amount.end
    lead = text[max(0, amount.start - 24) : amount.start]
    before = _role_before(amount, text, words, used)
    after, end, belongs_to_next = _role_after(amount, text, words)
    tail = _at_least_pattern().match(text, own_end)
    if tail is not None:
        amount.at_least = True
        end = max(end, tail.end())
    if re.search(r"(?:at least|minimum|min|minimum of|more than|over|>=?|≥)\s*$", lead):
        amount.at_least = True
    if before is not None and (after is None or belongs_to_next):
        amount.role = before
        return own_end
    amount.role = after
    if after != "computer":
        amount.end = end
    return end


def _role_after(amount: Amount, text: str, words: list[_Word]) -> tuple[Role | None, int, bool]:
    """Return the role named after the amount, where that ends, and whether the next one owns it."""
    end = at = amount.end
    role: Role | None = None
    following = [word for word in words if word.start >= at][:_WALK]
    index = 0
    while index < len(following):
        word = following[index]
        if text[at : word.start].strip(" \t\n(-~"):
            break
        step, found = _label_at(following, index, text)
        if role is None and found is not None:
            role = found
            index += step
            at = end = following[index - 1].end
            continue
        if word.text in _FREE:
            amount.free = True
        elif word.text in _TOTAL:
            amount.total = True
        elif role is not None or word.text not in _PASSED_OVER:
            break
        at = word.end
        end = at if word.text in _FREE | _TOTAL or role is not None else end
        index += 1
    belongs_to_next = (
        role is not None
        and _amount_pattern().match(text, len(text) - len(text[end:].lstrip(" :="))) is not None
    )
    return role, end, belongs_to_next


def _label_at(words: list[_Word], index: int, text: str) -> tuple[int, Role | None]:
    roles = _roles()
    if index + 1 < len(words):
        gap = text[words[index].end : words[index + 1].start]
        pair = roles.get(f"{words[index].text}-{words[index + 1].text}")
        if pair is not None and not gap.strip(" -"):
            return 2, pair
    return 1, roles.get(words[index].text)


def _role_before(amount: Amount, text: str, words: list[_Word], used: int) -> Role | None:
    at = amount.start
    roles = _roles()
    preceding = [word for word in words if word.end <= at and word.start >= used][-_WALK:]
    for index in range(len(preceding) - 1, -1, -1):
        word = preceding[index]
        if text[word.end : at].strip(" \t:=(-~≈"):
            return None
        if word.text in _FREE:
            amount.free = True
        role = roles.get(word.text)
        if index and not text[preceding[index - 1].end : word.start].strip(" -"):
            role = roles.get(f"{preceding[index - 1].text}-{word.text}", role)
        if word.text in _SEARCHED_FOR and at == amount.start:
            return None
        if role == "vram" and index and preceding[index - 1].text in _ABSENT:
            return "ram"
        if role is not None:
            return role
        if word.text not in _LINKING and word.text not in _FREE:
            return None
        at = word.start
    return None


def _bytes(number: str, unit: str) -> int:
    """Return the bytes of a written amount; a comma is a decimal one unless it groups MB."""
    if "," in number:
        grouped = re.fullmatch(r"-?\d{1,3}(?:,\d{3})+", number) is not None
        number = number.replace(",", "" if grouped and unit.startswith("m") else ".")
    scale = {"t": 1024 * GIB, "g": GIB, "m": MIB}[unit[0]]
    try:
        return round(float(number) * scale)
    except (ValueError, OverflowError):
        return -1


@cache
def _roles() -> dict[str, Role]:
    return {label: role for role, labels in _LABELS.items() for label in labels.split()}


@cache
def _word_pattern() -> re.Pattern[str]:
    return re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[~≈]")


@cache
def _at_least_pattern() -> re.Pattern[str]:
    return re.compile(r"\s*(?:\+(?!\s*\w)|or (?:more|above|greater|higher|larger|bigger)|and up)")


@cache
def _amount_pattern() -> re.Pattern[str]:
    return re.compile(
        r"(?:(?<![\w)])(?P<sign>[-\u2212]))?(?:(?<![\w.,])(?P<count>\d{1,4})\s*[x\u00d7*]\s*"
        r"|(?<![a-z\d.,]))(?P<number>\d{1,12}(?:[.,]\d{1,6})*)[ -]?\s*"
        r"(?P<unit>tib|tbs?|gib|gigabytes?|gigs?|gbs?|g|mib|mbs?|megs?|megabytes?|terabytes?)\b"
        r"(?!\s*/\s*s)(?:\s*[x\u00d7*]\s*(?P<times>\d{1,3})\b(?!\s*g))?"
    )

"""Finding the machine inside a question about models.

The same words as in `--machine SPEC`, between other words. What is about the model (`needs
638MB of vram`, `the 40GB file`, `llama 3070 tokens`) is not hardware, and a number alone
(`a 3060`) is a card only where nothing else is meant by it.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from assistant.errors import MachineSpecError
from assistant.machine.described import describe_machine
from assistant.machine.words import scan_words
from assistant.units import GIB

if TYPE_CHECKING:
    from assistant.machine.amounts import Amount
    from assistant.machine.records import Machine
    from assistant.machine.words import Card, Words

#: Names of one letter and a digit or two that also mean other things; they need a brand before
#: them, or an amount or `gpu` beside them.
_SHORT_NAMES: Final = frozenset("a2 a10 a16 p4 b50 b60 b70 l4 orin 140v 130v 140t 130t".split())
_LEAST: Final = GIB


def find_described(text: str) -> tuple[Machine, list[tuple[int, int]]] | None:
    """Return the machine in `text` and the places that describe it; None when there is none."""
    words = scan_words(text, free_text=True)
    words.cards = [card for card in words.cards if _is_hardware(card, words)]
    words.amounts = [amount for amount in words.amounts if _is_memory(amount, words)]
    _mark_alternatives(words)
    if not _describes(words):
        return None
    try:
        machine = describe_machine(words)
    except MachineSpecError:
        return None
    return machine, _spans(words)


def _describes(words: Words) -> bool:
    if words.cards or words.cpus or any(not a.free or a.role for a in words.amounts):
        return True
    return any(
        mark.kind == "cpu_only" and words.text[mark.start : mark.end].startswith(_WITHOUT)
        for mark in words.marks
    )


_WITHOUT: Final = ("no ", "without", "don", "do not", "haven")


def _is_memory(amount: Amount, words: Words) -> bool:
    """Say whether an amount is memory of the machine, not the size of a model or a file."""
    if amount.role in ("disk", "other") or amount.size_bytes < _LEAST:
        return False
    about_model = _about_model().search(words.text[: amount.start])
    if about_model is None:
        return True
    if about_model["is"] is None:
        return False
    subject = words.text[: about_model.start("is")].rstrip()
    return (
        amount.role is not None
        or not re.search(r"\w$", subject)
        or re.search(r"\b(?:have|got|mine|budget|limit|max|this|that|it)$", subject) is not None
        or any(card.end == len(subject) for card in words.cards)
    )


def _is_hardware(card: Card, words: Words) -> bool:
    name = card.text.strip().lower()
    before, after = words.text[: card.start], words.text[card.end :]
    if name.rstrip("s") in _SHORT_NAMES:
        return (
            card.start < words.text.find(name, card.start)
            or _gpu_word_after().match(after) is not None
            or any(abs(a.start - card.end) <= _NEAR or abs(card.start - a.end) <= _NEAR
                   for a in words.amounts)
        )  # fmt: skip
    if not _is_weak(name) or card.counted:
        return True
    return _counts_something().match(after) is None and _names_something().search(before) is None


_NEAR: Final = 2


def _is_weak(name: str) -> bool:
    """Say whether a name means other things too: a number alone (`3060`), or `m3` (`bge-m3`)."""
    return name.rstrip("s").isdigit() or re.fullmatch(r"m\d", name) is not None


def _mark_alternatives(words: Words) -> None:
    """Mark cards after the first in `3060 or 4070`, `3060 vs 4070`: they are not together."""
    for first, second in pairwise(words.cards):
        between = words.text[first.end : second.start]
        if re.search(r"\b(?:or|vs|versus|than|instead|to|upgrade|compared)\b", between):
            second.alternative = True


def _spans(words: Words) -> list[tuple[int, int]]:
    spans = [(c.start, c.end) for c in words.cards]
    spans += [(a.start, a.end) for a in words.amounts]
    spans += [(m.start, m.end) for m in words.marks]
    spans += [(k.start, k.end) for k in words.memory_kinds]
    spans += [(c.start, c.end) for c in words.cpus]
    spans += [(f.start, f.end) for f in words.figures]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


@cache
def _about_model() -> re.Pattern[str]:
    """Words before an amount that make it a need or a size of a model."""
    return re.compile(
        r"\b(?:needs?|needing|requires?|requiring|takes?|taking|uses|eats?|weighs?|consumes?"
        r"|downloads?|downloading|sizes?|quants?|quantized|file"
        r"|models?(?=\s+(?:of|under|over|up|at|about|less|more|around|below))|(?P<is>is|are|was))\b"
        r"(?:\s+(?:of|about|only|up|to|around|like|just|more|less|than|at|least|over|under|a|an"
        r"|roughly|approximately|almost|nearly|the|full|whole|total|is|at|~))*\s*[~≈]?\s*$"
    )


@cache
def _counts_something() -> re.Pattern[str]:
    return re.compile(
        r"\s*(?:[.:,]\d|%|/|-?(?:k|b|m|p|x|tokens?|toks?|ctx|context|words?|pages?|lines?|prompts?"
        r"|chars?|characters?|files?|docs?|documents?|questions?|samples?|times|people|users?"
        r"|mb|mib|kb|hz|mhz|ms|s|sec|seconds?|rows?|items?|messages?|params?|parameters?|usd"
        r"|eur|euros?|dollars?|bucks|€|£|requests?|chunks?|emails?|articles?|steps?|dim\w*)\b)"
    )


@cache
def _names_something() -> re.Pattern[str]:
    return re.compile(
        r"(?:\b(?:num_ctx|n_ctx|ctx|context|length|len|window|limit|max|seed|port|year|in|error"
        r"|code|line|page|top|step|version|v|num|number|no|nr|llama|qwen|gemma|mistral|phi|falcon"
        r"|yi|granite|mixtral|deepseek|codellama|starcoder|vicuna|issue|pr|bge|minimax|kimi)\b"
        r"[\s=:]*|\w[_:.-]|[#$€£=]\s*)$"
    )


@cache
def _gpu_word_after() -> re.Pattern[str]:
    return re.compile(r"s?\s*(?:gpus?|cards?|graphics|instances?)\b")

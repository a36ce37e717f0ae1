"""Grounding: nothing a language model writes is shown unless the evidence says it.

`ground` cuts a text into sentences, list items, table rows and code, and checks in each one
every figure, model name, quantization, licence, date, version, link and command, and whether it
contradicts a verdict, a licence or the picks. A figure that is wrong while the evidence has
exactly one of its kind for its subject is replaced; anything else that is not backed takes its
sentence, row or item along. A sentence that stands word for word in the evidence is kept.

Pure, and linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Final

from assistant.agent.claims import OPENNESS, Around, Claim, Reading, read_claims, squash
from assistant.agent.contradictions import contradiction
from assistant.agent.evidence import Evidence, Fact, backs, flat
from assistant.agent.field_words import COMMON_STARTS, FIELD_WORDS
from assistant.agent.markdown_units import LONGEST_UNIT, Unit, join_units, read_units
from assistant.agent.model_words import NamedModel

MOST_CHARACTERS: Final = 20_000
_PASSES: Final = 6
_FIGURES: Final = frozenset(
    {"bytes", "tokens", "speed", "percent", "parameters", "bits", "bandwidth", "money", "number"}
)
_TIED: Final = frozenset({"bytes", "speed", "licence", "date", "year", "parameters"})
_OF_ONE_MODEL: Final = frozenset({"download", "kv_cache", "weights", "buffer", "memory"})
_REPLACED: Final = frozenset({"bytes", "tokens", "parameters", "level", "licence", "date"})
_CAPITAL = re.compile(r"(?<![\w.'’-])[A-Z][A-Za-z'’-]*[A-Za-z]")
_PULL = re.compile(r"ollama (?:pull|run|show) (\S+)")
_OBJECT = re.compile(
    r"\b(?:recommend(?:ed|s)?|suggest|choose|pick|try|install|download|pull|opt for|go with|use)\s+"
    r"(?:using |the |a |an |our |this )*([A-Za-z][\w.-]+)",
    re.IGNORECASE,
)
_BEFORE_SIZE = re.compile(r"([A-Z][\w.]*)[\s-]{1,2}$")
_ODD = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Grounded:
    """What is left of a text. `grounded` is False when nothing that says something is left.

    `replaced` has (as written, as shown), `dropped` the pieces left out.
    """

    text: str
    replaced: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    grounded: bool = True


def ground(text: str, evidence: Evidence) -> Grounded:
    """Return `text` with nothing in it that `evidence` does not back. Never raises.

    Grounding the result again changes nothing.
    """
    shown = _clean(text[:MOST_CHARACTERS])
    replaced: list[tuple[str, str]] = []
    dropped: list[str] = []
    if len(text) > MOST_CHARACTERS:
        dropped.append(text[MOST_CHARACTERS:][:200])
    for _ in range(_PASSES):
        result, changes, gone = _one_pass(shown, evidence)
        replaced += changes
        dropped += gone
        if result == shown:
            break
        shown = result
    else:
        dropped.append(shown)
        shown = ""
    says = re.search(r"\w", shown) is not None
    return Grounded(shown if says else "", tuple(replaced), tuple(dropped), says)


def _clean(text: str) -> str:
    """Return the text without invisible and control characters."""
    if text.isascii() and text.isprintable():
        return text.rstrip()
    kept = (c for c in text if c in "\n\t" or unicodedata.category(c) not in _INVISIBLE)
    return "".join(kept).rstrip()


_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def _one_pass(text: str, evidence: Evidence) -> tuple[str, list[tuple[str, str]], list[str]]:
    kept: list[Unit] = []
    replaced: list[tuple[str, str]] = []
    dropped: list[str] = []
    subject: NamedModel | None = None
    block = -1
    for unit in read_units(text):
        if unit.kind in {"space", "rule"}:
            kept.append(unit)
            continue
        if unit.block != block and unit.before.strip() == "":
            subject = None
        block = unit.block
        new, changes = _check(unit, subject, evidence, first=not any(u.text.strip() for u in kept))
        replaced += changes
        if new is None:
            dropped.append(unit.text.strip()[:300])
            kept = _without(kept, unit)
            continue
        kept.append(new)
        named = evidence.words.find(new.text[:LONGEST_UNIT])
        subject = named[-1] if named else subject
    return join_units(_tidy(kept)).rstrip(), replaced, dropped


def _without(kept: list[Unit], gone: Unit) -> list[Unit]:
    """Return what stands before a dropped unit, with its list marker or line break kept right."""
    if not kept or kept[-1].block != gone.block:
        return kept
    if gone.after.strip(" ") and not kept[-1].after.endswith("\n"):
        return [*kept[:-1], replace(kept[-1], after=gone.after)]
    return kept


def _tidy(units: list[Unit]) -> list[Unit]:
    """Drop table heads without rows, and lead-ins (`Why:`) with nothing behind them."""
    rows = {u.block for u in units if u.kind == "row"}
    units = [u for u in units if u.kind not in {"head", "rule"} or u.block in rows]
    result: list[Unit] = []
    following = False
    for unit in reversed(units):
        if unit.kind == "space":
            double = result and result[-1].kind == "space"
            if result and not double:
                result.append(unit)
            continue
        lead_in = unit.kind == "sentence" and flat(unit.text).endswith(":")
        heading = unit.before.lstrip().startswith("#")
        if (lead_in or heading) and not following:
            continue
        following = True
        result.append(unit)
    return list(reversed(result))


def _check(
    unit: Unit, subject: NamedModel | None, evidence: Evidence, *, first: bool
) -> tuple[Unit | None, list[tuple[str, str]]]:
    """Return the unit as it may be shown, or None, and what was replaced in it."""
    if unit.kind == "code":
        return (unit if _is_known_code(unit.text, evidence) else None), []
    if flat(unit.text) in evidence.sentences:
        return unit, []
    if unit.kind == "row" and not unit.head:
        return None, []
    if len(unit.text) > LONGEST_UNIT or any(
        unicodedata.numeric(c, None) is not None for c in _odd_numerals(unit.text)
    ):
        return None, []
    changes: list[tuple[str, str]] = []
    text = unit.text
    for cell, around in unit.cells(evidence.words, Around(subject=subject)):
        new, cell_changes = _check_text(cell, around, subject, evidence, first=first)
        if new is None:
            return None, []
        if new != cell:
            text = text.replace(cell, new, 1)
            changes += cell_changes
    if not re.search(r"\w", text):
        return (unit if unit.kind != "sentence" else None), []
    return replace(unit, text=text), changes


def _odd_numerals(text: str) -> list[str]:
    """Return characters that are numbers but no decimal digits: ½, ², Ⅷ, 八."""
    return [c for c in _ODD.findall(text) if not c.isdecimal()]


def _check_text(
    text: str, around: Around, subject: NamedModel | None, evidence: Evidence, *, first: bool
) -> tuple[str | None, list[tuple[str, str]]]:
    reading = read_claims(text, evidence.words, around)
    if contradiction(text, reading, around.subject or subject, evidence, first=first):
        return None, []
    if _names_unknown(text, reading, evidence):
        return None, []
    cited = {number for number, _ in reading.citations}
    swaps: list[tuple[tuple[int, int], str]] = [
        (span, "") for number, span in reading.citations if not 1 <= number <= evidence.citations
    ]
    for claim in reading.claims:
        if _backed(claim, evidence, cited):
            continue
        better = _better(claim, evidence)
        if better is None:
            return None, []
        swaps.append((claim.span, better))
    changes = [(text[a:b], new) for (a, b), new in swaps]
    for (start, end), new in sorted(swaps, reverse=True):
        text = text[:start] + new + text[end:]
    return re.sub(r" +(?=[.,;]?$)", "", text) if swaps else text, changes


def _backed(claim: Claim, evidence: Evidence, cited: set[int]) -> bool:
    if claim.kind == "model":
        return _model_backed(claim, evidence)
    if claim.kind in {"link", "markup"}:
        return any(claim.text in wording for wording in evidence.wordings)
    if claim.kind == "command":
        return _command_backed(claim.text, evidence)
    if claim.kind == "setting":
        return claim.text.lower() in evidence.known_words or any(
            claim.text in wording for wording in evidence.wordings
        )
    if claim.kind == "word":
        known = evidence.known_words.union(*(evidence.own_words[n] for n in cited))
        return claim.value in known or claim.text.lower() in known
    if claim.kind == "ratio":
        return any(
            re.search(rf"\b{re.escape(claim.value)}\b", wording, re.IGNORECASE)
            for wording in evidence.wordings
        )
    facts = [f for f in evidence.facts[claim.kind] if f.source is None or f.source in cited]
    if claim.kind == "level":
        return any(_level_backed(fact, claim) for fact in facts)
    facts = _certain(facts, claim)
    if any(backs(fact, _noun_as_attribute(claim)) for fact in facts):
        return True
    if claim.figure is not None and claim.figure.inherited and claim.figure.loose:
        bare = replace(claim, kind="number", figure=replace(claim.figure, kind="number", unit=""))
        return any(backs(fact, bare) for fact in evidence.facts["number"] if fact.source is None)
    return False


def _certain(facts: list[Fact], claim: Claim) -> list[Fact]:
    """Return the facts that count: those tied to the subject by a tool, when there are any."""
    subject = claim.subject
    if subject is None or claim.have or claim.kind not in _TIED or claim.value in OPENNESS:
        return facts
    if claim.kind == "bytes" and not (claim.need or claim.attribute in _OF_ONE_MODEL):
        return facts
    tied = [
        f for f in facts if f.unit == "" and f.subject is not None and f.subject.is_like(subject)
        and (f.attribute == claim.attribute or claim.attribute is None or f.attribute is None)
    ]  # fmt: skip
    return tied or facts


def _noun_as_attribute(claim: Claim) -> Claim:
    if claim.kind in {"number", "year"} and claim.figure is not None:
        return replace(claim, attribute=claim.figure.noun)
    return claim


def _model_backed(claim: Claim, evidence: Evidence) -> bool:
    named = claim.model
    if named is None:
        return False
    if named.tag is not None:
        return named.tag in evidence.tags or any(
            tag.startswith(f"{named.tag}-") for tag in evidence.tags
        )
    return any(named.is_like(known) for known in evidence.models)


def _level_backed(fact: Fact, claim: Claim) -> bool:
    if fact.subject and claim.subject and not fact.subject.is_like(claim.subject):
        return False
    return replace(claim, level=claim.value).level_is(str(fact.value))


def _command_backed(text: str, evidence: Evidence) -> bool:
    wanted = " ".join(text.split()).strip("`. ")
    if any(wanted in wording for wording in evidence.wordings):
        return True
    pull = _PULL.fullmatch(wanted)
    return pull is not None and pull[1].lower() in evidence.tags


def _is_known_code(text: str, evidence: Evidence) -> bool:
    lines = [flat(line) for line in text.splitlines() if not re.match(r"\s*(?:```|~~~)", line)]
    return all(any(line in wording for wording in evidence.wordings) for line in lines if line)


def _names_unknown(text: str, reading: Reading, evidence: Evidence) -> bool:
    """Return True when the text has a name that no evidence has."""
    taken = [claim.span for claim in reading.claims]
    for match in _CAPITAL.finditer(text):
        word = match.group().lower().replace("’", "'")
        if any(a < match.end() and match.start() < b for a, b in taken):
            continue
        if _is_known_word(word, evidence):
            continue
        inner = any(c.isupper() for c in match.group()[1:])
        if inner or not _opens(text, match.start()):
            return True
        if re.match(r"\W+(?:is|was|has|offers|provides|by|from)\b", text[match.end() :]) and (
            reading.claims or _OBJECT.search(text) or "model" in text or "best" in text
        ):
            return True
    for claim in reading.claims:
        before = _BEFORE_SIZE.search(text[: claim.span[0]][-40:])
        if (
            claim.kind == "parameters"
            and before
            and not _is_known_word(before[1].lower(), evidence)
        ):
            return True
    for match in _OBJECT.finditer(text):
        word = match[1].lower().rstrip(".")
        inside = any(a <= match.start(1) < b for a, b in taken)
        if not inside and not _is_known_word(word, evidence):
            return True
    return False


def _is_known_word(word: str, evidence: Evidence) -> bool:
    known = evidence.known_words
    parts = {word, squash(word), word.removesuffix("'s"), word.removesuffix("s")}
    return any(p in known or p in FIELD_WORDS or p in COMMON_STARTS for p in parts) or (
        "-" in word and all(_is_known_word(p, evidence) for p in word.split("-") if p)
    )


def _opens(text: str, position: int) -> bool:
    before = text[:position].rstrip(" \"'*_`([")
    return not before or before[-1] in ".!?:;\n|•–—-"


def _better(claim: Claim, evidence: Evidence) -> str | None:
    """Return the one backed value of the same kind for the same subject, or None."""
    if claim.kind not in _REPLACED or claim.value in OPENNESS:
        return None
    subject = claim.subject
    if subject is None:
        return None
    facts = [
        f
        for f in evidence.facts[claim.kind]
        if f.source is None and f.subject is not None and f.subject.is_like(subject)
        and f.unit == "" and not f.have
    ]  # fmt: skip
    if claim.kind in _FIGURES:
        if claim.figure is None or claim.figure.inherited or claim.attribute not in _CERTAIN:
            return None
        facts = [f for f in facts if f.attribute == claim.attribute]
        if claim.level:
            facts = [f for f in facts if f.level is None or claim.level_is(f.level)]
    if len({f.value for f in facts}) != 1:
        return None
    return facts[0].text


_CERTAIN: Final = frozenset({"download", "trained", "kv_cache"})

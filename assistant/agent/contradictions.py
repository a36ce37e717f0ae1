"""Sentences that contradict the tools without any figure: fits or not, allowed or not, picks.

Pure. A sentence is judged by the verdicts, licences and picks of the models it is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from assistant.agent.claims import Reading
from assistant.agent.evidence import Evidence, Fact
from assistant.agent.model_words import NamedModel

_FITS = re.compile(
    r"\b(?:fits?|fitting|runs?|running|works?|handles?|loads?|loaded|enough|sufficient|suitable|"
    r"compatible|possible|accommodates?|supports?)\b",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|cannot|can't|won't|doesn't|don't|isn't|never|no|unable|insufficient|without|"
    r"too (?:big|large|small|little|heavy|much)|exceeds?|exceeding|misses|spills?|lacks?|fails?|"
    r"impossible|incompatible|unsuitable)\b|n['’]t\b",
    re.IGNORECASE,
)
_IN_PART = re.compile(
    r"\b(?:partly|partial(?:ly)?|spill\w*|offload\w*|cpu|system ram|slow\w*|smaller|shorter|reduc\w*"
    r"|lower\w*|q8_0 (?:kv )?cache|kv cache|not entirely|split|rest|layers)\b",
    re.IGNORECASE,
)
_YES = re.compile(
    r"\A\W*(?:yes|yeah|yep|sure|absolutely|definitely|certainly|of course)\b", re.IGNORECASE
)
_NO = re.compile(r"\A\W*(?:no|nope|unfortunately|sadly)\b", re.IGNORECASE)
_RECOMMENDS = re.compile(
    r"\b(?:recommend\w*|suggest\w*|(?:the |your )?best (?:choice|option|pick|model|overall|all|bet|"
    r"one|fit|quality|way)|go with|(?:should|could|can) (?:use|choose|pick|try|install|get|take|go)|"
    r"opt for|i(?:'d| would) (?:use|take|pick)|top pick|great choice|ideal|perfect|better choice)\b"
    r"|\A\W*(?:take|choose|pick|use|try|install|get|download|pull|go)\b",
    re.IGNORECASE,
)
_RATHER = re.compile(
    r"\b(?:instead of|rather than|not|over|than|unlike|avoid|except|but)\b", re.IGNORECASE
)
_COMMERCIAL = re.compile(r"\bcommercial\w*|\bsell\b|\bfor (?:business|profit)\b", re.IGNORECASE)
_ALLOWS = re.compile(
    r"\b(?:allow\w*|permit\w*|free\w*|can|may|yes|ok|okay|fine|suitable|possible|legal)\b",
    re.IGNORECASE,
)
_CONDITIONS = re.compile(
    r"\b(?:conditions?|conditional\w*|restrict\w*|terms|limits?|unless|if|except|provided|policy|"
    r"under|up to|million)\b",
    re.IGNORECASE,
)
_RUNS: Final = "gpu"
_OPEN: Final = frozenset({"apache", "mit", "bsd", "mpl", "gpl", "agpl", "lgpl"})


def contradiction(
    sentence: str, reading: Reading, subject: NamedModel | None, evidence: Evidence, *, first: bool
) -> str | None:
    """Return in a few words what the sentence contradicts, or None.

    `subject` is the model the text was about before this sentence; `first` says that the
    sentence opens the answer.
    """
    about = list(reading.models) or ([subject] if subject else [])
    for found in (
        _verdict(sentence, about, evidence, first=first),
        _pick(sentence, reading, evidence),
        _use(sentence, about, evidence),
        _open_source(sentence, reading, about, evidence),
    ):
        if found:
            return found
    return None


def _verdict(
    sentence: str, about: Sequence[NamedModel], evidence: Evidence, *, first: bool
) -> str | None:
    opening = polarity(evidence.lead)
    said = polarity(sentence)
    if first and opening is not None and said is not None and opening != said:
        return "the tools say the opposite"
    if said is not None and opening is not None and said != opening:
        return "the tools say the opposite"
    if _IN_PART.search(sentence) or not (_FITS.search(sentence) or said is not None):
        return None
    verdicts = {
        v.verdict
        for v in evidence.verdicts
        if not about or any(v.subject.is_like(model) for model in about)
    }
    if not verdicts:
        return None
    denies = _NOT.search(sentence) is not None
    if verdicts == {_RUNS} and denies and _FITS.search(sentence):
        return "it does fit"
    if _RUNS not in verdicts and not denies and said is not False:
        return "it does not fit entirely"
    if len(verdicts) > 1 and opening is not None and said is None:
        agrees = opening != denies
        return None if agrees else "the tools say the opposite"
    return None


def polarity(text: str) -> bool | None:
    """Return True for a text that opens with yes, False with no, None otherwise."""
    if _YES.match(text):
        return True
    return False if _NO.match(text) else None


def _pick(sentence: str, reading: Reading, evidence: Evidence) -> str | None:
    if not evidence.picks or not reading.models or not _RECOMMENDS.search(sentence):
        return None
    for model in reading.models:
        if any(model.is_like(pick) for pick in evidence.picks):
            continue
        start = model.span[0]
        if not _RATHER.search(sentence[max(0, start - 40) : start]):
            return "it is not among the picks"
    return None


def _use(sentence: str, about: Sequence[NamedModel], evidence: Evidence) -> str | None:
    """Return what a sentence on commercial use gets wrong."""
    if not _COMMERCIAL.search(sentence):
        return None
    known = {
        str(fact.value) for fact in evidence.facts["commercial"] if not about or _is_of(fact, about)
    }
    if len(known) != 1:
        return None
    use = known.pop()
    denies = _NOT.search(sentence) is not None
    if use == "yes" and denies:
        return "commercial use is allowed"
    if use == "no" and _ALLOWS.search(sentence) and not denies:
        return "commercial use is not allowed"
    if use == "conditional" and not _CONDITIONS.search(sentence):
        return "commercial use has conditions"
    return None


def _open_source(
    sentence: str, reading: Reading, about: Sequence[NamedModel], evidence: Evidence
) -> str | None:
    """Return what a sentence on open source gets wrong: only OSI licences are."""
    if not any(claim.value == "opensource" for claim in reading.claims):
        return None
    licences = {str(f.value) for f in evidence.facts["licence"] if _is_of(f, about)}
    licences.discard("opensource")
    if licences and not licences & _OPEN and not _NOT.search(sentence):
        return "its licence is not an open-source one"
    return None


def _is_of(fact: Fact, about: Sequence[NamedModel]) -> bool:
    return fact.subject is not None and any(fact.subject.is_like(model) for model in about)

"""The final text: grounded prose first, then the tables and commands of the composed answer.

Pure. Prose that lost too much, strays from the question, or is mostly words that no evidence
has, is not enough; the composed answer is shown instead.
"""

from __future__ import annotations

import re
from typing import Final

from assistant.agent.claims import read_claims
from assistant.agent.contradictions import polarity
from assistant.agent.evidence import Evidence, flat
from assistant.agent.field_words import COMMON_STARTS, FIELD_WORDS
from assistant.agent.grounding import Grounded
from assistant.agent.markdown_units import LONGEST_UNIT, read_units

LEAST_WORDS: Final = 8
LEAST_KEPT: Final = 0.5
LEAST_KNOWN: Final = 0.55
"""Share of the longer words that evidence or the field knows: nonsense has fewer."""
LEAST_SHARED: Final = 0.2
"""Share of the direct answer's longer words that another way of saying it has as well."""
_WORD = re.compile(r"[a-z]{4,}")
_KEPT_LINE = re.compile(r"(?:Assumed|Get it|Next|Memory|Create it|On the)\b[^\n]*", re.IGNORECASE)


def is_enough(grounded: Grounded, written: str, evidence: Evidence) -> bool:
    """Return True when what is left of `written` can stand as the answer's prose."""
    words = re.findall(r"\w+", grounded.text)
    if not grounded.grounded or len(words) < LEAST_WORDS or _repeats(grounded.text):
        return False
    if len(grounded.text) < LEAST_KEPT * len(written.strip()):
        return False
    said = set(_WORD.findall(grounded.text.lower()))
    known = {w for w in said if w in evidence.known_words or w in FIELD_WORDS or w in COMMON_STARTS}
    if len(known) < LEAST_KNOWN * len(said):
        return False
    lead, prose = polarity(evidence.lead), polarity(grounded.text)
    return (lead is None or prose is None or lead == prose) and _is_about(grounded.text, evidence)


def assemble(prose: str, composed: str, evidence: Evidence) -> str:
    """Return the whole answer: the direct answer, the prose, then tables, code and commands.

    When the question is one of yes or no and the prose does not say which, the composed
    answer's own first paragraph stands before it.
    """
    unsaid = polarity(evidence.lead) is not None and polarity(prose) is None
    parts = [evidence.lead] if unsaid else []
    parts.append(prose)
    shown = {flat(line) for line in prose.splitlines()}
    for block in composed.strip().split("\n\n")[1:]:
        first = block.lstrip()
        keep = first.startswith(("|", "```")) or _KEPT_LINE.match(first)
        if keep and flat(block) not in shown:
            parts.append(block)
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _is_about(prose: str, evidence: Evidence) -> bool:
    """Return True when the prose opens with the models of the direct answer, or its words."""
    opening = " ".join(unit.text for unit in read_units(prose)[:3])
    said = read_claims(opening[:LONGEST_UNIT], evidence.words)
    wanted = read_claims(evidence.lead[:LONGEST_UNIT], evidence.words)
    if wanted.models:
        return any(a.is_like(b) for a in wanted.models for b in said.models)
    words = set(_WORD.findall(evidence.lead.lower()))
    shared = words & set(_WORD.findall(prose.lower()))
    return len(shared) >= min(3, len(words)) and len(shared) >= LEAST_SHARED * len(words)


def _repeats(text: str) -> bool:
    """Return True for a text that says the same sentences over and over."""
    sentences = [flat(u.text) for u in read_units(text) if u.kind == "sentence"]
    return len(sentences) >= 4 and len(set(sentences)) <= len(sentences) / 2

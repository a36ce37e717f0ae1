"""Answers about what a model's licence allows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.agent.compose.text import join_words, paragraphs, sentence, table
from assistant.models.card import ModelCard

_MAY = (
    r"\bcommerc|\bsell|\bship|\b(?:can|may|allowed|ok|okay|free|legal|permitted|startup|company|"
    r"business|product)\b"
)
_IN_EU = (
    r"\b(?:eu|europe\w*|germany|german|france|french|italy|spain|poland|netherlands|dutch|austria|"
    r"belgium|sweden|denmark|finland|ireland|portugal|czech\w*|greece|hungary|romania)\b"
)
_MOST_CONTRASTED = 5
_COMMERCIAL = {
    "yes": "commercial use is allowed",
    "no": "commercial use is not allowed",
    "conditional": "commercial use is allowed under conditions",
    "unknown": "whether commercial use is allowed is not known",
}


def compose_licence(cards: Sequence[ModelCard], relatives: Sequence[ModelCard], asked: str) -> str:
    """Return the licence of models, what it allows, and how it differs from their relatives'."""
    groups: dict[str, list[ModelCard]] = {}
    for card in cards:
        groups.setdefault(licence_text(card), []).append(card)
    claims_open = "apache" in asked.lower() or "mit" in asked.lower().split()
    if len(groups) == 1:
        card = cards[0]
        name = card.licence.name or "an unknown licence"
        claimed_wrong = ("apache" in asked.lower() and "apache" not in name.lower()) or (
            "mit" in asked.lower().replace("?", " ").split() and "mit" not in name.lower()
        )
        use = card.licence.commercial_use
        if claims_open:
            lead = "No" if claimed_wrong else "Yes"
        elif re.search(_MAY, asked, re.IGNORECASE):
            lead = {"yes": "Yes", "no": "No", "conditional": "Yes, with conditions"}.get(use, "")
        else:
            lead = ""
        if (
            card.licence.note
            and "EU" in card.licence.note
            and re.search(_IN_EU, asked, re.IGNORECASE)
        ):
            lead = "No, not in the EU"
        text = f"{family_words(cards)} {'comes' if len(cards) == 1 else 'come'} under {name}"
        direct = f"{lead}: {text}; {_COMMERCIAL[use]}." if lead else f"{text}; {_COMMERCIAL[use]}."
        note = sentence(card.licence.note) if card.licence.note else None
        contrast = _licence_contrast(cards, relatives)
        return paragraphs(sentence(direct), note, contrast)
    rows = [(join_words([c.name for c in group]), text) for text, group in groups.items()]
    lead = f"The licence of {cards[0].family} depends on the size."
    notes = [sentence(c.licence.note) for c in cards if c.licence.note]
    return paragraphs(lead, table(("model", "licence"), rows), " ".join(dict.fromkeys(notes)))


def _licence_contrast(cards: Sequence[ModelCard], relatives: Sequence[ModelCard]) -> str | None:
    mine = {card.licence.name for card in cards}
    groups: dict[str, list[str]] = {}
    for other in relatives:
        if other.licence.name and other.licence.name not in mine:
            groups.setdefault(licence_text(other), []).append(other.name)
    if not groups:
        return None
    parts = [
        f"{join_words(names[:_MOST_CONTRASTED])}{' and more' * (len(names) > _MOST_CONTRASTED)} "
        f"({text})"
        for text, names in list(groups.items())[:2]
    ]
    return f"Others differ: {'; '.join(parts)}."


def licence_text(card: ModelCard) -> str:
    """Return the licence and what it allows, in one clause."""
    name = card.licence.name or "an unknown licence"
    return f"{name}: {_COMMERCIAL[card.licence.commercial_use]}"


def family_words(cards: Sequence[ModelCard]) -> str:
    """Return the words for one model, or for all sizes of a family."""
    return f"`{cards[0].name}`" if len(cards) == 1 else f"{cards[0].family} models"

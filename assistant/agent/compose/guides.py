"""Answers taken from the guides: the passage that answers, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.agent.compose.text import paragraphs
from assistant.knowledge.passages import Passage

_OWN_NOTE = "From your own notes, not from the bundled guides:"


def compose_guides(passages: Sequence[Passage]) -> str:
    """Return the first passage as the answer, and the first sentence of the others.

    The sources are numbered in the order of `passages`. A person's own notes are said to be
    theirs.
    """
    first, *others = passages
    own = _OWN_NOTE if first.origin == "own" else None
    also = [f"- {opening(p.text)} [{number}]" for number, p in enumerate(others, start=2)]
    return paragraphs(
        own,
        _numbered(first.text, 1),
        "See also:\n\n" + "\n".join(also) if also else None,
    )


def opening(text: str) -> str:
    """Return the first sentence of a passage on one line."""
    flat = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    end = flat.find(". ")
    return flat if end < 0 else flat[: end + 1]


def _numbered(text: str, number: int) -> str:
    """Put the number of the source behind the first paragraph."""
    first, separator, rest = text.partition("\n\n")
    if first.lstrip().startswith(("|", "-", "*", "```")):
        return f"{text}\n\n[{number}]"
    return f"{first.rstrip()} [{number}]{separator}{rest}"

"""Passages: what is searched and cited. One guide section is one passage, with its context."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from assistant.knowledge.guides import Guide

Origin = Literal["bundled", "own"]


@dataclass(frozen=True, slots=True)
class Passage:
    """One piece of text that can be retrieved and cited.

    `guide` is the guide's title or the name of a person's own document, `section` the heading
    or the place in it. `context` is what surrounds the text (title, topics, how people ask);
    it is searched with the text and never shown. `origin` keeps a person's own notes apart
    from the bundled guides.
    """

    id: str
    guide: str
    section: str
    text: str
    context: str = ""
    origin: Origin = "bundled"

    @property
    def searched(self) -> str:
        """Everything that search looks at."""
        return f"{self.guide}\n{self.section}\n{self.context}\n{self.text}"

    @property
    def embedded(self) -> str:
        """What an embedder is given: heading and text, without the list of questions."""
        return f"{self.guide}: {self.section}\n{self.text}"


def passages_of_guides(guides: Iterable[Guide]) -> tuple[Passage, ...]:
    """Return a passage for every section of the guides."""
    return tuple(
        Passage(
            id=f"{guide.name}#{number}",
            guide=guide.title,
            section=section.heading,
            text=section.text,
            context="\n".join((", ".join(guide.topics), *section.asked)),
        )
        for guide in guides
        for number, section in enumerate(guide.sections)
    )


def fingerprint(passages: Iterable[Passage]) -> str:
    """Return a hash of the passages: equal texts give equal hashes, in any process."""
    digest = hashlib.sha256()
    for passage in passages:
        for part in (passage.id, passage.guide, passage.section, passage.context, passage.text):
            digest.update(part.encode())
            digest.update(b"\0")
    return digest.hexdigest()[:16]

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

    `guide` is the guide's title or that of a person's own document, `name` what `assistant
    guides show` calls it, `section` the heading or the place in it. `context` (the topics) and
    `asked` (how people ask for it) are searched with the text and never shown. `origin` keeps a
    person's own notes apart from the bundled guides.
    """

    id: str
    guide: str
    section: str
    text: str
    context: str = ""
    asked: tuple[str, ...] = ()
    name: str = ""
    origin: Origin = "bundled"

    @property
    def searched(self) -> str:
        """Everything that search looks at."""
        return "\n".join((self.guide, self.section, self.context, *self.asked, self.text))

    @property
    def questions(self) -> str:
        """How people ask for it, a line each."""
        return "\n".join(self.asked)

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
            context=", ".join(guide.topics),
            asked=section.asked,
            name=guide.name,
        )
        for guide in guides
        for number, section in enumerate(guide.sections)
    )


def vector_id(passage: Passage) -> str:
    """Return the key of a passage's vector: a hash of the text that is embedded."""
    return hashlib.sha256(passage.embedded.encode()).hexdigest()[:32]


def fingerprint(passages: Iterable[Passage]) -> str:
    """Return a hash of the passages: equal texts give equal hashes, in any process."""
    digest = hashlib.sha256()
    for passage in passages:
        for part in (passage.id, passage.searched):
            digest.update(part.encode())
            digest.update(b"\0")
    return digest.hexdigest()[:16]

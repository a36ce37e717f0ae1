"""The bundled guides: Markdown with TOML front matter between `+++` lines.

A guide is cited by its title and a section heading. A comment `<!-- asked: ... | ... -->` below a
heading lists ways in which people ask for the section: it is searched, never shown.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from assistant.errors import FileProblemError
from assistant.paths import bundled_folder

_ASKED: Final = re.compile(r"<!--\s*asked:(.*?)-->", re.DOTALL)
_COMMENT: Final = re.compile(r"[ \t]*<!--.*?-->\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """One `##` section of a guide: its heading, its text, and how people ask for it."""

    heading: str
    text: str
    asked: tuple[str, ...] = ()

    @property
    def first_sentence(self) -> str:
        """The opening sentence, on one line."""
        flat = " ".join(self.text.split())
        end = flat.find(". ")
        return flat if end < 0 else flat[: end + 1]


@dataclass(frozen=True, slots=True)
class Guide:
    """One guide. `name` is the file's stem; `as_of` an ISO date; `sources` as its author lists."""

    name: str
    title: str
    topics: tuple[str, ...]
    as_of: str
    sources: tuple[str, ...]
    sections: tuple[Section, ...]

    def section(self, heading: str) -> Section:
        """Return the section of that heading.

        Raises:
            KeyError: there is none.
        """
        for section in self.sections:
            if section.heading == heading:
                return section
        raise KeyError(f"guide {self.name!r} has no section {heading!r}")


def parse_guide(name: str, text: str) -> Guide:
    """Return the guide in `text`.

    Raises:
        FileProblemError: the front matter is missing, broken or incomplete.
    """
    parts = text.split("+++\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise FileProblemError(
            f"The guide {name!r} has no front matter.",
            hint="Start it with +++, title, topics, as_of and sources, and +++ again.",
        )
    try:
        front = tomllib.loads(parts[1])
        return Guide(
            name=name,
            title=str(front["title"]),
            topics=tuple(front["topics"]),
            as_of=str(front["as_of"]),
            sources=tuple(front["sources"]),
            sections=tuple(_sections(parts[2])),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise FileProblemError(
            f"The front matter of the guide {name!r} cannot be read: {error}.",
            hint="It needs title, topics, as_of and sources in TOML.",
        ) from error


def _sections(body: str) -> list[Section]:
    sections = []
    for block in body.split("\n## ")[1:]:
        heading, _, text = block.partition("\n")
        asked = [
            question.strip()
            for comment in _ASKED.findall(text)
            for question in " ".join(comment.split()).split("|")
        ]
        sections.append(
            Section(
                heading=heading.strip(),
                text=_COMMENT.sub("", text).strip(),
                asked=tuple(question for question in asked if question),
            )
        )
    return sections


@lru_cache(maxsize=1)
def load_guides(folder: Path | None = None) -> dict[str, Guide]:
    """Return the bundled guides by name (or those in `folder`).

    Raises:
        FileProblemError: a guide cannot be read.
    """
    base = folder or bundled_folder("knowledge")
    try:
        files = sorted(base.glob("*.md"))
        return {file.stem: parse_guide(file.stem, file.read_text("utf-8")) for file in files}
    except OSError as error:
        raise FileProblemError(
            f"The guides cannot be read: {error}.", hint="Install the assistant again."
        ) from error

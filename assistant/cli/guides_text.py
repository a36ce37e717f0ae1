"""What `assistant guides` shows: data for --json, and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from assistant.cli.layout import paragraph, table
from assistant.errors import UsageError
from assistant.knowledge.guides import Guide, load_guides
from assistant.knowledge.index import IndexRecord
from assistant.knowledge.note_store import Note, open_notes
from assistant.knowledge.notes import PREFIX, AddReport
from assistant.knowledge.passages import Origin
from assistant.knowledge.search import FoundPassage, SearchResult

_EXCERPT: Final = 280
_SHELVES: Final[dict[Origin, str]] = {"bundled": "guides", "own": "your notes"}
_STATES: Final = {"current": "", "changed": "changed since", "missing": "file is gone"}


@dataclass(frozen=True, slots=True)
class Page:
    """A guide or a note as it is shown: (heading, Markdown) for each section."""

    origin: Origin
    name: str
    title: str
    sections: tuple[tuple[str, str], ...]
    as_of: str | None = None
    sources: tuple[str, ...] = ()


def find_document(name: str, section: str | None) -> Page:
    """Return a guide or a note by its name, cut to one section if one is named.

    Raises:
        UsageError: there is no such guide, or no such section in it.
        NotesDamagedError: the stored notes cannot be read.
    """
    bundled = load_guides()
    wanted = name.lower().removesuffix(".md")
    guide = bundled.get(wanted) or next(
        (g for g in bundled.values() if g.title.lower() == name.lower()), None
    )
    page = _guide_page(guide) if guide else _note_page(name)
    if page is None:
        raise _unknown(name, bundled)
    if section is None:
        return page
    return Page(
        origin=page.origin,
        name=page.name,
        title=page.title,
        sections=(_one_section(page, section),),
        as_of=page.as_of,
        sources=page.sources,
    )


def page_data(page: Page) -> dict[str, Any]:
    """Return a page as data."""
    return {
        "origin": page.origin,
        "name": page.name,
        "title": page.title,
        "as_of": page.as_of,
        "sources": list(page.sources),
        "sections": [{"heading": heading, "text": text} for heading, text in page.sections],
    }


def render_page(page: Page) -> str:
    """Return a page as Markdown."""
    parts = [f"# {page.title}"]
    for heading, text in page.sections:
        parts.append(f"## {heading}\n\n{text}" if heading != page.title else text)
    if page.origin == "own":
        parts.append(f"Your own note, {page.name}.")
    elif page.sources:
        parts.append(f"As of {page.as_of}. Sources: {'; '.join(page.sources)}.")
    return "\n\n".join(parts)


def list_data(
    guides: Sequence[Guide], notes: Sequence[Note], record: IndexRecord | None
) -> dict[str, Any]:
    """Return the list as data."""
    return {
        "guides": [
            {
                "name": guide.name,
                "title": guide.title,
                "topics": list(guide.topics),
                "as_of": guide.as_of,
                "sections": [section.heading for section in guide.sections],
            }
            for guide in guides
        ],
        "notes": [
            {
                "name": note.name,
                "title": note.title,
                "path": str(note.path),
                "passages": note.passages,
                "added_at": _iso(note.added_at),
                "state": note.state,
            }
            for note in notes
        ],
        "index": _record_data(record) if record else None,
    }


def render_list(
    guides: Sequence[Guide], notes: Sequence[Note], record: IndexRecord | None, *, width: int
) -> str:
    """Return the list as text."""
    rows = [(guide.name, str(len(guide.sections)), guide.title) for guide in guides]
    parts = [f"{len(guides)} guides", table(("name", "sections", "title"), rows, align="lrl")]
    if notes:
        mine = [(note.name, str(note.passages), note.title, _STATES[note.state]) for note in notes]
        parts += ["", "Your notes"]
        parts.append(table(("name", "passages", "title", ""), mine, align="lrll", width=width))
    said = "Searching compares words only; `assistant guides index` adds meaning."
    if record is not None:
        said = f"Searching compares words, and meaning with {record.name}."
    return "\n".join((*parts, "", paragraph(said, width=width)))


def results_data(result: SearchResult) -> dict[str, Any]:
    """Return found passages as data."""
    return {
        "query": result.query,
        "kind": result.kind,
        "embedder": result.embedder,
        "note": result.note,
        "passages": [
            {
                "origin": found.passage.origin,
                "name": found.passage.name,
                "guide": found.passage.guide,
                "section": found.passage.section,
                "text": found.passage.text,
                "score": round(found.score, 4),
                "coverage": round(found.coverage, 3),
                "bm25_rank": found.bm25_rank,
                "dense_rank": found.dense_rank,
            }
            for found in result.passages
        ],
    }


def render_results(result: SearchResult, *, width: int) -> str:
    """Return found passages as text, each with where it is from and how it begins."""
    if not result.passages:
        return "Nothing was found: no passage shares a word with that."
    blocks = []
    for number, found in enumerate(result.passages, start=1):
        passage = found.passage
        mine = " (your note)" if passage.origin == "own" else ""
        head = f"{number}. {passage.guide}: {passage.section}{mine}"
        shown = paragraph(_excerpt(found), width=width, indent="   ")
        blocks.append(f"{head}\n{shown}")
    first = result.passages[0].passage
    hint = f'assistant guides show {first.name} "{first.section}"'
    return "\n\n".join((*blocks, f"The whole section: {hint}"))


def add_data(report: AddReport) -> dict[str, Any]:
    """Return what was added as data."""
    return {
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
    }


def render_add(report: AddReport, *, indexed: bool) -> str:
    """Return what was added as text."""
    lines = [
        f"{word}: {', '.join(names[:5])}{_more(names)}"
        for word, names in (
            ("Added", report.added), ("Read again", report.changed),
            ("Unchanged", report.unchanged),
        )
        if names
    ]  # fmt: skip
    if not lines:
        return "Nothing was added."
    if indexed and (report.added or report.changed):
        lines.append("To search them by meaning too: assistant guides index")
    return "\n".join(lines)


def index_data(built: Mapping[Origin, IndexRecord], report: AddReport) -> dict[str, Any]:
    """Return the indexes as data."""
    return {
        "indexes": [{"origin": o, **_record_data(record)} for o, record in built.items()],
        "notes_read_again": [*report.changed, *report.added],
    }


def render_index(built: Mapping[Origin, IndexRecord], report: AddReport) -> str:
    """Return the indexes as text."""
    lines = [
        f"Indexed {_SHELVES[origin]}: {record.count} passages with {record.name}."
        for origin, record in built.items()
    ]
    again = [*report.changed, *report.added]
    if again:
        lines.insert(0, f"Read again: {', '.join(again[:5])}{_more(again)}")
    return "\n".join(lines)


def _guide_page(guide: Guide) -> Page:
    return Page(
        origin="bundled",
        name=guide.name,
        title=guide.title,
        sections=tuple((section.heading, section.text) for section in guide.sections),
        as_of=guide.as_of,
        sources=guide.sources,
    )


def _note_page(name: str) -> Page | None:
    """Return a note by its name, with or without the prefix; its pieces joined again."""
    notes = open_notes()
    if notes is None:
        return None
    own = name if name.startswith(PREFIX) else PREFIX + name
    sections: dict[str, str] = {}
    title = ""
    for passage, overlap in notes.passages(own):
        title = passage.guide
        sections[passage.section] = sections.get(passage.section, "") + passage.text[overlap:]
    if not sections:
        return None
    return Page(
        origin="own",
        name=own,
        title=title,
        sections=tuple((heading, text.strip()) for heading, text in sections.items()),
    )


def _one_section(page: Page, wanted: str) -> tuple[str, str]:
    """Return the section of that heading, or the only one whose heading has these words."""
    near = [s for s in page.sections if wanted.lower() in s[0].lower()]
    exact = [s for s in near if s[0].lower() == wanted.lower()]
    if exact or len(near) == 1:
        return (exact or near)[0]
    listed = [heading for heading, _ in near or page.sections]
    count = "several sections" if near else "no section"
    raise UsageError(
        f"{page.name!r} has {count} like {wanted!r}.",
        hint="There are: " + "; ".join(listed[:12]) + ("; ..." if len(listed) > 12 else "."),
    )


def _unknown(name: str, bundled: Mapping[str, Guide]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), list(bundled), n=1)
    hint = f"Did you mean {near[0]}?" if near else "See: assistant guides list"
    return UsageError(f"there is no guide {name!r}.", hint=hint)


def _record_data(record: IndexRecord) -> dict[str, Any]:
    return {
        "embedder": record.name,
        "kind": record.kind,
        "dimension": record.dimension,
        "passages": record.count,
    }


def _excerpt(found: FoundPassage) -> str:
    flat = " ".join(found.passage.text.split())
    if len(flat) <= _EXCERPT:
        return flat
    return flat[:_EXCERPT].rsplit(" ", 1)[0] + " …"


def _iso(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 5} more" if len(names) > 5 else ""

"""What `assistant models list` shows: data for --json, and text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from assistant.cli.layout import (
    NBSP,
    Column,
    fitted_table,
    paragraph,
    unbroken,
)
from assistant.cli.models_server import ServerView
from assistant.models.card import ModelCard, Tag
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import Drift, drift_notes, name_key
from assistant.provision.inventory import ListedModel
from assistant.provision.records import Measured
from assistant.units import gb, tokens

CATALOG_AT_MOST: Final = 15
TUNED_PREFIX: Final = "assistant-tuned-"


def list_data(
    rows: Sequence[ListedModel],
    view: ServerView,
    *,
    query: str = "",
    cards: Sequence[ModelCard] | None = None,
) -> dict[str, Any]:
    """Return the list as data; `catalog` is null unless something was searched for."""
    return {
        "query": query or None,
        "server": server_data(view),
        "models": [_row_data(row) for row in rows],
        "catalog": None if cards is None else [_card_data(card) for card in cards],
    }


def render_list(
    rows: Sequence[ListedModel],
    view: ServerView,
    *,
    width: int,
    query: str = "",
    cards: Sequence[ModelCard] | None = None,
) -> str:
    """Return the list as text: installed first, then what the catalog has of that name."""
    parts = [paragraph(_headline(rows, view, query), width=width)]
    set_up = [row for row in rows if row.entry is not None]
    others = [row for row in rows if row.entry is None]
    if set_up:
        parts.append(_set_up(set_up, width=width))
    if others:
        parts.append(_others("other models" if set_up else "model", others, width=width))
    parts += [paragraph(line, width=width) for line in _remarks(rows)]
    if cards is not None:
        parts.append(_catalog(cards, rows, query, width=width))
    if set_up:
        parts.append(paragraph(unbroken("One in detail: assistant models show NAME"), width=width))
    elif cards is None:
        parts.append("Nothing is set up yet: assistant setup")
    return "\n\n".join(parts)


def server_data(view: ServerView) -> dict[str, Any]:
    """Return what is known of the server as data."""
    return {
        "url": view.url,
        "reachable": view.problem is None,
        "problem": None if view.problem is None else view.problem.message,
    }


def drift_data(drift: Drift) -> dict[str, Any]:
    """Return one drift as data, with what it means in words."""
    return {
        **asdict(drift),
        "notes": [asdict(note) for note in drift_notes(drift)],
    }


def measured_speed(measured: Measured | None) -> float | None:
    """Return the tokens/s that verification measured: decoding, or embedding for embedders."""
    if measured is None:
        return None
    return measured.decode_tokens_per_s or measured.prompt_tokens_per_s


def speed_words(measured: Measured | None) -> str:
    """Return the measured speed for a column: `31.4 t/s`."""
    speed = measured_speed(measured)
    return "-" if speed is None else f"{speed:.3g} t/s"


def default_tag(card: ModelCard) -> Tag | None:
    """Return the tag that a bare pull of a catalog model gives, if it can be pulled."""
    tag = card.tag(card.default_tag) if card.default_tag else None
    tag = tag or (card.tags[0] if card.tags else None)
    return tag if tag is not None and tag.pullable and tag.in_library else None


def _headline(rows: Sequence[ListedModel], view: ServerView, query: str) -> str:
    set_up = sum(row.entry is not None for row in rows)
    if query:
        there = "model that was set up" if view.problem else "installed model"
        if not rows:
            return f"No {there} matches {query!r}."
        plural = there.replace("model", "models", 1).replace("was", "were")
        return f"{len(rows)} {plural if len(rows) > 1 else there} for {query!r}."
    if view.problem is not None:
        return f"{_count(set_up)} set up."
    there = f"{_count(len(rows) - _missing(rows))} on the Ollama server at {view.url}"
    return f"{there}; {set_up or 'none'} of them set up by this program."


def _missing(rows: Sequence[ListedModel]) -> int:
    return sum(row.installed is None for row in rows)


def _set_up(rows: Sequence[ListedModel], *, width: int) -> str:
    """Return the aliases as a table; `!` marks those that are not as they were set up."""
    cells: list[tuple[str, ...]] = []
    for row in rows:
        assert row.entry is not None
        mark = "!" if row.drift is not None and row.drift.is_broken else ""
        context, speed = tokens(row.entry.num_ctx), speed_words(row.entry.measured)
        cells.append((mark, row.name, row.entry.model, *_size_and_level(row), context, speed))
    marks, names, bases, sizes, levels, contexts, speeds = zip(*cells, strict=True)
    columns = (
        Column("", marks),
        Column("set up", names),
        Column("from", bases),
        Column("size", sizes, "r", drop=2),
        Column("quant", levels, drop=1),
        Column("context", contexts, "r", drop=4, word="context"),
        Column("measured", speeds, "r", drop=3),
    )
    return fitted_table(columns, width=width, indent="", named=1)


def _others(title: str, rows: Sequence[ListedModel], *, width: int) -> str:
    """Return the other models as a table, with what each is for."""
    name, size, level, said = zip(
        *((row.name, *_size_and_level(row), _purpose(row)) for row in rows), strict=True
    )
    columns = (
        Column(title, name),
        Column("size", size, "r", drop=2),
        Column("quant", level, drop=1),
        Column("", said),
    )
    return fitted_table(columns, width=width)


def _purpose(row: ListedModel) -> str:
    if row.candidate_of:
        tuned = row.candidate_of.startswith(TUNED_PREFIX)
        return "left over, can be removed" if tuned else "left over, the next setup removes it"
    if row.backup_of:
        return f"{row.backup_of} before setup"
    return f"base of {', '.join(row.base_of)}" if row.base_of else ""


def _size_and_level(row: ListedModel) -> tuple[str, str]:
    found, entry = row.installed, row.entry
    size = (found.size_bytes if found else None) or (entry.size_bytes if entry else None)
    level = (found.quantization if found else None) or (entry.quantization if entry else None)
    return "-" if size is None else gb(size), level or "-"


def _remarks(rows: Sequence[ListedModel]) -> list[str]:
    """Return what the tables have no column for: what is in memory, and what has changed."""
    loaded = [
        plain_name(row.name) + (f" ({share})" if (share := gpu_share_words(row.loaded)) else "")
        for row in rows
        if row.loaded is not None
    ]
    said = [f"Loaded now: {', '.join(loaded)}."] if loaded else []
    for row in rows:
        for note in () if row.drift is None else drift_notes(row.drift):
            if note.code != "base_missing":
                fix = f" Make it again with: {note.fix.replace(' ', NBSP)}" if note.fix else ""
                said.append(f"! {note.what}{fix}")
    return said


def plain_name(name: str) -> str:
    """Return a name without the tag that goes without saying."""
    return name.removesuffix(":latest")


def gpu_share_words(loaded: LoadedModel | None) -> str | None:
    """Return how much of a loaded model is on GPUs, or None when the server does not say."""
    if loaded is None or not loaded.size_bytes or loaded.vram_bytes is None:
        return None
    share = min(1.0, loaded.vram_bytes / loaded.size_bytes)
    return f"{share:.0%} on the GPU" if share else "on the CPU"


def _row_data(row: ListedModel) -> dict[str, Any]:
    found, entry, loaded = row.installed, row.entry, row.loaded
    return {
        "name": row.name,
        "role": row.role,
        "set_up": entry is not None,
        "installed": found is not None,
        "model": entry.model if entry else None,
        "digest": found.digest if found else None,
        "size_bytes": (found.size_bytes if found else None)
        or (entry.size_bytes if entry else None),
        "quantization": (found.quantization if found else None)
        or (entry.quantization if entry else None),
        "num_ctx": entry.num_ctx if entry else None,
        "measured_tokens_per_s": measured_speed(entry.measured if entry else None),
        "loaded": None if loaded is None else asdict(loaded),
        "base_of": list(row.base_of),
        "backup_of": row.backup_of,
        "candidate_of": row.candidate_of,
        "drift": None if row.drift is None else drift_data(row.drift),
    }


def _catalog(
    cards: Sequence[ModelCard], rows: Sequence[ListedModel], query: str, *, width: int
) -> str:
    """Return the catalog's part; what is installed already is not said twice."""
    here = {name_key(row.name) for row in rows}
    found = [card for card in cards if name_key(card.name) not in here]
    if not found:
        said = f"The catalog has nothing {'more ' if cards else ''}with {query!r}."
        return paragraph(said, width=width)
    name, size, context, release, licence = zip(
        *(_card_row(card) for card in found[:CATALOG_AT_MOST]), strict=True
    )
    columns = (
        Column("in the catalog", name),
        Column("download", size, "r"),
        Column("context", context, "r", drop=3, word="context"),
        Column("released", release, drop=1, word="of"),
        Column("licence", licence, drop=2),
    )
    parts = [fitted_table(columns, width=width)]
    more = len(found) - CATALOG_AT_MOST
    if more > 0:
        said = f"... and {more} more: add a word, such as the size."
        parts.append(paragraph(said, width=width, indent="  "))
    said = "Get one with: ollama pull NAME. Whether it fits here: assistant fit NAME"
    return "\n".join((*parts, "", paragraph(said, width=width)))


def _card_row(card: ModelCard) -> tuple[str, str, str, str, str]:
    tag = default_tag(card)
    size = None if tag is None else tag.download_bytes
    context = (tag.context_length if tag else None) or card.context_length
    return (
        card.name,
        "cannot be pulled" if tag is None else "-" if size is None else gb(size),
        "-" if context is None else tokens(context),
        card.release or "-",
        card.licence.name or "-",
    )


def _card_data(card: ModelCard) -> dict[str, Any]:
    tag = default_tag(card)
    return {
        "name": card.name,
        "title": card.title,
        "tag": None if tag is None else tag.name,
        "download_bytes": None if tag is None else tag.download_bytes,
        "quantization": None if tag is None else tag.quantization,
        "context_length": card.context_length,
        "capabilities": sorted(card.capabilities),
        "license": card.licence.name,
        "commercial_use": card.licence.commercial_use,
    }


def _count(number: int) -> str:
    return f"{number or 'No'} model{'' if number == 1 else 's'}"

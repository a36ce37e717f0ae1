"""Rows of the catalog file as records.

A model is an object, its tags and scores are arrays whose trailing default values are left
out; `scripts/build_catalog.py` writes them and `docs/catalog.md` names the columns.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from assistant.models.architecture import Architecture
from assistant.models.card import Benchmark, Exactness, Licence, ModelCard, Purpose, Tag

_PURPOSES: Final[dict[str, Purpose]] = {
    "i": "instruct",
    "b": "base",
    "e": "embedding",
    "c": "code-base",
}
_EXACTNESS: Final[dict[str, Exactness]] = {"x": "exact", "d": "derived", "l": "listed"}
_TAG_DEFAULTS: Final[tuple[Any, ...]] = (
    None, (), None, "i", None, None, None, "l", None, None, "gguf", True, False, 0, None
)  # fmt: skip
_SCORE_DEFAULTS: Final[tuple[Any, ...]] = (None, None, None, None, 0, None)
_PER_BLOCK: Final = ("feed_forward_length", "head_count", "head_count_kv")
_FLAGS: Final = ("sliding_window_pattern", "recurrent_layers")


def build_card(row: dict[str, Any], catalog: dict[str, Any]) -> ModelCard:
    """Return the card of one row; `catalog` holds the tables the row points into."""
    architecture = build_architecture(row.get("architecture"))
    variants = [build_architecture(fields) for fields in row.get("variants", ())]
    context = row.get("context")
    model = row["name"].partition(":")[0]
    total, active = row.get("parameters", (None, None))
    default = row.get("default_tag")
    languages = row.get("languages")
    return ModelCard(
        name=row["name"],
        family=row["family"],
        title=row["title"],
        publisher=row.get("publisher"),
        description=row.get("description"),
        release=row.get("release"),
        licence=build_licence(row, catalog),
        parameters_total=total,
        parameters_active=active,
        context_length=context,
        capabilities=frozenset(row.get("capabilities", ())),
        languages=None if languages is None else tuple(languages),
        architecture=architecture,
        tags=tuple(build_tag(model, tag, context, variants) for tag in row.get("tags", ())),
        benchmarks=tuple(build_benchmark(x, catalog) for x in row.get("benchmarks", ())),
        cautions=frozenset(row.get("cautions", ())),
        notes=tuple(row.get("notes", ())),
        default_tag=None if default is None else f"{model}:{default}",
        quantization_hints=frozenset(row.get("hints", ())),
        inline_projector_bytes=row.get("inline_projector"),
        architecture_confidence=row.get("confidence", "published"),
        draft_parameters=row.get("draft_parameters"),
        mla_keys=row.get("mla_keys"),
        hf_repo=row.get("hf_repo"),
    )


def build_licence(row: dict[str, Any], catalog: dict[str, Any]) -> Licence:
    """Return a row's licence; it is a place in the table, or written out in a user's file."""
    stated = row.get("licence")
    if stated is None:
        return Licence(None, "unknown")
    if isinstance(stated, int):
        stated = catalog["licences"][stated]
    name, use, note = stated
    allowed: Literal["yes", "no", "conditional", "unknown"] = use
    return Licence(name, allowed, note)


def build_tag(
    model: str, row: list[Any], context: int | None, variants: list[Architecture | None]
) -> Tag:
    """Return one tag; the model's context length stands in where the tag has none."""
    values: tuple[Any, ...] = (*row, *_TAG_DEFAULTS[len(row) :])
    (
        name, aliases, quantization, purpose, download, blob, projector, exactness,
        digest, own_context, file_format, pullable, aware, variant, capabilities,
    ) = values  # fmt: skip
    return Tag(
        f"{model}:{name}",
        quantization,
        _PURPOSES[purpose],
        download,
        blob,
        projector,
        _EXACTNESS[exactness],
        digest,
        own_context or context,
        file_format,
        pullable,
        tuple([f"{model}:{alias}" for alias in aliases]) if aliases else (),
        variants[variant - 1] if variant else None,
        None if capabilities is None else frozenset(capabilities),
        aware,
    )


def build_benchmark(row: list[Any], catalog: dict[str, Any]) -> Benchmark:
    """Return one score."""
    values: tuple[Any, ...] = (*row, *_SCORE_DEFAULTS[len(row) :])
    name, value, setting, by, source, date = values
    cite = catalog["sources"][source] if isinstance(source, int) else source
    return Benchmark(name, value, setting, by, cite, date)


def build_architecture(fields: dict[str, Any] | None) -> Architecture | None:
    """Return the architecture; a single number stands for the same number in every block."""
    if fields is None:
        return None
    values = dict(fields)
    blocks = values["block_count"]
    for key in _PER_BLOCK:
        value = values[key]
        values[key] = (value,) * blocks if isinstance(value, int) else tuple(value)
    for key in _FLAGS:
        value = values.get(key)
        if isinstance(value, list):
            values[key] = tuple([bool(flag) for flag in value])
    return Architecture(**values)

"""The library's tags as rows of our catalog.

Tags with the same manifest are one row: its name, and the other names as aliases.
"""

from __future__ import annotations

from typing import Any

from assistant.models.names import split_tag

Row = dict[str, Any]

_INSTRUCT = {"instruct", "chat", "it", "zephyr"}
_BASE = {"text", "base", "pt"}
_CODE_BASE = {"code", "python", "fim"}
# Families whose tags without such a word are pretrained models, not instruction-tuned ones.
_PLAIN_IS_BASE = {"yi", "stablelm2", "qwen"}
_PLAIN_IS_CODE_BASE = {"starcoder2"}
_EMBEDDING = "embedding"
_CONTEXT_UNITS = {"K": 1024, "M": 1024**2}
# Template, licence, parameters and configuration: the median of the 636 manifests known.
_SMALL_LAYERS = 12_081
_PURPOSE_CODE = {"instruct": "i", "base": "b", "embedding": "e", "code-base": "c"}
_EXACTNESS_CODE = {"exact": "x", "derived": "d", "listed": "l"}


def tag_rows(fact: Row, merged: Row) -> list[list[Any]]:
    """Return the tags of a model, trailing default values left out.

    Columns: tag, other names, quantization, purpose, download bytes, model bytes, projector
    bytes, exactness, digest, context length, format, pullable, quantization-aware, variant of
    the architecture (1-based), capabilities.
    """
    groups: dict[str, list[Row]] = {}
    for tag in fact["tags"]:
        groups.setdefault(tag["id12"] or tag["tag"], []).append(tag)
    return [tag_row(fact, group, merged) for group in groups.values()]


def tag_row(fact: Row, group: list[Row], merged: Row) -> list[Any]:
    """Return one row for the tags of one manifest."""
    names = suffixes(group)
    name = chosen_name(fact, names)
    first = group[0]
    purpose = tag_purpose(fact, names)
    # Some MLX builds stand there twice, as `mlx` and under the level they are.
    level = next((t["quant"] for t in group if t["quant"] != "MLX"), first["quant"])
    quantization, aware = quantization_of(level or merged.get("quantization"))
    variant = next(
        (
            number
            for number, entry in enumerate(merged.get("tag_architectures", []), start=1)
            if any(word in n for n in names for word in entry["tags"])
        ),
        0,
    )
    arithmetic = variant == 0 and not merged.get("ignore_derived")
    download, model, projector, exactness = tag_bytes(fact, first, merged, derived=arithmetic)
    own = next(
        (
            entry["capabilities"]
            for entry in merged.get("tag_capabilities", [])
            if any(word in n.split("-") for n in names for word in entry["words"])
        ),
        None,
    )
    row = [
        name,
        [n for n in names if n != name],
        quantization,
        _PURPOSE_CODE[purpose],
        download,
        model,
        projector,
        _EXACTNESS_CODE[exactness],
        first["id12"],
        listed_context(fact, group),
        first["format"],
        first["format"] == "gguf" and "cloud" not in name,
        aware,
        variant,
        own,
    ]
    return trim(row, [None] * 9 + [None, "gguf", True, False, 0, None])


def suffixes(group: list[Row]) -> list[str]:
    """Return every tag of a manifest, in the order of the listing."""
    names: dict[str, None] = {}
    for tag in group:
        names.setdefault(tag["tag"].split(":")[1])
    for tag in group:
        for alias in tag.get("aliases") or []:
            names.setdefault(alias)
    return list(names)


def chosen_name(fact: Row, names: list[str]) -> str:
    """Return the tag shown for a manifest: the size alone, else the most explicit one."""
    if fact["size_tag"] in names:
        return str(fact["size_tag"])
    if names == ["latest"] or (fact["size_tag"] is None and "latest" in names):
        return "latest"
    return max(names, key=lambda n: (n != "latest", len(n), n))


def tag_purpose(fact: Row, names: list[str]) -> str:
    """Return what a tag is trained for, read from the words of all its names."""
    if _EMBEDDING in fact["capabilities"]:
        return _EMBEDDING
    words = {word for name in names for word in split_tag(name).variant}
    if words & _CODE_BASE:
        return "code-base"
    if words & _BASE:
        return "base"
    if words & _INSTRUCT:
        return "instruct"
    if fact["family"] in _PLAIN_IS_CODE_BASE:
        return "code-base"
    return "base" if fact["family"] in _PLAIN_IS_BASE else "instruct"


def tag_bytes(
    fact: Row, tag: Row, merged: Row, *, derived: bool
) -> tuple[int | None, int | None, int | None, str]:
    """Return download, model and projector bytes, and how exact they are.

    `derived` says whether the facts' tensor arithmetic holds for this tag: it was done with
    the model's own architecture.
    """
    model, total = tag.get("model_bytes"), tag.get("total_bytes")
    projector = tag.get("projector_bytes")
    known = fact.get("projector") or {}
    if projector is None and known.get("kind") == "separate blob":
        projector = known.get("bytes") or known.get("bytes_approx")
        projector = projector or merged.get("projector_bytes")
    if model is not None and total is None:
        total = model + (projector or 0)
    if model is not None:
        return total, model, projector, "exact"
    if total is not None:
        return total, total - (projector or 0) - _SMALL_LAYERS, projector, "derived"
    arithmetic = tag.get("derived_model_bytes") if derived else None
    if arithmetic is not None:
        return arithmetic + (projector or 0), arithmetic, projector, "derived"
    listed = tag.get("size_gb_listed")
    return (None if listed is None else round(listed * 1e9)), None, projector, "listed"


def quantization_of(level: str | None) -> tuple[str | None, bool]:
    """Return the level as llama.cpp names it, and whether it was trained for that level."""
    if level is None:
        return None, False
    return level.removeprefix("QAT-"), level.startswith("QAT-")


def listed_context(fact: Row, group: list[Row]) -> int | None:
    """Return a tag's own context length, or None when it is the model's."""
    listed = group[0].get("context_listed")
    if not listed:
        return None
    unit = _CONTEXT_UNITS.get(listed[-1])
    length = int(listed) if unit is None else int(listed[:-1]) * unit
    usual = fact["context_length"]
    if usual is not None and (length == usual or length // 1024 == usual // 1024):
        return None
    return length


def trim(row: list[Any], defaults: list[Any]) -> list[Any]:
    """Return the row without the default values at its end."""
    end = len(row)
    while end and row[end - 1] == defaults[end - 1]:
        end -= 1
    return row[:end]

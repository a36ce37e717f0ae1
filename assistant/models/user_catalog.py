"""A person's own catalog entries, laid over the shipped ones.

The file is TOML or JSON with a list `models`; `docs/catalog.md` shows one. An entry whose
`name` is known corrects the keys it gives, and its tags are laid over the shipped tags by
name; any other entry adds a model.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from assistant.errors import CatalogError, ModelNameError
from assistant.models.architecture import Architecture
from assistant.models.names import parse_model_name, parse_quantization

if TYPE_CHECKING:
    from pathlib import Path

_TEXT: Final = ("title", "publisher", "release", "family", "default_tag", "hf_repo")
_LISTS: Final = ("capabilities", "languages", "cautions", "notes")
_COUNTS: Final = ("parameters_total", "parameters_active", "context_length")
_OTHER: Final = ("name", "licence", "commercial_use", "licence_note", "architecture", "tags")
_USES: Final = ("yes", "no", "conditional", "unknown")
_PURPOSES: Final = {"instruct": "i", "base": "b", "embedding": "e", "code-base": "c"}
_TAG_KEYS: Final = (
    "tag", "quantization", "purpose", "download_bytes", "model_bytes", "projector_bytes",
    "context_length", "aliases",
)  # fmt: skip
_PER_BLOCK: Final = ("feed_forward_length", "head_count", "head_count_kv")
_FLAGS: Final = ("sliding_window_pattern", "recurrent_layers")
_REQUIRED: Final = (
    "name", "block_count", "embedding_length", "vocab_size", *_PER_BLOCK,
    "key_length", "value_length",
)  # fmt: skip


def overlay_user_file(data: dict[str, Any], path: Path) -> None:
    """Lay the entries of a person's own file over the catalog `data`, in place.

    Raises:
        CatalogError: the file cannot be read, or an entry is not as it must be; the message
            names the file, the entry and the key.
    """
    content = _read(path)
    unknown = set(content) - {"models"}
    if unknown:
        raise _problem(path, f"the key {min(unknown)!r} is not known")
    entries = content.get("models", [])
    if not isinstance(entries, list):
        raise _problem(path, "'models' must be a list")
    places = {row["name"]: index for index, row in enumerate(data["models"])}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise _problem(path, f"entry {number} must be a table")
        name = _model_name(path, number, entry)
        base = data["models"][places[name]] if name in places else None
        row = _Entry(path, name, entry).row(base)
        if base is None:
            places[name] = len(data["models"])
            data["models"].append(row)
        else:
            data["models"][places[name]] = row


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            content = json.loads(text)
        else:
            import tomllib

            content = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"Your catalog file {str(path)!r} cannot be read: {error}.",
            hint="Correct the file or leave it out.",
        ) from error
    if not isinstance(content, dict):
        raise _problem(path, "it must hold a table with a list 'models'")
    return content


def _model_name(path: Path, number: int, entry: dict[str, Any]) -> str:
    name = entry.get("name")
    if not isinstance(name, str):
        raise _problem(path, f"entry {number} needs a 'name'")
    try:
        parsed = parse_model_name(name)
    except ModelNameError as error:
        raise _problem(path, f"'name' of entry {number}: {error.message}") from error
    if not parsed.is_library:
        raise _problem(path, f"'name' of entry {number} must be of the form model:tag")
    return name.lower()


class _Entry:
    """One entry being read; knows its file and model for the messages."""

    def __init__(self, path: Path, name: str, entry: dict[str, Any]) -> None:
        self._path = path
        self._name = name
        self._entry = entry

    def row(self, base: dict[str, Any] | None) -> dict[str, Any]:
        """Return the catalog row for this entry, on top of `base` where there is one."""
        known = {*_TEXT, *_LISTS, *_COUNTS, *_OTHER}
        unknown = set(self._entry) - known
        if unknown:
            raise self._problem(min(unknown), "is not known")
        row = dict(base) if base else self._new_row()
        for key in _TEXT:
            if key in self._entry:
                row[key] = self._text(key)
        for key in _LISTS:
            if key in self._entry:
                row[key] = self._texts(key)
        if "context_length" in self._entry:
            row["context"] = self._count("context_length")
        total, active = row.get("parameters", (None, None))
        if "parameters_total" in self._entry:
            total = self._count("parameters_total")
            active = total if base is None else active
        if "parameters_active" in self._entry:
            active = self._count("parameters_active")
        row["parameters"] = [total, active]
        self._licence(row)
        if "architecture" in self._entry:
            row["architecture"] = self._architecture(row.get("architecture") or {})
        if "tags" in self._entry:
            row["tags"] = self._tags(row.get("tags", []))
        if row.get("tags") and "default_tag" not in row:
            row["default_tag"] = row["tags"][0][0]
        return row

    def _new_row(self) -> dict[str, Any]:
        model, _, size = self._name.partition(":")
        return {
            "name": self._name,
            "family": model,
            "title": f"{model} {size}".strip(),
            "notes": ["From your own catalog file."],
        }

    def _licence(self, row: dict[str, Any]) -> None:
        keys = {"licence", "commercial_use", "licence_note"} & set(self._entry)
        if not keys:
            return
        name = self._text("licence") if "licence" in self._entry else None
        use = self._entry.get("commercial_use", "unknown")
        if use not in _USES:
            raise self._problem("commercial_use", f"must be one of {', '.join(_USES)}")
        note = self._text("licence_note") if "licence_note" in self._entry else None
        row["licence"] = [name, use, note]

    def _architecture(self, base: dict[str, Any]) -> dict[str, Any]:
        stated = self._entry["architecture"]
        if not isinstance(stated, dict):
            raise self._problem("architecture", "must be a table")
        known = {field.name for field in fields(Architecture)}
        merged = {**base, **stated}
        for key, value in stated.items():
            if key not in known:
                raise self._problem(f"architecture.{key}", "is not known")
            self._check_architecture_value(key, value, merged)
        for key in _REQUIRED:
            if key not in merged:
                raise self._problem(f"architecture.{key}", "is missing")
        return merged

    def _check_architecture_value(self, key: str, value: object, merged: dict[str, Any]) -> None:
        if key == "name":
            valid = isinstance(value, str) and bool(value)
        elif key == "tied_embeddings":
            valid = isinstance(value, bool)
        elif isinstance(value, list) and key in (*_PER_BLOCK, *_FLAGS):
            whole = all(isinstance(x, int) and x >= 0 for x in value)
            valid = whole and len(value) == merged.get("block_count")
        else:
            valid = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not valid:
            raise self._problem(
                f"architecture.{key}",
                "must be a whole number, or where blocks differ one for each of block_count",
            )

    def _tags(self, base: list[list[Any]]) -> list[list[Any]]:
        stated = self._entry["tags"]
        if not isinstance(stated, list):
            raise self._problem("tags", "must be a list")
        rows = {row[0]: row for row in base}
        for number, tag in enumerate(stated, start=1):
            if not isinstance(tag, dict) or not isinstance(tag.get("tag"), str):
                raise self._problem(f"tags[{number}]", "needs a 'tag'")
            rows[tag["tag"]] = self._tag(number, tag)
        return list(rows.values())

    def _tag(self, number: int, tag: dict[str, Any]) -> list[Any]:
        where = f"tags[{number}]"
        unknown = set(tag) - set(_TAG_KEYS)
        if unknown:
            raise self._problem(f"{where}.{min(unknown)}", "is not known")
        try:
            parse_model_name(f"{self._name.partition(':')[0]}:{tag['tag']}")
        except ModelNameError as error:
            raise self._problem(f"{where}.tag", "is not a tag Ollama would accept") from error
        level = tag.get("quantization")
        if level is not None and (not isinstance(level, str) or parse_quantization(level) is None):
            raise self._problem(f"{where}.quantization", "is not a quantization level")
        purpose = _PURPOSES.get(tag.get("purpose", "instruct"))
        if purpose is None:
            raise self._problem(f"{where}.purpose", f"must be one of {', '.join(_PURPOSES)}")
        sizes = []
        for key in ("download_bytes", "model_bytes", "projector_bytes", "context_length"):
            value = tag.get(key)
            if value is not None and (not isinstance(value, int) or value <= 0):
                raise self._problem(f"{where}.{key}", "must be a whole number above 0")
            sizes.append(value)
        aliases = tag.get("aliases", [])
        if not isinstance(aliases, list) or not all(isinstance(a, str) for a in aliases):
            raise self._problem(f"{where}.aliases", "must be a list of tags")
        exactness = "x" if tag.get("model_bytes") or tag.get("download_bytes") else "d"
        usual = None if level is None else parse_quantization(level)
        return [tag["tag"], aliases, usual, purpose, *sizes[:3], exactness, None, sizes[3]]

    def _text(self, key: str) -> str:
        value = self._entry[key]
        if not isinstance(value, str) or not value:
            raise self._problem(key, "must be text")
        return value

    def _texts(self, key: str) -> list[str]:
        value = self._entry[key]
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            raise self._problem(key, "must be a list of words")
        return value

    def _count(self, key: str) -> int:
        value = self._entry[key]
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise self._problem(key, "must be a whole number above 0")
        return value

    def _problem(self, key: str, why: str) -> CatalogError:
        return _problem(self._path, f"{key!r} of {self._name!r} {why}")


def _problem(path: Path, what: str) -> CatalogError:
    return CatalogError(
        f"Your catalog file {str(path)!r} is not as it must be: {what}.",
        hint="The page on the catalog in the documentation shows the keys there are.",
    )

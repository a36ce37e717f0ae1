"""What a model says when nobody wrote a script for it: short, the same every time, and valid.

Tools that are offered are called once, with arguments that their schema accepts; a format gives
JSON of that form; a thinking model thinks first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.support.fake_ollama.turns import Call, Say, Turn

DEFAULT_TEXT = (
    "This is a short answer of the test server, the same one every time, so that a test can"
    " count on it. It has more than one sentence and says nothing of interest."
)
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_EXAMPLES = {"location": "Paris", "city": "Paris", "country": "France", "name": "Ada"}


class PlainModel:
    """Answers by what the request asks for."""

    def __init__(self, capabilities: tuple[str, ...]) -> None:
        self.capabilities = capabilities

    def reply(self, request: dict[str, Any]) -> Turn:
        tools = request.get("tools") or []
        messages = request.get("messages") or []
        answered = bool(messages) and messages[-1].get("role") == "tool"
        if tools and "tools" in self.capabilities and not answered:
            function = tools[0]["function"]
            arguments = sample_of(function.get("parameters") or {"type": "object"})
            return Call(((function["name"], arguments),))
        wanted = request.get("format")
        if wanted:
            value = {"answer": "yes"} if wanted == "json" else sample_of(wanted)
            return Say(json.dumps(value))
        thinks = "thinking" in self.capabilities and request.get("think") is not False
        return Say(DEFAULT_TEXT, thinking="The question is plain." if thinks else "")


def sample_of(
    schema: Mapping[str, Any], name: str = "", root: Mapping[str, Any] | None = None
) -> Any:
    """Return a value that a JSON schema accepts; required keys only, or all if none is."""
    root = root or schema
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return sample_of(target, name, root)
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return sample_of(schema[word][0], name, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        keys = schema.get("required") or list(properties)
        return {key: sample_of(properties.get(key, {}), key, root) for key in keys}
    if kind == "array":
        items = schema.get("items") or {}
        return [sample_of(items, name, root) for _ in range(schema.get("minItems", 1))]
    if kind == "string":
        return _text(schema, name)
    plain = {"integer": int(schema.get("minimum", 1)), "number": float(schema.get("minimum", 1))}
    return {**plain, "boolean": True}.get(kind)


def _text(schema: Mapping[str, Any], name: str) -> str:
    text = _EXAMPLES.get(name, "text")
    least = schema.get("minLength", 0)
    return text.ljust(least, "x")[: schema.get("maxLength", max(least, 40))]


def unknown_schema(schema: Any) -> Mapping[str, Any] | None:
    """Return the part of a schema that llama.cpp cannot turn into a grammar, or None."""
    if not isinstance(schema, Mapping):
        return None
    kind = schema.get("type")
    if isinstance(kind, str) and kind not in _TYPES:
        return schema
    parts = [*(schema.get("properties") or {}).values(), schema.get("items")]
    return next((found for part in parts if (found := unknown_schema(part)) is not None), None)


def count_tokens(text: str) -> int:
    """Return about the tokens of a text: words, single digits and marks."""
    return len(re.findall(r"[^\W\d]+|\d|[^\w\s]", text))

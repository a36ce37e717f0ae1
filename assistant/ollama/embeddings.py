"""Vectors from the embedding models of an Ollama server: `/api/tags` and `/api/embed`.

Asked with `assistant.ollama.wire`, because the official client takes a quarter of a second to
import, which is longer than embedding a question takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from assistant.ollama import wire
from assistant.ollama.errors import NotOllamaError
from assistant.ollama.server_address import ServerAddress

# Architectures that only embed, for servers that list no capabilities.
_EMBEDDING_FAMILIES: Final = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "xlm-roberta"})


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """An installed model that makes vectors; `size_bytes` is 0 where the server does not say."""

    name: str
    size_bytes: int


def embedding_models(address: ServerAddress, *, timeout_s: float) -> tuple[EmbeddingModel, ...]:
    """Return the server's installed embedding models, by name.

    Raises:
        OllamaError: it cannot be reached or does not answer as it should.
    """
    wire.check_reachable(address)
    answer = wire.request_json(address, "/api/tags", timeout_s=timeout_s)
    listed = answer.get("models")
    models = [model for model in listed if isinstance(model, dict)] if listed else []
    found = (
        EmbeddingModel(name=str(m["name"]), size_bytes=_whole(m.get("size")))
        for m in models
        if m.get("name") and _embeds(m)
    )
    return tuple(sorted(found, key=lambda model: model.name))


def embed_texts(
    address: ServerAddress, model: str, texts: Sequence[str], *, timeout_s: float
) -> list[list[float]]:
    """Return one vector per text, in the order given; too long texts are cut by the server.

    Raises:
        OllamaError: the server cannot be reached, refuses, or answers with something else.
    """
    if not texts:
        return []
    wire.check_reachable(address)
    body = {"model": model, "input": list(texts), "truncate": True}
    answer = wire.request_json(address, "/api/embed", body=body, timeout_s=timeout_s)
    vectors = answer.get("embeddings")
    if not isinstance(vectors, list) or len(vectors) != len(texts):
        raise NotOllamaError(address, "/api/embed does not answer with one vector per text")
    dimension = len(vectors[0]) if isinstance(vectors[0], list) else 0
    return [_vector(vector, dimension, address) for vector in vectors]


def _vector(values: object, dimension: int, address: ServerAddress) -> list[float]:
    if isinstance(values, list) and len(values) == dimension > 0:
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError):
            numbers = []
        if numbers and all(math.isfinite(number) for number in numbers):
            return numbers
    raise NotOllamaError(address, "/api/embed answers with something that is not a vector")


def _embeds(model: dict[str, Any]) -> bool:
    capabilities = model.get("capabilities")
    if isinstance(capabilities, list) and "embedding" in capabilities:
        return True
    details = model.get("details")
    family = details.get("family") if isinstance(details, dict) else None
    return family in _EMBEDDING_FAMILIES or "embed" in str(model["name"]).lower()


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0

"""What `/api/show` answers, as a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from assistant.ollama.errors import NotOllamaError
from assistant.ollama.records import ShownModel
from assistant.ollama.server_address import ServerAddress


def shown_model(name: str, answer: Mapping[str, Any], address: ServerAddress) -> ShownModel:
    """Return the record of one model.

    Raises:
        NotOllamaError: it is no such answer.
    """
    metadata = answer.get("model_info")
    if not isinstance(metadata, dict):
        raise NotOllamaError(address, "/api/show carries no model_info")
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}
    projector = answer.get("projector_info")
    return ShownModel(
        name=name,
        metadata=metadata,
        tensors=tuple(_tensors(answer.get("tensors"))),
        projector_metadata=projector if isinstance(projector, dict) else {},
        capabilities=frozenset(c for c in answer.get("capabilities") or () if isinstance(c, str)),
        parameters=_parameters(answer.get("parameters")),
        quantization=details.get("quantization_level") or None,
        parameter_size=details.get("parameter_size") or None,
        template=answer.get("template"),
        licence=answer.get("license"),
        system=_text(answer.get("system")),
        modelfile=_text(answer.get("modelfile")),
        remote_host=_text(answer.get("remote_host")),
    )


def _tensors(listed: object) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for tensor in listed if isinstance(listed, list) else ():
        if isinstance(tensor, dict) and isinstance(tensor.get("name"), str):
            shape = tensor.get("shape") or ()
            yield tensor["name"], str(tensor.get("type")), tuple(int(n) for n in shape)


def _parameters(text: object) -> dict[str, str | tuple[str, ...]]:
    """Return the options in the `parameters` text: a name, spaces, a value on each line."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines() if isinstance(text, str) else ():
        name, _, value = line.strip().partition(" ")
        if name:
            found.setdefault(name, []).append(value.strip())
    return {name: v[0] if len(v) == 1 else tuple(v) for name, v in found.items()}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

"""What is there: version, tags, show, ps; and copy, delete and uploaded blobs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.support.fake_ollama.exchange import PLAIN_JSON, Exchange, dumps, stamp
from tests.support.fake_ollama.options import RefusedError, named, parsed
from tests.support.fake_ollama.state import Blob, Manifest, Weights, digest_of

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer


def root(server: OllamaServer, exchange: Exchange) -> None:
    """`GET /`."""
    exchange.send(200, "text/plain; charset=utf-8", b"Ollama is running")


def version(server: OllamaServer, exchange: Exchange) -> None:
    """`GET /api/version`."""
    exchange.whole(200, {"version": server.version})


def status(server: OllamaServer, exchange: Exchange) -> None:
    """`GET /api/status`."""
    exchange.whole(200, {"cloud": {"disabled": True, "source": "env"}})


def tags(server: OllamaServer, exchange: Exchange) -> None:
    """`GET /api/tags`: newest first."""
    exchange.whole(200, {"models": [_tag(manifest) for manifest in _newest_first(server)]})


def running(server: OllamaServer, exchange: Exchange) -> None:
    """`GET /api/ps`."""
    models = [
        {
            "name": runner.listed_name,
            "model": runner.listed_name,
            "size": runner.size,
            "digest": runner.manifest.digest,
            "details": details_of(runner.manifest),
            "expires_at": stamp(runner.expires_at),
            "size_vram": runner.vram,
            "context_length": runner.num_ctx,
        }
        for runner in server.runners.loaded()
    ]
    exchange.whole(200, {"models": models})


def v1_models(server: OllamaServer, exchange: Exchange) -> None:
    """`GET /v1/models`."""
    data = [
        {
            "id": manifest.name.render(),
            "object": "model",
            "created": int(manifest.modified_at),
            "owned_by": manifest.name.namespace,
        }
        for manifest in _newest_first(server)
    ]
    exchange.whole(200, {"object": "list", "data": data}, kind=PLAIN_JSON)


def show(server: OllamaServer, exchange: Exchange) -> None:
    """`POST /api/show`."""
    text, name = named(exchange.body)
    manifest = server.state.manifests.get(name.key)
    if manifest is None:
        raise RefusedError(404, f"model '{text}' not found")
    exchange.whole(200, _shown(server, manifest, verbose=bool(exchange.body.get("verbose"))))


def copy(server: OllamaServer, exchange: Exchange) -> None:
    """`POST /api/copy`."""
    source = str(exchange.body.get("source") or "")
    destination = str(exchange.body.get("destination") or "")
    for kind, text in (("source", source), ("destination", destination)):
        try:
            parsed(text)
        except RefusedError as error:
            raise RefusedError(400, f"{kind} {dumps(text)} is invalid") from error
    manifest = server.state.manifests.get(parsed(source).key)
    if manifest is None:
        raise RefusedError(404, f"model {dumps(source)} not found")
    copied = replace(manifest, name=parsed(destination), modified_at=server.state.now())
    server.state.put(copied, {})
    exchange.empty(200)


def delete(server: OllamaServer, exchange: Exchange) -> None:
    """`DELETE /api/delete`: what is in memory stays there, and so do partial downloads."""
    text = str(exchange.body.get("model") or exchange.body.get("name") or "")
    try:
        name = parsed(text)
    except RefusedError as error:
        raise RefusedError(400, f"name {dumps(text)} is invalid") from error
    if name.key not in server.state.manifests:
        raise RefusedError(404, f"model '{text}' not found")
    server.state.remove(name.key)
    exchange.empty(200)


def blob(server: OllamaServer, exchange: Exchange) -> None:
    """`HEAD` and `POST /api/blobs/:digest`; a wrong digest is refused, and the bytes kept."""
    digest = exchange.path.rpartition("/")[2]
    if not re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", digest):
        raise RefusedError(400, "invalid digest format")
    blobs = server.state.blobs
    if exchange.handler.command == "HEAD":
        if digest not in blobs:
            return exchange.json(404, {"error": f"blob {dumps(digest)} not found"})
        return exchange.empty(200, announced=False)
    if digest in blobs:
        return exchange.empty(200)
    found = digest_of(exchange.raw)
    blobs[found] = Blob(len(exchange.raw), exchange.raw)
    if found != digest:
        text = f"digest mismatch, expected {dumps(digest)}, got {dumps(found)}"
        raise RefusedError(400, text)
    return exchange.empty(201)


def details_of(manifest: Manifest, *, with_lengths: bool = False) -> dict[str, Any]:
    """Return the `details` of a model; `tags` adds the lengths, except of what it cannot read."""
    weights: Weights = manifest.weights
    details: dict[str, Any] = {
        "parent_model": manifest.parent_model,
        "format": "gguf",
        "family": weights.family,
        "families": [weights.family],
        "parameter_size": weights.parameter_size,
        "quantization_level": weights.quantization,
    }
    if with_lengths and not weights.listed_as_completion:
        details["context_length"] = weights.context_length
        details["embedding_length"] = weights.embedding_length
    return details


def _newest_first(server: OllamaServer) -> list[Manifest]:
    with server.state.lock:
        return sorted(server.state.manifests.values(), key=lambda m: -m.modified_at)


def _tag(manifest: Manifest) -> dict[str, Any]:
    listed = ["completion"] if manifest.weights.listed_as_completion else manifest.capabilities
    return {
        "name": manifest.name.render(),
        "model": manifest.name.render(),
        "modified_at": stamp(manifest.modified_at),
        "size": manifest.size,
        "digest": manifest.digest,
        "details": details_of(manifest, with_lengths=True),
        "capabilities": list(listed),
    }


def _shown(server: OllamaServer, manifest: Manifest, *, verbose: bool) -> dict[str, Any]:
    state, weights = server.state, manifest.weights
    template = state.text_of(manifest, "template") or "{{ .Prompt }}"
    system = state.text_of(manifest, "system")
    licence = state.text_of(manifest, "license")
    params = state.params_of(manifest)
    answer: dict[str, Any] = {}
    if licence:
        answer["license"] = licence
    answer["modelfile"] = _modelfile(
        manifest, state.blob_path(weights.digest), template, system, params, licence
    )
    if params:
        answer["parameters"] = "\n".join(
            f"{name:<30} {dumps(value) if isinstance(value, str) else _number(value)}"
            for name, value in _flat(params)
        )
    answer["template"] = template
    if system:
        answer["system"] = system
    answer["details"] = details_of(manifest)
    info = dict(weights.metadata)
    answer["model_info"] = {**info, **weights.arrays} if verbose else info
    if manifest.layer("projector"):
        answer["projector_info"] = {"general.architecture": "clip", "general.type": "mmproj"}
    answer["tensors"] = [dict(tensor) for tensor in weights.tensors]
    answer["capabilities"] = list(manifest.capabilities)
    answer["modified_at"] = stamp(manifest.modified_at)
    return answer


def _modelfile(
    manifest: Manifest,
    path: str,
    template: str,
    system: str | None,
    params: dict[str, Any],
    licence: str | None,
) -> str:
    name = manifest.name.render()
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {name}",
        "",
        f"FROM {path}",
        f"TEMPLATE {_quoted(template)}",
    ]
    if system:
        lines.append(f"SYSTEM {_quoted(system)}")
    lines += [
        f"PARAMETER {key} {_quoted(value) if isinstance(value, str) else _number(value)}"
        for key, value in _flat(dict(sorted(params.items())))
    ]
    if licence:
        lines.append(f"LICENSE {_quoted(licence)}")
    return "\n".join(lines) + "\n"


def _flat(params: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return one pair per line: a list of values is an option that is given repeatedly."""
    return [
        (name, item)
        for name, value in params.items()
        for item in (value if isinstance(value, list) else [value])
    ]


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def _quoted(text: str) -> str:
    """Return text as a Modelfile has it: in quotes only when it needs them."""
    if "\n" in text or text.startswith(" ") or text.endswith(" "):
        return f'"""{text}"""' if '"' in text else f'"{text}"'
    return text

"""`POST /api/create`: a model from another one, from a GGUF file or from safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assistant.errors import GgufError
from assistant.fit.model_facts import facts_from_header
from assistant.models.gguf import read_header
from assistant.models.names import ModelName
from tests.support.fake_ollama.exchange import Exchange, FailedError
from tests.support.fake_ollama.library import (
    CHATML_TEMPLATE,
    capabilities_with,
    params_content,
    weights_of,
)
from tests.support.fake_ollama.options import named, parsed
from tests.support.fake_ollama.pull import download
from tests.support.fake_ollama.state import (
    Blob,
    Layer,
    Manifest,
    State,
    Weights,
    digest_of,
    go_json,
)

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer

_WHOLE = frozenset({"F16", "BF16", "F32"})
_FROM_TEMPLATE = frozenset({"tools", "insert", "thinking"})
_SMALL = ("template", "system", "license", "params", "messages")
_CHATML_PARAMS = {"stop": ["<|im_start|>", "<|im_end|>"]}


def create(server: OllamaServer, exchange: Exchange) -> None:
    """Create a model under a name, in place of one of that name."""
    _, name = named(exchange.body)
    stream = exchange.body.get("stream") is not False
    exchange.progress(_created(server, exchange, name), stream=stream)


def _created(server: OllamaServer, exchange: Exchange, name: ModelName) -> Iterator[dict[str, Any]]:
    body, state = exchange.body, server.state
    if not body.get("from") and not body.get("files"):
        raise FailedError("neither 'from' or 'files' was specified", 400)
    check_template(str(body.get("template") or ""))
    parent: Manifest | None = None
    if body.get("from"):
        origin = parsed(str(body["from"]))
        if origin.key not in state.manifests:
            yield from _pulled(server, exchange, origin)
        parent = state.manifests[origin.key]
        weights = parent.weights
        if body.get("quantize") and weights.quantization not in _WHOLE:
            raise FailedError("quantization is only supported for F16, BF16 and F32 models")
        model_layers = [n for n in parent.layers if n.kind in {"model", "projector"}]
        small = {kind: state.text_of(parent, kind) for kind in _SMALL}
        for layer in model_layers:
            yield {"status": f"using existing layer {layer.digest}"}
    else:
        weights, template = yield from _from_files(state, body)
        model_layers = [Layer("model", weights.digest, weights.size)]
        small = dict.fromkeys(_SMALL)
        yield _kept(state, model_layers[0], None, weights)
        if template:
            yield {"status": "using autodetected template chatml"}
            small["template"] = CHATML_TEMPLATE
            small["params"] = params_content(_CHATML_PARAMS).decode()
    small |= _changes(body, small["params"])
    layers = list(model_layers)
    for kind in _SMALL:
        text = small[kind]
        if text:
            data = text.encode()
            layers.append(Layer(kind, digest_of(data), len(data)))
            if parent is not None or kind != "template":
                yield _kept(state, layers[-1], data, weights)
            else:
                state.add_blob(layers[-1], data, weights)
    if exchange.due("disk_full"):
        raise FailedError(f"write {state.models_path}/blobs/: no space left on device")
    yield {"status": "writing manifest"}
    _write(server, name, parent, Manifest(name, tuple(layers), weights, ()), small["template"])
    yield {"status": "success"}


def _pulled(
    server: OllamaServer, exchange: Exchange, origin: ModelName
) -> Iterator[dict[str, Any]]:
    """Pull the parent that is not there, with the lines of a pull except its last one."""
    for line in download(server, exchange, origin):
        if line["status"] != "success":
            yield line


def _changes(body: Mapping[str, Any], params: str | None) -> dict[str, str | None]:
    """Return the layers that a request changes; options are laid over those that were there."""
    changes: dict[str, str | None] = {}
    for kind in ("template", "system"):
        if body.get(kind):
            changes[kind] = str(body[kind])
    if body.get("license"):
        texts = body["license"]
        changes["license"] = "\n".join(texts) if isinstance(texts, list) else str(texts)
    if body.get("messages"):
        changes["messages"] = go_json(body["messages"]) + "\n"
    if body.get("parameters"):
        merged = {**(json.loads(params) if params else {}), **body["parameters"]}
        changes["params"] = params_content(merged).decode()
    return changes


def _write(
    server: OllamaServer,
    name: ModelName,
    parent: Manifest | None,
    manifest: Manifest,
    template: str | None,
) -> None:
    state = server.state
    old = state.manifests.get(name.key)
    own = [word for word in manifest.weights.capabilities if word not in _FROM_TEMPLATE]
    if parent is not None and state.text_of(parent, "template") == template:
        own = list(parent.capabilities)
    if server.alive:
        manifest = replace(
            manifest,
            name=name if old is None else old.name,
            capabilities=capabilities_with(own, template or ""),
            parent_model="" if parent is None else parent.name.render(),
        )
        state.put(manifest, {})
        if old is not None:
            state.prune(old.every_layer)


def _kept(state: State, layer: Layer, content: bytes | None, weights: Weights) -> dict[str, Any]:
    """Store a layer's blob and return the line that says so."""
    known = layer.digest in state.blobs
    state.add_blob(layer, content, weights)
    return {"status": f"{'using existing' if known else 'creating new'} layer {layer.digest}"}


def _from_files(
    state: State, body: Mapping[str, Any]
) -> Generator[dict[str, Any], None, tuple[Weights, bool]]:
    """Yield the lines of reading uploaded files; return the weights and whether chat is known."""
    files: dict[str, str] = body["files"]
    safetensors = [d for n, d in files.items() if n.endswith(".safetensors")]
    if safetensors:
        yield {"status": "converting model"}
        weights = _weights_in(state, safetensors[0])
        level = str(body.get("quantize") or "").upper()
        if level:
            digest = digest_of(f"{weights.digest} {level}")
            weights = replace(weights, digest=digest, size=weights.size // 2, quantization=level)
        yield {"status": "verifying conversion"}
        return weights, False
    yield {"status": "parsing GGUF"}
    weights = _weights_in(state, next(iter(files.values())))
    yield {"status": "verifying conversion"}
    return weights, "embedding" not in weights.capabilities


def _weights_in(state: State, digest: str) -> Weights:
    """Return what an uploaded blob holds."""
    blob = state.blobs.get(digest)
    if blob is None:
        raise FailedError(f"open {state.blob_path(digest)}: no such file or directory")
    return blob.weights or _parsed_weights(blob, digest)


def _parsed_weights(blob: Blob, digest: str) -> Weights:
    content = blob.content or b""
    if not content.startswith(b"GGUF"):
        raise FailedError("supplied file was not in GGUF format")
    try:
        facts = facts_from_header(read_header(content), name=digest)
    except GgufError as error:
        raise FailedError(str(error)) from error
    capabilities = ("embedding",) if facts.architecture.is_embedding else ("completion",)
    weights = weights_of(
        facts,
        size=blob.size,
        quantization=facts.quantization or "F16",
        capabilities=capabilities,
    )
    return replace(weights, digest=digest)


def check_template(text: str) -> None:
    """Refuse a Go template that does not parse; only the plainest mistakes are known.

    Raises:
        FailedError: 400, with the text of Go's parser.
    """
    depth = 0
    position = 0
    while (start := text.find("{{", position)) >= 0:
        line = text.count("\n", 0, start) + 1
        end = text.find("}}", start)
        if end < 0:
            raise _template_error(line, "unclosed action")
        words = re.sub(r"^-|-$", "", text[start + 2 : end]).split()
        position = end + 2
        if words and words[0] in {"if", "range", "with"}:
            if len(words) == 1:
                raise _template_error(line, f"missing value for {words[0]}")
            depth += 1
        elif words == ["end"]:
            depth -= 1
            if depth < 0:
                raise _template_error(line, "unexpected {{end}}")
    if depth:
        raise _template_error(text.count("\n") + 1, "unexpected EOF")


def _template_error(line: int, what: str) -> FailedError:
    return FailedError(f"template error: template: :{line}: {what}", 400)

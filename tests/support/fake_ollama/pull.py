"""`POST /api/pull`: layer by layer, resuming what is there, with everything that can fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from assistant.models.names import ModelName
from tests.support.fake_ollama.exchange import EndedError, Exchange, FailedError
from tests.support.fake_ollama.library import LibraryModel
from tests.support.fake_ollama.options import named
from tests.support.fake_ollama.state import Layer, Manifest, Partial, digest_of

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer

_BIG = 65_536
_NOT_HTTPS = "http: server gave HTTP response to HTTPS client"
_RESOLVER = "10.255.255.53:53"


def pull(server: OllamaServer, exchange: Exchange) -> None:
    """Pull a model; nothing of it is listed before the last layer is there."""
    _, name = named(exchange.body)
    stream = exchange.body.get("stream") is not False
    insecure = bool(exchange.body.get("insecure"))
    exchange.progress(download(server, exchange, name, insecure=insecure), stream=stream)


def download(
    server: OllamaServer, exchange: Exchange, name: ModelName, *, insecure: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the lines of a pull.

    Raises:
        FailedError: the registry, the disk or the download fails; what came stays.
    """
    yield {"status": "pulling manifest"}
    model = _found(server, exchange, name, insecure=insecure)
    manifest = model.manifest()
    manifest.name = name
    old = server.state.manifests.get(name.key)
    if old is not None:
        manifest.name = old.name
    contents = model.contents
    first_small = True
    for layer in manifest.every_layer:
        cached = layer.digest in server.state.blobs
        yield from _layer(server, exchange, layer, manifest, contents, silent=not first_small)
        if not cached and layer.size <= _BIG:
            first_small = False
    yield {"status": "verifying sha256 digest"}
    if exchange.due("bad_digest"):
        _throw_away(server, manifest)
    yield {"status": "writing manifest"}
    _check_alive(server)
    server.state.put(manifest, contents)
    unused = [] if old is None or old.digest == manifest.digest else list(old.every_layer)
    kept = {layer.digest for layer in manifest.every_layer}
    if any(layer.digest not in kept for layer in unused):
        yield {"status": "removing unused layers"}
        server.state.prune(unused)
    yield {"status": "success"}


def _found(
    server: OllamaServer, exchange: Exchange, name: ModelName, *, insecure: bool
) -> LibraryModel:
    """Return the model that the registry has under a name, or fail as the registry does."""
    path = f"/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
    kind = server.registries.get(name.host, "https")
    if exchange.due("registry_gone"):
        kind = "no_network"
    problem = None
    if kind == "no_network":
        problem = f"dial tcp: lookup {name.host} on {_RESOLVER}: no such host"
    elif kind == "refused":
        problem = f"dial tcp {name.host}: connect: connection refused"
    elif kind in {"http", "no_redirect"} and not insecure:
        problem = _NOT_HTTPS
    if problem is not None:
        scheme = "http" if insecure else "https"
        raise FailedError(f'pull model manifest: Get "{scheme}://{name.host}{path}": {problem}')
    model = server.library.get(name.key)
    if model is None or exchange.due("missing_model"):
        raise FailedError("pull model manifest: file does not exist")
    if kind == "no_redirect":
        raise FailedError("http: no Location header in response")
    return model


def _layer(
    server: OllamaServer,
    exchange: Exchange,
    layer: Layer,
    manifest: Manifest,
    contents: dict[str, bytes],
    *,
    silent: bool,
) -> Iterator[dict[str, Any]]:
    """Yield the progress of one layer; small ones are over before there is any to tell."""
    state = server.state
    line = {
        "status": f"pulling {layer.digest.removeprefix('sha256:')[:12]}",
        "digest": layer.digest,
        "total": layer.size,
    }
    if layer.digest in state.blobs:
        yield {**line, "completed": layer.size}
        return
    _check_alive(server)
    state.forget_removed_partials()
    partial = state.partial(layer)
    if partial.poisoned:
        raise FailedError("EOF")
    if layer.size > _BIG:
        for completed in _progress(server, exchange, layer, partial, manifest.name):
            yield {**line, "completed": completed} if completed else dict(line)
    elif not silent:
        yield line
    _check_alive(server)
    state.finish(layer, contents.get(layer.digest), manifest.weights)


def _progress(
    server: OllamaServer, exchange: Exchange, layer: Layer, partial: Partial, name: ModelName
) -> Iterator[int]:
    """Yield how many bytes have come; of several clients one downloads, the others watch."""
    holding = False
    try:
        while partial.completed < layer.size and layer.digest not in server.state.blobs:
            yield partial.completed
            _meet_faults(server, exchange, layer, name)
            if exchange.client_left():
                raise EndedError
            holding = holding or partial.downloading.acquire(blocking=False)
            if holding:
                _advance(server, layer, partial)
            if server.bytes_per_s is not None or not holding:
                server.released.wait(server.tick_s)
    finally:
        if holding:
            partial.downloading.release()


def _advance(server: OllamaServer, layer: Layer, partial: Partial) -> None:
    if server.bytes_per_s is None:
        step = -(-layer.size // server.progress_lines)
    else:
        step = max(1, int(server.bytes_per_s * server.tick_s))
    with server.state.lock:
        _check_alive(server)
        partial.completed = min(layer.size, partial.completed + step)
        server.state.write_partials()


def _meet_faults(server: OllamaServer, exchange: Exchange, layer: Layer, name: ModelName) -> None:
    if exchange.due("disk_full"):
        path = f"{server.state.blob_path(layer.digest)}-partial"
        raise FailedError(f"write {path}: no space left on device")
    if exchange.due("poison"):
        server.state.poison(layer.digest)
        raise FailedError("EOF")
    if exchange.due("registry_gone"):
        scheme = "http" if exchange.body.get("insecure") else "https"
        url = f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/blobs/{layer.digest}"
        raise FailedError(
            f'max retries exceeded: Get "{url}": dial tcp 127.0.0.1:443: connect: connection'
            " refused"
        )


def _throw_away(server: OllamaServer, manifest: Manifest) -> None:
    """Remove a blob whose bytes are not what they should be."""
    wanted = manifest.weights.digest
    server.state.blobs.pop(wanted, None)
    got = digest_of(wanted + " damaged")
    raise FailedError(f"digest mismatch, file must be downloaded again: want {wanted}, got {got}")


def _check_alive(server: OllamaServer) -> None:
    """End a download whose server has died, before it changes what is on the disk."""
    if not server.alive:
        raise EndedError

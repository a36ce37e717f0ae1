"""A small model registry on loopback that can be told to misbehave.

It speaks the part of the OCI distribution protocol that Ollama uses: manifests by tag, blobs
by digest, byte ranges. `faults` maps a path prefix to a list of faults, used up one by one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assistant.models.names import ModelName

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.ollama.image."


def digest(body: bytes) -> str:
    """Return the digest that a registry stores a blob under."""
    return f"sha256:{sha256(body).hexdigest()}"


@dataclass
class Request:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]


Fault = Callable[["_Answering", bytes], None]
"""Called with the handler and the sound body; it answers in the place of the server."""


@dataclass
class FakeRegistry:
    """What the server holds, what it was asked, and how it is to fail."""

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    manifest_headers: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)

    def add_model(
        self,
        gguf: bytes,
        *,
        name: str = "library/tiny",
        tag: str = "latest",
        params: Any = None,
        projector: bytes | None = None,
        config: Any = None,
        extra: Mapping[str, bytes] | None = None,
    ) -> ModelName:
        """Hold a model and return its name."""
        config = config or {"model_format": "gguf", "model_family": "llama", "file_type": "Q4_K_M"}
        layers = {"model": gguf, "template": b"{{ .Prompt }}", **(extra or {})}
        if projector is not None:
            layers["projector"] = projector
        if params is not None:
            layers["params"] = json.dumps(params).encode()
        config_body = json.dumps(config).encode()
        for body in (*layers.values(), config_body):
            self.blobs[digest(body)] = body
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": digest(config_body),
                "size": len(config_body),
            },
            "layers": [
                {"mediaType": LAYER + kind, "digest": digest(body), "size": len(body)}
                for kind, body in layers.items()
            ],
        }
        return self.add_manifest(json.dumps(manifest).encode(), name=name, tag=tag)

    def add_manifest(
        self, body: bytes, *, name: str = "library/tiny", tag: str = "latest"
    ) -> ModelName:
        """Hold any bytes as the manifest of a model and return the model's name."""
        self.manifests[f"/v2/{name}/manifests/{tag}"] = body
        namespace, _, model = name.partition("/")
        return ModelName(model=model, tag=tag, namespace=namespace, host=self.host, scheme="http")

    def asked(self, part: str) -> list[Request]:
        """Return the requests whose path contains `part`."""
        return [request for request in self.requests if part in request.path]


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FakeRegistry

    def do_GET(self) -> None:
        registry = self.registry
        registry.requests.append(Request(self.path, dict(self.headers.items())))
        body = self._body()
        for prefix, faults in registry.faults.items():
            if prefix in self.path and faults:
                faults.pop(0)(self, body or b"")
                return
        for prefix, fault in registry.always.items():
            if prefix in self.path:
                fault(self, body or b"")
                return
        self.sound(body)

    def _body(self) -> bytes | None:
        found = self.registry.manifests.get(self.path)
        return self.registry.blobs.get(self.path.rpartition("/")[2]) if found is None else found

    def sound(self, body: bytes | None) -> None:
        if body is None:
            error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            self.answer(404, json.dumps(error).encode())
            return
        if "/manifests/" in self.path:
            headers = {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": digest(body)}
            self.answer(200, body, headers | self.registry.manifest_headers)
            return
        wanted = self.headers.get("Range")
        if wanted is None:
            self.answer(200, body, {"Content-Type": "application/octet-stream"})
            return
        first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
        if first >= len(body):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            return
        last = min(last, len(body) - 1)
        headers = {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
        self.answer(206, body[first : last + 1], headers)

    def answer(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        """Send an answer; with a `length` above the body's, break the connection off."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)
        if length is not None and length != len(body):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def running_registry() -> Iterator[FakeRegistry]:
    """Run a registry on a free port of this computer."""
    registry = FakeRegistry()
    handler = type("Answering", (_Answering,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, body: Any = None, **headers: str) -> Fault:
    """Answer with a status; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body or {"error": "no"}).encode()
    return lambda handler, _: handler.answer(code, raw, named)


def redirect(target: str, code: int = 307) -> Fault:
    """Redirect to `target`, or to the same path there when it ends with a slash."""

    def fault(handler: _Answering, _: bytes) -> None:
        to = target[:-1] + handler.path if target.endswith("/") else target
        handler.answer(code, b"", {"Location": to, "Set-Cookie": "secret=1"})

    return fault


def ignore_range(handler: _Answering, body: bytes) -> None:
    """Send the whole object with 200, whatever range was asked for."""
    handler.answer(200, body)


def wrong_range(handler: _Answering, body: bytes) -> None:
    """Send the first bytes as if they were the wanted ones, and say which they are."""
    handler.answer(206, body[:10], {"Content-Range": f"bytes 1-10/{len(body)}"})


def cut_off(handler: _Answering, body: bytes) -> None:
    """Promise all of it, send half, hang up."""
    handler.answer(200, body[: len(body) // 2], length=len(body))


def hang_up(handler: _Answering, _: bytes) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.close()


def slow(seconds: float) -> Fault:
    """Wait before answering properly."""

    def fault(handler: _Answering, body: bytes) -> None:
        time.sleep(seconds)
        handler.sound(body)

    return fault


def dripping(handler: _Answering, body: bytes) -> None:
    """Send a byte now and then, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.close_connection = True
    try:
        for _ in range(200):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass


def changed(handler: _Answering, body: bytes) -> None:
    """Send something of the right length that is not what was asked for."""
    handler.answer(200, b"{" + b" " * (len(body) - 2) + b"}")


def endless(handler: _Answering, _: bytes) -> None:
    """Send far too much, without saying how much, in chunks."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.close_connection = True
    piece = b"10000\r\n" + b"[" * 65536 + b"\r\n"
    try:
        for _ in range(1000):
            handler.wfile.write(piece)
    except OSError:
        pass

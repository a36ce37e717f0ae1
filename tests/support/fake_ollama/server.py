"""The test server: listens on loopback, speaks Ollama's protocol, and can be made to fail.

Written from 191 exchanges of a real Ollama 0.33 (`tests/data/ollama_traces`), which
`tests/contract/test_trace_replay.py` compares it with.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import urlsplit

from assistant.models.names import parse_model_name
from assistant.ollama.server_address import ServerAddress, parse_address
from assistant.units import GIB
from tests.support.fake_ollama import chat, create, embed, listing, pull, v1
from tests.support.fake_ollama.exchange import EndedError, Exchange
from tests.support.fake_ollama.faults import Faults
from tests.support.fake_ollama.library import LibraryModel
from tests.support.fake_ollama.options import RefusedError, read_body
from tests.support.fake_ollama.runners import Gpu, MemoryOf, Runners
from tests.support.fake_ollama.state import Manifest, State
from tests.support.fake_ollama.turns import ChatModel

Route = Callable[["OllamaServer", Exchange], None]

_GET: Final[Mapping[str, Route]] = {
    "/": listing.root,
    "/api/version": listing.version,
    "/api/tags": listing.tags,
    "/api/ps": listing.running,
    "/api/status": listing.status,
    "/v1/models": listing.v1_models,
}
_POST: Final[Mapping[str, Route]] = {
    "/api/show": listing.show,
    "/api/copy": listing.copy,
    "/api/pull": pull.pull,
    "/api/create": create.create,
    "/api/chat": chat.chat,
    "/api/generate": chat.generate,
    "/api/embed": embed.embed,
    "/api/embeddings": embed.embeddings,
    "/v1/chat/completions": v1.chat_completions,
}
_DELETE: Final[Mapping[str, Route]] = {"/api/delete": listing.delete}
_HEAD: Final = {path: _GET[path] for path in ("/", "/api/version", "/api/tags")}
_BLOBS: Final = "/api/blobs/"
_METHODS: Final = {"GET": _GET, "HEAD": _HEAD, "POST": _POST, "DELETE": _DELETE}


class OllamaServer:
    """A server for the block, or from `start` to `stop`.

    `library` is what its registry has, `installed` the names already on its disk; `gpu` and
    `ram_bytes` describe its computer, `env` its environment (`OLLAMA_CONTEXT_LENGTH`, ...).
    `registries` says how other registries behave, by host: `http` (needs `insecure`),
    `no_redirect`, `refused` or `no_network`. A stopped or killed server's `state` can be given
    to the next one.

    May be changed while it runs: `faults`, `bytes_per_s` (None: a pull takes no time),
    `progress_lines` of a pull that takes none, `vram_share` and `memory_of` (what `/api/ps`
    says instead of the estimate), and the speeds that metrics are made of.
    """

    def __init__(
        self,
        *,
        library: Iterable[LibraryModel] = (),
        installed: Iterable[str] = (),
        gpu: Gpu | None = None,
        version: str = "0.33.0",
        env: Mapping[str, str] | None = None,
        port: int = 0,
        state: State | None = None,
        ram_bytes: int = 32 * GIB,
        registries: Mapping[str, str] | None = None,
    ) -> None:
        self.library: dict[str, LibraryModel] = {}
        self.chats: dict[str, ChatModel] = {}
        self.version = version
        self.env = dict(env or {})
        self.state = state or State()
        self.registries = dict(registries or {})
        self.requests: list[tuple[str, str, Any]] = []
        self.mistakes: list[BaseException] = []
        self.faults = Faults()
        self.bytes_per_s: float | None = None
        self.tick_s = 0.005
        self.progress_lines = 20
        self.load_bytes_per_s = 2e9
        self.prompt_tokens_per_s = 400.0
        self.decode_tokens_per_s = 40.0
        self.runners = Runners(gpu, self.env, self.faults, ram_bytes)
        self.released = threading.Event()
        self.alive = False
        self._port = port
        self._http: _Http | None = None
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        for model in library:
            self.publish(model)
        for name in installed:
            self.install(name)

    @property
    def port(self) -> int:
        """The port it listens on; the same one after a stop."""
        return self._port

    @property
    def host(self) -> str:
        """The text for OLLAMA_HOST."""
        return f"127.0.0.1:{self._port}"

    @property
    def address(self) -> ServerAddress:
        """Where it listens."""
        return parse_address(self.host)

    @property
    def vram_share(self) -> float | None:
        """The part of a model that lands on the GPU whatever the estimate says, or None."""
        return self.runners.vram_share

    @vram_share.setter
    def vram_share(self, share: float | None) -> None:
        self.runners.vram_share = share

    @property
    def memory_of(self) -> MemoryOf | None:
        """`(name, num_ctx)` -> (`size`, `size_vram`) instead of the estimate, or None."""
        return self.runners.memory_of

    @memory_of.setter
    def memory_of(self, memory_of: MemoryOf | None) -> None:
        self.runners.memory_of = memory_of

    def publish(self, model: LibraryModel) -> None:
        """Put a model into the registry, in place of one of that name."""
        key = parse_model_name(model.name).key
        self.library[key] = model
        if model.chat is not None:
            self.answer_with(model.name, model.chat)
            self.chats[model.weights.digest] = model.chat

    def answer_with(self, name: str, chat: ChatModel) -> None:
        """Let a model answer for one name, whatever its weights are."""
        self.chats[parse_model_name(name).key] = chat

    def install(self, name: str) -> Manifest:
        """Put a model of the registry on the disk, as a pull would."""
        model = self.library[parse_model_name(name).key]
        manifest = model.manifest()
        self.state.put(manifest, model.contents)
        return manifest

    def manifest(self, name: str) -> Manifest | None:
        """Return the installed model of that name, in any case, with or without a tag."""
        return self.state.manifests.get(parse_model_name(name).key)

    def load(self, name: str, num_ctx: int | None = None) -> None:
        """Load an installed model, as a chat without messages would."""
        manifest = self.state.manifests[parse_model_name(name).key]
        options = {} if num_ctx is None else {"num_ctx": num_ctx}
        params = self.state.params_of(manifest)
        self.runners.load(manifest, manifest.name.render(), params, options)

    def unload(self, name: str) -> None:
        """Unload a model."""
        self.runners.unload(self.state.manifests[parse_model_name(name).key])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        """Stop; a mistake of the server itself fails the test, however the client took it."""
        self.stop()
        if self.mistakes:
            raise AssertionError("the test server has a mistake") from self.mistakes[0]

    def start(self) -> Self:
        """Listen. A stopped server starts again on the same port, with nothing in memory."""
        with self._starting:
            self.released.clear()
            self._http = _Http(self, self._port)
            self._port = self._http.server_address[1]
            self._thread = threading.Thread(
                target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
            )
            self.alive = True
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and hang up; downloads keep how far they got."""
        with self._starting:
            self.alive = False
            self.released.set()
            self.runners.clear()
            http, self._http = self._http, None
            if http is None:
                return
            http.shutdown()
            http.server_close()
            http.hang_up()
            if self._thread is not None:
                self._thread.join()

    def kill(self) -> None:
        """Die as by SIGKILL: every connection drops, and downloads forget how far they got."""
        self.alive = False
        self.state.lose_progress()
        self.stop()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, owner: OllamaServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.owner = owner
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client has gone; keep what is the server's own mistake."""
        error = sys.exception()
        if error and self.owner.alive and not isinstance(error, (OSError, EndedError)):
            self.owner.mistakes.append(error)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        raw = self._read()
        if path.startswith(_BLOBS) and self.command in {"HEAD", "POST"}:
            return self._answer(path, raw, {}, listing.blob)
        route = _METHODS[self.command].get(path)
        if route is None:
            self.server.owner.requests.append((self.command, path, None))
            return self._no_route(path)
        try:
            body = read_body(path, raw) if self.command in {"POST", "DELETE"} else {}
        except RefusedError as error:
            self.server.owner.requests.append((self.command, path, raw))
            exchange = Exchange(self, self.server.owner, path=path, raw=raw, body={})
            return exchange.json(error.status, {"error": error.text})
        return self._answer(path, raw, body, route)

    do_HEAD = do_GET
    do_POST = do_GET
    do_DELETE = do_GET

    def _answer(self, path: str, raw: bytes, body: dict[str, Any], route: Route) -> None:
        owner = self.server.owner
        sent = body if self.command in {"POST", "DELETE"} and body else (raw or None)
        owner.requests.append((self.command, path, sent))
        exchange = Exchange(self, owner, path=path, raw=raw, body=body)
        try:
            exchange.before_anything()
            route(owner, exchange)
        except RefusedError as error:
            exchange.json(error.status, {"error": error.text})
        except EndedError:
            pass

    def _no_route(self, path: str) -> None:
        exchange = Exchange(self, self.server.owner, path=path, raw=b"", body={})
        allowed = [method for method, routes in _METHODS.items() if path in routes]
        if allowed:
            headers = {"Allow": ", ".join(allowed)}
            return exchange.send(405, "text/plain", b"405 method not allowed", headers)
        return exchange.send(404, "text/plain", b"404 page not found")

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test output clean."""

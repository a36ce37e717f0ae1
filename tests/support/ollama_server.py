"""A small server on loopback that speaks Ollama's protocol, with models you give it.

Written from exchanges recorded on Ollama 0.33: version, tags, show, ps, and chat as a stream of
JSON lines. A model is anything with a `reply(request)` that yields the pieces of the reply;
`Script` plays a list of them. Faults are replies as well (`Refuse`, `Break`, `Hang`).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from assistant.ollama.server_address import ServerAddress, parse_address


@dataclass(frozen=True)
class Say:
    """Text, in pieces of a few characters, then the end."""

    text: str
    thinking: str = ""
    prompt_eval_count: int | None = None
    done_reason: str = "stop"


@dataclass(frozen=True)
class Call:
    """One or more tool calls, whole in one line as Ollama sends them."""

    calls: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Refuse:
    """An error status instead of a reply."""

    status: int
    error: str


@dataclass(frozen=True)
class Break:
    """Some text, then an error line (`error`), or nothing more when it is None."""

    text: str = "It "
    error: str | None = "an error was encountered while running the model: unexpected EOF"


@dataclass(frozen=True)
class Hang:
    """Accepts the request and says nothing."""


@dataclass(frozen=True)
class Garbage:
    """Bytes that are no JSON."""


Turn = Say | Call | Refuse | Break | Hang | Garbage


class ChatModel(Protocol):
    """What answers chats for one model name."""

    def reply(self, request: dict[str, Any]) -> Turn | Iterator[dict[str, Any]]:
        """Return a turn, or the message chunks and finally a chunk with `done`."""
        ...


@dataclass
class Script:
    """Plays its turns in order; the last one again when they are used up."""

    turns: Sequence[Turn | Callable[[dict[str, Any]], Turn]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def reply(self, request: dict[str, Any]) -> Turn:
        turn = self.turns[min(len(self.asked), len(self.turns) - 1)]
        self.asked.append(request)
        return turn if isinstance(turn, Turn) else turn(request)


@dataclass
class ServedModel:
    """A model on the server: its file, what `show` says of it, and what answers for it."""

    chat: ChatModel
    size: int = 4_920_753_328
    capabilities: tuple[str, ...] = ("completion", "tools")
    family: str = "llama"
    quantization_level: str = "Q4_K_M"
    parameter_size: str = "8.0B"
    context_length: int = 131_072


class FakeOllama(ThreadingHTTPServer):
    """The server; `models` by name, `loaded` what chats have loaded with which num_ctx."""

    daemon_threads = True

    def __init__(self, models: dict[str, ServedModel]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models = models
        self.loaded: dict[str, int] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.released = threading.Event()

    @property
    def address(self) -> ServerAddress:
        return parse_address(f"127.0.0.1:{self.server_address[1]}")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client has gone."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeOllama
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append(("GET", self.path, None))
        answers: dict[str, Callable[[], Any]] = {
            "/api/version": lambda: {"version": "0.33.0"},
            "/api/tags": lambda: {"models": [self._tag(n) for n in self.server.models]},
            "/api/ps": lambda: {"models": [self._running(n) for n in self.server.loaded]},
        }
        if self.path in answers:
            self._json(200, answers[self.path]())
        else:
            self._plain(404, "404 page not found")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        try:
            body = json.loads(self.rfile.read(length))
        except ValueError as error:
            return self._json(400, {"error": str(error)})
        self.server.requests.append(("POST", self.path, body))
        if self.path not in {"/api/show", "/api/chat"}:
            return self._plain(404, "404 page not found")
        name = str(body.get("model", ""))
        model = self.server.models.get(name.lower())
        if model is None:
            return self._json(404, {"error": f"model '{name}' not found"})
        if self.path == "/api/show":
            return self._json(200, self._show(model))
        return self._chat(name, model, body)

    def _chat(self, name: str, model: ServedModel, body: dict[str, Any]) -> None:
        if "completion" not in model.capabilities:
            return self._json(400, {"error": f'"{name}" does not support chat'})
        if body.get("tools") and "tools" not in model.capabilities:
            full = f"registry.ollama.ai/library/{name}"
            return self._json(400, {"error": f"{full} does not support tools"})
        if body.get("think") and "thinking" not in model.capabilities:
            return self._json(400, {"error": f'"{name}" does not support thinking'})
        num_ctx = body.get("options", {}).get("num_ctx", 4096)
        if not isinstance(num_ctx, int):
            return self._json(500, {"error": 'option "num_ctx" must be of type integer'})
        self.server.loaded[name] = min(num_ctx, model.context_length)
        return self._turn(name, model.chat.reply(body))

    def _turn(self, name: str, turn: Turn | Iterator[dict[str, Any]]) -> None:
        if isinstance(turn, Refuse):
            return self._json(turn.status, {"error": turn.error})
        if isinstance(turn, Hang):
            self.server.released.wait(30)
            return None
        if isinstance(turn, Garbage):
            return self._plain(200, "<html>not json</html>\n")
        self._begin()
        if isinstance(turn, Say):
            turn = _said(turn)
        elif isinstance(turn, Call):
            turn = _called(turn)
        if isinstance(turn, Break):
            self._chunk(_line(name, {"role": "assistant", "content": turn.text}))
            if turn.error is not None:
                self._chunk({"error": turn.error})
                return self._end()
            self.close_connection = True
            return None
        for piece in turn:
            message = piece.pop("message", {"role": "assistant", "content": ""})
            self._chunk(_line(name, message) | piece)
        return self._end()

    def _tag(self, name: str) -> dict[str, Any]:
        model = self.server.models[name]
        return {
            "name": name,
            "model": name,
            "modified_at": "2026-11-21T08:58:42.888460367Z",
            "size": model.size,
            "digest": f"{abs(hash(name)):064x}"[:64],
            "details": self._details(model),
        }

    def _running(self, name: str) -> dict[str, Any]:
        return self._tag(name) | {
            "expires_at": "2026-11-21T09:03:46.439457023Z",
            "size_vram": 0,
            "context_length": self.server.loaded[name],
        }

    def _show(self, model: ServedModel) -> dict[str, Any]:
        return {
            "modelfile": "FROM it",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": self._details(model),
            "model_info": {
                "general.architecture": model.family,
                f"{model.family}.context_length": model.context_length,
            },
            "tensors": [],
            "capabilities": list(model.capabilities),
        }

    def _details(self, model: ServedModel) -> dict[str, Any]:
        return {
            "parent_model": "",
            "format": "gguf",
            "family": model.family,
            "families": [model.family],
            "parameter_size": model.parameter_size,
            "quantization_level": model.quantization_level,
        }

    def _json(self, status: int, body: Any) -> None:
        self._send(status, "application/json; charset=utf-8", json.dumps(body).encode())

    def _plain(self, status: int, text: str) -> None:
        self._send(status, "text/plain", text.encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test output clean."""


def _line(name: str, message: dict[str, Any]) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"model": name, "created_at": stamp, "message": message, "done": False}


def _said(turn: Say) -> Iterator[dict[str, Any]]:
    for start in range(0, len(turn.thinking), 12):
        part = turn.thinking[start : start + 12]
        yield {"message": {"role": "assistant", "content": "", "thinking": part}}
    for start in range(0, len(turn.text), 12):
        yield {"message": {"role": "assistant", "content": turn.text[start : start + 12]}}
    yield _done(turn.done_reason, turn.prompt_eval_count)


def _called(turn: Call) -> Iterator[dict[str, Any]]:
    calls = [
        {"id": f"call_{i}", "function": {"index": i, "name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(turn.calls)
    ]
    yield {"message": {"role": "assistant", "content": "", "tool_calls": calls}}
    yield _done("stop", None)


def _done(reason: str, prompt_eval_count: int | None) -> dict[str, Any]:
    counts = {} if prompt_eval_count is None else {"prompt_eval_count": prompt_eval_count}
    return {"done": True, "done_reason": reason, "total_duration": 1, "eval_count": 1, **counts}


@contextlib.contextmanager
def serving_models(**models: ServedModel) -> Iterator[FakeOllama]:
    """Run a server for the block; `__` in a keyword stands for the colon of the name."""
    named = {name.replace("__", ":"): model for name, model in models.items()}
    with serving(named) as server:
        yield server


@contextlib.contextmanager
def serving(models: dict[str, ServedModel]) -> Iterator[FakeOllama]:
    """Run a server with these models for the block."""
    server = FakeOllama(models)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()

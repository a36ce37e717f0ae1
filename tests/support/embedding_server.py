"""An embedder without a model, and a server on loopback that answers with it as Ollama does.

Each word of a text points somewhere in the vector, so texts that share words are similar.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assistant.knowledge.words import words_of

DIMENSION = 128


def vector_of(text: str, dimension: int = DIMENSION) -> list[float]:
    """Return a vector of length 1."""
    vector = [0.0] * dimension
    for word in [*words_of(text), "always"]:
        vector[zlib.crc32(word.encode()) % dimension] += 1.0
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length for number in vector]


class WordEmbedder:
    """Embeds by words; counts the texts, and calls `before` ahead of each batch."""

    def __init__(
        self,
        name: str = "words",
        dimension: int = DIMENSION,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.dimension = dimension
        self.embedded = 0
        self._before = before

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[list[float]]:
        """Return one vector per text."""
        self._before()
        self.embedded += len(texts)
        return [vector_of(text, self.dimension) for text in texts]


class EmbeddingServer(ThreadingHTTPServer):
    """Speaks /api/tags and /api/embed; `models` maps names to sizes in bytes."""

    daemon_threads = True

    def __init__(self, models: dict[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.models = models
        self.inputs: list[str] = []
        self.answer: Any = None

    @property
    def host(self) -> str:
        """The text for OLLAMA_HOST."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: EmbeddingServer

    def do_GET(self) -> None:
        listed = [
            {"name": name, "size": size, "capabilities": ["embedding"], "details": {}}
            for name, size in self.server.models.items()
        ]
        chat = {"name": "smollm2:135m", "size": 1, "capabilities": ["completion"], "details": {}}
        self._send(200, {"models": [chat, *listed]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] not in self.server.models:
            self._send(404, {"error": f'model "{asked["model"]}" not found, try pulling it first'})
            return
        self.server.inputs.extend(asked["input"])
        vectors = [vector_of(text) for text in asked["input"]]
        self._send(200, self.server.answer or {"embeddings": vectors})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test output clean."""


@contextlib.contextmanager
def embedding(**models: int) -> Iterator[EmbeddingServer]:
    """Run a server with these models for the block."""
    server = EmbeddingServer(models)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

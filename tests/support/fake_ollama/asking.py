"""Plain HTTP questions to the test server, for the tests of the server itself."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.fake_ollama.library import ALL_MINILM, GEMMA3_270M, SMOLLM2
from tests.support.fake_ollama.server import OllamaServer

NAME = "smollm2:135m"
ASK = [{"role": "user", "content": "Hello there"}]


class Reply:
    """A whole answer: status, content type, lines, and whether it ended as it should."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.kind = response.getheader("content-type")
        try:
            raw, self.ended = response.read(), True
        except http.client.IncompleteRead as error:
            raw, self.ended = error.partial, False
        self.text = raw.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def error(self) -> str:
        return str(self.lines[-1]["error"])


def ask(
    server: OllamaServer, path: str, body: Any = None, method: str = "", timeout_s: float = 10
) -> Reply:
    connection = http.client.HTTPConnection(server.host, timeout=timeout_s)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, data)
        return Reply(connection.getresponse())
    finally:
        connection.close()


def pull(server: OllamaServer, model: str = NAME, **more: Any) -> Reply:
    return ask(server, "/api/pull", {"model": model, **more})


def chat(server: OllamaServer, model: str = NAME, **more: Any) -> Reply:
    return ask(server, "/api/chat", {"model": model, "messages": ASK, "stream": False, **more})


def tags(server: OllamaServer) -> list[str]:
    return [model["name"] for model in ask(server, "/api/tags").json["models"]]


def loaded(server: OllamaServer) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in ask(server, "/api/ps").json["models"]}


@contextmanager
def serving(*installed: str, **more: Any) -> Iterator[OllamaServer]:
    library = [SMOLLM2, GEMMA3_270M, ALL_MINILM]
    with OllamaServer(library=library, installed=installed, **more) as server:
        yield server


@contextmanager
def half_pulled(server: OllamaServer, lines: int = 5) -> Iterator[None]:
    """Read some lines of a pull and leave."""
    connection = http.client.HTTPConnection(server.host, timeout=10)
    connection.request("POST", "/api/pull", json.dumps({"model": NAME}).encode())
    response = connection.getresponse()
    for _ in range(lines):
        response.readline()
    yield
    response.close()
    connection.close()


def wait_until(happened: Callable[[], object], timeout_s: float = 5) -> None:
    end = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)

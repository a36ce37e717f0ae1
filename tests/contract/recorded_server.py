"""A server on loopback that answers as a real Ollama 0.33 did, or badly on purpose.

The exchanges in `tests/data/ollama` were recorded from a running server; each file has the
request's path and the answer's status, content type and body. A fault replaces every answer:

    hang       accepts, reads the request, never answers
    garbage    answers 200 with bytes that are no JSON
    not_http   answers with a line that is no HTTP
    list       answers 200 with a JSON list
    error      answers 500 with Ollama's error object
    cut        announces more than it sends
    trickle    sends the body one byte at a time
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

RECORDED = Path(__file__).parent.parent / "data" / "ollama"


def recorded(name: str) -> dict[str, Any]:
    """Return one recorded exchange."""
    exchange: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return exchange


class RecordedServer(ThreadingHTTPServer):
    """Answers `/api/...` from recordings, chosen by path; unknown paths get Ollama's 404."""

    daemon_threads = True

    def __init__(self, *names: str, fault: str | None = None, prefix: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.exchanges = {
            prefix + urlsplit(e["request"]["url"]).path: e for e in map(recorded, names)
        }
        self.fault = fault
        self.requests: list[tuple[str, str, str]] = []
        self.released = threading.Event()

    @property
    def host(self) -> str:
        """The text for OLLAMA_HOST."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client has gone."""


class _Answer(BaseHTTPRequestHandler):
    server: RecordedServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode()
        self.server.requests.append((self.command, self.path, body))
        self.close_connection = True
        fault = self.server.fault
        if fault == "hang":
            self.server.released.wait(10)
        elif fault == "not_http":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        elif fault == "garbage":
            self._send(200, "text/html", b"<html>\xff\xfe it works </html>")
        elif fault == "list":
            self._send(200, "application/json", b"[1, 2]")
        elif fault == "error":
            self._send(500, "application/json", b'{"error":"llama-server process has terminated"}')
        elif fault == "cut":
            self._send(200, "application/json", b'{"version"', announced=500)
        elif fault == "trickle":
            self._trickle()
        else:
            self._replay()

    do_POST = do_GET

    def _replay(self) -> None:
        exchange = self.server.exchanges.get(self.path) or recorded("unknown_path")
        kind = dict(exchange["headers"])["content-type"]
        text = exchange.get("body_text") or json.dumps(exchange["body_json"])
        self._send(exchange["status"], kind, text.encode())

    def _send(self, status: int, kind: str, body: bytes, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(announced or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            if self.server.released.is_set():
                return
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.02)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test output clean."""


@contextlib.contextmanager
def serving(*names: str, fault: str | None = None, prefix: str = "") -> Iterator[RecordedServer]:
    """Run a server for the block."""
    server = RecordedServer(*names, fault=fault, prefix=prefix)
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

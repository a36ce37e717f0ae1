"""One request and its answer on the wire, as Go's net/http and gin send it, with faults."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final

from tests.support.fake_ollama.faults import Fault
from tests.support.fake_ollama.state import go_json

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer

JSON: Final = "application/json; charset=utf-8"
PLAIN_JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_BUFFER: Final = 2048
"""Go's net/http announces the length of bodies up to this size and sends longer ones chunked."""

_ON_THE_WIRE: Final = ("hang", "cut", "kill", "stop", "error_line", "garbage")
_HTML: Final = "<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


class EndedError(Exception):
    """The exchange is over before its time; what there was to send has been sent."""


class FailedError(Exception):
    """A pull or create failed: an error line once lines were sent, else an error status."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Exchange:
    """Answers one request; every method that sends may meet a fault that waits for it."""

    def __init__(
        self,
        handler: BaseHTTPRequestHandler,
        server: OllamaServer,
        *,
        path: str,
        raw: bytes,
        body: dict[str, Any],
    ) -> None:
        self.handler = handler
        self.server = server
        self.path = path
        self.raw = raw
        self.body = body
        self.lines = 0
        self.began = False
        self.on_runner_killed: Any = None
        model = str(body.get("model") or body.get("name") or "")
        self.faults: tuple[Fault, ...] = server.faults.take(path, model)

    def due(self, kind: str) -> bool:
        """True when a fault of this kind is to happen at this line."""
        return any(f.kind == kind and self.lines >= f.after_lines for f in self.faults)

    def before_anything(self) -> None:
        """Let the faults happen that come before any work is done."""
        for fault in self.faults:
            if fault.kind == "slow":
                self.server.released.wait(fault.delay_s)
            elif fault.kind == "status":
                self.json(fault.status, {"error": fault.text})
                raise EndedError
            elif fault.kind == "html":
                self.send(200, "text/html; charset=utf-8", _HTML.encode())
                raise EndedError
            elif fault.kind in {"hang", "cut", "kill", "stop"} and fault.after_lines == 0:
                self._die(fault)

    def json(self, status: int, value: Any, *, kind: str = JSON) -> None:
        """Send a JSON body."""
        self.send(status, kind, go_json(value).encode())

    def whole(self, status: int, value: Any, *, kind: str = JSON) -> None:
        """Send the one body that a request without a stream gets, unless a fault is in its way."""
        for fault in self.faults:
            if fault.kind in {"hang", "cut", "kill", "stop"}:
                self._die(fault)
            elif fault.kind in {"error_line", "runner_killed"}:
                self._forget_runner(fault)
                self.json(500, {"error": fault.text}, kind=kind)
                return
            elif fault.kind == "garbage":
                self.send(200, kind, b"<html>not json</html>\n")
                return
        self.json(status, value, kind=kind)

    def error_in_stream(self, status: int, text: str) -> None:
        """Send an error status to a client that asked for a stream, before its first line."""
        self._head(status, PLAIN_JSON, {"Transfer-Encoding": "chunked"})
        self._chunk(go_json({"error": text}).encode())
        self._chunk(b"")

    def empty(self, status: int, *, announced: bool = True) -> None:
        """Send a status without a body; `announced` says that its length is 0.

        A fault that was to wait for a line happens here: the deed is done, the answer is lost.
        """
        for fault in self.faults:
            if fault.kind in {"hang", "cut", "kill", "stop"}:
                self._die(fault)
        self._head(status, None, {"Content-Length": "0"} if announced else {})
        if not announced:
            self.handler.close_connection = self.handler.command != "HEAD"

    def send(
        self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a body: with its length when it is short, in chunks when it is long."""
        if len(body) <= _BUFFER or self.handler.command == "HEAD":
            self._head(status, kind, {**(headers or {}), "Content-Length": str(len(body))})
            if self.handler.command != "HEAD":
                self.handler.wfile.write(body)
            return
        self._head(status, kind, {**(headers or {}), "Transfer-Encoding": "chunked"})
        for start in range(0, len(body), _BUFFER):
            self._chunk(body[start : start + _BUFFER])
        self._chunk(b"")

    def begin(self, kind: str = NDJSON) -> None:
        """Send the headers of a stream."""
        self.began = True
        self._head(200, kind, {"Transfer-Encoding": "chunked"})

    def line(self, value: Mapping[str, Any] | str) -> None:
        """Send one line of a stream, or what a fault makes of it."""
        if not self.began:
            self.begin()
        self._meet_faults()
        text = value if isinstance(value, str) else go_json(value) + "\n"
        self._chunk(text.encode())
        self.lines += 1

    def end(self) -> None:
        """End a stream as it should end."""
        if not self.began:
            self.begin()
        self._meet_faults()
        self._chunk(b"")

    def progress(self, lines: Iterator[dict[str, Any]], *, stream: bool) -> None:
        """Send the progress of a pull or create, or only its outcome."""
        last: dict[str, Any] = {}
        try:
            for last in lines:
                if stream:
                    self.line(last)
                elif any(self.due(kind) for kind in _ON_THE_WIRE):
                    return self.whole(200, last, kind=PLAIN_JSON)
                else:
                    self.lines += 1
        except FailedError as error:
            if not stream:
                return self.json(error.status, {"error": error.text}, kind=PLAIN_JSON)
            if not self.began:
                return self.error_in_stream(error.status, error.text)
            self.line({"error": error.text})
            return self.end()
        if stream:
            return self.end()
        return self.whole(200, last, kind=PLAIN_JSON)

    def client_left(self) -> bool:
        """True when the client has closed its side."""
        self.handler.connection.setblocking(False)
        try:
            return not self.handler.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.handler.connection.setblocking(True)

    def _meet_faults(self) -> None:
        for fault in self.faults:
            if fault.kind == "slow":
                self.server.released.wait(fault.between_s)
            if self.lines < fault.after_lines:
                continue
            if fault.kind in {"hang", "cut", "kill", "stop"}:
                self._die(fault)
            elif fault.kind == "garbage" and self.lines == fault.after_lines:
                self._chunk(b"<html>not json</html>\n")
            elif fault.kind in {"error_line", "runner_killed"}:
                self._forget_runner(fault)
                self._chunk(go_json({"error": fault.text}).encode() + b"\n")
                self._chunk(b"")
                raise EndedError

    def _die(self, fault: Fault) -> None:
        """End the exchange without an end: the server hangs, hangs up, or is gone itself."""
        if fault.kind == "hang":
            self.server.released.wait(60)
        elif fault.kind == "kill":
            self.server.kill()
        elif fault.kind == "stop":
            self.server.state.poison()
            self.server.stop()
        self.handler.close_connection = True
        raise EndedError

    def _forget_runner(self, fault: Fault) -> None:
        if fault.kind == "runner_killed" and self.on_runner_killed is not None:
            self.on_runner_killed()

    def _head(self, status: int, kind: str | None, headers: Mapping[str, str]) -> None:
        handler = self.handler
        handler.send_response_only(status)
        if kind is not None:
            handler.send_header("Content-Type", kind)
        handler.send_header("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.handler.wfile.flush()


def stamp(seconds: float) -> str:
    """Return a time as Go writes it, with nanoseconds."""
    whole = int(seconds)
    nanos = int((seconds - whole) * 1e9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{nanos:09d}Z"


def dumps(value: Any) -> str:
    """Return text in double quotes as Go's %q would give it."""
    return json.dumps(value, ensure_ascii=False)

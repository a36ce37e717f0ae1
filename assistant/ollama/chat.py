"""Chatting with a model: `/api/chat` as a stream, never cut silently, bounded in time and size.

The official client has no `truncate` field, so the request is our own, with the standard
library. `truncate: false` makes the server refuse a prompt that does not fit instead of cutting
it; `shift: false` makes it stop at the end of the context instead of forgetting the beginning.
Response headers come with the first token, so the first wait covers queueing and loading.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from assistant.ollama import wire
from assistant.ollama.chat_errors import StreamBrokenError, TooSlowError, chat_error
from assistant.ollama.errors import NotOllamaError, ServerUnreachableError
from assistant.ollama.server_address import ServerAddress

if TYPE_CHECKING:
    from http.client import HTTPResponse

FIRST_TOKEN_TIMEOUT_S: Final = 300.0
NEXT_TOKEN_TIMEOUT_S: Final = 60.0
LARGEST_LINE_BYTES: Final = 4 * 1024**2
LARGEST_REPLY_BYTES: Final = 32 * 1024**2

OnText = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool that the model wants called; `arguments` is whatever object it wrote."""

    name: str
    arguments: dict[str, Any]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole reply. `done_reason` is stop or length; counts and times are None when not said.

    `load_s`, `prompt_s` and `decode_s` are the server's own times for loading the model, reading
    the prompt and writing the reply. A prompt that the cache held is read in next to no time.
    """

    content: str
    thinking: str = ""
    tool_requests: tuple[ToolRequest, ...] = ()
    done_reason: str | None = None
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    load_s: float | None = None
    prompt_s: float | None = None
    decode_s: float | None = None

    @property
    def prompt_tokens_per_s(self) -> float | None:
        """How fast the prompt was read, or None."""
        return self.prompt_tokens / self.prompt_s if self.prompt_tokens and self.prompt_s else None

    @property
    def decode_tokens_per_s(self) -> float | None:
        """How fast the reply was written, or None."""
        if not self.generated_tokens or not self.decode_s:
            return None
        return self.generated_tokens / self.decode_s


@dataclass(slots=True)
class _Parts:
    content: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tool_requests: list[ToolRequest] = field(default_factory=list)


def chat(
    address: ServerAddress,
    *,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
    think: bool | None = None,
    time_limit_s: float = 600.0,
    first_token_timeout_s: float = FIRST_TOKEN_TIMEOUT_S,
    on_text: OnText | None = None,
    on_thinking: OnText | None = None,
) -> ChatReply:
    """Return the model's reply to `messages`; its pieces go to `on_text` as they come.

    Ctrl-C closes the connection, which stops the server's work on the reply.

    Raises:
        OllamaError: see `assistant.ollama.chat_errors` and `assistant.ollama.errors`.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": list(messages),
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": dict(options or {}),
    }
    if tools:
        body["tools"] = list(tools)
    if think is not None:
        body["think"] = think
    deadline = time.monotonic() + time_limit_s
    parts = _Parts()
    for line in _lines(address, model, body, deadline, first_token_timeout_s):
        _take(line, parts, on_text, on_thinking)
        if line.get("done") is True:
            return ChatReply(
                content="".join(parts.content),
                thinking="".join(parts.thinking),
                tool_requests=tuple(parts.tool_requests),
                done_reason=line.get("done_reason"),
                prompt_tokens=_count(line.get("prompt_eval_count")),
                generated_tokens=_count(line.get("eval_count")),
                load_s=wire.seconds(line.get("load_duration")),
                prompt_s=wire.seconds(line.get("prompt_eval_duration")),
                decode_s=wire.seconds(line.get("eval_duration")),
            )
    raise StreamBrokenError(f"the model {model!r} stopped in the middle of its answer.")


def _take(
    line: Mapping[str, Any], parts: _Parts, on_text: OnText | None, on_thinking: OnText | None
) -> None:
    message = line.get("message")
    if not isinstance(message, dict):
        return
    text, thought = message.get("content"), message.get("thinking")
    if isinstance(text, str) and text:
        parts.content.append(text)
        if on_text:
            on_text(text)
    if isinstance(thought, str) and thought:
        parts.thinking.append(thought)
        if on_thinking:
            on_thinking(thought)
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            arguments = function.get("arguments")
            parts.tool_requests.append(
                ToolRequest(
                    function["name"],
                    arguments if isinstance(arguments, dict) else {"": arguments},
                    call.get("id") if isinstance(call.get("id"), str) else None,
                )
            )


def _lines(
    address: ServerAddress,
    model: str,
    body: dict[str, Any],
    deadline: float,
    first_token_timeout_s: float,
) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of the stream."""
    import http.client

    wire.check_reachable(address)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.host, address.port, timeout=_left(deadline, first_token_timeout_s))
    try:
        connection.connect()
        sock = connection.sock
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        payload = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        connection.request("POST", f"{address.path}/api/chat", body=payload, headers=headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            said = _said(response.read(LARGEST_LINE_BYTES))
            raise chat_error(address, model, response.status, said)
        for line in _split(address, response, sock, deadline):
            if isinstance(line.get("error"), str):
                raise chat_error(address, model, http.client.OK, line["error"])
            yield line
    except TimeoutError as error:
        raise TooSlowError(f"the model {model!r} took longer than allowed.") from error
    except http.client.IncompleteRead as error:
        said = f"the model {model!r} stopped in the middle of its answer."
        raise StreamBrokenError(said) from error
    except (OSError, UnicodeError) as error:
        raise ServerUnreachableError(address, str(error).lower() or "no connection") from error
    except http.client.HTTPException as error:
        raise NotOllamaError(address, f"it does not speak HTTP ({type(error).__name__})") from error
    finally:
        connection.close()


def _split(
    address: ServerAddress, response: HTTPResponse, sock: Any, deadline: float
) -> Iterator[dict[str, Any]]:
    """Yield the lines of the body as JSON objects, reading what there is each time."""
    pending, total = b"", 0
    while True:
        sock.settimeout(_left(deadline, NEXT_TOKEN_TIMEOUT_S))
        chunk = response.read1(65536)
        total += len(chunk)
        pending += chunk
        *whole, pending = pending.split(b"\n")
        if not chunk:
            whole, pending = [pending], b""
        for line in whole:
            if line.strip():
                yield _object(address, line)
        if not chunk:
            return
        if total > LARGEST_REPLY_BYTES or len(pending) > LARGEST_LINE_BYTES:
            raise NotOllamaError(address, "/api/chat answers without end")


def _object(address: ServerAddress, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotOllamaError(address, "/api/chat sends a line that is not JSON") from error
    if not isinstance(found, dict):
        raise NotOllamaError(address, "/api/chat sends a line that is not a JSON object")
    return found


def _left(deadline: float, at_most: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(left, at_most)


def _said(content: bytes) -> str:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        return str(answer["error"])
    return content.decode("utf-8", "replace").strip()[:200] or "no explanation"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

"""`POST /v1/chat/completions`: the part of it that editors use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.support.fake_ollama.answering import Reply, prompt_tokens
from tests.support.fake_ollama.chat import installed, loaded, turn_of
from tests.support.fake_ollama.exchange import PLAIN_JSON, Exchange
from tests.support.fake_ollama.options import RefusedError
from tests.support.fake_ollama.state import go_json
from tests.support.fake_ollama.turns import Call, Say, pieces_of

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer

_KINDS = {400: "invalid_request_error", 404: "not_found_error"}


def chat_completions(server: OllamaServer, exchange: Exchange) -> None:
    """Answer as OpenAI's interface does; the context is the model's own, never the request's."""
    try:
        _answer(server, exchange)
    except RefusedError as error:
        kind = _KINDS.get(error.status, "api_error")
        inner = {"message": error.text, "type": kind, "param": None, "code": None}
        exchange.json(error.status, {"error": inner}, kind=PLAIN_JSON)


def _answer(server: OllamaServer, exchange: Exchange) -> None:
    body = exchange.body
    text, manifest = installed(server, body)
    if "completion" not in manifest.capabilities:
        raise RefusedError(400, f'"{text}" does not support chat')
    messages = body.get("messages") or []
    runner = loaded(server, manifest, exchange.path, {"keep_alive": body.get("keep_alive")})
    tokens = prompt_tokens(messages, runner.num_ctx, truncate=True, shift=True)
    options = {"num_predict": body.get("max_tokens"), "stop": body.get("stop")}
    reply = Reply(server, runner, options, tokens, shift=True)
    turn = turn_of(server, manifest, body)
    if not isinstance(turn, (Say, Call)):
        raise RefusedError(500, "the model gives no answer")
    head = {"id": "chatcmpl-411", "created": int(time.time()), "model": text}
    if body.get("stream"):
        return _streamed(exchange, head, reply, turn)
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for piece in reply.pieces(pieces_of(turn)):
        message["content"] += piece.get("content") or ""
        if piece.get("tool_calls"):
            message["tool_calls"] = _calls(piece["tool_calls"])
    usage = {"prompt_tokens": tokens, "completion_tokens": reply.eval_count}
    answer = {
        "id": head["id"],
        "object": "chat.completion",
        "created": head["created"],
        "model": text,
        "system_fingerprint": "fp_ollama",
        "choices": [{"index": 0, "message": message, "finish_reason": _reason(reply, message)}],
        "usage": {**usage, "total_tokens": tokens + reply.eval_count},
    }
    return exchange.whole(200, answer, kind=PLAIN_JSON)


def _streamed(exchange: Exchange, head: dict[str, Any], reply: Reply, turn: Say | Call) -> None:
    exchange.begin("text/event-stream")
    first = True
    last: dict[str, Any] = {}
    for last in reply.pieces(pieces_of(turn)):
        delta: dict[str, Any] = {"role": "assistant"} if first else {}
        delta["content"] = last.get("content") or ""
        if last.get("tool_calls"):
            delta["tool_calls"] = _calls(last["tool_calls"])
        first = False
        exchange.line(_event(head, delta, None))
    exchange.line(_event(head, {}, _reason(reply, last)))
    exchange.line("data: [DONE]\n\n")
    exchange.end()


def _event(head: dict[str, Any], delta: dict[str, Any], reason: str | None) -> str:
    event = {
        "id": head["id"],
        "object": "chat.completion.chunk",
        "created": head["created"],
        "model": head["model"],
        "system_fingerprint": "fp_ollama",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }
    return f"data: {go_json(event)}\n\n"


def _reason(reply: Reply, message: dict[str, Any]) -> str:
    return "tool_calls" if message.get("tool_calls") else reply.done_reason


def _calls(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tool calls with their arguments as text, as this interface has them."""
    return [
        {
            "id": call["id"],
            "type": "function",
            "index": call["function"]["index"],
            "function": {
                "name": call["function"]["name"],
                "arguments": go_json(call["function"]["arguments"]),
            },
        }
        for call in calls
    ]

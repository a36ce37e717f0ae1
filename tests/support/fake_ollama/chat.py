"""`POST /api/chat` and `POST /api/generate`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tests.support.fake_ollama.answering import (
    Reply,
    RunnerRefusedError,
    logprob_of,
    prompt_tokens,
    runner_error,
)
from tests.support.fake_ollama.exchange import EndedError, Exchange, dumps, stamp
from tests.support.fake_ollama.options import RefusedError, check_options, named
from tests.support.fake_ollama.replies import PlainModel, unknown_schema
from tests.support.fake_ollama.runners import LoadError, QueueFullError, Runner
from tests.support.fake_ollama.state import Manifest
from tests.support.fake_ollama.turns import (
    Break,
    Garbage,
    Hang,
    Piece,
    Refuse,
    Turn,
    pieces_of,
)

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer

_NO_IMAGES = "Multimodal data provided, but model does not support multimodal requests."


def chat(server: OllamaServer, exchange: Exchange) -> None:
    """Answer a list of messages."""
    body = exchange.body
    text, manifest = installed(server, body)
    messages = body.get("messages") or []
    if not messages and body.get("keep_alive") == 0:
        return _unloaded(server, exchange, text, manifest, _chat_chunk)
    _check_abilities(manifest, text, body, "chat")
    runner = loaded(server, manifest, exchange.path, body)
    if not messages:
        return exchange.whole(200, _ended(_chat_chunk(text, _assistant("")), "load"))
    if body.get("_debug_render_only"):
        return _rendered(exchange, text, messages)
    return _answered(server, exchange, text, runner, messages, _chat_chunk, body)


def generate(server: OllamaServer, exchange: Exchange) -> None:
    """Continue a prompt; the same as a chat of one message, in another dress."""
    body = exchange.body
    text, manifest = installed(server, body)
    prompt = str(body.get("prompt") or "")
    if not prompt and body.get("keep_alive") == 0:
        return _unloaded(server, exchange, text, manifest, _generate_chunk)
    _check_abilities(manifest, text, body, "generate")
    runner = loaded(server, manifest, exchange.path, body)
    if not prompt:
        return exchange.whole(200, _ended(_generate_chunk(text, _assistant("")), "load"))
    message: dict[str, Any] = {"role": "user", "content": prompt}
    if body.get("images"):
        message["images"] = body["images"]
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    messages = [*system, message]
    request = {**body, "messages": messages}
    return _answered(server, exchange, text, runner, messages, _generate_chunk, request)


def installed(server: OllamaServer, body: Mapping[str, Any]) -> tuple[str, Manifest]:
    """Return the model that a request names; 404 when it is not on the disk."""
    text, name = named(body)
    manifest = server.state.manifests.get(name.key)
    if manifest is None:
        raise RefusedError(404, f"model '{text}' not found")
    return text, manifest


def loaded(server: OllamaServer, manifest: Manifest, path: str, body: Mapping[str, Any]) -> Runner:
    """Return the runner of a request, loaded if need be; 500 when it does not start."""
    params = server.state.params_of(manifest)
    options = body.get("options") or {}
    check_options({**params, **options})
    name = manifest.name.render()
    try:
        return server.runners.load(
            manifest, name, params, options, body.get("keep_alive"), path=path
        )
    except LoadError as error:
        raise RefusedError(500, str(error)) from error


def turn_of(server: OllamaServer, manifest: Manifest, request: dict[str, Any]) -> Any:
    """Return what the model says to a request: a turn, or an iterator of chunks."""
    model = server.chats.get(manifest.name.key) or server.chats.get(manifest.weights.digest)
    return (model or PlainModel(manifest.capabilities)).reply(request)


def _answered(
    server: OllamaServer,
    exchange: Exchange,
    text: str,
    runner: Runner,
    messages: list[dict[str, Any]],
    chunk: Any,
    request: dict[str, Any],
) -> None:
    manifest = runner.manifest
    own = server.state.manifests.get(named(exchange.body)[1].key) or manifest
    stream = exchange.body.get("stream") is not False
    exchange.on_runner_killed = lambda: server.runners.unload(manifest)
    try:
        with server.runners.turn(runner):
            reply = _prepared(server, runner, own, messages, exchange.body)
            turn = turn_of(server, own, request)
            _send(server, exchange, text, turn, reply, chunk)
    except RunnerRefusedError as error:
        if stream:
            return exchange.error_in_stream(400, str(error))
        return exchange.json(400, {"error": str(error)})
    except QueueFullError as error:
        raise RefusedError(503, str(error)) from error
    finally:
        if exchange.body.get("keep_alive") == 0:
            server.runners.unload(manifest)


def _prepared(
    server: OllamaServer,
    runner: Runner,
    manifest: Manifest,
    messages: list[dict[str, Any]],
    body: Mapping[str, Any],
) -> Reply:
    wanted = body.get("format")
    if isinstance(wanted, str) and wanted not in {"", "json"}:
        text = dumps(dumps(wanted))
        raise RefusedError(
            500, f'invalid format: {text}; expected "json" or a valid JSON Schema object'
        )
    wrong = unknown_schema(wanted)
    if wrong is not None:
        raise runner_error(
            "Field 'json_schema': \"json_schema\": JSON schema conversion failed:\n"
            f"Unrecognized schema: {dumps(wrong).replace(': ', ':')}",
            "invalid_request_error",
        )
    if any(m.get("images") for m in messages) and "vision" not in manifest.capabilities:
        raise runner_error(_NO_IMAGES, "invalid_request_error")
    shift = body.get("shift") is not False
    system = server.state.text_of(manifest, "system")
    if system and not any(m.get("role") == "system" for m in messages):
        messages = [{"role": "system", "content": system}, *messages]
    tokens = prompt_tokens(
        messages, runner.num_ctx, truncate=body.get("truncate") is not False, shift=shift
    )
    params = server.state.params_of(manifest)
    options = {**params, **(body.get("options") or {})}
    if body.get("tools"):
        tokens += 20 * len(body["tools"])
    return Reply(server, runner, options, tokens, shift)


def _send(
    server: OllamaServer, exchange: Exchange, text: str, turn: Turn | Any, reply: Reply, chunk: Any
) -> None:
    stream = exchange.body.get("stream") is not False
    if isinstance(turn, Refuse):
        return exchange.json(turn.status, {"error": turn.error})
    if isinstance(turn, Hang):
        server.released.wait(30)
        exchange.handler.close_connection = True
        raise EndedError
    if isinstance(turn, Garbage):
        return exchange.send(200, "text/plain", b"<html>not json</html>\n")
    if isinstance(turn, Break):
        return _broken(exchange, text, turn, chunk, stream=stream)
    source: Iterator[Piece] = turn if isinstance(turn, Iterator) else pieces_of(turn)
    if stream:
        return _streamed(exchange, text, reply, chunk, source)
    return _in_one(exchange, text, reply, chunk, source)


def _broken(exchange: Exchange, text: str, turn: Break, chunk: Any, *, stream: bool) -> None:
    if not stream and turn.error is not None:
        return exchange.json(500, {"error": turn.error})
    exchange.line(chunk(text, _assistant(turn.text)))
    if turn.error is None:
        exchange.handler.close_connection = True
        raise EndedError
    exchange.line({"error": turn.error})
    return exchange.end()


def _streamed(
    exchange: Exchange, text: str, reply: Reply, chunk: Any, source: Iterator[Piece]
) -> None:
    top = int(exchange.body.get("top_logprobs") or 0)
    for message in reply.pieces(source):
        line = chunk(text, message)
        if exchange.body.get("logprobs"):
            line["logprobs"] = [logprob_of(message.get("content") or "", top)]
        exchange.line(line)
    exchange.line(_last(exchange, chunk(text, _assistant("")), reply))
    exchange.end()


def _in_one(
    exchange: Exchange, text: str, reply: Reply, chunk: Any, source: Iterator[Piece]
) -> None:
    whole: dict[str, Any] = _assistant("")
    logprobs = []
    top = int(exchange.body.get("top_logprobs") or 0)
    for message in reply.pieces(source):
        logprobs.append(logprob_of(message.get("content") or "", top))
        for key in ("content", "thinking"):
            if message.get(key):
                whole[key] = whole.get(key, "") + message[key]
        if message.get("tool_calls"):
            whole["tool_calls"] = [*whole.get("tool_calls", []), *message["tool_calls"]]
    answer = chunk(text, whole)
    if exchange.body.get("logprobs"):
        answer["logprobs"] = logprobs
    exchange.whole(200, _last(exchange, answer, reply))


def _last(exchange: Exchange, line: dict[str, Any], reply: Reply) -> dict[str, Any]:
    ended = _ended(line, reply.done_reason)
    metrics = reply.metrics()
    if "response" in line and not exchange.body.get("raw"):
        ended["context"] = list(range(1, reply.prompt_eval_count + reply.eval_count + 1))
    return {**ended, **metrics}


def _ended(line: dict[str, Any], reason: str) -> dict[str, Any]:
    return {**line, "done": True, "done_reason": reason}


def _assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _chat_chunk(text: str, message: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": text,
        "created_at": stamp(time.time()),
        "message": dict(message),
        "done": False,
    }


def _generate_chunk(text: str, message: Mapping[str, Any]) -> dict[str, Any]:
    line = {
        "model": text,
        "created_at": stamp(time.time()),
        "response": message.get("content") or "",
        "done": False,
    }
    if message.get("thinking"):
        line["thinking"] = message["thinking"]
    return line


def _unloaded(
    server: OllamaServer, exchange: Exchange, text: str, manifest: Manifest, chunk: Any
) -> None:
    server.runners.unload(manifest)
    exchange.whole(200, _ended(chunk(text, _assistant("")), "unload"))


def _rendered(exchange: Exchange, text: str, messages: list[dict[str, Any]]) -> None:
    """Answer a request for the prompt alone; every template is rendered as ChatML here."""
    prompt = "".join(
        f"<|im_start|>{m.get('role')}\n{m.get('content') or ''}<|im_end|>\n" for m in messages
    )
    line = _chat_chunk(text, {"role": "", "content": ""})
    info = {"rendered_template": prompt + "<|im_start|>assistant\n"}
    exchange.whole(200, {**line, "_debug_info": info})


def _check_abilities(manifest: Manifest, text: str, body: Mapping[str, Any], what: str) -> None:
    """Refuse what the model cannot do, in the words of each refusal."""
    can = manifest.capabilities
    name = manifest.name
    full = f"{name.host}/{name.namespace}/{name.model}:{name.tag}"
    if "completion" not in can:
        raise RefusedError(400, f'"{text}" does not support {what}')
    if body.get("suffix") and "insert" not in can:
        raise RefusedError(400, f"{full} does not support insert")
    if body.get("tools") and "tools" not in can:
        raise RefusedError(400, f"{full} does not support tools")
    if body.get("think") and "thinking" not in can:
        raise RefusedError(400, f'"{text}" does not support thinking')

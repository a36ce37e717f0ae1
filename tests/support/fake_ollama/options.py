"""What Ollama checks in a request before anything runs, with the words it refuses in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from assistant.errors import ModelNameError
from assistant.models.names import ModelName, parse_model_name

_INTEGERS: Final = frozenset(
    "num_ctx num_batch num_gpu main_gpu num_thread num_keep seed num_predict top_k"
    " repeat_last_n draft_num_predict".split()
)
_FLOATS: Final = frozenset(
    "top_p min_p typical_p temperature repeat_penalty presence_penalty frequency_penalty".split()
)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_THINK_LEVELS: Final = frozenset({"high", "medium", "low", "max"})
_FIELDS: Final[Mapping[str, tuple[type, str]]] = {
    "model": (str, "string"),
    "prompt": (str, "string"),
    "suffix": (str, "string"),
    "template": (str, "string"),
    "system": (str, "string"),
    "from": (str, "string"),
    "source": (str, "string"),
    "destination": (str, "string"),
    "messages": (list, "[]api.Message"),
    "tools": (list, "api.Tools"),
    "options": (dict, "map[string]interface {}"),
    "parameters": (dict, "map[string]interface {}"),
    "files": (dict, "map[string]string"),
    "stream": (bool, "bool"),
    "insecure": (bool, "bool"),
    "verbose": (bool, "bool"),
}
_STRUCTS: Final = {
    "/api/chat": "ChatRequest",
    "/api/generate": "GenerateRequest",
    "/api/embed": "EmbedRequest",
    "/api/embeddings": "EmbeddingRequest",
    "/api/show": "ShowRequest",
    "/api/pull": "PullRequest",
    "/api/create": "CreateRequest",
    "/api/copy": "CopyRequest",
    "/api/delete": "DeleteRequest",
}


class RefusedError(Exception):
    """An error status with a message."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def read_body(path: str, raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises:
        RefusedError: it is none, or a field has the wrong type.
    """
    if not raw.strip():
        raise RefusedError(400, "missing request body")
    text = raw.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise RefusedError(400, _syntax_error(text, error.pos)) from error
    struct = _STRUCTS.get(path, "Request")
    if not isinstance(body, dict):
        raise RefusedError(
            400, f"json: cannot unmarshal {_go_kind(body)} into Go value of type api.{struct}"
        )
    for name, value in body.items():
        kind, go_type = _FIELDS.get(name, (object, ""))
        if value is not None and not isinstance(value, kind):
            raise RefusedError(
                400,
                f"json: cannot unmarshal {_go_kind(value)} into Go struct field"
                f" {struct}.{name} of type {go_type}",
            )
    check_think(body.get("think"))
    if "keep_alive" in body:
        keep_alive_s(body["keep_alive"])
    _check_tool_calls(body.get("messages") or [])
    return body


def _syntax_error(text: str, position: int) -> str:
    if position >= len(text):
        return "unexpected EOF"
    return f"invalid character '{text[position]}' looking for beginning of value"


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    kinds: dict[type, str] = {
        str: "string", int: "number", float: "number", list: "array", dict: "object",
    }  # fmt: skip
    return kinds.get(type(value), "null")


def check_think(think: Any) -> None:
    """Refuse a `think` that is no boolean and no level."""
    if think is None or isinstance(think, bool) or think in _THINK_LEVELS:
        return
    raise RefusedError(
        400,
        f'invalid think value: {json.dumps(think)} (must be "high", "medium", "low", "max",'
        " true, or false)",
    )


def _check_tool_calls(messages: list[Any]) -> None:
    for message in messages:
        for call in (message or {}).get("tool_calls") or []:
            if isinstance(call.get("function", {}).get("arguments"), str):
                raise RefusedError(
                    400, "Value looks like object, but can't find closing '}' symbol"
                )


def keep_alive_s(value: Any) -> float:
    """Return seconds from a number or a Go duration; negative stands for always.

    Raises:
        RefusedError: it is no duration.
    """
    if value is None:
        return 300.0
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value).strip()
    sign = -1.0 if text.startswith("-") else 1.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if "".join(number + unit for number, unit in parts) != text.lstrip("+-") or not parts:
        if text == "0":
            return 0.0
        raise RefusedError(400, f'time: invalid duration "{text}"')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def named(body: Mapping[str, Any]) -> tuple[str, ModelName]:
    """Return the model's name in a request, as it was sent and as it is understood.

    Raises:
        RefusedError: there is none, or it is no name.
    """
    text = str(body.get("model") or body.get("name") or "")
    if not text:
        raise RefusedError(400, "model is required")
    return text, parsed(text)


def parsed(text: str) -> ModelName:
    """Return a name as Ollama reads it.

    Raises:
        RefusedError: it is no name.
    """
    try:
        return parse_model_name(text)
    except ModelNameError as error:
        raise RefusedError(400, "invalid model name") from error


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a wrong type; unknown ones are let through, as Ollama does.

    Raises:
        RefusedError: 500, for the first that is wrong.
    """
    for name, value in options.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is None:
            continue
        if name in _INTEGERS and not (number and value == int(value)):
            raise RefusedError(500, f'option "{name}" must be of type integer')
        if name in _FLOATS and not number:
            raise RefusedError(500, f'option "{name}" must be of type float32')
        if name == "stop" and not isinstance(value, list):
            raise RefusedError(500, f'option "{name}" must be of type array')

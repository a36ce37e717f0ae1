"""What can go wrong in a chat with a model; all are `OllamaError` (exit code 3).

OllamaError
├─ ModelMissingError        the server has no such model
├─ CannotCallToolsError     the model's template knows no tools
├─ CannotThinkError         `think` was asked of a model without it
├─ PromptTooLongError       the prompt did not fit the context; `prompt_tokens`, `num_ctx`
├─ OutOfMemoryError         the model could not be loaded: not enough memory
├─ LoadFailedError          the model could not be loaded for another reason
├─ ServerBusyError          the server's queue is full
├─ StreamBrokenError        the answer ended before its end
└─ TooSlowError             no (more) text came within the time allowed
"""

from __future__ import annotations

import json
import re
from typing import Any

from assistant.errors import OllamaError
from assistant.ollama.errors import RequestRefusedError
from assistant.ollama.server_address import ServerAddress


class ChatError(OllamaError):
    """A chat did not come to its end."""

    code = "chat_failed"


class ModelMissingError(ChatError):
    """The server has no such model."""

    code = "model_missing"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"the model {model!r} is not installed on the Ollama server.",
            hint=f"Install it with: ollama pull {model}",
        )


class CannotCallToolsError(ChatError):
    """The model cannot call tools."""

    code = "cannot_call_tools"


class CannotThinkError(ChatError):
    """The model has no thinking mode."""

    code = "cannot_think"


class PromptTooLongError(ChatError):
    """The prompt is longer than the context; None for what the server did not say."""

    code = "prompt_too_long"

    def __init__(self, *, prompt_tokens: int | None = None, num_ctx: int | None = None) -> None:
        size = f" ({prompt_tokens} of {num_ctx} tokens)" if prompt_tokens and num_ctx else ""
        super().__init__(f"the question and its evidence do not fit the model's context{size}.")
        self.prompt_tokens = prompt_tokens
        self.num_ctx = num_ctx


class OutOfMemoryError(ChatError):
    """The model could not be loaded for want of memory."""

    code = "out_of_memory"


class LoadFailedError(ChatError):
    """The model could not be loaded."""

    code = "load_failed"


class ServerBusyError(ChatError):
    """The server's queue is full."""

    code = "server_busy"


class StreamBrokenError(ChatError):
    """The answer ended before its end."""

    code = "stream_broken"


class TooSlowError(ChatError):
    """The time allowed ran out."""

    code = "too_slow"


_MEMORY = re.compile(
    r"insufficient memory|out of memory|failed to allocate|unable to allocate|cudaMalloc failed"
    r"|requires more system memory|ErrorOutOfDeviceMemory",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"exceed_context_size|prompt is longer than the context|exceeds the available context"
)
_BROKEN = re.compile(r"unexpected EOF|an error was encountered while running the model")
_LOADING = re.compile(r"process has terminated|failed to load|error loading model")


def chat_error(address: ServerAddress, model: str, status: int, said: str) -> OllamaError:
    """Return our error for what the server said with `status` (200 for a line in a stream)."""
    if status == 404 and "not found" in said:
        return ModelMissingError(model)
    if "does not support tools" in said:
        return CannotCallToolsError(f"the model {model!r} cannot call tools.")
    if "does not support thinking" in said:
        return CannotThinkError(f"the model {model!r} has no thinking mode.")
    if _TOO_LONG.search(said):
        inner = _inner(said)
        return PromptTooLongError(
            prompt_tokens=_integer(inner.get("n_prompt_tokens")),
            num_ctx=_integer(inner.get("n_ctx")),
        )
    if status == 503:
        return ServerBusyError(
            "the Ollama server is busy: its queue is full.", hint="Try again in a moment."
        )
    if _MEMORY.search(said):
        return OutOfMemoryError(
            f"the Ollama server has not enough memory to load {model!r}.",
            hint=f"See what fits: assistant fit {model}",
        )
    if _LOADING.search(said):
        return LoadFailedError(f"the Ollama server could not load {model!r}: {said[:160]}")
    if _BROKEN.search(said):
        return StreamBrokenError(f"the model {model!r} stopped in the middle of its answer.")
    return RequestRefusedError(address, status, said[:200])


def _inner(said: str) -> dict[str, Any]:
    """Return the error object that newer servers put into the `error` text as JSON."""
    try:
        found = json.loads(said)
    except ValueError:
        return {}
    inner = found.get("error") if isinstance(found, dict) else None
    return inner if isinstance(inner, dict) else {}


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

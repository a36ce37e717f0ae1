"""What can go wrong at the door to a server; all are `OllamaError` (exit code 3).

OllamaError
├─ ServerUnreachableError   nothing accepts connections, or nothing answers in time
├─ NotOllamaError           something answers, but not as an Ollama server does
└─ RequestRefusedError      the server answered with an error status; `status` has it
"""

from __future__ import annotations

from assistant.errors import OllamaError
from assistant.ollama.server_address import ServerAddress


class ServerUnreachableError(OllamaError):
    """No server answers at the address."""

    code = "ollama_unreachable"

    def __init__(self, address: ServerAddress, why: str) -> None:
        hint = "Start it with: ollama serve"
        if not address.is_local:
            hint = "OLLAMA_HOST names that server; check that it runs and listens there."
        super().__init__(f"no Ollama server answers at {address.url} ({why}).", hint=hint)


class NotOllamaError(OllamaError):
    """What answers at the address is something else, or damaged."""

    code = "not_ollama"

    def __init__(self, address: ServerAddress, why: str) -> None:
        super().__init__(
            f"what answers at {address.url} is not an Ollama server: {why}.",
            hint="Set OLLAMA_HOST to the address of the Ollama server.",
        )


class RequestRefusedError(OllamaError):
    """The server answered with an error status and, mostly, a reason."""

    code = "ollama_refused"

    def __init__(self, address: ServerAddress, status: int, said: str) -> None:
        answered = f"answered {status}" if status >= 400 else "answered"
        super().__init__(f"the Ollama server at {address.url} {answered}: {said}")
        self.status = status
        self.said = said

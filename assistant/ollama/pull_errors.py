"""What can go wrong while pulling, creating, copying or deleting; all are `OllamaError` (exit 3).

OllamaError
├─ NotInRegistryError        the registry has no such model or tag
├─ RegistryUnreachableError  the server cannot reach the registry, or it stopped answering
├─ DiskFullError             the server's disk is full
├─ DamagedDownloadError      a digest does not match, or part files are damaged
├─ PullInterruptedError      the stream ended before the end; what came is kept
└─ CreateRefusedError        the server would not create the model

The server says most of these as an `error` line in a stream with status 200; the texts are
those of a running 0.33, its documentation lists none.
"""

from __future__ import annotations

import re
from typing import Final

from assistant.errors import OllamaError
from assistant.ollama.chat_errors import ServerBusyError
from assistant.ollama.errors import RequestRefusedError
from assistant.ollama.server_address import ServerAddress

_SHOWN_AT_MOST: Final = 240
_DIGEST: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


class NotInRegistryError(OllamaError):
    """The registry has no such model or tag."""

    code = "not_in_registry"


class RegistryUnreachableError(OllamaError):
    """The server cannot reach the registry, or it stopped answering."""

    code = "registry_unreachable"


class DiskFullError(OllamaError):
    """There is no room left on the server's disk."""

    code = "disk_full"


class DamagedDownloadError(OllamaError):
    """What was downloaded is not what the registry promised, or its part files are damaged."""

    code = "damaged_download"


class PullInterruptedError(OllamaError):
    """The pull ended before its end; what came is kept by the server and used again."""

    code = "pull_interrupted"


class CreateRefusedError(OllamaError):
    """The server would not create the model."""

    code = "create_refused"


_MISSING: Final = re.compile(r"file does not exist|manifest unknown|not found", re.IGNORECASE)
_FULL: Final = re.compile(r"no space left|not enough space|disk quota|disk is full", re.IGNORECASE)
_DAMAGED: Final = re.compile(r"digest mismatch|unexpected digest|^EOF$", re.IGNORECASE)
_UNREACHABLE: Final = re.compile(
    r"max retries exceeded|no such host|connection refused|connection reset|i/o timeout|dial tcp"
    r"|network is unreachable|TLS handshake|x509|stalled|deadline exceeded|server misbehaving"
    r"|: (unexpected )?EOF$",
    re.IGNORECASE,
)
_PLAIN_HTTP: Final = "HTTP response to HTTPS client"
_NO_REDIRECT: Final = "no Location header"


def pull_error(address: ServerAddress, model: str, status: int, said: str) -> OllamaError:
    """Return our error for what the server said while pulling; `status` is -1 inside a stream."""
    shown = _shown(said)
    if _FULL.search(said):
        return DiskFullError(
            f"the disk of the Ollama server is full; {model!r} is not complete ({shown}).",
            hint="Free some space (assistant models remove NAME), then run the same command again.",
        )
    if _DAMAGED.search(said.strip()):
        return DamagedDownloadError(
            f"the download of {model!r} is damaged: {shown}.",
            hint="Run the same command again; if it says the same, assistant doctor names the "
            "part files to remove.",
        )
    if _PLAIN_HTTP in said:
        return RegistryUnreachableError(
            f"the registry of {model!r} speaks plain HTTP, and HTTPS was asked for.",
            hint="Write http:// before the name to allow that: http://HOST:PORT/USER/MODEL",
        )
    if _NO_REDIRECT in said:
        return RegistryUnreachableError(
            f"the registry of {model!r} cannot serve Ollama: it sends files itself ({shown}).",
            hint="Ollama wants to be sent on to another address for them; take another registry.",
        )
    if _UNREACHABLE.search(said.strip()):
        return RegistryUnreachableError(
            f"the Ollama server cannot reach the registry for {model!r}: {shown}.",
            hint="Check the server's network (and its HTTPS_PROXY); what came is kept. "
            "Run the same command again.",
        )
    if _MISSING.search(said):
        return NotInRegistryError(
            f"the registry has no model {model!r}.",
            hint="Check the name: assistant models list NAME",
        )
    return _general(address, status, said)


def create_error(address: ServerAddress, model: str, status: int, said: str) -> OllamaError:
    """Return our error for what the server said while creating `model`."""
    shown = _shown(said)
    if _FULL.search(said):
        return DiskFullError(
            f"the disk of the Ollama server is full; {model!r} was not created ({shown}).",
            hint="Free some space (assistant models remove NAME), then run the same command again.",
        )
    if status not in (500, 503):
        return CreateRefusedError(
            f"the Ollama server would not create {model!r}: {shown}.",
            hint="Run the same command again; if it says the same: assistant doctor",
        )
    return _general(address, status, said)


def _general(address: ServerAddress, status: int, said: str) -> OllamaError:
    if status == 503 or "server busy" in said:
        return ServerBusyError(
            "the Ollama server is busy: its queue is full.", hint="Try again in a moment."
        )
    shown = _shown(said) or "no explanation"
    return RequestRefusedError(address, status if status > 0 else 200, shown)


def _shown(said: str) -> str:
    """Return the server's words without most of each digest, and not too many of them."""
    text = _DIGEST.sub(r"\1", said.strip())
    return text if len(text) <= _SHOWN_AT_MOST else f"{text[: _SHOWN_AT_MOST - 4]} ..."

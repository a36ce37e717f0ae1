"""Is an Ollama server there, and what does it say of itself: never raises, never waits long."""

from __future__ import annotations

from typing import Any, Final

from assistant.errors import OllamaError, UsageError
from assistant.machine.records import OllamaServer, Unavailable
from assistant.ollama import wire
from assistant.ollama.errors import NotOllamaError
from assistant.ollama.server_address import ServerAddress, configured_address
from assistant.units import gib

ANSWER_TIMEOUT_S: Final = 0.5


def detect_server(
    address: ServerAddress | None = None,
    *,
    connect_timeout_s: float = wire.CONNECT_TIMEOUT_S,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> tuple[OllamaServer, tuple[Unavailable, ...]]:
    """Return what the configured server says, and what it would not say with the reason.

    A closed port costs no measurable time, an address that swallows packets
    `connect_timeout_s`. `gpu` says how much of the loaded models the server holds in VRAM;
    None when nothing is loaded, since its API says nothing about GPUs otherwise.
    """
    try:
        address = address or configured_address()
    except UsageError as error:
        return OllamaServer("", reachable=False), (Unavailable("ollama", error.message),)
    try:
        wire.check_reachable(address, timeout_s=connect_timeout_s)
        version = _version(address, answer_timeout_s)
    except OllamaError as error:
        return OllamaServer(address.url, reachable=False), (Unavailable("ollama", error.message),)
    problems: list[Unavailable] = []
    installed = _entries(address, "/api/tags", answer_timeout_s, problems)
    loaded = _entries(address, "/api/ps", answer_timeout_s, problems)
    server = OllamaServer(
        url=address.url,
        reachable=True,
        version=version,
        models=_names(installed),
        loaded=_names(loaded),
        gpu=_vram_use(loaded or []),
    )
    return server, tuple(problems)


def _version(address: ServerAddress, timeout_s: float) -> str:
    version = wire.request_json(address, "/api/version", timeout_s=timeout_s).get("version")
    if not isinstance(version, str):
        raise NotOllamaError(address, "/api/version names no version")
    return version


def _entries(
    address: ServerAddress, path: str, timeout_s: float, problems: list[Unavailable]
) -> list[dict[str, Any]] | None:
    """Return the server's list of models, or None and one more problem."""
    try:
        models = wire.request_json(address, path, timeout_s=timeout_s).get("models")
        if not isinstance(models, list):
            raise NotOllamaError(address, f"{path} lists no models")
    except OllamaError as error:
        problems.append(Unavailable(f"ollama {path}", error.message))
        return None
    return [m for m in models if isinstance(m, dict) and isinstance(m.get("name"), str)]


def _names(entries: list[dict[str, Any]] | None) -> tuple[str, ...] | None:
    return None if entries is None else tuple(str(entry["name"]) for entry in entries)


def _vram_use(loaded: list[dict[str, Any]]) -> str | None:
    """Return in words where the loaded models are: all in VRAM, in part, or in RAM."""
    sizes = [
        (entry["size"], entry.get("size_vram", 0))
        for entry in loaded
        if isinstance(entry.get("size"), int) and isinstance(entry.get("size_vram", 0), int)
    ]
    if not sizes:
        return None
    total, vram = sum(size for size, _ in sizes), sum(vram for _, vram in sizes)
    if vram == 0:
        return "none of the loaded models uses a GPU"
    return f"{gib(vram)} of {gib(total)} of the loaded models in VRAM"

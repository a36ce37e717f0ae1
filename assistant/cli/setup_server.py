"""When no server answers `assistant setup`: start one where that was asked for, else explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistant.errors import OllamaError

if TYPE_CHECKING:
    from assistant.cli.output import Output
    from assistant.ollama.server_address import ServerAddress


def start_or_explain(
    out: Output, address: ServerAddress, error: OllamaError, *, start: bool
) -> None:
    """Start a server on this computer when `start` asks for it; return when it answers.

    Raises:
        OllamaError: `error` with what to do about it, or why the server could not be started.
    """
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.local_server import find_ollama, how_to_start, start_server
    from assistant.paths import data_folder

    if not address.is_local or OllamaClient(address).listens():
        raise error
    program = find_ollama()
    if not start or program is None:
        error.hint = how_to_start(program)
        raise error
    log = data_folder() / "logs" / "ollama-serve.log"
    with out.progress("starting the Ollama server"):
        started = start_server(address, program, log=log)
    out.note(f"Started 'ollama serve' (process {started.pid}); its output: {started.log}")

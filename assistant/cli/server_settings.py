"""What the server that is spoken to fixes for every model: its own environment, as far as known.

A server on this computer has its settings from a service or from the shell that started it
(`machine.detect.server_process` reads which); of one elsewhere nothing is known, and Ollama's
defaults are assumed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.config import OllamaSettings
    from assistant.fit.records import RunOptions
    from assistant.ollama.server_address import ServerAddress


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`options` hold for every model; `max_loaded` is None when Ollama chooses."""

    options: RunOptions
    settings: OllamaSettings
    max_loaded: int | None
    assumptions: tuple[str, ...]


def server_settings(address: ServerAddress | None) -> ServerSettings:
    """Return the settings of the server at `address`; the context is left to each Modelfile.

    None stands for a server on a machine that was only described: it has Ollama's defaults.
    """
    import dataclasses

    from assistant.cli.environment import environment_run_options
    from assistant.config import read_settings

    assumptions: tuple[str, ...] = ()
    if address is None:
        settings = read_settings({})
    elif address.is_local:
        from assistant.machine.detect.server_process import detect_server_process

        found = detect_server_process(Path("/"), os.environ, port=address.port)
        settings = read_settings(found.variables)
        assumptions = settings.assumptions
    else:
        settings = read_settings({})
        assumptions = (
            f"the server at {address.url} has Ollama's default settings, which cannot be asked",
        )
    options = dataclasses.replace(environment_run_options(settings), num_ctx=None)
    return ServerSettings(options, settings, settings.max_loaded_models.value, assumptions)

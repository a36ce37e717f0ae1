"""The environment the Ollama server starts with, as far as it can be seen from here.

Ollama's Linux installer runs the server as a systemd service; what an administrator sets
there (`systemctl edit ollama`) stands in `Environment=` lines of its unit and drop-ins.
This process's own environment wins, because a server started by hand inherits it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.files import exists, list_directory, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_UNITS: Final = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_TRUE: Final = ("1", "t", "true")
_FALSE: Final = ("0", "f", "false")


def server_environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the server: those of its service, then those set here."""
    merged: dict[str, str] = {}
    for folder in reversed(_UNITS):
        for path in (
            root / folder / "ollama.service",
            *list_directory(root / folder / "ollama.service.d", "*.conf"),
        ):
            merged.update(_environment_lines(read_text(path) or ""))
    merged.update(environ)
    return merged


def runs_as_service(root: Path) -> bool:
    """Return whether Ollama is installed as a systemd service on this machine."""
    return any(exists(root / folder / "ollama.service") for folder in _UNITS)


def switch(environ: Mapping[str, str], name: str) -> bool | None:
    """Return what a boolean variable says (as Go's ParseBool reads it), None when unset."""
    value = environ.get(name, "").strip().strip("\"'").lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    # Ollama's envconfig takes any other non-empty value as true.
    return True if value else None


def _environment_lines(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition("=")
        if key.strip() != "Environment":
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        for word in words:
            name, separator, content = word.partition("=")
            if separator:
                found[name] = content
    return found

"""Where Ollama keeps its models, and the room left there.

The server keeps them under $OLLAMA_MODELS, else ~/.ollama/models of the user it runs as;
the Linux service runs as the user `ollama`, whose home is /usr/share/ollama.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.files import exists
from assistant.machine.detect.notes import Reading
from assistant.machine.detect.server_environment import runs_as_service
from assistant.machine.records import Disk, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SERVICE_MODELS: Final = Path("usr/share/ollama/.ollama/models")


def detect_disk(
    root: Path,
    environ: Mapping[str, str],
    home: Path,
    *,
    free_bytes: Callable[[Path], int] | None = None,
) -> Reading[Disk]:
    """Return the models folder and the free bytes of its file system.

    The folder need not exist yet: the nearest existing parent is asked. `environ` is the
    server's environment, `free_bytes` how to ask (default: `shutil.disk_usage`).
    """
    path = models_path(root, environ, home)
    ask = free_bytes or _free_bytes
    for folder in (path, *path.parents):
        if not exists(folder):
            continue
        try:
            return Reading(Disk(models_path=str(path), free_bytes=ask(folder)))
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            return Reading(
                Disk(models_path=str(path)),
                (Unavailable("free disk space", f"{folder} cannot be asked ({reason})"),),
            )
    return Reading(
        Disk(models_path=str(path)), (Unavailable("free disk space", f"no folder above {path}"),)
    )


def models_path(root: Path, environ: Mapping[str, str], home: Path) -> Path:
    """Return the folder the server keeps its models in (see the module's text)."""
    stated = environ.get("OLLAMA_MODELS", "").strip().strip("\"'")
    if stated:
        path = Path(stated)
        elsewhere = root != Path("/") and path.is_absolute()
        return root.joinpath(*path.parts[1:]) if elsewhere else path
    own = home / ".ollama/models"
    service = root / _SERVICE_MODELS
    if exists(service) or (runs_as_service(root) and not exists(own)):
        return service
    return own


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free

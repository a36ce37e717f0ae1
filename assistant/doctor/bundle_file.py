"""Writing the bundle for a bug report: a .zip or a .json file, never over an existing one."""

from __future__ import annotations

import getpass
import io
import json
import os
import platform
import socket
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from assistant.doctor.bundle import Identity, Program
from assistant.errors import FileProblemError, UsageError
from assistant.files import OWNER_ONLY

SUFFIXES: Final = (".zip", ".json")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_INSIDE: Final = "doctor.json"
_TEXT: Final = "doctor.txt"


def this_identity(environ: Mapping[str, str] | None = None, *, url: str = "") -> Identity:
    """Return what names this computer, its person and the configured server (`url`)."""
    environ = os.environ if environ is None else environ
    homes, users = set(), set()
    with suppress(RuntimeError, OSError):
        homes.add(str(Path.home()))
    homes |= {environ[name] for name in ("HOME", "USERPROFILE") if environ.get(name)}
    with suppress(OSError, KeyError, ImportError):
        users.add(getpass.getuser())
    users |= {
        environ[name] for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER") if environ.get(name)
    }
    users |= {home.replace("\\", "/").rstrip("/").rpartition("/")[2] for home in homes}
    hosts = {platform.node(), socket.gethostname(), environ.get("HOSTNAME", "")}
    hosts |= {host.partition(".")[0] for host in hosts}
    hosts.add(url.partition("://")[2].partition("/")[0].rpartition(":")[0])
    return Identity(tuple(homes), tuple(users), tuple(host for host in hosts if host))


def this_program() -> Program:
    """Return this program's version and what it runs on."""
    import assistant

    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Program(assistant.__version__, platform.python_version(), system)


def check_free(path: Path) -> None:
    """Say early that a file cannot be the bundle.

    Raises:
        UsageError: it has another ending, or is there already.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"the bundle {path.name!r} must end in .zip or .json.",
            hint="Name it like this: assistant doctor --bundle report.zip",
        )
    if path.exists() or path.is_symlink():
        raise UsageError(
            f"the file {str(path)!r} is there already and is not overwritten.",
            hint="Choose another name, or remove it.",
        )


def write_bundle(path: Path, data: Mapping[str, Any], text: str) -> None:
    """Write the bundle; a .zip has `text` beside it. Readable by its owner only.

    Raises:
        UsageError: the file is there already, or has another ending.
        FileProblemError: it cannot be written.
    """
    check_free(path)
    content = (json.dumps(data, indent=1) + "\n").encode()
    if path.suffix.lower() == ".zip":
        content = _zipped({_INSIDE: content, _TEXT: text.encode()})
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        check_free(path)
        raise
    except OSError as error:
        raise FileProblemError(
            f"{str(path)!r} cannot be written: {(error.strerror or str(error)).lower()}.",
            hint="Choose another folder.",
        ) from error


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """Return an archive; its entries carry no time and no user."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()

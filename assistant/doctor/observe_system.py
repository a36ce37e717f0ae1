"""The edge of the doctor that reads files: folders, unfinished downloads, swap and power.

Nothing here raises: what cannot be read is None.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from assistant.doctor.records import (
    KEPT_VARIABLES,
    DiskSeen,
    PartialDownload,
    ProxySeen,
    SystemSeen,
)
from assistant.machine.detect.disk import detect_disk
from assistant.machine.detect.files import (
    exists,
    list_directory,
    pairs,
    parse_count,
    read_bytes,
    read_text,
)
from assistant.units import KIB

_PARTIAL: Final = re.compile(r"(sha256-[0-9a-f]{64})-partial(?:-\d+)?")
_LARGEST_PART: Final = 4096
_LOOPBACK: Final = ("localhost", "127.0.0.1", "127.0.0.0/8", "*")


def kept_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that decide what the server does with a model, and no other."""
    return {name: environ[name] for name in KEPT_VARIABLES if name in environ}


def proxies(environ: Mapping[str, str]) -> ProxySeen:
    """Return whether proxies are set; never their addresses, which may hold passwords."""
    values = {name.upper(): value.strip() for name, value in environ.items() if value.strip()}
    both = "ALL_PROXY" in values
    spared = [each.strip().lower() for each in values.get("NO_PROXY", "").split(",")]
    return ProxySeen(
        http="HTTP_PROXY" in values or both,
        https="HTTPS_PROXY" in values or both,
        spares_loopback=any(each in _LOOPBACK for each in spared),
    )


def observe_disk(
    root: Path, environ: Mapping[str, str], home: Path, *, uid: int | None = None
) -> DiskSeen:
    """Return the server's models folder; `environ` and `uid` are those of the server."""
    own_home = Path(environ["HOME"]) if environ.get("HOME", "").startswith("/") else home
    disk = detect_disk(root, environ, own_home).value
    if disk.models_path is None:
        return DiskSeen(free_bytes=disk.free_bytes)
    folder = Path(disk.models_path)
    there = exists(folder)
    readable = os.access(folder, os.R_OK | os.X_OK) if there else None
    return DiskSeen(
        models_path=disk.models_path,
        free_bytes=disk.free_bytes,
        exists=there,
        has_manifests=bool(list_directory(folder / "manifests")) if readable else None,
        can_read=readable,
        server_can_write=_can_write(folder, uid),
        partials=find_partials(folder / "blobs") if readable else (),
    )


def with_data_folder(disk: DiskSeen, folder: Path) -> DiskSeen:
    """Return the record with this program's own folder, and whether we may write there."""
    there = next((each for each in (folder, *folder.parents) if exists(each)), None)
    allowed = None if there is None else os.access(there, os.W_OK | os.X_OK)
    return replace(disk, data_path=str(folder), data_can_write=allowed)


def find_partials(blobs: Path) -> tuple[PartialDownload, ...]:
    """Return the unfinished downloads in a folder of blobs.

    Ollama keeps the data in `sha256-...-partial` and, for each part, a JSON object with `Size`
    and `Completed` in `sha256-...-partial-N` (server/download.go). It reads all of these first:
    one that is empty or damaged ends every pull of the blob with "EOF" or another reading error.
    """
    found: dict[str, PartialDownload] = {}
    for path in list_directory(blobs, "sha256-*-partial*"):
        match = _PARTIAL.fullmatch(path.name)
        if match is None:
            continue
        blob = match[1]
        seen = found.setdefault(blob, PartialDownload(blob))
        if not path.name.endswith("-partial"):
            found[blob] = _with_part(seen, path)
    return tuple(found.values())


def observe_system(root: Path) -> SystemSeen:
    """Return swap and power of a Linux machine; None where the files are not there."""
    fields = dict(pairs(read_text(root / "proc/meminfo") or "", ":"))
    total, free = parse_count(fields.get("SwapTotal")), parse_count(fields.get("SwapFree"))
    used = None if total is None or free is None else KIB * max(0, total - free)
    return SystemSeen(
        swap_total_bytes=None if total is None else KIB * total,
        swap_used_bytes=used,
        on_battery=_on_battery(root / "sys/class/power_supply"),
        profile=read_text(root / "sys/firmware/acpi/platform_profile", limit=64),
    )


def _with_part(seen: PartialDownload, path: Path) -> PartialDownload:
    try:
        part = json.loads(read_bytes(path, limit=_LARGEST_PART) or b"")
        size, done = part["Size"], part["Completed"]
    except (ValueError, TypeError, KeyError, RecursionError):
        size = done = None
    if not isinstance(size, int) or not isinstance(done, int):
        return replace(seen, broken_parts=seen.broken_parts + 1)
    return replace(
        seen,
        done_bytes=seen.done_bytes + done,
        total_bytes=(seen.total_bytes or 0) + size,
    )


def _can_write(folder: Path, uid: int | None) -> bool | None:
    """Return whether a user may write to a folder by its owner and mode; None when not clear."""
    try:
        state = folder.stat()
    except (OSError, ValueError):
        return None
    if uid is None:
        return None
    if uid == 0 or state.st_mode & 0o002:
        return True
    if state.st_uid == uid:
        return bool(state.st_mode & 0o200)
    return None if state.st_mode & 0o020 else False


def _on_battery(folder: Path) -> bool | None:
    """Return whether a battery discharges and nothing supplies power; None without a battery."""
    supplies = list_directory(folder)
    batteries = [each for each in supplies if _kind(each) == "Battery" and _is_main(each)]
    if not batteries:
        return None
    if any(read_text(each / "online", limit=8) == "1" for each in supplies):
        return False
    return any(read_text(each / "status", limit=32) == "Discharging" for each in batteries)


def _kind(supply: Path) -> str | None:
    return read_text(supply / "type", limit=32)


def _is_main(supply: Path) -> bool:
    """Return whether a battery is the computer's own, not a mouse's."""
    return read_text(supply / "scope", limit=32) != "Device"

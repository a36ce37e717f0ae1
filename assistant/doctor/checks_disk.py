"""The models folder: room, unfinished downloads, and who may write there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.doctor.records import Finding, Observations, PartialDownload
from assistant.units import GB, gb

LOW_BYTES: Final = 10 * GB
"""Room below which most models cannot be pulled any more."""

FULL_BYTES: Final = 2 * GB


def check_disk(seen: Observations) -> Iterator[Finding]:
    """Yield what is wrong with the folders of the server and of this program."""
    findings = [*_room(seen), *_place(seen), *_permissions(seen), *_partials(seen)]
    yield from findings
    disk = seen.disk
    if disk.free_bytes is not None and not findings:
        yield Finding("disk", "ok", "disk")
    if disk.can_read and disk.server_can_write is not False and disk.data_can_write:
        yield Finding("permissions", "ok", "permissions")


def _room(seen: Observations) -> Iterator[Finding]:
    free = seen.disk.free_bytes
    if free is None or free >= LOW_BYTES:
        return
    yield Finding(
        "disk-full" if free < FULL_BYTES else "disk-low",
        "problem" if free < FULL_BYTES else "warning",
        f"{gb(free)} are free where the models are kept",
        (f"models folder: {seen.disk.models_path}",),
        "see what can go: ollama ls\nthen: ollama rm NAME",
    )


def _place(seen: Observations) -> Iterator[Finding]:
    """Say when the server has models and this folder has none: it keeps them elsewhere."""
    disk = seen.disk
    if (
        seen.models
        and seen.server.is_local
        and (disk.has_manifests is False or disk.exists is False)
    ):
        yield Finding(
            "models-elsewhere",
            "warning",
            "the server keeps its models in another folder than thought",
            (
                f"it lists {len(seen.models)} models, and {disk.models_path} holds none",
                "disk space and downloads are judged by that folder, perhaps wrongly",
            ),
            "see OLLAMA_MODELS in the server's environment, or whether it runs in a container",
        )


def _permissions(seen: Observations) -> Iterator[Finding]:
    disk = seen.disk
    if disk.server_can_write is False:
        yield Finding(
            "models-not-writable",
            "problem",
            "the server may not write to its models folder, so every pull fails",
            (f"{disk.models_path} belongs to another user",),
            f"sudo chown -R ollama:ollama {_quoted(disk.models_path)}",
        )
    if disk.data_can_write is False:
        yield Finding(
            "data-not-writable",
            "problem",
            "this program may not write to its own folder",
            (f"the ledger is kept in {disk.data_path}",),
            f"sudo chown -R $USER {_quoted(disk.data_path)}",
            also=("set ASSISTANT_HOME to another folder",),
        )


def _partials(seen: Observations) -> Iterator[Finding]:
    broken = [each for each in seen.disk.partials if each.broken_parts]
    rest = [each for each in seen.disk.partials if not each.broken_parts]
    for each in broken:
        yield Finding(
            "download-broken",
            "problem",
            "an unfinished download is damaged: each pull of that model ends with EOF",
            (
                f"{each.blob}: {each.broken_parts} part file{_s(each.broken_parts)} that cannot "
                f"be read; {gb(each.done_bytes)} of it are lost",
            ),
            f"{_sudo(seen)}rm {_partial_files(seen, each)}\nthen pull the model again",
        )
    if rest:
        done = sum(each.done_bytes for each in rest)
        total = sum(each.total_bytes or 0 for each in rest)
        count = len(rest)
        yield Finding(
            "download-unfinished",
            "warning",
            f"{count} unfinished download{_s(count)}: {gb(done)} of {gb(total)}",
            tuple(
                f"{e.blob[:19]}: {gb(e.done_bytes)} of {gb(e.total_bytes or 0)}" for e in rest[:3]
            ),
            "unless it is being pulled now: pull the model again, it goes on from there",
            also=(f"{_sudo(seen)}rm {_partial_files(seen, rest[0])}",) if count == 1 else (),
        )


def _partial_files(seen: Observations, partial: PartialDownload) -> str:
    """Return the pattern of a download's files, the folder quoted and the star not."""
    folder = f"{seen.disk.models_path or ''}/blobs/"
    return f"{_quoted(folder)}{partial.blob}-partial*"


def _quoted(path: str | None) -> str:
    import shlex

    return shlex.quote(path or "")


def _sudo(seen: Observations) -> str:
    return "sudo " if seen.server.is_service else ""


def _s(count: int) -> str:
    return "" if count == 1 else "s"

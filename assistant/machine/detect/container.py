"""Limits that cgroups set on this process, and the kind of container or guest it runs in.

cgroup v2: `memory.max` and `cpu.max` (Linux, Documentation/admin-guide/cgroup-v2.rst);
v1: `memory.limit_in_bytes`, `cpu.cfs_quota_us` and `cpu.cfs_period_us` under one mount per
controller. A limit on any ancestor holds too, so every folder from the process's group up
to the mount is asked and the smallest limit counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.files import (
    exists,
    pairs,
    parse_count,
    read_count,
    read_text,
)
from assistant.machine.records import Container

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# v1 writes "no limit" as the largest page-aligned 63-bit number, whatever the page size.
_V1_UNLIMITED: Final = 1 << 60
_MARKS: Final = (
    ("kubepods", "kubernetes"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("lxc", "lxc"),
    ("machine.slice/systemd-nspawn", "systemd-nspawn"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of this process, and the memory its control group uses now."""

    container: Container | None = None
    memory_used_bytes: int | None = None


def detect_container(root: Path, environ: Mapping[str, str]) -> Limits:
    """Return the container this process is in and its limits; all None outside of one."""
    groups = read_text(root / "proc/self/cgroup") or ""
    kind = container_kind(root, environ, groups)
    memory, used = _memory_limit(root, groups)
    cpus = _cpu_limit(root, groups)
    if kind is None and memory is None and cpus is None:
        return Limits()
    return Limits(Container(kind=kind, memory_limit_bytes=memory, cpu_limit=cpus), used)


def container_kind(root: Path, environ: Mapping[str, str], groups: str = "") -> str | None:
    """Return docker, podman, lxc, kubernetes, wsl2, ... or None."""
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if exists(root / "run/.containerenv"):
        return "podman"
    if exists(root / ".dockerenv"):
        return "docker"
    named = environ.get("container") or read_text(root / "run/systemd/container", limit=64)
    if named:
        return named.split()[0].lower()
    for mark, kind in _MARKS:
        if mark in groups:
            return kind
    return wsl_kind(root)


def wsl_kind(root: Path) -> str | None:
    """Return wsl1 or wsl2 when the kernel is Microsoft's, else None."""
    version = (read_text(root / "proc/version", limit=512) or "").lower()
    if "microsoft" not in version:
        return None
    return "wsl2" if "wsl2" in version or "microsoft-standard" in version else "wsl1"


def _memory_limit(root: Path, groups: str) -> tuple[int | None, int | None]:
    """Return (limit, use) of the group whose limit is the smallest."""
    best: tuple[int | None, int | None] = (None, None)
    for folder in _v2_folders(root, groups):
        limit = read_count(folder / "memory.max")
        if limit is not None and (best[0] is None or limit < best[0]):
            best = (limit, _memory_used(folder, "memory.current", "inactive_file"))
    for folder in _v1_folders(root, groups, "memory"):
        limit = read_count(folder / "memory.limit_in_bytes")
        if limit is not None and limit < _V1_UNLIMITED and (best[0] is None or limit < best[0]):
            best = (limit, _memory_used(folder, "memory.usage_in_bytes", "total_inactive_file"))
    return best


def _memory_used(folder: Path, name: str, reclaimable: str) -> int | None:
    """Return the bytes in use, without the file cache the kernel gives back at once."""
    used = read_count(folder / name)
    if used is None:
        return None
    fields = dict(pairs(read_text(folder / "memory.stat") or "", " "))
    return max(0, used - (parse_count(fields.get(reclaimable)) or 0))


def _cpu_limit(root: Path, groups: str) -> float | None:
    limits = []
    for folder in _v2_folders(root, groups):
        words = (read_text(folder / "cpu.max", limit=64) or "").split()
        if len(words) == 2:
            limits.append(_share(parse_count(words[0]), parse_count(words[1])))
    for folder in _v1_folders(root, groups, "cpu"):
        quota = read_count(folder / "cpu.cfs_quota_us")
        limits.append(_share(quota, read_count(folder / "cpu.cfs_period_us")))
    return min((limit for limit in limits if limit), default=None)


def _share(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota and period else None


def _v2_folders(root: Path, groups: str) -> Iterator[Path]:
    """Yield the folders of the unified hierarchy from this process's group to the top."""
    mount = root / "sys/fs/cgroup"
    for line in groups.splitlines():
        if line.startswith("0::"):
            yield from _upwards(mount, line[3:])
            return
    yield mount


def _v1_folders(root: Path, groups: str, controller: str) -> Iterator[Path]:
    for line in groups.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and controller in fields[1].split(","):
            for name in dict.fromkeys((controller, fields[1])):
                yield from _upwards(root / "sys/fs/cgroup" / name, fields[2])
            return
    yield root / "sys/fs/cgroup" / controller


def _upwards(mount: Path, group: str) -> Iterator[Path]:
    """Yield the group's folder and its parents.

    Inside a container the path of the host may be shown while the mount starts at the
    container's own group; folders that do not exist simply answer nothing.
    """
    parts = PurePosixPath(group.strip()).parts[1:]
    if ".." in parts:
        parts = ()
    for length in range(min(len(parts), 32), 0, -1):
        yield mount.joinpath(*parts[:length])
    yield mount

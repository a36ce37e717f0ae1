"""Machines recorded from what people posted publicly: file trees and driver answers.

Each file of `machines/` is one machine: `sources` names the posts, `files` the contents of
/proc and /sys files, `nvml` the answers of the NVIDIA driver, `commands` what commands
printed, `windows` the registry and the system calls. What a post does not say is absent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pynvml
import pytest

from assistant.machine.detect import detect_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assistant.machine.records import Machine

MACHINES = Path(__file__).parent / "machines"
MIB = 1024**2


def nvml_error(name: str) -> Exception:
    """Return the error pynvml itself raises for NVML_ERROR_<name>."""
    error: Exception = pynvml.NVMLError(getattr(pynvml, f"NVML_ERROR_{name}"))
    return error


@dataclass
class RecordedNvml:
    """The functions of pynvml that are asked, answering from a record."""

    record: Mapping[str, Any]
    nvmlMemory_v2: int = pynvml.nvmlMemory_v2
    calls: list[str] = field(default_factory=list)

    def nvmlInit(self) -> None:
        if "init_error" in self.record:
            raise nvml_error(self.record["init_error"])

    def nvmlShutdown(self) -> None:
        self.calls.append("shutdown")

    def nvmlSystemGetDriverVersion(self) -> str:
        return self._known(self.record, "driver")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.record["devices"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Mapping[str, Any]:
        device: Mapping[str, Any] = self.record["devices"][index]
        if "handle_error" in device:
            raise nvml_error(device["handle_error"])
        return device

    def nvmlDeviceGetName(self, handle: Mapping[str, Any]) -> str:
        return self._known(handle, "name")

    def nvmlDeviceGetMemoryInfo(
        self, handle: Mapping[str, Any], version: int | None = None
    ) -> SimpleNamespace:
        memory = self._known(handle, "memory_mib")
        if version is not None and "reserved" not in memory:
            raise nvml_error("FUNCTION_NOT_FOUND")
        return SimpleNamespace(**{key: value * MIB for key, value in memory.items()})

    def nvmlDeviceGetCudaComputeCapability(self, handle: Mapping[str, Any]) -> tuple[int, int]:
        major, minor = self._known(handle, "compute_capability")
        return major, minor

    def nvmlDeviceGetPciInfo(self, handle: Mapping[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(busId=self._known(handle, "bus_id"))

    def nvmlDeviceGetMigMode(self, handle: Mapping[str, Any]) -> list[int]:
        return [self._known(handle, "mig_mode")] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Mapping[str, Any]) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(
        self, handle: Mapping[str, Any], index: int
    ) -> Mapping[str, Any]:
        parts: Sequence[Mapping[str, Any]] = handle["mig_parts"]
        if index >= len(parts):
            raise nvml_error("NOT_FOUND")
        return parts[index]

    @staticmethod
    def _known(record: Mapping[str, Any], key: str) -> Any:
        if key not in record:
            raise nvml_error("NOT_SUPPORTED")
        value = record[key]
        if isinstance(value, str) and value.startswith("NVML_ERROR_"):
            raise nvml_error(value.removeprefix("NVML_ERROR_"))
        return value


@dataclass(frozen=True)
class RecordedWindows:
    """The questions asked of Windows, answered from a record."""

    record: Mapping[str, Any]

    def values(self, key: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.record["registry"].get(key, {})
        return found

    def subkeys(self, key: str) -> Sequence[str]:
        start = key + "\\"
        return sorted(
            {
                name[len(start) :].split("\\")[0]
                for name in self.record["registry"]
                if name.startswith(start)
            }
        )

    def memory(self) -> tuple[int, int] | None:
        memory = self.record.get("memory")
        return (memory[0], memory[1]) if memory else None

    def physical_cores(self) -> int | None:
        cores: int | None = self.record.get("physical_cores")
        return cores

    def smbios_table(self) -> bytes:
        return bytes.fromhex(self.record.get("smbios", ""))

    def has_feature(self, number: int) -> bool:
        return number in self.record.get("features", [])


def read_record(name: str) -> dict[str, Any]:
    """Return one file of `machines/`."""
    record: dict[str, Any] = json.loads((MACHINES / f"{name}.json").read_text(encoding="utf-8"))
    return record


def write_tree(root: Path, files: Mapping[str, str | Sequence[str]]) -> None:
    """Write the files of a record below `root`; a list is the lines of a file."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else "\n".join(content) + "\n"
        target.write_text(text, encoding="utf-8")


def refuse_nvml() -> Any:
    """Stand in for the NVIDIA library where nothing says that there is an NVIDIA GPU."""
    raise AssertionError("NVML was loaded on a machine without an NVIDIA GPU")


def missing_nvml() -> Any:
    """Stand in for a machine whose NVIDIA library cannot be loaded."""
    raise nvml_error("LIBRARY_NOT_FOUND")


def detect_record(root: Path, record: Mapping[str, Any], **changes: Any) -> Machine:
    """Detect the machine of a record whose files were written below `root`."""
    commands = record.get("commands", {})
    nvml: Callable[[], Any] = refuse_nvml
    if "nvml" in record:
        recorded = RecordedNvml(record["nvml"])
        nvml = lambda: recorded  # noqa: E731
    arguments: dict[str, Any] = {
        "system": record.get("system", "Linux"),
        "architecture": record.get("architecture"),
        "environ": record.get("environ", {}),
        "home": root / "home/user",
        "nvml": nvml,
        "run": lambda command: commands.get(Path(command[0]).name),
        "windows": RecordedWindows(record["windows"]) if "windows" in record else None,
        "free_bytes": lambda folder: 100 * 10**9,
    }
    return detect_machine(root, **{**arguments, **changes})


@pytest.fixture
def detected(tmp_path: Path) -> Callable[..., Machine]:
    """Return a function that detects one recorded machine by name."""

    def detect(name: str, **changes: Any) -> Machine:
        record = read_record(name)
        write_tree(tmp_path, record.get("files", {}))
        return detect_record(tmp_path, record, **changes)

    return detect

"""The processor of a Linux machine, from /proc/cpuinfo and /sys/devices/system/cpu.

x86 names itself in `model name`; ARM gives implementer and part numbers only (the register
MIDR_EL1), named here as the `lscpu` of util-linux names them. The features kept are those
llama.cpp has its own code for (ggml/src/ggml-cpu: AVX2, AVX512, AMX, NEON, SVE, ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.machine.detect.files import (
    list_directory,
    parse_count,
    read_text,
    why_unreadable,
)
from assistant.machine.detect.notes import Reading
from assistant.machine.records import Cpu, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

_X86_FEATURES: Final = {
    "sse4_2": "sse4_2",
    "avx": "avx",
    "f16c": "f16c",
    "fma": "fma",
    "avx2": "avx2",
    "bmi2": "bmi2",
    "avx_vnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
}
_ARM_FEATURES: Final = {
    "asimd": "neon",
    "neon": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
}
_OTHER_FEATURES: Final = {"lsx": "lsx", "lasx": "lasx", "vx": "vx", "vxe2": "vxe2"}

# Part numbers of implementer 0x41 (Arm): util-linux, sys-utils/lscpu-arm.c.
_ARM_PARTS: Final = {
    0xB76: "ARM1176",
    0xC07: "Cortex-A7",
    0xC09: "Cortex-A9",
    0xC0F: "Cortex-A15",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
    0xD83: "Neoverse-V3AE",
    0xD84: "Neoverse-V3",
    0xD85: "Cortex-X925",
    0xD87: "Cortex-A725",
    0xD8E: "Neoverse-N3",
}
_IMPLEMENTERS: Final = {
    0x41: "Arm",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x50: "Ampere",
    0x51: "Qualcomm",
    0x61: "Apple",
    0xC0: "Ampere",
}
_OTHER_PARTS: Final = {(0xC0, 0xAC3): "Ampere-1", (0xC0, 0xAC4): "Ampere-1a"}


def detect_cpu(root: Path, *, architecture: str | None = None) -> Reading[Cpu]:
    """Return the processor of the Linux machine whose file system starts at `root`.

    `architecture` is the machine name of `uname` (`x86_64`, `aarch64`). Cores are those
    the kernel shows, whatever a container may use of them.
    """
    path = root / "proc/cpuinfo"
    text = read_text(path)
    if text is None:
        cores = _cores_from_topology(root)
        cpu = Cpu(
            physical_cores=cores[0],
            logical_cores=cores[1],
            architecture=architecture,
            device_class=device_class_of(architecture),
        )
        return Reading(cpu, (Unavailable("processor", why_unreadable(path)),))
    processors, board = _parse_cpuinfo(text)
    first = processors[0] if processors else {}
    architecture = architecture or _guess_architecture(first)
    physical, logical = _count_cores(processors, root)
    name = _name(processors, board)
    unavailable = [] if name else [Unavailable("processor name", "/proc/cpuinfo does not give it")]
    if physical is None:
        unavailable.append(Unavailable("processor cores", "the kernel does not say"))
    cpu = Cpu(
        name=name,
        physical_cores=physical,
        logical_cores=logical,
        features=_features(first),
        architecture=architecture,
        device_class=device_class_of(architecture),
    )
    return Reading(cpu, tuple(unavailable))


def board_model(root: Path) -> str | None:
    """Return the board's own name from the device tree (`Raspberry Pi 5 Model B Rev 1.0`)."""
    for path in ("proc/device-tree/model", "sys/firmware/devicetree/base/model"):
        text = read_text(root / path, limit=256)
        if text:
            return text
    return None


def device_class_of(architecture: str | None) -> str | None:
    """Return the class of the device table for a processor architecture, if it has one."""
    name = (architecture or "").lower()
    if name in ("x86_64", "amd64", "i386", "i686"):
        return "cpu-x86"
    if name.startswith(("aarch64", "arm")):
        return "cpu-arm"
    return None


def _parse_cpuinfo(text: str) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Return the fields of each processor, and those that describe the whole board."""
    processors: list[dict[str, str]] = []
    board: dict[str, str] = {}
    current: dict[str, str] = board
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not separator or not key:
            if not line.strip():
                current = board
            continue
        if key == "processor" and value.isdigit():
            current = {}
            processors.append(current)
        current.setdefault(key, value)
    return processors, board


def _name(processors: list[dict[str, str]], board: dict[str, str]) -> str | None:
    first = processors[0] if processors else {}
    name = first.get("model name") or first.get("Model Name") or first.get("cpu model")
    name = name or board.get("cpu") or first.get("cpu") or first.get("uarch")
    if name and not name.startswith(("ARMv", "AArch64")):
        return " ".join(name.split())
    parts: dict[str, int] = {}
    for processor in processors:
        part = _arm_part(processor)
        if part:
            parts[part] = parts.get(part, 0) + 1
    if len(parts) > 1:
        return " + ".join(f"{count}x {part}" for part, count in parts.items())
    return next(iter(parts), None) or (" ".join(name.split()) if name else None)


def _arm_part(processor: dict[str, str]) -> str | None:
    implementer = parse_count(processor.get("CPU implementer"))
    part = parse_count(processor.get("CPU part"))
    if implementer is None or part is None:
        return None
    maker = _IMPLEMENTERS.get(implementer)
    if implementer == 0x41 and part in _ARM_PARTS:
        return _ARM_PARTS[part]
    if (implementer, part) in _OTHER_PARTS:
        return _OTHER_PARTS[implementer, part]
    return f"{maker} part {part:#05x}" if maker else f"ARM {implementer:#04x}/{part:#05x}"


def _features(processor: dict[str, str]) -> tuple[str, ...]:
    words = processor.get("flags") or processor.get("Features") or processor.get("features") or ""
    table = {**_X86_FEATURES, **_ARM_FEATURES, **_OTHER_FEATURES}
    known = _X86_FEATURES if "flags" in processor else table
    return tuple(dict.fromkeys(known[word] for word in words.split() if word in known))


def _guess_architecture(processor: dict[str, str]) -> str | None:
    if "flags" in processor:
        return "x86_64" if "lm" in processor["flags"].split() else "i686"
    if "CPU implementer" in processor:
        return "aarch64" if "asimd" in processor.get("Features", "") else "armv7l"
    return None


def _count_cores(processors: list[dict[str, str]], root: Path) -> tuple[int | None, int | None]:
    """Return (physical, logical) cores."""
    logical = len(processors) or None
    cores = {
        (processor.get("physical id", "0"), processor["core id"])
        for processor in processors
        if "core id" in processor
    }
    if cores:
        return len(cores), logical
    physical, seen = _cores_from_topology(root)
    if physical:
        return physical, logical or seen
    # ARM cores have no threads, and their /proc/cpuinfo gives no core ids.
    if processors and "CPU implementer" in processors[0]:
        return logical, logical
    return None, logical


def _cores_from_topology(root: Path) -> tuple[int | None, int | None]:
    base = root / "sys/devices/system/cpu"
    groups: set[str] = set()
    seen = 0
    for folder in list_directory(base, "cpu[0-9]*"):
        siblings = read_text(folder / "topology/thread_siblings_list", limit=256)
        if siblings:
            groups.add(siblings)
            seen += 1
    return len(groups) or None, seen or None

"""Macs, through `sysctl`, `vm_stat` and `ioreg`, or `system_profiler` where that is silent.

On Apple silicon the GPU shares the memory, and Metal recommends a largest working set
(`recommendedMaxWorkingSetSize`) that llama.cpp takes for the total, all of
it free for a new process. `sysctl
iogpu.wired_limit_mb` overrides it; 0 means the default, a share of the memory that depends
on the system: measured values of llama.cpp's log line are in `_SHARES` and in the tests.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from assistant.machine.detect.cpu import device_class_of
from assistant.machine.detect.device_facts import with_device_facts
from assistant.machine.detect.files import pairs, parse_count
from assistant.machine.detect.notes import Notes, Reading
from assistant.machine.devices import find_device
from assistant.machine.records import Accelerator, Cpu, Ram
from assistant.units import GIB, MIB, gib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assistant.machine.records import Vendor

    Run = Callable[[Sequence[str]], str | None]

_SYSCTL_NAMES: Final = (
    "hw.memsize",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "machdep.cpu.brand_string",
    "machdep.cpu.features",
    "machdep.cpu.leaf7_features",
    "hw.optional.arm64",
    "hw.optional.arm.FEAT_DotProd",
    "hw.optional.arm.FEAT_I8MM",
    "hw.optional.arm.FEAT_BF16",
    "hw.optional.arm.FEAT_SME",
    "iogpu.wired_limit_mb",
    "kern.osproductversion",
)
_ARM_FEATURES: Final = {
    "hw.optional.arm64": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}
_X86_FEATURES: Final = {
    "SSE4.2": "sse4_2",
    "AVX1.0": "avx",
    "FMA": "fma",
    "F16C": "f16c",
    "AVX2": "avx2",
    "BMI2": "bmi2",
    "AVX512F": "avx512f",
}
# Share of the memory up to macOS 15: 2/3 below 36 GiB, 3/4 from there on. Logged by
# llama.cpp: 10922.67 MiB of 16 GiB, 21845.34 MiB of 32 GiB, 28991.03 MB of 36 GiB,
# 73728.00 MiB of 96 GiB.
_LARGE_MEMORY: Final = 36 * GIB
# Since macOS 26, by memory from ... on. Logged by llama.cpp: 12713.12 MB of 16 GiB, 19069.67
# of 24, 26800.60 of 32, 30150.67 of 36, 40200.90 of 48, 55662.79 of 64, 115448.73 of 128 GiB.
# Smaller memories are not known to have changed.
_SHARES: Final = ((128 * GIB, 0.84), (64 * GIB, 0.81), (32 * GIB, 0.78), (16 * GIB, 0.74))
_FIRST_NEW_MACOS: Final = 26


@dataclass(frozen=True, slots=True)
class Mac:
    """What a Mac is: processor, memory and GPUs."""

    cpu: Cpu
    ram: Ram
    accelerators: tuple[Accelerator, ...]
    os_version: str | None = None


def run_command(command: Sequence[str]) -> str | None:
    """Return what a command prints, None when it cannot be run or takes over 10 seconds."""
    import subprocess

    try:
        result = subprocess.run(list(command), capture_output=True, timeout=10, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return result.stdout.decode("utf-8", "replace") or None


def detect_mac(*, run: Run = run_command) -> Reading[Mac]:
    """Return what this Mac is; `run` runs a command and gives its standard output."""
    notes = Notes()
    values = _sysctl(run)
    if not values:
        notes.missing("processor and memory", "sysctl does not answer")
    name = values.get("machdep.cpu.brand_string")
    silicon = values.get("hw.optional.arm64") == "1" or (name or "").startswith("Apple")
    memory = parse_count(values.get("hw.memsize"))
    version = values.get("kern.osproductversion")
    cores = _gpu_cores(run) if silicon else None
    displays = [] if cores else _displays(run, notes)
    available = _available(run, memory)
    if memory is not None and available is None:
        notes.missing("available memory", "vm_stat does not answer")
    cpu = _cpu(values, name, silicon=silicon)
    if silicon:
        first = displays[0] if displays else {}
        cores = cores or parse_count(str(first.get("sppci_cores") or "")) or None
        model = str(first.get("sppci_model") or name or "Apple GPU")
        gpu = _silicon_gpu(values, model, cores, notes)
        ram = Ram(
            total_bytes=memory,
            available_bytes=available,
            bandwidth_gb_per_s=gpu.bandwidth_gb_per_s,
            bandwidth_source="table" if gpu.bandwidth_gb_per_s else None,
        )
        found: tuple[Accelerator, ...] = (gpu,)
    else:
        ram = Ram(total_bytes=memory, available_bytes=available)
        found = tuple(_intel_mac_gpu(display) for display in displays)
        if found:
            notes.assume("Ollama runs on the processor only on Macs with an Intel chip.")
    return notes.reading(Mac(cpu, ram, found, version))


def metal_working_set_bytes(
    memory_bytes: int, *, os_version: str | None = None, wired_limit_mb: int | None = None
) -> int:
    """Return Metal's recommended largest working set of a Mac with this much memory.

    `wired_limit_mb` is `iogpu.wired_limit_mb` (None or 0: the default). An unknown system
    version counts as an old one, whose share is the smaller.
    """
    if wired_limit_mb:
        return min(wired_limit_mb * MIB, memory_bytes)
    major = parse_count((os_version or "").partition(".")[0])
    if major is not None and major >= _FIRST_NEW_MACOS:
        for size, share in _SHARES:
            if memory_bytes >= size:
                return int(memory_bytes * share)
    return memory_bytes * 3 // 4 if memory_bytes >= _LARGE_MEMORY else memory_bytes * 2 // 3


def _sysctl(run: Run) -> dict[str, str]:
    # Names a system does not have go to standard error; the others are still printed.
    return dict(pairs(run(("/usr/sbin/sysctl", *_SYSCTL_NAMES)) or "", ":"))


def _cpu(values: Mapping[str, str], name: str | None, *, silicon: bool) -> Cpu:
    if silicon:
        features = [word for key, word in _ARM_FEATURES.items() if values.get(key) == "1"]
    else:
        words = f"{values.get('machdep.cpu.features', '')} "
        words += values.get("machdep.cpu.leaf7_features", "")
        features = [_X86_FEATURES[word] for word in words.split() if word in _X86_FEATURES]
    architecture = "arm64" if silicon else "x86_64"
    return Cpu(
        name=name,
        physical_cores=parse_count(values.get("hw.physicalcpu")) or None,
        logical_cores=parse_count(values.get("hw.logicalcpu")) or None,
        features=tuple(features),
        architecture=architecture,
        device_class=device_class_of(architecture),
    )


def _available(run: Run, memory: int | None) -> int | None:
    """Return the memory that is not in use, counted as Ollama counts it.

    Used is active, inactive, speculative, wired and compressed, less purgeable and
    file-backed (github.com/ollama/ollama, discover/gpu_info_darwin.m).
    """
    text = run(("/usr/bin/vm_stat",)) or ""
    match = re.search(r"page size of (\d{1,8}) bytes", text)
    pages = {key: parse_count(value.rstrip(".")) for key, value in pairs(text, ":")}
    if match is None or memory is None:
        return None
    taken = [pages.get(f"Pages {word}") for word in ("active", "inactive", "wired down")]
    taken.append(pages.get("Pages occupied by compressor"))
    known = [count for count in taken if count is not None]
    if len(known) < len(taken):
        return None
    used = sum(known) + (pages.get("Pages speculative") or 0)
    used -= (pages.get("Pages purgeable") or 0) + (pages.get("File-backed pages") or 0)
    return min(memory, max(0, memory - int(match[1]) * used))


def _gpu_cores(run: Run) -> int | None:
    """Return the GPU's cores from the I/O registry, ten times faster than system_profiler."""
    text = run(("/usr/sbin/ioreg", "-rd1", "-c", "AGXAccelerator")) or ""
    match = re.search(r'"gpu-core-count"\s*=\s*(\d{1,4})\b', text)
    return int(match[1]) or None if match else None


def _displays(run: Run, notes: Notes) -> list[dict[str, Any]]:
    text = run(("/usr/sbin/system_profiler", "-json", "SPDisplaysDataType"))
    try:
        answer = json.loads(text or "")
        rows = answer["SPDisplaysDataType"]
    except (ValueError, KeyError, TypeError, RecursionError):
        notes.missing("GPU details", "system_profiler does not answer")
        return []
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict)]


def _silicon_gpu(
    values: Mapping[str, str],
    model: str,
    cores: int | None,
    notes: Notes,
) -> Accelerator:
    memory = parse_count(values.get("hw.memsize"))
    version = values.get("kern.osproductversion")
    wired = parse_count(values.get("iogpu.wired_limit_mb"))
    title = f"{model} ({cores}-core GPU)" if cores else model
    device = find_device(f"{model} {cores}-core" if cores else model, memory, accept_cpu=False)
    total = None
    if memory is not None:
        total = metal_working_set_bytes(memory, os_version=version, wired_limit_mb=wired)
        if not wired:
            notes.assume(
                f"Metal lets the GPU use {gib(total)} of {gib(memory)}, the default of macOS"
                f"{' ' + version if version else ''}; iogpu.wired_limit_mb would change it."
            )
    gpu = Accelerator(
        name=title,
        vendor="apple",
        kind="unified",
        memory_total_bytes=total,
        memory_free_bytes=total,
        backend="metal",
    )
    return with_device_facts(gpu, device)


def _intel_mac_gpu(display: Mapping[str, Any]) -> Accelerator:
    name = str(display.get("sppci_model") or display.get("_name") or "GPU")
    words = name.lower()
    vendor: Vendor = "other"
    if "intel" in words:
        vendor = "intel"
    elif "amd" in words or "radeon" in words:
        vendor = "amd"
    elif "nvidia" in words or "geforce" in words:
        vendor = "nvidia"
    shared = "spdisplays_vram_shared" in display or vendor == "intel"
    return Accelerator(
        name=name,
        vendor=vendor,
        kind="integrated" if shared else "discrete",
        memory_total_bytes=_vram(display),
        used_by_ollama=False,
    )


def _vram(display: Mapping[str, Any]) -> int | None:
    for key in ("spdisplays_vram", "_spdisplays_vram", "spdisplays_vram_shared"):
        match = re.match(r"(\d{1,6}) (GB|MB)", str(display.get(key) or ""))
        if match:
            return int(match[1]) * (GIB if match[2] == "GB" else MIB)
    return None

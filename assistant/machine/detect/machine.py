"""This computer as a `Machine`: all probes, each asked once, none of which raises."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.container import Limits, detect_container
from assistant.machine.detect.cpu import board_model, detect_cpu
from assistant.machine.detect.disk import detect_disk
from assistant.machine.detect.files import exists, pairs, read_text
from assistant.machine.detect.memory import detect_memory
from assistant.machine.detect.memory_speed import detect_memory_modules
from assistant.machine.detect.notes import Notes, Reading, Surroundings
from assistant.machine.detect.nvidia import detect_nvidia, load_nvml
from assistant.machine.detect.pci import AMD, INTEL, list_pci_gpus
from assistant.machine.detect.server_environment import server_environment
from assistant.machine.detect.tegra import detect_tegra
from assistant.machine.detect.wsl import wsl_gaps
from assistant.machine.devices import find_device
from assistant.machine.records import (
    Accelerator,
    Cpu,
    Disk,
    Machine,
    Ram,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assistant.machine.detect.apple import Run
    from assistant.machine.detect.nvidia import Tegra
    from assistant.machine.detect.pci import PciGpu
    from assistant.machine.detect.windows import WindowsSystem

_CONTAINERS: Final = ("docker", "podman", "lxc", "kubernetes", "systemd-nspawn")
_NO_GPUS: Final[tuple[Accelerator, ...]] = ()


def detect_machine(
    root: Path = Path("/"),
    *,
    system: str | None = None,
    architecture: str | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    nvml: Callable[[], object] = load_nvml,
    run: Run | None = None,
    windows: WindowsSystem | None = None,
    free_bytes: Callable[[Path], int] | None = None,
) -> Machine:
    """Return this computer; whatever cannot be read is listed in `unavailable` with the reason.

    Never raises and never uses the network; `ollama` is left None. The parameters stand in
    for the world: `root` for the file system, `system` and `architecture` for what `uname`
    says, `nvml` for the NVIDIA library, `run` for commands (macOS), `windows` for the
    Windows interfaces, `free_bytes` for the disk.
    """
    system = system or platform.system()
    architecture = architecture or platform.machine() or None
    environ = os.environ if environ is None else environ
    notes = Notes()
    with contextlib.suppress(RuntimeError):
        home = home or Path.home()
    server = server_environment(root, environ)
    if system == "Darwin":
        machine = _mac(run, notes)
    elif system == "Windows":
        machine = _windows((root, architecture), server, nvml, windows, notes)
    elif system not in ("Linux", "Android"):
        machine = _other(system, architecture, notes)
    else:
        machine = _linux(root, (system, architecture), environ, nvml, notes)
    disk = Disk()
    if home is not None:
        place = home
        disk = notes.guard(
            "free disk space",
            lambda: detect_disk(root, server, place, free_bytes=free_bytes),
            disk,
        )
    _note_hidden_gpus(server, machine, notes)
    return replace(
        machine,
        disk=disk,
        unavailable=tuple(dict.fromkeys(notes.unavailable)),
        assumptions=tuple(dict.fromkeys(notes.assumptions)),
        unified_memory=_is_unified(machine.accelerators),
    )


def _linux(
    root: Path,
    uname: tuple[str, str | None],
    environ: Mapping[str, str],
    nvml: Callable[[], object],
    notes: Notes,
) -> Machine:
    system, architecture = uname
    server = server_environment(root, environ)
    cpu = notes.guard("processor", lambda: detect_cpu(root, architecture=architecture), Cpu())
    limits = notes.guard("container", lambda: Reading(detect_container(root, environ)), Limits())
    ram = notes.guard("memory size", lambda: detect_memory(root, limits), Ram())
    none: tuple[PciGpu, ...] = ()
    adapters = notes.guard("PCI bus", lambda: Reading(list_pci_gpus(root)), none)
    tegra = notes.guard("device tree", lambda: Reading(detect_tegra(root)), None)
    around = Surroundings(root, ram, server, cpu.name)
    found = _gpus(adapters, around, tegra, nvml, notes)
    kind = limits.container.kind if limits.container else None
    _note_missing_devices(root, kind, found, notes)
    notes.unavailable.extend(wsl_gaps(root, kind, found))
    ram = notes.guard(
        "memory bandwidth", lambda: Reading(_with_bandwidth(root, ram, cpu, found)), ram
    )
    return Machine(
        os=_linux_name(root, system),
        cpu=cpu,
        ram=ram,
        accelerators=tuple(found),
        container=limits.container,
    )


def _gpus(
    adapters: Sequence[PciGpu],
    around: Surroundings,
    tegra: Tegra | None,
    nvml: Callable[[], object],
    notes: Notes,
) -> list[Accelerator]:
    """Return the GPUs of a Linux machine; a maker's probe is loaded where it has one."""
    root, ram = around.root, around.ram
    found = [
        *notes.guard(
            "NVIDIA GPUs",
            lambda: detect_nvidia(root, adapters, ram, tegra=tegra, nvml=nvml),
            _NO_GPUS,
        )
    ]
    if any(gpu.vendor == AMD for gpu in adapters):
        from assistant.machine.detect.amd import detect_amd

        amd = notes.guard("AMD GPUs", lambda: detect_amd(adapters, around), _NO_GPUS)
        found.extend(amd)
    if any(gpu.vendor == INTEL for gpu in adapters):
        from assistant.machine.detect.intel import detect_intel

        intel = notes.guard("Intel GPUs", lambda: detect_intel(adapters, around), _NO_GPUS)
        found.extend(intel)
    return found


def _mac(run: Run | None, notes: Notes) -> Machine:
    from assistant.machine.detect.apple import Mac, detect_mac, run_command

    mac = notes.guard("this Mac", lambda: detect_mac(run=run or run_command), Mac(Cpu(), Ram(), ()))
    return Machine(
        os=f"macOS {mac.os_version}" if mac.os_version else "macOS",
        cpu=mac.cpu,
        ram=mac.ram,
        accelerators=mac.accelerators,
    )


def _windows(
    place: tuple[Path, str | None],
    server: Mapping[str, str],
    nvml: Callable[[], object],
    windows: WindowsSystem | None,
    notes: Notes,
) -> Machine:
    root, architecture = place
    from assistant.machine.detect.windows import (
        ThisWindows,
        detect_windows_cpu,
        detect_windows_gpus,
        detect_windows_memory,
    )

    asked = windows or ThisWindows()
    cpu = notes.guard("processor", lambda: detect_windows_cpu(asked, architecture), Cpu())
    ram = notes.guard("memory size", lambda: detect_windows_memory(asked), Ram())
    nothing = Reading(_NO_GPUS)
    gpus = notes.guard("GPUs", lambda: Reading(detect_windows_gpus(asked, ram, server)), nothing)
    nvidia = _NO_GPUS
    if any(gpu.vendor == "nvidia" for gpu in gpus.value):
        nvidia = notes.guard(
            "NVIDIA GPUs",
            lambda: detect_nvidia(root, (), ram, nvml=nvml, present=True),
            _NO_GPUS,
        )
    left = [gpu for gpu in gpus.value if not nvidia or gpu.vendor != "nvidia"]
    silent = {gpu.name for gpu in gpus.value} - {gpu.name for gpu in left}
    notes.unavailable.extend(
        gap for gap in gpus.unavailable if not any(name in gap.what for name in silent)
    )
    notes.assumptions.extend(
        text for text in gpus.assumptions if not any(text.startswith(name) for name in silent)
    )
    found = [*nvidia, *left]
    release = " ".join(word for word in ("Windows", platform.release()) if word)
    return Machine(
        os=release if windows is None else "Windows",
        cpu=cpu,
        ram=_with_bandwidth(root, ram, cpu, found),
        accelerators=tuple(found),
    )


def _other(system: str, architecture: str | None, notes: Notes) -> Machine:
    from assistant.machine.detect.other import detect_other

    nothing = (Cpu(), Ram())
    cpu, ram = notes.guard("processor", lambda: detect_other(architecture), nothing)
    return Machine(os=system, cpu=cpu, ram=ram)


def _with_bandwidth(root: Path, ram: Ram, cpu: Cpu, accelerators: Sequence[Accelerator]) -> Ram:
    """Return the memory with its bandwidth, where the modules or the table give it.

    The bandwidth of a GPU that shares the memory is the memory's; a processor in the table
    stands for the memory it is usually sold with.
    """
    if ram.bandwidth_gb_per_s is not None:
        return ram
    modules = detect_memory_modules(root)
    bandwidth = modules.bandwidth_gb_per_s if modules else None
    if bandwidth is None:
        shared = [gpu.bandwidth_gb_per_s for gpu in accelerators if gpu.kind != "discrete"]
        bandwidth = next((figure for figure in shared if figure), None)
    if bandwidth is None:
        for name in (board_model(root), cpu.name):
            device = find_device(name, ram.total_bytes) if name else None
            if device is not None and device.kind in ("cpu", "unified"):
                bandwidth = device.bandwidth_gb_per_s
                break
    if bandwidth is None:
        return ram
    return replace(ram, bandwidth_gb_per_s=bandwidth, bandwidth_source="table")


def _linux_name(root: Path, system: str) -> str:
    text = read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release") or ""
    fields = {key: value.strip("\"'") for key, value in pairs(text, "=")}
    name = fields.get("PRETTY_NAME") or fields.get("NAME")
    if name and system == "Linux":
        return f"{name} (Linux)" if "linux" not in name.lower() else name
    return name or system or sys.platform


def _is_unified(accelerators: Sequence[Accelerator]) -> bool:
    """Return whether the GPUs share the memory: there are some, and none has its own."""
    return bool(accelerators) and all(gpu.kind != "discrete" for gpu in accelerators)


def _note_missing_devices(
    root: Path, kind: str | None, accelerators: Sequence[Accelerator], notes: Notes
) -> None:
    """Say when a container shows a GPU under /sys that it was not given the devices of."""
    shown = [gpu.name for gpu in accelerators if gpu.vendor in ("amd", "intel")]
    if shown and kind in _CONTAINERS and not exists(root / "dev/dri"):
        notes.assume(
            f"{' and '.join(shown)} belongs to the host: /dev/dri is not in this container, so "
            "an Ollama server in here would not see it."
        )


def _note_hidden_gpus(environ: Mapping[str, str], machine: Machine, notes: Notes) -> None:
    if not machine.accelerators:
        return
    for name in (
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
    ):
        if name in environ:
            notes.assumptions.append(
                f"{name} is set to {environ[name]!r}: an Ollama server started with it sees "
                "only those GPUs; all are listed here."
            )

"""Systems with no probe of their own (the BSDs, ...), as far as psutil can tell."""

from __future__ import annotations

import platform

from assistant.machine.detect.cpu import device_class_of
from assistant.machine.detect.notes import Notes, Reading
from assistant.machine.records import Cpu, Ram


def detect_other(architecture: str | None) -> Reading[tuple[Cpu, Ram]]:
    """Return processor and memory; GPUs are not looked for on such a system."""
    notes = Notes()
    notes.missing("GPUs", f"not looked for on {platform.system() or 'this system'}")
    cpu = Cpu(
        name=platform.processor() or None,
        architecture=architecture,
        device_class=device_class_of(architecture),
    )
    try:
        import psutil

        memory = psutil.virtual_memory()
        cpu = Cpu(
            name=cpu.name,
            physical_cores=psutil.cpu_count(logical=False),
            logical_cores=psutil.cpu_count(),
            architecture=cpu.architecture,
            device_class=cpu.device_class,
        )
        ram = Ram(total_bytes=memory.total, available_bytes=memory.available)
    except Exception as problem:  # noqa: BLE001 (psutil fails in its own ways per system)
        notes.missing("memory size", str(problem) or type(problem).__name__)
        ram = Ram()
    return notes.reading((cpu, ram))

"""What the device table adds to a detected GPU: bandwidth, class, peak FLOPS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.machine.devices import Device
    from assistant.machine.records import Accelerator


def with_device_facts(accelerator: Accelerator, device: Device | None) -> Accelerator:
    """Return the accelerator with the table's figures, which win over the driver's clocks.

    A device of another vendor (a name that happens to look alike) adds nothing.
    """
    if device is None or device.vendor != accelerator.vendor:
        return accelerator
    known = device.compute_capability if device.vendor == "nvidia" else device.gfx
    return replace(
        accelerator,
        bandwidth_gb_per_s=device.bandwidth_gb_per_s or accelerator.bandwidth_gb_per_s,
        compute_capability=accelerator.compute_capability or known,
        device_class=device.device_class,
        fp32_tflops=device.fp32_tflops or accelerator.fp32_tflops,
    )

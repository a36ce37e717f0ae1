"""NVIDIA Jetson boards, known by the device tree of their Tegra chip.

`/proc/device-tree/compatible` names the chip (`nvidia,tegra234`), `model` the board. The
compute capability of each chip is NVIDIA's (developer.nvidia.com/cuda-gpus).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from assistant.machine.detect.cpu import board_model
from assistant.machine.detect.files import read_text
from assistant.machine.detect.nvidia import Tegra

if TYPE_CHECKING:
    from pathlib import Path

_CAPABILITIES: Final = {
    "tegra210": "5.3",  # Nano, TX1
    "tegra186": "6.2",  # TX2
    "tegra194": "7.2",  # Xavier
    "tegra234": "8.7",  # Orin
    "tegra264": "11.0",  # Thor
}
_CHIP: Final = r"tegra\d{3}"


def detect_tegra(root: Path) -> Tegra | None:
    """Return the Jetson board of this machine, or None."""
    for path in ("proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible"):
        match = re.search(_CHIP, read_text(root / path, limit=1024) or "")
        if match:
            chip = match[0]
            name = board_model(root) or f"NVIDIA {chip}"
            return Tegra(model=name, compute_capability=_CAPABILITIES.get(chip))
    model = board_model(root)
    if model and "jetson" in model.lower():
        return Tegra(model=model, compute_capability=_capability_of_name(model))
    return None


def _capability_of_name(model: str) -> str | None:
    """Return the compute capability of a board by its name, for trees without `compatible`."""
    names = {"thor": "11.0", "orin": "8.7", "xavier": "7.2", "tx2": "6.2", "nano": "5.3"}
    return next((value for name, value in names.items() if name in model.lower()), None)

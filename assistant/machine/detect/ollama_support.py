"""Which GPUs Ollama uses, and through which backend.

Read from github.com/ollama/ollama (August 2026): the architectures its builds carry
(llama/server/CMakePresets.json), the NVIDIA driver floor (discover/cuda_compat.go) and the
integrated GPUs it leaves out (discover/runner.go `filterIntegratedGPUs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.machine.detect.server_environment import switch

if TYPE_CHECKING:
    from collections.abc import Mapping

# CUDA: builds start at compute capability 5.0; PTX carries them to everything newer.
OLDEST_COMPUTE_CAPABILITY: Final = (5, 0)
OLDEST_DRIVER: Final = 550
OLDEST_DRIVER_BEFORE_VOLTA: Final = 570
_LONGEST_PART: Final = 7
# JetPack 5 and 6 builds, and the two Blackwell systems of the general ARM build.
TEGRA_COMPUTE_CAPABILITIES: Final = ("7.2", "8.7", "11.0", "12.1")
ROCM_LINUX: Final = frozenset(
    {
        *("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1101", "gfx1102"),
        *("gfx1150", "gfx1151", "gfx1200", "gfx1201"),
    }
)
ROCM_WINDOWS: Final = ROCM_LINUX - {"gfx908", "gfx90a", "gfx942", "gfx950"}
_GFX_NUMBERS: Final = 3
_HEX_DIGIT: Final = 15
ROCM_INTEGRATED: Final = frozenset({"gfx1151"})


def why_not_cuda(capability: str | None, driver: str | None, *, tegra: bool = False) -> str | None:
    """Return why Ollama leaves this CUDA device out, or None when it uses it."""
    numbers = _numbers(capability)
    if tegra:
        if capability is None or capability in TEGRA_COMPUTE_CAPABILITIES:
            return None
        return f"compute capability {capability} is not in Ollama's Jetson builds"
    if numbers is not None and numbers < OLDEST_COMPUTE_CAPABILITY:
        return f"compute capability {capability} is below 5.0, the oldest Ollama supports"
    major = _numbers(driver)
    if major is None:
        return None
    if major[0] < OLDEST_DRIVER:
        return f"driver {driver} is older than {OLDEST_DRIVER}, the oldest Ollama supports"
    if numbers is not None and numbers < (7, 0) and major[0] < OLDEST_DRIVER_BEFORE_VOLTA:
        return (
            f"driver {driver} is older than {OLDEST_DRIVER_BEFORE_VOLTA}, which Ollama needs "
            f"for compute capability {capability}"
        )
    return None


def runs_on_rocm(gfx: str | None, *, windows: bool = False) -> bool:
    """Return whether Ollama's ROCm build carries this AMD architecture."""
    return gfx in (ROCM_WINDOWS if windows else ROCM_LINUX)


def why_not_integrated(environ: Mapping[str, str], *, gfx: str | None = None) -> str | None:
    """Return why Ollama leaves an integrated GPU out, or None when it uses it.

    `gfx` is given for an AMD GPU that the ROCm backend runs. CUDA and Apple integrated GPUs
    are always used and need not be asked about.
    """
    enabled = switch(environ, "OLLAMA_IGPU_ENABLE")
    if enabled or (enabled is None and gfx in ROCM_INTEGRATED):
        return None
    if enabled is False:
        return "OLLAMA_IGPU_ENABLE turns integrated GPUs off"
    return "Ollama leaves integrated GPUs out unless OLLAMA_IGPU_ENABLE=1"


def why_not_vulkan(environ: Mapping[str, str]) -> str | None:
    """Return why the Vulkan backend is not used, or None when it is (the default)."""
    if switch(environ, "OLLAMA_VULKAN") is False:
        return "OLLAMA_VULKAN turns the Vulkan backend off"
    return None


def gfx_override(environ: Mapping[str, str]) -> str | None:
    """Return the architecture HSA_OVERRIDE_GFX_VERSION claims (`10.3.0` -> gfx1030)."""
    value = environ.get("HSA_OVERRIDE_GFX_VERSION", "").strip()
    if value.startswith("gfx"):
        return value
    numbers = _numbers(value)
    if numbers is None or len(numbers) != _GFX_NUMBERS or max(numbers) > _HEX_DIGIT:
        return None
    major, minor, step = numbers
    return f"gfx{major}{minor:x}{step:x}"


def _numbers(version: str | None) -> tuple[int, ...] | None:
    """Return (8, 6) for `8.6`, (570, 133, 7) for `570.133.07`; None when it is no version."""
    if not version:
        return None
    parts = version.split(".")
    if not all(part.isdigit() and part.isascii() and len(part) <= _LONGEST_PART for part in parts):
        return None
    return tuple(int(part) for part in parts)

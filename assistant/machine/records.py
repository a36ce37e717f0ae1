"""The `Machine` record: everything the later rooms know about a computer.

All amounts of memory are bytes, all bandwidths GB/s (10**9 bytes per second).
Unknown is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Vendor = Literal["nvidia", "amd", "intel", "apple", "other"]
Kind = Literal["discrete", "integrated", "unified"]
Backend = Literal["cuda", "rocm", "metal", "vulkan"]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU, or the GPU side of a chip with unified memory.

    `memory_total_bytes` is what the backend can give to a model: the VRAM of a discrete
    card, the working-set limit of unified memory (Metal), carve-out plus GTT of an APU.
    `device_class` is the class of the device table (`nv-ampere`, `apple-m2`, ...), which
    the speed estimate needs. `used_by_ollama` is False for GPUs that Ollama leaves out by
    default (most integrated ones, compute capability too old); they are listed all the same.
    """

    name: str
    vendor: Vendor
    kind: Kind
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    bandwidth_gb_per_s: float | None = None
    compute_capability: str | None = None
    driver: str | None = None
    backend: Backend | None = None
    device_class: str | None = None
    fp32_tflops: float | None = None
    used_by_ollama: bool = True
    carve_out_bytes: int | None = None
    gtt_bytes: int | None = None
    bus_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor. `features` are the instruction sets that matter: avx2, avx512f, neon, ..."""

    name: str | None = None
    physical_cores: int | None = None
    logical_cores: int | None = None
    features: tuple[str, ...] = ()
    architecture: str | None = None
    device_class: str | None = None


@dataclass(frozen=True, slots=True)
class Ram:
    """System memory. `available_bytes` already respects a container's limit."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    bandwidth_gb_per_s: float | None = None
    bandwidth_source: Literal["measured", "table", "stated", "assumed"] | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """Where Ollama keeps its models, and the room left there."""

    models_path: str | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """Limits set on this process by cgroups (v1 or v2)."""

    kind: str | None = None
    memory_limit_bytes: int | None = None
    cpu_limit: float | None = None


@dataclass(frozen=True, slots=True)
class OllamaServer:
    """What the configured Ollama server said. `reachable` is None when nobody asked."""

    url: str
    reachable: bool | None = None
    version: str | None = None
    models: tuple[str, ...] | None = None
    loaded: tuple[str, ...] | None = None
    gpu: str | None = None


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """How fast one model really was on this machine, and what had been expected.

    Speeds are tokens per second. `verdict` says where the model was, `num_ctx` the context
    it was loaded with. The expected figures are those of the estimate without any measured
    runs, so that a measurement never corrects an estimate it has corrected already; None
    where there was no estimate. `measured_on` is a date such as "2026-11-27".
    """

    model: str
    quantization: str | None
    num_ctx: int
    verdict: Literal["gpu", "partial", "cpu"]
    decode_tokens_per_s: float
    measured_on: str
    prompt_tokens_per_s: float | None = None
    expected_decode_tokens_per_s: float | None = None
    expected_prompt_tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Something that could not be read, and the reason."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A computer, detected or described.

    `unified_memory` is True when the accelerator and the CPU share one memory (Apple,
    Jetson, GB10, APUs): what the one takes, the other has not. `measured_runs` are the models
    that were timed here, the newest last.
    """

    os: str | None = None
    cpu: Cpu = field(default_factory=Cpu)
    ram: Ram = field(default_factory=Ram)
    accelerators: tuple[Accelerator, ...] = ()
    disk: Disk = field(default_factory=Disk)
    container: Container | None = None
    ollama: OllamaServer | None = None
    unavailable: tuple[Unavailable, ...] = ()
    assumptions: tuple[str, ...] = ()
    source: Literal["detected", "stated", "file"] = "detected"
    unified_memory: bool = False
    measured_runs: tuple[MeasuredRun, ...] = ()

    @property
    def usable_accelerators(self) -> tuple[Accelerator, ...]:
        """Accelerators that Ollama uses by default and whose memory is known."""
        return tuple(a for a in self.accelerators if a.used_by_ollama and a.memory_total_bytes)

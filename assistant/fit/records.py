"""Records that the estimators take and return. Bytes are integers; speeds tokens per second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assistant.models.architecture import Architecture

Verdict = Literal["gpu", "partial", "cpu", "none"]
Source = Literal["catalog", "registry", "file", "server", "parameters"]
KvCacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """A file's tensors in bytes, grouped by where llama.cpp puts them (MEMORY_MODEL 1.3).

    `input_bytes` always stay in RAM (token embedding included); `token_embedding_bytes` is the
    part of it that is copied to the GPU as output when `tied`. `block_bytes` has one entry per
    block, experts included; `block_expert_bytes` says how much of each is routed experts.
    `exact` is True when the sizes come from a tensor table.
    """

    input_bytes: int
    token_embedding_bytes: int
    output_bytes: int
    tied: bool
    block_bytes: tuple[int, ...]
    block_expert_bytes: tuple[int, ...]
    projector_bytes: int = 0
    exact: bool = False

    @property
    def file_bytes(self) -> int:
        """Bytes of all text tensors, each counted once (no projector)."""
        return self.input_bytes + self.output_bytes + sum(self.block_bytes)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One concrete file (a model at one quantization), ready to be estimated.

    `file_bytes` is the size of the GGUF blob, tokenizer and inline projector included, where
    it is known. `pullable` is False for what no registry has under this name.
    """

    name: str
    resolved: str
    source: Source
    architecture: Architecture
    weights: WeightBytes
    quantization: str | None
    download_bytes: int | None = None
    parameters_total: int | None = None
    parameters_active: int | None = None
    capabilities: frozenset[str] = frozenset()
    default_num_ctx: int | None = None
    notes: tuple[str, ...] = ()
    exact: bool = False
    file_bytes: int | None = None
    pullable: bool = True


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the person or the server's environment fixed; None leaves it to Ollama's choice."""

    num_ctx: int | None = None
    num_parallel: int = 1
    num_batch: int | None = None
    kv_cache_type: KvCacheType = "f16"
    flash_attention: bool | None = None
    num_gpu: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """The parts of one side (GPU or host) or of both together."""

    weights_bytes: int = 0
    kv_cache_bytes: int = 0
    recurrent_state_bytes: int = 0
    compute_buffer_bytes: int = 0
    projector_bytes: int = 0
    overhead_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Sum of the parts."""
        return (
            self.weights_bytes
            + self.kv_cache_bytes
            + self.recurrent_state_bytes
            + self.compute_buffer_bytes
            + self.projector_bytes
            + self.overhead_bytes
        )

    def __add__(self, other: MemoryParts) -> MemoryParts:
        return MemoryParts(
            self.weights_bytes + other.weights_bytes,
            self.kv_cache_bytes + other.kv_cache_bytes,
            self.recurrent_state_bytes + other.recurrent_state_bytes,
            self.compute_buffer_bytes + other.compute_buffer_bytes,
            self.projector_bytes + other.projector_bytes,
            self.overhead_bytes + other.overhead_bytes,
        )


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """What lands on one device; `layers` counts the output layer where it sits."""

    name: str
    bytes: int
    layers: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model lands. `layers` is block_count + 1 (the output layer counts)."""

    verdict: Verdict
    gpu_layers: int
    layers: int
    vram_bytes: int
    ram_bytes: int
    devices: tuple[DeviceShare, ...] = ()
    expert_layers_on_host: int = 0


@dataclass(frozen=True, slots=True)
class SpeedRange:
    """Tokens per second; `low` to `high` is the measured 80 % interval."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Decode and prompt speed; None where nothing honest can be said. `basis` says from what."""

    decode: SpeedRange | None
    prompt: SpeedRange | None
    basis: str


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_num_ctx_on_gpu` is None when no context at all stays on the GPU."""

    max_num_ctx_on_gpu: int | None = None
    best_quantization_on_gpu: str | None = None
    trained_num_ctx: int | None = None


@dataclass(frozen=True, slots=True)
class FitEstimate:
    """Everything known before a byte is downloaded. `gpu` + `host` is the whole."""

    model: str
    resolved: str
    source: Source
    exact: bool
    architecture: str
    parameters_total: int | None
    parameters_active: int | None
    quantization: str | None
    download_bytes: int | None
    num_ctx: int
    requested_num_ctx: int | None
    num_parallel: int
    num_batch: int
    kv_cache_type: KvCacheType
    flash_attention: bool
    gpu: MemoryParts
    host: MemoryParts
    placement: Placement
    speed: Speed
    limits: Limits
    missing_bytes: int = 0
    num_gpu: int | None = None
    pullable: bool = True
    remedies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def memory(self) -> MemoryParts:
        """All parts, GPU and host together."""
        return self.gpu + self.host

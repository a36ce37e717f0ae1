"""Records of the doctor: what was observed, and what follows from it.

`Observations` holds everything seen, so that `diagnose` is a pure function of it. Secrets never
enter: of the environment only the variables in `KEPT_VARIABLES` are kept, of proxies only
whether there is one. Bytes are integers; None is unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from assistant.fit.records import ModelFacts
from assistant.machine.detect.server_process import EnvironmentSource
from assistant.machine.records import Machine, Unavailable
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import Upstream, name_key
from assistant.provision.records import Ledger

Level = Literal["problem", "warning", "unknown", "ok"]
LEVELS: Final[tuple[Level, ...]] = ("problem", "warning", "unknown", "ok")

Term = Literal[
    "weights",
    "kv_cache",
    "projector",
    "parallel",
    "other_model",
    "other_programs",
    "num_gpu",
    "gpu_not_seen",
    "memory_was_taken",
    "gpu_left_out",
    "no_gpu",
    "not_computed",
]
"""What keeps a model from the GPU: a part of its memory, or something around it."""

KEPT_VARIABLES: Final = (
    "OLLAMA_CONTEXT_LENGTH",
    "OLLAMA_DEBUG",
    "OLLAMA_FLASH_ATTENTION",
    "OLLAMA_GPU_OVERHEAD",
    "OLLAMA_HOST",
    "OLLAMA_IGPU_ENABLE",
    "OLLAMA_KEEP_ALIVE",
    "OLLAMA_KV_CACHE_TYPE",
    "OLLAMA_LLM_LIBRARY",
    "OLLAMA_LOAD_TIMEOUT",
    "OLLAMA_MAX_LOADED_MODELS",
    "OLLAMA_MAX_QUEUE",
    "OLLAMA_MODELS",
    "OLLAMA_NEW_ENGINE",
    "OLLAMA_NOPRUNE",
    "OLLAMA_NUM_PARALLEL",
    "OLLAMA_SCHED_SPREAD",
    "OLLAMA_VULKAN",
    "CUDA_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "LLAMA_ARG_FIT_TARGET",
    "ROCR_VISIBLE_DEVICES",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: what, the figures that prove it, and what to type.

    `fix` is a command or steps, one a line, None when there is nothing to do; `gain` what it
    brings; `also` are other ways. `model` is the model it is about, `term` what keeps that from
    the GPU. Of an `ok` finding `what` is a word or two, because they are shown in one line.
    """

    id: str
    level: Level
    what: str
    evidence: tuple[str, ...] = ()
    fix: str | None = None
    gain: str | None = None
    also: tuple[str, ...] = ()
    model: str | None = None
    term: Term | None = None


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """The configured server. `why` is the reason when it is not `reachable`.

    `platform` is the system it runs on, in Python's words (linux, darwin, win32). `how_to_start`
    says how to install or start one here.
    """

    url: str = ""
    is_local: bool = True
    reachable: bool | None = None
    version: str | None = None
    why: str | None = None
    note: str | None = None
    platform: str = "linux"
    is_service: bool = False
    how_to_start: str | None = None


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """Whether an environment names proxies. `spares_loopback`: NO_PROXY has this computer."""

    http: bool = False
    https: bool = False
    spares_loopback: bool = False


@dataclass(frozen=True, slots=True)
class EnvironmentSeen:
    """The kept variables of the server and of this process (`shell`), and where from.

    `source` is `unknown` for a server on another computer; `why` says why nothing better could
    be read.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    shell: Mapping[str, str] = field(default_factory=dict)
    source: EnvironmentSource | Literal["unknown"] = "unknown"
    why: str | None = None
    proxy: ProxySeen = ProxySeen()
    shell_proxy: ProxySeen = ProxySeen()


@dataclass(frozen=True, slots=True)
class ModelSeen:
    """One installed model. `facts` are None when the server's answer could not be used.

    `num_ctx` and `num_gpu` are what its Modelfile fixes; `alternatives` the same model at other
    quantizations.
    """

    name: str
    digest: str | None = None
    size_bytes: int | None = None
    blob_digest: str | None = None
    facts: ModelFacts | None = None
    alternatives: tuple[ModelFacts, ...] = ()
    capabilities: frozenset[str] = frozenset()
    num_ctx: int | None = None
    num_gpu: int | None = None
    in_cloud: bool = False
    why: str | None = None


@dataclass(frozen=True, slots=True)
class PartialDownload:
    """An unfinished download in the server's folder: `blob` is the file without `-partial`.

    `done_bytes` and `total_bytes` are the sums of its part files; `broken_parts` are those that
    cannot be read, which makes every pull of it fail with "EOF".
    """

    blob: str
    done_bytes: int = 0
    total_bytes: int | None = None
    broken_parts: int = 0


@dataclass(frozen=True, slots=True)
class DiskSeen:
    """The folders: the server's models and this program's data.

    `has_manifests` is False when the models folder holds no model at all. `server_can_write`
    is about the user the server runs as, `can_read` and `data_can_write` about us.
    """

    models_path: str | None = None
    free_bytes: int | None = None
    exists: bool | None = None
    has_manifests: bool | None = None
    can_read: bool | None = None
    server_can_write: bool | None = None
    data_path: str | None = None
    data_can_write: bool | None = None
    partials: tuple[PartialDownload, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemSeen:
    """Swap in bytes, and power: `profile` is the firmware's word (low-power, balanced ...)."""

    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    on_battery: bool | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class IndexSeen:
    """The index of the guides and notes: `outdated` when it is older than what it indexes."""

    built: bool = False
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class FasterModel:
    """The chat model that is recommended here for its speed, and the speed expected of it."""

    model: str
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything seen in one look.

    `machine` is the server's computer, None when that is another one and was not described.
    `asked` is the model the person named. `models` are the installed ones that were looked at,
    None when the server could not be asked; `loaded` likewise. `gaps` are what could not be
    seen. `upstream` has what registries say of models, by name. `faster` is looked for only where
    a model is, or would be, on the CPU of a machine without a GPU.
    """

    server: ServerSeen = ServerSeen()
    machine: Machine | None = None
    environment: EnvironmentSeen = EnvironmentSeen()
    models: tuple[ModelSeen, ...] | None = None
    loaded: tuple[LoadedModel, ...] | None = None
    disk: DiskSeen = DiskSeen()
    system: SystemSeen = SystemSeen()
    index: IndexSeen | None = None
    ledger: Ledger | None = None
    upstream: Mapping[str, Upstream] = field(default_factory=dict)
    asked: str | None = None
    gaps: tuple[Unavailable, ...] = ()
    faster: FasterModel | None = None

    def model(self, name: str) -> ModelSeen | None:
        """Return an installed model by its name; `:latest` may be left out, case is ignored."""
        wanted = name_key(name)
        return next((m for m in self.models or () if name_key(m.name) == wanted), None)

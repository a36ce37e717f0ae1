"""What an Ollama server says about itself and its models, as frozen records.

Wire format: https://github.com/ollama/ollama/blob/main/docs/api.md. Sizes are bytes; None is
what the server did not say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_BLOB: Final = re.compile(r"FROM\s+.*sha256[-:]([0-9a-f]{64})\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """One entry of `/api/tags`; `size_bytes` is all its blobs together."""

    name: str
    digest: str | None = None
    size_bytes: int | None = None
    quantization: str | None = None
    parameter_size: str | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One entry of `/api/ps`: a model in memory.

    `size_bytes` is the server's own sum, which misses some buffers; `vram_bytes` the part of
    it on GPUs. `num_ctx` is the context of one slot.
    """

    name: str
    size_bytes: int | None = None
    vram_bytes: int | None = None
    num_ctx: int | None = None


@dataclass(frozen=True, slots=True)
class ShownModel:
    """What `/api/show` says of one model.

    `metadata` has the GGUF keys and values (arrays are None unless asked for), `tensors` one
    (name, type, shape) each, `projector_metadata` the keys of a separate projector,
    `parameters` the Modelfile's options (a repeated one as a tuple). `remote_host` is set for
    models that run in a cloud.
    """

    name: str
    metadata: Mapping[str, Any]
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    projector_metadata: Mapping[str, Any] = field(default_factory=dict)
    capabilities: frozenset[str] = frozenset()
    parameters: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    quantization: str | None = None
    parameter_size: str | None = None
    template: str | None = None
    licence: str | None = None
    system: str | None = None
    modelfile: str | None = None
    remote_host: str | None = None

    @property
    def blob_digest(self) -> str | None:
        """The digest of the model's GGUF, `sha256:...`, from the FROM line of its Modelfile."""
        for line in (self.modelfile or "").splitlines():
            match = _BLOB.match(line)
            if match:
                return f"sha256:{match[1]}"
        return None

    @property
    def num_ctx(self) -> int | None:
        """The context length that the Modelfile fixes, or None."""
        value = self.parameters.get("num_ctx")
        return int(value) if isinstance(value, str) and value.isdecimal() else None


@dataclass(frozen=True, slots=True)
class EmbedReply:
    """One text embedded: the vector's length, the tokens read, and how long it took."""

    dimension: int
    prompt_tokens: int | None = None
    total_s: float | None = None
    load_s: float | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens embedded in a second, without the time for loading; None when not said."""
        busy = (self.total_s or 0.0) - (self.load_s or 0.0)
        return self.prompt_tokens / busy if self.prompt_tokens and busy > 0 else None

"""Catalog records: what is published about a model, its tags, licence and scores.

Byte counts are whole files; parameters are plain counts (8_030_261_248, not billions).
Unknown is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assistant.models.architecture import Architecture

Exactness = Literal["exact", "derived", "listed"]
Purpose = Literal["instruct", "base", "embedding", "code-base"]


@dataclass(frozen=True, slots=True)
class Licence:
    """`commercial_use`: yes, no, conditional (read `note`), or unknown."""

    name: str | None
    commercial_use: Literal["yes", "no", "conditional", "unknown"]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One published score; `value` in the benchmark's own unit (mostly percent)."""

    name: str
    value: float
    setting: str | None
    reported_by: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Tag:
    """One `name:tag` of the library.

    `download_bytes` is the whole pull, `model_bytes` the GGUF blob alone, `projector_bytes` a
    separate projector blob. `exactness` says where `model_bytes` (or, if None, `download_bytes`)
    is from: a manifest (exact), tensor arithmetic (derived), or the two digits of the listing.
    `pullable` is False for cloud-only tags and formats that are not GGUF.
    """

    name: str
    quantization: str | None
    purpose: Purpose
    download_bytes: int | None
    model_bytes: int | None
    projector_bytes: int | None
    exactness: Exactness
    digest: str | None = None
    context_length: int | None = None
    format: str = "gguf"
    pullable: bool = True
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model at one size (`qwen3.5:9b`) with all its tags.

    `name` is the Ollama name with the size tag. `cautions` are words such as `uncensored`,
    `domain`, `base`, `outdated`, `cloud-only`, `not-in-library`, which keep a model from being
    a default pick. `default_tag` is the tag that a bare pull of `name` gives.
    """

    name: str
    family: str
    title: str
    publisher: str | None
    description: str | None
    release: str | None
    licence: Licence
    parameters_total: int | None
    parameters_active: int | None
    context_length: int | None
    capabilities: frozenset[str]
    languages: tuple[str, ...] | None
    architecture: Architecture | None
    tags: tuple[Tag, ...]
    benchmarks: tuple[Benchmark, ...]
    cautions: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    default_tag: str | None = None

    def tag(self, name: str) -> Tag | None:
        """Return the tag of that full name (`qwen3.5:9b-q8_0`), or None."""
        return next((t for t in self.tags if t.name == name or name in t.aliases), None)

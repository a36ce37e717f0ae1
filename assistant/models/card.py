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
    """One published score; `value` in the benchmark's own unit (mostly percent).

    `date` is the month or day the figure was read or, for a maker's own figure, the month of
    the release it was published with.
    """

    name: str
    value: float
    setting: str | None
    reported_by: str | None
    source: str
    date: str | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """One `name:tag` of the library.

    `download_bytes` is the whole pull, `model_bytes` the GGUF blob alone, `projector_bytes` a
    separate projector blob. `exactness` says where `model_bytes` (or, if None, `download_bytes`)
    is from: a manifest (exact), tensor arithmetic or the exact download less the usual small
    layers (derived), or the two digits of the listing.
    `pullable` is False for cloud-only tags and formats that are not GGUF.
    `architecture` and `capabilities` are given where they differ from the card's (the Llama
    distillation among the tags of deepseek-r1:8b); `quantization_aware` marks QAT builds.
    `in_library` is False for a level that was asked for and has no tag: its size can be
    estimated, but there is nothing of that name to pull.
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
    architecture: Architecture | None = None
    capabilities: frozenset[str] | None = None
    quantization_aware: bool = False
    in_library: bool = True


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model at one size (`qwen3.5:9b`) with all its tags.

    `name` is the Ollama name with the size tag. `cautions` are words such as `uncensored`,
    `domain`, `base`, `outdated`, `cloud-only`, `not-in-library`, which keep a model from being
    a default pick. `default_tag` is the tag that a bare pull of `name` gives.

    `architecture_confidence` is `checked` when tensor arithmetic with these numbers gives the
    size of the real file, `published` when they are the publisher's, `doubtful` when they were
    set by hand or are incomplete. `quantization_hints` are deviations of the library's files
    from the usual mix: `attn_v_f16` (attention V, or the fused QKV, kept in F16), `k_eq_v`
    (no V tensor on full-attention layers). `inline_projector_bytes` is the vision part inside
    the model blob; `draft_parameters` are those of a multi-token-prediction layer that is in
    the file, in the file's quantization, and is loaded for speculative decoding only.
    `mla_keys` says whether the library's file carries the MLA keys, for
    models that have multi-head latent attention; None for all others.
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
    quantization_hints: frozenset[str] = frozenset()
    inline_projector_bytes: int | None = None
    architecture_confidence: Literal["checked", "published", "doubtful"] = "published"
    draft_parameters: int | None = None
    mla_keys: Literal["present", "absent", "unknown"] | None = None
    hf_repo: str | None = None

    def tag(self, name: str) -> Tag | None:
        """Return the tag of that full name (`qwen3.5:9b-q8_0`), or None."""
        return next((t for t in self.tags if t.name == name or name in t.aliases), None)

"""Which context a model gets from a server, and who decided it (MEMORY_MODEL 4.5)."""

from __future__ import annotations

from typing import Final, Literal, cast

from assistant.config import OllamaSettings, read_settings
from assistant.doctor.records import ModelSeen, Observations
from assistant.fit.records import KvCacheType, RunOptions
from assistant.fit.run_choices import default_context, effective_context
from assistant.machine.records import Machine

ContextFrom = Literal["Modelfile", "OLLAMA_CONTEXT_LENGTH", "tier", "request"]

LADDER: Final = (
    2048, 4096, 6144, 8192, 12_288, 16_384, 24_576, 32_768, 49_152, 65_536, 98_304, 131_072,
    196_608, 262_144, 393_216, 524_288, 1_048_576,
)  # fmt: skip
"""Contexts that are worth proposing."""


def server_settings(seen: Observations) -> OllamaSettings:
    """Return the server's settings, as it reads its environment."""
    return read_settings(seen.environment.variables)


def context_tier(machine: Machine | None, settings: OllamaSettings) -> int | None:
    """Return the context for models that fix none; None when the server's machine is unknown.

    It follows the memory of all GPUs together, less OLLAMA_GPU_OVERHEAD on each.
    """
    if machine is None:
        return None
    overhead = settings.gpu_overhead.value or 0
    gpus = machine.usable_accelerators
    return default_context(sum(max(0, (g.memory_total_bytes or 0) - overhead) for g in gpus))


def given_context(
    model: ModelSeen, machine: Machine | None, settings: OllamaSettings
) -> tuple[int | None, ContextFrom]:
    """Return the context of a program that asks for none, and who decides it.

    The trained context cuts it where that is known.
    """
    origin: ContextFrom
    if model.num_ctx is not None:
        asked, origin = model.num_ctx, "Modelfile"
    elif settings.context_length.value is not None:
        asked, origin = settings.context_length.value, "OLLAMA_CONTEXT_LENGTH"
    else:
        tier = context_tier(machine, settings)
        if tier is None:
            return None, "tier"
        asked, origin = tier, "tier"
    if model.facts is None:
        return asked, origin
    return _effective(model, asked), origin


def origin_of(
    model: ModelSeen, num_ctx: int, machine: Machine | None, settings: OllamaSettings
) -> ContextFrom:
    """Return who decided the context that a model was loaded with."""
    given, origin = given_context(model, machine, settings)
    return origin if given == num_ctx else "request"


def run_options(model: ModelSeen, num_ctx: int | None, settings: OllamaSettings) -> RunOptions:
    """Return what the server runs this model with, besides its own choices."""
    return RunOptions(
        num_ctx=num_ctx,
        num_parallel=settings.num_parallel.value or 1,
        kv_cache_type=cast("KvCacheType", settings.kv_cache_type.value or "f16"),
        flash_attention=settings.flash_attention.value,
        num_gpu=model.num_gpu,
    )


def rung_below(num_ctx: int) -> int | None:
    """Return the longest context of the ladder that is not longer, or None."""
    return max((rung for rung in LADDER if rung <= num_ctx), default=None)


def _effective(model: ModelSeen, asked: int) -> int:
    assert model.facts is not None
    vision = "vision" in (model.capabilities or model.facts.capabilities)
    return effective_context(model.facts.architecture, asked, vision=vision)

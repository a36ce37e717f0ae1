"""The run options that the OLLAMA_ settings of this environment fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from assistant.config import OllamaSettings
    from assistant.fit.records import KvCacheType, RunOptions


def environment_run_options(settings: OllamaSettings | None = None) -> RunOptions:
    """Return what the environment says about context, parallel requests, cache and attention.

    They hold for this computer only: a described machine has an environment of its own.
    """
    from assistant.config import read_settings
    from assistant.fit.records import RunOptions

    found = settings or read_settings()
    return RunOptions(
        num_ctx=found.context_length.value,
        num_parallel=found.num_parallel.value or 1,
        kv_cache_type=cast("KvCacheType", found.kv_cache_type.value or "f16"),
        flash_attention=found.flash_attention.value,
    )

"""From what was asked of `assistant tune --apply` to the variant that is to be made."""

from __future__ import annotations

import dataclasses

from assistant.cli.model_sources import Sources
from assistant.cli.tune_text import a_cache, place
from assistant.errors import AssistantError, NoFitError, UsageError
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_show
from assistant.fit.records import FitEstimate, KvCacheType, ModelFacts, RunOptions
from assistant.machine.records import Machine
from assistant.models.card import ModelCard
from assistant.models.catalog import load_catalog
from assistant.ollama.client import OllamaClient
from assistant.provision.contexts import choose_context
from assistant.provision.tune import (
    AMPLE_CONTEXT,
    AMPLE_IN_RAM,
    cache_type_loads,
    shorter_contexts,
    stays,
    tune_table,
)
from assistant.provision.tune_apply import Variant
from assistant.recommend.roles import role_profile
from assistant.units import gib, tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What was typed, and the machine and model that it is about.

    `server_type` is the cache type that the server uses as far as can be seen.
    """

    model: str
    quantization: str | None
    num_ctx: int | None
    role: str | None
    name: str | None
    force: bool
    machine: Machine
    facts: ModelFacts
    options: RunOptions
    server_type: KvCacheType
    sources: Sources
    assumptions: tuple[str, ...]


def prepare_variant(client: OllamaClient, asked: Asked) -> tuple[Variant, FitEstimate]:
    """Return what is to be made, and its estimate, from what the server has.

    Raises:
        UnknownModelError: the model is not installed; the hint has what to pull.
        UsageError: it is a file, or runs in a cloud.
        NoFitError: the context does not stay on the GPU, and --force was not given.
    """
    if asked.facts.source in ("file", "parameters"):
        raise UsageError(
            f"{asked.model!r} is no model on the Ollama server.",
            hint="Create it there first (ollama create NAME -f FILE), then tune NAME.",
        )
    base = asked.facts.resolved if asked.quantization else asked.model
    shown = client.show_with_arrays(base)
    if shown.remote_host is not None:
        raise UsageError(f"{base!r} runs on {shown.remote_host}, not on this machine.")
    facts = dataclasses.replace(
        facts_from_show(shown), download_bytes=asked.facts.download_bytes, default_num_ctx=None
    )
    num_ctx, why = _context(asked, facts)
    estimate = _estimate(asked, facts, num_ctx)
    loads = cache_type_loads(
        facts.architecture, estimate.kv_cache_type, flash_attention=estimate.flash_attention
    )
    on_gpu = bool(asked.machine.usable_accelerators)
    if not (loads and stays(estimate, on_gpu=on_gpu)) and not asked.force:
        raise _does_not_stay(asked, base, estimate)
    shorter = () if asked.force else shorter_contexts(estimate.num_ctx)
    card = _card(base)
    return Variant(
        model=base,
        facts=facts,
        shown=shown,
        machine=asked.machine,
        options=asked.options,
        contexts=(estimate.num_ctx, *shorter),
        why=why,
        name=asked.name,
        role=asked.role,
        family=None if card is None else card.family,
        licence=None if card is None else card.licence.name,
        as_it_lands=asked.force,
    ), estimate


def _context(asked: Asked, facts: ModelFacts) -> tuple[int, str]:
    """Return the context to set, and why."""
    if asked.num_ctx is not None:
        trained = facts.architecture.context_length
        if trained is not None and asked.num_ctx > trained:
            return trained, f"{asked.num_ctx} was asked for, it was trained for {trained}"
        return asked.num_ctx, "as asked"
    if asked.role is not None:
        profile = role_profile(asked.role)
        choice = choose_context(facts, asked.machine, profile, options=asked.options)
        return choice.num_ctx, choice.why
    table = tune_table(facts, asked.machine, run_options=asked.options)
    longest = table.named.longest_num_ctx
    if longest is None:
        return table.num_ctx, "as asked"
    where = "on the GPU" if table.on_gpu else "in RAM"
    if table.num_ctx == table.trained_num_ctx:
        return table.num_ctx, f"all that it was trained for; it stays {where}"
    if table.num_ctx == (AMPLE_CONTEXT if table.on_gpu else AMPLE_IN_RAM):
        return table.num_ctx, f"ample for most uses; up to {tokens(longest)} stay {where}"
    return table.num_ctx, f"the longest round step that stays {where}; {tokens(longest)} is the end"


def _estimate(asked: Asked, facts: ModelFacts, num_ctx: int) -> FitEstimate:
    options = dataclasses.replace(asked.options, num_ctx=num_ctx)
    alternatives = asked.sources.alternatives(asked.facts)
    return estimate_fit(facts, asked.machine, options, alternatives=alternatives)


def _does_not_stay(asked: Asked, model: str, estimate: FitEstimate) -> NoFitError:
    """Return the refusal: by how much, and what would stay."""
    on_gpu = bool(asked.machine.usable_accelerators)
    where = place(asked.machine, on_gpu=on_gpu).replace("\u00a0", " ")
    would = [remedy.rstrip(".") for remedy in estimate.remedies]
    hint = f"What would help: {', or '.join(would)}." if would else "See: assistant recommend"
    return NoFitError(
        f"{model!r} with {estimate.num_ctx:,} tokens and {a_cache(estimate.kv_cache_type)} does "
        f"not stay {where}: {gib(estimate.missing_bytes)} too many.",
        hint=f"{hint} To create it all the same: --force" if on_gpu else hint,
    )


def _card(model: str) -> ModelCard | None:
    """Return the catalog's card of a model, or None."""
    try:
        return load_catalog().find(model)[0]
    except AssistantError:
        return None

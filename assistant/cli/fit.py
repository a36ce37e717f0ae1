"""`assistant fit`: what a model needs on a machine, before anything is downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from assistant.cli.model_sources import Sources
from assistant.cli.options import (
    examples,
    flash_attention_option,
    kv_cache_type_option,
    machine_option,
    num_batch_option,
    num_ctx_option,
    num_parallel_option,
    offline_option,
    output_options,
    resolve_machine,
)
from assistant.cli.output import Output
from assistant.errors import AssistantError, NoFitError

if TYPE_CHECKING:
    from assistant.cli.output import Status
    from assistant.fit.records import FitEstimate, KvCacheType, ModelFacts, RunOptions
    from assistant.machine.records import Machine

_NO_LIMIT_BYTES: Final = 2**50


@click.command(
    "fit",
    epilog=examples(
        "assistant fit llama3.1:8b",
        "assistant fit gemma3:12b --num-ctx 32k --kv-cache-type q8_0",
        'assistant fit qwen3:14b qwen3:30b --machine "RTX 3060 12GB, 32GB RAM"',
        "assistant fit ./model.gguf --num-ctx 16k --plot memory.svg",
    ),
)
@click.argument("model", nargs=-1, required=True, metavar="MODEL...")
@click.option("--quant", metavar="Q", help="Another quantization of the model: q8_0, Q5_K_M.")
@num_ctx_option
@kv_cache_type_option
@num_parallel_option
@num_batch_option
@flash_attention_option
@click.option(
    "--num-gpu",
    type=click.IntRange(min=0),
    metavar="LAYERS",
    help="Layers to put on the GPU.  [default: what Ollama chooses]",
)
@machine_option
@offline_option
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw memory against context length (.png or .svg).",
)
@output_options
def fit(
    out: Output,
    model: tuple[str, ...],
    quant: str | None,
    num_ctx: int | None,
    kv_cache_type: KvCacheType | None,
    num_parallel: int | None,
    num_batch: int | None,
    flash_attention: bool | None,
    num_gpu: int | None,
    machine_spec: str | None,
    offline: bool,
    plot: Path | None,
) -> None:
    """Say whether a model fits, where, and how fast.

    MODEL is an Ollama name (llama3.1:8b, hf.co/user/repo:Q5_K_M), a path to a GGUF file, a
    model installed on the Ollama server, or a role (chat, code ...) that was set up. What is
    left out takes the value that Ollama would choose on that machine.
    """
    from assistant.cli.named_models import role_model_or_base
    from assistant.fit.records import RunOptions

    if plot is not None:
        _check_plot(plot, model)
    if flash_attention is False and kv_cache_type not in (None, "f16", "f32", "bf16"):
        raise click.UsageError(
            f"a {kv_cache_type} KV cache needs flash attention; with --flash-attention off"
            " the model does not load."
        )
    settings = _Settings(described=machine_spec is not None)
    options = RunOptions(
        num_ctx=num_ctx,
        num_parallel=num_parallel or settings.num_parallel or 1,
        num_batch=num_batch,
        kv_cache_type=kv_cache_type or settings.kv_cache_type or "f16",
        flash_attention=settings.flash_attention if flash_attention is None else flash_attention,
        num_gpu=num_gpu,
    )
    machine = resolve_machine(machine_spec)
    sources = Sources(offline=offline)
    found: list[tuple[ModelFacts, RunOptions, FitEstimate]] = []
    errors: list[AssistantError] = []
    for typed in model:
        try:
            name = role_model_or_base(out, typed, offline=offline)
            facts = _facts(sources, name, quant)
            asked = settings.with_context(options, facts)
            estimate = _estimate(sources, name, facts, machine, asked, settings)
        except AssistantError as error:
            if len(model) == 1:
                raise
            errors.append(error)
        else:
            found.append((facts, asked, estimate))
    estimates = [estimate for _, _, estimate in found]
    if plot is not None:
        facts, asked, estimate = found[0]
        _draw(plot, facts, estimate, asked, machine)
        out.note(f"memory against context length is drawn in {plot}")
    status, errors = _status(estimates, errors)

    def data() -> dict[str, Any]:
        from assistant.fit.serialize import estimate_to_dict

        drawn = {} if plot is None else {"plot": str(plot)}
        return {"estimates": [estimate_to_dict(each) for each in estimates], **drawn}

    def text() -> str:
        import dataclasses

        from assistant.cli.fit_text import render_estimates

        return render_estimates(
            [dataclasses.replace(each, model=sources.shown_name(each)) for each in estimates],
            machine,
            width=out.width,
            as_of=sources.as_of,
            machine_spec=machine_spec,
            style=out.style,
        )

    out.result(data, text if estimates else "", errors=errors, status=status)


def _facts(sources: Sources, name: str, quant: str | None) -> ModelFacts:
    """Return the facts of a model, at the quantization that was asked for.

    Raises:
        AssistantError: it is not known, or cannot have that quantization.
    """
    from assistant.cli.named_models import check_is_no_near_role, check_quantization

    check_is_no_near_role(name, command="fit")
    facts = sources.facts(name, quant)
    if facts.source == "server":
        check_quantization(name, quant, facts, sources)
    return facts


def _estimate(
    sources: Sources,
    name: str,
    facts: ModelFacts,
    machine: Machine,
    options: RunOptions,
    settings: _Settings,
) -> FitEstimate:
    """Return the estimate under the name that was typed, with all that was assumed for it."""
    import dataclasses

    from assistant.fit.estimate import estimate_fit

    estimate = estimate_fit(facts, machine, options, alternatives=sources.alternatives(facts))
    assumed = (*estimate.assumptions, *machine.assumptions, *settings.assumptions)
    return dataclasses.replace(
        estimate,
        model=estimate.model if facts.source == "file" else name.strip(),
        assumptions=tuple(dict.fromkeys(assumed)),
    )


class _Settings:
    """What Ollama's environment variables fix; they are about this computer only."""

    def __init__(self, *, described: bool) -> None:
        self.num_ctx: int | None = None
        self.num_parallel: int | None = None
        self.kv_cache_type: KvCacheType | None = None
        self.flash_attention: bool | None = None
        self.assumptions: tuple[str, ...] = ()
        if described or not any(name.startswith("OLLAMA_") for name in os.environ):
            return
        from assistant.config import read_settings

        settings = read_settings()
        self.num_ctx = settings.context_length.value
        self.num_parallel = settings.num_parallel.value
        self.kv_cache_type = cast("KvCacheType | None", settings.kv_cache_type.value)
        self.flash_attention = settings.flash_attention.value
        self.assumptions = settings.assumptions

    def with_context(self, options: RunOptions, facts: ModelFacts) -> RunOptions:
        """Return the options with OLLAMA_CONTEXT_LENGTH, unless asked or the model sets one."""
        import dataclasses

        if self.num_ctx is None or options.num_ctx is not None or facts.default_num_ctx:
            return options
        return dataclasses.replace(options, num_ctx=self.num_ctx)


def _status(
    estimates: list[FitEstimate], errors: list[AssistantError]
) -> tuple[Status, list[AssistantError]]:
    """Return how the command ended: partly done, nothing fits, or well."""
    if errors:
        return ("partial" if estimates else "error"), errors
    if all(estimate.placement.verdict == "none" for estimate in estimates):
        return "error", [_nothing_fits(estimates)]
    return "ok", []


def _nothing_fits(estimates: list[FitEstimate]) -> NoFitError:
    names = " nor ".join(repr(estimate.model) for estimate in estimates)
    subject = f"neither {names} fits" if len(estimates) > 1 else f"{names} does not fit"
    return NoFitError(f"{subject} this machine.", hint="See what does: assistant recommend")


def _check_plot(plot: Path, models: tuple[str, ...]) -> None:
    from assistant.cli.fit_plot import check_plot_file

    if len(models) > 1:
        raise click.UsageError("--plot draws one model; give one MODEL.")
    check_plot_file(plot)


def _draw(
    plot: Path, facts: ModelFacts, estimate: FitEstimate, options: RunOptions, machine: Machine
) -> None:
    """Draw the memory that the model needs at each context length, all on one side."""
    import dataclasses

    from assistant.cli.fit_plot import context_lengths, write_plot
    from assistant.cli.fit_text import gpu_memory_bytes, ram_bytes, reserved_bytes
    from assistant.fit.estimate import estimate_fit

    on_gpu = bool(machine.usable_accelerators)
    roomy = dataclasses.replace(
        machine,
        accelerators=tuple(
            dataclasses.replace(
                each, memory_total_bytes=_NO_LIMIT_BYTES, memory_free_bytes=_NO_LIMIT_BYTES
            )
            for each in machine.usable_accelerators[:1]
        ),
        ram=dataclasses.replace(
            machine.ram, total_bytes=_NO_LIMIT_BYTES, available_bytes=_NO_LIMIT_BYTES
        ),
    )
    fixed = dataclasses.replace(
        options, num_batch=estimate.num_batch, flash_attention=estimate.flash_attention
    )
    longest = estimate.limits.trained_num_ctx or estimate.num_ctx
    needs = []
    for num_ctx in context_lengths(longest, estimate.num_ctx):
        at = estimate_fit(
            facts,
            roomy,
            dataclasses.replace(fixed, num_ctx=num_ctx),
            with_limits=False,
            with_speed=False,
        )
        needs.append((num_ctx, at.gpu if on_gpu else at.memory))
    limit = gpu_memory_bytes(estimate, machine) if on_gpu else ram_bytes(machine)
    name = machine.usable_accelerators[0].name if on_gpu else "RAM"
    write_plot(
        plot,
        estimate,
        needs,
        limit_bytes=limit,
        limit_name=name,
        reserved_bytes=reserved_bytes(estimate, machine) if on_gpu else 0,
    )

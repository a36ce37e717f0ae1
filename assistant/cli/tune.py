"""`assistant tune`: how long a context a model can have here, and a variant that has it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from assistant.cli.model_sources import Sources
from assistant.cli.options import (
    KV_CACHE_TYPES,
    NumCtx,
    examples,
    machine_option,
    offline_option,
    output_options,
    resolve_machine,
)
from assistant.cli.output import Output
from assistant.errors import AssistantError, NoFitError, UsageError

if TYPE_CHECKING:
    from assistant.cli.tune_variant import Asked
    from assistant.fit.records import FitEstimate, KvCacheType, ModelFacts, RunOptions
    from assistant.ollama.client import OllamaClient
    from assistant.provision.tune_apply import Applied, Variant
    from assistant.provision.tune_records import TuneTable

SERVER_TIMEOUT_S: Final = 3.0


@click.command(
    "tune",
    epilog=examples(
        "assistant tune llama3.1:8b",
        'assistant tune qwen3:14b --num-ctx 64k --machine "RTX 3060 12GB, 32GB RAM"',
        "assistant tune qwen3:14b --num-ctx 16k --apply",
        "assistant tune qwen2.5-coder:7b --role code --apply --name my-coder",
    ),
)
@click.argument("model", metavar="MODEL|ROLE")
@click.option(
    "--num-ctx",
    type=NumCtx(),
    metavar="TOKENS",
    help="Context length in tokens: 8192, 32k.  [default: a long one that stays]",
)
@click.option(
    "--kv-cache-type",
    type=click.Choice(KV_CACHE_TYPES),
    metavar="TYPE",
    help="Type of the KV cache: f16, q8_0, q4_0.  [default: the server's]",
)
@click.option("--quant", metavar="Q", help="Another quantization of the model: q8_0, Q5_K_M.")
@click.option("--role", metavar="ROLE", help="Tune it for a role: chat, code, rag, tools.")
@machine_option
@click.option("--apply", is_flag=True, help="Create the variant on the Ollama server.")
@click.option("--name", metavar="NAME", help="Its name.  [default: assistant-tuned-MODEL:CONTEXT]")
@click.option("--force", is_flag=True, help="Create it even where part runs on the CPU.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be created, change nothing.")
@offline_option
@output_options
def tune(
    out: Output,
    model: str,
    num_ctx: int | None,
    kv_cache_type: KvCacheType | None,
    quant: str | None,
    role: str | None,
    machine_spec: str | None,
    apply: bool,
    name: str | None,
    force: bool,
    yes: bool,
    dry_run: bool,
    offline: bool,
) -> None:
    """Show which context stays on the GPU, and set it.

    The table has every quantization with the longest context it keeps on the GPU (in RAM
    without one) for each type of KV cache, with memory, speed and what it costs. --apply makes
    a variant of an installed model with that context, loads it, and measures it. A role (chat,
    code ...) stands for the model that was set up for it.
    """
    from assistant.cli.confirm import check_can_ask
    from assistant.cli.named_models import check_is_no_near_role, role_model_or_base

    if not apply and (name or force or yes or dry_run):
        raise click.UsageError("--name, --force, --yes and --dry-run go with --apply.")
    if apply:
        check_can_ask(out, yes=yes, dry_run=dry_run)
    model = role_model_or_base(out, model, offline=offline)
    check_is_no_near_role(model, command="tune")
    asked = _asked(
        model, num_ctx, kv_cache_type, quant, role, machine_spec, name, force=force, offline=offline
    )
    if apply:
        _check_server_is_meant(machine_spec, offline=offline)
        _apply(out, asked, yes=yes, dry_run=dry_run)
        return
    table = _table(asked, asked.facts)
    installed = _installed(machine_spec, offline=offline)

    def data() -> dict[str, Any]:
        from assistant.cli.tune_data import table_data

        return table_data(table, asked.machine, installed=installed, assumptions=asked.assumptions)

    def text() -> str:
        from assistant.cli.tune_text import render_table

        return render_table(
            table,
            asked.machine,
            installed=installed,
            machine_spec=machine_spec,
            assumptions=asked.assumptions,
            width=out.width,
            style=out.style,
        )

    errors: list[AssistantError] = []
    if all(cell.verdict == "none" for cell in table.grid):
        errors.append(
            NoFitError(
                f"{table.model!r} does not fit this machine.",
                hint="See what does: assistant recommend",
            )
        )
    out.result(data, text, errors=errors, status="error" if errors else "ok")


def _asked(
    model: str,
    num_ctx: int | None,
    kv_cache_type: KvCacheType | None,
    quant: str | None,
    role: str | None,
    machine_spec: str | None,
    name: str | None,
    *,
    force: bool,
    offline: bool,
) -> Asked:
    """Return the request with its machine, its model and the server's settings.

    Raises:
        AssistantError: the machine, the model, the role or the name makes no sense.
    """
    from assistant.cli.named_models import check_quantization
    from assistant.cli.tune_variant import Asked
    from assistant.config import read_settings
    from assistant.fit.records import RunOptions
    from assistant.models.names import parse_model_name
    from assistant.recommend.roles import role_profile

    role = None if role is None else role_profile(role).name
    if name is not None:
        parse_model_name(name)
    machine = resolve_machine(machine_spec)
    sources = Sources(offline=offline)
    facts = sources.facts(model, quant)
    check_quantization(model, quant, facts, sources)
    settings = read_settings({} if machine_spec is not None else _server_environ())
    server_type = cast("KvCacheType", settings.kv_cache_type.value or "f16")
    flash = settings.flash_attention.value
    if flash is False and kv_cache_type not in (None, "f16", "f32", "bf16"):
        raise click.UsageError(
            f"a {kv_cache_type} KV cache needs flash attention, and OLLAMA_FLASH_ATTENTION is 0."
        )
    options = RunOptions(
        num_ctx=num_ctx,
        num_parallel=settings.num_parallel.value or 1,
        kv_cache_type=kv_cache_type or server_type,
        flash_attention=flash,
    )
    return Asked(
        model=model.strip(),
        quantization=quant,
        num_ctx=num_ctx,
        role=role,
        name=name,
        force=force,
        machine=machine,
        facts=facts,
        options=options,
        server_type=server_type,
        sources=sources,
        assumptions=tuple(dict.fromkeys((*machine.assumptions, *settings.assumptions))),
    )


def _installed(machine_spec: str | None, *, offline: bool) -> tuple[str, ...] | None:
    """Return the names of the server's models; None when it is not asked or does not answer.

    With --machine the configured server counts only if it is elsewhere: the one here is not on
    the machine that was described.
    """
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.server_address import configured_address

    try:
        address = configured_address()
        if address.is_local == (machine_spec is not None) or (offline and not address.is_local):
            return None
        with OllamaClient(address, timeout_s=SERVER_TIMEOUT_S) as client:
            return tuple(model.name for model in client.installed_models())
    except AssistantError:
        return None


def _server_environ() -> dict[str, str]:
    """Return the environment of the server on this computer, as far as it can be read."""
    from assistant.machine.detect.server_process import detect_server_process
    from assistant.ollama.server_address import configured_address

    address = configured_address()
    if not address.is_local:
        return {}
    found = detect_server_process(Path("/"), os.environ, port=address.port)
    return dict(found.variables)


def _table(asked: Asked, facts: ModelFacts) -> TuneTable:
    """Return the table under the name that was typed."""
    from assistant.provision.tune import tune_table

    table = tune_table(
        facts,
        asked.machine,
        alternatives=asked.sources.alternatives(facts),
        run_options=_with_role_context(asked, facts),
        server_type=asked.server_type,
    )
    estimate = dataclasses.replace(table.named.estimate, model=asked.model)
    shown = facts.resolved if asked.quantization else asked.sources.shown_name(estimate)
    if facts.source == "file":
        shown = facts.name
    return dataclasses.replace(
        table, model=shown, is_asked=asked.num_ctx is not None, asked_num_ctx=asked.num_ctx
    )


def _with_role_context(asked: Asked, facts: ModelFacts) -> RunOptions:
    """Return the options with the context that the role gets here, unless one was asked for."""
    if asked.role is None or asked.num_ctx is not None:
        return asked.options
    from assistant.provision.contexts import choose_context
    from assistant.recommend.roles import role_profile

    choice = choose_context(facts, asked.machine, role_profile(asked.role), options=asked.options)
    return dataclasses.replace(asked.options, num_ctx=choice.num_ctx)


def _check_server_is_meant(machine_spec: str | None, *, offline: bool) -> None:
    """Check that a server elsewhere may be asked, and that its machine was described.

    Raises:
        OllamaError: --offline forbids to ask it.
        UsageError: the model would be sized for this computer.
    """
    from assistant.errors import OllamaError
    from assistant.ollama.server_address import configured_address

    address = configured_address()
    if address.is_local:
        return
    if offline:
        raise OllamaError(f"{address.url} is not on this computer, and --offline is given.")
    if machine_spec is None:
        raise UsageError(
            f"the Ollama server at {address.url} is another computer than this one.",
            hint="Say what it is with --machine: words, or a file that assistant hardware --json "
            "wrote there.",
        )


def _apply(out: Output, asked: Asked, *, yes: bool, dry_run: bool) -> None:
    from assistant.cli.tune_variant import prepare_variant
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.versions import check_version
    from assistant.provision.tune_apply import already_made

    with OllamaClient() as client:
        told = check_version(client.version())
        if told:
            _note(out, told)
        variant, estimate = prepare_variant(client, asked)
        if asked.options.kv_cache_type != asked.server_type:
            _note(out, _about_cache_type(asked))
        plan = _plan(asked, variant, estimate)
        if dry_run:
            _show_plan(out, asked, variant, plan)
            return
        done = already_made(client, variant)
        if done is None:
            if not _agreed(out, plan, yes=yes):
                return
            done = _make(out, client, variant)
    table = _table(asked, variant.facts)

    def data() -> dict[str, Any]:
        from assistant.cli.tune_data import applied_data, table_data

        shown = table_data(table, asked.machine, assumptions=asked.assumptions)
        return {**shown, "applied": applied_data(done)}

    def text() -> str:
        from assistant.cli.tune_text import render_applied

        return render_applied(done, width=out.width)

    out.result(data, text)


def _plan(asked: Asked, variant: Variant, estimate: FitEstimate) -> str:
    """Return what is about to be done, in a sentence or two."""
    from assistant.cli.tune_text import fit_sentence
    from assistant.provision.tune_apply import planned_name

    name = planned_name(variant, estimate.num_ctx)
    lowered = asked.num_ctx is not None and asked.num_ctx > estimate.num_ctx
    less = f" (not {asked.num_ctx}: it was trained for {estimate.num_ctx})" if lowered else ""
    return (
        f"Creates {name} from {variant.model} with num_ctx {estimate.num_ctx}{less}: "
        f"{fit_sentence(estimate, variant.machine)}. {variant.model} itself stays as it is; the "
        "variant shares its file."
    )


def _about_cache_type(asked: Asked) -> str:
    """Return that a Modelfile cannot set the cache type, and who can."""
    wanted = asked.options.kv_cache_type
    return (
        f"Sized for a {wanted} cache, which only the server can set "
        f"(OLLAMA_KV_CACHE_TYPE={wanted}); as far as can be seen it uses {asked.server_type}. How: "
        f"assistant tune {asked.model} --kv-cache-type {wanted}".replace(" ", "\u00a0")
    )


def _note(out: Output, text: str) -> None:
    """Say something on the way, no wider than the terminal."""
    from assistant.cli.layout import paragraph

    out.note(paragraph(text, width=out.width, hanging="  "))


def _agreed(out: Output, plan: str, *, yes: bool) -> bool:
    from assistant.cli.confirm import confirmed

    _note(out, plan)
    if confirmed("Go ahead?", yes=yes):
        return True
    out.note("Nothing was changed.")
    return False


def _show_plan(out: Output, asked: Asked, variant: Variant, plan: str) -> None:
    """Print what would be created, and its Modelfile."""
    from assistant.cli.layout import paragraph
    from assistant.cli.models_show import modelfile_lines
    from assistant.ollama.modelfile import render_modelfile
    from assistant.provision.tune_apply import planned_name, variant_modelfile

    num_ctx = variant.contexts[0]
    modelfile = render_modelfile(variant_modelfile(variant, num_ctx, why=variant.why))

    def data() -> dict[str, Any]:
        from assistant.cli.tune_data import table_data

        shown = table_data(_table(asked, variant.facts), asked.machine)
        planned = {
            "name": planned_name(variant, num_ctx),
            "model": variant.model,
            "num_ctx": num_ctx,
            "modelfile": modelfile,
        }
        return {**shown, "planned": planned}

    shown = modelfile_lines(modelfile, width=out.width)
    out.result(data, f"{paragraph(plan, width=out.width)}\n\n{shown}")


def _make(out: Output, client: OllamaClient, variant: Variant) -> Applied:
    """Make the variant while holding the setup lock."""
    from datetime import UTC, datetime

    from assistant.cli.setup_lock import setup_lock
    from assistant.provision.tune_apply import apply_variant

    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    with setup_lock(out, waiting="Waiting for another setup to end."):
        return apply_variant(client, variant, now=now, on_step=lambda step: _note(out, step))

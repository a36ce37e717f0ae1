"""`assistant modelfile`: a Modelfile for a role or a model, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from assistant.cli.options import (
    NumCtx,
    examples,
    machine_option,
    offline_option,
    output_options,
    resolve_machine,
)
from assistant.cli.output import Output
from assistant.errors import FileProblemError, UnknownModelError, UsageError

if TYPE_CHECKING:
    from assistant.cli.modelfile_text import Made
    from assistant.fit.records import ModelFacts
    from assistant.machine.records import Machine
    from assistant.models.card import ModelCard
    from assistant.ollama.modelfile import Modelfile

_DEFAULT: Final = "show"


class _ShowByDefault(click.Group):
    """A group whose first word may be a role or a model: then `show` is meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `show` before what is not a command of the group, and before nothing."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(
    "modelfile",
    cls=_ShowByDefault,
    subcommand_metavar="ROLE | MODEL | COMMAND ...",
    epilog=examples(
        "assistant modelfile chat",
        "assistant modelfile llama3.1:8b --num-ctx 16k > Modelfile",
        'assistant modelfile qwen3.5:9b --role code --machine "RTX 3060 12GB"',
        "assistant modelfile lint ./Modelfile",
    ),
)
def modelfile() -> None:
    """Print a Modelfile for this machine, or check one.

    With a role (chat, code, embeddings ...) it is the one that `assistant setup` made for it,
    or else one for the model that is recommended here. The text goes to `ollama create -f`.
    """


@modelfile.command(
    _DEFAULT,
    epilog=examples(
        "assistant modelfile show embeddings",
        "assistant modelfile show gemma4:12b --role vision --output Modelfile",
    ),
)
@click.argument("target", metavar="ROLE|MODEL")
@click.option("--role", metavar="ROLE", help="The role that MODEL is to serve: code, rag, tools.")
@click.option(
    "--num-ctx",
    type=NumCtx(),
    metavar="TOKENS",
    help="Context length in tokens: 8192, 32k.  [default: the most that stays on the GPU]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it to a new file.  [default: print it]",
)
@machine_option
@offline_option
@output_options
def show(
    out: Output,
    target: str,
    role: str | None,
    num_ctx: int | None,
    output: Path | None,
    machine_spec: str | None,
    offline: bool,
) -> None:
    """Print the Modelfile of a role or a model.

    The context is the longest that the role can use and the GPU can hold; sampling values are
    the maker's where they are published. The comments say why each value was chosen.
    """
    from assistant.cli.modelfile_text import made_data, render_made

    made = _made(out, target, role, num_ctx, machine_spec, offline=offline)
    if output is not None:
        _write_new(output, made.text)
    else:
        out.note(f"Save it, then: ollama create {made.alias} -f FILE")
    out.result(lambda: made_data(made, output), lambda: render_made(made, output))


@modelfile.command(
    "lint",
    epilog=examples(
        "assistant modelfile lint Modelfile",
        "ollama show --modelfile llama3.1:8b | assistant modelfile lint -",
        'assistant modelfile lint Modelfile --machine "RTX 3060 12GB, 32GB RAM" --json',
    ),
)
@click.argument("file", metavar="FILE")
@machine_option
@offline_option
@output_options
def lint(out: Output, file: str, machine_spec: str | None, offline: bool) -> None:
    """Check a Modelfile and say what to change.

    FILE is a Modelfile, `-` reads it from standard input. Unknown, deprecated and
    contradictory parameters are found, contexts above what the model was trained for, and what
    will not stay on the GPU of this machine. Ends with 1 when there are errors.
    """
    from assistant.cli.modelfile_check import check_file
    from assistant.cli.modelfile_text import checked_data, render_checked
    from assistant.ollama.modelfile import ModelfileError

    checked = check_file(file, machine_spec, offline=offline)
    count = checked.count("error")
    problems = []
    if count:
        problems.append(
            ModelfileError(
                f"{checked.name} has {count} error{'s' if count > 1 else ''}.",
                hint="ollama create refuses it, or the model fails when it is used.",
            )
        )
    out.result(
        lambda: checked_data(checked),
        lambda: render_checked(checked, width=out.width, style=out.style),
        errors=problems,
        status="error" if problems else "ok",
    )


def _made(
    out: Output,
    target: str,
    role: str | None,
    num_ctx: int | None,
    machine_spec: str | None,
    *,
    offline: bool,
) -> Made:
    """Return the Modelfile of a role or a model, and where it comes from."""
    from assistant.cli.modelfile_text import Made
    from assistant.cli.named_models import check_is_no_near_role
    from assistant.recommend.roles import role_profile

    asked = _role_name(target)
    if asked is None:
        check_is_no_near_role(target, command="modelfile")
        wanted = None if role is None else role_profile(role).name
        return _made_for(target, wanted, num_ctx, resolve_machine(machine_spec), machine_spec,
                         offline=offline)  # fmt: skip
    if role is not None:
        raise UsageError(
            f"{target!r} is a role itself; --role goes with a model.",
            hint=f"Leave --role out, or name a model, as in: assistant modelfile {target}:latest",
        )
    if num_ctx is None and machine_spec is None:
        from assistant.provision.ledger import current_entry

        entry = current_entry(asked)
        if entry is not None:
            out.note(f"As assistant setup made it for {asked} on {entry.created_at[:10]}.")
            return Made(entry.modelfile, entry.model, asked, "setup")
    machine = resolve_machine(machine_spec)
    model = _recommended(machine, asked, num_ctx)
    out.note(f"{model} is recommended for {asked} on this machine.")
    return _made_for(model, asked, num_ctx, machine, machine_spec, offline=offline)


def _role_name(text: str) -> str | None:
    from assistant.recommend.roles import role_profile

    try:
        return role_profile(text).name
    except UsageError:
        return None


def _recommended(machine: Machine, role: str, num_ctx: int | None) -> str:
    from assistant.errors import NoFitError
    from assistant.models.catalog import load_catalog
    from assistant.recommend.picks import recommend
    from assistant.recommend.records import Needs
    from assistant.recommend.roles import role_profile

    needs = Needs(role=role_profile(role).name, num_ctx=num_ctx)
    picks = recommend(machine, needs, load_catalog()).picks
    if not picks:
        raise NoFitError(
            f"no model in the catalog serves {role} on this machine.",
            hint=f"Name a model: assistant modelfile MODEL --role {role}",
        )
    return picks[0].model


def _made_for(
    model: str,
    role: str | None,
    num_ctx: int | None,
    machine: Machine,
    machine_spec: str | None,
    *,
    offline: bool,
) -> Made:
    """Return a Modelfile that was computed for a model on a machine."""
    from assistant.cli.model_sources import Sources
    from assistant.cli.modelfile_check import server_options
    from assistant.cli.modelfile_text import Made
    from assistant.ollama.modelfile import render_modelfile
    from assistant.provision.contexts import choose_context
    from assistant.recommend.roles import role_profile

    facts = Sources(offline=offline).facts(model)
    role = _fitting_role(facts, role)
    choice = choose_context(
        facts,
        machine,
        role_profile(role or "chat"),
        options=server_options(described=machine_spec is not None),
        asked=num_ctx,
    )
    card = _card(facts)
    named = facts.resolved if facts.source == "catalog" else model.strip()
    modelfile = _modelfile(
        role,
        model=named,
        num_ctx=choice.num_ctx,
        why_num_ctx=choice.why,
        family=None if card is None else card.family,
        thinking="thinking" in facts.capabilities,
        num_gpu=choice.num_gpu,
        why_num_gpu=choice.why_num_gpu,
        licence=None if card is None else card.licence.name,
    )
    return Made(render_modelfile(modelfile), named, role, "computed", modelfile, choice.estimate)


def _modelfile(role: str | None, *, model: str, **values: Any) -> Modelfile:
    from assistant.provision.role_modelfile import plain_modelfile, role_modelfile

    if role is None:
        return plain_modelfile(model, **values)
    return role_modelfile(role, model=model, **values)


def _fitting_role(facts: ModelFacts, role: str | None) -> str | None:
    """Return the role; an embedding model serves one only, and no other model serves that.

    Raises:
        UsageError: the model cannot serve the role.
    """
    embeds = "embedding" in facts.capabilities
    if embeds and role not in {None, "embeddings"}:
        raise UsageError(
            f"{facts.name} makes embeddings and cannot serve {role}.",
            hint=f"See what can: assistant recommend --role {role}",
        )
    if role == "embeddings" and facts.capabilities and not embeds:
        raise UsageError(
            f"{facts.name} is not an embedding model.",
            hint="See what is: assistant recommend --role embeddings",
        )
    return "embeddings" if embeds else role


def _card(facts: ModelFacts) -> ModelCard | None:
    from assistant.models.catalog import load_catalog

    try:
        return load_catalog().find(facts.resolved)[0]
    except (UnknownModelError, UsageError):
        return None


def _write_new(path: Path, text: str) -> None:
    """Write a Modelfile, never over a file that is there."""
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise FileProblemError(
            f"{str(path)!r} is there already, and is left as it is.",
            hint="Give --output another name, or remove the file first.",
        ) from error
    except OSError as error:
        raise FileProblemError(
            f"{str(path)!r} cannot be written: {(error.strerror or str(error)).lower()}.",
            hint="Give --output a name in a folder that you can write to.",
        ) from error

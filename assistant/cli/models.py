"""`assistant models`: what is installed, what it is for, and taking it away again."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from assistant.cli.near_group import NearGroup
from assistant.cli.options import examples, offline_option, output_options
from assistant.cli.output import Output

if TYPE_CHECKING:
    from assistant.ollama.client import OllamaClient
    from assistant.provision.removal import Removal

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show it, change nothing.")


@click.group(
    "models",
    cls=NearGroup,
    epilog=examples(
        "assistant models list",
        "assistant models list llama",
        "assistant models show chat",
        "assistant models check",
        "assistant models remove qwen3:8b --dry-run",
    ),
)
def models() -> None:
    """List, show, check and remove installed models.

    NAME is a model as the server lists it, an alias such as assistant-chat, or the role that it
    was set up for: chat, code, embeddings.
    """


@models.command(
    "list",
    epilog=examples(
        "assistant models list",
        "assistant models list llama",
        "assistant models list qwen coder --json",
    ),
)
@click.argument("query", nargs=-1)
@output_options
def list_command(out: Output, query: tuple[str, ...]) -> None:
    """List installed models and what each is for.

    With QUERY, what is installed under such a name comes first, then what the catalog has.
    Without a server, what was set up is shown from the ledger.
    """
    from assistant.cli.models_server import server_view
    from assistant.cli.models_text import list_data, render_list
    from assistant.provision.inventory import inventory, matching
    from assistant.provision.ledger import read_ledger

    view = server_view(out)
    text = " ".join(query).strip()
    rows = inventory(read_ledger(), view.installed, view.loaded)
    cards = None
    if text:
        from assistant.models.catalog import load_catalog

        rows, cards = matching(rows, text), load_catalog().search(text)
    if view.problem is not None:
        if not rows and not cards:
            raise view.problem
        out.note(view.said)
    out.result(
        lambda: list_data(rows, view, query=text, cards=cards),
        lambda: render_list(rows, view, query=text, cards=cards, width=out.width),
    )


@models.command(
    "show",
    epilog=examples("assistant models show chat", "assistant models show llama3.1:8b --json"),
)
@click.argument("name")
@output_options
def show(out: Output, name: str) -> None:
    """Show all that is known of one model.

    For what was set up: digests, Modelfile, what was measured against what was expected, and
    the version before. For any other model: what the server says of it.
    """
    from assistant.cli.models_server import server_view
    from assistant.cli.models_show import render_show, show_data
    from assistant.errors import OllamaError
    from assistant.provision.inventory import find_target
    from assistant.provision.ledger import read_ledger

    view = server_view(out)
    ledger = read_ledger()
    if view.problem is not None and not ledger.aliases:
        raise view.problem
    target = find_target(name, ledger, view.installed)
    shown = None
    if target.installed is not None:
        from assistant.ollama.client import OllamaClient

        try:
            with OllamaClient() as client:
                shown = client.show(target.installed.name)
        except OllamaError:
            if target.history is None:
                raise
    if view.problem is not None:
        out.note(view.said)
    out.result(
        lambda: show_data(target, view, shown),
        lambda: render_show(target, view, shown, width=out.width),
    )


@models.command(
    "history",
    epilog=examples("assistant models history", "assistant models history chat"),
)
@click.argument("name", required=False, metavar="[ROLE|ALIAS]")
@output_options
def history(out: Output, name: str | None) -> None:
    """Show the versions of what was set up, in time.

    The one in use is marked, the one that `assistant rollback` would bring back, and those whose
    base model is no longer on the server.
    """
    from assistant.cli.models_server import bases_of
    from assistant.cli.models_show import history_data, render_history
    from assistant.errors import UnknownModelError
    from assistant.provision.inventory import find_target
    from assistant.provision.ledger import read_ledger

    ledger = read_ledger()
    histories = ledger.aliases
    if name is not None:
        found = find_target(name, ledger, None).history
        if found is None:
            raise UnknownModelError(f"{name!r} was not set up by this program.")
        histories = (found,)
    bases = bases_of(out, ledger)
    out.result(
        lambda: history_data(histories, bases),
        lambda: render_history(histories, bases, width=out.width),
    )


@models.command(
    "check",
    epilog=examples("assistant models check", "assistant models check --offline --json"),
)
@offline_option
@output_options
def check(out: Output, offline: bool) -> None:
    """Check whether models moved since setup.

    Compares the ledger with the server (was an alias changed or removed, was its base pulled
    again) and with the registry (does the tag have other weights now; only the manifest is
    read). Ends with exit code 1 when an alias is missing or was changed; newer weights upstream
    are only told. --offline leaves the registry out.
    """
    from assistant.cli.models_checks import broken_aliases, check_data, render_check
    from assistant.cli.models_server import drifts_of
    from assistant.ollama.client import OllamaClient
    from assistant.provision.ledger import read_ledger

    entries = [found for each in read_ledger().aliases if (found := each.entry) is not None]
    with OllamaClient() as client:
        installed = client.installed_models()
    drifts = drifts_of(out, entries, installed, offline=offline)
    out.result(
        lambda: check_data(drifts),
        lambda: render_check(drifts, width=out.width),
        errors=broken_aliases(drifts),
        status="error" if any(drift.is_broken for drift in drifts) else "ok",
    )


@models.command(
    "remove",
    epilog=examples(
        "assistant models remove code",
        "assistant models remove code --with-base --yes",
        "assistant models remove qwen3:8b --dry-run",
    ),
)
@click.argument("name")
@click.option("--with-base", is_flag=True, help="Remove the base model too, if no other uses it.")
@yes_option
@dry_run_option
@output_options
def remove_command(out: Output, name: str, with_base: bool, yes: bool, dry_run: bool) -> None:
    """Remove a model from the server, and say what that frees.

    Files that other names use stay on disk. An alias keeps working when its base model goes.
    What was set up stays in `assistant models history`.
    """
    from assistant.cli.confirm import check_can_ask, confirmed
    from assistant.cli.models_checks import removal_data, removed_text, render_removal
    from assistant.cli.models_server import ledger_lock
    from assistant.ollama.client import OllamaClient
    from assistant.provision.removal import remove

    agreed = False
    with OllamaClient() as client, nullcontext() if dry_run else ledger_lock(out):
        removal = _removal(client, name, with_base=with_base)
        check_can_ask(out, yes=yes, dry_run=dry_run)
        if not dry_run:
            if not yes:
                out.note(render_removal(removal, width=out.width))
            agreed = confirmed("Remove it?", yes=yes)
        if agreed:
            remove(client, removal)
    declined = "" if dry_run else "Nothing was changed."
    out.result(
        lambda: removal_data(removal, done=agreed),
        lambda: (
            removed_text(removal, width=out.width)
            if agreed
            else declined or render_removal(removal, width=out.width)
        ),
    )


def _removal(client: OllamaClient, name: str, *, with_base: bool) -> Removal:
    from assistant.provision.inventory import find_target
    from assistant.provision.ledger import read_ledger
    from assistant.provision.removal import plan_removal

    ledger = read_ledger()
    target = find_target(name, ledger, client.installed_models())
    return plan_removal(client, ledger, target, with_base=with_base)

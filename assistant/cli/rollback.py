"""`assistant rollback`: the version before, or what was there before setup."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from assistant.cli.options import examples, output_options
from assistant.cli.output import Output

if TYPE_CHECKING:
    from assistant.provision.records import AliasHistory, Ledger


@click.command(
    "rollback",
    epilog=examples(
        "assistant rollback",
        "assistant rollback chat --dry-run",
        "assistant rollback chat --yes",
    ),
)
@click.argument("role", required=False, metavar="[ROLE|ALIAS]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show it, change nothing.")
@output_options
def rollback(out: Output, role: str | None, yes: bool, dry_run: bool) -> None:
    """Bring back the version before of what was set up.

    The alias is made again from the Modelfile that was kept; nothing is downloaded. Where a
    model of yours had the name before setup, it comes back; where nothing was, the alias goes.
    Without ROLE, what can be rolled back is listed. The last line says how to undo it.
    """
    from assistant.cli.rollback_text import (
        listed_data,
        render_listed,
        render_rollback,
        rollback_data,
        rolled_back_text,
    )
    from assistant.provision.ledger import read_ledger

    if role is None:
        from assistant.cli.models_server import bases_of

        ledger = read_ledger()
        bases = bases_of(out, ledger)
        out.result(
            lambda: listed_data(ledger.aliases, bases),
            lambda: render_listed(ledger.aliases, bases, width=out.width),
        )
        return
    from assistant.cli.confirm import check_can_ask, confirmed
    from assistant.cli.models_server import ledger_lock
    from assistant.ollama.client import OllamaClient
    from assistant.provision.undo import plan_rollback, roll_back

    _history(read_ledger(), role)
    check_can_ask(out, yes=yes, dry_run=dry_run)
    agreed = False
    with OllamaClient() as client, nullcontext() if dry_run else ledger_lock(out):
        ledger = read_ledger()
        plan = plan_rollback(client, ledger, _history(ledger, role))
        if not dry_run:
            if not yes:
                out.note(render_rollback(plan, width=out.width))
            elif plan.changed_outside:
                out.warning(f"{plan.alias} was changed since setup; that change is lost.")
            agreed = confirmed("Roll back?", yes=yes)
        if agreed:
            roll_back(client, plan, on_step=lambda step: _tell(out, f"{step} ..."))
    declined = "" if dry_run else "Nothing was changed."
    out.result(
        lambda: rollback_data(plan, done=agreed),
        lambda: (
            rolled_back_text(plan, width=out.width)
            if agreed
            else declined or render_rollback(plan, width=out.width)
        ),
    )


def _tell(out: Output, text: str) -> None:
    from assistant.cli.layout import paragraph

    out.note(paragraph(text, width=out.width))


def _history(ledger: Ledger, role: str) -> AliasHistory:
    """Return the history of a role or an alias.

    Raises:
        UnknownModelError: there is none; the hint offers near names.
    """
    from assistant.errors import UnknownModelError
    from assistant.provision.inventory import near_targets, role_named

    named = role_named(role)
    found = ledger.of_role(named) if named is not None else None
    found = found or ledger.of_alias(role.strip())
    if found is not None:
        return found
    if named is not None:
        raise UnknownModelError(
            f"nothing is set up for the role {named!r}, so there is nothing to roll back.",
            hint="See what can be rolled back with: assistant rollback",
        )
    near = near_targets(role, ledger)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See: assistant rollback"
    raise UnknownModelError(f"there is no role or alias {role!r} to roll back.", hint=hint)

"""Asking before something is changed: in a terminal only, never in a script."""

from __future__ import annotations

import sys

import click

from assistant.cli.output import Output
from assistant.errors import UsageError


def check_can_ask(out: Output, *, yes: bool, dry_run: bool = False) -> None:
    """Return when the question need not be asked, or there is a person to ask.

    Raises:
        UsageError: it must be asked, and there is no terminal (or the output is JSON).
    """
    if yes or dry_run:
        return
    if out.as_json or sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"'assistant {out.command}' asks before it changes anything, and nobody can answer "
            "here.",
            hint="Add --yes to agree beforehand, or --dry-run to see what it would do.",
        )


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether the person agrees; `yes` answers for them. The question goes to stderr."""
    return yes or click.confirm(question, default=False, err=True)

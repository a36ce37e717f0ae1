"""A group of commands that says which one was meant when there is none of the typed name."""

from __future__ import annotations

from typing import Final

import click

_OTHER_WORDS: Final = {
    "rm": "remove",
    "delete": "remove",
    "del": "remove",
    "uninstall": "remove",
    "ls": "list",
    "info": "show",
    "log": "history",
    "versions": "history",
    "verify": "check",
    "status": "check",
}
"""Words of other programs for what a command here does."""

_LIKENESS: Final = 0.6


class NearGroup(click.Group):
    """A group whose error for an unknown command names the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command as click does.

        Raises:
            click.UsageError: there is none; it says which one may be meant.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = self._near(ctx, args[0])
            if near is None:
                raise
            meant = f"{ctx.command_path} {near}"
            message = f"No such command {args[0]!r}. Did you mean: {meant}?"
            raise click.UsageError(message, ctx) from error

    def _near(self, ctx: click.Context, word: str) -> str | None:
        from difflib import get_close_matches

        known = self.list_commands(ctx)
        other = _OTHER_WORDS.get(word.lower())
        if other in known:
            return other
        return next(iter(get_close_matches(word.lower(), known, n=1, cutoff=_LIKENESS)), None)

"""`assistant completion SHELL`: the script that completes commands and options with Tab."""

from __future__ import annotations

import click

from assistant.cli.options import examples
from assistant.cli.output import Output

VARIABLE = "_ASSISTANT_COMPLETE"


@click.command(
    "completion",
    epilog=examples(
        'eval "$(assistant completion bash)"            # in ~/.bashrc',
        'eval "$(assistant completion zsh)"             # in ~/.zshrc',
        "assistant completion fish > ~/.config/fish/completions/assistant.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the shell's completion script."""
    from click.shell_completion import get_completion_class

    shell_class = get_completion_class(shell)
    if shell_class is None:
        raise click.UsageError(f"this version of click has no completion for {shell}.")
    script = shell_class(ctx.find_root().command, {}, "assistant", VARIABLE).source()
    Output("completion").print(script)

"""`assistant chat`: a private conversation with a model on the person's own server."""

from __future__ import annotations

import os
import sys

import click

from assistant.cli.options import examples, offline_option, output_options
from assistant.cli.output import Output

PLAIN_VARIABLE = "ASSISTANT_PLAIN"


@click.command(
    "chat",
    epilog=examples(
        "assistant chat",
        "assistant chat --role code --session parser",
        "assistant chat --continue",
        'assistant chat --no-save --system "Answer in one sentence."',
        'git diff | assistant chat --system "Write a commit message for this."',
    ),
)
@click.option(
    "--role", metavar="ROLE", help="The model that was set up for a role: chat, code, ..."
)
@click.option("--model", metavar="NAME", help="This installed model.")
@click.option("--session", metavar="NAME", help="The conversation of that name, begun if new.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@click.option("--system", metavar="TEXT|FILE", help="A system prompt, or the file it is in.")
@click.option("--no-save", is_flag=True, help="Leave nothing of this chat behind.")
@click.option("--allow-cloud", is_flag=True, help="Allow models that run in a cloud.")
@click.option(
    "--plain",
    is_flag=True,
    help=f"Only append text: for screen readers.  [{PLAIN_VARIABLE}=1]",
)
@offline_option
@output_options
def chat(
    out: Output,
    role: str | None,
    model: str | None,
    session: str | None,
    go_on: bool,
    system: str | None,
    no_save: bool,
    allow_cloud: bool,
    plain: bool,
    offline: bool,
) -> None:
    """Talk to a model on your own computer.

    Type a message, or /help for what else can be typed. Conversations are kept in a file that you
    alone can read. What comes from a pipe is answered once, on standard output. Only the server in
    OLLAMA_HOST is contacted.
    """
    if session is not None and go_on:
        raise click.UsageError("--session and --continue contradict each other.")
    from assistant.cli.chat_open import ChatRequest

    request = ChatRequest(
        model=model,
        role=role,
        session=session,
        go_on=go_on,
        system=system,
        no_save=no_save,
        allow_cloud=allow_cloud,
        offline=offline,
    )
    if out.is_terminal and sys.stdin is not None and sys.stdin.isatty():
        from assistant.cli.chat_loop import converse

        converse(out, request, plain=plain or _wants_plain())
        return
    from assistant.cli.chat_once import answer_once

    answer_once(out, request, plain=plain or _wants_plain())


def _wants_plain() -> bool:
    """Return whether the environment asks for plain mode, or the terminal knows nothing else."""
    asked = os.environ.get(PLAIN_VARIABLE, "") not in {"", "0"}
    return asked or os.environ.get("TERM", "").lower() in {"dumb", "unknown"}

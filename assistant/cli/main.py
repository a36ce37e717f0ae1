"""The `assistant` command, and the one place that turns exceptions into text and exit codes.

Exit codes: 0 done, 1 failed, 2 usage, 3 Ollama, 4 nothing fits, 5 partly done, 130 Ctrl-C.
`run` returns the code, `main` ends the process with it. Nothing heavy is imported here:
`assistant --help` costs little more than importing click.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import assistant
from assistant.cli import output
from assistant.cli.ask import ask
from assistant.cli.chat import chat
from assistant.cli.completion import completion
from assistant.cli.doctor import doctor
from assistant.cli.fit import fit
from assistant.cli.guides import guides
from assistant.cli.hardware import hardware
from assistant.cli.modelfile import modelfile
from assistant.cli.models import models
from assistant.cli.options import examples
from assistant.cli.recommend import recommend
from assistant.cli.rollback import rollback
from assistant.cli.setup import setup
from assistant.cli.tune import tune
from assistant.errors import AssistantError, FileProblemError, UsageError

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "assistant setup --dry-run",
        "assistant fit llama3.1:8b --num-ctx 32k",
        'assistant recommend --role code --machine "RTX 3060 12GB, 32GB RAM"',
        'assistant ask "what runs on my 8GB card?"',
    ),
)
@click.version_option(assistant.__version__, prog_name="assistant", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.  [ASSISTANT_DEBUG=1]")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:  # noqa: ARG001  --debug is looked for by `run`
    """Choose and run local language models that fit this computer.

    Without a command, a terminal opens the chat (`assistant chat`) where there is a model to talk
    to.
    """
    if ctx.invoked_subcommand is None:
        _without_command(ctx)


def _without_command(ctx: click.Context) -> None:
    """Open the chat in a terminal; show the help elsewhere, and where no chat can be opened."""
    out = output.Output("")
    if out.is_terminal and sys.stdin is not None and sys.stdin.isatty():
        try:
            ctx.invoke(chat)
        except AssistantError as error:
            if error.exit_code == output.INTERRUPTED_EXIT_CODE:
                raise
            out.print(ctx.get_help())
            hint = f"\n{error.hint}" if error.hint else ""
            out.note(f"\nNo chat: {error.message}{hint}")
        return
    out.print(ctx.get_help())


for command in (
    setup,
    hardware,
    fit,
    recommend,
    ask,
    guides,
    modelfile,
    models,
    tune,
    rollback,
    doctor,
    chat,
    completion,
):
    cli.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error is printed, none escapes."""
    try:
        return int(cli.main(list(arguments), prog_name="assistant", standalone_mode=False) or 0)
    except output.PipeClosedError:
        return 0
    except (click.Abort, KeyboardInterrupt):
        return _report(arguments, output.InterruptedByUserError("Stopped."))
    except click.ClickException as error:
        return _report(arguments, _usage_error(error, arguments))
    except AssistantError as error:
        _traceback_if_asked(arguments)
        return _report(arguments, error)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            return _report(arguments, _unexpected(error, arguments))
        output.discard_stdout()
        why = (error.strerror or str(error)).lower()
        return _report(arguments, FileProblemError(f"the output cannot be written: {why}."))
    except Exception as error:  # noqa: BLE001  the outermost layer explains everything
        return _report(arguments, _unexpected(error, arguments))


def main() -> NoReturn:
    """Run the command line of this process and end it."""
    sys.exit(run(sys.argv[1:]))


def _report(arguments: Sequence[str], error: AssistantError) -> int:
    try:
        if "--json" in _options(arguments):
            named = _named_command(arguments)
            output.write_json(output.envelope(named, {}, status="error", errors=[error]))
        else:
            output.write_error(error)
    except output.PipeClosedError:
        pass
    return error.exit_code


def _named_command(arguments: Sequence[str]) -> str:
    """Return the command that the arguments name, with the one of its group: `models show`."""
    words: list[str] = []
    group: click.Command = cli
    for argument in arguments:
        if isinstance(group, click.Group) and argument in group.commands:
            words.append(argument)
            group = group.commands[argument]
    return " ".join(words)


def _usage_error(error: click.ClickException, arguments: Sequence[str]) -> UsageError:
    """Return click's complaint as ours: a sentence, and the help to ask for."""
    ctx = getattr(error, "ctx", None)
    message = error.format_message().strip()
    message = message[:1].lower() + message[1:] if message[1:2].islower() else message
    named = _named_command(arguments)
    path = ctx.command_path if ctx is not None else f"assistant {named}".strip()
    return UsageError(message, hint=f"See: {path} --help")


def _unexpected(error: Exception, arguments: Sequence[str]) -> AssistantError:
    """Return an exception nobody foresaw as one sentence, after its traceback if asked for."""
    traceback_shown = _traceback_if_asked(arguments)
    said = str(error).strip().partition("\n")[0]
    name = type(error).__name__
    hint = "This is a defect of the program."
    if not traceback_shown:
        hint += " Run with --debug to see where it happened."
    return AssistantError(
        f"something unexpected went wrong ({name}{': ' + said if said else ''}).", hint=hint
    )


def _options(arguments: Sequence[str]) -> Sequence[str]:
    """Return the arguments before a bare `--`."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _traceback_if_asked(arguments: Sequence[str]) -> bool:
    """Show the traceback when --debug or ASSISTANT_DEBUG asks for it; return whether they did."""
    asked = os.environ.get("ASSISTANT_DEBUG", "") not in {"", "0"}
    if not asked and "--debug" not in _options(arguments):
        return False
    output.write_traceback()
    return True

"""The commands that can be typed in a chat, as data, and how a typed line is read.

A line that begins with `/` and a letter is a command; `//` at the beginning sends a message that
begins with `/`. What a command does is in `assistant.cli.chat_actions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from assistant.errors import UsageError

ArgumentKind = Literal["none", "model", "role", "session", "file", "format", "policy", "text"]

_TYPED: Final = re.compile(r"/(?P<name>[^\W\d_][\w-]*|\?)(?:\s+(?P<argument>.*))?", re.DOTALL)
_NEAR: Final = 0.7
_NOT_A_COMMAND: Final = "To send a message that begins with /, type // instead."


@dataclass(frozen=True, slots=True)
class ChatCommand:
    """One command: `argument` as the help shows it, `kind` what completes it.

    `needs_argument` is whether it can do nothing without one.
    """

    name: str
    help: str
    argument: str = ""
    kind: ArgumentKind = "none"
    aliases: tuple[str, ...] = ()
    needs_argument: bool = False

    @property
    def usage(self) -> str:
        """The command as it is typed, with its argument."""
        return f"/{self.name} {self.argument}".rstrip()


COMMANDS: Final[tuple[ChatCommand, ...]] = (
    ChatCommand("help", "the commands and keys", "[COMMAND]", "text", ("h", "?")),
    ChatCommand("model", "show or change the model", "[NAME]", "model"),
    ChatCommand("role", "show or change the role: chat, code, ...", "[ROLE]", "role"),
    ChatCommand("system", "show or change the system prompt; - removes it", "[TEXT|-]", "text"),
    ChatCommand(
        "context",
        "how full the context is; what happens when it is",
        "[summarise|drop]",
        "policy",
        ("ctx",),
    ),
    ChatCommand(
        "file",
        "a file for the next message; --split cuts it, - drops it",
        "[[--split] PATH|-]",
        "file",
        ("attach",),
    ),
    ChatCommand(
        "guides",
        "answer from the guides and tools, checked",
        "QUESTION",
        "text",
        needs_argument=True,
    ),
    ChatCommand("retry", "ask the last question again"),
    ChatCommand("edit", "take the last question back and change it"),
    ChatCommand("undo", "take the last question and answer back"),
    ChatCommand("copy", "copy the last answer, or its code block N", "[N]", "text", ("cp",)),
    ChatCommand("save", "name this conversation", "NAME", "text", needs_argument=True),
    ChatCommand("export", "write it to a file: md or json", "[md|json] [FILE]", "format"),
    ChatCommand("import", "read a conversation from a JSON export", "FILE", "file",
                needs_argument=True),
    ChatCommand("sessions", "list conversations, or go to one", "[NAME]", "session", ("session",)),
    ChatCommand("search", "search all conversations", "WORDS", "text", ("find",),
                needs_argument=True),
    ChatCommand("new", "begin a new conversation", aliases=("clear",)),
    ChatCommand("forget", "delete this conversation, or all, for good", "[all]", "text"),
    ChatCommand("stats", "answers, tokens and speed so far"),
    ChatCommand("think", "keep the model's thinking open, or fold it"),
    ChatCommand("exit", "end the chat (also Ctrl-D)", aliases=("quit", "bye", "q")),
)  # fmt: skip

KEYS: Final[tuple[tuple[str, str], ...]] = (
    ("Enter", "send"),
    ("Alt-Enter", "a new line; so does a \\ at the end of one"),
    ("Up, Ctrl-R", "earlier messages; search them"),
    ("Tab", "complete a command, a name or a file"),
    ("Ctrl-C", "stop the answer, or clear the line"),
    ("Ctrl-D", "end the chat"),
)


class UnknownCommandError(UsageError):
    """A line begins with a command that does not exist."""

    code = "unknown_chat_command"


class MissingArgumentError(UsageError):
    """A command was typed without what it needs."""

    code = "missing_chat_argument"


@dataclass(frozen=True, slots=True)
class TypedCommand:
    """A command as it was typed; `argument` is what follows it, without space around."""

    command: ChatCommand
    argument: str


def parse_line(line: str) -> TypedCommand | str:
    """Return the command that a line is, or the message to send.

    What begins with a path, such as `/etc/hosts is empty`, is a message.

    Raises:
        UnknownCommandError: it looks like a command, and there is none of that name.
        MissingArgumentError: the command needs an argument and has none.
    """
    text = line.strip()
    if text.startswith("//"):
        return text[1:]
    if text == "/":
        raise UnknownCommandError("/ alone is no command.", hint="Did you mean /help?")
    match = _TYPED.fullmatch(text)
    if match is None:
        return text
    command = find_command(match["name"])
    argument = (match["argument"] or "").strip()
    if command.needs_argument and not argument:
        raise MissingArgumentError(
            f"/{command.name} needs {command.argument}.", hint=f"Type: {command.usage}"
        )
    return TypedCommand(command, argument)


def find_command(name: str) -> ChatCommand:
    """Return the command of that name or alias, in any case, with or without `/`.

    Raises:
        UnknownCommandError: there is none; the hint offers near names.
    """
    wanted = name.strip().removeprefix("/").lower()
    for command in COMMANDS:
        if wanted == command.name or wanted in command.aliases:
            return command
    begun = [f"/{c.name}" for c in COMMANDS if len(wanted) > 1 and c.name.startswith(wanted)]
    names = [n for command in COMMANDS for n in (command.name, *command.aliases) if len(n) > 1]
    close = get_close_matches(wanted, names, n=2, cutoff=_NEAR)
    near = begun or list(dict.fromkeys(f"/{find_command(name).name}" for name in close))
    hint = f"Did you mean {' or '.join(near)}?" if near else "/help lists the commands."
    raise UnknownCommandError(f"there is no command /{wanted}.", hint=f"{hint} {_NOT_A_COMMAND}")


def render_help(name: str = "", *, width: int = 80) -> str:
    """Return the help for one command, or the list of all with the keys.

    Raises:
        UnknownCommandError: there is no command of that name.
    """
    from assistant.cli.layout import paragraph, table

    if name:
        command = find_command(name)
        also = ", ".join(f"/{alias}" for alias in command.aliases)
        told = f"{command.usage}: {command.help}.{f' Also: {also}.' if also else ''}"
        return paragraph(told, width=width)
    rows = [(command.usage, command.help) for command in COMMANDS]
    shown = [*rows, *KEYS]
    if width >= max(len(left) for left, _ in shown) + 2 + 28:
        return f"{table((), rows, width=width, indent='')}\n\n{_keys(rows, width)}"
    narrow = [f"{left}\n{paragraph(right, width=width, indent='  ')}" for left, right in shown]
    return "\n".join([*narrow[: len(rows)], "", *narrow[len(rows) :]])


def _keys(rows: list[tuple[str, str]], width: int) -> str:
    """Return the table of keys, its columns where those of the commands are."""
    from assistant.cli.layout import table

    column = max(len(left) for left, _ in rows)
    return table((), [(left.ljust(column), right) for left, right in KEYS], width=width, indent="")


def ends_in_backslash(line: str) -> bool:
    r"""Return whether a line goes on in the next: it ends in a `\` that no `\` escapes."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def needs_more(line: str) -> bool:
    """Return whether a line is a command whose argument is still to come, by need or by rule."""
    try:
        typed = parse_line(line)
    except MissingArgumentError:
        return True
    except UnknownCommandError:
        return False
    return isinstance(typed, TypedCommand) and typed.command.kind == "file" and not typed.argument

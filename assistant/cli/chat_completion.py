"""What Tab offers in a chat: commands, models, roles, conversations and files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from assistant.cli.chat_commands import COMMANDS, ArgumentKind, UnknownCommandError, find_command

MOST_FILES: Final = 200
_COMMAND: Final = re.compile(r"/(?P<name>[\w?-]*)(?P<space>\s+)?(?P<argument>.*)", re.DOTALL)
_FORMATS: Final = (("md", "Markdown, to read"), ("json", "JSON, to bring back with /import"))
_POLICIES: Final = (
    ("summarise", "older turns are summarised"),
    ("drop", "older turns are left out"),
)


class Names(Protocol):
    """Where the names come from; each is asked when it is needed."""

    def models(self) -> Sequence[str]:
        """The models that can be chosen."""

    def roles(self) -> Sequence[tuple[str, str]]:
        """The roles, each with what it is for."""

    def sessions(self) -> Sequence[tuple[str, str]]:
        """The conversations: name or number, and what they are about."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One offer: `text` takes the place of the last `replaces` characters; `help` explains it."""

    text: str
    replaces: int
    help: str = ""


def candidates(text: str, names: Names) -> Iterator[Candidate]:
    """Yield what may stand at the end of `text`, which is all before the cursor."""
    match = _COMMAND.fullmatch(text)
    if match is None:
        return
    if match["space"] is None:
        typed = match["name"].lower()
        for command in COMMANDS:
            if command.name.startswith(typed):
                yield Candidate(f"/{command.name}", len(text), command.help)
        return
    try:
        kind = find_command(match["name"]).kind
    except UnknownCommandError:
        return
    yield from _arguments(kind, match["argument"], names)


def _arguments(kind: ArgumentKind, typed: str, names: Names) -> Iterator[Candidate]:
    if kind == "file":
        yield from _files(typed.removeprefix("--split ").lstrip())
        return
    if kind == "format" and " " in typed:
        yield from _files(typed.partition(" ")[2].lstrip())
        return
    offered: Sequence[tuple[str, str]] = ()
    if kind == "model":
        offered = [(name, "") for name in names.models()]
    elif kind == "role":
        offered = names.roles()
    elif kind == "session":
        offered = names.sessions()
    elif kind == "format":
        offered = _FORMATS
    elif kind == "policy":
        offered = _POLICIES
    wanted = typed.lower()
    begins = [each for each in offered if each[0].lower().startswith(wanted)]
    within = [each for each in offered if wanted in each[0].lower() and each not in begins]
    for name, told in (*begins, *within):
        yield Candidate(name, len(typed), told)


def _files(typed: str) -> Iterator[Candidate]:
    """Yield the files and folders that a path may go on with; hidden ones when asked for."""
    folder, _, begun = typed.rpartition("/")
    where = os.path.expanduser(f"{folder}/" if folder or typed.startswith("/") else ".")  # noqa: PTH111  Path would lose the last slash
    try:
        with os.scandir(where) as entries:
            found = sorted(
                (entry.name + ("/" if entry.is_dir() else ""))
                for entry in entries
                if entry.name.lower().startswith(begun.lower())
                and (begun.startswith(".") or not entry.name.startswith("."))
            )
    except OSError:
        return
    for name in found[:MOST_FILES]:
        yield Candidate(name, len(begun), "folder" if name.endswith("/") else "")

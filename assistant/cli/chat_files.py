"""The commands of a chat that touch files and the clipboard: /file, /copy, /export, /import."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assistant.errors import FileProblemError, UsageError
from assistant.files import OWNER_ONLY

if TYPE_CHECKING:
    from assistant.chat.records import Attachment, Conversation
    from assistant.cli.chat_state import Chat

_SPLIT = "--split"
_MOST_NAMES = 1000
MOST_PARTS = 50
"""A file in more parts than this takes more messages than anybody types."""


def attach_file(chat: Chat, argument: str) -> None:
    """/file: a file for the next message, `--split` in parts; alone what there is, `-` drops it."""
    from assistant.chat.chat_problems import FileTooLargeError

    if argument in {"", "-"}:
        _list_files(chat) if not argument else _drop_files(chat)
        return
    split = argument == _SPLIT or argument.startswith(f"{_SPLIT} ")
    named = argument.removeprefix(_SPLIT).strip() if split else argument
    if not named:
        raise UsageError("/file --split needs a file.", hint="Type: /file --split PATH")
    path = path_of(named)
    if split:
        first, *parts = _split(chat, path)
        if parts:
            chat.attachments.append(first)
            chat.parts = parts
            chat.tell(
                f"{path.name} is in {len(parts) + 1} parts. Type a message; part 1 goes with it."
            )
            return
    else:
        try:
            first = chat.working(f"reading {path.name}", lambda: chat.session.read_file(path))
        except FileTooLargeError as error:
            if error.attachment is not None:
                error.hint = f"Send it in parts: /file --split {named}"
            raise
    if first in chat.attachments:
        chat.tell(f"{first.name} is attached already.")
        return
    chat.attachments.append(first)
    chat.tell(f"{_with_size(first)}, goes with the next message.")


def _split(chat: Chat, path: Path) -> tuple[Attachment, ...]:
    """Return a file in parts.

    Raises:
        UsageError: there would be too many to send.
    """
    parts = chat.working(f"splitting {path.name}", lambda: chat.session.split_file(path))
    if len(parts) > MOST_PARTS:
        raise UsageError(
            f"{path.name} would be in {len(parts):,} parts, a message each; {MOST_PARTS} are the "
            "most.",
            hint="Send the piece of it that matters, or use a model with a longer context.",
        )
    return parts


def _list_files(chat: Chat) -> None:
    if not chat.attachments:
        chat.tell("No file is attached. Type: /file PATH")
        return
    told = "; ".join(map(_with_size, chat.attachments))
    verb = "goes" if len(chat.attachments) == 1 else "go"
    later = len(chat.parts)
    more = f", {later} more part{'s' * (later != 1)} with those after it" if later else ""
    chat.tell(f"{told}: {verb} with the next message{more}. /file - drops this.")


def _drop_files(chat: Chat) -> None:
    names = ", ".join(file.name for file in chat.attachments)
    chat.attachments, chat.parts = [], []
    chat.tell(f"Dropped: {names}." if names else "No file is attached.")


def _with_size(file: Attachment) -> str:
    return file.name if file.tokens is None else f"{file.name}, about {file.tokens:,} tokens"


def copy_answer(chat: Chat, argument: str) -> None:
    """/copy: the last answer, or its code block of that number, to the clipboard."""
    from assistant.cli.chat_stream import code_blocks

    messages = chat.session.conversation.messages
    answer = next((m.content for m in reversed(messages) if m.speaker == "assistant"), None)
    if answer is None:
        raise UsageError("there is no answer to copy yet.", hint="Ask something first.")
    if not argument:
        _copy(chat, answer, "The answer")
        return
    codes = code_blocks(answer)
    if not argument.isdecimal() or not 1 <= int(argument) <= len(codes):
        has = f"{len(codes)} code block{'s' * (len(codes) != 1)}" if codes else "no code block"
        raise UsageError(
            f"the last answer has {has}; {argument!r} is none of its numbers.",
            hint="/copy copies the whole answer.",
        )
    _copy(chat, codes[int(argument) - 1], f"Code {int(argument)}")


def _copy(chat: Chat, text: str, what: str) -> None:
    from assistant.cli.chat_copy import clipboard_program, copy_with, osc52

    program = clipboard_program()
    count = len(text.splitlines())
    copied = f"{what} is copied, {count} line{'s' * (count != 1)}"
    if program is not None and copy_with(program, text):
        chat.tell(f"{copied}.")
        return
    code = None if os.environ.get("TERM") == "dumb" else osc52(text)
    if code is None:
        raise UsageError(
            f"{what.lower()} cannot be copied: no program for the clipboard is here"
            f"{', and it is too long for the terminal' * (os.environ.get('TERM') != 'dumb')}.",
            hint="Install wl-clipboard or xclip, or write it to a file with /export.",
        )
    chat.out.write(code)
    chat.tell(f"{copied}, if this terminal allows that (OSC 52).")


def export_conversation(chat: Chat, argument: str) -> None:
    """/export: this conversation in a file of the folder that the chat was started in."""
    from assistant.chat.export import export_name, to_json, to_markdown

    form, _, named = argument.partition(" ")
    suffix: Literal["md", "json"] = "md"
    if form.lower() in {"md", "markdown"}:
        suffix = "md"
    elif form.lower() == "json":
        suffix = "json"
    elif argument:
        if not _names_file(argument):
            raise UsageError(
                f"{argument!r} is neither md or json nor a file's name with its ending.",
                hint="Type: /export md or /export json",
            )
        named = argument
        suffix = "json" if argument.lower().endswith(".json") else "md"
    conversation = chat.session.conversation
    if not conversation.messages:
        raise UsageError("there is nothing to export yet.", hint="Ask something first.")
    text = to_json(conversation) if suffix == "json" else to_markdown(conversation)
    wanted = path_of(named.strip()) if named.strip() else Path(export_name(conversation, suffix))
    if wanted.is_dir():
        wanted /= export_name(conversation, suffix)
    path = _write_new(wanted, text, suffix)
    chat.tell(f"Written to {path}, readable by you alone.")


def import_file(chat: Chat, argument: str) -> None:
    """/import: a conversation from a JSON export, as a new one that is opened."""
    from assistant.chat.export import from_json
    from assistant.cli.chat_actions import go_to

    path = path_of(argument)
    try:
        conversation = from_json(path.read_text("utf-8"))
    except OSError as error:
        raise FileProblemError(
            f"{str(path)!r} cannot be read: {(error.strerror or str(error)).lower()}.",
            hint="Name a file that /export json wrote.",
        ) from error
    except UnicodeError as error:
        raise FileProblemError(
            f"{str(path)!r} is not text.", hint="Name a file that /export json wrote."
        ) from error
    go_to(chat, _added(chat, conversation))


def _added(chat: Chat, conversation: Conversation) -> Conversation:
    return chat.opened.store.add(conversation)


def path_of(typed: str) -> Path:
    """Return the path that was typed: as it stands if that is there, else as a shell reads it.

    Terminals paste the name of a file that is dropped on them in quotes or with backslashes.
    """
    plain = _expanded(typed)
    try:
        if plain.exists():
            return plain
        words = shlex.split(typed)
    except (OSError, ValueError):
        return plain
    return _expanded(words[0]) if len(words) == 1 and words[0] != typed else plain


def _expanded(typed: str) -> Path:
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # `~somebody` who is not here
        return Path(typed)


def _names_file(typed: str) -> bool:
    """Return whether a text is a path: it has a separator or an ending, or is a folder."""
    return "/" in typed or os.sep in typed or bool(Path(typed).suffix) or path_of(typed).is_dir()


def _write_new(path: Path, text: str, suffix: str) -> Path:
    """Write a file that was not there: beside one of that name, it gets a number.

    Raises:
        FileProblemError: it cannot be written.
    """
    command = f"/export {suffix}"
    for number in range(1, _MOST_NAMES):
        tried = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            descriptor = os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode("utf-8", "replace"))
        except FileExistsError:
            continue
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise FileProblemError(
                f"{str(tried)!r} cannot be written: {why.lower()}.",
                hint=f"Name another file: {command} FILE",
            ) from error
        return tried
    raise FileProblemError(
        f"there are too many files like {str(path)!r}.",
        hint=f"Name another file: {command} FILE",
    )

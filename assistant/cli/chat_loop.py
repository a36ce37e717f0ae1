"""The conversation in a terminal: a prompt, a turn or a command, and the prompt again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from assistant.cli.chat_actions import ACTIONS, installed_models, show_resumed
from assistant.cli.chat_commands import parse_line
from assistant.cli.chat_history import FILE_NAME, TypedHistory
from assistant.cli.chat_keys import quiet_keys
from assistant.cli.chat_open import ChatRequest, OpenedChat, base_model
from assistant.cli.chat_roles import chat_roles
from assistant.cli.chat_state import Chat
from assistant.cli.chat_text import render_opening, render_status
from assistant.cli.layout import paragraph
from assistant.errors import AssistantError

if TYPE_CHECKING:
    from assistant.cli.output import Output

_KEYS = "/help lists the commands; Ctrl-D ends the chat."
_MOST_SESSIONS = 100


class Reader(Protocol):
    """Reads what is typed."""

    def read(self, default: str = "") -> str:
        """Return a message or command; EOFError at its end, KeyboardInterrupt on Ctrl-C."""


def converse(out: Output, request: ChatRequest, *, plain: bool) -> None:
    """Hold a conversation until the person ends it.

    Raises:
        AssistantError: it cannot begin; what goes wrong later is said, and the chat goes on.
    """
    early: list[str] = []
    listeners: list[Callable[[str], None]] = [early.append]

    def tell(text: str) -> None:
        listeners[-1](text)

    with quiet_keys():
        opened = OpenedChat(request, on_note=tell)
    with contextlib.closing(opened):
        history = TypedHistory(
            None if request.no_save else _history_file(),
            conversation=lambda: opened.conversation_id,
        )
        chat = Chat(out, opened, history=history, plain=plain)
        listeners.append(chat.note)
        with quiet_keys():
            _open(chat, early)
            reader = _reader(chat)
        threading.Thread(target=_warm_up, args=(plain,), daemon=True).start()
        while not chat.is_over:
            with contextlib.suppress(KeyboardInterrupt):  # one more than was needed
                _one_round(chat, reader)
        _close(chat)


def _history_file() -> Path:
    from assistant.paths import data_folder

    return data_folder() / FILE_NAME


def _open(chat: Chat, early: Sequence[str]) -> None:
    session, saved = chat.session, not chat.opened.request.no_save
    opening = render_opening(
        session.model,
        session.address,
        base=base_model(session.model.name),
        saved=saved,
        width=chat.width,
    )
    chat.out.print(opening)
    chat.say(chat.out.style(paragraph(_KEYS, width=chat.width), dim=True))
    for text in early:
        chat.note(text)
    if chat.opened.is_resumed:
        show_resumed(chat)


def _one_round(chat: Chat, reader: Reader) -> None:
    draft, chat.draft = chat.draft, ""
    chat.usage = chat.session.usage()
    try:
        line = reader.read(draft)
    except EOFError:
        if chat.plain:
            chat.out.write("\n")
        chat.is_over = True
        return
    except KeyboardInterrupt:
        chat.out.write("\n")
        chat.tell("Ctrl-D or /exit ends the chat.")
        return
    finally:
        chat.notice = ""
    if not line.strip():
        return
    chat.space()
    try:
        typed = parse_line(line)
        if isinstance(typed, str):
            chat.ask(typed)
        else:
            ACTIONS[typed.command.name](chat, typed.argument)
    except AssistantError as error:
        chat.fail(error)
    except KeyboardInterrupt:
        chat.tell("Stopped.")


def _close(chat: Chat) -> None:
    conversation = chat.session.conversation
    if chat.opened.request.no_save or not conversation.messages:
        return
    how = "--continue"
    if conversation.name is not None:
        import shlex

        how = f"--session {shlex.quote(conversation.name)}"
    chat.out.print(chat.out.style(f"Go on with: assistant chat {how}", dim=True))


def _reader(chat: Chat) -> Reader:
    if chat.plain:
        from assistant.cli.chat_plain import PlainReader

        return PlainReader(chat.history)
    from assistant.cli.chat_prompt import LineEditor

    return LineEditor(
        history=chat.history,
        names=_Names(chat),
        status=lambda columns: _status(chat, columns),
        on_key=lambda: _take_notice_away(chat),
        color=chat.out.color,
    )


def _take_notice_away(chat: Chat) -> None:
    chat.notice = ""


def _status(chat: Chat, columns: int) -> str:
    if chat.notice:
        return paragraph(chat.notice, width=columns - 1)
    session = chat.session
    return render_status(
        session.model.name,
        chat.usage,
        tokens_per_s=chat.tokens_per_s,
        attached=len(chat.attachments),
        width=columns - 1,
    )


def _warm_up(plain: bool) -> None:
    """Import what the first answer needs while the first question is typed."""
    from importlib import import_module

    shows = "chat_plain" if plain else "chat_answer"
    for name in ("assistant.ollama.chat", f"assistant.cli.{shows}"):
        import_module(name)


class _Names:
    """The names that Tab offers."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def models(self) -> Sequence[str]:
        return installed_models(self._chat)

    def roles(self) -> Sequence[tuple[str, str]]:
        return chat_roles()

    def sessions(self) -> Sequence[tuple[str, str]]:
        try:
            infos = self._chat.opened.store.infos(limit=_MOST_SESSIONS)
        except AssistantError:
            return ()
        return [(info.name or f"#{info.id}", info.title) for info in infos]

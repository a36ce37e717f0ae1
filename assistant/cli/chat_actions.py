"""What the commands of a chat do. Each takes the chat and what was typed after its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from assistant.cli.chat_commands import render_help
from assistant.cli.chat_files import attach_file, copy_answer, export_conversation, import_file
from assistant.cli.chat_roles import chat_role, chat_roles
from assistant.cli.chat_text import (
    render_hits,
    render_resumed,
    render_sessions,
    render_stats,
    render_usage,
    shown_model,
    where,
)
from assistant.cli.confirm import confirmed
from assistant.cli.layout import paragraph
from assistant.errors import AssistantError, UsageError

if TYPE_CHECKING:
    from assistant.chat.own_model import OwnModel
    from assistant.chat.records import Conversation, Message
    from assistant.cli.chat_state import AnswerView, Chat

Action = Callable[["Chat", str], None]
_LONGEST_SHOWN: Final = 60


def show_help(chat: Chat, name: str) -> None:
    """/help: the commands and keys, or one command."""
    chat.say(render_help(name, width=chat.width))


def model(chat: Chat, name: str) -> None:
    """/model: which model answers; with a name, another one from here on."""
    if name:
        _tell_model(chat, chat.session.use_model(name))
        return
    at = chat.session.model
    told = f"{shown_model(at.name)} answers ({at.why}); {where(at, chat.session.address)}."
    others = [n for n in installed_models(chat) if n != shown_model(at.name)]
    if others:
        told += f" Also installed: {', '.join(others)}."
    chat.tell(told)


def role(chat: Chat, name: str) -> None:
    """/role: which role the conversation has; with a name, the model set up for that one."""
    if name:
        _tell_model(chat, chat.session.use_role(chat_role(name)))
        return
    at = chat.session.conversation.role or "chat"
    names = ", ".join(each for each, _ in chat_roles())
    chat.tell(f"The role is {at}. There are {names}.")


def system(chat: Chat, text: str) -> None:
    """/system: the system prompt; a text sets it, `-` goes back to the model's own."""
    if text == "-":
        chat.session.use_system(None)
        chat.tell("The system prompt is the model's own again.")
    elif text:
        chat.session.use_system(text)
        chat.tell("The system prompt is set for this conversation.")
    else:
        own = chat.session.conversation.system
        shown = own or chat.session.model.system
        whose = "of this conversation" if own else "of the model"
        if shown:
            chat.tell(f"The system prompt {whose}: {shown}")
        else:
            chat.tell("There is no system prompt. /system TEXT sets one.")


def context(chat: Chat, policy: str) -> None:
    """/context: how full it is; `summarise` or `drop` is what happens to older turns."""
    wanted = policy.lower()
    if wanted in {"summarise", "summarize"}:
        chat.session.policy = "summarise"
    elif wanted == "drop":
        chat.session.policy = "drop"
    elif wanted:
        raise UsageError(
            f"{policy!r} is nothing that can happen to older turns.",
            hint="Type: /context summarise or /context drop",
        )
    chat.say(render_usage(chat.session.usage(), chat.session.policy, width=chat.width))


def guides(chat: Chat, question: str) -> None:
    """/guides: an answer from the guides and tools, checked."""

    def run(view: AnswerView) -> Message:
        answer = chat.session.ask_guides(question)
        if answer.content:
            view.text(_laid_out(answer))
        return answer

    chat.turn(run, waiting=lambda: "looking that up and checking it")


def retry(chat: Chat, _argument: str) -> None:
    """/retry: the last question again."""
    chat.turn(lambda view: chat.session.retry(on_text=view.text, on_thinking=view.thinking))


def edit(chat: Chat, _argument: str) -> None:
    """/edit: the last question comes back into the prompt."""
    chat.draft = chat.session.edit_last()
    chat.attachments = list(chat.session.kept_attachments)
    chat.tell("Taken back; change it and press Enter.")


def undo(chat: Chat, _argument: str) -> None:
    """/undo: the last question and its answer are gone."""
    removed = chat.session.undo()
    chat.tell(f"Taken back: {_short(removed[0].content)!r}{' and its answer' * (len(removed) > 1)}")


def save(chat: Chat, name: str) -> None:
    """/save: a name for this conversation."""
    if chat.opened.request.no_save:
        raise UsageError(
            "nothing of this chat is saved (--no-save).", hint="/export writes it to a file."
        )
    chat.opened.store.rename(chat.session.conversation.id, name)
    chat.tell(f"This conversation is called {name!r}: assistant chat --session {_quoted(name)}")


def sessions(chat: Chat, name: str) -> None:
    """/sessions: what is kept; with a name or number, go there."""
    store = chat.opened.store
    if name:
        go_to(chat, store.find(name))
        return
    now = datetime.now().astimezone()
    current = chat.session.conversation.id
    chat.say(render_sessions(store.infos(), current=current, now=now, width=chat.width))


def search(chat: Chat, words: str) -> None:
    """/search: the messages that have all these words."""
    chat.say(render_hits(chat.opened.store.search(words), words, width=chat.width))


def new(chat: Chat, _argument: str) -> None:
    """/new: a new conversation; this one is kept."""
    chat.opened.begin()
    chat.attachments, chat.parts = [], []
    chat.tell("A new conversation.")


def forget(chat: Chat, what: str) -> None:
    """/forget: this conversation, or all, deleted for good, with the lines typed in it."""
    if what.lower() not in {"", "all"}:
        raise UsageError(
            f"/forget deletes this conversation, or all; {what!r} is neither.",
            hint="Go to a conversation with /sessions, then type: /forget",
        )
    store, conversation = chat.opened.store, chat.session.conversation
    is_all = bool(what)
    asked = "all conversations" if is_all else f"{_short(conversation.shown_name)!r}"
    agreed = _agreed(f"Delete {asked} for good?")
    chat.space()
    if not agreed:
        chat.tell("Nothing was deleted.")
        return
    chat.attachments, chat.parts = [], []
    if is_all:
        chat.history.forget()
        count = store.forget_all()
        chat.opened.begin()
        chat.tell(f"{count} conversation{'s' * (count != 1)} deleted. This is a new one.")
        return
    said = {m.content for m in conversation.messages if m.speaker == "user"}
    chat.history.forget(said, conversation=conversation.id)
    store.forget(conversation.id)
    chat.opened.begin()
    chat.tell("Deleted. This is a new conversation.")


def stats(chat: Chat, _argument: str) -> None:
    """/stats: what this sitting took."""
    chat.say(render_stats(chat.session.stats(), width=chat.width))


def think(chat: Chat, _argument: str) -> None:
    """/think: thinking stays open, or is folded; the last one is shown when it opens."""
    chat.keep_thinking = not chat.keep_thinking
    if not chat.keep_thinking:
        chat.tell("Thinking is folded into one line.")
        return
    last = _last_answer(chat.session.conversation)
    if last is not None and last.thinking:
        lines = last.thinking.strip().split("\n")
        shown = "\n".join(paragraph(line, width=chat.width) for line in lines)
        chat.say(shown, dim=True)
    chat.tell("Thinking stays open from now on; /think folds it again.")


def leave(chat: Chat, _argument: str) -> None:
    """/exit: the chat ends."""
    chat.is_over = True


def go_to(chat: Chat, conversation: Conversation) -> None:
    """Open a conversation and show where it stands."""
    chat.opened.go_to(conversation)
    chat.attachments, chat.parts = [], []
    show_resumed(chat)


def show_resumed(chat: Chat) -> None:
    """Show which conversation is gone on with, and its last turn."""
    conversation = chat.session.conversation
    chat.tell(render_resumed(conversation))
    spoken = [m for m in conversation.messages if m.speaker != "system"]
    if not spoken:
        return
    last, you = spoken[-1], "You: " if chat.plain else "> "
    if last.speaker == "user":
        chat.say(paragraph(f"{you}{_short(last.content)}", width=chat.width))
        chat.tell("It has no answer yet; /retry asks again.")
        return
    if len(spoken) > 1:
        chat.say(paragraph(f"{you}{_short(spoken[-2].content)}", width=chat.width))

    def run(view: AnswerView) -> Message:
        view.text(_laid_out(last))
        return last

    chat.turn(run)


def installed_models(chat: Chat) -> tuple[str, ...]:
    """Return the models that can answer, without those of a cloud; none if nobody answers."""
    from assistant.agent.model_choice import is_cloud
    from assistant.errors import OllamaError

    try:
        found = chat.opened.client.installed_models()
    except OllamaError:
        return ()
    allowed = chat.opened.request.allow_cloud
    named = (m.name for m in found if allowed or not is_cloud(m))
    return tuple(shown_model(name) for name in named if _can_chat(chat, name))


def _can_chat(chat: Chat, name: str) -> bool:
    """Return whether a model writes answers; True where the server does not say."""
    if name not in chat.can_chat:
        try:
            capabilities = chat.opened.client.show(name).capabilities
        except AssistantError:
            return True
        chat.can_chat[name] = "completion" in capabilities and "embedding" not in capabilities
    return chat.can_chat[name]


def _laid_out(answer: Message) -> str:
    """Return an answer's Markdown; one from the guides flows instead of keeping their lines."""
    if answer.kind != "grounded":
        return answer.content
    from assistant.cli.chat_stream import reflowed

    return reflowed(answer.content)


def _tell_model(chat: Chat, found: OwnModel) -> None:
    about = "" if found.num_ctx_is_exact else "about "
    chat.tell(
        f"{shown_model(found.name)} answers from here on ({found.why}), with "
        f"{about}{found.num_ctx:,} tokens of context; {where(found, chat.session.address)}."
    )
    chat.announced_num_ctx = found.num_ctx
    messages = chat.session.conversation.messages
    files = [*chat.attachments, *(file for m in messages for file in m.attachments)]
    pictures = list(dict.fromkeys(file.name for file in files if file.kind == "image"))
    if pictures and not found.sees_images:
        it = "it is" if len(pictures) == 1 else "they are"
        chat.tell(f"It cannot see pictures: {', '.join(pictures)}; {it} not sent to it.")


def _last_answer(conversation: Conversation) -> Message | None:
    return next((m for m in reversed(conversation.messages) if m.speaker == "assistant"), None)


def _agreed(question: str) -> bool:
    try:
        return confirmed(question, yes=False)
    except click.Abort:
        return False


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 3].rstrip()}..."


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(name)


ACTIONS: Final[Mapping[str, Action]] = {
    "help": show_help,
    "model": model,
    "role": role,
    "system": system,
    "context": context,
    "file": attach_file,
    "guides": guides,
    "retry": retry,
    "edit": edit,
    "undo": undo,
    "copy": copy_answer,
    "save": save,
    "export": export_conversation,
    "import": import_file,
    "sessions": sessions,
    "search": search,
    "new": new,
    "forget": forget,
    "stats": stats,
    "think": think,
    "exit": leave,
}

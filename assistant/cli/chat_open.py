"""Opening a chat: server, store, conversation and model, from what was asked for."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.cli.chat_roles import chat_role
from assistant.cli.clock import now
from assistant.cli.options import detect_this_machine
from assistant.errors import FileProblemError, UnknownModelError, UsageError

if TYPE_CHECKING:
    from assistant.chat.own_model import OwnModel
    from assistant.chat.records import Conversation
    from assistant.chat.session import ChatSession
    from assistant.chat.store import ConversationStore
    from assistant.ollama.client import OllamaClient


_NUMBER = re.compile(r"#\d+")
_PATH = re.compile(r"(?:/|\./|\.\./|~).*|\S.*\.(?:txt|md)")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the command line asks for; None or False where it does not say.

    `session` names a conversation, `go_on` means the last one. `system` is a text, or the name
    of a file that holds it.
    """

    model: str | None = None
    role: str | None = None
    session: str | None = None
    go_on: bool = False
    system: str | None = None
    no_save: bool = False
    allow_cloud: bool = False
    offline: bool = False


class OpenedChat:
    """A server, a store and the session that is open; close it when the chat ends."""

    def __init__(self, request: ChatRequest, *, on_note: Callable[[str], None]) -> None:
        """Open what `request` asks for.

        Raises:
            UsageError, UnknownModelError: something asked for does not go, or does not exist.
            OllamaError: the server does not answer.
            StoreError: the conversations cannot be opened.
            FileProblemError: the file with the system prompt cannot be read.
        """
        from assistant.chat.store import memory_store, open_store
        from assistant.ollama.client import OllamaClient

        if request.role is not None:
            request = replace(request, role=chat_role(request.role))
        self.request = request
        self.client: OllamaClient = OllamaClient()
        if request.offline and not self.client.address.is_local:
            raise click.UsageError(
                f"--offline forbids the server at {self.client.address.url}, which is not this "
                "computer."
            )
        self._on_note = on_note
        self._detect = functools.cache(detect_this_machine)
        system = None if request.system is None else read_system(request.system)
        self.store: ConversationStore = memory_store() if request.no_save else open_store()
        try:
            found = self._found()
            model = self._model(found)
            conversation = found or self._first(model, name=request.session, system=system)
            if conversation is None:  # another chat began it meanwhile
                conversation = found = self.store.find(request.session or "")
            self.is_resumed = found is not None
            self.session: ChatSession = self._session(model, conversation)
            if found is not None:
                self._take_over(found, system)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the store and the connections."""
        self.store.close()
        self.client.close()

    def begin(self) -> None:
        """Let the session be a new conversation with the same model and system prompt."""
        from assistant.chat.store_errors import UnknownSessionError

        model = self.session.model
        try:
            before = self.session.conversation
        except UnknownSessionError:  # it was forgotten
            before = None
        system = None if before is None else before.system
        self.session = self._session(model, self._begun(model, system=system))

    def go_to(self, conversation: Conversation) -> None:
        """Let the session be a conversation from the store, with its model if that is there.

        Raises:
            OllamaError: the server does not answer.
        """
        model = self.session.model
        if conversation.model and conversation.model != model.name:
            model = self._model_before(conversation) or model
        self.session = self._session(model, conversation)

    def _found(self) -> Conversation | None:
        request = self.request
        if request.session is not None:
            if request.no_save:
                raise click.UsageError("--no-save keeps no conversation that --session could name.")
            if _NUMBER.fullmatch(request.session.strip()):
                return self.store.find(request.session)
            return self.store.by_name(request.session)
        if request.go_on:
            if request.no_save:
                raise click.UsageError("--no-save and --continue contradict each other.")
            found = self.store.latest()
            if found is None:
                self._on_note("There is no conversation to go on with; this is a new one.")
            return found
        return None

    def _model(self, found: Conversation | None) -> OwnModel:
        from assistant.chat.own_model import chat_model

        request = self.request
        if request.model is None and request.role is None and found is not None and found.model:
            before = self._model_before(found)
            if before is not None:
                return before
        return chat_model(
            self.client,
            wanted=request.model,
            role=request.role,
            allow_cloud=request.allow_cloud,
            detect=self._detect,
        )

    def _model_before(self, conversation: Conversation) -> OwnModel | None:
        """Return the model that a conversation was with; None, and a note, if it is gone."""
        from assistant.chat.own_model import chat_model

        try:
            return chat_model(
                self.client,
                wanted=conversation.model,
                role=conversation.role,
                allow_cloud=self.request.allow_cloud,
                detect=self._detect,
            )
        except UnknownModelError:
            self._on_note(f"{conversation.model} is no longer installed; another model goes on.")
            return None

    def _first(
        self, model: OwnModel, *, name: str | None, system: str | None
    ) -> Conversation | None:
        """Return a new conversation; None when another chat has begun one of that name."""
        from assistant.chat.store_errors import SessionExistsError

        try:
            return self._begun(model, name=name, system=system)
        except SessionExistsError:
            return None

    def _begun(
        self, model: OwnModel, *, name: str | None = None, system: str | None = None
    ) -> Conversation:
        return self.store.create(
            name=name, model=model.name, role=self.request.role, system=system, now=now()
        )

    def _session(self, model: OwnModel, conversation: Conversation) -> ChatSession:
        from assistant.chat.session import ChatSession
        from assistant.cli.environment import environment_run_options

        self.conversation_id = conversation.id
        return ChatSession(
            self.client.address,
            self.client,
            model=model,
            store=self.store,
            conversation=conversation,
            allow_cloud=self.request.allow_cloud,
            now=now,
            on_note=self._on_note,
            detect=self._detect,
            run_options=environment_run_options(),
        )

    def _take_over(self, found: Conversation, system: str | None) -> None:
        if system is not None:
            self.session.use_system(system or None)
        if self.request.role is not None:
            self.store.set_role(found.id, self.request.role)


def base_model(name: str) -> str | None:
    """Return the model that setup made an alias of, None for a name that is no alias of it."""
    from assistant.provision.ledger import read_ledger

    try:
        history = read_ledger().of_alias(name.removesuffix(":latest"))
    except FileProblemError:
        return None
    return None if history is None or history.entry is None else history.entry.model


def read_system(text: str) -> str:
    """Return the system prompt: the text, or what is in the file of that name.

    What looks like a path (it begins with `/`, `./`, `../` or `~`, or ends in `.txt` or `.md`)
    must be one; a space before it makes it a text.

    Raises:
        UsageError: it looks like a path, and no file is there.
        FileProblemError: the file cannot be read as text.
    """
    try:
        path = Path(text).expanduser()
        if not path.is_file():
            if _PATH.fullmatch(text):
                raise UsageError(
                    f"there is no file {text!r} with a system prompt.",
                    hint="Name a file that is there. To send this as the text itself, put a space "
                    "before it.",
                )
            return text
    except (OSError, RuntimeError, ValueError):
        return text  # too long for the name of a file, or no name of one
    try:
        return path.read_text("utf-8").strip()
    except UnicodeError:
        why = "it is not UTF-8 text"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    raise FileProblemError(
        f"the system prompt in {text!r} cannot be read: {why}.",
        hint="Name a text file, or type the text itself.",
    )

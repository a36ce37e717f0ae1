"""A conversation in progress: one question after another to one model, and all that goes with it.

What is said is in the store before the model is asked, and an answer that breaks off is kept as
far as it came. Nothing is ever cut silently: when the conversation outgrows its context, older
turns are summarised or left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.chat.about_machine import MachineFacts, compose_about, fact_line
from assistant.chat.about_words import about_topics, is_only_about, models_asked_about
from assistant.chat.answering import FIRST_TOKEN_TIMEOUT_S, Answering, OnText
from assistant.chat.budget import ContextBudget, ContextUsage, turns_of
from assistant.chat.chat_problems import CloudModelError, NothingSaidError, TooLongError
from assistant.chat.elsewhere import Elsewhere, changed_elsewhere
from assistant.chat.overflow import Policy
from assistant.chat.own_model import DetectMachine, OwnModel, chat_model, loaded_num_ctx
from assistant.chat.records import Attachment, Conversation, Message
from assistant.chat.session_files import read_for, split_for
from assistant.chat.stats import ChatStats
from assistant.chat.window import Window
from assistant.errors import AssistantError, OllamaError

if TYPE_CHECKING:
    from assistant.chat.about_words import AboutTopic
    from assistant.chat.store import ConversationStore
    from assistant.fit.records import RunOptions
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.server_address import ServerAddress

OnNote = Callable[[str], None]


class ChatSession:
    """One conversation with a model; not to be used by several threads at once.

    `model` comes from `own_model.chat_model`, `conversation` from the store. `num_ctx` asks for
    a context; None leaves it to the model's Modelfile and the server. `on_note` gets a line to
    show between the turns. `detect` looks at this computer when a question is about it, and
    `run_options` are what the server's settings fix. `think` asks a model that can to think
    (True) or not to (False); None leaves it to the server.
    """

    def __init__(
        self,
        address: ServerAddress,
        client: OllamaClient,
        *,
        model: OwnModel,
        store: ConversationStore,
        conversation: Conversation,
        num_ctx: int | None = None,
        policy: Policy = "summarise",
        allow_cloud: bool = False,
        now: Callable[[], str],
        on_note: OnNote | None = None,
        detect: DetectMachine | None = None,
        run_options: RunOptions | None = None,
        think: bool | None = None,
        first_token_timeout_s: float = FIRST_TOKEN_TIMEOUT_S,
    ) -> None:
        """Go on with `conversation`.

        Raises:
            CloudModelError: the model runs in a cloud, and that is not allowed.
        """
        if model.remote and not allow_cloud:
            raise CloudModelError(model.name)
        if conversation.model != model.name:
            store.set_model(conversation.id, model.name)
        self.address = address
        self._client, self._store = client, store
        self._conversation = replace(conversation, model=model.name, messages=())
        self._allow_cloud, self._now = allow_cloud, now
        self._detect, self._run_options = detect, run_options
        self._kept_attachments: tuple[Attachment, ...] = ()
        self._asked_guides: set[int | None] = set()
        self._elsewhere = Elsewhere(store, conversation.id)
        self._elsewhere.know(m for m in conversation.messages if m.kind != "summary")
        window = Window(ContextBudget(model.num_ctx, 0))
        window.use(model, num_ctx)
        window.show(conversation, model)
        self._window = window
        self._answering = Answering(
            client=client,
            store=store,
            conversation_id=conversation.id,
            model=model,
            window=window,
            now=now,
            note=on_note or _say_nothing,
            num_ctx=num_ctx,
            policy=policy,
            think=think,
            first_token_timeout_s=first_token_timeout_s,
        )

    # What it is

    @property
    def model(self) -> OwnModel:
        """The model that answers now."""
        return self._answering.model

    @property
    def think(self) -> bool | None:
        """Whether a model that can is asked to think; None leaves it to the server."""
        return self._answering.think

    @think.setter
    def think(self, think: bool | None) -> None:
        self._answering.think = think

    @property
    def policy(self) -> Policy:
        """What happens to older turns when the context is full."""
        return self._answering.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._answering.policy = policy

    @property
    def conversation(self) -> Conversation:
        """The whole conversation as it is stored now."""
        return self._store.load(self._conversation.id)

    @property
    def budget(self) -> ContextBudget:
        """What is known of the context."""
        return self._window.budget

    @property
    def kept_attachments(self) -> tuple[Attachment, ...]:
        """The files of the question that `edit_last` took back, to be sent with it again."""
        return self._kept_attachments

    @property
    def unanswered(self) -> str | None:
        """The last question when it has no answer, such as after an error; else None."""
        last = self._window.messages[-1] if self._window.messages else None
        return last.content if last is not None and last.speaker == "user" else None

    def usage(self) -> ContextUsage:
        """Return how full the context is."""
        return self._window.usage()

    def stats(self) -> ChatStats:
        """Return what this sitting took so far."""
        return self._answering.tally.stats()

    def waits_for(self) -> str:
        """Return in a few words what a question waits for before the first word of its answer."""
        try:
            is_loaded = loaded_num_ctx(self._client, self.model.name) is not None
        except OllamaError:
            return "waiting for the server"
        if not is_loaded:
            return f"loading {self.model.name}"
        return f"reading about {self.usage().tokens:,} tokens"

    # Turns

    def send(
        self,
        text: str,
        attachments: Sequence[Attachment] = (),
        *,
        on_text: OnText | None = None,
        on_thinking: OnText | None = None,
    ) -> Message:
        """Return the answer to a question; its pieces go to the callbacks as they come.

        Ctrl-C stops the answer and does not leave: what came is returned, and stored, as
        interrupted. A question about the model or its computer is answered from the tools
        (kind `grounded`).

        Raises:
            TooLongError: the question does not fit the context; it was not stored.
            OllamaError: no whole answer came. The question, and what came, are stored; `retry`
                asks again.
            StoreError: the conversation cannot be written.
        """
        self._kept_attachments = ()
        question = Message("user", text, self._now(), attachments=tuple(attachments))
        topics = () if attachments else about_topics(text)
        try:
            self._take_in()
            self._append(question)
            if topics and is_only_about(text):
                return self._tell_facts(text, on_text)
            if topics:
                self._window.say_facts(fact_line(self._facts(())))
        except KeyboardInterrupt:
            return Message("assistant", "", self._now(), model=self.model.name, interrupted=True)
        try:
            return self._answering.answer(on_text, on_thinking)
        except TooLongError:
            self._take_back()
            raise

    def retry(self, *, on_text: OnText | None = None, on_thinking: OnText | None = None) -> Message:
        """Ask the last question again in place of its answer; the model itself answers.

        Raises:
            NothingSaidError: nothing was asked yet.
            OllamaError, TooLongError: as `send`; an answer that was there before stays.
        """
        turn = self._last_turn()
        removed: tuple[Message, ...] = ()
        if len(turn) > 1:
            removed = self._remove_from(turn[1])
        self._reload(turn[0])
        try:
            answer = self._answering.answer(on_text, on_thinking)
        except AssistantError:
            self._put_back(removed)
            raise
        if answer.id is None:
            self._put_back(removed)
        return answer

    def ask_guides(self, text: str, *, on_token: OnText | None = None) -> Message:
        """Return an answer from the guides and tools, grounded as in `assistant ask`.

        `on_token` gets what the model writes before it is checked: a sign of life, not the
        answer. Without a server the answer is composed, and a note says so.

        Raises:
            UsageError: the question is empty, or describes a machine that makes no sense.
            GuidesError: the guides failed at it; it was not stored.
        """
        from assistant.chat.grounded import (
            answer_grounded,
            engine_note,
            guides_history,
            with_sources,
        )

        self._take_in()
        history = guides_history(self._window.messages, self._asked_guides)
        self._asked_guides.add(self._append(Message("user", text, self._now())).id)
        try:
            answer = answer_grounded(
                text,
                server=self.address,
                model=self.model.name,
                history=history,
                detect=self._detect,
                run_options=self._run_options,
                on_token=on_token,
            )
        except KeyboardInterrupt:
            return Message("assistant", "", self._now(), kind="grounded", interrupted=True)
        except AssistantError:
            self._take_back()
            raise
        note = engine_note(answer)
        if note:
            self._answering.note(note)
        return self._append(
            Message("assistant", with_sources(answer), self._now(), kind="grounded",
                    model=answer.engine.model)
        )  # fmt: skip

    def undo(self) -> tuple[Message, ...]:
        """Remove the last question with its answer; return what was removed.

        Raises:
            NothingSaidError: nothing was asked yet.
        """
        first = self._last_turn()[0]
        removed = self._remove_from(first)
        self._reload(first)
        return removed

    def edit_last(self) -> str:
        """Remove the last turn and return its question, to be changed and sent again.

        Its files are in `kept_attachments` until the next question.

        Raises:
            NothingSaidError: nothing was asked yet.
        """
        question = self.undo()[0]
        self._kept_attachments = question.attachments
        return question.content

    # Files

    def read_file(self, path: Path) -> Attachment:
        """Return a file for the next question.

        Raises:
            FileTooLargeError: it does not fit; `split_file` cuts it.
            AttachmentError, FileProblemError: see `attachments.read_attachment`.
        """
        return read_for(self._answering, path)

    def split_file(self, path: Path) -> tuple[Attachment, ...]:
        """Return a text file in parts that each fit into a question of its own.

        Raises:
            AttachmentError, FileProblemError: see `attachments.read_attachment`.
        """
        return split_for(self._answering, path)

    # Changes

    def use_model(self, name: str) -> OwnModel:
        """Let another model answer from here on; the conversation stays.

        Raises:
            UnknownModelError, CloudModelError, CannotChatError, OllamaError: see `chat_model`.
        """
        return self._change(
            chat_model(
                self._client,
                wanted=name,
                role=self._conversation.role,
                allow_cloud=self._allow_cloud,
                detect=self._detect,
            )
        )

    def use_role(self, role: str) -> OwnModel:
        """Let the model that was set up for a role answer from here on.

        Raises:
            UsageError: there is no such role.
            CloudModelError, NoChatModelError, OllamaError: see `chat_model`.
        """
        from assistant.recommend.roles import role_profile

        name = role_profile(role).name
        found = chat_model(
            self._client, role=name, allow_cloud=self._allow_cloud, detect=self._detect
        )
        self._store.set_role(self._conversation.id, name)
        return self._change(found)

    def use_system(self, text: str | None) -> None:
        """Set the system prompt of this conversation; None goes back to the model's own."""
        self._store.set_system(self._conversation.id, text)
        self._reload()

    # What the above is made of

    def _append(self, message: Message) -> Message:
        stored = self._store.append(self._conversation.id, message)
        self._window.messages.append(stored)
        return stored

    def _take_in(self) -> None:
        """Show what another chat made of this conversation since the last turn, and tell of it."""
        self._elsewhere.know(self._window.messages)
        added, removed = self._elsewhere.look()
        if added or removed:
            self._reload()
            self._answering.note(changed_elsewhere(added, removed))

    def _remove_from(self, message: Message) -> tuple[Message, ...]:
        removed = self._store.remove_from(self._conversation.id, message.id or 0)
        self._elsewhere.forget(removed)
        return removed

    def _take_back(self) -> None:
        """Remove a question that could not be asked."""
        self._remove_from(self._window.messages.pop())

    def _put_back(self, removed: Sequence[Message]) -> None:
        """Store an answer again that was to be replaced, unless a part of a new one came."""
        if self.unanswered is not None:
            for message in removed:
                self._append(replace(message, id=None))

    def _last_turn(self) -> tuple[Message, ...]:
        """Return the last question with its answer, also one that is no longer sent.

        Raises:
            NothingSaidError: there is none.
        """
        self._take_in()
        spoken = [m for m in self.conversation.messages if m.kind != "summary"]
        turns = turns_of(spoken)
        if not turns or turns[-1][0].speaker != "user":
            raise NothingSaidError("nothing was asked yet in this conversation.")
        return turns[-1]

    def _reload(self, changed: Message | None = None) -> None:
        """Show what is stored now; `changed` is the first message that is not as it was."""
        if changed is not None and (changed.id or 0) <= self._window.left_out_to:
            self._window.left_out_to = 0
        conversation = self.conversation
        self._conversation = replace(conversation, messages=())
        self._window.show(conversation, self.model)

    def _change(self, model: OwnModel) -> OwnModel:
        self._store.set_model(self._conversation.id, model.name)
        self._answering.model = model
        self._window.facts, self._window.left_out_to = None, 0
        self._window.use(model, self._answering.num_ctx)
        self._reload()
        return model

    def _tell_facts(self, text: str, on_text: OnText | None) -> Message:
        """Answer a question about the model and its computer from the tools."""
        topics = about_topics(text)
        facts = self._facts(topics, models_asked_about(text))
        self._window.say_facts(fact_line(facts))
        told = compose_about(topics, facts)
        answer = self._append(Message("assistant", told, self._now(), kind="grounded"))
        if on_text:
            on_text(told)
        return answer

    def _facts(self, topics: Sequence[AboutTopic], named: Sequence[str] = ()) -> MachineFacts:
        from assistant.chat.about_facts import gather_facts

        return gather_facts(
            self._client,
            self.model,
            topics=topics,
            num_ctx=self.budget.num_ctx,
            used_tokens=self.usage().tokens,
            chat_speed=self.stats().mean_decode_tokens_per_s,
            named=named,
            detect=self._detect,
            run_options=self._run_options,
        )


def _say_nothing(_note: str) -> None:
    """Where nobody listens, notes are lost; nothing else depends on them."""

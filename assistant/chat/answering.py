"""How one question gets its answer: fitted, asked, counted, stored; and what if it breaks off."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from assistant.chat.budget import has_images
from assistant.chat.chat_problems import TooLongError, explained
from assistant.chat.draft import Draft
from assistant.chat.overflow import Overflow, Policy
from assistant.chat.own_model import OwnModel, loaded_num_ctx
from assistant.chat.prompt_text import wire_messages
from assistant.chat.stats import Tally
from assistant.errors import OllamaError

if TYPE_CHECKING:
    from assistant.chat.budget import FittedPrompt
    from assistant.chat.records import Message
    from assistant.chat.store import ConversationStore
    from assistant.chat.window import Window
    from assistant.ollama.chat import ChatReply
    from assistant.ollama.client import OllamaClient

OnText = Callable[[str], None]

FIRST_TOKEN_TIMEOUT_S: Final = 1800.0
"""Loading, the requests before, and a long prompt on a CPU; a person can stop it at any time."""
ANSWER_TIME_LIMIT_S: Final = 6 * 3600.0
_FEWEST_COUNTED: Final = 0.25
"""A prompt that is counted as less than this share of the estimate was not read whole."""
_FEW_TOKENS: Final = 64


@dataclass(slots=True)
class Answering:
    """Asks one model about one conversation.

    `num_ctx` is the context asked for, None for what the server gives. `think` asks a model
    that can to think (True) or not to (False). `note` gets a line to show between the turns.
    """

    client: OllamaClient
    store: ConversationStore
    conversation_id: int
    model: OwnModel
    window: Window
    now: Callable[[], str]
    note: Callable[[str], None]
    num_ctx: int | None = None
    policy: Policy = "summarise"
    think: bool | None = None
    first_token_timeout_s: float = FIRST_TOKEN_TIMEOUT_S
    tally: Tally = field(default_factory=Tally)
    _unseen: set[tuple[str, str]] = field(default_factory=set)

    @property
    def options(self) -> dict[str, Any]:
        """The options of every request; the same ones, since others would reload the model."""
        return {} if self.num_ctx is None else {"num_ctx": self.num_ctx}

    def answer(self, on_text: OnText | None, on_thinking: OnText | None) -> Message:
        """Return the answer to the last question of the window, stored.

        Ctrl-C ends it: what came is returned as interrupted, stored when it has any text.

        Raises:
            TooLongError: the question does not fit the context.
            OllamaError: it broke off; what came is stored, and the hint says how to go on.
        """
        draft = Draft(
            self.store, self.conversation_id, self.model.name, self.now(), on_text, on_thinking
        )
        try:
            answer = self._finish(draft, *self._ask(draft))
        except KeyboardInterrupt:
            return self._keep(draft)
        except OllamaError as error:
            self._keep(draft)
            explained(error, kept=draft.has_begun, is_local=self.client.address.is_local)
            raise
        except BaseException:
            self._keep(draft)
            raise
        with contextlib.suppress(KeyboardInterrupt):
            self.learn_num_ctx()
        return answer

    def learn_num_ctx(self, *, load: bool = False) -> None:
        """Take the context that the server says the model is loaded with; `load` loads it first.

        A server that does not say leaves what is known.

        Raises:
            OllamaError: the model is to be loaded and cannot be.
        """
        if load and self.num_ctx is None:
            self.client.load(self.model.name)
        try:
            found = loaded_num_ctx(self.client, self.model.name)
        except OllamaError:
            return
        if found:
            self.window.learn_num_ctx(found, self.model)

    def _ask(self, draft: Draft) -> tuple[FittedPrompt, ChatReply]:
        """Return the reply; a prompt that the server finds too long is fitted once more.

        Raises:
            TooLongError: it is too long again, or cannot be shorter.
            OllamaError: see `assistant.ollama.chat`.
        """
        from assistant.ollama.chat_errors import PromptTooLongError

        try:
            fitted = self._fitted()
            return fitted, self._chat(fitted, draft)
        except PromptTooLongError as error:
            self.window.refused(
                fitted, tokens=error.prompt_tokens, num_ctx=error.num_ctx, model=self.model
            )
        try:
            fitted = self._fitted()
            return fitted, self._chat(fitted, draft)
        except PromptTooLongError as error:
            size = error.prompt_tokens
            raise TooLongError(
                tokens=size or fitted.tokens, room=self.window.budget.room, exact=size is not None
            ) from error

    def _fitted(self) -> FittedPrompt:
        """Return the prompt to send; a context that is only assumed is asked for before cutting.

        Raises:
            TooLongError: the question surely does not fit.
            OllamaError: the model is not loaded and cannot be.
        """
        if not self.window.budget.is_exact and not self._fits():
            self.learn_num_ctx(load=True)
        fitted = self.window.fit()
        return Overflow(
            self.window,
            self.store,
            self.conversation_id,
            self.client.address,
            self.model.name,
            self.options,
            self.policy,
            self.now,
            self.note,
        ).make_room(fitted)

    def _fits(self) -> bool:
        try:
            fitted = self.window.fit()
        except TooLongError:
            return False
        return not fitted.dropped and fitted.tokens <= self.window.budget.room

    def _chat(self, fitted: FittedPrompt, draft: Draft) -> ChatReply:
        from assistant.ollama.chat import chat

        self._tell_unseen(fitted)
        return chat(
            self.client.address,
            model=self.model.name,
            messages=wire_messages(
                fitted.messages,
                system=self.window.system,
                facts=self.window.facts,
                sees_images=self.model.sees_images,
            ),
            options=self.options,
            think=self.think if self.model.thinks else None,
            time_limit_s=ANSWER_TIME_LIMIT_S,
            first_token_timeout_s=self.first_token_timeout_s,
            on_text=draft.add,
            on_thinking=draft.add_thinking,
        )

    def _tell_unseen(self, fitted: FittedPrompt) -> None:
        """Say, once for each, which pictures are not sent to a model that cannot see them."""
        if self.model.sees_images:
            return
        files = [file for m in fitted.messages for file in m.attachments if file.kind == "image"]
        for name in dict.fromkeys(file.name for file in files):
            if (self.model.name, name) not in self._unseen:
                self._unseen.add((self.model.name, name))
                self.note(f"{self.model.name} cannot see {name}: it is not sent.")

    def _finish(self, draft: Draft, fitted: FittedPrompt, reply: ChatReply) -> Message:
        """Return the whole answer, stored and counted."""
        read = reply.prompt_tokens
        if read is not None and self._was_cut(fitted, read):
            self.note(
                f"The server read only {read:,} tokens of about {fitted.tokens:,}: "
                "it cut a part of the conversation."
            )
        elif read is not None:
            question = self.window.messages[-1]
            self.window.counted(fitted, read)
            if self.window.messages[-1].tokens != question.tokens:
                self.store.update(self.conversation_id, self.window.messages[-1])
        draft.end()
        tokens = self.window.answer_tokens(reply, text=draft.text, thinking=draft.thinking)
        answer = draft.finish(reply, tokens)
        self.window.messages.append(answer)
        self.tally.add(
            prompt_tokens=read,
            generated_tokens=reply.generated_tokens,
            decode_s=reply.decode_s,
            first_token_s=draft.first_token_s,
        )
        if reply.done_reason == "length":
            self.note(self._why_it_ended(reply))
        return answer

    def _was_cut(self, fitted: FittedPrompt, read: int) -> bool:
        """Return True when the server read much less than was sent.

        What a picture takes is only guessed, so nothing is said of a prompt with one.
        """
        few = read < _FEWEST_COUNTED * fitted.tokens - _FEW_TOKENS
        return few and not has_images(fitted.messages)

    def _why_it_ended(self, reply: ChatReply) -> str:
        """Return what ended an answer that the model did not end: its own limit, or the context."""
        limit = self.model.num_predict or 0
        if 0 < limit <= (reply.generated_tokens or limit):
            return f"The answer ended at its limit of {limit:,} tokens; ask the model to go on."
        return "The context is full, so the answer stopped here. Ask the model to go on."

    def _keep(self, draft: Draft) -> Message:
        """Return what came of an answer; it joins the conversation when there is any text."""
        message = draft.keep()
        if message.id is not None:
            self.window.messages.append(message)
            self.tally.add(first_token_s=draft.first_token_s)
        return message

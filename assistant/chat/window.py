"""The part of a conversation that is sent to the model, and what is known of its size.

It holds what the summary does not stand for and what was not left out, so that a long
conversation takes no more memory than its context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from assistant.chat.budget import (
    IMAGE_TOKENS,
    UNSEEN_IMAGE_TOKENS,
    ContextBudget,
    ContextUsage,
    FittedPrompt,
    answer_reserve,
    counted_messages,
    fit_messages,
    guess_tokens,
    prompt_tokens,
    smallest_prompt,
    turns_of,
)
from assistant.chat.chat_problems import TooLongError
from assistant.chat.last_words import with_last_words
from assistant.chat.records import Conversation, Message

if TYPE_CHECKING:
    from assistant.chat.own_model import OwnModel
    from assistant.ollama.chat import ChatReply


_PLAIN_REFUSAL: Final = 1000.0


@dataclass(slots=True)
class Window:
    """What is sent of a conversation. `system` is its own system prompt or that of the model.

    `facts` is a line about the model and its computer that joins the system prompt.
    `left_out_to` is the id of the last message that was left out without a summary. `cut_turn` is
    the turn before the last question when there was no room for the whole of it: its end is sent.
    """

    budget: ContextBudget
    system: str | None = None
    facts: str | None = None
    messages: list[Message] = field(default_factory=list)
    summary: Message | None = None
    left_out_to: int = 0
    was_counted: bool = False
    cut_turn: tuple[Message, ...] = ()

    def show(self, conversation: Conversation, model: OwnModel) -> None:
        """Take what is live of a conversation, with the counts that `model` gave before."""
        up_to = max(conversation.summarised_to or 0, self.left_out_to)
        summaries = [m for m in conversation.messages if m.kind == "summary"]
        self.summary = None
        if summaries and conversation.summarised_to:
            self.summary = replace(summaries[-1], tokens=None)
        live = [m for m in conversation.messages if m.kind != "summary" and (m.id or 0) > up_to]
        self.messages = _with_counts_of(model.name, live)
        self.cut_turn = ()
        self.system = model.system if conversation.system is None else conversation.system
        self.forget_system_count()

    def use(self, model: OwnModel, num_ctx: int | None) -> None:
        """Start a new budget for a model; `num_ctx` is the context that was asked for."""
        known = num_ctx or model.num_ctx
        if num_ctx and model.trained_num_ctx:
            known = min(num_ctx, model.trained_num_ctx)
        self.budget = ContextBudget(
            num_ctx=known,
            reserve=answer_reserve(known, num_predict=model.num_predict, thinks=model.thinks),
            is_exact=num_ctx is not None or model.num_ctx_is_exact,
            image_tokens=IMAGE_TOKENS if model.sees_images else UNSEEN_IMAGE_TOKENS,
        )
        self.was_counted = False

    def learn_num_ctx(self, num_ctx: int, model: OwnModel) -> None:
        """Take the context that the server named."""
        reserve = answer_reserve(num_ctx, num_predict=model.num_predict, thinks=model.thinks)
        self.budget = replace(self.budget, num_ctx=num_ctx, reserve=reserve, is_exact=True)

    def say_facts(self, facts: str | None) -> None:
        """Put a line about the model into the system prompt from now on."""
        if facts != self.facts:
            self.facts = facts
            self.forget_system_count()

    def forget_system_count(self) -> None:
        """Let the system prompt be counted anew: it has changed."""
        self.budget = replace(self.budget, system_tokens=None)
        self.was_counted = False

    @property
    def before(self) -> str | None:
        """The text that the system prompt is estimated by."""
        return "\n\n".join(filter(None, (self.system, self.facts))) or None

    @property
    def all(self) -> tuple[Message, ...]:
        """The summary, where there is one, and the live messages."""
        return (*([self.summary] if self.summary else []), *self.messages)

    def fit(self, budget: ContextBudget | None = None) -> FittedPrompt:
        """Return what fits of the window into its budget, or into another.

        Where the estimate says that the last turn alone does not fit, though it may, that turn
        is returned all the same: the server will say.

        Raises:
            TooLongError: the last turn surely does not fit.
        """
        used = budget or self.budget
        try:
            fitted = fit_messages(self.all, system=self.before, budget=used)
        except TooLongError:
            smallest = smallest_prompt(self.all, system=self.before, budget=used)
            if smallest is None:
                raise
            return smallest
        if self.cut_turn and not fitted.dropped and len(turns_of(self.messages)) == 1:
            return with_last_words(fitted, self.cut_turn, budget=used)
        return fitted

    def leave_out(self, dropped: Sequence[Message], summary: Message | None) -> None:
        """Send `dropped` no more; `summary`, where there is one, stands for them."""
        gone = {m.id for m in dropped}
        turns = turns_of(self.messages)
        if len(turns) > 1 and turns[-2][-1].id in gone:
            self.cut_turn = turns[-2]
        self.messages = [m for m in self.messages if m.id not in gone]
        if summary is not None:
            self.summary = replace(summary, tokens=None)
        else:
            self.left_out_to = max([self.left_out_to, *(m.id or 0 for m in dropped)])
        self.was_counted = False

    def counted(self, fitted: FittedPrompt, tokens: int) -> None:
        """Share out what the server counted for a prompt among its messages."""
        counted, self.budget = counted_messages(
            fitted.messages, system=self.before, budget=self.budget, tokens=tokens
        )
        by_id = {m.id: m for m in counted}
        self.messages = [by_id.get(m.id, m) for m in self.messages]
        if self.summary is not None:
            self.summary = by_id.get(self.summary.id, self.summary)
        self.was_counted = True

    def refused(
        self, fitted: FittedPrompt, *, tokens: int | None, num_ctx: int | None, model: OwnModel
    ) -> None:
        """Learn from the server's refusal: the context, and the size of the prompt where it says.

        Where it does not, all that is estimated is taken to be half as large again.
        """
        if num_ctx:
            self.learn_num_ctx(num_ctx, model)
        if tokens:
            self.counted(fitted, tokens)
        else:
            counted = 1.5 * self.budget.scale * _PLAIN_REFUSAL
            self.budget = replace(self.budget, guessed=_PLAIN_REFUSAL, counted=counted)

    def answer_tokens(self, reply: ChatReply, *, text: str, thinking: str) -> int | None:
        """Return what an answer will take in the next prompt: all of it but its thinking."""
        if reply.generated_tokens is None:
            return None
        said, thought = guess_tokens(text), guess_tokens(thinking)
        if not thought:
            if reply.done_reason == "stop":
                self.budget = self.budget.learned(said, reply.generated_tokens)
            return reply.generated_tokens
        self.was_counted = False
        return max(1, round(reply.generated_tokens * said / (said + thought)))

    def usage(self) -> ContextUsage:
        """Return how full the context is."""
        tokens = prompt_tokens(self.all, system=self.before, budget=self.budget)
        if not self.all:
            tokens = 0
        exact = self.was_counted and self.budget.is_exact
        exact = exact and all(m.tokens is not None for m in self.all)
        return ContextUsage(tokens, self.budget.num_ctx, exact)


def _with_counts_of(model: str, messages: Sequence[Message]) -> list[Message]:
    """Return the messages without the counts that another model's tokenizer gave.

    A question was counted by the model that answered it.
    """
    found: list[Message] = []
    counted_by: str | None = None
    for message in reversed(messages):
        if message.speaker == "assistant":
            counted_by = message.model
        known = message.tokens if counted_by == model else None
        found.append(replace(message, tokens=known))
    return found[::-1]

"""What happens when a conversation outgrows its context: summarised or left out, and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assistant.chat.last_words import shows_an_end
from assistant.chat.summarise import reads_whole, summarise
from assistant.errors import OllamaError

if TYPE_CHECKING:
    from assistant.chat.budget import FittedPrompt
    from assistant.chat.records import Message
    from assistant.chat.store import ConversationStore
    from assistant.chat.window import Window
    from assistant.ollama.server_address import ServerAddress

Policy = Literal["summarise", "drop"]


@dataclass(frozen=True, slots=True)
class Overflow:
    """Makes room in a window. `note` gets one line for each thing that is no longer sent."""

    window: Window
    store: ConversationStore
    conversation_id: int
    address: ServerAddress
    model: str
    options: dict[str, Any]
    policy: Policy
    now: Callable[[], str]
    note: Callable[[str], None]

    def make_room(self, fitted: FittedPrompt) -> FittedPrompt:
        """Return the prompt to send, given what fits of the window as it is.

        More is cut than must be, so that the next turns need no cut: every cut makes the server
        read the prompt from its beginning.

        Raises:
            TooLongError: the last turn surely does not fit.
        """
        if not fitted.dropped:
            return fitted
        budget = self.window.budget
        if fitted.tokens > budget.room:
            if fitted.needs_summary:
                self.note("The question may be too long for the context; it is sent on its own.")
            return fitted
        turns = self._turns_to_cut()
        if not turns:
            self.note("The summary of older messages does not fit the context and is not sent.")
            return fitted
        summary = self._summary_of(turns) if self.policy == "summarise" else None
        if summary is None:
            self.note(
                f"The context of {budget.num_ctx:,} tokens is full: {_older(turns)} no longer "
                "sent. They stay in the conversation."
            )
        self.window.leave_out(turns, summary)
        left = self.window.fit()
        if shows_an_end(left):
            self.note("Of the last answer the end is still sent, as much as fits.")
        return left

    def _turns_to_cut(self) -> list[Message]:
        cut = self.window.fit(self.window.budget.with_slack())
        return [message for message in cut.dropped if message.kind != "summary"]

    def _summary_of(self, turns: Sequence[Message]) -> Message | None:
        """Return the model's summary, stored; None when it gives none."""
        window = self.window
        self.note(
            f"The context of {window.budget.num_ctx:,} tokens is full: {_older(turns)} sent as a "
            "summary from here on."
        )
        before = window.summary.content if window.summary else None
        if not reads_whole(turns, before=before, budget=window.budget):
            self.note("They are too long to be read at once: the summary leaves parts of them out.")
        try:
            text = summarise(
                self.address,
                self.model,
                turns,
                before=before,
                budget=window.budget,
                options=self.options,
            )
        except OllamaError as error:
            self.note(f"The summary did not come: {error.message}")
            return None
        if text is None:
            self.note(f"The summary did not come: {self.model} wrote nothing.")
            return None
        up_to = max(message.id or 0 for message in turns)
        return self.store.set_summary(self.conversation_id, text, up_to=up_to, now=self.now())


def _older(turns: Sequence[Message]) -> str:
    return "the oldest message is" if len(turns) == 1 else f"the {len(turns)} oldest messages are"

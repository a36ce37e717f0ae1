"""An open chat in a terminal: what the commands work on, and how a turn is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from assistant.cli.chat_keys import quiet_keys
from assistant.cli.chat_live import Size, terminal_reflows
from assistant.cli.chat_text import render_less_context, render_unsent
from assistant.cli.layout import paragraph
from assistant.cli.output import MAX_WIDTH, Output, write_error
from assistant.errors import AssistantError

if TYPE_CHECKING:
    from types import TracebackType

    from assistant.chat.records import Attachment, Message
    from assistant.chat.session import ChatSession
    from assistant.cli.chat_history import TypedHistory
    from assistant.cli.chat_open import OpenedChat

LEAST_WIDTH = 20
_Result = TypeVar("_Result")


class AnswerView(Protocol):
    """Shows one answer while it arrives; a context manager."""

    def __enter__(self) -> Self:
        """Begin to wait."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Show what is not shown yet."""

    def text(self, piece: str) -> None:
        """Take a piece of the answer."""

    def thinking(self, piece: str) -> None:
        """Take a piece of what the model thinks."""

    def note(self, text: str) -> None:
        """Say something about the turn itself."""

    @property
    def is_empty(self) -> bool:
        """True when nothing of an answer was shown."""


class Chat:
    """An open chat.

    `attachments` go with the next message, `parts` of a file that was split with those after it.
    `draft` is what the next prompt begins with, `notice` what stands at the bottom until a key is
    pressed: why the draft was not sent. `announced_num_ctx` is the context that was told,
    `can_chat` what is known of the models. `keep_thinking` leaves thinking unfolded. `usage`
    is how full the context was when the prompt came: the status line is drawn at every key.
    """

    def __init__(
        self, out: Output, opened: OpenedChat, *, history: TypedHistory, plain: bool
    ) -> None:
        self.out = out
        self.opened = opened
        self.history = history
        self.plain = plain
        self.attachments: list[Attachment] = []
        self.parts: list[Attachment] = []
        self.draft = ""
        self.notice = ""
        self.announced_num_ctx = self.session.model.num_ctx
        self.can_chat: dict[str, bool] = {}
        self.keep_thinking = False
        self.is_over = False
        self.tokens_per_s: float | None = None
        self.usage = self.session.usage()
        self._view: AnswerView | None = None
        self._problem: AssistantError | None = None

    @property
    def session(self) -> ChatSession:
        """The conversation that is open."""
        return self.opened.session

    @property
    def width(self) -> int:
        """Columns to lay text out for; one is left free, so that no terminal wraps by itself."""
        return max(LEAST_WIDTH, min(self.size().columns - 1, MAX_WIDTH))

    def size(self) -> Size:
        """Return columns and rows of the terminal."""
        return Size(*self.out.terminal_size)

    def say(self, text: str, *, dim: bool = False) -> None:
        """Write text of ours, laid out already, and a blank line after it."""
        shown = self.out.style(text, dim=True) if dim else text
        self.out.print(shown)
        self.space()

    def tell(self, text: str) -> None:
        """Write a sentence of ours, wrapped."""
        self.say(paragraph(text, width=self.width), dim=True)

    def space(self) -> None:
        """Write a blank line; a screen reader needs none."""
        if not self.plain:
            self.out.write("\n")

    def fail(self, error: AssistantError) -> None:
        """Write what went wrong; the chat goes on."""
        write_error(error)
        self.space()

    def note(self, text: str) -> None:
        """Show a line from the session: with the answer that is under way, or at once."""
        line = text if text.endswith((".", "?", "!")) else f"{text}."
        if self._view is not None:
            self._view.note(line)
        else:
            self.tell(line)

    def ask(self, text: str) -> None:
        """Send a message with what is attached, and show the answer."""
        sent = tuple(self.attachments)
        answer = self.turn(
            lambda view: self.session.send(text, sent, on_text=view.text, on_thinking=view.thinking)
        )
        if answer is None and not self._is_kept(text):
            self.draft = text
            self.notice = "" if self._problem is None else render_unsent(self._problem)
            return
        self.attachments = self.parts[:1]
        self.parts = self.parts[1:]
        if self.attachments:
            self.tell(f"{self.attachments[0].name} goes with the next message.")

    def turn(
        self, run: Callable[[AnswerView], Message], *, waiting: Callable[[], str] | None = None
    ) -> Message | None:
        """Show one turn; return its answer, or None where none came.

        What went wrong is said. Ctrl-C ends the answer, never the chat.
        """
        view = self.view(waiting or self.session.waits_for)
        self._problem = None
        try:
            with quiet_keys(), view:
                self._view = view
                answer = run(view)
        except AssistantError as error:
            self._end_turn(view)
            self._problem = error
            self.fail(error)
            return None
        except KeyboardInterrupt:
            self._end_turn(view)
            self.tell("Stopped.")
            return None
        self._end_turn(view)
        if answer.decode_tokens_per_s is not None:
            self.tokens_per_s = answer.decode_tokens_per_s
        if answer.interrupted:
            self.tell("Stopped. /retry asks again.")
        self._tell_less_context()
        return answer

    def working(self, said: str, run: Callable[[], _Result]) -> _Result:
        """Return what `run` returns; when it takes a while, `said` says what is going on.

        Raises:
            KeyboardInterrupt: Ctrl-C, and what `run` raises.
        """
        view = self.view(lambda: said)
        try:
            with quiet_keys(), view:
                self._view = view
                return run()
        finally:
            self._end_turn(view)

    def _tell_less_context(self) -> None:
        """Say once that the server gives much less context than was announced."""
        budget = self.session.budget
        if budget.is_exact and 2 * budget.num_ctx <= self.announced_num_ctx:
            self.tell(render_less_context(budget.num_ctx, announced=self.announced_num_ctx))
            self.announced_num_ctx = budget.num_ctx

    def _end_turn(self, view: AnswerView) -> None:
        self._view = None
        if not view.is_empty:
            self.space()

    def _is_kept(self, text: str) -> bool:
        """Return whether a question is stored, and so can be asked again."""
        try:
            last = self.session.conversation.messages[-2:]
        except AssistantError:
            return False
        return any(m.speaker == "user" and m.content == text for m in last)

    def view(self, waiting_for: Callable[[], str]) -> AnswerView:
        """Return what shows an answer in this terminal."""
        if self.plain:
            from assistant.cli.chat_plain import PlainAnswer

            return PlainAnswer(
                self.out.write,
                width=lambda: self.width,
                waiting_for=waiting_for,
                keep_thinking=self.keep_thinking,
            )
        from assistant.cli.chat_answer import AnswerScreen

        return AnswerScreen(
            self.out.write,
            self.size,
            width=lambda: self.width,
            color=self.out.color,
            reflows=terminal_reflows(os.environ),
            waiting_for=waiting_for,
            keep_thinking=self.keep_thinking,
        )

r"""The line editor of a chat: history, several lines, paste, completion, a status line.

The door to prompt_toolkit. Enter sends; Alt-Enter, Esc Enter or a `\` at the end of the line begin
a new line, and a pasted text keeps its own. Tab or `/` offers commands.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TYPE_CHECKING, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, has_completions, is_searching
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.styles import Style

from assistant.cli.chat_commands import ends_in_backslash, needs_more
from assistant.cli.chat_completion import Names, candidates

if TYPE_CHECKING:
    from assistant.cli.chat_history import TypedHistory

PROMPT: Final = "> "
_GOES_ON: Final = "  "
_ESCAPE_WAIT_S: Final = 0.1
"""How long Esc waits for the Enter that makes it a new line."""
_COLORS: Final = {
    "prompt": "bold ansicyan",
    "bottom-toolbar": "noreverse dim",
    "completion-menu.completion": "noinherit",
    "completion-menu.completion.current": "noinherit reverse",
    "completion-menu.meta.completion": "noinherit dim",
    "completion-menu.meta.completion.current": "noinherit reverse",
    "scrollbar.background": "noinherit",
    "scrollbar.button": "noinherit reverse",
}
_NO_COLORS: Final = {
    name: "noinherit reverse" if name.endswith((".current", ".button")) else "noinherit noreverse"
    for name in _COLORS
}


class LineEditor:
    """Reads messages.

    `status` gives what stands at the bottom for a number of columns, and `on_key` is called before
    each key does what it does.
    """

    def __init__(
        self,
        *,
        history: TypedHistory,
        names: Names,
        status: Callable[[int], str],
        on_key: Callable[[], None],
        color: bool,
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=_History(history),
            completer=_Completer(names),
            complete_in_thread=True,
            complete_while_typing=Condition(self._is_command_name),
            multiline=True,
            prompt_continuation=_GOES_ON,
            key_bindings=_keys(history.keep_unsent),
            bottom_toolbar=lambda: status(self._session.output.get_size().columns),
            style=Style.from_dict(_COLORS if color else _NO_COLORS),
            color_depth=None if color else ColorDepth.DEPTH_1_BIT,
            include_default_pygments_style=False,
        )
        self._session.app.ttimeoutlen = _ESCAPE_WAIT_S
        self._session.app.key_processor.before_key_press += lambda _: on_key()

    def read(self, default: str = "") -> str:
        """Return what is typed, `default` being there to be changed.

        Raises:
            EOFError: Ctrl-D on an empty line.
            KeyboardInterrupt: Ctrl-C on an empty line.
        """
        return self._session.prompt([("class:prompt", PROMPT)], default=default)

    def _is_command_name(self) -> bool:
        text = self._session.default_buffer.text
        return text.startswith("/") and not any(c.isspace() for c in text)


class _History(History):
    """Goes back in what was typed; keeps no copy, so that what is forgotten is gone at once."""

    def __init__(self, typed: TypedHistory) -> None:
        super().__init__()
        self._typed = typed

    async def load(self) -> AsyncGenerator[str, None]:
        """Yield what was typed, the newest first."""
        for text in self.load_history_strings():
            yield text

    def get_strings(self) -> list[str]:
        """Return what was typed, the oldest first."""
        return list(self._typed.lines)

    def append_string(self, string: str) -> None:
        """Remember what was typed."""
        self.store_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Return what was typed, the newest first."""
        return self._typed.lines[::-1]

    def store_string(self, string: str) -> None:
        """Remember what was typed."""
        self._typed.add(string)


class _Completer(Completer):
    def __init__(self, names: Names) -> None:
        self._names = names

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield what `assistant.cli.chat_completion` offers."""
        del complete_event
        for offer in candidates(document.text_before_cursor, self._names):
            yield Completion(offer.text, start_position=-offer.replaces, display_meta=offer.help)


def _keys(keep: Callable[[str], None]) -> KeyBindings:
    """Return the keys; `keep` gets a draft that is cleared, to come back with Up."""
    keys = KeyBindings()
    typing = ~is_searching
    keys.add("enter", filter=typing)(_send)

    @keys.add("escape", "enter", filter=typing)
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c", filter=typing)
    def _clear(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            keep(event.current_buffer.text)
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt(), style="class:aborting")

    @keys.add("tab", filter=typing & ~has_completions)
    def _complete(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.startswith("/"):
            buffer.start_completion(insert_common_part=True)
        else:
            buffer.insert_text("    ")

    return keys


def _send(event: KeyPressEvent) -> None:
    """Send what is typed, take what the menu offers, or begin a new line after a backslash."""
    buffer = event.current_buffer
    state = buffer.complete_state
    if state is not None and state.current_completion is not None:
        buffer.complete_state = None
        if buffer.text.endswith("/"):
            return  # a folder: its files come next
        if needs_more(buffer.text):
            buffer.insert_text(" ")
            return
    document = buffer.document
    before = document.current_line_before_cursor
    if ends_in_backslash(before) and not document.current_line_after_cursor:
        buffer.delete_before_cursor()
        buffer.newline(copy_margin=False)
    else:
        buffer.validate_and_handle()

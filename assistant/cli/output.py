"""The only place that prints.

A command gets an `Output` from `assistant.cli.options.output_options` and ends in one call
of `Output.result`, giving its data and its text, both as values or as functions of no
argument; only the one that is shown is computed:

    @click.command("fit")
    @click.argument("model", nargs=-1, required=True)
    @output_options                      # adds --json and --debug, passes `out` first
    def fit(out: Output, model: tuple[str, ...]) -> None:
        from assistant.fit.estimate import estimate_fit   # rooms are imported here
        ...
        out.note("reading the header from the registry")           # stderr, text mode only
        out.result(data=lambda: {...}, text=lambda: "...", errors=())

Problems are raised as `AssistantError` and printed by `assistant.cli.main`. A command that
has a result *and* problems hands both to `result`: status `partial` ends with exit code 5,
status `error` with the exit code of the first error.

Manners: stdout carries data only, everything else goes to stderr. With `--json` stdout is one
object, `{"schema", "command", "status", "data", "errors"}`. Colour needs a terminal, or
FORCE_COLOR, and never NO_COLOR. Characters that the pipe's encoding lacks are replaced by
ASCII ones. A reader that closes the pipe ends the program quietly with exit code 0: it has
what it wanted. Layout helpers (tables, bars, wrapping) are in `assistant.cli.layout`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TextIO, TypeAlias

import click

from assistant.errors import AssistantError

SCHEMA = 1
PARTLY_DONE_EXIT_CODE = 5
INTERRUPTED_EXIT_CODE = 130
DEFAULT_WIDTH = 80
DEFAULT_ROWS = 24
MAX_WIDTH = 100
SPINNER_DELAY_S = 0.3

Status: TypeAlias = Literal["ok", "partial", "error"]
Text: TypeAlias = str | Callable[[], str]
Data: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]

_ASCII = {
    "█": "#", "▓": "=", "▒": "-", "░": ".", "·": "-", "•": "*", "–": "-", "—": "-", "−": "-",
    "…": "...", "×": "x", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~", "✓": "+",
    "✗": "x", "‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "│": "|", "─": "-",
}  # fmt: skip


class InterruptedByUserError(AssistantError):
    """Ctrl-C: what was done so far is kept."""

    code = "interrupted"
    exit_code = INTERRUPTED_EXIT_CODE


class PipeClosedError(Exception):
    """The reader of our standard output went away; `main` ends quietly."""


class Output:
    """Where one command's result, notes and warnings go.

    `as_json` chooses the envelope; `color` and `width` describe the terminal, for commands
    that lay out text themselves.
    """

    def __init__(self, command: str, *, as_json: bool = False) -> None:
        self.command = command
        self.as_json = as_json

    @property
    def color(self) -> bool:
        """True when escape codes are welcome on stdout."""
        return not self.as_json and wants_color(sys.stdout)

    @property
    def width(self) -> int:
        """Columns to lay text out for."""
        return text_width()

    @property
    def shows_progress(self) -> bool:
        """True when moving progress is welcome: text mode, and stderr is a terminal."""
        return not self.as_json and _is_terminal(sys.stderr)

    @property
    def is_terminal(self) -> bool:
        """True when stdout is a terminal, and text goes there."""
        return not self.as_json and _is_terminal(sys.stdout)

    @property
    def terminal_size(self) -> tuple[int, int]:
        """Columns and rows of the terminal on stdout, 80 by 24 where it does not say."""
        try:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
        except (AttributeError, OSError, ValueError):
            columns = rows = 0
        return columns or DEFAULT_WIDTH, rows or DEFAULT_ROWS

    @property
    def progress_color(self) -> bool:
        """True when escape codes are welcome on stderr."""
        return wants_color(sys.stderr)

    def style(self, text: str, **styles: Any) -> str:
        """Return `text` in click's styles (`bold=True`, `dim=True`, `fg="green"`), or as it is."""
        return click.style(text, **styles) if self.color else text

    def result(
        self,
        data: Data,
        text: Text,
        *,
        errors: Sequence[AssistantError] = (),
        status: Status | None = None,
        markdown: bool = False,
    ) -> None:
        """Print what the command found, and end it if there were problems.

        `status` is `ok` without errors and `partial` with some, unless given. `markdown` says
        that the text is Markdown: laid out plainly, or by rich in a terminal.

        Raises:
            click.exceptions.Exit: with code 5 for `partial`, the first error's for `error`.
        """
        status = status or ("partial" if errors else "ok")
        if self.as_json:
            payload = data() if callable(data) else data
            write_json(envelope(self.command, payload, status=status, errors=errors))
        else:
            shown = text() if callable(text) else text
            if shown:
                self.print(self._markdown(shown) if markdown else shown)
            for error in errors:
                write_error(error)
        code = exit_code_of(status, errors)
        if code:
            raise click.exceptions.Exit(code)

    def print(self, text: str) -> None:
        """Write text and a newline to stdout in text mode; nothing with `--json`."""
        if not self.as_json:
            _write(sys.stdout, text.rstrip("\n") + "\n")

    def write(self, text: str) -> None:
        """Write text as it is to stdout in text mode, without a newline; nothing with `--json`."""
        if not self.as_json:
            _write(sys.stdout, text)

    def note(self, text: str, *, with_json: bool = False) -> None:
        """Write a line about what is going on to stderr; with `--json` only if `with_json`."""
        if not self.as_json or with_json:
            _write(sys.stderr, text + "\n")

    def warning(self, text: str) -> None:
        """Write a warning to stderr, with `--json` too."""
        _write(sys.stderr, f"Warning: {text}\n")

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """Show `text` on stderr while the block runs, from 0.3 s on, in a terminal only."""
        if not self.shows_progress:
            yield
            return
        import threading

        def show() -> None:
            _write(sys.stderr, f"{text} ...")

        timer = threading.Timer(SPINNER_DELAY_S, show)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            _write(sys.stderr, "\r\x1b[K")

    @contextmanager
    def counter(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """Give a function of (done, all) that shows both after `text`, in a terminal only."""
        shown = self.shows_progress

        def show(done: int, total: int) -> None:
            if shown:
                _write(sys.stderr, f"\r{text}: {done} of {total}\x1b[K")

        try:
            yield show
        finally:
            if shown:
                _write(sys.stderr, "\r\x1b[K")

    def _markdown(self, text: str) -> str:
        from assistant.cli import markdown

        if self.color:
            return markdown.render_rich(text, width=self.width)
        return markdown.render_plain(text, width=self.width)


def envelope(
    command: str,
    data: Mapping[str, Any],
    *,
    status: Status,
    errors: Sequence[AssistantError] = (),
) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    return {
        "schema": SCHEMA,
        "command": command,
        "status": status,
        "data": dict(data),
        "errors": [{"code": e.code, "message": e.message, "hint": e.hint} for e in errors],
    }


def exit_code_of(status: Status, errors: Sequence[AssistantError]) -> int:
    """Return the exit code for a status: 0, 5 for partly done, else the first error's."""
    if status == "ok":
        return 0
    if status == "partial":
        return PARTLY_DONE_EXIT_CODE
    return errors[0].exit_code if errors else 1


def write_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout, ASCII only, so that every pipe can carry it."""
    import json

    _write(sys.stdout, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_error(error: AssistantError) -> None:
    """Write an error to stderr: one sentence, and below it what to do next."""
    if error.exit_code == INTERRUPTED_EXIT_CODE:
        _write(sys.stderr, f"{error.message}\n")
        return
    from assistant.cli.layout import paragraph

    message = error.message if error.message.endswith((".", "?", "!")) else f"{error.message}."
    width = text_width()
    label, *rest = paragraph(f"Error: {message}", width=width).partition(":")
    if wants_color(sys.stderr):
        label = click.style(label, fg="red", bold=True)
    _write(sys.stderr, f"{label}{''.join(rest)}\n")
    if error.hint:
        _write(sys.stderr, f"{paragraph(_unbroken_commands(error.hint), width=width)}\n")


def _unbroken_commands(hint: str) -> str:
    """Return the hint with what is to be typed, after a colon or in quotes, held together."""
    start = hint.find(": assistant ")
    if start >= 0:
        return hint[: start + 2] + hint[start + 2 :].replace(" ", "\u00a0")
    quoted = hint.split('"')
    quoted[1::2] = [part.replace(" ", "\u00a0") for part in quoted[1::2]]
    return '"'.join(quoted)


def write_traceback() -> None:
    """Write the traceback of the exception being handled to stderr."""
    import traceback

    _write(sys.stderr, traceback.format_exc())


def discard_stdout() -> None:
    """Let what is still to be written to a standard output that failed go nowhere."""
    if sys.stdout is not None:
        _silence(sys.stdout)


def wants_color(stream: TextIO | None) -> bool:
    """True when escape codes are welcome: NO_COLOR, then FORCE_COLOR, then the terminal."""
    if os.environ.get("NO_COLOR") or stream is None:
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return _is_terminal(stream) and os.environ.get("TERM") != "dumb"


def text_width() -> int:
    """Return the columns to use: COLUMNS, the terminal's, or 80 when piped; 40 to 100."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        found = int(columns)
    elif _is_terminal(sys.stdout):
        try:
            found = os.get_terminal_size(sys.stdout.fileno()).columns or DEFAULT_WIDTH
        except (OSError, ValueError):
            found = DEFAULT_WIDTH
    else:
        found = DEFAULT_WIDTH
    return max(40, min(found, MAX_WIDTH))


def ascii_safe(text: str, encoding: str | None) -> str:
    """Return `text` with the characters that `encoding` lacks replaced by ASCII ones."""
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        replaced = "".join(_ASCII.get(character, character) for character in text)
        return replaced.encode(encoding, "replace").decode(encoding)
    return text


def _write(stream: TextIO | None, text: str) -> None:
    """Write and flush; a stream that was closed before we started is none at all.

    Raises:
        PipeClosedError: the reader went away.
        FileProblemError: standard output cannot be written, as on a full disk.
    """
    if stream is None:
        return
    try:
        stream.write(ascii_safe(text, stream.encoding))
        stream.flush()
    except BrokenPipeError as error:
        _silence(stream)
        raise PipeClosedError from error
    except OSError as error:
        _silence(stream)
        if stream is sys.stderr:
            return
        from assistant.errors import FileProblemError

        why = (error.strerror or str(error)).lower()
        raise FileProblemError(f"the output cannot be written: {why}.") from error


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _silence(stream: TextIO) -> None:
    """Point a broken stream at nothing, so that the interpreter's last flush cannot fail."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)

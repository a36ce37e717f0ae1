"""The last lines of the terminal while they change: rewritten in place, without flicker.

Lines that are final scroll away as any output does. Below them stand the live lines, which the
next call may replace; only those that differ are written again, and text that merely grew is
appended. The live lines never fill the screen: of more than fit, the last are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from assistant.cli.chat_screen import Line

_BEGIN: Final = "\x1b[?2026h"
_END: Final = "\x1b[?2026l"
"""Synchronised output: a terminal that knows it draws what is between in one step."""
_ERASE_BELOW: Final = "\x1b[J"
_LEAST_LIVE_ROWS: Final = 3


class Size(NamedTuple):
    """Columns and rows of the terminal."""

    columns: int
    rows: int


class LiveLines:
    """Writes final lines, and live ones below them, with `write`; `size` asks the terminal.

    `reflows` is whether the terminal wraps anew what it shows when its width changes.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        size: Callable[[], Size],
        *,
        cut: Line,
        reflows: bool = True,
    ) -> None:
        self._write = write
        self._size = size
        self._cut = cut
        self._reflows = reflows
        self._columns = 0
        self._live: list[Line] = []

    def show(self, final: Sequence[Line], live: Sequence[Line] = ()) -> None:
        """Write `final` above, and show `live` in place of the live lines before.

        Without live lines the cursor is left at the beginning of a new line.
        """
        size = self._size()
        live = self._fitting(live, size)
        columns = size.columns if self._reflows or not self._live else self._columns
        text = _change(self._live, [*final, *live], columns)
        self._columns = size.columns
        if final and not live:
            text += "\n"
        self._live = live
        if text:
            self._write(f"{_BEGIN}{text}{_END}" if _ERASE_BELOW in text else text)

    def _fitting(self, lines: Sequence[Line], size: Size) -> list[Line]:
        """Return the last of the lines that fit, after a mark where some are left out."""
        room = max(size.rows - 2, _LEAST_LIVE_ROWS)
        kept = list(lines)
        if rows_of(kept, size.columns) <= room:
            return kept
        while len(kept) > 1 and rows_of(kept, size.columns) > room - 1:
            kept.pop(0)
        return [self._cut, *kept]


def terminal_reflows(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal wraps its text anew for a new width, as most do.

    xterm, GNU screen and the Linux console do not.
    """
    return not ({"XTERM_VERSION", "STY"} & set(environ) or environ.get("TERM") == "linux")


def rows_of(lines: Sequence[Line], columns: int) -> int:
    """Return the rows that the lines take on a terminal that wraps them."""
    return sum(max(1, -(-line.columns // max(columns, 1))) for line in lines)


def _change(old: Sequence[Line], new: Sequence[Line], columns: int) -> str:
    """Return what turns the lines `old` into `new`, the cursor being at the end of both."""
    same = 0
    while same < min(len(old), len(new)) and old[same].text == new[same].text:
        same += 1
    if same == len(old):
        added = "\n".join(line.text for line in new[same:])
        return f"\n{added}" if old and len(new) > same else added
    same = max(0, min(same, len(new) - 1))
    gone, text = old[same:], "\n".join(line.text for line in new[same:])
    if len(gone) == 1 and new and new[same].text.startswith(gone[0].text):
        return text[len(gone[0].text) :]
    return f"{_back(gone, columns)}{_ERASE_BELOW}{text}"


def _back(lines: Sequence[Line], columns: int) -> str:
    """Return what moves the cursor from the end of the lines to their beginning."""
    up = rows_of(lines, columns) - 1
    return f"\r\x1b[{up}A" if up else "\r"

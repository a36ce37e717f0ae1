"""Findings as text: a mark and a line for each, its evidence and its fix below.

Pure: records in, text out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from assistant.cli.layout import paragraph
from assistant.doctor.records import Finding

Style = Callable[..., str]

MARKS: Final = {"problem": "✗", "warning": "!", "unknown": "?", "ok": "✓"}
_COLORS: Final = {"problem": "red", "warning": "yellow", "unknown": "cyan", "ok": "green"}
_INDENT: Final = "    "
_GAIN_COLUMN: Final = 6


def plain(text: str, **_styles: object) -> str:
    """Return the text as it is: the style of pipes."""
    return text


def render_findings(findings: Sequence[Finding], *, width: int = 80, style: Style = plain) -> str:
    """Return all findings, the worst first, and what is well in one line."""
    blocks = [_block(each, width, style) for each in findings if each.level != "ok"]
    if not any(each.level in ("problem", "warning") for each in findings):
        blocks.insert(0, "Nothing is wrong.")
    well = ", ".join(dict.fromkeys(each.what for each in findings if each.level == "ok"))
    if well:
        blocks.append(_marked("ok", well, width, style))
    return "\n".join(blocks)


def _block(finding: Finding, width: int, style: Style) -> str:
    lines = [_marked(finding.level, finding.what, width, style)]
    lines += [
        paragraph(_one_line(each), width=width, indent=_INDENT, hanging=_INDENT + "  ")
        for each in finding.evidence
    ]
    if finding.fix is not None:
        lines.append(_fix(finding.fix, finding.gain, width))
    lines += [_steps("or: ", each, width) for each in finding.also]
    return "\n".join(lines)


def _marked(level: str, text: str, width: int, style: Style) -> str:
    mark = style(MARKS[level], fg=_COLORS[level])
    return f"{mark} {paragraph(_one_line(text), width=width - 2, hanging='  ')}"


def _fix(fix: str, gain: str | None, width: int) -> str:
    """Return the fix with its gain behind it, or below where there is no room."""
    text = _steps("fix: ", fix, width)
    if gain is None:
        return text
    last = text.rpartition("\n")[2]
    if "\n" not in fix and len(last) + _GAIN_COLUMN + len(gain) + 2 <= width:
        return f"{text}{' ' * _GAIN_COLUMN}({gain})"
    return f"{text}\n{paragraph(f'({gain})', width=width, indent=_INDENT + '     ')}"


def _steps(label: str, text: str, width: int) -> str:
    """Return steps below one another, the first after the label; commands are not broken."""
    below = _INDENT + " " * len(label)
    first, *rest = [_one_line(each) for each in text.split("\n")]
    lines = [paragraph(_unbroken(first), width=width, indent=_INDENT + label, hanging=below)]
    lines += [paragraph(_unbroken(each), width=width, indent=below) for each in rest]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Return a text without control characters: some of it is a server's or a file's."""
    return "".join(each if each.isprintable() else " " for each in text)


def _unbroken(step: str) -> str:
    """Hold a command together where it fits a line; prose may be wrapped."""
    command = step.startswith(("assistant ", "ollama ", "sudo ", "export ", "launchctl ", "setx "))
    return step.replace(" ", "\u00a0") if command else step

"""What `assistant modelfile` and `assistant modelfile lint` print, as text and as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from assistant.cli.layout import paragraph

if TYPE_CHECKING:
    from pathlib import Path

    from assistant.fit.records import FitEstimate
    from assistant.ollama.modelfile import Modelfile
    from assistant.provision.lint import LintFinding

_MARKS: Final = {"error": "✗", "warning": "!", "note": "·"}
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "cyan"}
_PLURAL: Final = {"error": "errors", "warning": "warnings", "note": "notes"}


@dataclass(frozen=True, slots=True)
class Made:
    """A Modelfile to print. `origin` is `setup` for what the ledger keeps, or `computed`."""

    text: str
    model: str
    role: str | None
    origin: Literal["setup", "computed"]
    modelfile: Modelfile | None = None
    estimate: FitEstimate | None = None

    @property
    def alias(self) -> str:
        """The name to create it under: the role's, which other programs are pointed at."""
        return f"assistant-{self.role}" if self.role else "NAME"


@dataclass(frozen=True, slots=True)
class Checked:
    """A Modelfile's findings; `model` and `estimate` are None where FROM is not known."""

    name: str
    model: str | None
    findings: tuple[LintFinding, ...]
    estimate: FitEstimate | None = None

    def count(self, level: str) -> int:
        """Return how many findings have a level."""
        return sum(each.level == level for each in self.findings)


def made_data(made: Made, output: Path | None) -> dict[str, Any]:
    """Return a printed Modelfile as the data of `--json`."""
    from assistant.fit.serialize import estimate_to_dict
    from assistant.ollama.modelfile import create_request, names_a_file, parse_modelfile

    modelfile = made.modelfile or parse_modelfile(made.text)
    create = None
    if not names_a_file(modelfile.from_):
        create = create_request(modelfile, name=made.alias)
        if made.role is None:
            del create["model"]
    return {
        "modelfile": made.text,
        "model": made.model,
        "role": made.role,
        "origin": made.origin,
        "create": create,
        "estimate": None if made.estimate is None else estimate_to_dict(made.estimate),
        "output": None if output is None else str(output),
    }


def render_made(made: Made, output: Path | None) -> str:
    """Return the Modelfile, or where it was written to and what to type next."""
    if output is None:
        return made.text
    return f"Written to {output}.\nNext: ollama create {made.alias} -f {output}"


def checked_data(checked: Checked) -> dict[str, Any]:
    """Return findings as the data of `--json`."""
    from assistant.fit.serialize import estimate_to_dict

    return {
        "file": checked.name,
        "model": checked.model,
        "findings": [asdict(each) for each in checked.findings],
        "estimate": None if checked.estimate is None else estimate_to_dict(checked.estimate),
    }


def render_checked(checked: Checked, *, width: int, style: Callable[..., str]) -> str:
    """Return findings as lines: what it is, why it matters, and what to do."""
    blocks = [paragraph(_summary(checked), width=width)]
    for each in checked.findings:
        where = "" if each.line is None else f"line {each.line}: "
        head = paragraph(where + each.what, width=width, indent="  ", hanging="    ")
        mark = style(_MARKS[each.level], fg=_COLOURS[each.level])
        why = paragraph(each.why, width=width, indent="    ")
        fix = paragraph(f"fix: {each.fix}", width=width, indent="    ", hanging="         ")
        blocks.append(f"{mark}{head[1:]}\n{why}\n{fix}")
    return "\n".join(blocks)


def _summary(checked: Checked) -> str:
    counts = [
        f"{number} {level if number == 1 else _PLURAL[level]}"
        for level in _MARKS
        if (number := checked.count(level))
    ]
    found = ", ".join(counts) if counts else "nothing to change"
    against = f" (checked with {checked.model})" if checked.model else ""
    return f"{checked.name}: {found}{against}."

"""What the checks of a Modelfile take and return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from assistant.ollama.modelfile import Instruction
from assistant.ollama.modelfile_parameters import KNOWN_PARAMETERS, typed_value

LintLevel = Literal["error", "warning", "note"]
LEVELS: Final[tuple[LintLevel, ...]] = ("error", "warning", "note")
"""`error`: it cannot be created or used; `warning`: it does not do what it says."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing about a Modelfile: what it is, why it matters, and what to do.

    `line` is None when it is about the whole, or when only a record was given.
    """

    level: LintLevel
    line: int | None
    what: str
    why: str
    fix: str


class Lines:
    """The instructions of a Modelfile, looked up by command or by parameter."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self.all = tuple(instructions)

    def of(self, *commands: str) -> tuple[Instruction, ...]:
        """Return the instructions with one of these commands, in order."""
        return tuple(each for each in self.all if each.command in commands)

    def parameter(self, name: str) -> Instruction | None:
        """Return the line of a parameter that counts, the last one, or None."""
        found = [each for each in self.of("parameter") if each.name == name]
        return found[-1] if found else None

    def number(self, name: str) -> float | None:
        """Return the number that a parameter is set to; None without one, or when it is none."""
        line = self.parameter(name)
        parameter = KNOWN_PARAMETERS.get(name)
        if line is None or line.value is None or parameter is None:
            return None
        try:
            value = typed_value(parameter, line.value)
        except ValueError:
            return None
        return None if isinstance(value, str) else value

    def line_of(self, name: str) -> int | None:
        """Return where a parameter stands, or None."""
        line = self.parameter(name)
        return None if line is None else line.line

    def sampling_parameters(self) -> Iterator[Instruction]:
        """Yield the lines of parameters that only matter when text is generated."""
        for each in self.of("parameter"):
            known = KNOWN_PARAMETERS.get(each.name)
            if known is not None and known.when == "sampling":
                yield each

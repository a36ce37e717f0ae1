"""What every kind of answer is given, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from assistant.agent.records import Question
from assistant.agent.tools import Toolbox
from assistant.machine.records import Machine

Part = tuple[str, tuple[tuple[str, str], ...]]
"""An answer's Markdown, and the (guide, section heading) pairs that back it."""

ROOMY: Final = "2TB VRAM, 2TB RAM"
"""A machine on which everything fits, for questions about no machine in particular."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every kind of answer needs."""

    question: Question
    tools: Toolbox

    @property
    def detected(self) -> bool:
        """True when no machine was described, so this computer is meant."""
        return self.question.machine is None

    def machine(self) -> Machine:
        """Return the machine to answer for, described or detected."""
        return self.tools.detect_hardware(self.question.machine, words=self.question.machine_words)

    @property
    def quantization(self) -> str | None:
        """The first quantization named, or None."""
        return self.question.quantizations[0] if self.question.quantizations else None

    @property
    def model_assumptions(self) -> list[str]:
        """What was assumed about which model is meant."""
        return [m.assumption for m in self.question.models if m.assumption]

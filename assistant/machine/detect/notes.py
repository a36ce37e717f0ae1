"""What probes hand back besides their findings: gaps, assumptions, and their gathering."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from assistant.machine.detect.files import first_line
from assistant.machine.records import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from assistant.machine.records import Ram

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What a probe found, what it could not read, and what it had to assume."""

    value: T
    unavailable: tuple[Unavailable, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the GPU probes need to know of the rest of the machine.

    `environ` is the Ollama server's environment, `ram` the memory that integrated GPUs
    share, `cpu_name` the processor, which may name its graphics.
    """

    root: Path
    ram: Ram
    environ: Mapping[str, str]
    cpu_name: str | None = None


@dataclass(slots=True)
class Notes:
    """Gaps and assumptions gathered in the order they were met."""

    unavailable: list[Unavailable] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    def missing(self, what: str, why: str) -> None:
        """Note something that could not be read, and the reason."""
        self.unavailable.append(Unavailable(what, why))

    def assume(self, text: str) -> None:
        """Note one assumption, a sentence."""
        self.assumptions.append(text)

    def reading(self, value: T) -> Reading[T]:
        """Return a value together with everything noted."""
        return Reading(value, tuple(self.unavailable), tuple(self.assumptions))

    def take(self, reading: Reading[T]) -> T:
        """Return a reading's value and keep its notes."""
        self.unavailable.extend(reading.unavailable)
        self.assumptions.extend(reading.assumptions)
        return reading.value

    def guard(self, what: str, probe: Callable[[], Reading[T]], otherwise: T) -> T:
        """Return a probe's value, or `otherwise` should it raise: nothing may stop the rest."""
        try:
            return self.take(probe())
        except Exception as problem:  # noqa: BLE001 (detection never raises)
            reason = first_line(str(problem)) or type(problem).__name__
            self.missing(what, f"the probe failed ({reason})")
            return otherwise

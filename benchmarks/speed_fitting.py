"""Fit the constants of the decode-speed model on measured rows, by coordinate descent.

The loss is the soft-L1 of log(estimate / measured), each device and kind of model weighted
down by the fourth root of its rows so that one long table does not decide, plus a pull
towards first guesses: a class with few devices stays near what is known of its kind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.fit.speed_constants import SpeedConstants

if TYPE_CHECKING:
    from speed import Row

Estimate = Callable[["Row", SpeedConstants], float | None]

FIRST_EFFICIENCY = {
    "nvidia": 0.89,
    "nvidia-hbm": 0.69,
    "pascal": 0.57,
    "pascal-small": 0.42,
    "maxwell": 0.42,
    "unified": 0.82,
    "integrated": 0.58,
    "rdna": 0.80,
    "amd-hbm": 0.45,
    "apple": 0.82,
    "apple-m4": 0.82,
}
FIRST_OTHERS = {
    "block_seconds": 65e-6,
    "block_seconds_metal": 99e-6,
    "moe_blocks": 1.5,
    "delta_weights": 1.1,
    "delta_blocks": 1.3,
}
EFFICIENCY_PULL = 0.3
OTHERS_PULL = 0.5
ROBUST_SCALE = 0.12
FIRST_STEP = 0.08
LAST_STEP = 0.005


@dataclass(frozen=True)
class Fitted:
    """Constants as factors (logarithms) on the first guesses, in a fixed order."""

    logs: tuple[float, ...]

    def named(self) -> Iterator[tuple[str, float]]:
        """Yield every constant with its name."""
        firsts = {**FIRST_EFFICIENCY, **FIRST_OTHERS}
        for (name, first), log in zip(firsts.items(), self.logs, strict=True):
            yield name, first * math.exp(log)

    def constants(self) -> SpeedConstants:
        """Return them as the record that the estimate takes."""
        values = dict(self.named())
        efficiency = {name: values.pop(name) for name in FIRST_EFFICIENCY}
        return SpeedConstants(efficiency=efficiency, **values)


def fit_constants(
    rows: Sequence[Row], estimate: Estimate, *, start: Fitted | None = None
) -> Fitted:
    """Return the constants that fit the rows best, starting from the first guesses."""
    counts = Counter((row.record["hw"], row.step.is_moe) for row in rows)
    weighted = [(row, counts[(row.record["hw"], row.step.is_moe)] ** -0.5) for row in rows]
    size = len(FIRST_EFFICIENCY) + len(FIRST_OTHERS)
    logs = list(start.logs if start else [0.0] * size)
    best = _loss(weighted, logs, estimate)
    step = FIRST_STEP if start is None else FIRST_STEP / 4
    while step > LAST_STEP:
        improved = False
        for index in range(size):
            for change in (step, -step):
                tried = [*logs[:index], logs[index] + change, *logs[index + 1 :]]
                loss = _loss(weighted, tried, estimate)
                if loss < best:
                    logs, best, improved = tried, loss, True
                    break
        step = step if improved else step / 2
    return Fitted(tuple(logs))


def leave_devices_out(
    rows: Sequence[Row], estimate: Estimate, fitted: Fitted
) -> list[tuple[Row, float | None]]:
    """Return each row with its estimate from a fit that has not seen its device."""
    found = []
    for device in sorted({row.record["hw"] for row in rows}):
        others = [row for row in rows if row.record["hw"] != device]
        constants = fit_constants(others, estimate, start=fitted).constants()
        mine = [row for row in rows if row.record["hw"] == device]
        found += [(row, estimate(row, constants)) for row in mine]
    return found


def _loss(
    weighted: Sequence[tuple[Row, float]], logs: Sequence[float], estimate: Estimate
) -> float:
    constants = Fitted(tuple(logs)).constants()
    total = 0.0
    for row, weight in weighted:
        found = estimate(row, constants)
        if found:
            scaled = (math.log(found / row.record["tg"]) / ROBUST_SCALE) ** 2 * weight
            total += 2 * ROBUST_SCALE**2 * (math.sqrt(1 + scaled) - 1)
    pulls = [EFFICIENCY_PULL] * len(FIRST_EFFICIENCY) + [OTHERS_PULL] * len(FIRST_OTHERS)
    return total + sum((log / pull) ** 2 for log, pull in zip(logs, pulls, strict=True))

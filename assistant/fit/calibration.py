"""What was measured on this machine corrects what is estimated for it.

* The model itself was measured: the measured figure replaces the estimate, as a point.
* Other models were measured in the same place (GPU, CPU, split): the estimate is multiplied
  by the median ratio of measured to expected speed.

There is no feedback: the expected speed of a run is that of the estimate without any measured
runs (`uncalibrated`), so a second measurement never corrects an estimate that the first one has
corrected already. How the cache is filled decides how fast a token is, not how large it may
grow, so a figure holds at any context length; but not in a split, where the context decides
how many layers are on the GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from assistant.errors import ModelNameError
from assistant.fit.records import Speed, SpeedRange, Verdict
from assistant.fit.speed_constants import CPU_RANGE, GPU_RANGE, PARTIAL_RANGE
from assistant.machine.records import Machine, MeasuredRun
from assistant.models.names import parse_model_name

REPEATABILITY: Final = 0.05
"""Share by which runs of the same model differ at least, up and down."""

LEAST_SCALE: Final = 0.3
MOST_SCALE: Final = 3.0
"""A measured ratio beyond these says that something else was wrong, not by how much."""

AGREEING_MODELS: Final = 3
"""From so many measured models on, their own spread may narrow the range."""

_AGREEMENT: Final = 0.1
"""Room left beyond the slowest and the fastest of them, as a share."""

_NEAR_CONTEXT: Final = 0.1
_ROUNDING: Final = 1e-9
_USUAL_LOW: Final[dict[str, float]] = {
    "gpu": GPU_RANGE[0],
    "partial": PARTIAL_RANGE[0],
    "cpu": CPU_RANGE[0],
}


@dataclass(frozen=True, slots=True)
class MeasuredSpeed(SpeedRange):
    """A speed that was measured here: `expected` is the figure, the range how well it repeats."""


def uncalibrated(machine: Machine) -> Machine:
    """Return the machine without measured runs: what a run's expected speed is estimated on."""
    return replace(machine, measured_runs=())


def calibrated_speed(
    speed: Speed,
    runs: Sequence[MeasuredRun],
    *,
    model: str,
    quantization: str | None,
    num_ctx: int,
    verdict: Verdict,
) -> Speed:
    """Return `speed` as the runs on this machine correct it; itself where none applies.

    `model` is the resolved name, `num_ctx` the context and `verdict` the place of the run that
    is estimated.
    """
    here = [run for run in runs if run.verdict == verdict and run.decode_tokens_per_s > 0]
    own = [run for run in here if _is_of(run, model, quantization)]
    same = own
    if verdict == "partial":
        same = [run for run in own if _is_near(run.num_ctx, num_ctx)]
    if same:
        return _measured(speed, same, here, num_ctx=num_ctx, verdict=verdict)
    rated = [run for run in own if run.expected_decode_tokens_per_s]
    return _scaled(speed, rated or here, verdict=verdict, is_own=bool(rated))


def measured_rate(speed: MeasuredSpeed) -> str:
    """Return the figure in tokens per second as text: `31.4`, or `1,210` from a hundred on."""
    return f"{speed.expected:,.0f}" if speed.expected >= 100 else f"{speed.expected:.1f}"


def _measured(
    speed: Speed,
    same: Sequence[MeasuredRun],
    here: Sequence[MeasuredRun],
    *,
    num_ctx: int,
    verdict: Verdict,
) -> Speed:
    """Return the measured point: of the run nearest in context, the newest among equals."""
    nearest = min(
        enumerate(same),
        key=lambda pair: (abs(math.log(max(1, pair[1].num_ctx) / max(1, num_ctx))), -pair[0]),
    )[1]
    decode = _point(nearest.decode_tokens_per_s, [run.decode_tokens_per_s for run in same])
    basis = f"measured on this machine on {nearest.measured_on}: {measured_rate(decode)} tokens/s"
    prompts = [run.prompt_tokens_per_s for run in same if run.prompt_tokens_per_s]
    if prompts:
        prompt: SpeedRange | None = _point(nearest.prompt_tokens_per_s or prompts[-1], prompts)
    else:
        prompt = _scaled(speed, here, verdict=verdict, is_own=False).prompt
    return Speed(decode, prompt, basis)


def _point(figure: float, figures: Sequence[float]) -> MeasuredSpeed:
    low = min(*figures, figure * (1 - REPEATABILITY))
    high = max(*figures, figure * (1 + REPEATABILITY))
    return MeasuredSpeed(low, figure, high)


def _scaled(speed: Speed, runs: Sequence[MeasuredRun], *, verdict: Verdict, is_own: bool) -> Speed:
    """Return the estimate times the median ratio of measured to expected speed."""
    decode, prompt, basis = speed.decode, speed.prompt, speed.basis
    ratios = _ratios(
        (run.model, run.decode_tokens_per_s, run.expected_decode_tokens_per_s) for run in runs
    )
    if decode is not None and ratios:
        factor = _scale(ratios)
        decode = _narrowed(_times(decode, factor), ratios, verdict)
        what = "this model at another context length" if is_own else _names(ratios)
        basis = f"{basis}; scaled by {factor:.2f}, as measured here with {what}"
    reading = _ratios(
        (run.model, run.prompt_tokens_per_s, run.expected_prompt_tokens_per_s) for run in runs
    )
    if prompt is not None and reading:
        prompt = _times(prompt, _scale(reading))
    return Speed(decode, prompt, basis)


def _ratios(figures: Iterable[tuple[str, float | None, float | None]]) -> dict[str, float]:
    """Return measured / expected by model: the median of its runs, the newest model last."""
    found: dict[str, list[float]] = {}
    for model, measured, expected in figures:
        if measured and expected and measured > 0 and expected > 0:
            found[model] = [*found.pop(model, []), measured / expected]
    return {model: _median(ratios) for model, ratios in found.items()}


def _median(values: Iterable[float]) -> float:
    """Return the middle value; `statistics` would cost the start more than all the rest."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _scale(ratios: Mapping[str, float]) -> float:
    return min(MOST_SCALE, max(LEAST_SCALE, _median(ratios.values())))


def _times(speed: SpeedRange, factor: float) -> SpeedRange:
    return SpeedRange(speed.low * factor, speed.expected * factor, speed.high * factor)


def _narrowed(speed: SpeedRange, ratios: Mapping[str, float], verdict: Verdict) -> SpeedRange:
    """Return the range no wider than the measured models differ, when there are enough of them.

    A low end below the usual one is that of a full context, about which runs with a short one
    say nothing: it stays.
    """
    if len(ratios) < AGREEING_MODELS:
        return speed
    middle = _median(ratios.values())
    slowest, fastest = min(ratios.values()) / middle, max(ratios.values()) / middle
    low = speed.low
    if low >= speed.expected * _USUAL_LOW.get(verdict, 0.0) * (1 - _ROUNDING):
        low = max(low, speed.expected * slowest * (1 - _AGREEMENT))
    high = min(speed.high, speed.expected * fastest * (1 + _AGREEMENT))
    return SpeedRange(low, speed.expected, high)


def _names(ratios: Mapping[str, float]) -> str:
    newest = list(ratios)[-1]
    more = len(ratios) - 1
    if not more:
        return newest
    return f"{newest} and {more} more model{'s' if more > 1 else ''}"


def _is_of(run: MeasuredRun, model: str, quantization: str | None) -> bool:
    if _key(run.model) != _key(model):
        return False
    return run.quantization == quantization or None in {run.quantization, quantization}


@lru_cache(maxsize=1024)
def _key(model: str) -> str:
    """Return a name as Ollama compares names; what is none (the path of a file) as it is."""
    try:
        return parse_model_name(model).key
    except ModelNameError:
        return model


def _is_near(measured_num_ctx: int, num_ctx: int) -> bool:
    return abs(measured_num_ctx - num_ctx) <= _NEAR_CONTEXT * num_ctx

"""Keeping what a verification measured, so that later estimates on this computer know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.fit.records import ModelFacts, RunOptions
    from assistant.machine.records import Machine
    from assistant.provision.records import Measured


def keep_measured_speed(
    facts: ModelFacts, machine: Machine, options: RunOptions, measured: Measured
) -> None:
    """Keep the speed of a model beside what was expected of it; embedding models have none.

    The expectation is the estimate without anything measured before, so that corrections never
    build on each other.

    Raises:
        FileProblemError: it cannot be written.
    """
    from assistant.fit.calibration import uncalibrated
    from assistant.fit.estimate import estimate_fit
    from assistant.machine.measured_runs import keep_run
    from assistant.machine.records import MeasuredRun
    from assistant.paths import data_folder

    if not measured.decode_tokens_per_s:
        return
    raw = estimate_fit(facts, uncalibrated(machine), options, with_limits=False)
    decode, prompt = raw.speed.decode, raw.speed.prompt
    verdict = raw.placement.verdict
    if verdict == "none":
        return
    keep_run(
        data_folder(),
        machine,
        MeasuredRun(
            model=raw.resolved,
            quantization=raw.quantization,
            num_ctx=raw.num_ctx,
            verdict=verdict,
            decode_tokens_per_s=measured.decode_tokens_per_s,
            measured_on=measured.at[:10],
            prompt_tokens_per_s=measured.prompt_tokens_per_s,
            expected_decode_tokens_per_s=decode.expected if decode else None,
            expected_prompt_tokens_per_s=prompt.expected if prompt else None,
        ),
    )

"""Whatever was measured: ranges stay ordered, speeds positive, and the order of models the same."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.fit.calibration import MeasuredSpeed, calibrated_speed
from assistant.fit.records import Speed, SpeedRange
from assistant.machine.measured_runs import FILE_NAME, keep_run, with_measured_runs
from assistant.machine.records import Machine, MeasuredRun

RUN = MeasuredRun("a:1b", "Q4_K_M", 4096, "cpu", 7.5, "2026-11-27")
speeds = st.floats(0.01, 10_000)
names = st.sampled_from(["a:1b", "b:3b", "c:8b", "d:70b"])
runs = st.builds(
    MeasuredRun,
    model=names,
    quantization=st.sampled_from(["Q4_K_M", "Q8_0", None]),
    num_ctx=st.integers(1, 262_144),
    verdict=st.sampled_from(["gpu", "partial", "cpu"]),
    decode_tokens_per_s=speeds,
    measured_on=st.dates().map(str),
    prompt_tokens_per_s=st.none() | speeds,
    expected_decode_tokens_per_s=st.none() | speeds,
    expected_prompt_tokens_per_s=st.none() | speeds,
)
ranges = st.builds(
    lambda low, expected, high: SpeedRange(low * expected, expected, high * expected),
    st.floats(0.01, 1.0),
    speeds,
    st.floats(1.0, 3.0),
)
estimates = st.builds(Speed, ranges, st.none() | ranges, st.just("estimated"))
verdicts = st.sampled_from(["gpu", "partial", "cpu", "none"])


def decode_of(speed: Speed) -> SpeedRange:
    assert speed.decode is not None
    return speed.decode


@given(estimates, st.lists(runs, max_size=8), names, st.integers(1, 262_144), verdicts)
def test_ranges_stay_ranges(
    estimate: Speed, measured: list[MeasuredRun], model: str, num_ctx: int, verdict: str
) -> None:
    speed = calibrated_speed(
        estimate,
        measured,
        model=model,
        quantization="Q4_K_M",
        num_ctx=num_ctx,
        verdict=verdict,
    )
    for each in (speed.decode, speed.prompt):
        if each is not None:
            assert 0 < each.low <= each.expected * (1 + 1e-9)
            assert each.expected <= each.high * (1 + 1e-9)
    is_point = isinstance(speed.decode, MeasuredSpeed)
    assert is_point == speed.basis.startswith("measured on this machine")
    if not is_point:
        scale = decode_of(speed).expected / decode_of(estimate).expected
        assert 0.3 * (1 - 1e-9) <= scale <= 3 * (1 + 1e-9)
        assert decode_of(speed).low >= decode_of(estimate).low * scale * (1 - 1e-9)
        assert decode_of(speed).high <= decode_of(estimate).high * scale * (1 + 1e-9)
    if not any(run.verdict == verdict for run in measured):
        assert speed == estimate


@given(estimates, estimates, st.lists(runs, max_size=8), verdicts)
def test_models_that_were_not_measured_keep_their_order(
    one: Speed, two: Speed, measured: list[MeasuredRun], verdict: str
) -> None:
    first, second = (
        decode_of(
            calibrated_speed(
                each,
                measured,
                model="x:2b",
                quantization="Q4_K_M",
                num_ctx=8192,
                verdict=verdict,
            )
        ).expected
        for each in (one, two)
    )
    before = decode_of(one).expected, decode_of(two).expected
    assert first / second == pytest.approx(before[0] / before[1])


@given(estimates, st.lists(runs, min_size=1, max_size=8), verdicts)
def test_the_order_in_which_other_models_were_measured_does_not_matter(
    estimate: Speed, measured: list[MeasuredRun], verdict: str
) -> None:
    forward, backward = (
        calibrated_speed(
            estimate,
            order,
            model="x:2b",
            quantization="Q4_K_M",
            num_ctx=8192,
            verdict=verdict,
        )
        for order in (measured, measured[::-1])
    )
    assert forward.decode == backward.decode
    assert forward.prompt == backward.prompt


@given(st.lists(runs, max_size=6))
def test_every_kept_run_is_read_again_unless_a_newer_one_replaced_it(
    measured: list[MeasuredRun],
) -> None:
    with TemporaryDirectory() as folder:
        for run in measured:
            keep_run(Path(folder), Machine(), run)
        kept = with_measured_runs(Path(folder), Machine()).measured_runs
    assert set(kept) <= set(measured)
    assert [run for run in kept if run == measured[-1]] == list(kept[-1:])
    assert {(run.model, run.quantization, run.verdict) for run in kept} == {
        (run.model, run.quantization, run.verdict) for run in measured
    }


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_content_of_the_file_is_an_error(value: object) -> None:
    run = {"model": value, "quantization": value, "num_ctx": value, "verdict": value}
    content = {"version": 1, "runs": [{"machine": {}, "run": run}, {"machine": value}, value]}
    with TemporaryDirectory() as folder:
        (Path(folder) / FILE_NAME).write_text(json.dumps(content))
        assert with_measured_runs(Path(folder), Machine()).measured_runs == ()
        keep_run(Path(folder), Machine(), RUN)
        assert with_measured_runs(Path(folder), Machine()).measured_runs == (RUN,)

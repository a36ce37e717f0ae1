"""What was measured here replaces or scales what is estimated, and says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.cli.fit_text import render_estimates
from assistant.fit.calibration import MeasuredSpeed, calibrated_speed, uncalibrated
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import FitEstimate, RunOptions, Speed, SpeedRange, Verdict
from assistant.fit.serialize import estimate_to_dict
from assistant.machine.parse import load_machine
from assistant.machine.records import Machine, MeasuredRun
from assistant.models.catalog import load_catalog
from assistant.recommend import recommend
from assistant.recommend.records import Needs

ESTIMATE = Speed(
    SpeedRange(26.0, 40.0, 49.2), SpeedRange(600.0, 1000.0, 1400.0), "estimated from bandwidth"
)
RUN = MeasuredRun(
    model="gemma4:12b",
    quantization="Q4_K_M",
    num_ctx=16384,
    verdict="gpu",
    decode_tokens_per_s=31.4,
    measured_on="2026-11-27",
    prompt_tokens_per_s=820.0,
    expected_decode_tokens_per_s=36.5,
    expected_prompt_tokens_per_s=1000.0,
)


def other(model: str, ratio: float, verdict: Verdict = "gpu") -> MeasuredRun:
    return replace(
        RUN,
        model=model,
        verdict=verdict,
        decode_tokens_per_s=20.0 * ratio,
        expected_decode_tokens_per_s=20.0,
        prompt_tokens_per_s=None,
    )


def calibrated(
    *runs: MeasuredRun,
    model: str = "gemma4:12b",
    quantization: str | None = "Q4_K_M",
    num_ctx: int = 16384,
    verdict: Verdict = "gpu",
    speed: Speed = ESTIMATE,
) -> Speed:
    return calibrated_speed(
        speed, runs, model=model, quantization=quantization, num_ctx=num_ctx, verdict=verdict
    )


def test_without_runs_nothing_changes() -> None:
    assert calibrated() == ESTIMATE


def test_the_model_itself_is_a_point_and_says_when() -> None:
    speed = calibrated(RUN)
    assert speed.decode == MeasuredSpeed(pytest.approx(31.4 * 0.95), 31.4, pytest.approx(32.97))
    assert isinstance(speed.decode, MeasuredSpeed)
    assert isinstance(speed.prompt, MeasuredSpeed)
    assert speed.prompt.expected == 820.0
    assert speed.basis == "measured on this machine on 2026-11-27: 31.4 tokens/s"


@pytest.mark.parametrize(
    "name", ["GEMMA4:12B", "library/gemma4:12b", "registry.ollama.ai/library/gemma4:12b"]
)
def test_names_compare_as_ollama_compares_them(name: str) -> None:
    assert isinstance(calibrated(RUN, model=name).decode, MeasuredSpeed)


def test_a_file_is_known_by_its_path() -> None:
    run = replace(RUN, model="/models/My Model.gguf")
    assert isinstance(calibrated(run, model="/models/My Model.gguf").decode, MeasuredSpeed)
    assert not isinstance(calibrated(run, model="/models/my model.gguf").decode, MeasuredSpeed)


def test_another_quantization_is_another_model() -> None:
    speed = calibrated(RUN, quantization="Q8_0")
    assert not isinstance(speed.decode, MeasuredSpeed)
    assert isinstance(calibrated(RUN, quantization=None).decode, MeasuredSpeed)


def test_a_measured_model_has_a_speed_where_no_estimate_could_be_made() -> None:
    unknown = Speed(None, None, "the memory bandwidth of this GPU is unknown")
    speed = calibrated(RUN, speed=unknown)
    assert speed.decode is not None
    assert speed.decode.expected == 31.4
    assert calibrated(RUN, model="qwen3:8b", speed=unknown) == unknown


def test_on_the_gpu_a_point_holds_at_any_context() -> None:
    assert calibrated(RUN, num_ctx=4096).decode == calibrated(RUN).decode


def test_the_nearest_context_is_the_point_and_the_others_its_spread() -> None:
    short = replace(RUN, num_ctx=4096, decode_tokens_per_s=36.0)
    speed = calibrated(RUN, short, num_ctx=8000)
    assert speed.decode is not None
    assert speed.decode.expected == 36.0
    assert (speed.decode.low, speed.decode.high) == (31.4, pytest.approx(36.0 * 1.05))
    nearer = calibrated(short, RUN, num_ctx=16000).decode
    assert nearer is not None
    assert nearer.expected == 31.4


def test_of_equally_near_runs_the_newest_counts() -> None:
    newer = replace(RUN, decode_tokens_per_s=33.0, measured_on="2026-12-01", quantization=None)
    assert "2026-12-01: 33.0" in calibrated(RUN, newer).basis


def test_in_a_split_another_context_is_another_split() -> None:
    run = replace(RUN, verdict="partial", num_ctx=16384)
    same = calibrated(run, verdict="partial", num_ctx=16000)
    assert isinstance(same.decode, MeasuredSpeed)
    elsewhere = calibrated(run, other("qwen3:8b", 2.0, "partial"), verdict="partial", num_ctx=4096)
    assert elsewhere.decode is not None
    assert not isinstance(elsewhere.decode, MeasuredSpeed)
    assert elsewhere.decode.expected == pytest.approx(40.0 * 31.4 / 36.5)
    assert elsewhere.basis.endswith(
        "scaled by 0.86, as measured here with this model at another context length"
    )


def test_in_a_split_an_own_run_without_expectation_leaves_it_to_the_others() -> None:
    own = replace(RUN, verdict="partial", expected_decode_tokens_per_s=None)
    speed = calibrated(own, other("qwen3:8b", 0.7, "partial"), verdict="partial", num_ctx=4096)
    assert speed.basis.endswith("scaled by 0.70, as measured here with qwen3:8b")


def test_another_model_scales_the_range() -> None:
    speed = calibrated(RUN, model="qwen3:8b")
    ratio = 31.4 / 36.5
    assert speed.decode is not None
    assert not isinstance(speed.decode, MeasuredSpeed)
    expected = tuple(pytest.approx(each * ratio) for each in (26.0, 40.0, 49.2))
    assert (speed.decode.low, speed.decode.expected, speed.decode.high) == expected
    assert speed.prompt == SpeedRange(*(pytest.approx(each * 0.82) for each in (600, 1000, 1400)))
    assert speed.basis == (
        "estimated from bandwidth; scaled by 0.86, as measured here with gemma4:12b"
    )


@pytest.mark.parametrize("verdict", ["partial", "cpu", "none"])
def test_a_run_in_another_place_says_nothing(verdict: Verdict) -> None:
    assert calibrated(RUN, verdict=verdict) == ESTIMATE


def test_a_run_without_expectation_scales_nothing() -> None:
    run = replace(RUN, expected_decode_tokens_per_s=None, expected_prompt_tokens_per_s=None)
    assert calibrated(run, model="qwen3:8b") == ESTIMATE


@pytest.mark.parametrize(("ratio", "scale"), [(0.01, 0.3), (50.0, 3.0), (1.2, 1.2)])
def test_the_scale_is_bounded(ratio: float, scale: float) -> None:
    speed = calibrated(other("a:1b", ratio), model="b:1b")
    assert speed.decode is not None
    assert speed.decode.expected == pytest.approx(40.0 * scale)


def test_the_median_of_the_models_counts_each_model_once() -> None:
    many = [replace(other("a:1b", 0.5), num_ctx=n) for n in (2048, 4096, 8192, 16384)]
    speed = calibrated(*many, other("b:1b", 0.9), other("c:1b", 1.0), model="d:1b")
    assert speed.decode is not None
    assert speed.decode.expected == pytest.approx(40.0 * 0.9)
    assert speed.basis.endswith("scaled by 0.90, as measured here with c:1b and 2 more models")


def test_three_models_that_agree_narrow_the_range() -> None:
    runs = [other("a:1b", 0.88), other("b:1b", 0.9), other("c:1b", 0.93)]
    two, three = calibrated(*runs[:2], model="d:1b"), calibrated(*runs, model="d:1b")
    assert two.decode is not None
    assert three.decode is not None
    assert two.decode.low / two.decode.expected == pytest.approx(0.65)
    assert three.decode.low / three.decode.expected == pytest.approx(0.88 / 0.9 * 0.9)
    assert three.decode.high / three.decode.expected == pytest.approx(0.93 / 0.9 * 1.1)


def test_three_models_that_disagree_leave_the_range() -> None:
    runs = [other("a:1b", 0.4), other("b:1b", 0.9), other("c:1b", 1.6)]
    speed = calibrated(*runs, model="d:1b")
    assert speed.decode is not None
    assert speed.decode.low / speed.decode.expected == pytest.approx(0.65)
    assert speed.decode.high / speed.decode.expected == pytest.approx(1.23)


def test_the_low_end_of_a_full_context_stays() -> None:
    deep = replace(ESTIMATE, decode=SpeedRange(12.0, 40.0, 49.2))
    runs = [other("a:1b", 0.88), other("b:1b", 0.9), other("c:1b", 0.93)]
    speed = calibrated(*runs, model="d:1b", speed=deep)
    assert speed.decode is not None
    assert speed.decode.low == pytest.approx(12.0 * 0.9)
    assert speed.decode.high < 49.2 * 0.9


RTX_3060 = load_machine("RTX 3060 12GB, 32GB RAM")


def estimate(name: str, machine: Machine) -> FitEstimate:
    facts = facts_from_card(*load_catalog().find(name))
    return estimate_fit(facts, machine, RunOptions(num_ctx=8192), with_limits=False)


def run_of(fit: FitEstimate, ratio: float) -> MeasuredRun:
    assert fit.speed.decode is not None
    assert fit.placement.verdict == "gpu"
    return MeasuredRun(
        model=fit.resolved,
        quantization=fit.quantization,
        num_ctx=fit.num_ctx,
        verdict="gpu",
        decode_tokens_per_s=ratio * fit.speed.decode.expected,
        measured_on="2026-11-27",
        expected_decode_tokens_per_s=fit.speed.decode.expected,
    )


def test_estimates_take_the_machines_runs_and_keep_everything_else() -> None:
    before = {name: estimate(name, RTX_3060) for name in ("llama3.1:8b", "qwen3:8b")}
    machine = replace(RTX_3060, measured_runs=(run_of(before["llama3.1:8b"], 0.8),))
    after = {name: estimate(name, machine) for name in before}
    own, scaled = after["llama3.1:8b"].speed.decode, after["qwen3:8b"].speed.decode
    assert isinstance(own, MeasuredSpeed)
    assert scaled is not None
    assert before["qwen3:8b"].speed.decode is not None
    assert scaled.expected == pytest.approx(0.8 * before["qwen3:8b"].speed.decode.expected)
    assert "as measured here with llama3.1:8b" in after["qwen3:8b"].speed.basis
    for name, fit in after.items():
        assert replace(fit, speed=before[name].speed) == before[name]


def test_measuring_again_corrects_nothing_twice() -> None:
    first = run_of(estimate("llama3.1:8b", RTX_3060), 0.8)
    machine = replace(RTX_3060, measured_runs=(first,))
    assert uncalibrated(machine) == RTX_3060
    again = run_of(estimate("qwen3:8b", uncalibrated(machine)), 0.8)
    both = replace(RTX_3060, measured_runs=(first, again))
    third, plain = estimate("gemma3:4b", both), estimate("gemma3:4b", RTX_3060)
    assert third.speed.decode is not None
    assert plain.speed.decode is not None
    assert third.speed.decode.expected == pytest.approx(0.8 * plain.speed.decode.expected)


def picks(machine: Machine) -> dict[tuple[str, str], float]:
    """Return the expected speed of every recommended model that is wholly on the GPU."""
    found = recommend(machine, Needs(role="chat"), load_catalog())
    return {
        (pick.model, pick.label): pick.estimate.speed.decode.expected
        for pick in found.picks
        if pick.estimate.speed.decode is not None and pick.estimate.placement.verdict == "gpu"
    }


@pytest.mark.parametrize("ratio", [1.0, 0.9])
def test_recommendations_scale_with_what_was_measured(ratio: float) -> None:
    run = run_of(estimate("llama3.1:8b", RTX_3060), ratio)
    plain, scaled = picks(RTX_3060), picks(replace(RTX_3060, measured_runs=(run,)))
    assert len(plain) > 2
    assert list(scaled) == list(plain)
    assert list(scaled.values()) == pytest.approx([ratio * speed for speed in plain.values()])


def test_fit_says_what_was_measured_and_shows_it_as_a_point() -> None:
    run = replace(run_of(estimate("llama3.1:8b", RTX_3060), 1.0), decode_tokens_per_s=31.44)
    machine = replace(RTX_3060, measured_runs=(replace(run, prompt_tokens_per_s=1210.4),))
    fit = estimate("llama3.1:8b", machine)
    said = " ".join(render_estimates([fit], machine).replace("\u00a0", " ").split())
    assert "31.4 tokens/s measured" in said
    assert "reads 1,210 prompt tokens/s measured" in said
    assert "the speed is measured on this machine on 2026-11-27: 31.4 tokens/s." in said
    table = render_estimates([fit, estimate("qwen3:8b", machine)], machine)
    assert "31.4 measured" in table
    assert table.count("measured") == 1


def test_json_has_the_figure_and_its_basis() -> None:
    run = run_of(estimate("llama3.1:8b", RTX_3060), 0.5)
    machine = replace(RTX_3060, measured_runs=(run,))
    speed = estimate_to_dict(estimate("llama3.1:8b", machine))["speed"]
    figure = float(f"{run.decode_tokens_per_s:.4g}")
    assert speed["decode_tokens_per_s"]["expected"] == figure
    assert speed["basis"].startswith("measured on this machine on 2026-11-27: ")

"""Fit's text: the bars stack and stay in their columns, the first line answers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.cli.fit_plot import context_lengths
from assistant.cli.fit_text import headline, render_estimates, tokens_per_second
from assistant.fit.records import (
    DeviceShare,
    FitEstimate,
    Limits,
    MemoryParts,
    Placement,
    Speed,
    SpeedRange,
)
from assistant.fit.serialize import estimate_to_dict
from assistant.machine.records import Accelerator, Machine, Ram
from assistant.units import GIB

MACHINE = Machine(
    ram=Ram(32 * GIB, 28 * GIB, 51.2, "assumed"),
    accelerators=(Accelerator("RTX 3060", "nvidia", "discrete", 12 * GIB, 11 * GIB, 360.0),),
)
FITS = FitEstimate(
    model="small:8b",
    resolved="small:8b-q4_K_M",
    source="catalog",
    exact=True,
    architecture="llama",
    parameters_total=8_030_261_248,
    parameters_active=8_030_261_248,
    quantization="Q4_K_M",
    download_bytes=4_920_000_000,
    num_ctx=8192,
    requested_num_ctx=8192,
    num_parallel=1,
    num_batch=512,
    kv_cache_type="f16",
    flash_attention=True,
    gpu=MemoryParts(4 * GIB, GIB, 0, GIB // 4, 0, GIB // 2),
    host=MemoryParts(GIB // 4, 0, 0, GIB // 64, 0, 0),
    placement=Placement("gpu", 33, 33, 6 * GIB, GIB, (DeviceShare("RTX 3060", 6 * GIB, 33),)),
    speed=Speed(SpeedRange(31.2, 48.0, 59.1), None, "estimated from memory bandwidth"),
    limits=Limits(65536, "Q8_0", 131072),
)
sizes = st.integers(0, 60 * GIB)
parts = st.builds(MemoryParts, sizes, sizes, sizes, sizes, sizes, sizes)


def lines_of(estimate: FitEstimate, width: int = 80) -> list[str]:
    return render_estimates([estimate], MACHINE, width=width).splitlines()


@given(gpu=parts, host=parts, verdict=st.sampled_from(["gpu", "partial", "cpu", "none"]))
def test_bars_stay_in_their_columns_and_stack(
    gpu: MemoryParts, host: MemoryParts, verdict: str
) -> None:
    placement = dataclasses.replace(FITS.placement, verdict=verdict)  # type: ignore[arg-type]
    estimate = dataclasses.replace(FITS, gpu=gpu, host=host, placement=placement)
    lines = lines_of(estimate)
    assert max(map(len, lines)) <= 80
    end = 0
    for line in lines:
        if "█" not in line:
            end = 0
            continue
        begin, filled = line.index("█"), line.count("█")
        assert line[begin : begin + filled] == "█" * filled
        assert end == 0 or begin in (end, end - 1)
        end = begin + filled


@given(st.floats(0.05, 5000), st.floats(1, 3))
def test_speeds_are_shown_with_two_digits(low: float, factor: float) -> None:
    shown = tokens_per_second(SpeedRange(low, low, low * factor)).replace(",", "")
    for figure, speed in zip(shown.split(" to "), (low, low * factor), strict=False):
        assert float(figure) == pytest.approx(speed, rel=0.06, abs=0.06)


def test_the_first_line_answers() -> None:
    assert lines_of(FITS)[0] == (
        "small:8b (Q4_K_M, 4.9 GB download) fits on the GPU with 8,192 tokens:"
    )
    assert headline(FITS, MACHINE).replace("\u00a0", " ").endswith(" 5.8 of 11.0 GiB.")


def test_a_miss_says_by_how_much_and_what_would_help() -> None:
    estimate = dataclasses.replace(
        FITS,
        placement=dataclasses.replace(FITS.placement, verdict="partial", gpu_layers=20),
        missing_bytes=3 * GIB,
        remedies=("num_ctx 16384 fits", "a q8_0 cache fits", "a 16 GB card"),
    )
    said = headline(estimate, MACHINE).replace("\u00a0", " ")
    assert "20 of 33 layers on the GPU, the rest on the CPU" in said
    assert "would need 14.0 GiB, 3.0 GiB too many: " in said
    assert said.endswith("num_ctx 16384 fits, or a q8_0 cache fits, or a 16 GB card.")


def test_what_ollama_keeps_free_is_not_called_free() -> None:
    rows = {line[2:12].strip(): line.split()[-2:] for line in lines_of(FITS) if "GiB" in line}
    assert rows["kept free"] == ["1.0", "GiB"]
    assert rows["free"] == ["4.2", "GiB"]


def test_a_model_that_writes_no_text_has_no_speed_figure() -> None:
    speed = Speed(None, None, "an embedding model writes no text")
    text = " ".join(" ".join(lines_of(dataclasses.replace(FITS, speed=speed))).split())
    assert "no speed figure: an embedding model writes no text" in text
    assert "tokens/s" not in text


def test_every_size_and_speed_is_in_the_json() -> None:
    shown = estimate_to_dict(FITS)
    assert shown["memory"]["total_bytes"] == FITS.memory.total_bytes
    assert shown["speed"]["decode_tokens_per_s"] == {"low": 31.2, "expected": 48.0, "high": 59.1}
    assert shown["speed"]["prompt_tokens_per_s"] is None
    assert shown["limits"]["max_num_ctx_on_gpu"] == 65536
    fields = {field.name for field in dataclasses.fields(FitEstimate)} - {"gpu", "host"}
    assert fields <= set(shown)


@given(st.integers(1, 10_485_760), st.integers(1, 10_485_760))
def test_a_drawing_has_a_bounded_number_of_points(longest: int, marked: int) -> None:
    lengths = context_lengths(longest, marked)
    assert list(lengths) == sorted(set(lengths))
    assert {marked, max(longest, marked, 2048)} <= set(lengths)
    assert len(lengths) < 80

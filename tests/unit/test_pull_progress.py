"""Progress of pulls: the recorded ones, and whatever else a server may send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.ollama.progress import LayerProgress, PullProgress, advance

TRACES = Path(__file__).parents[1] / "data" / "ollama_traces"
DIGESTS = [f"sha256:{letter * 64}" for letter in "abc"]


def lines_of(name: str) -> list[dict[str, Any]]:
    trace = json.loads((TRACES / f"{name}.json").read_text("utf-8"))
    return [line["json"] for line in trace.get("stream") or ()]


STREAMS = sorted(
    path.stem for path in TRACES.glob("pull_*.json") if lines_of(path.stem)
)  # fmt: skip


def test_there_are_recorded_pulls() -> None:
    assert len(STREAMS) > 12


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_pull_only_grows_and_is_done_only_at_success(name: str) -> None:
    progress = PullProgress()
    for line in lines_of(name):
        before, progress = progress, advance(progress, line)
        assert before.completed_bytes <= progress.completed_bytes <= progress.total_bytes
        assert before.total_bytes <= progress.total_bytes
        assert progress.is_done == (line.get("status") == "success")
        assert [layer.digest for layer in before.layers] == [
            layer.digest for layer in progress.layers[: len(before.layers)]
        ]
    if progress.is_done:
        assert progress.completed_bytes == progress.total_bytes > 0


@pytest.mark.parametrize(
    ("name", "completed"),
    [
        ("pull_success_stream", 253_113_500),
        ("pull_server_sigkilled", 112_000_000),
        ("pull_cancelled_by_client", 123_000_000),
        ("pull_missing_model", 0),
    ],
)
def test_how_much_a_recorded_pull_brought(name: str, completed: int) -> None:
    progress = PullProgress()
    for line in lines_of(name):
        progress = advance(progress, line)
    assert progress.completed_bytes == completed


def test_an_error_makes_nothing_complete() -> None:
    lines = lines_of("pull_registry_dies_midway")
    assert "error" in lines[-1]
    progress = PullProgress()
    for line in lines[:-1]:
        progress = advance(progress, line)
    assert 0 < progress.completed_bytes < progress.total_bytes
    assert advance(progress, lines[-1]) == progress


def test_a_layer_without_its_last_line_is_whole_once_another_follows() -> None:
    progress = advance(PullProgress(), {"status": "pulling manifest"})
    assert progress == PullProgress("pulling manifest")
    progress = advance(progress, {"status": "pulling aaa", "digest": DIGESTS[0], "total": 900})
    assert progress.layers == (LayerProgress(DIGESTS[0], 900, 0),)
    line = {"status": "pulling aaa", "digest": DIGESTS[0], "total": 900, "completed": 850}
    progress = advance(progress, line)
    assert progress.completed_bytes == 850
    progress = advance(progress, {"status": "pulling bbb", "digest": DIGESTS[1], "total": 40})
    assert (progress.completed_bytes, progress.total_bytes) == (900, 940)
    progress = advance(progress, {"status": "verifying sha256 digest"})
    assert (progress.completed_bytes, progress.is_done) == (940, False)
    assert advance(progress, {"status": "success"}).is_done


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"status": "pulling aaa"},
        {"status": "pulling aaa", "digest": DIGESTS[0]},
        {"status": "pulling manifest"},
        {"status": None, "digest": None, "total": None},
        {"error": "EOF"},
        {"digest": 7, "total": 900},
        {"status": "something new"},
    ],
)
def test_lines_that_say_nothing_of_bytes_complete_nothing(line: dict[str, Any]) -> None:
    begun = PullProgress("pulling aaa", (LayerProgress(DIGESTS[0], 900, 300),))
    assert advance(begun, line).layers == begun.layers


@pytest.mark.parametrize("wrong", [-1, "900", 9.5, True, None, [900]])
def test_figures_that_are_none_are_left_out(wrong: Any) -> None:
    line = {"status": "pulling aaa", "digest": DIGESTS[0], "total": 900, "completed": wrong}
    assert advance(PullProgress(), line).completed_bytes == 0
    line = {"status": "pulling aaa", "digest": DIGESTS[0], "total": wrong, "completed": 5}
    assert advance(PullProgress(), line).layers == ()


values = st.none() | st.integers() | st.text(max_size=5) | st.booleans() | st.floats()
lines = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["pulling manifest", "pulling a", "writing manifest", "success"])
        | values,
        "digest": st.sampled_from(DIGESTS) | values,
        "total": st.integers(0, 10**12) | values,
        "completed": st.integers(0, 10**12) | values,
        "error": values,
    },
)


@given(st.lists(lines, max_size=12))
def test_whatever_comes_completed_is_never_above_total(stream: list[dict[str, Any]]) -> None:
    progress = PullProgress()
    for line in stream:
        progress = advance(progress, line)
        assert 0 <= progress.completed_bytes <= progress.total_bytes
        assert len({layer.digest for layer in progress.layers}) == len(progress.layers)
    assert progress.is_done == any(_says_success(line) for line in stream)


def _says_success(line: dict[str, Any]) -> bool:
    return line.get("status") == "success" and not (
        isinstance(line.get("digest"), str)
        and isinstance(line.get("total"), int)
        and not isinstance(line.get("total"), bool)
        and line["total"] >= 0
    )

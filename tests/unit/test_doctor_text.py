"""How findings look: a mark, the evidence below, the fix with its gain, and the oks in a line."""

from __future__ import annotations

import pytest

from assistant.cli.doctor_text import render_findings
from assistant.doctor.records import Finding

PROBLEM = Finding(
    "on-cpu",
    "problem",
    "qwen3:14b runs 38 % on the CPU",
    ("it needs 12.4 GiB with num_ctx 32768, the RTX 3060 has 11.3 GiB free",),
    "assistant tune qwen3:14b --num-ctx 16384 --apply",
    "100 % GPU",
    ("ollama stop gemma3:4b\nollama stop qwen3:14b",),
)
OKS = (Finding("driver", "ok", "driver"), Finding("disk", "ok", "disk"))


def test_a_problem_its_proof_and_its_fix() -> None:
    assert render_findings((PROBLEM, *OKS)) == (
        "✗ qwen3:14b runs 38 % on the CPU\n"
        "    it needs 12.4 GiB with num_ctx 32768, the RTX 3060 has 11.3 GiB free\n"
        "    fix: assistant tune qwen3:14b --num-ctx 16384 --apply      (100 % GPU)\n"
        "    or: ollama stop gemma3:4b\n"
        "        ollama stop qwen3:14b\n"
        "✓ driver, disk"
    )


def test_without_problems_the_first_line_says_so() -> None:
    unknown = Finding("gap", "unknown", "the ledger could not be read", ("damaged",))
    assert render_findings((unknown, *OKS)) == (
        "Nothing is wrong.\n? the ledger could not be read\n    damaged\n✓ driver, disk"
    )
    warning = Finding("swap", "warning", "3.0 GiB of memory are swapped to disk", ("x",), "y")
    assert render_findings((warning,)).startswith("! 3.0 GiB")


def test_a_gain_without_room_goes_below() -> None:
    long = Finding("x", "problem", "y", (), PROBLEM.fix, "100 % GPU, about 4x faster")
    assert render_findings((long,)).splitlines()[1:] == [
        "    fix: assistant tune qwen3:14b --num-ctx 16384 --apply",
        "         (100 % GPU, about 4x faster)",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_only_commands_may_be_wider_than_the_terminal(width: int) -> None:
    prose = Finding("x", "warning", "word " * 40, ("word " * 40,), "word " * 40, "word " * 20)
    assert max(map(len, render_findings((prose,), width=width).splitlines())) <= width


def test_control_characters_of_a_server_do_not_reach_the_terminal() -> None:
    nasty = Finding("gap", "unknown", "a\x1b[31mb\rc", ("d\ne\x07",), "ollama stop x\x1b]0;y\x07")
    shown = render_findings((nasty,))
    assert not any(ord(each) < 32 and each != "\n" for each in shown)
    assert len(shown.splitlines()) == 4


def test_marks_may_be_coloured() -> None:
    shown = render_findings((PROBLEM,), style=lambda text, **styles: f"<{styles['fg']}>{text}")
    assert shown.startswith("<red>✗ qwen3:14b")

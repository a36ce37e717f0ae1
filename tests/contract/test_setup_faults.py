"""Every fault at every step of a setup: what is said, what is left, and that it is finished later.

The table is that of `benchmarks/setup_faults.py`, which prints it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.provision.ledger import read_ledger
from benchmarks.setup_faults import CASES, DONE, STEPS, Case, try_case


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_fault_is_explained_and_the_same_command_finishes_later(
    case: Case, tmp_path: Path
) -> None:
    result = try_case(case, tmp_path)
    seen, again = result.seen, result.again
    assert "Traceback" not in seen.stderr + seen.stdout
    assert "something unexpected" not in seen.words
    assert seen.exit_code == case.exit_code
    assert seen.error.startswith(result.filled(case.says))
    assert result.filled(case.hint) in seen.error
    assert bool(seen.error) == bool(case.says)
    assert result.left == case.left
    if case.exit_code in {0, 1}:
        assert result.pending in {False, None}
    elif case.step not in {"reach", "list"}:
        assert result.pending
    if case.exit_code == 5:
        assert "ready as assistant-chat" not in seen.stderr
    assert (again.exit_code, again.error) == (0, "")
    assert result.left_again == DONE
    ledger = read_ledger(tmp_path / "home" / "data")
    entry = ledger.current("chat")
    assert ledger.pending is None
    assert entry is not None
    assert entry.measured is not None
    assert entry.alias_digest == result.alias_digest


def test_every_fault_meets_every_step_that_it_can_meet() -> None:
    met = {(case.fault, case.step) for case in CASES}
    for step in STEPS:
        assert {(fault, step) for fault in ("slow", "hang", "cut", "500", "503", "html")} <= met
    assert len(met) == len(CASES)

"""From what was seen to what is wrong: `diagnose` is pure, and says the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.doctor.checks_context import check_contexts
from assistant.doctor.checks_disk import check_disk
from assistant.doctor.checks_gpu import check_gpus, check_loaded
from assistant.doctor.checks_server import check_server
from assistant.doctor.checks_setup import check_index, check_setup
from assistant.doctor.checks_speed import check_speed
from assistant.doctor.records import LEVELS, Finding, Observations

_SAID_WITH_THE_MODEL: Final = {"gpu_not_seen": "driver", "gpu_left_out": "gpu-left-out"}
"""Findings about the GPU that a finding about a model says already, or contradicts."""


def diagnose(seen: Observations) -> tuple[Finding, ...]:
    """Return everything found: problems, warnings, what is not known, and what is well.

    Of one level the order is that of the questions people ask: where the model is, whether a
    prompt is cut, what is slow, then the server, the disk and the setup.
    """
    findings = list(_all(seen))
    told = {_SAID_WITH_THE_MODEL.get(finding.term or "") for finding in findings}
    kept = [finding for finding in findings if finding.id not in told]
    return tuple(sorted(kept, key=lambda finding: LEVELS.index(finding.level)))


def _all(seen: Observations) -> Iterator[Finding]:
    if seen.server.reachable is False:
        yield from check_server(seen)
    yield from check_loaded(seen)
    yield from check_gpus(seen)
    yield from check_contexts(seen)
    yield from check_speed(seen)
    if seen.server.reachable is not False:
        yield from check_server(seen)
    yield from check_disk(seen)
    yield from check_setup(seen)
    yield from check_index(seen)
    for gap in seen.gaps:
        yield Finding("gap", "unknown", f"{gap.what} could not be read", (gap.why,))

"""What is known of a download before it begins: what is here already, and how fast the line is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.cli.setup_job import SetupJob
    from assistant.machine.records import Machine
    from assistant.provision.records import Plan, Step


def kept_of_pulls(machine: Machine, steps: Sequence[Step]) -> int:
    """Return what interrupted pulls have left of the files that are to be downloaded here."""
    from assistant.ollama.partials import kept_bytes, read_partials

    folder = machine.disk.models_path
    pending = [s for s in steps if s.kind == "pull" and s.state != "done" and s.bytes]
    if not pending or folder is None:
        return 0
    partials = read_partials(Path(folder))
    return sum(kept_bytes(partials, step.bytes or 0) for step in pending)


def with_bandwidth(job: SetupJob, plan: Plan) -> Plan:
    """Return the plan with the speed of the line: stated, of the last pull, or measured."""
    remembered = job.ledger().bytes_per_s
    if not plan.download_bytes or plan.is_done:
        return plan
    if job.bandwidth is not None:
        speed, source = job.bandwidth, "you stated"
    elif remembered is not None:
        speed, source = remembered, "of the last download"
    else:
        measured = None if job.dry_run or job.offline else _measured(job, plan)
        if measured is None:
            return plan
        speed, source = measured, "measured now"
    return dataclasses.replace(plan, bytes_per_s=speed, bytes_per_s_from=source)


def _measured(job: SetupJob, plan: Plan) -> float | None:
    from assistant.models.registry import RegistryReader
    from assistant.paths import cache_folder
    from assistant.provision.bandwidth import measure_bandwidth

    if not job.is_here():
        return None
    pending = next(s for s in plan.steps if s.kind == "pull" and s.state != "done")
    with job.out.progress("measuring the line"):
        return measure_bandwidth(RegistryReader(cache_folder() / "registry"), pending.model)

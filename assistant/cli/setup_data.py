"""The `data` of `assistant setup --json`: the plan's steps, and what each role is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistant.cli.setup_job import SetupJob
    from assistant.provision.records import Measured, Plan


def setup_data(
    job: SetupJob, plan: Plan, measured: dict[str, Measured], told: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the `data` of `--json`: the plan and what each role is."""
    roles = {
        target.role: {
            "model": target.model,
            "alias": target.alias,
            "num_ctx": target.num_ctx,
            "quantization": target.quantization,
            "stays_loaded": target.stays_loaded,
            "licence": target.licence,
            "commercial_use": target.commercial_use,
            "reasons": list(target.reasons),
            "modelfile": target.modelfile,
            "estimate": dict(target.estimate) or None,
            "measured": _measured_dict(measured.get(target.role)),
        }
        for target in plan.targets
    }
    return {
        "plan": {
            "steps": [dataclasses.asdict(step) for step in plan.steps],
            "download_bytes": plan.download_bytes,
            "kept_bytes": plan.kept_bytes,
            "disk_free_bytes": plan.disk_free_bytes,
            "bytes_per_s": plan.bytes_per_s,
            "bytes_per_s_from": plan.bytes_per_s_from,
            "together_bytes": plan.together_bytes,
            "memory_bytes": plan.memory_bytes,
            "notes": list(plan.notes),
            "assumptions": list(plan.assumptions),
        },
        "roles": roles,
        "told": list(told),
        "server": {"url": job.address.url, "version": job.version},
    }


def _measured_dict(measured: Measured | None) -> dict[str, Any] | None:
    return None if measured is None else dataclasses.asdict(measured)

"""Findings and observations as plain JSON values, for `--json` and for the bundle."""

from __future__ import annotations

from typing import Any

from assistant.doctor.contexts import given_context, server_settings
from assistant.doctor.records import Finding, ModelSeen, Observations
from assistant.machine.serialize import machine_to_dict
from assistant.provision.records import LedgerEntry


def finding_to_dict(finding: Finding) -> dict[str, Any]:
    """Return one finding; unknown is null."""
    return {
        "id": finding.id,
        "level": finding.level,
        "what": finding.what,
        "evidence": list(finding.evidence),
        "fix": finding.fix,
        "gain": finding.gain,
        "also": list(finding.also),
        "model": finding.model,
        "term": finding.term,
    }


def observations_to_dict(seen: Observations) -> dict[str, Any]:
    """Return what was seen, without texts of a person's own: no Modelfile, no system prompt."""
    server, environment = seen.server, seen.environment
    return {
        "asked": seen.asked,
        "server": {
            "url": server.url,
            "is_local": server.is_local,
            "reachable": server.reachable,
            "version": server.version,
            "why": server.why,
            "platform": server.platform,
            "is_service": server.is_service,
        },
        "environment": {
            "source": environment.source,
            "why": environment.why,
            "variables": dict(environment.variables),
            "shell": dict(environment.shell),
            "proxy": _proxy(seen, server=True),
            "shell_proxy": _proxy(seen, server=False),
        },
        "models": None if seen.models is None else [_model(seen, each) for each in seen.models],
        "loaded": None
        if seen.loaded is None
        else [
            {
                "name": each.name,
                "size_bytes": each.size_bytes,
                "vram_bytes": each.vram_bytes,
                "num_ctx": each.num_ctx,
            }
            for each in seen.loaded
        ],
        "disk": _disk(seen),
        "system": {
            "swap_total_bytes": seen.system.swap_total_bytes,
            "swap_used_bytes": seen.system.swap_used_bytes,
            "on_battery": seen.system.on_battery,
            "profile": seen.system.profile,
        },
        "index": None
        if seen.index is None
        else {"built": seen.index.built, "outdated": seen.index.outdated},
        "setup": None if seen.ledger is None else _ledger(seen),
        "upstream": {
            name: {"digest": said.digest, "is_absent": said.is_absent, "why": said.why}
            for name, said in seen.upstream.items()
        },
        "machine": None if seen.machine is None else machine_to_dict(seen.machine),
        "faster": None
        if seen.faster is None
        else {"model": seen.faster.model, "tokens_per_s": seen.faster.tokens_per_s},
        "gaps": [{"what": gap.what, "why": gap.why} for gap in seen.gaps],
    }


def _proxy(seen: Observations, *, server: bool) -> dict[str, bool]:
    proxy = seen.environment.proxy if server else seen.environment.shell_proxy
    return {"http": proxy.http, "https": proxy.https, "spares_loopback": proxy.spares_loopback}


def _model(seen: Observations, model: ModelSeen) -> dict[str, Any]:
    facts = model.facts
    given, origin = given_context(model, seen.machine, server_settings(seen))
    return {
        "name": model.name,
        "digest": model.digest,
        "size_bytes": model.size_bytes,
        "blob_digest": model.blob_digest,
        "architecture": None if facts is None else facts.architecture.name,
        "quantization": None if facts is None else facts.quantization,
        "trained_num_ctx": None if facts is None else facts.architecture.context_length,
        "weights_bytes": None if facts is None else facts.weights.file_bytes,
        "projector_bytes": None if facts is None else facts.weights.projector_bytes,
        "capabilities": sorted(model.capabilities),
        "num_ctx": model.num_ctx,
        "num_gpu": model.num_gpu,
        "given_num_ctx": given,
        "given_by": origin,
        "in_cloud": model.in_cloud,
        "why": model.why,
    }


def _disk(seen: Observations) -> dict[str, Any]:
    disk = seen.disk
    return {
        "models_path": disk.models_path,
        "free_bytes": disk.free_bytes,
        "exists": disk.exists,
        "has_manifests": disk.has_manifests,
        "can_read": disk.can_read,
        "server_can_write": disk.server_can_write,
        "data_path": disk.data_path,
        "data_can_write": disk.data_can_write,
        "partials": [
            {
                "blob": each.blob,
                "done_bytes": each.done_bytes,
                "total_bytes": each.total_bytes,
                "broken_parts": each.broken_parts,
            }
            for each in disk.partials
        ],
    }


def _ledger(seen: Observations) -> list[dict[str, Any]]:
    histories = seen.ledger.aliases if seen.ledger is not None else ()
    return [_entry(history.entry) for history in histories if history.entry is not None]


def _entry(entry: LedgerEntry) -> dict[str, Any]:
    measured, expected = entry.measured, entry.expected
    return {
        "alias": entry.alias,
        "role": entry.role,
        "model": entry.model,
        "num_ctx": entry.num_ctx,
        "quantization": entry.quantization,
        "created_at": entry.created_at,
        "stays_loaded": entry.stays_loaded,
        "expected_verdict": None if expected is None else expected.verdict,
        "measured_tokens_per_s": None if measured is None else measured.decode_tokens_per_s,
    }

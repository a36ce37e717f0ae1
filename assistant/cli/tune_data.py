"""What `assistant tune --json` prints: the table, the grid, and what was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assistant.cli.fit_text import gpu_memory_bytes, ram_bytes, reserved_bytes
from assistant.cli.tune_text import is_installed, setting_instructions
from assistant.fit.serialize import estimate_to_dict
from assistant.machine.records import Machine
from assistant.provision.ledger import ledger_to_dict
from assistant.provision.records import AliasHistory, Ledger, LedgerEntry
from assistant.provision.tune_records import GridCell, TuneRow, TuneTable

if TYPE_CHECKING:
    from assistant.provision.tune_apply import Applied


def table_data(
    found: TuneTable,
    machine: Machine,
    *,
    installed: Sequence[str] | None = None,
    assumptions: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the table as plain JSON values; `applied` is None."""
    gpus = machine.usable_accelerators if found.on_gpu else ()
    named = found.named.estimate
    best = found.best
    kind = best.kv_cache_type if best is not None else found.wanted_type
    return {
        "model": found.model,
        "quantization": found.quantization,
        "machine_gpu": " + ".join(gpu.name for gpu in gpus) or None,
        "memory_bytes": gpu_memory_bytes(named, machine) if found.on_gpu else ram_bytes(machine),
        "kept_free_bytes": reserved_bytes(named, machine) if found.on_gpu else 0,
        "num_ctx": found.num_ctx,
        "asked_num_ctx": found.asked_num_ctx,
        "trained_num_ctx": found.trained_num_ctx,
        "kv_cache_type": found.wanted_type,
        "server_kv_cache_type": found.server_type,
        "best": None if best is None else {**_row(best, installed), "num_ctx": found.best_num_ctx},
        "rows": [_row(row, installed) for row in found.rows],
        "grid": [_cell(cell) for cell in found.grid],
        "set_kv_cache_type": [
            {"where": where, "steps": list(steps)}
            for where, steps in setting_instructions(kind, machine.os)
        ]
        if kind != found.server_type
        else [],
        "assumptions": list(assumptions),
        "applied": None,
    }


def applied_data(done: Applied) -> dict[str, Any]:
    """Return what was made as plain JSON values."""
    return {
        "name": done.entry.alias,
        "changed": done.changed,
        "modelfile_file": str(done.modelfile_file),
        "attempts": [{"num_ctx": each.num_ctx, "why": each.why} for each in done.attempts],
        **entry_data(done.entry),
    }


def entry_data(entry: LedgerEntry) -> dict[str, Any]:
    """Return a version as the ledger's file has it."""
    history = AliasHistory(entry.alias, entry.role, (entry,), (None,), 0)
    version: dict[str, Any] = ledger_to_dict(Ledger((history,)))["aliases"][0]["versions"][0]
    return version


def _row(row: TuneRow, installed: Sequence[str] | None) -> dict[str, Any]:
    estimate = estimate_to_dict(row.estimate)
    return {
        "model": row.model,
        "quantization": row.quantization,
        "kv_cache_type": row.kv_cache_type,
        "longest_num_ctx": row.longest_num_ctx,
        "num_ctx": row.estimate.num_ctx,
        "memory_bytes": row.memory_bytes,
        "verdict": row.estimate.placement.verdict,
        "stays": row.stays,
        "loads": row.loads,
        "missing_bytes": row.estimate.missing_bytes,
        "download_bytes": row.download_bytes,
        "installed": None if installed is None else is_installed(row.model, installed),
        "decode_tokens_per_s": estimate["speed"]["decode_tokens_per_s"],
        "perplexity_increase_percent": row.perplexity_increase,
        "kv_cache_costs": row.cache_costs,
        "is_current": row.is_current,
        "is_best": row.is_best,
        "why": row.why,
    }


def _cell(cell: GridCell) -> dict[str, Any]:
    return {
        "num_ctx": cell.num_ctx,
        "kv_cache_type": cell.kv_cache_type,
        "memory_bytes": cell.memory_bytes,
        "verdict": cell.verdict,
        "stays": cell.stays,
        "missing_bytes": cell.missing_bytes,
    }

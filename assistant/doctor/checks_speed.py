"""Why is it slow: full memory, settings that cost speed, speeds against what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.doctor.contexts import server_settings
from assistant.doctor.gpu_terms import LEAST_SHARE, cpu_share
from assistant.doctor.known_speeds import measured_speed
from assistant.doctor.records import Finding, Observations
from assistant.doctor.settings_steps import steps_to_unset
from assistant.fit.room import measure_room
from assistant.machine.records import MeasuredRun
from assistant.provision.drift import name_key
from assistant.provision.records import LedgerEntry
from assistant.units import GIB, gib

MUCH_SWAP_BYTES: Final = GIB
FULL_SHARE: Final = 0.05
"""Share of the RAM below which so little is available that the next model would swap."""

SLOW_SHARE: Final = 0.7
"""A measured speed under this share of the slowest expected one is not an estimate's error."""

_LOW_OF_EXPECTED: Final = 0.65
"""The lower end of the range of estimates (docs/speed.md), as a share of the expected speed."""

_WIDE: Final = ("f16", "f32", "bf16")


def check_speed(seen: Observations) -> Iterator[Finding]:
    """Yield what makes models slow here."""
    yield from _flash_attention(seen)
    yield from _memory(seen)
    yield from _power(seen)
    yield from _turns(seen)
    yield from _measured(seen)
    yield from _bandwidth(seen)


def _flash_attention(seen: Observations) -> Iterator[Finding]:
    settings = server_settings(seen)
    kind = settings.kv_cache_type.value or "f16"
    off = settings.flash_attention.value is False
    room = None if seen.machine is None else measure_room(seen.machine)
    incapable = [] if room is None else [g for g in room.gpus if not g.supports_flash_attention]
    if kind not in _WIDE and (off or incapable):
        why = "OLLAMA_FLASH_ATTENTION turns it off" if off else f"{incapable[0].name} has none"
        yield Finding(
            "kv-cache-without-flash-attention",
            "problem",
            f"no model loads: a {kind} KV cache needs flash attention",
            (f"OLLAMA_KV_CACHE_TYPE={kind}, and {why}",),
            steps_to_unset(seen, "OLLAMA_FLASH_ATTENTION" if off else "OLLAMA_KV_CACHE_TYPE"),
        )
    elif off:
        yield Finding(
            "flash-attention-off",
            "warning",
            "flash attention is off, which costs memory and speed",
            ("OLLAMA_FLASH_ATTENTION turns it off; unset, Ollama uses it where the GPU can",),
            steps_to_unset(seen, "OLLAMA_FLASH_ATTENTION"),
        )
    elif not incapable and seen.environment.source != "unknown":
        yield Finding("flash-attention", "ok", "flash attention")


def _memory(seen: Observations) -> Iterator[Finding]:
    swapped = seen.system.swap_used_bytes
    ram = None if seen.machine is None else seen.machine.ram
    total = ram.total_bytes if ram else None
    available = ram.available_bytes if ram else None
    full = bool(total) and available is not None and available < FULL_SHARE * (total or 0)
    if full and available is not None and total is not None:
        evidence = [f"{gib(available)} of {gib(total)} of RAM are available"]
        if swapped:
            evidence.append(f"{gib(swapped)} of swap are in use")
        yield Finding(
            "memory-full",
            "warning",
            "the memory is nearly full, so models may be read from disk again and again",
            tuple(evidence),
            _free_memory_fix(seen),
        )
    elif swapped is not None and swapped >= MUCH_SWAP_BYTES:
        swap = seen.system.swap_total_bytes
        of = "" if swap is None else f" of {gib(swap)}"
        yield Finding(
            "swap",
            "warning",
            f"{gib(swapped)} of memory are swapped to disk",
            (f"{gib(swapped)}{of} of swap are in use; a model that is swapped is very slow",),
            _free_memory_fix(seen),
        )
    elif swapped is not None and available is not None:
        yield Finding("memory", "ok", "memory")


def _free_memory_fix(seen: Observations) -> str:
    loaded = sorted(seen.loaded or (), key=lambda each: -(each.size_bytes or 0))
    if loaded:
        return f"ollama stop {loaded[0].name}\nor close other programs"
    return "close other programs"


def _power(seen: Observations) -> Iterator[Finding]:
    if seen.system.on_battery:
        yield Finding(
            "battery",
            "warning",
            "the computer runs on its battery, which slows CPU and GPU",
            ("the mains adapter is not connected",),
            "connect the mains adapter",
        )
    elif seen.system.profile == "low-power":
        yield Finding(
            "power-profile",
            "warning",
            "the power profile saves energy, which slows CPU and GPU",
            ("/sys/firmware/acpi/platform_profile says low-power",),
            "powerprofilesctl set balanced",
        )


def _turns(seen: Observations) -> Iterator[Finding]:
    """Say when the models that were set up to live together cannot."""
    entries = _together(seen)
    limit = server_settings(seen).max_loaded_models.value
    if len(entries) < 2:
        return
    names = ", ".join(entry.alias for entry in entries)
    if limit is not None and limit < len(entries):
        yield Finding(
            "taking-turns",
            "warning",
            "models take turns in memory, and each switch loads one again",
            (f"OLLAMA_MAX_LOADED_MODELS={limit}, and {len(entries)} are to stay loaded: {names}",),
            steps_to_unset(seen, "OLLAMA_MAX_LOADED_MODELS"),
        )
        return
    needed = sum((entry.expected.vram_bytes or 0) for entry in entries if entry.expected)
    gpus = seen.machine.usable_accelerators if seen.machine is not None else ()
    room = sum(gpu.memory_total_bytes or 0 for gpu in gpus)
    if room and needed > room:
        yield Finding(
            "taking-turns",
            "warning",
            "the models that were set up do not fit together, and each switch loads one again",
            (f"{names} take {gib(needed)} together, the GPU has {gib(room)}",),
            "assistant setup --anew",
        )


def _together(seen: Observations) -> list[LedgerEntry]:
    histories = seen.ledger.aliases if seen.ledger is not None else ()
    entries = [history.entry for history in histories if history.role is not None]
    return [entry for entry in entries if entry is not None and entry.stays_loaded]


def _measured(seen: Observations) -> Iterator[Finding]:
    """Compare what was measured with what had been expected of the same place."""
    histories = seen.ledger.aliases if seen.ledger is not None else ()
    entries = [history.entry for history in histories if history.entry is not None]
    for entry in entries:
        if _is_asked(seen, entry.alias, entry.model):
            yield from _baseline(entry)
    known = {name_key(name) for entry in entries for name in (entry.alias, entry.model)}
    newest: dict[str, MeasuredRun] = {}
    for run in seen.machine.measured_runs if seen.machine is not None else ():
        newest[name_key(run.model)] = run
    for name, run in newest.items():
        expected = run.expected_decode_tokens_per_s
        if name in known or not expected or not _is_asked(seen, run.model):
            continue
        low = _LOW_OF_EXPECTED * expected
        if run.decode_tokens_per_s < SLOW_SHARE * low:
            yield _slower(run.model, run.decode_tokens_per_s, low, expected, run.measured_on)


def _baseline(entry: LedgerEntry) -> Iterator[Finding]:
    measured, expected = entry.measured, entry.expected
    if measured is None or expected is None:
        return
    speed, low = measured.decode_tokens_per_s, expected.decode_low
    if speed and low and speed < SLOW_SHARE * low:
        yield _slower(entry.alias, speed, low, expected.decode_high, measured.at)


def _is_asked(seen: Observations, *names: str) -> bool:
    return seen.asked is None or name_key(seen.asked) in {name_key(name) for name in names}


def _slower(model: str, measured: float, low: float, high: float | None, when: str) -> Finding:
    expected = f"{low:.0f} to {high:.0f}" if high else f"{low:.0f}"
    return Finding(
        "slower-than-expected",
        "warning",
        f"{model} is slower than this machine should be",
        (f"measured {measured:.1f} tokens/s ({when[:10]}), expected {expected}",),
        "see whether the GPU is throttled or shared, then measure again: assistant setup",
        model=model,
    )


def _bandwidth(seen: Observations) -> Iterator[Finding]:
    """The speed of what is on the CPU follows the RAM's bandwidth: offer to measure it.

    A model whose speed was measured here needs no estimate.
    """
    machine = seen.machine
    if machine is None or machine.source != "detected" or machine.ram.bandwidth_gb_per_s:
        return
    on_cpu = [m.name for m in seen.loaded or () if (cpu_share(m) or 0.0) >= LEAST_SHARE]
    if any(measured_speed(seen, name) is None for name in on_cpu):
        yield Finding(
            "bandwidth-unknown",
            "unknown",
            "how fast the CPU part should be is not known",
            ("the bandwidth of the RAM decides it, and was never measured",),
            "assistant hardware --measure",
        )

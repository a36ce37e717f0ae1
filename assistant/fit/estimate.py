"""Will it fit, where, and how fast: `estimate_fit` puts the formulas together.

Everything here is arithmetic on records: no clock, no disk, no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from assistant.fit.calibration import calibrated_speed
from assistant.fit.compute_buffer import compute_buffers
from assistant.fit.kv_cache import CacheBytes, cache_bytes
from assistant.fit.notes import estimate_assumptions, estimate_notes
from assistant.fit.placement import Demand, Placed, place
from assistant.fit.records import (
    FitEstimate,
    Limits,
    ModelFacts,
    RunOptions,
    Speed,
)
from assistant.fit.room import Room, measure_room
from assistant.fit.run_choices import RunChoices, choose_run
from assistant.fit.speed import estimate_speed
from assistant.machine.records import Machine
from assistant.models.architecture import Architecture

NO_SPEED = Speed(None, None, "not asked for")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a model in a room: what was chosen, what it needs, where that lands."""

    choices: RunChoices
    cache: CacheBytes
    placed: Placed


def estimate_fit(
    facts: ModelFacts,
    machine: Machine,
    options: RunOptions | None = None,
    *,
    alternatives: Sequence[ModelFacts] = (),
    with_limits: bool = True,
    with_speed: bool = True,
) -> FitEstimate:
    """Return what a model takes on a machine, where it is put, and how fast it answers.

    `alternatives` are the same model at other quantizations: they answer which quantization
    is the best that stays on the GPU. Without `with_limits` neither limits nor remedies are
    searched for, which takes most of the time.
    """
    options = options or RunOptions()
    room = measure_room(machine)
    run = run_in_room(facts, room, options)
    choices, placed = run.choices, run.placed
    placement = placed.placement
    limits = Limits(trained_num_ctx=facts.architecture.context_length)
    remedies: tuple[str, ...] = ()
    if with_limits:
        from assistant.fit.remedies import find_limits, find_remedies

        limits = find_limits(facts, room, options, run, alternatives)
        remedies = find_remedies(facts, room, options, run, limits)
    missing = 0
    if placement.verdict == "none":
        missing = placed.missing_bytes_in_all
    elif placement.verdict != "gpu":
        missing = placed.missing_gpu_bytes or 0
    speed = NO_SPEED
    if with_speed:
        speed = estimate_speed(
            facts.architecture,
            facts.weights,
            placement,
            machine,
            num_ctx=choices.num_ctx,
            kv_cache_bytes=run.cache.total_bytes,
            gpu_weight_bytes=placed.gpu.weights_bytes,
            host_weight_bytes=placed.host.weights_bytes,
            parameters_active=facts.parameters_active,
        )
        if machine.measured_runs:
            speed = calibrated_speed(
                speed,
                machine.measured_runs,
                model=facts.resolved,
                quantization=facts.quantization,
                num_ctx=choices.num_ctx,
                verdict=placement.verdict,
            )
    return FitEstimate(
        model=facts.name,
        resolved=facts.resolved,
        source=facts.source,
        exact=facts.exact,
        architecture=facts.architecture.name,
        parameters_total=facts.parameters_total,
        parameters_active=facts.parameters_active,
        quantization=facts.quantization,
        download_bytes=facts.download_bytes,
        num_ctx=choices.num_ctx,
        requested_num_ctx=options.num_ctx,
        num_parallel=choices.num_parallel,
        num_batch=choices.num_batch,
        kv_cache_type=choices.kv_cache_type,
        flash_attention=choices.flash_attention,
        gpu=placed.gpu,
        host=placed.host,
        placement=placement,
        speed=speed,
        limits=limits,
        missing_bytes=missing,
        num_gpu=_num_gpu(options),
        pullable=facts.pullable,
        remedies=remedies,
        notes=estimate_notes(facts, run.choices, run.cache, placed, num_gpu=_num_gpu(options)),
        assumptions=estimate_assumptions(facts, room, run.choices),
    )


def run_in_room(facts: ModelFacts, room: Room, options: RunOptions, *, spread: bool = False) -> Run:
    """Return one run: Ollama's choices, the bytes they lead to, and where those land.

    `spread` takes all GPUs even where Ollama's prediction says that one is enough.
    """
    choices = choose_run(facts, room, options, spread=spread)
    arch = facts.architecture
    cache = _cache(
        arch,
        choices.num_ctx,
        choices.num_batch,
        choices.num_parallel,
        choices.kv_cache_type,
        choices.flash_attention,
    )
    buffers = compute_buffers(
        arch,
        num_ctx=choices.num_ctx,
        num_batch=choices.num_batch,
        num_parallel=choices.num_parallel,
        flash_attention=choices.flash_attention,
        kv_cache_type=choices.kv_cache_type,
    )
    tokens = min(choices.num_batch, choices.num_ctx * choices.num_parallel)
    demand = Demand(
        weights=facts.weights,
        cache=cache,
        buffers=buffers,
        embedding_bytes=4 * arch.embedding_length * tokens,
        input_bytes=buffers.input_bytes,
        is_moe=arch.is_moe,
    )
    placed = place(demand, choices.gpus, host_bytes=room.host_bytes, num_gpu=_num_gpu(options))
    return Run(choices, cache, placed)


def _num_gpu(options: RunOptions) -> int | None:
    return None if options.num_gpu is None or options.num_gpu < 0 else options.num_gpu


@lru_cache(maxsize=2048)
def _cache(
    arch: Architecture, num_ctx: int, num_batch: int, parallel: int, kind: str, flash: bool
) -> CacheBytes:
    return cache_bytes(
        arch,
        num_ctx=num_ctx,
        num_batch=num_batch,
        num_parallel=parallel,
        kv_cache_type=kind,
        flash_attention=flash,
    )

"""What is left beside loaded models, and what comes back when they are unloaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, RunOptions
from assistant.fit.room import OVERHEAD_BYTES
from assistant.machine.parse import parse_machine
from assistant.machine.records import Machine
from assistant.ollama.records import LoadedModel
from assistant.provision.machine_key import machine_key
from assistant.provision.room_left import (
    free_ram,
    free_vram,
    free_where_it_lands,
    machine_beside,
    machine_without_loaded,
)
from assistant.units import GIB
from tests.support.provision_scenes import facts, gpu, machine


def fit(model: str, here: Machine, num_ctx: int = 4096) -> FitEstimate:
    run = RunOptions(num_ctx=num_ctx)
    return estimate_fit(facts(model), here, run, with_limits=False, with_speed=False)


def free_gib(here: Machine) -> list[float | None]:
    return [
        None if a.memory_free_bytes is None else a.memory_free_bytes / GIB
        for a in here.accelerators
    ]


def test_nothing_loaded_leaves_the_machine_as_it_is() -> None:
    here = machine(gpu(12, known_free=False))
    assert machine_beside(here, []) is here
    assert machine_without_loaded(here, []) is here
    assert machine_without_loaded(here, [LoadedModel("m")]) is here


def test_a_model_takes_what_it_holds_from_gpu_and_ram() -> None:
    here = machine(gpu(24), ram=64, available=60)
    one = fit("llama3.1:8b", here)
    left = machine_beside(here, [one])
    assert free_vram(here) - free_vram(left) == one.gpu.total_bytes
    assert free_ram(left) == 60 * GIB - one.host.total_bytes
    two = machine_beside(here, [one, one])
    assert free_vram(here) - free_vram(two) == 2 * one.gpu.total_bytes


def test_a_described_machine_loses_a_further_runners_context_too() -> None:
    here = parse_machine("RTX 4090, 64GB RAM")
    one = fit("llama3.1:8b", here)
    taken = free_vram(here) - free_vram(machine_beside(here, [one]))
    assert taken == one.gpu.total_bytes + OVERHEAD_BYTES


def test_of_two_cards_alike_the_freer_one_is_taken_as_ollama_does() -> None:
    here = machine(gpu(24, 4, name="RTX 3090"), gpu(24, 24, name="RTX 3090"))
    one = fit("gpt-oss:20b", here)
    assert len(one.placement.devices) == 1
    left = free_gib(machine_beside(here, [one]))
    assert left[0] == 4.0
    assert left[1] == pytest.approx(24 - one.gpu.total_bytes / GIB)
    assert free_where_it_lands(here, one) == 24 * GIB


def test_two_models_land_on_two_cards_alike() -> None:
    here = machine(gpu(24, name="RTX 3090"), gpu(24, name="RTX 3090"))
    first = fit("gpt-oss:20b", here)
    second = fit("lfm2:24b", machine_beside(here, [first]))
    left = machine_beside(here, [first, second])
    held = [first.gpu.total_bytes, second.gpu.total_bytes]
    taken = [24 * GIB - (a.memory_free_bytes or 0) for a in left.accelerators]
    assert sorted(taken) == sorted(held)


def test_a_model_on_all_cards_takes_its_share_of_each() -> None:
    here = machine(gpu(24), gpu(24), ram=128)
    one = fit("llama3.3:70b", here)
    shares = [share.bytes for share in one.placement.devices]
    assert len(shares) == 2
    left = machine_beside(here, [one]).accelerators
    assert [24 * GIB - (a.memory_free_bytes or 0) for a in left] == shares


def test_a_gpu_that_ollama_does_not_use_is_left_alone() -> None:
    """Two entries of one name: the first is the same card as another backend sees it."""
    here = machine(gpu(24, name="RTX 4090", used=False), gpu(24, name="RTX 4090"))
    one = fit("llama3.1:8b", here)
    left = machine_beside(here, [one]).accelerators
    assert left[0].memory_free_bytes == 24 * GIB
    assert left[1].memory_free_bytes == 24 * GIB - one.gpu.total_bytes
    loaded = [LoadedModel("m", 5 * GIB, 5 * GIB)]
    shown = machine(gpu(24, 10, used=False), gpu(24, 18))
    assert free_gib(machine_without_loaded(shown, loaded)) == [10, 23]


def test_unified_memory_is_one_memory() -> None:
    here = machine(gpu(24, kind="unified"), ram=32, available=28)
    one = fit("llama3.1:8b", here)
    left = machine_beside(here, [one])
    assert free_ram(left) == 28 * GIB - one.memory.total_bytes
    assert free_vram(left) == 24 * GIB - one.gpu.total_bytes


def test_only_the_size_of_the_ram_is_known() -> None:
    here = machine(ram=16)
    one = fit("llama3.1:8b", here)
    assert free_ram(here) == 14 * GIB
    assert free_ram(machine_beside(here, [one])) == 14 * GIB - one.host.total_bytes


def test_nothing_is_known() -> None:
    here = machine(gpu(24, known_free=False), ram=None)
    left = machine_beside(here, [fit("llama3.1:8b", here)])
    assert free_ram(left) is None
    assert 0 < free_vram(left) < 24 * GIB
    assert free_vram(Machine()) == 0


def test_more_than_there_is_leaves_nothing() -> None:
    here = machine(gpu(24), ram=64, available=30)
    many = machine_beside(here, [fit("llama3.1:8b", here, 65_536)] * 20)
    assert free_vram(many) == 0
    assert free_ram(many) == 30 * GIB - 20 * fit("llama3.1:8b", here, 65_536).host.total_bytes


@pytest.mark.parametrize(
    ("before", "vram", "after"),
    [
        ([(24, 20), (24, 4)], 18, [20, 22]),
        ([(24, 4), (24, 20)], 18, [22, 20]),
        ([(24, 4), (24, 4)], 30, [24, 14]),
        ([(24, 20)], 9, [24]),
    ],
)
def test_unloaded_memory_goes_back_to_the_fullest_card_first(
    before: list[tuple[int, int]], vram: int, after: list[int]
) -> None:
    here = machine(*[gpu(total, free) for total, free in before])
    found = machine_without_loaded(here, [LoadedModel("m", vram * GIB, vram * GIB)])
    assert free_gib(found) == after


def test_unloaded_ram_comes_back_up_to_the_total() -> None:
    here = machine(gpu(24, 24), ram=32, available=20)
    split = [LoadedModel("m", 10 * GIB, 4 * GIB)]
    assert machine_without_loaded(here, split).ram.available_bytes == 26 * GIB
    large = [LoadedModel("m", 90 * GIB, 0)]
    assert machine_without_loaded(here, large).ram.available_bytes == 32 * GIB


def test_a_limit_above_the_total_is_not_lowered() -> None:
    here = machine(ram=32, available=40)
    assert machine_without_loaded(here, [LoadedModel("m", GIB, 0)]).ram.available_bytes == 40 * GIB


def test_unified_memory_comes_back_to_both_sides() -> None:
    here = machine(gpu(24, 14, kind="unified"), ram=32, available=15)
    found = machine_without_loaded(here, [LoadedModel("m", 10 * GIB, 10 * GIB)])
    assert free_gib(found) == [24]
    assert found.ram.available_bytes == 25 * GIB


def test_the_machine_key_names_what_does_not_change() -> None:
    here = machine(gpu(24, 20, name="RTX 4090"), ram=63.7, available=40)
    assert machine_key(here) == "Test CPU | 63.5 GiB | RTX 4090 24 GiB"
    busy = replace(
        machine(gpu(24, 1, name="RTX 4090"), ram=63.6, available=2), assumptions=("busy",)
    )
    assert machine_key(busy) == machine_key(here)
    loaded = [fit("llama3.1:8b", here)]
    assert machine_key(machine_beside(here, loaded)) == machine_key(here)
    assert machine_key(machine(gpu(12, name="RTX 3060"), ram=63.7)) != machine_key(here)
    assert machine_key(Machine()) == "unknown CPU | ?"
    unused = machine(gpu(24, name="RTX 4090"), gpu(2, name="iGPU", used=False), ram=63.7)
    assert machine_key(unused) == machine_key(here)

"""Scenes for the doctor: a machine, a model in its server's memory, and what the server says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from assistant.config import read_settings
from assistant.doctor.contexts import run_options
from assistant.doctor.records import (
    DiskSeen,
    EnvironmentSeen,
    IndexSeen,
    ModelSeen,
    Observations,
    ServerSeen,
    SystemSeen,
)
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.ps_size import ps_sizes
from assistant.fit.records import ModelFacts
from assistant.fit.room import OVERHEAD_BYTES
from assistant.machine.records import Accelerator, Cpu, Machine, Ram
from assistant.models.catalog import load_catalog
from assistant.ollama.records import LoadedModel
from assistant.provision.records import Ledger
from assistant.units import GB, GIB, MIB

DESKTOP = 400 * MIB
"""What a desktop holds of a card on its own."""


@lru_cache
def facts_of(name: str, quantization: str | None = None) -> ModelFacts:
    """Return a catalog model as a server would describe it."""
    card, tag = load_catalog().find(name, quantization)
    return replace(facts_from_card(card, tag), name=name, source="server")


def gpu(
    total: int = 12 * GIB,
    used: int = DESKTOP,
    *,
    name: str = "NVIDIA GeForce RTX 3060",
    **more: Any,
) -> Accelerator:
    """Return a discrete card with `used` bytes taken by others than Ollama."""
    values: dict[str, Any] = {
        "vendor": "nvidia",
        "kind": "discrete",
        "memory_total_bytes": total,
        "memory_free_bytes": total - used,
        "bandwidth_gb_per_s": 360.0,
        "compute_capability": "8.6",
        "driver": "580.65.06",
        "backend": "cuda",
        "device_class": "nv-ampere",
    }
    return Accelerator(name, **{**values, **more})


def computer(*gpus: Accelerator, ram: int = 32 * GIB, **more: Any) -> Machine:
    """Return a detected computer with these GPUs and no model in memory."""
    return Machine(
        os="Ubuntu 24.04.3 LTS (Linux)",
        cpu=Cpu("AMD Ryzen 7 5700X", 8, 16, ("avx2",), "x86_64"),
        ram=Ram(ram, ram - 4 * GIB, 51.2, "table"),
        accelerators=gpus,
        **more,
    )


def installed(name: str, facts: ModelFacts | None = None, **more: Any) -> ModelSeen:
    """Return an installed model of the catalog."""
    facts = facts or facts_of(name)
    writes = set() if facts.architecture.is_embedding else {"completion"}
    capabilities = more.pop("capabilities", facts.capabilities | writes)
    return ModelSeen(
        name, digest="a" * 64, facts=facts, capabilities=frozenset(capabilities), **more
    )


def in_memory(
    model: ModelSeen, machine: Machine, num_ctx: int, variables: Mapping[str, str] | None = None
) -> LoadedModel:
    """Return what `/api/ps` says when the model was loaded on this machine as computed."""
    assert model.facts is not None
    options = run_options(model, num_ctx, read_settings(variables or {}))
    estimate = estimate_fit(model.facts, machine, options, with_limits=False)
    sizes = ps_sizes(estimate, model.facts.architecture)
    return LoadedModel(model.name, sizes.size_bytes, sizes.size_vram_bytes, estimate.num_ctx)


def holding(machine: Machine, *loaded: LoadedModel) -> Machine:
    """Return the machine as it is detected with these models in memory."""
    gpus = list(machine.accelerators)
    available = machine.ram.available_bytes or 0
    for model in loaded:
        vram = model.vram_bytes or 0
        available -= (model.size_bytes or 0) - vram
        if vram and gpus:
            free = (gpus[0].memory_free_bytes or 0) - vram - OVERHEAD_BYTES
            gpus[0] = replace(gpus[0], memory_free_bytes=max(0, free))
    ram = replace(machine.ram, available_bytes=max(0, available))
    return replace(machine, accelerators=tuple(gpus), ram=ram)


def scene(
    machine: Machine | None,
    models: Sequence[ModelSeen] = (),
    loaded: Sequence[LoadedModel] = (),
    variables: Mapping[str, str] | None = None,
    **more: Any,
) -> Observations:
    """Return the observations of a healthy server with these models."""
    server = more.pop("server", ServerSeen("http://127.0.0.1:11434", True, True, "0.33.0"))
    environment = more.pop("environment", EnvironmentSeen(dict(variables or {}), {}, "process"))
    values: dict[str, Any] = {
        "disk": DiskSeen(
            "/usr/share/ollama/.ollama/models", 210 * GB, True, True, True, True, "/d", True
        ),
        "system": SystemSeen(8 * GIB, 0, None, None),
        "index": IndexSeen(built=True),
        "ledger": Ledger(),
    }
    return Observations(
        server=server,
        machine=machine,
        environment=environment,
        models=tuple(models),
        loaded=tuple(loaded),
        **{**values, **more},
    )


def loaded_scene(
    name: str,
    at: int,
    machine: Machine,
    variables: Mapping[str, str] | None = None,
    **more: Any,
) -> Observations:
    """Return one model, loaded with `at` tokens of context, where the arithmetic puts it."""
    model = installed(name, more.pop("facts", None), **more)
    loaded = in_memory(model, machine, at, variables)
    return scene(holding(machine, loaded), [model], [loaded], variables)

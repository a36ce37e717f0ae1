"""Models of the catalog and made-up machines for the tests of provisioning."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import ModelFacts
from assistant.machine.records import Accelerator, Cpu, Kind, Machine, Ram
from assistant.models.catalog import Catalog, load_catalog
from assistant.units import GIB

NAMES = (
    "qwen3.5:9b", "llama3.1:8b", "gemma3:12b", "gpt-oss:20b", "qwen3:30b-a3b", "phi3:14b",
    "gemma3:270m", "llama3.2:1b", "qwen2.5vl:7b", "lfm2:24b", "llama3.3:70b",
    "nomic-embed-text", "all-minilm:22m", "embeddinggemma:300m", "qwen3-embedding:8b",
)  # fmt: skip


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    return load_catalog()


@lru_cache(maxsize=64)
def facts(name: str) -> ModelFacts:
    return facts_from_card(*catalog().find(name))


def with_trained(found: ModelFacts, context_length: int | None) -> ModelFacts:
    return replace(found, architecture=replace(found.architecture, context_length=context_length))


def gpu(
    total: float,
    free: float | None = None,
    *,
    name: str = "GPU",
    kind: Kind = "discrete",
    used: bool = True,
    known_free: bool = True,
) -> Accelerator:
    """Return a GPU of `total` GiB; all of it is free unless said otherwise."""
    left = total if free is None else free
    return Accelerator(
        name,
        "apple" if kind == "unified" else "nvidia",
        kind,
        memory_total_bytes=round(total * GIB),
        memory_free_bytes=round(left * GIB) if known_free else None,
        bandwidth_gb_per_s=300.0,
        backend="metal" if kind == "unified" else "cuda",
        used_by_ollama=used,
    )


def machine(*gpus: Accelerator, ram: float | None = 64, available: float | None = None) -> Machine:
    """Return a detected machine; `ram` and `available` in GiB, None where it is not known."""
    return Machine(
        os="Linux",
        cpu=Cpu(name="Test CPU", physical_cores=8, architecture="x86_64", device_class="cpu-x86"),
        ram=Ram(
            total_bytes=None if ram is None else round(ram * GIB),
            available_bytes=None if available is None else round(available * GIB),
            bandwidth_gb_per_s=51.2,
            bandwidth_source="stated",
        ),
        accelerators=gpus,
        unified_memory=any(each.kind != "discrete" for each in gpus),
    )

"""Tables of what computers hold, and of the best picks for them.

Cards are generic ones as `parse_machine` reads them ("8GB VRAM"): their free memory is what a
desktop leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from guide_table import Build, Table, estimate, held, speed

from assistant.fit.records import FitEstimate
from assistant.machine.parse import parse_machine
from assistant.machine.records import Machine
from assistant.models.catalog import Catalog
from assistant.recommend import recommend
from assistant.recommend.records import Needs, Pick, Role
from assistant.units import gb, gib

LADDER: Final = (
    "qwen3.5:2b", "granite4.2:3b", "llama3.2:3b", "qwen3.5:4b", "llama3.1:8b", "qwen3.5:9b",
    "gemma4:12b", "phi4:14b", "gpt-oss:20b", "mistral-small3.2:24b", "qwen3.8:27b", "gemma4:31b",
    "qwen3.6:35b", "llama3.3:70b", "gpt-oss:120b", "qwen3.5:122b", "qwen3:235b",
    "deepseek-r1:671b",
)  # fmt: skip
"""Models at their default tag, from small to large, with which the tables of tiers are drawn:
current ones, and some that people still ask for (Llama 3, Phi-4)."""
HELD: Final = 4
NOT_HELD: Final = 2

ROLES: Final[tuple[tuple[Role, str], ...]] = (
    ("chat", "chat"), ("code", "code"), ("reasoning", "reasoning"), ("vision", "pictures"),
    ("writing", "stories"), ("translation", "languages"),
)  # fmt: skip


def held_models(spec: str) -> Build:
    """Return a table of the largest models that a GPU holds, and the first that it does not."""

    def build(catalog: Catalog) -> Table:
        machine = parse_machine(spec)
        found = sorted(
            (estimate(catalog, name, machine) for name in LADDER),
            key=held,
        )
        whole = [each for each in found if each.placement.verdict == "gpu"]
        rest = [each for each in found if each.placement.verdict != "gpu"]
        rows = [
            (
                f"`{each.model}`",
                gb(each.download_bytes or 0),
                gib(held(each)),
                _where(each),
                speed(each),
            )
            for each in (*whole[-HELD:], *rest[:NOT_HELD])
        ]
        return Table(
            ("model", "file", "needs at 8k", "on the GPU", "tokens/s"),
            tuple(rows),
            f"Estimates for {_described(spec, machine)}, default tags.",
        )

    return build


def picks_for(spec: str) -> Build:
    """Return a table of the best pick for each use on one computer."""

    def build(catalog: Catalog) -> Table:
        machine = parse_machine(spec)
        found = [(word, _best(spec, role, catalog)) for role, word in ROLES]
        found.append(("completion", _best(spec, "code", catalog, insert=True)))
        found.append(("embeddings", _best(spec, "embeddings", catalog)))
        rows = [
            (
                word,
                f"`{picks[0].model}`",
                gb(picks[0].estimate.download_bytes or 0),
                gib(held(picks[0].estimate)),
                "-" if word == "embeddings" else speed(picks[0].estimate),
            )
            for word, picks in found
            if picks
        ]
        return Table(
            ("for", "model", "file", "memory", "tokens/s"),
            tuple(rows),
            f"Estimates for {_described(spec, machine)}, at each use's usual context.",
        )

    return build


def picks_across(role: Role, computers: Sequence[tuple[str, str]], *, ctx: str) -> Build:
    """Return a table of the best pick for one use on several computers."""

    def build(catalog: Catalog) -> Table:
        picks = ((name, _best(spec, role, catalog)[0]) for name, spec in computers)
        rows = [
            (
                name,
                f"`{pick.model}`",
                gb(pick.estimate.download_bytes or 0),
                gib(held(pick.estimate)),
                speed(pick.estimate),
            )
            for name, pick in picks
        ]
        return Table(
            ("computer", "model", "file", "memory", "tokens/s"),
            tuple(rows),
            f"Best pick by quality and speed with {ctx} of context, free memory as a desktop "
            "leaves it.",
        )

    return build


CARDS: Final = tuple((f"{size} GB VRAM", f"{size}GB VRAM") for size in (4, 6, 8, 12, 16, 24, 32))
RAMS: Final = tuple((f"{size} GB", f"{size}GB RAM, no GPU") for size in (8, 16, 32))
MACS: Final = (
    ("M2 8 GB", "M2 8GB"), ("M4 16 GB", "M4 16GB"), ("M4 24 GB", "M4 24GB"),
    ("M3 Pro 36 GB", "M3 Pro 36GB"), ("M4 Pro 48 GB", "M4 Pro 48GB"),
    ("M4 Max 64 GB", "M4 Max 64GB"), ("M4 Max 128 GB", "M4 Max 128GB"),
    ("M3 Ultra 512 GB", "M3 Ultra 512GB"),
)  # fmt: skip
UNIFIED: Final = (
    ("AI Max+ 395, 64 GB", "Ryzen AI Max+ 395 64GB"),
    ("AI Max+ 395, 128 GB", "Ryzen AI Max+ 395 128GB"),
    ("DGX Spark, 128 GB", "DGX Spark"),
)


def picks_on_cpu(roles: Sequence[tuple[Role, str]]) -> Build:
    """Return a table of the best picks for some uses by the size of the RAM, without a GPU."""

    def build(catalog: Catalog) -> Table:
        rows = []
        for name, spec in RAMS:
            by_model: dict[str, tuple[list[str], Pick]] = {}
            for role, word in roles:
                for pick in _best(spec, role, catalog)[:1]:
                    by_model.setdefault(pick.model, ([], pick))[0].append(word)
            rows += [_ram_row(name, ", ".join(words), pick) for words, pick in by_model.values()]
        return Table(
            ("RAM", "for", "model", "file", "memory", "tokens/s"),
            tuple(rows),
            "Estimates for two channels of DDR4-3200 without a GPU.",
        )

    return build


def cpu_chat_and_speed(catalog: Catalog) -> Table:
    """Return the balanced and the fastest pick for chat by the size of the RAM."""
    rows = []
    for name, spec in RAMS:
        picks = _best(spec, "chat", catalog)
        fastest = [pick for pick in picks if "fastest" in pick.labels and pick is not picks[0]]
        rows.append(_ram_row(name, "chat", picks[0]))
        rows += [_ram_row(name, "speed", pick) for pick in fastest]
    return Table(
        ("RAM", "for", "model", "file", "memory", "tokens/s"),
        tuple(rows),
        "Estimates at 8k for two channels of DDR4-3200 without a GPU.",
    )


def _ram_row(name: str, use: str, pick: Pick) -> tuple[str, ...]:
    size = gb(pick.estimate.download_bytes or 0)
    memory = gib(held(pick.estimate))
    return name, use, f"`{pick.model}`", size, memory, speed(pick.estimate)


def unified_memory(catalog: Catalog) -> Table:
    """Return the picks for chat and code on PCs with unified memory."""
    rows = []
    for name, spec in UNIFIED:
        for role in ("chat", "code"):
            pick = _best(spec, role, catalog)[0]
            row = (name, role, f"`{pick.model}`", gib(held(pick.estimate)), speed(pick.estimate))
            rows.append(row)
    return Table(
        ("computer", "for", "model", "memory", "tokens/s"),
        tuple(rows),
        "Estimates with the share for the GPU that the system sets by itself.",
    )


def macs(catalog: Catalog) -> Table:
    """Return what macOS gives the GPU of some Macs, and the largest known model that fits."""
    rows = []
    for name, spec in MACS:
        machine = parse_machine(spec)
        share = machine.usable_accelerators[0].memory_total_bytes or 0
        found = (estimate(catalog, each, machine) for each in LADDER)
        whole = [each for each in found if each.placement.verdict == "gpu"]
        largest = max(whole, key=lambda each: each.gpu.total_bytes)
        row = (name, gib(share), f"`{largest.model}`", gib(held(largest)), speed(largest))
        rows.append(row)
    return Table(
        ("Mac", "GPU share", "holds at most", "memory", "tokens/s"),
        tuple(rows),
        "Estimates for default tags with 8k of context.",
    )


def mac_picks(catalog: Catalog) -> Table:
    """Return the picks for chat and for code on some Macs."""
    rows = [
        (name, *(f"`{_best(spec, role, catalog)[0].model}`" for role in ("chat", "code")))
        for name, spec in MACS
    ]
    return Table(("Mac", "chat", "code"), tuple(rows), "Best pick by quality and speed.")


def picks_by_role(catalog: Catalog) -> Table:
    """Return the pick of every use for a small and a large card."""
    specs = ("8GB VRAM", "24GB VRAM")
    rows = [
        (word, *(f"`{_best(spec, role, catalog)[0].model}`" for spec in specs))
        for role, word in (*ROLES, ("summarize", "summaries"), ("embeddings", "embeddings"))
    ]
    return Table(
        ("for", "8 GB VRAM", "24 GB VRAM"),
        tuple(rows),
        "Best pick by quality and speed, wholly on the card with a desktop beside it.",
    )


@lru_cache(maxsize=256)
def _best(spec: str, role: Role, catalog: Catalog, *, insert: bool = False) -> tuple[Pick, ...]:
    """Return the picks for a use, without those that run partly on the CPU if others do not."""
    picks = recommend(parse_machine(spec), Needs(role=role, insert=insert), catalog).picks
    whole = tuple(pick for pick in picks if pick.estimate.placement.verdict != "partial")
    return whole or picks


def _where(found: FitEstimate) -> str:
    placement = found.placement
    if placement.verdict == "partial":
        if placement.expert_layers_on_host:
            return "not all experts"
        return f"{placement.gpu_layers} of {placement.layers} layers"
    return {"gpu": "all", "cpu": "nothing", "none": "too big"}[placement.verdict]


def _described(spec: str, machine: Machine) -> str:
    usable = machine.usable_accelerators
    if not usable:
        return spec.replace("GB", " GB")
    free = sum(each.memory_free_bytes or 0 for each in usable)
    count = "a card" if len(usable) == 1 else f"{len(usable)} cards"
    size = spec.partition(" ")[0].replace("GB", " GB")
    return f"{count} with {size} ({gib(free)} free)"

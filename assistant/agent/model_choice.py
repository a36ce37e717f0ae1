"""Which installed model answers: the one named, the one set up for chat, or the best there is.

Best: it can chat, it is not a cloud model, it fits this machine, it can call tools, and the
published evidence for it is better. Embedding models never answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError, OllamaError, UnknownModelError
from assistant.machine.records import Machine
from assistant.ollama.records import InstalledModel, ShownModel
from assistant.units import GIB

if TYPE_CHECKING:
    from assistant.models.catalog import Catalog

MOST_SHOWN: Final = 12
_RAM_SHARE: Final = 0.6
_ROOM: Final = 1.15
"""Weights and a little room for cache and buffers; a short answer needs little context."""
_SLOW_ON_CPU_BYTES: Final = 6 * GIB
_SMALLEST_FILE_BYTES: Final = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """The model that answers. `why` says in a clause how it was chosen."""

    name: str
    why: str
    can_call_tools: bool
    trained_num_ctx: int | None = None


def choose_model(
    installed: Sequence[InstalledModel],
    show: Callable[[str], ShownModel],
    *,
    wanted: str | None = None,
    set_up: str | None = None,
    machine: Machine | None = None,
    catalog: Catalog | None = None,
) -> ChosenModel | None:
    """Return the model to use, or None when no installed one can chat.

    `wanted` is what the person named, `set_up` the model that setup gave the chat role.

    Raises:
        UnknownModelError: the wanted model is not installed.
        OllamaError: the wanted model cannot chat, or the server does not answer.
    """
    names = {_key(model.name): model for model in installed}
    if wanted:
        found = names.get(_key(wanted))
        if found is None:
            raise UnknownModelError(
                f"the model {wanted!r} is not installed on the Ollama server.",
                hint=f"Install it with: ollama pull {wanted}",
            )
        shown = show(found.name)
        if not can_chat(shown):
            raise OllamaError(f"the model {found.name!r} cannot chat.")
        return _chosen(found, shown, "as asked")
    role = names.get(_key(set_up)) if set_up else None
    if role is not None:
        shown = show(role.name)
        if can_chat(shown):
            return _chosen(role, shown, "set up for chat")
    return _best(installed, show, machine, catalog)


def _best(
    installed: Sequence[InstalledModel],
    show: Callable[[str], ShownModel],
    machine: Machine | None,
    catalog: Catalog | None,
) -> ChosenModel | None:
    local = [model for model in installed if not is_cloud(model)]
    ranked = sorted(local, key=lambda m: (-_fits(m, machine), -_quality(m, catalog), m.name))
    best: tuple[tuple[float, ...], ChosenModel] | None = None
    for model in ranked[:MOST_SHOWN]:
        if machine is not None and not _fits(model, machine):
            continue
        try:
            shown = show(model.name)
        except (OllamaError, UnknownModelError):
            continue
        if not can_chat(shown):
            continue
        chosen = _chosen(model, shown, "the best of those installed")
        score = (_fits(model, machine), chosen.can_call_tools, _quality(model, catalog),
                 -(model.size_bytes or 0))  # fmt: skip
        if best is None or score > best[0]:
            best = (score, chosen)
    return best[1] if best else None


def can_chat(shown: ShownModel) -> bool:
    """Return True for a model that completes text and is no embedding model."""
    return "completion" in shown.capabilities and "embedding" not in shown.capabilities


def is_cloud(model: InstalledModel) -> bool:
    """Return True for a model that only its maker's servers run: its file is a stub."""
    tag = model.name.rpartition(":")[2].lower()
    stub = model.size_bytes is not None and model.size_bytes < _SMALLEST_FILE_BYTES
    return stub or tag == "cloud" or tag.endswith("-cloud")


def _chosen(model: InstalledModel, shown: ShownModel, why: str) -> ChosenModel:
    lengths = [
        value
        for key, value in shown.metadata.items()
        if key.endswith(".context_length") and isinstance(value, int)
    ]
    return ChosenModel(
        name=model.name,
        why=why,
        can_call_tools="tools" in shown.capabilities,
        trained_num_ctx=lengths[0] if lengths else None,
    )


def _fits(model: InstalledModel, machine: Machine | None) -> float:
    """Return 2 on the GPU, 1 in RAM at a bearable speed, 0.5 slowly, 0 not at all."""
    size = _ROOM * (model.size_bytes or 0)
    if machine is None:
        return 1.0
    vram = sum(a.memory_total_bytes or 0 for a in machine.usable_accelerators)
    if vram and size <= vram:
        return 2.0
    ram = machine.ram.total_bytes or 0
    if size <= _RAM_SHARE * ram + vram or not ram:
        return 1.0 if (model.size_bytes or 0) <= _SLOW_ON_CPU_BYTES else 0.5
    return 0.0


def _quality(model: InstalledModel, catalog: Catalog | None) -> float:
    if catalog is None:
        return 0.0
    from assistant.recommend.evidence import role_quality
    from assistant.recommend.roles import role_profile

    try:
        card, _ = catalog.find(model.name)
    except AssistantError:
        return 0.0
    quality = role_quality(card, role_profile("chat"))
    return quality.plain if quality else 0.0


def _key(name: str) -> str:
    base = name.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return base if ":" in base.rpartition("/")[2] else f"{base}:latest"

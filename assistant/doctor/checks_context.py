"""Will a prompt be cut: the context that programs get which ask for none.

A client of `/v1` cannot ask for one at all (OLLAMA_BEHAVIOUR, "Context overflow"): what is too
long is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.doctor.contexts import (
    ContextFrom,
    given_context,
    run_options,
    rung_below,
    server_settings,
)
from assistant.doctor.free_memory import machine_idle
from assistant.doctor.records import Finding, ModelSeen, Observations
from assistant.fit.remedies import largest_context
from assistant.fit.room import measure_room
from assistant.provision.drift import name_key
from assistant.provision.records import BACKUP_TAG, CANDIDATE_TAG

SHORT_CONTEXT: Final = 8192
"""Below this a page of code and a few answers fill the context."""

ENOUGH_CONTEXT: Final = 16_384
"""Enough for a long chat; more costs memory that few prompts use."""

_NAMED: Final = 3
_ROLE: Final = "chat"


def check_contexts(seen: Observations) -> Iterator[Finding]:
    """Yield what cuts prompts: short contexts, and contexts above the trained one."""
    if seen.models is None:
        return
    models = [model for model in seen.models if _writes(model) and _wanted(seen, model)]
    yield from _short(seen, models)
    for model in models:
        yield from _above_trained(model)


def _wanted(seen: Observations, model: ModelSeen) -> bool:
    if seen.asked is not None:
        return name_key(model.name) == name_key(seen.asked)
    if name_key(model.name) in _bases(seen):
        return False
    return not model.name.lower().endswith((f":{CANDIDATE_TAG}", f":{BACKUP_TAG}"))


def _bases(seen: Observations) -> set[str]:
    """Return the models that are there because an alias was made from them: nobody uses those."""
    histories = seen.ledger.aliases if seen.ledger is not None else ()
    aliases = {name_key(history.alias) for history in histories}
    bases = {name_key(h.entry.model) for h in histories if h.entry is not None}
    return bases - aliases


def _writes(model: ModelSeen) -> bool:
    return not model.in_cloud and "completion" in model.capabilities


def _short(seen: Observations, models: list[ModelSeen]) -> Iterator[Finding]:
    settings = server_settings(seen)
    groups: dict[tuple[int, ContextFrom], list[ModelSeen]] = {}
    unknown = []
    for model in models:
        num_ctx, origin = given_context(model, seen.machine, settings)
        trained = model.facts.architecture.context_length if model.facts else None
        if num_ctx is None:
            unknown.append(model)
        elif num_ctx < SHORT_CONTEXT and (trained is None or num_ctx < trained):
            groups.setdefault((num_ctx, origin), []).append(model)
    for (num_ctx, origin), group in sorted(groups.items(), key=lambda item: item[0][0]):
        yield _short_finding(seen, num_ctx, origin, group)
    if unknown:
        yield Finding(
            "context-unknown",
            "unknown",
            "which context programs get that ask for none is not known",
            ("it follows the GPU memory of the server's computer: describe it with --machine",),
        )
    elif models and not groups:
        yield Finding("context", "ok", "context")


def _short_finding(
    seen: Observations, num_ctx: int, origin: ContextFrom, group: list[ModelSeen]
) -> Finding:
    names = ", ".join(model.name for model in group[:_NAMED])
    more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
    if origin == "tier":
        gpus = seen.machine is not None and seen.machine.usable_accelerators
        why = "nothing sets it, so Ollama takes its smallest "
        why += "for this much GPU memory" if gpus else "without a GPU"
    elif origin == "Modelfile":
        why = "set by the Modelfile"
    else:
        why = "set by OLLAMA_CONTEXT_LENGTH"
    fix, also = _context_fix(seen, num_ctx, origin, group)
    return Finding(
        "context-short",
        "warning",
        f"prompts over {num_ctx:,} tokens are cut silently for programs that use /v1",
        (f"{names}{more}: num_ctx {num_ctx}, {why}",),
        fix,
        None,
        also,
        model=group[0].name if len(group) == 1 else None,
    )


def _context_fix(
    seen: Observations, num_ctx: int, origin: ContextFrom, group: list[ModelSeen]
) -> tuple[str, tuple[str, ...]]:
    entry = seen.ledger.current(_ROLE) if seen.ledger is not None else None
    if entry is not None and entry.num_ctx > num_ctx:
        if origin == "Modelfile":
            return f"point them at {entry.alias} ({entry.num_ctx:,})", ()
        return f"point them at {entry.alias} ({entry.num_ctx:,}), or set OLLAMA_CONTEXT_LENGTH", ()
    longer = _longer(seen, group[0], num_ctx) if len(group) == 1 else None
    if longer is not None:
        name = group[0].name.removesuffix(":latest")
        return f"assistant tune {name} --num-ctx {longer} --apply", ("assistant setup",)
    if entry is not None:
        longer_chat = f"assistant setup --role {_ROLE} --num-ctx {2 * num_ctx}"
        return f"{longer_chat}\nif the memory allows it", ("set OLLAMA_CONTEXT_LENGTH",)
    return "assistant setup\nthen point them at assistant-chat", ("set OLLAMA_CONTEXT_LENGTH",)


def _longer(seen: Observations, model: ModelSeen, num_ctx: int) -> int | None:
    """Return a longer context that stays on the GPU, up to what chats need; None without one."""
    if seen.machine is None or model.facts is None:
        return None
    room = measure_room(machine_idle(seen.machine, seen.loaded or ()))
    options = run_options(model, None, server_settings(seen))
    longest = largest_context(model.facts, room, options) if room.gpus else None
    rung = None if longest is None else rung_below(min(longest, ENOUGH_CONTEXT))
    return rung if rung is not None and rung > num_ctx else None


def _above_trained(model: ModelSeen) -> Iterator[Finding]:
    trained = model.facts.architecture.context_length if model.facts else None
    if trained is None or model.num_ctx is None or model.num_ctx <= trained:
        return
    name = model.name.removesuffix(":latest")
    yield Finding(
        "context-above-trained",
        "warning",
        f"{model.name} asks for {model.num_ctx:,} tokens and gets {trained:,}",
        (f"it was trained for {trained:,}; Ollama cuts num_ctx to that, and prompts with it",),
        f"assistant tune {name} --num-ctx {trained} --apply",
        model=model.name,
    )

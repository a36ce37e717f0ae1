"""Choosing what each role shall be, and sizing all of it together.

What was set up stays, what the person named is taken, the rest is recommended.
A second setup on the same computer must come to the same end, so what the ledger has, or what a
confirmed setup was to make, is kept as it is unless something else is asked for: free memory
changes from minute to minute, and so would a new choice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from assistant.errors import AssistantError, NoFitError, UnknownModelError, UsageError
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import ModelFacts, RunOptions
from assistant.machine.records import Machine
from assistant.models.card import ModelCard, Tag
from assistant.models.catalog import Catalog
from assistant.models.quantization import quantization_rank
from assistant.provision.contexts import choose_context
from assistant.provision.drift import name_key
from assistant.provision.records import Expectation, Ledger, LedgerEntry, RoleTarget
from assistant.provision.room_left import free_ram, free_vram
from assistant.provision.targets import role_target, shorter_target
from assistant.provision.together import (
    Sized,
    Wanted,
    size_together,
    together_bytes,
)
from assistant.provision.wording import listed
from assistant.recommend.candidates import builds, pull_name
from assistant.recommend.records import Needs, Pick, Role
from assistant.recommend.roles import role_profile
from assistant.recommend.sets import recommend_set
from assistant.units import gib, tokens

FactsOf = Callable[[str], ModelFacts]

_ABILITIES: Final = {"vision": "see images", "tools": "call tools", "thinking": "think"}
_KNOWS_TOOLS: Final = ("catalog", "server")
"""Where facts come from that say whether a model calls tools; the header of a file does not."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the person asked setup for. `models` names a model per role, `num_ctx` a context.

    `anew` chooses again what was chosen before.
    """

    roles: tuple[str, ...]
    models: Mapping[str, str]
    num_ctx: int | None = None
    needs: Needs = Needs()  # noqa: RUF009  frozen, so one for all is right
    anew: bool = False

    @property
    def needs_text(self) -> str:
        """What a choice has to heed beside the licence, as it is remembered; empty for nothing."""
        return "" if self.needs.prefer == "balance" else f"prefer {self.needs.prefer}"

    def is_heeded_by(self, target: RoleTarget) -> bool:
        """Return whether a choice made before is what would be asked for now."""
        if target.role in self.models:
            return True
        licensed = target.commercial_use == "yes" or not self.needs.commercial
        return licensed and self.needs_text in ("", target.needs)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the roles shall be; `together_bytes` of `memory_bytes` stays loaded side by side."""

    targets: tuple[RoleTarget, ...]
    notes: tuple[str, ...] = ()
    together_bytes: int | None = None
    memory_bytes: int | None = None
    on_gpu: bool = False


def kept_targets(request: Request, ledger: Ledger, machine: str) -> dict[str, RoleTarget]:
    """Return what stays as it is, by role: set up before, or confirmed and not finished.

    Nothing is kept that was chosen for another computer, nor where something else is asked for:
    another model or context, or needs that the choice did not heed. A plain setup asks for none.
    """
    if request.anew or request.num_ctx is not None:
        return {}
    kept: dict[str, RoleTarget] = {}
    for role in request.roles:
        entry, pending = ledger.current(role), ledger.pending
        target = None
        if entry is not None and ledger.machine == machine:
            target = target_of_entry(entry)
        if pending is not None and pending.machine == machine:
            target = next((t for t in pending.targets if t.role == role), target)
        if target is None or not _is_named(request.models.get(role), target.model):
            continue
        if request.is_heeded_by(target):
            kept[role] = target
    return kept


def with_models_kept(request: Request, ledger: Ledger, machine: str) -> Request:
    """Return the request with the models that are set up, where only another context is asked."""
    if request.num_ctx is None or request.anew:
        return request
    kept = kept_targets(replace(request, num_ctx=None), ledger, machine)
    models = {role: target.model for role, target in kept.items()}
    return replace(request, models={**models, **request.models})


def other_targets(request: Request, ledger: Ledger, machine: str) -> dict[str, RoleTarget]:
    """Return what serves the roles that the request leaves alone: it shares the memory."""
    others: dict[str, RoleTarget] = {}
    for history in ledger.aliases if ledger.machine == machine else ():
        entry = history.entry
        if entry is not None and entry.role is not None and entry.role not in request.roles:
            others[entry.role] = target_of_entry(entry)
    return others


def _is_named(asked: str | None, model: str) -> bool:
    """True when the person named this model, or none."""
    return asked is None or name_key(asked) == name_key(model)


def target_of_entry(entry: LedgerEntry) -> RoleTarget:
    """Return the target that an entry of the ledger was made from."""
    return RoleTarget(
        role=entry.role or "",
        alias=entry.alias,
        model=entry.model,
        num_ctx=entry.num_ctx,
        modelfile=entry.modelfile,
        expected=entry.expected or Expectation("unknown", entry.num_ctx),
        quantization=entry.quantization,
        download_bytes=entry.size_bytes,
        stays_loaded=entry.stays_loaded,
        licence=entry.licence,
        capabilities=entry.capabilities,
        estimate=entry.estimate,
        needs=entry.needs,
        commercial_use=entry.commercial_use,
    )


class Chooser:
    """Chooses for one machine. `facts_of` resolves a model's name, `options` are the server's."""

    def __init__(
        self,
        machine: Machine,
        catalog: Catalog,
        facts_of: FactsOf,
        *,
        options: RunOptions | None = None,
        max_loaded: int | None = None,
    ) -> None:
        self.machine = machine
        self.catalog = catalog
        self.facts_of = facts_of
        self.options = options or RunOptions()
        self.max_loaded = max_loaded
        self._sized: dict[str, Sized] = {}

    def choose(
        self,
        request: Request,
        kept: Mapping[str, RoleTarget],
        others: Mapping[str, RoleTarget] | None = None,
    ) -> Choice:
        """Return the targets for the request's roles, in their order.

        `others` serve roles that were not asked about; they share the memory as they are.

        Raises:
            NoFitError: nothing in the catalog serves any of the roles here.
            UnknownModelError, UsageError: a named model is not known, or cannot do its role.
        """
        named = {**{role: t.model for role, t in kept.items()}, **request.models}
        for role, model in request.models.items():
            self._check_role(role, model)
        asked = {role: target.num_ctx for role, target in kept.items()}
        picks, missing = self._recommended([r for r in request.roles if r not in named], request)
        chosen = {role: pick.model for role, pick in picks.items()} | named
        wanted = [
            Wanted(
                role_profile(role), self.facts_of(chosen[role]), asked.get(role, request.num_ctx)
            )
            for role in request.roles
            if role in chosen
        ]
        if not wanted:
            raise _nothing_fits(missing, request.num_ctx)
        sized = size_together(
            [*wanted, *self._beside(others or {})],
            self.machine,
            options=self.options,
            max_loaded=self.max_loaded,
        )
        targets = []
        for each in sized[: len(wanted)]:
            name = each.role.name
            self._sized[name] = each
            if name in kept:
                targets.append(replace(kept[name], stays_loaded=each.stays_loaded))
            else:
                made = self._target(each, named.get(name), picks.get(name))
                targets.append(replace(made, needs="" if name in named else request.needs_text))
        on_gpu = bool(self.machine.usable_accelerators)
        notes = [f"Nothing{_serving([role], request.num_ctx)}." for role in missing]
        _check_fits(sized[: len(wanted)], self.machine)
        return Choice(
            tuple(targets),
            (*notes, *_shared_notes(targets), *_turns_notes(sized, self.max_loaded)),
            together_bytes(sized, on_gpu=on_gpu),
            self._memory_bytes(),
            on_gpu,
        )

    def _beside(self, others: Mapping[str, RoleTarget]) -> list[Wanted]:
        """Return what else is there to share the memory, as far as its facts can be had."""
        found = []
        for role, target in others.items():
            with contextlib.suppress(AssistantError):
                facts = self.facts_of(target.model)
                found.append(Wanted(role_profile(role), facts, target.num_ctx))
        return found

    def smaller(self, target: RoleTarget) -> RoleTarget | None:
        """Return the next smaller thing to try for a role: a shorter context, a smaller file.

        None when there is nothing left, or the model's facts cannot be had.
        """
        sized = self._sized.get(target.role)
        try:
            facts = self.facts_of(target.model)
        except AssistantError:
            return None
        if sized is None or sized.facts.resolved != facts.resolved:
            profile = role_profile(target.role)
            first = choose_context(facts, self.machine, profile, options=self.options)
            sized = Sized(profile, facts, first, target.stays_loaded)
        if target.contexts:
            choice = choose_context(
                facts, self.machine, sized.role, options=self.options, asked=target.contexts[0]
            )
            did_not = "stay on the GPU" if self.machine.usable_accelerators else "load"
            why = f"{tokens(target.num_ctx)} did not {did_not} when it was tried here"
            return shorter_target(
                target, sized, replace(choice, why=why, num_gpu=None), card=self._card(target.model)
            )
        return self._smaller_file(target, sized)

    def _smaller_file(self, target: RoleTarget, sized: Sized) -> RoleTarget | None:
        found = self._card_and_tag(target.model)
        if found is None:
            return None
        card, tag = found
        rank, size = quantization_rank(tag.quantization or "") or 0, tag.download_bytes or 0
        lower = [
            (quantization_rank(other.quantization or "") or 0, other)
            for other in builds(card)
            if other.pullable and (other.download_bytes or size) < size
        ]
        lower = [(other_rank, other) for other_rank, other in lower if 0 < other_rank < rank]
        if not lower:
            return None
        best = max(lower, key=lambda pair: pair[0])[1]
        facts = facts_from_card(card, best)
        choice = choose_context(facts, self.machine, sized.role, options=self.options)
        smaller = Sized(sized.role, facts, choice, sized.stays_loaded)
        self._sized[sized.role.name] = smaller
        return role_target(smaller, model=pull_name(card, best), card=card, reasons=target.reasons)

    def _target(self, sized: Sized, named: str | None, pick: Pick | None) -> RoleTarget:
        model = named or (pick.model if pick else sized.facts.name)
        reasons = ("as you asked",) if named else (pick.reasons if pick else ())
        return role_target(sized, model=model, card=self._card(model), reasons=reasons)

    def _recommended(
        self, roles: Sequence[str], request: Request
    ) -> tuple[dict[str, Pick], list[str]]:
        """Return the picks by role, and the roles that nothing serves."""
        needs = replace(request.needs, num_ctx=request.num_ctx)
        if not roles:
            return {}, []
        together = self._set(roles, needs)
        if together:
            return together, []
        picks: dict[str, Pick] = {}
        for role in roles:
            # An embedding model takes what it was trained for of a longer context.
            own = replace(needs, num_ctx=None) if role == "embeddings" else needs
            picks |= self._set([role], own)
        return picks, [role for role in roles if role not in picks]

    def _set(self, roles: Sequence[str], needs: Needs) -> dict[str, Pick]:
        found = recommend_set(
            self.machine,
            self.catalog,
            needs=needs,
            roles=[cast("Role", role) for role in roles],
            with_details=False,
            run=self.options,
        )
        return {member.role: member.pick for member in found.members}

    def _check_role(self, role: str, model: str) -> None:
        """Raise when a model that was named cannot do what its role is.

        Raises:
            UsageError: it cannot.
        """
        facts = self.facts_of(model)
        if not facts.pullable or facts.source == "file":
            raise UsageError(
                f"{model!r} cannot be pulled: no registry has it in a form that Ollama runs.",
                hint="Write it as Ollama's library does, such as llama3.1:8b, or see: assistant "
                f"recommend --role {role}",
            )
        embeds = facts.architecture.is_embedding or "embedding" in facts.capabilities
        if role == "embeddings" and not embeds:
            raise UsageError(
                f"{model!r} is not an embedding model.",
                hint="See which are: assistant recommend --role embeddings",
            )
        if role != "embeddings" and embeds and "completion" not in facts.capabilities:
            raise UsageError(
                f"{model!r} is an embedding model and cannot serve {role}.",
                hint=f"See what can: assistant recommend --role {role}",
            )
        lacks = role_profile(role).requires - facts.capabilities
        if facts.source not in _KNOWS_TOOLS:
            lacks -= {"tools"}
        if lacks and role != "embeddings":
            cannot = " or ".join(_ABILITIES.get(each, each) for each in sorted(lacks))
            raise UsageError(
                f"{model!r} cannot {cannot}, which the role {role} needs.",
                hint=f"See what can: assistant recommend --role {role}",
            )

    def _card(self, model: str) -> ModelCard | None:
        found = self._card_and_tag(model)
        return found[0] if found else None

    def _card_and_tag(self, model: str) -> tuple[ModelCard, Tag] | None:
        try:
            return self.catalog.find(model)
        except UnknownModelError:
            return None

    def _memory_bytes(self) -> int | None:
        on_gpu = bool(self.machine.usable_accelerators)
        return free_vram(self.machine) if on_gpu else free_ram(self.machine)


def _check_fits(sized: Sequence[Sized], machine: Machine) -> None:
    """Raise when a model could not run at all: nothing of it is to be downloaded then.

    Raises:
        NoFitError: neither the GPUs nor the RAM hold it, together or alone.
    """
    for each in sized:
        estimate = each.choice.estimate
        if estimate.placement.verdict != "none":
            continue
        has = gib(free_vram(machine) + (free_ram(machine) or 0))
        raise NoFitError(
            f"{each.facts.name} needs {gib(estimate.memory.total_bytes)} with "
            f"{tokens(estimate.num_ctx)} of context; this machine has {has} for it.",
            hint=f"See what would help: assistant fit {each.facts.name}",
        )


def _shared_notes(targets: Sequence[RoleTarget]) -> tuple[str, ...]:
    """Return who shares a model, and whether changing between them reloads it."""
    by_model: dict[str, list[RoleTarget]] = {}
    for target in targets:
        by_model.setdefault(name_key(target.model), []).append(target)
    notes = []
    for sharing in by_model.values():
        if len(sharing) < 2:
            continue
        roles, model = listed([target.role for target in sharing]), sharing[0].model
        contexts = {target.num_ctx for target in sharing}
        if len(contexts) == 1:
            notes.append(f"{roles} share {model}, with one context: no reloading between them.")
        else:
            notes.append(
                f"{roles} share {model} with different contexts: each change between them reloads "
                "it. One for all: --anew."
            )
    return tuple(notes)


def _turns_notes(sized: Sequence[Sized], max_loaded: int | None) -> tuple[str, ...]:
    """Return who takes turns in memory, and why."""
    notes = []
    kept = list(dict.fromkeys(s.facts.name for s in sized if s.stays_loaded))
    swapped = list(dict.fromkeys(s.facts.name for s in sized if not s.stays_loaded))
    if swapped and kept:
        verb = "take" if len(swapped) > 1 else "takes"
        why = "together they do not fit"
        if max_loaded is not None and len(kept) >= max_loaded:
            why = f"the server keeps {max_loaded} loaded (OLLAMA_MAX_LOADED_MODELS)"
        notes.append(
            f"{listed(swapped)} {verb} turns with {listed(kept)}: loaded when used, because {why}."
        )
    return tuple(notes)


def _nothing_fits(roles: Sequence[str], num_ctx: int | None) -> NoFitError:
    return NoFitError(
        f"nothing{_serving(roles, num_ctx)}.",
        hint="Name a model yourself (assistant setup --model chat=NAME), or see why not: "
        "assistant recommend --role chat",
    )


def _serving(roles: Sequence[str], num_ctx: int | None) -> str:
    context = "" if num_ctx is None else f" with {tokens(num_ctx)} of context"
    return f" in the catalog serves {' or '.join(roles)}{context} on this machine"

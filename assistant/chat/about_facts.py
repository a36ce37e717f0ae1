"""Gathering what is known of the model of a conversation, from the server and the estimators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from assistant.agent.compose.text import sentence
from assistant.chat.about_machine import MachineFacts
from assistant.chat.about_words import AboutTopic
from assistant.errors import AssistantError
from assistant.fit.records import RunOptions

if TYPE_CHECKING:
    from assistant.chat.own_model import OwnModel, Server
    from assistant.fit.records import FitEstimate
    from assistant.machine.records import Machine
    from assistant.ollama.records import LoadedModel, ShownModel
    from assistant.recommend.records import Pick

_LARGER: Final = 1.15


def gather_facts(
    client: Server,
    model: OwnModel,
    *,
    topics: Sequence[AboutTopic],
    num_ctx: int,
    used_tokens: int | None = None,
    chat_speed: float | None = None,
    named: Sequence[str] = (),
    detect: Callable[[], Machine] | None = None,
    run_options: RunOptions | None = None,
) -> MachineFacts:
    """Return the facts that the topics need; what the server does not tell is left None.

    `detect` looks at this computer, and is not asked about a server elsewhere. `run_options` are
    what that server's settings fix. `chat_speed` is what this chat measured, and `named` are the
    models of a question whether they run. Never raises for a server that does not answer.
    """
    address = client.address
    shown, loaded = _asked(client, model.name)
    own = next((m for m in loaded if _same(m.name, model.name)), None)
    facts = MachineFacts(
        name=model.name,
        server=address.url,
        num_ctx=(own.num_ctx if own else None) or num_ctx,
        is_local=address.is_local,
        remote=model.remote,
        quantization=shown.quantization if shown else None,
        parameter_size=shown.parameter_size if shown else None,
        trained_num_ctx=model.trained_num_ctx,
        used_tokens=used_tokens,
        size_bytes=own.size_bytes if own else None,
        vram_bytes=own.vram_bytes if own else None,
        chat_speed=chat_speed,
    )
    of_model = {"memory", "bigger", "speed"} & set(topics) and not model.remote
    needs_machine = of_model or {"run", "gpu"} & set(topics)
    if detect is None or not address.is_local or not needs_machine:
        return facts
    machine = _without(detect(), loaded)
    options = replace(run_options or RunOptions(), num_ctx=facts.num_ctx)
    estimate = _estimate(shown, machine, options) if shown else None
    facts = replace(
        facts,
        machine=machine,
        estimate=estimate,
        parameters_total=estimate.parameters_total if estimate else None,
        runs=tuple(_runs(name, machine, run_options) for name in named),
    )
    if "speed" in topics:
        facts = _with_measured(facts)
    if "bigger" not in topics:
        return facts
    return replace(facts, bigger=_bigger(facts, model.role))


def _asked(client: Server, name: str) -> tuple[ShownModel | None, tuple[LoadedModel, ...]]:
    try:
        return client.show_with_arrays(name), client.loaded_models()
    except AssistantError:
        return None, ()


def _without(machine: Machine, loaded: Sequence[LoadedModel]) -> Machine:
    """Return the machine as it is without the models that the server could unload."""
    from assistant.provision.room_left import machine_without_loaded

    return machine_without_loaded(machine, loaded) if machine.source == "detected" else machine


def _estimate(shown: ShownModel, machine: Machine, options: RunOptions) -> FitEstimate | None:
    from assistant.fit.estimate import estimate_fit
    from assistant.fit.model_facts import facts_from_show

    try:
        return estimate_fit(facts_from_show(shown), machine, options, with_limits=False)
    except AssistantError:
        return None


def _runs(name: str, machine: Machine, run_options: RunOptions | None) -> str:
    """Return what `assistant ask` answers about one model on this computer."""
    from assistant.agent.answer import answer_question

    asked = f"can I run {name}?"
    try:
        return answer_question(asked, detect=lambda: machine, run_options=run_options).text
    except AssistantError as error:
        return sentence(error.message)


def _with_measured(facts: MachineFacts) -> MachineFacts:
    """Return the facts with the newest speed that was measured of this model on this computer."""
    runs = facts.machine.measured_runs if facts.machine else ()
    own = [run for run in runs if _same(run.model, facts.name)]
    if not own:
        return facts
    newest = max(own, key=lambda run: run.measured_on)
    return replace(facts, measured_speed=newest.decode_tokens_per_s, measured_on=newest.measured_on)


def _bigger(facts: MachineFacts, role: str | None) -> Pick | None:
    """Return the best pick for the role that has more parameters and lands no worse."""
    from assistant.models.catalog import load_catalog
    from assistant.recommend import recommend
    from assistant.recommend.records import Needs
    from assistant.recommend.roles import role_profile

    if facts.machine is None:
        return None
    needs = Needs(role=role_profile(role or "chat").name, num_ctx=facts.num_ctx)
    verdicts = ("gpu",) if facts.machine.usable_accelerators else ("gpu", "cpu")
    least = (facts.parameters_total or 0) * _LARGER
    for pick in recommend(facts.machine, needs, load_catalog()).picks:
        estimate = pick.estimate
        if (estimate.parameters_total or 0) > least and estimate.placement.verdict in verdicts:
            return pick
    return None


def _same(one: str, other: str) -> bool:
    return one.lower().removesuffix(":latest") == other.lower().removesuffix(":latest")

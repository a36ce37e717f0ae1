"""Questions about models: facts, comparisons, quantizations, licences, Modelfiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from assistant.agent import cues
from assistant.agent.records import Question
from assistant.agent.topics.context import Context, Part
from assistant.errors import UnknownModelError
from assistant.recommend.records import Role

if TYPE_CHECKING:
    from assistant.fit.records import FitEstimate
    from assistant.models.card import ModelCard
    from assistant.models.catalog import Catalog
    from assistant.ollama.modelfile import Modelfile


_ABILITIES: Final = ("vision", "tools", "thinking", "insert")
_LEVEL_QUALITY: Final = (
    r"\b(?:ok(?:ay)?|good|fine|worth|bad|usable|acceptable|decent|enough|safe)\b"
)


def answer_facts(context: Context) -> Part:
    """Say what the catalog knows of a model or of a whole family."""
    from assistant.agent.compose.facts import compose_facts

    question = context.question
    mention = question.models[0]
    card, _ = context.tools.model_info(mention.name)
    family = context.tools.catalog.family(card.family)
    aspect = question.aspect or "overview"
    cards = list(family) if mention.whole_family and family else [card]
    relatives = _relatives(context.tools.catalog, card, exclude=cards)
    if aspect == "languages" and "embedding" in card.capabilities:
        relatives = [c for c in context.tools.catalog.cards if "embedding" in c.capabilities]
    if (
        aspect in _ABILITIES
        and mention.whole_family
        and cues.has(r"\bwhich\b|\ball\b", question.rest)
    ):
        cards = [*cards, *relatives]
    if aspect in ("size", "overview") and context.quantization and len(cards) == 1:
        card, tag = context.tools.catalog.find(mention.name, context.quantization)
        cards = [replace(card, default_tag=tag.name, tags=(tag, *card.tags))]
    text = compose_facts(
        cards,
        aspect,
        relatives=relatives,
        asked=question.text,
        languages=question.languages,
        claimed_num_ctx=question.num_ctx,
    )
    sections = (("choosing", "Licences"),) if aspect == "licence" else ()
    return text, sections


def answer_ability_list(context: Context) -> Part:
    """List the current families that have an ability."""
    from assistant.agent.compose.facts import compose_ability_list

    catalog = context.tools.catalog
    aspect = context.question.aspect or "tools"
    having = [
        card
        for card in catalog.cards
        if aspect in card.capabilities and not card.cautions & {"cloud-only", "not-in-library"}
    ]
    return compose_ability_list(having, aspect, catalog.as_of), ()


def answer_pull(context: Context) -> Part:
    """Say how to get and start a model."""
    from assistant.agent.compose.recommend import compose_pull

    card, tag = context.tools.model_info(context.question.models[0].name)
    return compose_pull(card, tag), (("quantization", "Getting another quantization"),)


def answer_unknown_model(context: Context) -> Part:
    """Say that a version does not exist, and which of its family do."""
    asked = context.question.unknown_model or ""
    if asked.split()[0] in ("RTX", "GTX", "RX", "Arc"):
        return _unknown_device(asked), ()
    catalog = context.tools.catalog
    if ":" in asked:
        near = ", ".join(f"`{name}`" for name in catalog.near_names(asked))
        return (
            f"There is no `{asked}` in the catalog of {catalog.as_of}, so nothing can be said "
            f"about it.{f' Did you mean {near}?' if near else ''}"
        ), ()
    brand = asked.split()[0].lower()
    families = [f for f in catalog.family_names() if f.startswith(brand)]
    newest = sorted(families, key=lambda f: catalog.family(f)[0].release or "", reverse=True)
    names = ", ".join(f"`{name}`" for name in newest[:8])
    text = (
        f"There is no {asked} in the catalog of {catalog.as_of}, so nothing can be said about it. "
        f"Of that name it knows, newest first: {names}."
    )
    return text, ()


def _unknown_device(name: str) -> str:
    from assistant.machine.devices import devices_as_of, near_devices

    near = ", ".join(near_devices(name))
    return (
        f"There is no {name} in the device table of {devices_as_of()}, so nothing can be said "
        f"about it.{f' Cards of nearly that name: {near}.' if near else ''}"
    )


def _relatives(
    catalog: Catalog, card: ModelCard, *, exclude: Sequence[ModelCard]
) -> list[ModelCard]:
    """Return models a person may have in mind as well, the nearest first.

    These are the other sizes of the family, then the families whose names differ in the version
    only (gemma4 and gemma2 for gemma3), the newest first.
    """
    stem = card.family.rstrip("0123456789.")
    shown = {c.name for c in exclude}
    found = [
        other
        for other in catalog.cards
        if other.name not in shown and other.family.rstrip("0123456789.") == stem
    ]
    found.sort(key=lambda other: other.release or "", reverse=True)
    return sorted(found, key=lambda other: other.family != card.family)


def answer_compare(context: Context) -> Part:
    """Set models, or levels of one model, side by side."""
    from assistant.agent.compose.compare import compose_compare, compose_quantization_sizes

    question = context.question
    names = list(dict.fromkeys(m.name for m in question.models))
    if len(names) == 1:
        levels = list(question.quantizations)
        compared = context.tools.compare_models(
            names * len(levels),
            question.machine,
            quantizations=levels,
            num_ctx=question.num_ctx,
            words=question.machine_words,
        )
        text = compose_quantization_sizes(compared, extra_assumptions=context.model_assumptions)
        return text, (("quantization", "What it costs in quality"),)
    machine = context.machine()
    levels_by_name = {m.name: m.quantization for m in question.models}
    compared = context.tools.compare_models(
        names,
        machine,
        quantizations=[levels_by_name[name] for name in names],
        num_ctx=question.num_ctx,
        role=question.roles[0] if question.roles else "chat",
        words=question.machine_words,
    )
    extra = context.model_assumptions
    if context.detected:
        extra = ["this computer is meant, since none was described", *extra]
    verdict_first = cues.has(
        r"\bbetter\b|\bbest\b|\bwhich\b|\bor\b|\bvs\b|\bversus\b", question.text
    )
    text = compose_compare(compared, machine, extra_assumptions=extra, quality_first=verdict_first)
    return text, (("choosing", "Evidence first"),)


def answer_quantization_choice(context: Context) -> Part:
    """Say which level to take, of one model or in general."""
    from assistant.agent.compose.quantization import compose_choice, compose_level_for_task

    question = context.question
    task = _task_of(question.roles)
    sections = (
        ("quantization", "Which one for which task"),
        ("quantization", "What it costs in quality"),
    )
    judged = len(question.quantizations) == 1 and cues.has(_LEVEL_QUALITY, question.rest)
    if not question.models or (judged and question.machine is None):
        from assistant.knowledge.guides import load_guides

        advice = load_guides()["quantization"].section("Which one for which task").text
        return compose_level_for_task(question.quantizations, task, advice), sections
    machine = context.machine()
    choice = context.tools.choose_quantization(
        question.models[0].name,
        task,
        machine,
        num_ctx=question.num_ctx,
        words=question.machine_words,
    )
    text = compose_choice(
        choice, machine, extra_assumptions=context.model_assumptions, detected=context.detected
    )
    return text, sections


def _task_of(roles: Sequence[Role]) -> str:
    """Return the task of the quantization evidence that the roles come under."""
    for role in roles:
        if role in ("code", "tools", "extract"):
            return "code"
        if role == "reasoning":
            return "maths"
        if role == "writing":
            return "writing"
    return "chat"


def answer_other_quantization(context: Context) -> Part:
    """Say how to get a model at another level."""
    from assistant.agent.compose.recommend import compose_other_quantization

    question = context.question
    name = question.models[0].name if question.models else "llama3.1:8b"
    card, _ = context.tools.model_info(name)
    text = compose_other_quantization(card, question.quantizations[0])
    if not question.models:
        text = f"{text}\n\nAssumed: {card.name} as the example."
    return text, (("quantization", "Getting another quantization"),)


def answer_licence_list(context: Context) -> Part:
    """List the models under a licence."""
    from assistant.agent.compose.recommend import compose_licence_list

    text = context.question.text
    wanted = [name for name, pattern in (
        ("MIT", r"\bmit\b"), ("Apache-2.0", r"\bapache\b"), ("CC-BY-NC", r"\bcc[- ]by\b"),
    ) if cues.has(pattern, text)]  # fmt: skip
    asked_last = cues.has(r"\b(?:are|is|under|have)\s+(?:the )?mit\b", text)
    if asked_last and "MIT" in wanted:
        wanted = ["MIT"]
    catalog = context.tools.catalog
    listed = compose_licence_list(catalog.cards, wanted or ["Apache-2.0", "MIT"], catalog.as_of)
    return listed, (("choosing", "Licences"),)


def answer_modelfile(context: Context) -> Part:
    """Write a Modelfile from the template of its role."""
    from assistant.agent.compose.compare import compose_modelfile

    question = context.question
    machine = context.machine()
    estimate = context.tools.estimate_fit(
        question.models[0].name,
        machine,
        quantization=context.quantization,
        num_ctx=question.num_ctx,
        words=question.machine_words,
    )
    role = question.roles[0] if question.roles else "chat"
    if role == "chat" and cues.has(r"code|starcoder|devstral", question.models[0].name):
        role = "code"
    modelfile = _modelfile(context, role, estimate)
    text = compose_modelfile(modelfile, estimate, machine, name=f"my-{role}")
    return text, (("memory", "Context length that Ollama chooses"),)


def _modelfile(context: Context, role: str, estimate: FitEstimate) -> Modelfile:
    from assistant.provision.role_modelfile import role_modelfile

    asked = context.question.num_ctx is not None
    why = "as asked" if asked else "what Ollama would choose on this machine"
    if estimate.requested_num_ctx and estimate.requested_num_ctx > estimate.num_ctx:
        why = "the context length it was trained for; more was asked"
    try:
        card = context.tools.catalog.find(estimate.resolved)[0]
    except UnknownModelError:
        card = None
    modelfile = role_modelfile(
        role,
        model=estimate.resolved,
        num_ctx=estimate.num_ctx,
        why_num_ctx=why,
        family=card.family if card else None,
        thinking=card is not None and "thinking" in card.capabilities,
    )
    temperature = _temperature(context.question)
    if temperature is None:
        return modelfile
    others = tuple(pair for pair in modelfile.parameters if pair[0] != "temperature")
    return replace(modelfile, parameters=(*others, ("temperature", f"{temperature:g}")))


def _temperature(question: Question) -> float | None:
    """Return the temperature asked for; 0 for extraction, which wants no variety."""
    asked = cues.find_temperature(question.text)
    return 0.0 if asked is None and "extract" in question.roles else asked

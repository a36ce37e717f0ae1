"""Questions about computers: what runs on one, what one is, which of two is better."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from assistant.agent import cues
from assistant.agent.records import Question
from assistant.agent.topics.context import Context, Part
from assistant.fit.records import FitEstimate
from assistant.machine.records import Machine
from assistant.recommend.records import Needs, Pick, Recommendation, Role

_YARDSTICKS: Final = (
    "llama3.2:1b", "llama3.2:3b", "llama3.1:8b", "qwen2.5:14b", "mistral-small:24b",
    "qwen2.5:32b", "llama3.3:70b", "mistral-large:123b", "llama3.1:405b",
)  # fmt: skip
_WANTS_LOCAL: Final = (
    r"\b(?:runs?|local\w*|laptop|pc|computer|machine|instead|alternativ\w*|like|replac\w*|offline"
    r"|own|card|gpu|similar|free)\b"
)
_COMBINED_ROLES: Final[tuple[Role, ...]] = ("chat", "code", "embeddings", "vision", "reasoning")


def needs_of(question: Question) -> Needs:
    """Return what the question asks of a model."""
    role: Role = question.roles[0] if question.roles else "chat"
    if "chat" in question.roles and role == "code" and not question.insert:
        role = "chat"
    return Needs(
        role=role,
        num_ctx=question.num_ctx,
        commercial=question.commercial,
        languages=question.languages,
        prefer=question.prefer,
        insert=question.insert,
    )


def _download(pick: Pick) -> int:
    return pick.estimate.download_bytes or 0


def answer_recommend(context: Context) -> Part:
    """Say which models to take, for the role asked or for the usual three."""
    from assistant.agent.compose.recommend import compose_recommend

    question = context.question
    if question.hosted and not cues.has(_WANTS_LOCAL, question.rest):
        return _hosted_only(question.hosted), ()
    machine = _phone() if _means_a_phone(question) else context.machine()
    needs = needs_of(question)
    role = needs.role
    found = context.tools.recommend_models(machine, needs, words=question.machine_words)
    if cues.has(r"\bsmallest\b|\btiniest\b|\blightest\b|\bsmaller\b", question.text):
        found = replace(found, picks=tuple(sorted(found.picks, key=_download)))
    others = [r for r in question.roles if r != role and r in _COMBINED_ROLES]
    if role == "rag":
        others = ["embeddings"]
    if not question.roles:
        others = [r for r in _COMBINED_ROLES[:3] if r != role]
    also = []
    for other in others:
        second = context.tools.recommend_models(
            machine, replace(needs, role=other, num_ctx=None), words=question.machine_words
        )
        if second.picks:
            also.append((other, second.picks[0]))
    yardsticks = [] if question.roles else _yardsticks(context, machine, found)
    text = compose_recommend(
        found, needs, detected=context.detected, also=also, yardsticks=yardsticks
    )
    if question.hosted:
        text = (
            f"{question.hosted} itself cannot be downloaded: only its maker's servers run it. "
            f"Models that run on your own computer can do much of the same.\n\n{text}"
        )
    uncensored = (
        _uncensored(context) if cues.has(r"uncensored|nsfw|unfiltered", question.text) else ""
    )
    if uncensored:
        text = f"{uncensored}\n\nWithout such a fine-tune:\n\n{text}"
    sections = [("choosing", "Evidence first"), ("choosing", "Then the machine")]
    if question.commercial:
        sections.append(("choosing", "Licences"))
    return text, tuple(sections)


def _means_a_phone(question: Question) -> bool:
    small = cues.has(r"\b(?:smart)?phones?\b|\bandroid\b|\biphone\b|\bmobile\b", question.text)
    return small and question.machine is None


def _phone() -> Machine:
    """Return a phone as it can be described: no GPU that Ollama uses, and little memory."""
    from assistant.machine.parse import parse_machine

    machine = parse_machine("CPU only, 6GB RAM")
    return replace(machine, assumptions=("a phone with 6 GB of memory", *machine.assumptions))


def _hosted_only(name: str) -> str:
    return (
        f"{name} is a closed model: its maker publishes neither the weights nor figures such as "
        "the number of parameters, so it cannot run locally and nothing reliable can be said about "
        'its size. For a model that does run here ask: `assistant ask "what runs on my computer?"`.'
    )


def _yardsticks(context: Context, machine: Machine, found: Recommendation) -> list[FitEstimate]:
    """Return well-known dense models of growing size at the context of the picks."""
    if not machine.usable_accelerators or not found.picks:
        return []
    num_ctx = found.picks[0].estimate.num_ctx
    return [
        context.tools.estimate_fit(
            name,
            machine,
            quantization="Q4_K_M",
            num_ctx=num_ctx,
            words=context.question.machine_words,
        )
        for name in _YARDSTICKS
    ]


def _uncensored(context: Context) -> str:
    names = [c.name for c in context.tools.catalog.cards if "uncensored" in c.cautions]
    listed = ", ".join(f"`{name}`" for name in names)
    return (
        "Uncensored fine-tunes are never picked by default: they follow harmful requests too, and "
        f"most are older models. The catalog has {listed}; ask about one by name."
    )


def answer_device(context: Context) -> Part:
    """Say what the device table knows of a card."""
    from assistant.agent.compose.hardware import compose_device
    from assistant.machine.devices import devices_as_of, variants

    machine = context.machine()
    card = next(iter(machine.accelerators), None)
    versions = variants(card.name) if card else ()
    if not versions:
        return _my_machine_text(machine), ()
    text = compose_device(versions, machine, devices_as_of())
    return text, (("choosing", "Memory sold and memory free"),)


def answer_compare_machines(context: Context) -> Part:
    """Set two cards or computers side by side."""
    from assistant.agent.compose.hardware import compose_compare_machines

    question = context.question
    role: Role = question.roles[0] if question.roles else "chat"
    compared = [
        (words, machine, context.tools.recommend_models(machine, Needs(role=role), words=words))
        for words, machine in question.alternatives
    ]
    return compose_compare_machines(compared), (
        ("speed", "Decoding reads the model once per token"),
        ("choosing", "Memory sold and memory free"),
    )


def answer_my_machine(context: Context) -> Part:
    """Say what this computer is."""
    machine = context.machine()
    return _my_machine_text(machine), (("choosing", "Memory sold and memory free"),)


def _my_machine_text(machine: Machine) -> str:
    from assistant.agent.compose.hardware import compose_machine

    return compose_machine(machine)

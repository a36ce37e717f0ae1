"""From a question to an answer, without a language model.

The question is read (`question`), the tools it needs are called (`tools`), and their results
are composed (`compose`). What the tools cannot answer is said to be out of reach.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from assistant.agent.question import parse_question
from assistant.agent.records import Answer, Citation, ModelMention, Question, Span, Topic
from assistant.agent.tools import DetectMachine, Toolbox
from assistant.agent.topic import find_topic
from assistant.agent.topics import fit, guides, machines, models
from assistant.agent.topics.context import Context, Part
from assistant.errors import UsageError
from assistant.fit.records import RunOptions
from assistant.machine.records import Machine

if TYPE_CHECKING:
    from assistant.models.catalog import Catalog

_OUT_OF_REACH: Final = (
    "I can't answer that. I answer questions about running language models on your own computer: "
    "what fits a machine, which model to take for a job, how much memory, context and speed to "
    "expect, and facts about models, quantizations and cards."
)
_ALSO_IN_THE_GUIDES: Final = frozenset(
    {"facts", "licence_list", "quantization_choice", "other_quantization", "device", "modelfile",
     "compare"}
)  # fmt: skip
"""Topics whose answers come from tools, and about which the guides say more."""
_DOERS: Final = {
    "translation": "a multilingual local model can do it",
    "writing": "a local chat model can do it",
    "code": "a local code model can do it",
    "summarize": "a local chat model can do it",
}
_EXAMPLES: Final = (
    'Try: `assistant ask "what runs on my 8GB card?"`, `"does llama3.1:8b fit in 8 GB at 32k?"` or '
    '`"which model for code on a 3060?"`.'
)


def answer_question(
    text: str,
    *,
    history: Sequence[str] = (),
    machine: Machine | None = None,
    catalog: Catalog | None = None,
    detect: DetectMachine | None = None,
    run_options: RunOptions | None = None,
) -> Answer:
    """Return the answer to `text`.

    `history` holds the person's earlier questions, oldest first. `machine` is the computer to
    answer for when the question describes none; `detect` finds this computer (the default).

    Raises:
        UsageError: the question is empty.
        MachineSpecError: it describes a machine that makes no sense.
    """
    if not text.strip():
        raise UsageError(
            "The question is empty.", hint='Ask one: assistant ask "what runs on my 8GB card?"'
        )
    if catalog is None:
        from assistant.models.catalog import load_catalog

        catalog = load_catalog()
    question = parse_question(
        text,
        read_models=lambda words: _read_models(catalog, words),
        read_machine=_read_machine,
        read_unknown=lambda words: _read_unknown(catalog, words),
        history=history,
    )
    if machine is not None and question.machine is None and question.topic != "device":
        question = replace(question, machine=machine)
    tools = Toolbox(
        catalog=catalog, detect=detect or _detect_this_computer, run_options=run_options
    )
    if question.about_pick:
        question = _with_pick(question, tools)
    context = Context(question, tools)
    part = _ANSWERS[question.topic](context)
    if part is None and question.topic == "guides":
        question = replace(question, topic=find_topic(question, question.rest, without="guides"))
        context = Context(question, tools)
        part = _ANSWERS[question.topic](context)
    body, sections = part or (_out_of_reach(context), ())
    if question.topic in _ALSO_IN_THE_GUIDES:
        sections = (*sections, *guides.further_reading(context, sections))
    return Answer(
        question=text,
        text=_with_corrections(body, question),
        tool_calls=tuple(tools.calls),
        citations=cite(sections),
        answered=part is not None,
    )


def _with_pick(question: Question, tools: Toolbox) -> Question:
    """Return the question with the model that the recommendation before it picked."""
    context = Context(question, tools)
    found = tools.recommend_models(
        context.machine(), machines.needs_of(question), words=question.machine_words
    )
    if not found.picks:
        return replace(question, topic="recommend", about_pick=False)
    pick = found.picks[0]
    assumption = f"{pick.model} is meant, the first pick"
    mention = ModelMention(name=pick.model, span=(0, 0), assumption=assumption)
    return replace(question, models=(mention,), quantizations=())


def _with_corrections(body: str, question: Question) -> str:
    """Put first what is wrong in the question: a size that a family does not have."""
    wrong = [a for m in question.models if (a := m.assumption) and a.startswith("There is no")]
    return "\n\n".join([*dict.fromkeys(wrong), body])


def cite(sections: Sequence[tuple[str, str]]) -> tuple[Citation, ...]:
    """Return citations for (guide, section heading) pairs.

    Raises:
        KeyError: there is no such guide or section.
    """
    if not sections:
        return ()
    from assistant.knowledge.guides import load_guides

    by_name = load_guides()
    by_title = {guide.title: guide for guide in by_name.values()}
    cited = []
    for name, heading in sections:
        guide = by_name.get(name) or by_title.get(name)
        text = guide.section(heading).first_sentence if guide else ""
        cited.append(Citation(guide.title if guide else name, heading, text))
    return tuple(cited)


def _detect_this_computer() -> Machine:
    from assistant.machine.detect import detect_machine

    return detect_machine()


def _read_models(catalog: Catalog, words: str) -> list[ModelMention]:
    return [
        ModelMention(
            name=match.card.name,
            span=match.span,
            quantization=match.quantization,
            assumption=match.assumption,
            whole_family=not match.sized,
        )
        for match in catalog.match_text(words)
    ]


def _read_unknown(catalog: Catalog, words: str) -> str | None:
    """Return a model version or a graphics card in `words` that does not exist, or None."""
    from assistant.machine.devices import find_device_hits
    from assistant.models.unknown_versions import find_unknown_version

    version = find_unknown_version(catalog.family_names(), words)
    if version is not None:
        spans = [match.span for match in catalog.match_text(words)]
        asked = words.lower().find(version.split()[-1])
        if not any(start <= asked < end for start, end in spans):
            return version
    for written in re.finditer(r"\b([a-z][a-z0-9._-]+):[a-z0-9][\w.-]*", words, re.IGNORECASE):
        if catalog.named(written.group()) is None and not catalog.family(written[1]):
            return written.group()
    card = re.search(r"\b(rtx|gtx|rx|arc)[ -]?([ab]?\d{3,4})\b", words, re.IGNORECASE)
    if card is None or find_device_hits(words):
        return None
    brand = card[1].capitalize() if card[1].lower() == "arc" else card[1].upper()
    return f"{brand} {card[2].upper()}"


def _read_machine(words: str) -> tuple[Machine, Sequence[Span]] | None:
    from assistant.machine.parse import find_machine_span

    return find_machine_span(words)


def _out_of_reach(context: Context) -> str:
    """Say honestly that this cannot be answered, and what can."""
    roles = [role for role in context.question.roles if role in _DOERS]
    pointer = ""
    if roles:
        pointer = (
            f"If you want it done, {_DOERS[roles[0]]}: `assistant recommend --role {roles[0]}` "
            "finds one for this computer."
        )
    return "\n\n".join(part for part in (_OUT_OF_REACH, pointer, _EXAMPLES) if part)


_ANSWERS: Final[dict[Topic, Callable[[Context], Part | None]]] = {
    "fit": fit.answer_fit,
    "need": fit.answer_need,
    "kv_cache": fit.answer_kv_cache,
    "max_context": fit.answer_max_context,
    "speed": fit.answer_speed,
    "facts": models.answer_facts,
    "compare": models.answer_compare,
    "quantization_choice": models.answer_quantization_choice,
    "other_quantization": models.answer_other_quantization,
    "licence_list": models.answer_licence_list,
    "ability_list": models.answer_ability_list,
    "modelfile": models.answer_modelfile,
    "unknown_model": models.answer_unknown_model,
    "pull": models.answer_pull,
    "recommend": machines.answer_recommend,
    "device": machines.answer_device,
    "compare_machines": machines.answer_compare_machines,
    "my_machine": machines.answer_my_machine,
    "guides": guides.answer_guides,
    "task": lambda _: None,
}

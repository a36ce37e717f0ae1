"""One answer, by a language model when there is one, and with the same figures without.

The tools that the question needs always run first and the composer always writes the whole
answer. A language model on the Ollama server may then say it in its own words, and call more
tools if it can; what it wrote is grounded. The tables and commands of the composed answer stay.
Whatever goes wrong on the way, the composed answer is shown, with a note that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from assistant.agent.answer import answer_question
from assistant.agent.model_choice import ChosenModel, choose_model
from assistant.agent.records import Answer, Citation, Engine, Grounding
from assistant.agent.tools import DetectMachine, Toolbox
from assistant.errors import AssistantError, OllamaError
from assistant.fit.records import RunOptions
from assistant.machine.records import Machine

if TYPE_CHECKING:
    from assistant.agent.loop import LoopLimits, Written
    from assistant.models.catalog import Catalog
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.server_address import ServerAddress


@dataclass(frozen=True, slots=True)
class CitedPassage:
    """A passage with its text, as evidence; `origin` is `own` for a person's own notes."""

    guide: str
    section: str
    text: str
    origin: str = "bundled"


def answer_with_engine(
    text: str,
    *,
    server: ServerAddress | None = None,
    model: str | None = None,
    set_up_model: str | None = None,
    no_llm: bool = False,
    history: Sequence[str] = (),
    machine: Machine | None = None,
    catalog: Catalog | None = None,
    detect: DetectMachine | None = None,
    run_options: RunOptions | None = None,
    limits: LoopLimits | None = None,
    on_token: Callable[[str], None] | None = None,
    on_model: Callable[[ChosenModel], None] | None = None,
) -> Answer:
    """Return the answer to `text`; `engine` says what wrote it.

    `model` is what the person named, `set_up_model` the model that setup gave the chat role,
    otherwise the best installed one is taken; `on_model` hears which before it writes.
    `on_token` gets the text as it comes, before it is checked: a sign of life, not the answer.

    Raises:
        UsageError: the question is empty, or its machine makes no sense.
        UnknownModelError: `model` is named and not installed.
        OllamaError: `model` is named and the server cannot be reached or the model cannot chat.
    """
    if catalog is None:
        from assistant.models.catalog import load_catalog

        catalog = load_catalog()
    detect = cache(detect or _detect_this_computer)
    base = answer_question(
        text,
        history=history,
        machine=machine,
        catalog=catalog,
        detect=detect,
        run_options=run_options,
    )
    if no_llm or not base.answered or not (base.tool_calls or base.citations):
        return base
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.server_address import configured_address

    address = server or configured_address()
    with OllamaClient(address) as client:
        try:
            chosen = _choose(client, model, set_up_model, detect, catalog)
        except OllamaError as error:
            if model:
                raise
            return _offline(base, None if _is_absent(error) else error.message)
        if chosen is None:
            return _offline(base, "No model installed on the Ollama server can chat.")
        if on_model:
            on_model(chosen)
        loaded = _loaded_num_ctx(client, chosen.name)
    toolbox = Toolbox(catalog=catalog, detect=detect, run_options=run_options)
    writing = _Writing(base, text, history, chosen, address, toolbox, limits, loaded, on_token)
    return _written_answer(writing)


@dataclass(frozen=True, slots=True)
class _Writing:
    base: Answer
    question: str
    history: Sequence[str]
    chosen: ChosenModel
    address: ServerAddress
    toolbox: Toolbox
    limits: LoopLimits | None
    loaded_num_ctx: int | None
    on_token: Callable[[str], None] | None


def _written_answer(writing: _Writing) -> Answer:
    """Return the answer in the model's words, or the composed one with a note."""
    from assistant.agent.assemble import assemble, is_enough
    from assistant.agent.evidence import gather_evidence
    from assistant.agent.grounding import ground
    from assistant.agent.model_words import ModelWords
    from assistant.agent.prompt import shows_prompt

    base, chosen = writing.base, writing.chosen
    passages = list(passages_of(base.citations))
    try:
        written = _write(writing, passages)
    except AssistantError as error:
        return _offline(base, f"{chosen.name} did not answer: {error.message}")
    evidence = gather_evidence(
        (*base.tool_calls, *written.tool_calls),
        composed=base.text,
        passages=passages,
        words=ModelWords(writing.toolbox.catalog.family_names()),
    )
    grounded = ground(written.text, evidence)
    grounding = Grounding(replaced=grounded.replaced, dropped=grounded.dropped)
    if shows_prompt(grounded.text) or not is_enough(grounded, written.text, evidence):
        note = f"What {chosen.name} wrote was not backed by the tools; this answer is composed."
        return replace(_offline(base, note), grounding=grounding)
    return replace(
        base,
        text=assemble(grounded.text, base.text, evidence),
        tool_calls=(*base.tool_calls, *written.tool_calls),
        citations=_citations(base.citations, passages, grounded.text),
        engine=Engine("ollama", chosen.name),
        grounding=grounding,
    )


def _write(writing: _Writing, passages: list[CitedPassage]) -> Written:
    """Return what the model writes. Passages that its searches find are added to `passages`."""
    from assistant.agent.loop import write_answer
    from assistant.agent.prompt import system_prompt, user_prompt
    from assistant.agent.tool_specs import ToolRunner, readable_result

    tools = writing.chosen.can_call_tools
    runner = None
    if tools:
        runner = ToolRunner(
            writing.toolbox,
            machine=_machine_of(writing.base),
            search=lambda query: _search(query, passages),
        )
    results = [
        f"{call.name}: {readable_result(call)[:1500]}"
        for call in writing.base.tool_calls
        if tools and call.name != "search_guides"
    ]
    return write_answer(
        writing.address,
        writing.chosen.name,
        system=system_prompt(tools=tools),
        user=user_prompt(
            writing.question,
            composed=writing.base.text,
            passages=passages,
            results=results[:3],
            history=writing.history,
            passage_characters=2000 if tools else 400,
        ),
        runner=runner,
        limits=writing.limits,
        trained_num_ctx=writing.chosen.trained_num_ctx,
        loaded_num_ctx=writing.loaded_num_ctx,
        on_token=writing.on_token,
    )


def _search(query: str, passages: list[CitedPassage]) -> dict[str, Any]:
    """Return the passages for a query under the numbers by which the text may cite them."""
    from assistant.knowledge.search import search_guides

    rows = []
    for found in search_guides(query, dense="load").passages:
        p = found.passage
        passage = CitedPassage(p.guide, p.section, p.text, p.origin)
        if passage not in passages:
            passages.append(passage)
        number = passages.index(passage) + 1
        rows.append({"number": number, "guide": p.guide, "section": p.section, "text": p.text})
    return {"query": query, "passages": rows}


def passages_of(citations: Sequence[Citation]) -> tuple[CitedPassage, ...]:
    """Return the passages cited, with their text; what is in no bundled guide is an own note."""
    if not citations:
        return ()
    from assistant.knowledge.guides import load_guides

    bundled: Mapping[tuple[str, str], str] = {
        (guide.title, section.heading): section.text
        for guide in load_guides().values()
        for section in guide.sections
    }
    return tuple(
        CitedPassage(c.guide, c.section, bundled[c.guide, c.section])
        if (c.guide, c.section) in bundled
        else CitedPassage(c.guide, c.section, c.excerpt, "own")
        for c in citations
    )


def _citations(
    before: tuple[Citation, ...], passages: Sequence[CitedPassage], text: str
) -> tuple[Citation, ...]:
    """Return the citations as numbered in the text: those before, and new ones up to the last."""
    last = max((n for n in range(1, len(passages) + 1) if f"[{n}]" in text), default=0)
    added = passages[len(before) : last]
    return (*before, *(Citation(p.guide, p.section, _first_sentence(p.text)) for p in added))


def _first_sentence(text: str) -> str:
    flat = " ".join(text.split())
    end = flat.find(". ")
    return flat if end < 0 else flat[: end + 1]


def _choose(
    client: OllamaClient,
    model: str | None,
    set_up_model: str | None,
    detect: DetectMachine,
    catalog: Catalog,
) -> ChosenModel | None:
    installed = client.installed_models()
    local = client.address.is_local
    return choose_model(
        installed,
        client.show,
        wanted=model,
        set_up=set_up_model,
        machine=detect() if local and installed and not model else None,
        catalog=catalog,
    )


def _loaded_num_ctx(client: OllamaClient, name: str) -> int | None:
    """Return the context of the model if it is loaded: asking for another would reload it."""
    try:
        loaded = client.loaded_models()
    except OllamaError:
        return None
    return next((m.num_ctx for m in loaded if m.name.lower() == name.lower()), None)


def _machine_of(answer: Answer) -> Machine | None:
    """Return the computer that the tools answered for."""
    from assistant.machine.serialize import machine_from_dict

    for call in answer.tool_calls:
        found = call.result.get("machine")
        if isinstance(found, dict):
            return machine_from_dict(found)
    return None


def _is_absent(error: OllamaError) -> bool:
    """Return True when there is no server: the usual case, and nothing to tell."""
    return error.code == "ollama_unreachable"


def _offline(base: Answer, note: str | None) -> Answer:
    return replace(base, engine=Engine("offline", None, note))


def _detect_this_computer() -> Machine:
    from assistant.machine.detect import detect_machine

    return detect_machine()

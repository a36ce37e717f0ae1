"""Reading a question: what it is about, and the machine, models and numbers in it.

Pure: the two readers that need data (devices, catalog) are parameters. A follow-up ("what
about at 128k?") takes what it leaves out from the turns before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from assistant.agent import cues
from assistant.agent.follow_up import inherit, leans_on_history
from assistant.agent.records import Aspect, ModelMention, Question, Span
from assistant.agent.topic import find_topic
from assistant.machine.records import Machine

ReadUnknown = Callable[[str], str | None]
ReadModels = Callable[[str], Sequence[ModelMention]]
ReadMachine = Callable[[str], "tuple[Machine, Sequence[Span]] | None"]

_ASPECTS: Final[tuple[tuple[Aspect, str], ...]] = (
    ("dimensions", r"dimensions?\b|vector (?:size|length)|how many dims"),
    ("scores", rf"{cues.BENCHMARKS}"),
    ("licence", r"licen[cs]\w*|commercial\w*|apache|\bmit\b|open[- ]source|\bsell\b|royalt\w*"),
    ("insert", r"fill[- ]?in[- ]?(?:the[- ]middle)?|\bfim\b|infill\w*|autocomplet\w*|insert"),
    ("languages", r"languages?|multilingual|speaks?\b|support\w* (?:french|german|chinese)"),
    ("parameters", r"param\w*|active\b|experts?\b|billion"),
    ("thinking", r"thinking|reasoning mode|chain of thought"),
    ("tools", r"tools?\b|function[- ]?call\w*"),
    ("vision", r"vision|images?|pictures?|multimodal|\bsee\b"),
    ("release", r"releas\w*|came out|how old|newer|when was|who (?:made|makes|built)|maker"),
    ("context", r"context|ctx|tokens? (?:limit|window)|how many tokens"),
    ("size", r"download|(?:file ?)?size\b|disk|gigabytes|how many gb|how (?:big|large)"),
)
_INJECTION: Final = (
    r"</?[a-z_][^>]{0,40}>",
    r"\b(?:new|important) (?:rule|instruction|system (?:message|prompt))s?\s*:[^.?!]*[.?!]?",
    r"\b(?:ignore|disregard|forget)\b[^.?!]{0,80}\b(?:previous|above|prior|instructions?|rules?|"
    r"prompt)\b[^.?!]*[.?!]?",
    r"\byou are now\b[^.?!]*[.?!]?",
    r"\b(?:system|assistant|developer)\s*:\s*[^.?!]*[.?!]?",
)
_YES_NO: Final = (
    r"\A\W*(?:and |so |but |then |ok |hey )*(?:can|could|will|would|does|do|is|are|may|should"
    r"|has|have)\b|,? (?:yes|right|correct|ok|no)\s*\?*\s*\Z|\bfits?\b|\benough\b"
)


def clean_question(text: str) -> str:
    """Return the question without the parts that try to give orders instead of asking.

    When nothing would be left, the text is returned as it is.
    """
    cleaned = text
    for pattern in _INJECTION:
        cleaned = re.sub(pattern, " ", cleaned, flags=re.IGNORECASE)
    cleaned = re.sub(r"\(not [^)]{1,40}\)", " ", cleaned, flags=re.IGNORECASE)
    cleaned = " ".join(cleaned.split())
    return cleaned if re.search(r"\w", cleaned) else " ".join(text.split())


def parse_question(
    text: str,
    *,
    read_models: ReadModels,
    read_machine: ReadMachine,
    read_unknown: ReadUnknown = lambda _: None,
    history: Sequence[str] = (),
) -> Question:
    """Return what `text` asks, with what it leaves out taken from the turns in `history`.

    `read_unknown` finds a version that does not exist of a family that does (`llama 7`).
    `history` holds the person's earlier questions, oldest first.
    """
    question = _parse_one(clean_question(text), read_models, read_machine, read_unknown)
    if history and leans_on_history(question):
        before = parse_question(
            history[-1],
            read_models=read_models,
            read_machine=read_machine,
            read_unknown=read_unknown,
            history=history[:-1],
        )
        question = inherit(question, before)
    return question


def _parse_one(
    text: str, read_models: ReadModels, read_machine: ReadMachine, read_unknown: ReadUnknown
) -> Question:
    machine_found = read_machine(text)
    machine, spans = machine_found or (None, ())
    words = " ".join(text[start:end] for start, end in spans) or None
    rest = _blank(text, spans)
    models = tuple(read_models(rest))
    rest = _blank(rest, [mention.span for mention in models])
    kv_cache = cues.find_kv_cache_type(text)
    levels = cues.find_quantizations(_blank(text, [kv_cache[1]] if kv_cache else []))
    if kv_cache:
        models = tuple(
            replace(m, quantization=m.quantization if m.quantization in levels else None)
            for m in models
        )
    named = [m.quantization for m in models if m.quantization]
    quantizations = tuple(dict.fromkeys([*named, *levels]))
    ctx = cues.find_num_ctx(rest)
    question = Question(
        text=text,
        topic="guides",
        machine=machine,
        machine_words=words,
        alternatives=() if models else _alternatives(text, read_machine),
        models=models,
        quantizations=quantizations,
        num_ctx=ctx[0] if ctx else None,
        kv_cache_type=kv_cache[0] if kv_cache else None,
        roles=cues.find_roles(rest),
        languages=cues.find_languages(rest),
        commercial=cues.wants_commercial(rest),
        insert=cues.has(r"copilot|autocomplet|fill[- ]?in|\bfim\b|infill", rest),
        prefer=cues.find_preference(rest),
        claimed_sizes=cues.find_sizes(_blank(rest, [ctx[1]] if ctx else [])),
        aspect=_find_aspect(rest),
        hosted=cues.find_hosted_model(rest),
        unknown_model=read_unknown(text),
        rest=rest,
        asks_yes_no=cues.has(_YES_NO, text),
    )
    return replace(question, topic=find_topic(question, rest))


def _alternatives(text: str, read_machine: ReadMachine) -> tuple[tuple[str, Machine], ...]:
    """Return the two machines on both sides of an `or`, `vs` or `than`, if there are two."""
    sides = re.split(r"\b(?:or|vs\.?|versus|than|against)\b", text, flags=re.IGNORECASE)
    if len(sides) != 2:
        return ()
    found = []
    for side in sides:
        machine = read_machine(side)
        if machine is None or not machine[0].accelerators:
            return ()
        if machine[0].accelerators[0].name.startswith("GPU with"):
            return ()
        found.append((" ".join(side[a:b] for a, b in machine[1]), machine[0]))
    return tuple(found)


def _find_aspect(rest: str) -> Aspect | None:
    found = next((a for a, p in _ASPECTS if cues.has(rf"\b(?:{p})", rest)), None)
    if found is None and cues.wants_commercial(rest):
        return "licence"
    return found


def _blank(text: str, spans: Sequence[Span]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text

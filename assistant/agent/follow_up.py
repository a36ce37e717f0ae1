"""Follow-ups: what a question leaves out is taken from the question before it.

A question that is complete in itself is read alone, whatever came before. Otherwise models,
machine and numbers carry over, and what it is about is what it says itself ("how fast?", "is it
Apache?"), or else what the one before was about ("and with 32k?").
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from assistant.agent import cues
from assistant.agent.records import ModelMention, Question, Topic
from assistant.agent.topic import find_topic

_BEGINS: Final = (
    r"\A\W*(?:ok(?:ay)?|so|hmm+|thanks|great|cool|well)?\W*(?:and|what about|how about|what if|if"
    r"|same|with|then|but|for the)\b"
)
_REFERS: Final = r"\b(?:it|its|that|this|them|one|same|there|instead|else|smaller|faster|bigger)\b"
_INSTEAD: Final = r"\binstead\b|\balternativ\w*|\bsomething (?:else|smaller|bigger|faster|better)\b"
_WANTS_MODEL: Final = (
    r"\bbest\b|\bwhich (?:one|model|llm|embed\w*)\b|\bwhat (?:model|runs|can i run|should i)\b"
    r"|\brecommend\w*|\bsuggest\w*"
)
_WITHOUT_COMMERCE: Final = r"\b(?:without|not|no|drop|forget)\b.{0,16}\bcommercial"
_HAS_AN_OBJECT: Final = (
    r"\A\W*(?:how|why|when|where) (?:do|does|did|can|could|should|would|will|to|is|are)\b"
)
_NAMES_WHAT_WAS_MEANT: Final = r"\bthe (?:model|file|card|gpu|answer|size|licen[cs]e|download)\b"
_SMALL_WORDS: Final = frozenset(
    "a an any are at be can could did do does for from get give go how i if in is make me more "
    "much my of on or our out run should so some take the then to use used using want we when "
    "where why will with without would you your".split()
)
_SHORT: Final = 8
_DEFAULTS: Final = frozenset({"facts", "need", "fit", "guides", "task"})
"""Topics that a question without content of its own falls into."""

_THE_PICK: Final = ModelMention(name="", span=(0, 0))
"""Stands for the model that a recommendation will have picked, whichever that is."""

_CARRIED: Final = frozenset(
    {"fit", "need", "kv_cache", "max_context", "speed", "facts", "compare", "quantization_choice",
     "recommend", "device", "modelfile", "other_quantization"}
)  # fmt: skip


def leans_on_history(question: Question) -> bool:
    """Return True when the question leaves out what it is about."""
    if cues.has(_BEGINS, question.text):
        return True
    if question.models and question.machine:
        return False
    if cues.has(_REFERS, question.text) and not question.models:
        return True
    if _stands_alone(question):
        return False
    short = len(question.text.split()) <= _SHORT
    return short and not question.models and question.topic in ("guides", "recommend", "my_machine")


def _stands_alone(question: Question) -> bool:
    """Return True for `how do I make Ollama use more context?`: it has an object of its own."""
    text = question.text
    if not cues.has(_HAS_AN_OBJECT, text) or cues.has(_NAMES_WHAT_WAS_MEANT, text):
        return False
    words = re.findall(r"[^\W\d_]{2,}", text.lower())
    return question.topic == "guides" and len(set(words) - _SMALL_WORDS) > 1


def inherit(question: Question, before: Question) -> Question:
    """Return `question` with what it leaves out taken from `before`."""
    if _complete(question):
        return question
    merged = _carry(question, before)
    stated = question.models or question.quantizations or question.num_ctx
    if (cues.has(_INSTEAD, question.text) and not stated) or _asks_what_runs(question, before):
        unpicked = replace(merged, models=(), quantizations=(), about_pick=False)
        return replace(unpicked, topic="recommend", aspect=None)
    if before.topic == "recommend" and not question.models:
        return _after_recommendation(question, merged)
    own = _own_topic(question, before)
    if own is not None:
        return replace(merged, topic=own)
    known = merged.models or merged.about_pick
    if before.topic in ("facts", "pull") and known and _states_a_run(question):
        return replace(merged, topic="fit" if merged.machine else "need")
    if before.topic in _CARRIED:
        aspect = question.aspect or before.aspect
        return replace(merged, topic=before.topic, aspect=aspect)
    query = f"{before.text} {question.text}"
    return replace(merged, topic=question.topic, query=query, about_pick=False)


def _states_a_run(question: Question) -> bool:
    """Return True when the question names a machine, a context or a type to run with."""
    return bool(
        question.machine or question.num_ctx or question.kv_cache_type or question.quantizations
    )


def _complete(question: Question) -> bool:
    """Return True for a question that names a machine or a role and asks for a model."""
    wants = question.topic == "recommend" and cues.has(_WANTS_MODEL, question.text)
    return wants and bool(question.machine or question.roles)


def _asks_what_runs(question: Question, before: Question) -> bool:
    """Return True for `what runs on it?` after a question about a machine."""
    return (
        before.machine is not None
        and not question.models
        and cues.has(rf"{_WANTS_MODEL}|\bwhat runs\b", question.text)
    )


def _after_recommendation(question: Question, merged: Question) -> Question:
    """A question about the model that was picked, or a recommendation under other conditions."""
    about_pick = question.aspect is not None or question.topic in ("pull", "speed", "kv_cache")
    pull = cues.has(r"\b(?:install|download|pull|get|start|use) (?:it|that|this)\b", question.text)
    stays = bool(question.machine or question.roles or question.languages or question.num_ctx)
    if (about_pick or pull) and not stays:
        return replace(merged, topic="pull" if pull else "facts", about_pick=True)
    return replace(merged, topic="recommend")


def _own_topic(question: Question, before: Question) -> Topic | None:
    """Return what the question itself is about once it is known which model is meant."""
    models = question.models or before.models
    if before.about_pick and not models:
        models = (_THE_PICK,)
    probe = replace(question, models=models)
    topic = find_topic(probe, question.rest)
    if topic in _DEFAULTS and not (topic == "facts" and question.aspect is not None):
        return None
    if topic == "compare" and not question.models:
        return None
    if topic == "kv_cache" and question.kv_cache_type and before.topic in _CARRIED:
        return None
    return topic


def _carry(question: Question, before: Question) -> Question:
    quantizations = question.quantizations or before.quantizations
    if before.topic == "compare" and question.quantizations and not question.models:
        quantizations = tuple(dict.fromkeys((*before.quantizations, *question.quantizations)))
    commercial = question.commercial or before.commercial
    if cues.has(_WITHOUT_COMMERCE, question.text):
        commercial = False
    return replace(
        question,
        machine=question.machine or before.machine,
        machine_words=question.machine_words or before.machine_words,
        models=question.models or before.models,
        quantizations=quantizations,
        num_ctx=question.num_ctx or before.num_ctx,
        kv_cache_type=question.kv_cache_type or before.kv_cache_type,
        roles=question.roles or before.roles,
        languages=question.languages or before.languages,
        commercial=commercial,
        insert=question.insert or before.insert,
        about_pick=before.about_pick and not question.models,
        prefer=question.prefer if question.prefer != "balance" else before.prefer,
    )

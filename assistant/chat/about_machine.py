"""Questions about the model and the machine it runs on, and answers from what is known. Pure.

A model knows nothing of its own size, its context or the computer below it; asked, it makes
something up. Such questions are few and alike, so they are recognised and answered from the
server's figures, the estimators and the catalog.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from assistant.agent.compose.text import (
    assumed,
    gpu_label,
    memory_label,
    model_label,
    paragraphs,
    sentence,
    speed_range,
)
from assistant.fit.records import FitEstimate
from assistant.machine.records import Machine
from assistant.recommend.records import Pick
from assistant.units import GIB, gb, gib, tokens

AboutTopic = Literal["model", "memory", "bigger", "context"]

MOST_CHARACTERS: Final = 240
_NOTABLY_MORE: Final = 1.1
_THING: Final = r"(?:you|this model|the model|it)"
_PATTERNS: Final[tuple[tuple[AboutTopic, str], ...]] = (
    (
        "model",
        r"(?:what|which) (?:language |ai |llm )?(?:model|llm) (?:are you|is this|is it|do you use"
        r"|(?:am i|are we) (?:talking|speaking|chatting) (?:to|with)"
        r"|is (?:running|loaded|answering)(?: here| now)?)"
        r"|(?:what|which) (?:version|quanti[sz]ation|quant) (?:are you|do you use"
        r"|is this(?: model)?)|what(?:'s| is) your (?:model(?: name)?|quanti[sz]ation)"
        rf"|how (?:big|large) (?:are you|is (?:this|the) model)|how many parameters (?:do you have"
        rf"|does {_THING} have|has {_THING})|(?:are you|do you run) (?:running )?(?:local(?:ly)?"
        r"|on (?:my|this) (?:computer|machine|pc|laptop))",
    ),
    (
        "memory",
        r"(?:and )?how much (?:of my |more )?(?:memory|ram|vram|gpu memory|video memory) "
        rf"(?:do|does|are|is) {_THING} (?:us(?:e|ing)|tak(?:e|ing)(?: up)?|need(?:ing)?"
        r"|occupy(?:ing)?|consum(?:e|ing))|(?:are you|do you run|is this model)"
        r"(?: running)? on (?:the |my )?(?:gpu|cpu|graphics card)(?: or (?:the )?(?:cpu|gpu))?"
        r"|(?:what|how much) is your memory (?:use|usage|footprint)",
    ),
    (
        "bigger",
        r"(?:could|can|would) (?:i|we|you|(?:this|my) (?:computer|machine|pc|laptop|card|gpu)) "
        r"(?:also )?(?:run|use|load|handle|take|fit) (?:a |an |any |something )*(?:much |even )*"
        r"(?:bigger|larger|better|stronger|smarter)(?: (?:model|one|llm)s?)?"
        r"|(?:would|does|will) a (?:bigger|larger|better) (?:model|one) (?:fit|run)"
        r"|is there (?:a |any )*(?:bigger|larger|better) (?:model|one) (?:that |which )?(?:i|we|"
        r"would|could|can|fits|runs).{0,30}",
    ),
    (
        "context",
        r"(?:what(?:'s| is)|how (?:long|large|big|much) is) (?:your|the) (?:maximum )?context"
        r"(?: (?:length|window|size|limit))?|how (?:long|large|big|much) (?:a |of a )?context"
        r"(?: (?:length|window))? (?:do|can) you (?:have|use|handle)"
        r"|how many tokens (?:can|do) you (?:remember|read|hold|handle|take|see|have)(?: at once)?"
        r"|how much (?:context|of this conversation) (?:can you (?:see|remember|hold)|is left)",
    ),
)
_ASKS: Final = tuple((topic, re.compile(pattern, re.IGNORECASE)) for topic, pattern in _PATTERNS)
_CLAUSES: Final = re.compile(r"[.?!;,\n]+|\band\b|\balso\b", re.IGNORECASE)
_FILLER: Final = re.compile(
    r"(?:hi|hello|hey|ok|okay|so|then|please|thanks|thank you|right now|now|currently|here|there"
    r"|by the way|btw|tell me|exactly|actually|really|on (?:this|my) (?:computer|machine|pc|laptop"
    r"|card|gpu)|at the moment)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What is known of the model of a conversation and of its computer; None where nothing is.

    `size_bytes` and `vram_bytes` are what `/api/ps` says now, `estimate` what was computed.
    `bigger` is the best model for the role that is larger and fits as well. `machine` is None
    for a server elsewhere, and where nobody needs to know it.
    """

    name: str
    server: str
    num_ctx: int
    is_local: bool = True
    remote: bool = False
    quantization: str | None = None
    parameter_size: str | None = None
    parameters_total: int | None = None
    trained_num_ctx: int | None = None
    used_tokens: int | None = None
    size_bytes: int | None = None
    vram_bytes: int | None = None
    estimate: FitEstimate | None = None
    machine: Machine | None = None
    bigger: Pick | None = None


def about_topics(text: str) -> tuple[AboutTopic, ...]:
    """Return what of the model and its machine a message asks about, in the order of the table."""
    if len(text) > MOST_CHARACTERS or "```" in text:
        return ()
    found = {topic for clause in _clauses(text) for topic in _topics_of(clause)}
    return tuple(topic for topic, _ in _ASKS if topic in found)


def is_only_about(text: str) -> bool:
    """Return True when a message asks about nothing else, so that it needs no model to answer."""
    if not about_topics(text):
        return False
    return all(_topics_of(clause) or _is_filler(clause) for clause in _clauses(text))


def fact_line(facts: MachineFacts) -> str:
    """Return a line for the system prompt, so that the model's own words agree with the facts."""
    parts = [part for part in (facts.parameter_size, facts.quantization) if part]
    what = f"{facts.name} ({', '.join(parts)})" if parts else facts.name
    where = f"in a cloud, through {facts.server}" if facts.remote else f"at {facts.server}"
    memory = f" and {gib(facts.size_bytes)} of memory in use" if facts.size_bytes else ""
    return (
        f"Facts about yourself, for when you are asked: you are the model {what}, run by Ollama "
        f"{where}, with a context of {facts.num_ctx:,} tokens{memory}."
    )


def compose_about(topics: tuple[AboutTopic, ...], facts: MachineFacts) -> str:
    """Return the answer to questions about the model and its machine, as Markdown."""
    sentences = {
        "model": _model_sentence,
        "memory": _memory_sentence,
        "bigger": _bigger_sentence,
        "context": _context_sentence,
    }
    shown = [sentences[topic](facts) for topic in topics]
    assumptions: list[str] = []
    if "memory" in topics and facts.size_bytes is None and facts.estimate is not None:
        assumptions += facts.estimate.assumptions
    return paragraphs(*shown, assumed(assumptions), _next(topics, facts))


def _model_sentence(facts: MachineFacts) -> str:
    parts = []
    if facts.parameter_size:
        parts.append(f"{facts.parameter_size} parameters")
    if facts.quantization:
        parts.append(f"quantized to {facts.quantization}")
    details = f" ({', '.join(parts)})" if parts else ""
    if facts.remote:
        return f"This is `{facts.name}`{details}. It runs in a cloud, not on your own computer."
    where = "on this computer" if facts.is_local else f"on the server at {facts.server}"
    return f"This is `{facts.name}`{details}, run by Ollama {where}."


def _memory_sentence(facts: MachineFacts) -> str:
    context = f"{tokens(facts.num_ctx)} tokens of context"
    if facts.remote:
        return "It runs in a cloud and takes no memory for itself here."
    if facts.size_bytes is not None:
        return (
            f"It takes {gib(facts.size_bytes)} of memory with {context}: {_where(facts)}"
            f"{_unreported(facts)}."
        )
    if facts.estimate is not None:
        total = gib(facts.estimate.memory.total_bytes)
        return (
            f"It is not in memory at the moment; loaded, it takes about {total} with {context} "
            "(an estimate)."
        )
    return "It is not in memory at the moment, and what it takes could not be computed."


def _where(facts: MachineFacts) -> str:
    size, vram = facts.size_bytes or 0, facts.vram_bytes or 0
    if vram >= size:
        if facts.machine is None or not facts.machine.usable_accelerators:
            return "all of it in the GPU's memory"
        return f"all of it in the memory of {gpu_label(facts.machine)}"
    if not vram:
        return "all of it in RAM, on the CPU"
    return (
        f"{gib(vram)} in the GPU's memory and {gib(size - vram)} in RAM "
        f"({100 * (size - vram) / size:.0f} % of it on the CPU)"
    )


def _unreported(facts: MachineFacts) -> str:
    """Return what is in use beyond the server's own sum, where that is a tenth or more.

    The sum has no driver context, and misses a cache of models with a sliding window.
    """
    if facts.estimate is None or not facts.size_bytes:
        return ""
    total = facts.estimate.memory.total_bytes
    if facts.estimate.num_ctx != facts.num_ctx or total < _NOTABLY_MORE * facts.size_bytes:
        return ""
    return f", as the server counts; with what it leaves out about {gib(total)}"


def _bigger_sentence(facts: MachineFacts) -> str:
    if facts.machine is None:
        return (
            f"What else could run cannot be seen from here: the server at {facts.server} is on "
            "another computer. Describe it with `assistant recommend --machine`."
        )
    where, memory = gpu_label(facts.machine), memory_label(facts.machine)
    if facts.bigger is None:
        return (
            f"No larger model of the catalog is a better choice for {where} ({memory}) with "
            f"{tokens(facts.num_ctx)} tokens of context."
        )
    estimate = facts.bigger.estimate
    size = gb(estimate.download_bytes) + " to download, " if estimate.download_bytes else ""
    need = gib(estimate.placement.vram_bytes or estimate.memory.total_bytes)
    fits = f"stays entirely on {where}"
    if estimate.placement.verdict != "gpu":
        fits = "runs on the CPU"
    pace = f", at {speed_range(estimate.speed.decode)}" if estimate.speed.decode else ""
    return sentence(
        f"yes: {model_label(estimate)} {fits} ({memory} without this model): {size}{need} "
        f"of memory with {tokens(estimate.num_ctx)} tokens of context{pace}"
    )


def _context_sentence(facts: MachineFacts) -> str:
    used = ""
    if facts.used_tokens:
        used = f", of which this conversation takes about {facts.used_tokens:,}"
    trained = ""
    if facts.trained_num_ctx and facts.trained_num_ctx > facts.num_ctx:
        trained = f" It was trained for {tokens(facts.trained_num_ctx)}."
    return f"The context is {facts.num_ctx:,} tokens{used}.{trained}"


def _next(topics: tuple[AboutTopic, ...], facts: MachineFacts) -> str | None:
    if "bigger" in topics and facts.bigger is not None:
        return f"Get it: `{facts.bigger.pull}`"
    if "memory" in topics and _is_partly_on_cpu(facts):
        return "What would make it faster: `assistant doctor`"
    if "context" in topics and (facts.trained_num_ctx or 0) > facts.num_ctx:
        return f"What a longer one costs: `assistant tune {facts.name}`"
    return None


def _is_partly_on_cpu(facts: MachineFacts) -> bool:
    on_cpu = (facts.size_bytes or 0) - (facts.vram_bytes or 0)
    machine = facts.machine
    return on_cpu > GIB // 16 and machine is not None and bool(machine.usable_accelerators)


def _clauses(text: str) -> list[str]:
    return [clause.strip() for clause in _CLAUSES.split(text) if clause.strip()]


def _topics_of(clause: str) -> list[AboutTopic]:
    """Return the topics that a clause asks about, from its first word to its last."""
    words = _without_filler(clause)
    return [topic for topic, pattern in _ASKS if pattern.fullmatch(words)]


def _is_filler(clause: str) -> bool:
    return not _without_filler(clause)


def _without_filler(clause: str) -> str:
    """Return a clause without the words of politeness and place at its ends."""
    words = " ".join(clause.split())
    while True:
        shorter = re.sub(rf"^(?:{_FILLER.pattern})\b\s*", "", words, flags=re.IGNORECASE)
        shorter = re.sub(rf"\s*\b(?:{_FILLER.pattern})$", "", shorter, flags=re.IGNORECASE)
        if shorter == words:
            return words
        words = shorter

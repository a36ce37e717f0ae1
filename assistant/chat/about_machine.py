"""Answers about the model and the machine it runs on, from what is known. Pure.

A model knows nothing of its own size, its context or the computer below it; asked, it makes
something up. Such questions are few and alike, so they are recognised (`about_words`) and
answered from the server's figures, the estimators and the catalog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from assistant.agent.compose.text import (
    assumed,
    gpu_label,
    join_words,
    memory_label,
    model_label,
    paragraphs,
    sentence,
    speed_range,
)
from assistant.chat.about_words import AboutTopic
from assistant.fit.records import FitEstimate
from assistant.machine.records import Machine
from assistant.recommend.records import Pick
from assistant.units import GIB, gb, gib, tokens

_NOTABLY_MORE: Final = 1.1


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What is known of the model of a conversation and of its computer; None where nothing is.

    `size_bytes` and `vram_bytes` are what `/api/ps` says now, `estimate` what was computed.
    `bigger` is the best model for the role that is larger and fits as well, `runs` are the answers
    about models that were named. `machine` is None for a server elsewhere, and where nobody needs
    to know it. Speeds are tokens per second: `chat_speed` is the mean of this sitting's answers,
    `measured_speed` what was measured before, on the day `measured_on`.
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
    runs: tuple[str, ...] = ()
    chat_speed: float | None = None
    measured_speed: float | None = None
    measured_on: str | None = None


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
        "run": _run_sentence,
        "gpu": _gpu_sentence,
        "context": _context_sentence,
        "speed": _speed_sentence,
        "private": _private_sentence,
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
            f"It uses {gib(facts.size_bytes)} of memory, {_where(facts)}{_unreported(facts)}. "
            f"That includes {context}."
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
    used = facts.machine.usable_accelerators if facts.machine else ()
    gpus = gpu_label(facts.machine) if facts.machine and len(used) > 1 else "the GPU"
    if vram >= size:
        return f"all of it on {gpus}"
    if not vram:
        return "all of it in RAM, on the CPU"
    return (
        f"{gib(vram)} of it on {gpus} and {gib(size - vram)} in RAM "
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
    return f" ({gib(total)} with what the server does not count)"


def _bigger_sentence(facts: MachineFacts) -> str:
    if facts.machine is None:
        return (
            f"What else could run cannot be seen from here: {_why_unseen(facts)}. Describe it "
            "with `assistant recommend --machine`."
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


def _why_unseen(facts: MachineFacts) -> str:
    if facts.is_local:
        return "this computer was not looked at"
    return f"the server at {facts.server} is on another computer"


def _run_sentence(facts: MachineFacts) -> str:
    if not facts.runs:
        return (
            f"What runs there cannot be seen from here: {_why_unseen(facts)}. Describe it: "
            '`assistant ask "does llama3.1:8b run on a 3060?"`.'
        )
    return paragraphs(*facts.runs)


def _gpu_sentence(facts: MachineFacts) -> str:
    machine = facts.machine
    if machine is None:
        return f"The GPU cannot be seen from here: {_why_unseen(facts)}."
    names = join_words([a.name for a in machine.accelerators])
    if machine.usable_accelerators:
        return f"This computer has {names}: {memory_label(machine)} without this model."
    if names:
        return f"This computer has {names}, which Ollama does not use; models run on the CPU."
    return "No GPU was found in this computer; models run on the CPU."


def _speed_sentence(facts: MachineFacts) -> str:
    if facts.chat_speed is not None:
        return f"It writes {facts.chat_speed:.1f} tokens/s, the mean of its answers so far here."
    if facts.measured_speed is not None:
        return (
            f"It wrote {facts.measured_speed:.1f} tokens/s when it was last measured, on "
            f"{facts.measured_on}; in this chat it has not written anything yet."
        )
    decode = facts.estimate.speed.decode if facts.estimate else None
    if decode is not None:
        return f"It has not been measured yet; about {speed_range(decode)} are expected."
    return "Its speed is known when it has written its first answer."


def _private_sentence(facts: MachineFacts) -> str:
    if facts.remote:
        return (
            f"Yes: `{facts.name}` runs in a cloud, so this conversation is sent there, through "
            f"the Ollama server at {facts.server}."
        )
    if facts.is_local:
        return (
            f"No: what you write goes to the Ollama server on this computer ({facts.server}), and "
            "the model runs there."
        )
    return (
        f"What you write is sent over the network to the Ollama server at {facts.server}, which "
        "is another computer, and nowhere else from here."
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

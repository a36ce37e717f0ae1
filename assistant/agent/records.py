"""Records of one question and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from assistant.fit.records import KvCacheType
from assistant.machine.records import Machine
from assistant.recommend.records import Role

Topic = Literal[
    "fit", "need", "kv_cache", "max_context", "speed", "facts", "compare", "quantization_choice",
    "other_quantization", "recommend", "device", "compare_machines", "my_machine", "licence_list",
    "modelfile", "unknown_model", "pull", "ability_list", "guides", "task",
]  # fmt: skip
Aspect = Literal[
    "licence", "languages", "parameters", "context", "insert", "tools", "vision", "thinking",
    "release", "size", "scores", "dimensions", "overview",
]  # fmt: skip
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ModelMention:
    """A model named in the question; `name` resolves in the catalog.

    `whole_family` says that no size was named, `assumption` what was taken instead.
    """

    name: str
    span: Span
    quantization: str | None = None
    assumption: str | None = None
    whole_family: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What was understood. `machine` is None when no computer is described.

    `about_pick` says that the model is the one recommended before; `query` is what the guides are
    searched for when that is more than the text. `alternatives` are two computers or cards that
    the question sets against each other, with the words for each.
    """

    text: str
    topic: Topic
    machine: Machine | None = None
    machine_words: str | None = None
    alternatives: tuple[tuple[str, Machine], ...] = ()
    models: tuple[ModelMention, ...] = ()
    quantizations: tuple[str, ...] = ()
    num_ctx: int | None = None
    kv_cache_type: KvCacheType | None = None
    roles: tuple[Role, ...] = ()
    languages: tuple[str, ...] = ()
    commercial: bool = False
    insert: bool = False
    prefer: Literal["speed", "quality", "balance"] = "balance"
    claimed_sizes: tuple[int, ...] = ()
    aspect: Aspect | None = None
    hosted: str | None = None
    unknown_model: str | None = None
    rest: str = ""
    asks_yes_no: bool = False
    about_pick: bool = False
    query: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool: its name, its arguments, and its result as plain JSON values."""

    name: str
    arguments: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Citation:
    """A section of a bundled guide that backs the answer; `excerpt` is its first sentence."""

    guide: str
    section: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Grounding:
    """What checking a text against the evidence changed.

    `grounded` says that everything shown is backed. `replaced` has (as written, as shown),
    `dropped` the sentences left out.
    """

    grounded: bool = True
    replaced: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """What wrote the answer. `note` says in a sentence why a language model did not."""

    kind: Literal["ollama", "offline"] = "offline"
    model: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `text` is Markdown; `answered` is False when the question is out of scope."""

    question: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    citations: tuple[Citation, ...] = ()
    answered: bool = True
    engine: Engine = Engine()
    grounding: Grounding = Grounding()


def answer_to_dict(answer: Answer, *, elapsed_s: float) -> dict[str, Any]:
    """Return the `data` object of `assistant ask --json`."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "answered": answer.answered,
        "citations": [
            {"guide": c.guide, "section": c.section, "excerpt": c.excerpt} for c in answer.citations
        ],
        "tool_calls": [
            {"name": c.name, "arguments": c.arguments, "result": c.result}
            for c in answer.tool_calls
        ],
        "grounding": {
            "grounded": answer.grounding.grounded,
            "replaced": [
                {"written": written, "shown": shown} for written, shown in answer.grounding.replaced
            ],
            "dropped": list(answer.grounding.dropped),
        },
        "engine": {
            "kind": answer.engine.kind,
            "model": answer.engine.model,
            "note": answer.engine.note,
        },
        "retrieval": _retrieval(answer),
        "elapsed_s": round(elapsed_s, 3),
    }


def _retrieval(answer: Answer) -> dict[str, Any] | None:
    """Return how the guides were searched, None when they were not."""
    for call in reversed(answer.tool_calls):
        if call.name == "search_guides":
            return {"kind": call.result["kind"], "embedder": call.result["embedder"]}
    return None

"""The tools as a language model sees them: names, descriptions, JSON schemas, and running one.

All of them only read. Arguments are checked against the schema before anything runs; what is
wrong is said in a sentence for the model to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from assistant.agent.records import ToolCall
from assistant.agent.tools import Toolbox
from assistant.errors import AssistantError
from assistant.machine.records import Machine
from assistant.recommend.records import Needs, Role
from assistant.units import gb, gib, tokens

LONGEST_RESULT: Final = 5000
_MACHINE: Final[dict[str, Any]] = {
    "type": "string",
    "maxLength": 200,
    "description": "The computer in words, such as 'RTX 3060 12GB, 32GB RAM'. "
    "Leave out for the computer the question is about.",
}
_MODEL: Final = {"type": "string", "maxLength": 120, "description": "A name such as llama3.1:8b."}
_NUM_CTX: Final = {
    "type": "integer",
    "minimum": 1,
    "maximum": 16_777_216,
    "description": "Context length in tokens.",
}
_LEVEL: Final = {"type": "string", "maxLength": 20, "description": "Such as Q4_K_M or Q8_0."}


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool: its `schema` is a JSON schema of an object."""

    name: str
    description: str
    schema: dict[str, Any]


def _spec(name: str, description: str, required: tuple[str, ...], **properties: Any) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return ToolSpec(name, description, schema)


TOOL_SPECS: Final[tuple[ToolSpec, ...]] = (
    _spec("detect_hardware", "What a computer has: GPU, VRAM, RAM, CPU.", (), machine=_MACHINE),
    _spec(
        "estimate_fit",
        "Memory, placement (GPU, partly, CPU) and speed of one model on one computer.",
        ("model",),
        model=_MODEL,
        machine=_MACHINE,
        quantization=_LEVEL,
        num_ctx=_NUM_CTX,
        kv_cache_type={"type": "string", "enum": ["f16", "q8_0", "q4_0"]},
    ),
    _spec(
        "recommend_models",
        "The models to take for a role on a computer, with reasons.",
        ("role",),
        role={"type": "string", "enum": list(get_args(Role))},
        machine=_MACHINE,
        num_ctx=_NUM_CTX,
        commercial={"type": "boolean"},
        languages={"type": "array", "items": {"type": "string", "maxLength": 2}, "maxItems": 5},
        prefer={"type": "string", "enum": ["speed", "quality", "balance"]},
    ),
    _spec(
        "compare_models",
        "Two to four models side by side on one computer.",
        ("models",),
        models={"type": "array", "items": _MODEL, "minItems": 2, "maxItems": 4},
        machine=_MACHINE,
        num_ctx=_NUM_CTX,
    ),
    _spec(
        "model_info",
        "What is known of a model: parameters, context, licence, languages, abilities.",
        ("model",),
        model=_MODEL,
    ),
    _spec(
        "choose_quantization",
        "Which quantization of a model to take for a task on a computer.",
        ("model",),
        model=_MODEL,
        task={"type": "string", "enum": ["chat", "code", "maths", "writing"]},
        machine=_MACHINE,
        num_ctx=_NUM_CTX,
    ),
    _spec(
        "search_guides",
        "Search the guides on local models; returns numbered passages to cite.",
        ("query",),
        query={"type": "string", "minLength": 1, "maxLength": 300},
    ),
)


class ToolRefusedError(AssistantError):
    """A call that was not run; the message is for the model."""

    code = "tool_refused"


def check_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> None:
    """Return when `arguments` obey the tool's schema.

    Raises:
        ToolRefusedError: says what is wrong.
    """
    known = spec.schema["properties"]
    problems = [f"unknown argument {name!r}" for name in arguments if name not in known]
    problems += [
        f"{name!r} is missing" for name in spec.schema["required"] if name not in arguments
    ]
    problems += [
        f"{name!r} {problem}"
        for name, value in arguments.items()
        if name in known and (problem := _problem(value, known[name]))
    ]
    if problems:
        raise ToolRefusedError(
            f"{spec.name} was not run: {'; '.join(problems)[:400]}. "
            f"It takes: {', '.join(known) or 'nothing'}."
        )


def _problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return what keeps `value` from obeying a schema of the kinds used above, or None."""
    kind = schema["type"]
    types: dict[str, type[Any]] = {"string": str, "integer": int, "boolean": bool, "array": list}
    if not isinstance(value, types[kind]) or (kind == "integer" and isinstance(value, bool)):
        return f"must be of type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(schema['enum'])}"
    size = len(value) if kind in {"string", "array"} else value if kind == "integer" else 0
    low = schema.get("minLength", schema.get("minItems", schema.get("minimum", size)))
    high = schema.get("maxLength", schema.get("maxItems", schema.get("maximum", size)))
    if not low <= size <= high:
        return f"is out of range ({low} to {high})"
    if kind == "array":
        return next((p for item in value if (p := _problem(item, schema["items"]))), None)
    return None


class ToolRunner:
    """Runs checked calls on a toolbox, for the question's computer unless one is described.

    `search` answers `search_guides` with the result object to record; without it the tool is
    not offered.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        machine: Machine | None = None,
        search: Callable[[str], dict[str, Any]] | None = None,
    ) -> None:
        self.toolbox = toolbox
        self._machine = machine
        self._search = search
        self.specs = tuple(s for s in TOOL_SPECS if search or s.name != "search_guides")

    def run(self, name: str, arguments: Mapping[str, Any]) -> ToolCall:
        """Run one tool and return the call with its result.

        Raises:
            AssistantError: the call is refused, or the tool says what is wrong.
        """
        spec = next((s for s in self.specs if s.name == name), None)
        if spec is None:
            known = ", ".join(s.name for s in self.specs)
            raise ToolRefusedError(f"there is no tool {name[:60]!r}. The tools are: {known}.")
        wanted = {k: v for k, v in arguments.items() if v is not None and v != ""}
        check_arguments(spec, wanted)
        if name == "search_guides":
            assert self._search is not None
            return ToolCall(name, wanted, self._search(wanted["query"]))
        before = len(self.toolbox.calls)
        self._call(name, wanted)
        return self.toolbox.calls[before:][-1]

    def _call(self, name: str, wanted: dict[str, Any]) -> None:
        box, words = self.toolbox, wanted.get("machine")
        machine, num_ctx = self._described(words), wanted.get("num_ctx")
        if name == "detect_hardware":
            box.detect_hardware(machine, words=words)
        elif name == "model_info":
            box.model_info(wanted["model"])
        elif name == "estimate_fit":
            box.estimate_fit(
                wanted["model"],
                machine,
                quantization=wanted.get("quantization"),
                num_ctx=num_ctx,
                kv_cache_type=wanted.get("kv_cache_type"),
                words=words,
            )
        elif name == "recommend_models":
            needs = Needs(
                role=wanted["role"],
                num_ctx=num_ctx,
                commercial=wanted.get("commercial", False),
                languages=tuple(wanted.get("languages", ())),
                prefer=wanted.get("prefer", "balance"),
            )
            box.recommend_models(machine, needs, words=words)
        elif name == "compare_models":
            models = wanted["models"]
            box.compare_models(
                models, machine, quantizations=[None] * len(models), num_ctx=num_ctx, words=words
            )
        else:
            task = wanted.get("task", "chat")
            box.choose_quantization(wanted["model"], task, machine, num_ctx=num_ctx, words=words)

    def _described(self, words: str | None) -> Machine:
        if words is None:
            return self._machine or self.toolbox.this_machine
        from assistant.machine.parse import parse_machine

        return parse_machine(words)


_LEFT_OUT: Final = frozenset(
    {"devices", "gpu", "host", "score", "scores", "quality", "features", "unavailable", "source",
     "device_class", "backend", "compute_capability", "bus_id", "driver", "requested_num_ctx",
     "num_batch", "num_parallel", "flash_attention", "exact", "architecture", "fp32_tflops"}
)  # fmt: skip


def readable_result(call: ToolCall) -> str:
    """Return a tool's result as short JSON with units written out, for a model to read."""
    result = {k: v for k, v in call.result.items() if k != "machine" or len(call.result) == 1}
    text = json.dumps(_readable(result), ensure_ascii=False, separators=(", ", ": "))
    return text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]} ... (shortened)"


def _readable(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        if {"low", "high"} <= set(value):
            return f"{value['low']:.3g} to {value['high']:.3g} tokens/s"
        shown = {
            k.removesuffix("_bytes"): _readable(v, k)
            for k, v in value.items()
            if k not in _LEFT_OUT and v not in (None, [], {}, "")
        }
        return {k: v for k, v in shown.items() if v not in (None, [], {})}
    if isinstance(value, (list, tuple)):
        return [_readable(item, key) for item in value[:6]]
    if isinstance(value, int) and not isinstance(value, bool):
        if key.endswith("bytes"):
            return gb(value) if key == "download_bytes" else gib(value)
        if "ctx" in key or key == "context_length":
            return f"{tokens(value)} tokens"
        if key.startswith("parameters"):
            return f"{value / 1e9:.3g}B"
    if isinstance(value, str):
        return value[:400]
    return value

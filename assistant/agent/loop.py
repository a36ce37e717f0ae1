"""A language model with tools, in a bounded loop: langchain-core's messages over our own door.

The only module that imports langchain-core. Its tracing is switched off before it is imported.
A run ends with text, or with one of our errors; it never waits without a limit: steps, calls in
a step, seconds, and tokens in and out are all bounded, and a prompt that does not fit is never
cut silently (`truncate: false`, `prompt_eval_count` compared with an estimate).
"""

# ruff: noqa: E402

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

for _tracing in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"):
    os.environ[_tracing] = "false"

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from assistant.agent.prompt import as_data
from assistant.agent.records import ToolCall
from assistant.agent.tool_specs import ToolRunner, readable_result
from assistant.errors import AssistantError
from assistant.ollama.chat import ChatReply, chat
from assistant.ollama.chat_errors import (
    CannotCallToolsError,
    PromptTooLongError,
    StreamBrokenError,
    TooSlowError,
)
from assistant.ollama.server_address import ServerAddress

SMALLEST_NUM_CTX: Final = 4096
CHARACTERS_PER_TOKEN: Final = 2.5
"""English prose has about 4 characters a token; figures, tables and JSON come down to this."""
_TOKENS_PER_MESSAGE: Final = 16
_FEWEST_CHARACTERS_PER_TOKEN: Final = 12.0
"""Fewer prompt tokens than this allows for were not all of the prompt."""
_CALLS_PER_STEP: Final = 4
_MOST_REFUSED: Final = 4
_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL)

OnToken = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """How far a run may go. `steps` are replies of the model, tool calls or text."""

    steps: int = 6
    time_s: float = 180.0
    num_predict: int = 700


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote, apart from its thinking, and the tool calls it made.

    `refused` are calls that were not run, with the reason; `cut` says that the text ended at
    the limit of tokens.
    """

    text: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    refused: tuple[str, ...] = ()
    steps: int = 1
    used_tools: bool = False
    cut: bool = False


class OllamaChatModel(BaseChatModel):
    """langchain's chat model over `assistant.ollama.chat`."""

    address: Any
    model: str
    num_predict: int = 700
    trained_num_ctx: int | None = None
    loaded_num_ctx: int | None = None
    deadline: float = float("inf")
    think: bool | None = False
    on_token: Any = None

    @property
    def _llm_type(self) -> str:
        return "ollama"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Return this model with tools offered."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Return the whole reply; its text goes to `on_token` as it comes."""
        del stop, run_manager
        wire = [_to_wire(message) for message in messages]
        tools = kwargs.get("tools") or []
        reply = self._ask(wire, tools, self._num_ctx(wire, tools))
        message = _from_reply(reply)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _ask(
        self, wire: list[dict[str, Any]], tools: list[dict[str, Any]], num_ctx: int
    ) -> ChatReply:
        """Ask once; when the server counts more tokens than we did, once more with room for them.

        Raises:
            PromptTooLongError: the prompt does not fit the model's trained context.
        """
        for attempt in (1, 2):
            try:
                reply = chat(
                    self.address,
                    model=self.model,
                    messages=wire,
                    tools=tools,
                    think=self.think,
                    options={
                        "num_ctx": num_ctx,
                        "num_predict": self.num_predict,
                        "temperature": 0.2,
                    },
                    time_limit_s=self._seconds_left(),
                    on_text=_Watch(self.model, self.on_token),
                )
            except PromptTooLongError as error:
                room = _rounded((error.prompt_tokens or 2 * num_ctx) + self.num_predict)
                if attempt == 2 or self._limit(room) <= num_ctx or self._limit(room) < room:
                    raise
                num_ctx = room
                continue
            self._check_whole(wire, tools, reply)
            return reply
        raise PromptTooLongError(num_ctx=num_ctx)

    def _num_ctx(self, wire: list[dict[str, Any]], tools: list[dict[str, Any]]) -> int:
        """Return the context to ask for: that of the loaded model when it is enough.

        Raises:
            PromptTooLongError: even the trained context is surely too small.
        """
        needed = estimate_tokens(wire, tools) + self.num_predict
        if self.loaded_num_ctx and self.loaded_num_ctx >= needed:
            return self.loaded_num_ctx
        return self._limit(max(SMALLEST_NUM_CTX, _rounded(needed)))

    def _limit(self, num_ctx: int) -> int:
        return min(num_ctx, self.trained_num_ctx) if self.trained_num_ctx else num_ctx

    def _check_whole(
        self, wire: list[dict[str, Any]], tools: list[dict[str, Any]], reply: ChatReply
    ) -> None:
        sent = sum(len(m.get("content") or "") for m in wire)
        if reply.prompt_tokens is not None and reply.prompt_tokens < (
            sent / _FEWEST_CHARACTERS_PER_TOKEN
        ):
            raise PromptTooLongError(prompt_tokens=estimate_tokens(wire, tools))

    def _seconds_left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooSlowError(f"the model {self.model!r} took longer than allowed.")
        return min(left, 3600.0)


def write_answer(
    address: ServerAddress,
    model: str,
    *,
    system: str,
    user: str,
    runner: ToolRunner | None = None,
    limits: LoopLimits | None = None,
    trained_num_ctx: int | None = None,
    loaded_num_ctx: int | None = None,
    think: bool | None = False,
    on_token: OnToken | None = None,
) -> Written:
    """Return what the model writes; with `runner`, it may call that runner's tools first.

    A model that turns out to know no tools is asked again without them. Ctrl-C stops at once.

    Raises:
        OllamaError: the server cannot be reached, refuses, breaks off, or the time is up.
    """
    limits = limits or LoopLimits()
    chat_model = OllamaChatModel(
        address=address,
        model=model,
        num_predict=limits.num_predict,
        trained_num_ctx=trained_num_ctx,
        loaded_num_ctx=loaded_num_ctx,
        deadline=time.monotonic() + limits.time_s,
        think=think,
        on_token=on_token,
    )
    messages: list[BaseMessage] = [SystemMessage(system), HumanMessage(user)]
    if runner is None:
        return _finish(chat_model.invoke(messages), _Run(), steps=1)
    return _loop(chat_model, messages, runner, limits)


class _Watch:
    """Passes text on and stops a model that says the same again and again."""

    def __init__(self, model: str, on_token: OnToken | None) -> None:
        self._model, self._on_token = model, on_token
        self._tail, self._unchecked = "", 0

    def __call__(self, text: str) -> None:
        if self._on_token:
            self._on_token(text)
        self._tail = (self._tail + text)[-_WATCHED:]
        self._unchecked += len(text)
        if self._unchecked >= _WATCHED // 4:
            self._unchecked = 0
            if len(self._tail) == _WATCHED and _is_periodic(self._tail):
                raise StreamBrokenError(f"the model {self._model!r} repeats itself without end.")


_WATCHED: Final = 400
_LONGEST_PERIOD: Final = 120


def _is_periodic(text: str) -> bool:
    return any(text[p:] == text[:-p] for p in range(1, _LONGEST_PERIOD))


@dataclass(slots=True)
class _Run:
    calls: list[ToolCall] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)


def _loop(
    chat_model: OllamaChatModel,
    messages: list[BaseMessage],
    runner: ToolRunner,
    limits: LoopLimits,
) -> Written:
    run = _Run()
    with_tools: Any = chat_model.bind_tools(_tools(runner))
    for step in range(1, limits.steps + 1):
        last = step == limits.steps or len(run.refused) >= _MOST_REFUSED
        try:
            reply = (chat_model if last else with_tools).invoke(messages)
        except CannotCallToolsError:
            with_tools = chat_model
            reply = chat_model.invoke(messages)
        if last or not (reply.tool_calls or reply.invalid_tool_calls):
            return _finish(reply, run, steps=step)
        messages.append(reply)
        for index, call in enumerate(reply.tool_calls):
            said = _answer_call(call, runner, run) if index < _CALLS_PER_STEP else _TOO_MANY
            messages.append(ToolMessage(said, tool_call_id=str(call["id"]), name=call["name"]))
    raise StreamBrokenError(f"the model {chat_model.model!r} wrote no answer.")


_TOO_MANY: Final = f"Not run: at most {_CALLS_PER_STEP} tools in one step."


def _answer_call(call: Any, runner: ToolRunner, run: _Run) -> str:
    """Run one call of the model and return what it is told: the result, or what is wrong."""
    key = json.dumps([call["name"], call["args"]], sort_keys=True, default=str)
    if key in run.seen:
        run.refused.append(f"{call['name']}: repeated")
        return "Not run again: the same call was made before. Use its result, or answer now."
    run.seen[key] = call["name"]
    try:
        made = runner.run(call["name"], call["args"])
    except AssistantError as error:
        run.refused.append(f"{call['name']}: {error.message}")
        return as_data(" ".join(filter(None, ("Error:", error.message, error.hint))))
    run.calls.append(made)
    return as_data(readable_result(made))


def _tools(runner: ToolRunner) -> list[StructuredTool]:
    """Return the runner's tools as langchain's, for their descriptions; the loop runs them."""
    return [
        StructuredTool(
            name=spec.name,
            description=spec.description,
            args_schema=spec.schema,
            func=_by_the_loop,
        )
        for spec in runner.specs
    ]


def _by_the_loop(**arguments: Any) -> str:
    raise NotImplementedError(f"the loop runs tools itself, with {arguments!r}")


def _finish(reply: BaseMessage, run: _Run, *, steps: int) -> Written:
    return Written(
        text=str(reply.content).strip(),
        thinking=str(reply.additional_kwargs.get("thinking", "")),
        tool_calls=tuple(run.calls),
        refused=tuple(run.refused),
        steps=steps,
        used_tools=bool(run.calls),
        cut=reply.response_metadata.get("done_reason") == "length",
    )


def estimate_tokens(messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> int:
    """Return about how many tokens a request has, rather too many than too few."""
    characters = sum(
        len((m.get("content") or "").encode())
        + len(json.dumps(m.get("tool_calls") or "", ensure_ascii=False))
        for m in messages
    )
    characters += len(json.dumps(list(tools))) if tools else 0
    return round(characters / CHARACTERS_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(messages)


def _rounded(count: int) -> int:
    return -(-count // 1024) * 1024


def _to_wire(message: BaseMessage) -> dict[str, Any]:
    content = str(message.content)
    if isinstance(message, SystemMessage):
        return {"role": "system", "content": content}
    if isinstance(message, ToolMessage):
        return {"role": "tool", "tool_name": message.name or "", "content": content}
    if isinstance(message, AIMessage):
        wire: dict[str, Any] = {"role": "assistant", "content": content}
        if message.tool_calls:
            wire["tool_calls"] = [
                {"function": {"name": call["name"], "arguments": call["args"]}}
                for call in message.tool_calls
            ]
        return wire
    return {"role": "user", "content": content}


def _from_reply(reply: ChatReply) -> AIMessage:
    """Return the reply as langchain's message, with thinking that templates left in taken out."""
    content, thinking = reply.content, reply.thinking
    inline = _THOUGHT.match(content)
    if inline:
        thinking += inline[1]
        content = content[inline.end() :]
    return AIMessage(
        content=content,
        tool_calls=[
            {
                "name": r.name,
                "args": r.arguments,
                "id": r.id or f"call_{index}",
                "type": "tool_call",
            }
            for index, r in enumerate(reply.tool_requests)
        ],
        additional_kwargs={"thinking": thinking} if thinking else {},
        response_metadata={
            "done_reason": reply.done_reason,
            "prompt_tokens": reply.prompt_tokens,
            "generated_tokens": reply.generated_tokens,
        },
    )

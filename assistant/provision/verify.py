"""Verifying a model by running it: where it landed, how fast it is, whether it answers.

The figures come from the server: `/api/ps` for memory and context, its own times for loading,
reading the prompt and writing. Nothing is timed here but the load, which the server does not
say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from assistant.errors import AssistantError, OllamaError
from assistant.ollama.chat import ChatReply, chat
from assistant.ollama.chat_errors import CannotCallToolsError
from assistant.ollama.client import OllamaClient
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import name_key
from assistant.provision.records import Expectation, Measured, RoleTarget
from assistant.units import gib

GPU_SHARE: Final = 0.999
"""From this share of a model on the GPU on, all of it counts as there."""
DECODED_TOKENS: Final = 48
TOOL_TOKENS: Final = 256
REPLY_LIMIT_S: Final = 900.0
UNLOAD_S: Final = 60.0
"""How long unloading may take before the model is loaded anyway: it waits for a running reply."""
_PASSAGE: Final = (
    "A lighthouse keeper wrote down each evening what the sea had brought: a crate of oranges, "
    "a blue door, two letters without an address, and once a piano that still held its tune. "
)
_PROMPT: Final = f"{_PASSAGE * 8}\n\nTell in three sentences what the keeper might do with it all."
_TOOL_QUESTION: Final = "What is the weather in Oslo right now? Use the tool."
_TOOL: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "current_weather",
        "description": "Tell the weather in a city at this moment.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "name of the city"}},
            "required": ["city"],
        },
    },
}


class EmptyReplyError(OllamaError):
    """The model loads, but writes nothing."""

    code = "empty_reply"


def verify_model(
    client: OllamaClient,
    *,
    name: str,
    capabilities: Collection[str],
    now: Callable[[], str],
    server_version: str | None = None,
) -> Measured:
    """Load a model, run it, and return what was measured.

    An embedding model embeds a text; any other reads a passage and writes a few sentences, and
    one that can call tools is asked to call one (`called_tool` says whether it did). The model is
    unloaded before, so that the time to load is a real one.

    Raises:
        OllamaError: it cannot be loaded (out of memory, ...), does not answer, or writes nothing.
    """
    embeds = is_embedder(capabilities)
    with contextlib.suppress(OllamaError):
        client.unload(name, timeout_s=UNLOAD_S)
    load_s = client.load(name, embeds=embeds)
    measured = Measured(at=now(), load_s=load_s, server_version=server_version)
    if embeds:
        reply = client.embed(name, _PASSAGE * 4)
        measured = replace(
            measured, dimension=reply.dimension, prompt_tokens_per_s=reply.tokens_per_s
        )
    else:
        measured = _with_reply(measured, _generate(client, name))
        if "tools" in capabilities:
            measured = replace(measured, called_tool=_calls_tool(client, name))
    running = loaded_as(client, name)
    if running is None:
        return measured
    return replace(
        measured,
        size_bytes=running.size_bytes,
        vram_bytes=running.vram_bytes,
        num_ctx=running.num_ctx,
    )


def is_embedder(capabilities: Collection[str]) -> bool:
    """True for models that only embed: they are loaded with a text, not with a prompt."""
    return "embedding" in capabilities and "completion" not in capabilities


def loaded_as(client: OllamaClient, name: str) -> LoadedModel | None:
    """Return the runner that serves a model.

    `/api/ps` lists a runner under the name that loaded it; models that share a file share it. A
    name that is not listed is looked for by its file.
    """
    loaded = client.loaded_models()
    exact = next((m for m in loaded if name_key(m.name) == name_key(name)), None)
    if exact is not None or not loaded:
        return exact
    file = client.show(name).blob_digest
    for model in loaded if file else ():
        with contextlib.suppress(AssistantError):  # a deleted model may still be loaded
            if client.show(model.name).blob_digest == file:
                return model
    return None


def lands_as_planned(expected: Expectation, measured: Measured) -> bool:
    """True unless a model that should be on the GPU whole is partly on the CPU."""
    share = measured.gpu_share
    return expected.verdict != "gpu" or share is None or share >= GPU_SHARE


def together_note(client: OllamaClient, targets: Sequence[RoleTarget]) -> str | None:
    """Load what should stay loaded together, largest first, and say what came of it.

    None when there is nothing to see: one model alone, or a server that would not load one.
    They are left loaded: the first question finds them warm.
    """
    by_model = {name_key(t.model): t for t in targets if t.stays_loaded}
    largest_first = sorted(by_model.values(), key=lambda t: -(t.expected.size_bytes or 0))
    if len(largest_first) < 2:
        return None
    try:
        for target in largest_first:
            client.load(target.alias, embeds=is_embedder(target.capabilities))
        found = {target.role: loaded_as(client, target.alias) for target in largest_first}
    except AssistantError as error:
        return f"Whether all of them stay loaded could not be seen: {error.message}"
    names = " and ".join(target.model for target in largest_first)
    gone = [target for target in largest_first if found[target.role] is None]
    if gone:
        pushed = " and ".join(target.model for target in gone)
        return f"{pushed} did not stay loaded beside the others: they take turns."
    held = sum(m.size_bytes or 0 for m in found.values() if m is not None)
    spilled = [
        target.model
        for target in largest_first
        if not lands_as_planned(target.expected, _as_measured(found[target.role]))
    ]
    if spilled:
        return f"Beside the others, {' and '.join(spilled)} is partly on the CPU."
    return f"{names} are loaded side by side now: {gib(held)}."


def _as_measured(running: LoadedModel | None) -> Measured:
    if running is None:
        return Measured(at="")
    return Measured(at="", size_bytes=running.size_bytes, vram_bytes=running.vram_bytes)


def _generate(client: OllamaClient, name: str) -> ChatReply:
    reply = chat(
        client.address,
        model=name,
        messages=[{"role": "user", "content": _PROMPT}],
        options={"num_predict": DECODED_TOKENS, "temperature": 0, "seed": 1},
        think=False,
        time_limit_s=REPLY_LIMIT_S,
        first_token_timeout_s=REPLY_LIMIT_S,
    )
    if not (reply.content.strip() or reply.thinking.strip()):
        raise EmptyReplyError(
            f"{name!r} loads, but writes nothing.",
            hint="Its file or its template may be damaged; take another model or quantization.",
        )
    return reply


def _with_reply(measured: Measured, reply: ChatReply) -> Measured:
    return replace(
        measured,
        prompt_tokens_per_s=reply.prompt_tokens_per_s,
        decode_tokens_per_s=reply.decode_tokens_per_s,
    )


def _calls_tool(client: OllamaClient, name: str) -> bool:
    """Return whether the model calls a tool when it is plainly asked to."""
    try:
        reply = chat(
            client.address,
            model=name,
            messages=[{"role": "user", "content": _TOOL_QUESTION}],
            tools=[_TOOL],
            options={"num_predict": TOOL_TOKENS, "temperature": 0, "seed": 1},
            think=False,
            time_limit_s=REPLY_LIMIT_S,
            first_token_timeout_s=REPLY_LIMIT_S,
        )
    except CannotCallToolsError:
        return False
    return any(request.name == "current_weather" for request in reply.tool_requests)

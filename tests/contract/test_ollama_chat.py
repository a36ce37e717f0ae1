"""The chat door: what is sent, what comes back, and every fault as one of our errors."""

from __future__ import annotations

import json
import time

import pytest

from assistant.errors import OllamaError
from assistant.ollama.chat import ChatReply, chat
from assistant.ollama.chat_errors import (
    CannotCallToolsError,
    CannotThinkError,
    LoadFailedError,
    ModelMissingError,
    OutOfMemoryError,
    PromptTooLongError,
    ServerBusyError,
    StreamBrokenError,
    TooSlowError,
)
from assistant.ollama.errors import NotOllamaError, ServerUnreachableError
from assistant.ollama.server_address import parse_address
from tests.support.ollama_server import (
    Break,
    Call,
    FakeOllama,
    Garbage,
    Hang,
    Refuse,
    Say,
    Script,
    ServedModel,
    Turn,
    serving,
)

ASK = [{"role": "user", "content": "Why?"}]
NAME = "llama3.1:8b"
# Bodies recorded on Ollama 0.33.
TOO_LONG = json.dumps(
    {"error": {"code": 400, "message": "request (13899 tokens) exceeds the available context size "
               "(2048 tokens), try increasing it", "type": "exceed_context_size_error",
               "n_prompt_tokens": 13899, "n_ctx": 2048}}
)  # fmt: skip
NO_MEMORY = (
    "llama-server process has terminated: exit status 1: ggml_aligned_malloc: insufficient memory "
    "(attempted to allocate 36000.00 MB)"
)


def asked(turn: Turn, **more: object) -> ChatReply:
    with serving({NAME: ServedModel(Script([turn]))}) as server:
        return chat(server.address, model=NAME, messages=ASK, **more)  # type: ignore[arg-type]


def last_request(server: FakeOllama) -> dict[str, object]:
    return server.requests[-1][2]  # type: ignore[no-any-return]


def test_text_streams_and_thinking_is_kept_apart() -> None:
    heard: list[str] = []
    thoughts: list[str] = []
    reply = asked(
        Say("Because of the sky.", thinking="hm, why", prompt_eval_count=12),
        on_text=heard.append,
        on_thinking=thoughts.append,
    )
    assert reply.content == "Because of the sky."
    assert reply.thinking == "hm, why"
    assert reply.prompt_tokens == 12
    assert len(heard) > 1
    assert "".join(heard) == reply.content
    assert "".join(thoughts) == reply.thinking


def test_nothing_may_be_cut_silently() -> None:
    with serving({NAME: ServedModel(Script([Say("ok")]))}) as server:
        chat(server.address, model=NAME, messages=ASK, options={"num_ctx": 8192})
        body = last_request(server)
    assert body["truncate"] is False
    assert body["shift"] is False
    assert body["options"] == {"num_ctx": 8192}
    assert "tools" not in body


def test_tool_calls_come_whole() -> None:
    reply = asked(Call((("model_info", {"model": "x"}), ("detect_hardware", {}))))
    assert [(r.name, r.arguments) for r in reply.tool_requests] == [
        ("model_info", {"model": "x"}),
        ("detect_hardware", {}),
    ]


@pytest.mark.parametrize(
    "turn, error",
    [
        (Refuse(400, f"registry.ollama.ai/library/{NAME} does not support tools"),
         CannotCallToolsError),
        (Refuse(400, f'"{NAME}" does not support thinking'), CannotThinkError),
        (Refuse(400, TOO_LONG), PromptTooLongError),
        (Refuse(400, "the prompt is longer than the context length currently available to the "
                "model; shorten the prompt"), PromptTooLongError),
        (Refuse(500, NO_MEMORY), OutOfMemoryError),
        (Refuse(500, "llama-server process has terminated: exit status 1"), LoadFailedError),
        (Refuse(503, "server busy, please try again.  maximum pending requests exceeded"),
         ServerBusyError),
        (Refuse(404, f"model '{NAME}' not found"), ModelMissingError),
        (Refuse(500, 'option "num_ctx" must be of type integer'), OllamaError),
        (Break(), StreamBrokenError),
        (Break(error=None), StreamBrokenError),
        (Garbage(), NotOllamaError),
    ],
)  # fmt: skip
def test_faults_are_our_errors(turn: Turn, error: type[OllamaError]) -> None:
    with pytest.raises(error):
        asked(turn)


def test_prompt_too_long_says_how_long() -> None:
    with pytest.raises(PromptTooLongError) as caught:
        asked(Refuse(400, TOO_LONG))
    assert (caught.value.prompt_tokens, caught.value.num_ctx) == (13899, 2048)


def test_silence_ends_at_the_time_limit() -> None:
    start = time.monotonic()
    with pytest.raises(TooSlowError):
        asked(Hang(), time_limit_s=0.3)
    assert time.monotonic() - start < 3


def test_nobody_there() -> None:
    with pytest.raises(ServerUnreachableError):
        chat(parse_address("127.0.0.1:9"), model=NAME, messages=ASK)


def test_interrupt_closes_the_connection() -> None:
    def interrupt(_text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asked(Say("a long answer " * 50), on_text=interrupt)

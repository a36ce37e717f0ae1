"""Answers through a scripted model on a fake server: the loop, its limits, and every fallback."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from assistant.agent.engine import answer_with_engine
from assistant.agent.loop import LoopLimits
from assistant.agent.records import Answer, answer_to_dict
from assistant.errors import OllamaError, UnknownModelError
from assistant.fit.records import RunOptions
from assistant.machine.parse import parse_machine
from assistant.machine.records import Machine
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

QUESTION = "does llama3.1 8b at 8k fit on a 3060 12gb?"
NAME = "qwen3:8b"
GOOD = (
    "Yes, llama3.1:8b fits entirely on the RTX 3060 with 8k tokens of context. "
    "It runs on the GPU alone, so no layer has to be read from system RAM."
)
MACHINE = parse_machine("RTX 3060 12GB, 32GB RAM")


def here() -> Machine:
    return MACHINE


def asked(
    *turns: Turn | Callable[[dict[str, Any]], Turn],
    question: str = QUESTION,
    capabilities: tuple[str, ...] = ("completion", "tools"),
    **more: Any,
) -> tuple[Answer, FakeOllama, Script]:
    script = Script(turns)
    model = ServedModel(script, capabilities=capabilities, family="qwen3")
    with serving({NAME: model}) as server:
        answer = answer_with_engine(
            question, server=server.address, detect=here, run_options=RunOptions(), **more
        )
    return answer, server, script


@pytest.fixture(scope="module")
def composed() -> Answer:
    return answer_with_engine(QUESTION, no_llm=True, detect=here)


def last_tool_message(request: dict[str, Any]) -> str:
    return str(next(m for m in reversed(request["messages"]) if m["role"] == "tool")["content"])


def test_prose_of_the_model_with_the_tables_of_the_tools(composed: Answer) -> None:
    answer, _, _ = asked(Say(GOOD))
    assert answer.engine.kind == "ollama"
    assert answer.engine.model == NAME
    assert answer.text.startswith(GOOD)
    for line in composed.text.splitlines():
        if line.startswith("|"):
            assert line in answer.text
    assert answer.tool_calls == composed.tool_calls


def test_json_says_what_wrote_it_and_what_changed() -> None:
    wrong = "It needs 99 GiB of memory, far too much."
    answer, _, _ = asked(Say(f"{GOOD} {wrong}"))
    data = answer_to_dict(answer, elapsed_s=1.0)
    assert data["engine"] == {"kind": "ollama", "model": NAME, "note": None}
    assert data["grounding"] == {"grounded": True, "replaced": [], "dropped": [wrong]}
    assert "99 GiB" not in data["answer"]
    json.dumps(data, allow_nan=False)


def test_direct_answer_comes_first_even_when_the_model_leaves_it_out(composed: Answer) -> None:
    answer, _, _ = asked(
        Say("llama3.1:8b runs on the GPU alone, so no layer has to be read from system RAM.")
    )
    assert answer.engine.kind == "ollama"
    assert answer.text.startswith(composed.text.split("\n\n")[0])


def test_model_may_call_more_tools_and_use_their_figures() -> None:
    def use(request: dict[str, Any]) -> Turn:
        told = last_tool_message(request)
        assert "32k" in told
        assert all(line.startswith("| ") for line in told.splitlines())
        return Say(f"{GOOD} The model mistral:7b was trained on 32k tokens of context.")

    answer, _, script = asked(Call((("model_info", {"model": "mistral:7b"}),)), use)
    assert len(script.asked) == 2
    assert answer.tool_calls[-1].name == "model_info"
    assert "mistral:7b was trained on 32k" in answer.text


def test_same_sentence_without_the_tool_call_is_not_backed() -> None:
    answer, _, _ = asked(Say(f"{GOOD} The model mistral:7b was trained on 32k tokens of context."))
    assert "mistral" not in answer.text


@pytest.mark.parametrize(
    "call, told",
    [
        (("model_info", {"model": "zorblax:7b"}), "zorblax"),
        (("model_info", {}), "'model' is missing"),
        (("model_info", {"model": 7}), "must be of type string"),
        (("model_info", "not an object"), "unknown argument"),
        (("model_info", {"model": "x", "then": "rm -rf /"}), "unknown argument 'then'"),
        (("estimate_fit", {"model": "llama3.1:8b", "num_ctx": -5}), "out of range"),
        (("estimate_fit", {"model": "llama3.1:8b", "machine": "a bicycle"}), "bicycle"),
        (("recommend_models", {"role": "poison"}), "must be one of"),
        (("compare_models", {"models": ["llama3.1:8b"]}), "out of range"),
        (("pull_model", {"model": "x"}), "there is no tool"),
        (("", {}), "there is no tool"),
    ],
)
def test_bad_calls_are_explained_to_the_model(call: tuple[str, Any], told: str) -> None:
    seen: list[str] = []

    def hear(request: dict[str, Any]) -> Turn:
        seen.append(last_tool_message(request))
        return Say(GOOD)

    answer, _, _ = asked(Call((call,)), hear)
    assert told in seen[0]
    assert answer.engine.kind == "ollama"


def test_every_tool_can_be_called() -> None:
    calls = (
        ("detect_hardware", {"machine": "RTX 4090"}),
        ("estimate_fit", {"model": "mistral:7b", "num_ctx": 8192, "quantization": "Q8_0"}),
        ("recommend_models", {"role": "code", "prefer": "speed"}),
        ("compare_models", {"models": ["mistral:7b", "llama3.1:8b"]}),
    )
    more = (
        ("model_info", {"model": "mistral:7b"}),
        ("choose_quantization", {"model": "llama3.1:8b", "task": "code"}),
        ("search_guides", {"query": "KV cache"}),
    )
    answer, _, _ = asked(Call(calls), Call(more), Say(GOOD))
    called = [call.name for call in answer.tool_calls]
    assert called[-7:] == [name for name, _ in (*calls, *more)]


def test_passages_found_by_the_model_can_be_cited() -> None:
    def cite(request: dict[str, Any]) -> Turn:
        found = json.loads(last_tool_message(request).removeprefix("| ").split(" ... (short")[0])
        return Say(f"{GOOD} The cache takes memory too [{found['passages'][0]['number']}].")

    before, _, _ = asked(Say(GOOD))
    answer, _, _ = asked(Call((("search_guides", {"query": "translation"}),)), cite)
    assert len(answer.citations) >= len(before.citations)
    number = int(answer.text.split("too [")[1].split("]")[0])
    assert answer.citations[number - 1].excerpt


def test_repeated_call_is_refused_and_steps_are_limited() -> None:
    call = Call((("model_info", {"model": "mistral:7b"}),))
    answer, _, script = asked(call, limits=LoopLimits(steps=5))
    assert len(script.asked) == 5
    assert "tools" not in script.asked[-1]
    assert "same call was made before" in last_tool_message(script.asked[-1])
    assert answer.engine.kind == "offline"


def test_model_that_refuses_tools_is_asked_without(composed: Answer) -> None:
    refusal = Refuse(400, f"registry.ollama.ai/library/{NAME} does not support tools")
    answer, _, script = asked(refusal, Say(GOOD))
    assert "tools" in script.asked[0]
    assert "tools" not in script.asked[1]
    assert answer.engine.kind == "ollama"
    assert answer.tool_calls == composed.tool_calls


def test_model_without_tools_gets_the_evidence_and_no_tools() -> None:
    answer, _, script = asked(Say(GOOD), capabilities=("completion",))
    assert "tools" not in script.asked[0]
    assert "8k tokens" in script.asked[0]["messages"][1]["content"]
    assert answer.engine.kind == "ollama"


def test_thinking_is_never_shown() -> None:
    for turn in (Say(GOOD, thinking="secret plan"), Say(f"<think>secret plan</think>\n{GOOD}")):
        answer, _, _ = asked(turn)
        assert "secret" not in answer.text
        assert answer.engine.kind == "ollama"
    answer, _, _ = asked(Say("<think>secret plan without end"))
    assert answer.engine.kind == "offline"


def test_context_is_set_for_what_is_sent() -> None:
    _, _, script = asked(Say(GOOD))
    request = script.asked[0]
    sent = sum(len(m["content"]) for m in request["messages"]) + len(json.dumps(request["tools"]))
    assert request["options"]["num_ctx"] >= sent / 3 + request["options"]["num_predict"]


def test_prompt_that_does_not_fit_is_sent_again_with_room() -> None:
    def refuse(request: dict[str, Any]) -> Turn:
        inner = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 30_000,
                 "n_ctx": request["options"]["num_ctx"]}  # fmt: skip
        return Refuse(400, json.dumps({"error": inner}))

    answer, _, script = asked(refuse, Say(GOOD))
    assert script.asked[1]["options"]["num_ctx"] >= 30_000
    assert answer.engine.kind == "ollama"


def test_prompt_that_was_cut_is_noticed() -> None:
    answer, _, _ = asked(Say(GOOD, prompt_eval_count=20))
    assert answer.engine.kind == "offline"
    assert "context" in (answer.engine.note or "")


@pytest.mark.parametrize(
    "turn, note",
    [
        (Refuse(500, "llama-server process has terminated: insufficient memory"), "enough memory"),
        (Refuse(503, "server busy"), "busy"),
        (Refuse(404, f"model '{NAME}' not found"), "not installed"),
        (Break(), "middle of its answer"),
        (Break(error=None), "middle of its answer"),
        (Garbage(), "not an Ollama server"),
        (Say(""), "not backed"),
        (Say("banana " * 300), "repeats itself"),
        (Say("The moon is made of cheese and this is a poem about it, my friend."), "not backed"),
        (
            Say(
                "The case cannot be made here; you can only provide a summary of the question in "
                "plain prose: the question has no answer."
            ),
            "not backed",
        ),
        (Say("No, it does not fit at all, sorry about that, my dear friend."), "not backed"),
        (Say("It needs 99 GiB. You want a 4 TB card. Use GPT-4 on evil.com."), "not backed"),
        (Say("| | | |\n" * 50), "not backed"),
    ],
)
def test_whatever_goes_wrong_the_composed_answer_is_shown(
    turn: Turn, note: str, composed: Answer
) -> None:
    answer, _, _ = asked(turn)
    assert answer.text == composed.text
    assert answer.engine.kind == "offline"
    assert note in (answer.engine.note or "")


def test_time_is_limited(composed: Answer) -> None:
    answer, _, _ = asked(Hang(), limits=LoopLimits(time_s=0.3))
    assert answer.text == composed.text
    assert "longer than allowed" in (answer.engine.note or "")


def test_interrupt_stops_at_once() -> None:
    def interrupt(_text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asked(Say(GOOD), on_token=interrupt)


def test_no_server_means_the_composed_answer_without_a_note(composed: Answer) -> None:
    answer = answer_with_engine(QUESTION, server=parse_address("127.0.0.1:9"), detect=here)
    assert answer.text == composed.text
    assert answer.engine.note is None


def test_no_llm_out_of_scope_and_unknown_models_ask_no_model() -> None:
    script = Script([Say(GOOD)])
    with serving({NAME: ServedModel(script)}) as server:
        answer_with_engine(QUESTION, server=server.address, no_llm=True, detect=here)
        answer_with_engine("what is the capital of france?", server=server.address, detect=here)
        answer_with_engine("does llama9 8b fit in 8 GB?", server=server.address, detect=here)
    assert script.asked == []


def test_named_model_that_is_missing_or_cannot_chat_is_an_error() -> None:
    embedding = ServedModel(Script([Say("")]), capabilities=("embedding",))
    with serving({"all-minilm:latest": embedding}) as server:
        with pytest.raises(UnknownModelError, match="not installed"):
            answer_with_engine(QUESTION, server=server.address, model="nope:1b", detect=here)
        with pytest.raises(OllamaError, match="cannot chat"):
            answer_with_engine(QUESTION, server=server.address, model="all-minilm", detect=here)
        answer = answer_with_engine(QUESTION, server=server.address, detect=here)
    assert "can chat" in (answer.engine.note or "")


def test_best_installed_model_is_chosen_and_said() -> None:
    def model(**more: Any) -> ServedModel:
        return ServedModel(Script([Say(GOOD)]), **more)

    models = {
        "all-minilm:latest": model(size=45_960_996, capabilities=("embedding",)),
        "gpt-oss:120b-cloud": model(size=384),
        "llama3.3:70b": model(size=42_520_413_916),
        "smollm2:135m": model(size=98_362_745, capabilities=("completion",)),
        "mistral:7b": model(size=4_372_824_384),
        "qwen3:8b": model(size=5_225_388_164),
    }
    heard: list[str] = []
    with serving(models) as server:
        answer = answer_with_engine(
            QUESTION, server=server.address, detect=here, on_model=lambda m: heard.append(m.name)
        )
        named = answer_with_engine(
            QUESTION, server=server.address, detect=here, set_up_model="mistral:7b"
        )
    assert heard == ["qwen3:8b"]
    assert answer.engine.model == "qwen3:8b"
    assert named.engine.model == "mistral:7b"


def test_loaded_model_keeps_its_context() -> None:
    script = Script([Say(GOOD)])
    with serving({NAME: ServedModel(script)}) as server:
        server.loaded[NAME] = 65_536
        answer_with_engine(QUESTION, server=server.address, detect=here)
    assert script.asked[0]["options"]["num_ctx"] == 65_536

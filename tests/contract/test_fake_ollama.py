"""The test server remembers, resumes, shares and fails as the real one does."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from jsonschema import validate

from assistant.fit.model_facts import facts_from_show
from assistant.ollama.records import ShownModel
from assistant.units import GIB
from tests.support.fake_ollama import (
    ALL_MINILM,
    SMOLLM2,
    Fault,
    Gpu,
    OllamaServer,
    Say,
    Script,
    State,
    library_model,
)
from tests.support.fake_ollama.asking import (
    ASK,
    NAME,
    Reply,
    ask,
    chat,
    half_pulled,
    loaded,
    pull,
    serving,
    tags,
    wait_until,
)
from tests.support.fake_ollama.library import TRACES
from tests.support.fake_ollama.state import digest_of
from tests.support.gguf_bytes import small_model

WEATHER = {
    "type": "object",
    "properties": {
        "location": {"type": "string"},
        "format": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 2},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["location", "format", "days"],
}


def test_a_model_goes_from_the_registry_to_memory_and_away_again() -> None:
    with serving() as server:
        assert tags(server) == []
        assert pull(server).lines[-1] == {"status": "success"}
        assert pull(server, "gemma3:270m").lines[-1] == {"status": "success"}
        assert tags(server) == ["gemma3:270m", NAME]
        body = {"model": "Assistant-Chat", "from": NAME, "parameters": {"num_ctx": 2048}}
        assert ask(server, "/api/create", body).lines[-1] == {"status": "success"}
        assert tags(server)[0] == "Assistant-Chat:latest"
        shown = ask(server, "/api/show", {"model": "assistant-chat"}).json
        assert shown["details"]["parent_model"] == NAME
        assert 'stop                           "<|im_end|>"' in shown["parameters"]
        assert "PARAMETER num_ctx 2048" in shown["modelfile"]
        assert f"FROM {server.state.models_path}/blobs/sha256-" in shown["modelfile"]
        assert chat(server, "assistant-chat").json["done_reason"] == "stop"
        assert loaded(server)["Assistant-Chat:latest"]["context_length"] == 2048
        assert ask(server, "/api/delete", {"model": "ASSISTANT-chat"}, "DELETE").status == 200
        assert tags(server) == ["gemma3:270m", NAME]
        assert list(loaded(server)) == ["Assistant-Chat:latest"]
        assert SMOLLM2.weights.digest in server.state.blobs


def test_deleting_the_last_model_of_a_file_removes_its_blobs_but_not_partial_downloads() -> None:
    with serving(NAME, "gemma3:270m") as server:
        server.state.partial(ALL_MINILM.layers[0])
        for name in (NAME, "gemma3:270m"):
            ask(server, "/api/delete", {"model": name}, "DELETE")
        assert server.state.blobs == {}
        assert list(server.state.partials) == [ALL_MINILM.weights.digest]


def test_a_pull_tells_progress_by_layer_and_leaves_completed_out_at_zero() -> None:
    with serving() as server:
        lines = pull(server).lines
    layer = [line for line in lines if line.get("total") == SMOLLM2.weights.size]
    assert 15 <= len(layer) <= 30
    assert "completed" not in layer[0]
    sizes = [line["completed"] for line in layer[1:]]
    assert sizes == sorted(sizes)
    assert [line["status"] for line in lines[-3:]] == [
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]


def test_a_pull_resumes_where_its_client_left() -> None:
    with serving() as server:
        server.bytes_per_s = 200e6
        with half_pulled(server):
            pass
        digest = SMOLLM2.weights.digest
        wait_until(lambda: not server.state.partials[digest].downloading.locked())
        left = server.state.partials[digest].completed
        assert 0 < left < SMOLLM2.weights.size
        assert tags(server) == []
        server.bytes_per_s = None
        first = next(line for line in pull(server).lines if "total" in line)
        assert first["completed"] == left
        assert server.state.partials == {}


def test_of_two_clients_one_may_leave() -> None:
    with serving() as server:
        server.bytes_per_s = 400e6
        replies: list[Reply] = []
        with half_pulled(server):
            stays = threading.Thread(target=lambda: replies.append(pull(server)))
            stays.start()
        stays.join(10)
        assert replies[0].lines[-1] == {"status": "success"}


def test_a_killed_server_forgets_progress_but_not_the_disk() -> None:
    with serving("gemma3:270m") as server:
        server.faults.add(Fault.kill(after_lines=8))
        reply = pull(server)
        assert not reply.ended
        assert server.state.partials[SMOLLM2.weights.digest].completed == 0
        with pytest.raises(ConnectionRefusedError):
            ask(server, "/api/version")
        with OllamaServer(library=[SMOLLM2], state=server.state, port=server.port) as next_one:
            assert next_one.host == server.host
            assert tags(next_one) == ["gemma3:270m"]
            assert pull(next_one).lines[-1] == {"status": "success"}
            assert tags(next_one) == [NAME, "gemma3:270m"]


def test_a_stopped_server_starts_again_with_nothing_in_memory() -> None:
    with serving(NAME) as server:
        server.load(NAME)
        assert list(loaded(server)) == [NAME]
        server.stop()
        server.start()
        assert tags(server) == [NAME]
        assert loaded(server) == {}


def test_a_server_stopped_in_mid_pull_leaves_a_poisoned_partial(tmp_path: Path) -> None:
    state = State(folder=tmp_path)
    with serving(state=state) as server:
        server.faults.add(Fault.stop(after_lines=8))
        assert not pull(server).ended
        server.start()
        for _ in range(2):
            assert pull(server).lines[1:] == [{"error": "EOF"}]
        part = next(tmp_path.glob("blobs/*-partial-0"))
        assert part.read_text() == ""
        for path in tmp_path.glob("blobs/*-partial*"):
            path.unlink()
        assert pull(server).lines[-1] == {"status": "success"}
        assert list(tmp_path.glob("blobs/*-partial*")) == []


def test_a_moved_tag_replaces_the_model_and_its_blobs() -> None:
    with serving(NAME) as server:
        before = ask(server, "/api/tags").json["models"][0]["digest"]
        server.publish(SMOLLM2.moved())
        statuses = [line["status"] for line in pull(server).lines]
        assert "removing unused layers" in statuses
        assert SMOLLM2.weights.digest not in server.state.blobs
        assert ask(server, "/api/tags").json["models"][0]["digest"] != before


def test_models_of_one_file_share_a_runner() -> None:
    with serving(NAME) as server:
        for name in ("a", "b"):
            ask(server, "/api/create", {"model": name, "from": NAME, "system": name})
        chat(server, "a")
        chat(server, "b")
        assert list(loaded(server)) == ["a:latest"]
        chat(server, "b", options={"num_ctx": 1024})
        assert {n: m["context_length"] for n, m in loaded(server).items()} == {"b:latest": 1024}
        chat(server, "a", keep_alive=0)
        assert loaded(server) == {}


@pytest.mark.parametrize(
    ("request_ctx", "modelfile", "env", "gpu", "expected"),
    [
        (1024, 2048, "3072", None, 1024),
        (None, 2048, "3072", None, 2048),
        (None, None, "3072", None, 3072),
        (None, None, "", None, 4096),
        (None, None, "", Gpu(24 * GIB), 32_768),
        (99_999, None, "", None, 32_768),
    ],
)
def test_the_context_comes_from_where_ollama_takes_it(
    request_ctx: int | None, modelfile: int | None, env: str, gpu: Gpu | None, expected: int
) -> None:
    name = "gemma3:270m"
    with serving(name, env={"OLLAMA_CONTEXT_LENGTH": env}, gpu=gpu) as server:
        parameters = {"num_ctx": modelfile} if modelfile else {"top_k": 3}
        ask(server, "/api/create", {"model": "m", "from": name, "parameters": parameters})
        chat(server, "m", options={"num_ctx": request_ctx} if request_ctx else {})
        assert loaded(server)["m:latest"]["context_length"] == expected


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("cache_type", [None, "q8_0"])
def test_memory_is_what_a_real_server_said(cache_type: str | None, parallel: int) -> None:
    measured = json.loads((TRACES / "memory.json").read_text())
    env = {"OLLAMA_KV_CACHE_TYPE": cache_type or "", "OLLAMA_NUM_PARALLEL": str(parallel)}
    with serving(NAME, "gemma3:270m", env=env) as server:
        for row in measured:
            if (row["kv_cache_type"], row["num_parallel"]) == (cache_type, parallel):
                server.load(row["model"], row["num_ctx_requested"])
                told = loaded(server)[row["model"]]
                assert told["size"] == pytest.approx(row["ps"]["size"], rel=2e-4)
                assert told["context_length"] == row["ps"]["context_length"]


def test_a_model_lands_where_the_arithmetic_puts_it_unless_a_test_says_otherwise() -> None:
    big = library_model("qwen3:8b")
    with OllamaServer(library=[big], installed=["qwen3:8b"], gpu=Gpu(10 * GIB)) as server:
        server.load("qwen3:8b")
        model = loaded(server)["qwen3:8b"]
        assert model["size"] == model["size_vram"] > 4 * GIB
        server.load("qwen3:8b", 40_960)
        model = loaded(server)["qwen3:8b"]
        assert 0 < model["size_vram"] < model["size"]
        server.vram_share = 0.4
        server.load("qwen3:8b", 4096)
        model = loaded(server)["qwen3:8b"]
        assert model["size_vram"] == int(model["size"] * 0.4)
        server.memory_of = lambda name, num_ctx: (100, 40 if num_ctx > 8192 else 100)
        for num_ctx, vram in ((8192, 100), (16_384, 40)):
            server.load("qwen3:8b", num_ctx)
            assert loaded(server)["qwen3:8b"]["size_vram"] == vram


def test_a_model_that_needs_the_room_drives_out_the_other() -> None:
    library = [library_model("qwen3:8b"), library_model("llama3.1:8b"), ALL_MINILM]
    names = [model.name for model in library]
    with OllamaServer(library=library, installed=names, gpu=Gpu(10 * GIB)) as server:
        server.load("all-minilm")
        server.load("qwen3:8b")
        assert set(loaded(server)) == {"all-minilm:latest", "qwen3:8b"}
        server.load("llama3.1:8b")
        assert "qwen3:8b" not in loaded(server)
        assert loaded(server)["llama3.1:8b"]["size_vram"] > 4 * GIB


@pytest.mark.parametrize("name", ["qwen3:8b", "gemma3:12b", "gpt-oss:20b", "nomic-embed-text"])
def test_a_catalog_model_shows_what_the_catalog_says(name: str) -> None:
    model = library_model(name)
    with OllamaServer(library=[model], installed=[name]) as server:
        shown = ask(server, "/api/show", {"model": name}).json
    facts = facts_from_show(
        ShownModel(
            name=name,
            metadata=shown["model_info"],
            tensors=tuple((t["name"], t["type"], tuple(t["shape"])) for t in shown["tensors"]),
            capabilities=frozenset(shown["capabilities"]),
            quantization=shown["details"]["quantization_level"],
        )
    )
    wanted = model.weights.facts
    assert facts.weights.file_bytes == pytest.approx(wanted.weights.file_bytes, rel=1e-4)
    assert facts.architecture.block_count == wanted.architecture.block_count
    assert facts.architecture.head_count_kv == wanted.architecture.head_count_kv
    assert facts.architecture.context_length == wanted.architecture.context_length


def test_bad_parameters_are_refused_by_the_chat_and_not_by_create() -> None:
    with serving(NAME) as server:
        body = {"model": "bad", "from": NAME, "parameters": {"num_ctx": "big", "made_up": 1}}
        assert ask(server, "/api/create", body).lines[-1] == {"status": "success"}
        reply = chat(server, "bad")
        assert (reply.status, reply.error) == (500, 'option "num_ctx" must be of type integer')


def test_create_pulls_a_parent_that_is_not_there() -> None:
    with serving() as server:
        lines = ask(server, "/api/create", {"model": "mine", "from": NAME}).lines
        assert lines[0] == {"status": "pulling manifest"}
        assert [line for line in lines if line["status"] == "success"] == lines[-1:]
        assert tags(server) == ["mine:latest", NAME]


def test_a_real_gguf_file_can_be_uploaded_and_created_from() -> None:
    data = small_model()
    with OllamaServer() as server:
        digest = digest_of(data)
        assert ask(server, f"/api/blobs/{digest}", method="HEAD").status == 404
        assert ask(server, f"/api/blobs/{digest}", data).status == 201
        body = {"model": "own", "files": {"own.gguf": digest}, "stream": False}
        assert ask(server, "/api/create", body).json == {"status": "success"}
        shown = ask(server, "/api/show", {"model": "own"}).json
        assert shown["model_info"]["general.architecture"] == "llama"


def test_metrics_are_on_the_last_line_only_and_loading_is_counted_once() -> None:
    with serving(NAME) as server:
        lines = chat(server, stream=True, options={"num_predict": 3}).lines
        assert [len(line) for line in lines[:-1]] == [4] * 3
        assert lines[-1]["done_reason"] == "length"
        assert lines[-1]["eval_count"] == 3
        again = chat(server).json
        assert lines[-1]["load_duration"] > 10 * again["load_duration"]


def test_a_tool_is_called_with_arguments_that_its_schema_accepts() -> None:
    model = library_model("qwen3:8b")
    tool = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
    with OllamaServer(library=[model], installed=["qwen3:8b"]) as server:
        message = chat(server, "qwen3:8b", tools=[tool]).json["message"]
        function = message["tool_calls"][0]["function"]
        assert function["name"] == "weather"
        validate(function["arguments"], WEATHER)
        result = {"role": "tool", "tool_name": "weather", "content": "11"}
        last = chat(server, "qwen3:8b", tools=[tool], messages=[*ASK, message, result])
        assert "tool_calls" not in last.json["message"]
        refused = chat(server, "qwen3:8b", format={"type": "banana"})
        assert (refused.status, "Unrecognized schema" in refused.error) == (400, True)
        validate(
            json.loads(chat(server, "qwen3:8b", format=WEATHER).json["message"]["content"]), WEATHER
        )


def test_a_thinking_model_thinks_unless_it_is_told_not_to() -> None:
    model = library_model("qwen3:8b")
    with OllamaServer(library=[model], installed=["qwen3:8b"]) as server:
        lines = chat(server, "qwen3:8b", stream=True).lines
        assert "thinking" in lines[0]["message"]
        assert "thinking" not in chat(server, "qwen3:8b", think=False).json["message"]


def test_embeddings_are_alike_for_texts_that_are_alike() -> None:
    with serving("all-minilm:latest") as server:
        texts = ["the sky is blue", "the sky is grey", "tokens per second"]
        body = {"model": "all-minilm", "input": texts}
        first, near, far = ask(server, "/api/embed", body).json["embeddings"]

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert len(first) == 384
    assert likeness(first, first) == pytest.approx(1, abs=1e-5)
    assert likeness(first, near) > likeness(first, far)


def test_a_full_queue_refuses_and_a_freed_slot_serves() -> None:
    slow = Fault.slow("/api/chat", between_s=0.1)
    with serving(NAME, env={"OLLAMA_MAX_QUEUE": "1"}) as server:
        server.load(NAME)
        server.faults.add(slow)
        replies: list[Reply] = []

        def asked() -> Reply:
            return chat(server, stream=True, options={"num_predict": 10})

        threads = [threading.Thread(target=lambda: replies.append(asked())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(reply.status for reply in replies) == [200, 200, 503, 503]


def test_v1_clients_get_the_context_of_the_modelfile() -> None:
    with serving(NAME) as server:
        ask(server, "/api/create", {"model": "m", "from": NAME, "parameters": {"num_ctx": 1536}})
        body = {"model": "m", "messages": ASK, "options": {"num_ctx": 512}}
        reply = ask(server, "/v1/chat/completions", body)
        assert reply.json["choices"][0]["message"]["role"] == "assistant"
        assert loaded(server)["m:latest"]["context_length"] == 1536


def test_requests_are_kept_as_they_came() -> None:
    with serving(NAME) as server:
        ask(server, "/api/version")
        chat(server)
        ask(server, "/api/delete", {"model": NAME}, "DELETE")
    assert [(method, path) for method, path, _ in server.requests] == [
        ("GET", "/api/version"),
        ("POST", "/api/chat"),
        ("DELETE", "/api/delete"),
    ]
    assert server.requests[1][2]["messages"] == ASK


def test_a_script_answers_for_its_model() -> None:
    script = Script([Say("one"), Say("two")])
    with serving(NAME) as server:
        server.answer_with(NAME, script)
        said = [chat(server).json["message"]["content"] for _ in range(3)]
    assert said == ["one", "two", "two"]
    assert script.asked[0]["messages"] == ASK

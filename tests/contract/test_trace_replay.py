"""The test server against what a real Ollama 0.33 answered, exchange by exchange.

Every exchange in `tests/data/ollama_traces` is sent again and its answer compared: status,
content type, framing, the keys and JSON types of each kind of line, the order of the kinds,
and errors word for word (digests, addresses, paths and token counts apart). When
ASSISTANT_TEST_OLLAMA names a real server, what is safe to ask of any server is asked of it too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.fake_ollama import (
    ALL_MINILM,
    GEMMA3_270M,
    SMOLLM2,
    Blob,
    Call,
    Fault,
    OllamaServer,
    Say,
    Script,
)
from tests.support.fake_ollama.comparison import Answer, ask, compare
from tests.support.fake_ollama.state import digest_of

FOLDER = Path(__file__).parent.parent / "data" / "ollama_traces"
REAL = os.environ.get("ASSISTANT_TEST_OLLAMA", "")

NO_EXCHANGE = {
    "memory": "34 loads with what was logged; benchmarks compare estimates with it",
    "memory_summary": "the same in short",
    "memory_prompt_cache_growth": "a table of process sizes",
    "registry_raw": "answers of a registry, not of Ollama",
}
NOT_SERVED = {
    "connection_refused": "no server answered",
    "blob_post_ok": "its request was not recorded; blob_post_again is the same",
    "push_insecure": "this program pushes nothing",
    "push_insecure_2": "this program pushes nothing",
    "push_secure_to_http_registry_error": "this program pushes nothing",
}
SAFE_ANYWHERE = (
    "root_get root_head version version_head tags_head unknown_path wrong_method"
    " chat_malformed_json chat_empty_body chat_wrong_type chat_no_model chat_invalid_model_name"
    " chat_missing chat_think_bad_value generate_missing generate_bad_keep_alive show_missing"
    " show_no_model copy_missing delete_missing embed_missing pull_bad_name create_bad_name"
    " create_no_from create_legacy_modelfile blob_post_malformed_digest v1_chat_missing"
).split()

Prelude = Callable[[OllamaServer], object]


@cache
def exchange(name: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return recorded


def names() -> list[str]:
    found = sorted(path.stem for path in FOLDER.glob("*.json"))
    return [name for name in found if name not in NO_EXCHANGE and name not in NOT_SERVED]


@dataclass(frozen=True)
class Case:
    """What a server must be, and what must have happened, before the request is sent."""

    before: tuple[Prelude, ...] = ()
    installed: tuple[str, ...] = ("smollm2:135m", "gemma3:270m", "all-minilm:latest")
    env: Mapping[str, str] = field(default_factory=dict)
    registries: Mapping[str, str] = field(default_factory=dict)


def again(name: str) -> Prelude:
    """Send a recorded request first."""
    return lambda server: send(server.host, name)


def load(name: str, num_ctx: int | None = None) -> Prelude:
    return lambda server: server.load(name, num_ctx)


def fault(what: Fault) -> Prelude:
    return lambda server: server.faults.add(what)


def post(path: str, body: Mapping[str, Any]) -> Prelude:
    return lambda server: ask(server.host, "POST", path, json.dumps(body).encode())


def blob(digest: str, content: Blob) -> Prelude:
    return lambda server: server.state.blobs.setdefault(f"sha256:{digest}", content)


def from_gguf(name: str) -> Prelude:
    """A model made from Gemma's GGUF file without a template."""

    def make(server: OllamaServer) -> None:
        bare = replace(GEMMA3_270M, name=name, template="", params={})
        server.state.put(bare.manifest(), {})

    return make


raw_gemma = from_gguf("gemma3-raw:270m")


def llama_tools(server: OllamaServer) -> None:
    body = {"model": "smollm2-llamatools:135m", "from": "smollm2:135m", "template": "{{ .Tools }}"}
    post("/api/create", body)(server)


TOOLS = (again("create_from_base_stream"), again("create_tools_model"))
THINK = (again("create_think_model"),)
PULLED = {"127.0.0.1:5000": "http", "127.0.0.1:5001": "http", "127.0.0.1:5999": "refused"}
OFFLINE = {"registry.ollama.ai": "no_network"}
JUNK = "8795d5a1ddd58f023c2a0a2d0b233db68351edd30073f4ef2bab75af17ba4a94"
AFTER_BAD = "db87c5a0a6792aee471e2a6f725d178c151ac8996b906d4c0d177b573a989ab3"
GGUF = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SAFETENSORS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FORMER_PULL = (again("pull_success_stream"),)


def partial(completed: int, *, poisoned: bool = False) -> Prelude:
    """An interrupted download of the large layer."""

    def leave(server: OllamaServer) -> None:
        kept = server.state.partial(GEMMA3_270M.layers[0])
        kept.completed, kept.poisoned = completed, poisoned

    return leave


def pull_case(*before: Prelude, **more: Any) -> Case:
    return Case(before=before, installed=(), registries={**PULLED, **more})


CASES: dict[str, Case] = {
    "blob_head_present": Case((blob(JUNK, Blob(7)),)),
    "blob_head_after_bad_digest": Case((blob(AFTER_BAD, Blob(7)),)),
    "blob_post_again": Case((again("blob_post_created"),)),
    "chat_after_runner_killed": Case(
        (fault(Fault.runner_killed()), again("chat_runner_killed_midstream"))
    ),
    "chat_after_same_num_ctx": Case((load("smollm2:135m", 2048),)),
    "chat_debug_render": Case(TOOLS),
    "chat_model_without_template": Case((raw_gemma,)),
    "chat_model_without_template_render": Case((raw_gemma,)),
    "chat_queue_full_0": Case((fault(Fault.busy()),)),
    "chat_runner_killed_midstream": Case((fault(Fault.runner_killed(after_lines=30)),)),
    "chat_runner_killed_nostream": Case((fault(Fault.runner_killed()),)),
    "chat_name_without_tag_missing": Case(),
    "chat_unload_empty": Case((load("gemma3:270m"),)),
    "copy_ok": Case(),
    "create_again_identical": Case((again("create_again_identical"),)),
    "create_from_base_nostream": Case(),
    "create_bad_param_name_then_chat": Case((again("create_bad_param"),)),
    "create_bad_param_then_chat": Case((again("create_bad_param_type"),)),
    "create_from_gguf_stream": Case((blob(GGUF, Blob(98_362_432, weights=SMOLLM2.weights)),)),
    "create_from_missing": Case(registries=PULLED),
    "create_from_missing_nostream": Case(registries=OFFLINE),
    "create_from_safetensors": Case((blob(SAFETENSORS, Blob(9, weights=ALL_MINILM.weights)),)),
    "create_from_safetensors_quantize": Case(
        (blob(SAFETENSORS, Blob(9, weights=ALL_MINILM.weights)),)
    ),
    "create_not_a_gguf": Case((blob(JUNK, Blob(7, b"no gguf")),)),
    "create_think_model": Case(),
    "create_tools_model": Case((again("create_from_base_stream"),)),
    "delete_ok": Case((again("copy_ok"),)),
    "delete_again": Case((again("copy_ok"), again("delete_ok"))),
    "delete_legacy_name_field": Case((again("create_again_identical"),)),
    "delete_loaded_model": Case(
        (
            post("/api/create", {"model": "tmpdel:1", "from": "gemma3:270m"}),
            load("tmpdel:1"),
        )
    ),
    "delete_pulled": pull_case(*FORMER_PULL),
    "generate_unload": Case((load("smollm2:135m"),)),
    "generate_unload_by_other_name": Case((raw_gemma, load("gemma3:270m"))),
    "generate_same_prompt_again_cached": Case((again("generate_nostream"),)),
    "load_failure_bad_kv_cache_type": Case(env={"OLLAMA_KV_CACHE_TYPE": "q9"}),
    "load_failure_q8_kv_without_flash_attention": Case(
        env={"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "0"}
    ),
    "load_failure_too_big_for_ram": Case(env={"OLLAMA_NUM_PARALLEL": "200"}),
    "ps_after_cancel": Case((load("smollm2:135m"),)),
    "ps_after_delete_loaded": Case(
        (
            from_gguf("tmpdel:1"),
            again("embed_single"),
            load("tmpdel:1"),
            again("delete_loaded_model"),
        )
    ),
    "ps_after_num_ctx": Case((load("smollm2:135m"), again("chat_options_num_ctx_reload"))),
    "ps_after_too_big": Case(
        (again("load_failure_too_big_for_ram"),), env={"OLLAMA_NUM_PARALLEL": "200"}
    ),
    "ps_after_unload": Case((load("smollm2:135m"), load("gemma3:270m"), again("generate_unload"))),
    "ps_after_unload_by_other_name": Case(
        (
            raw_gemma,
            again("embed_single"),
            load("gemma3:270m"),
            again("generate_unload_by_other_name"),
        )
    ),
    "ps_derived_models_share_runner": Case(
        (
            from_gguf("tmpdel:1"),
            again("embed_single"),
            load("tmpdel:1"),
            again("chat_gemma_stream"),
        )
    ),
    "ps_embed_loaded": Case((again("generate_keep_alive_minus1"), again("embed_single"))),
    "ps_env_context_length_6000": Case(
        (load("smollm2:135m"),),
        env={"OLLAMA_CONTEXT_LENGTH": "6000", "OLLAMA_KV_CACHE_TYPE": "q8_0"},
    ),
    "ps_keep_alive_forever": Case((again("generate_keep_alive_minus1"),)),
    "ps_loaded": Case((again("chat_load_only"),)),
    "ps_num_ctx_over_train": Case((again("chat_num_ctx_over_train"),)),
    "ps_right_after_keep_alive_0": Case(
        (again("embed_single"), again("chat_keep_alive_0_with_message"))
    ),
    "ps_two_models": Case((load("smollm2:135m"), again("chat_gemma_stream"))),
    "pull_after_registry_back": pull_case(partial(131_000_000)),
    "pull_after_server_restart": pull_case(partial(198_000_000, poisoned=True)),
    "pull_after_server_sigkill": pull_case(partial(0)),
    "pull_again_up_to_date": pull_case(*FORMER_PULL),
    "pull_direct_docker_registry_no_redirect": pull_case(**{"127.0.0.1:5000": "no_redirect"}),
    "pull_error_EOF_truncated_part_file": pull_case(partial(9, poisoned=True)),
    "pull_no_network": Case(registries=OFFLINE),
    "pull_registry_dies_midway": pull_case(fault(Fault.registry_gone(after_lines=9))),
    "pull_resumed": pull_case(partial(129_000_000)),
    "pull_server_dies": pull_case(fault(Fault.stop(after_lines=9))),
    "pull_server_sigkilled": pull_case(fault(Fault.kill(after_lines=9))),
    "show_created": Case((again("create_from_base_stream"),)),
    "show_gemma3_raw": Case((raw_gemma,)),
    "show_think": Case(THINK),
    "show_tools": Case(TOOLS),
    "show_x1": Case((again("create_bad_param"),)),
    "tags_after_pull": pull_case(*FORMER_PULL),
    "tags_during_partial": pull_case(partial(129_000_000)),
    "tags_empty": Case(installed=()),
    "tags_head": Case(installed=()),
    "tags_filled": Case(
        (
            raw_gemma,
            again("create_from_base_stream"),
            again("create_again_identical"),
            again("create_bad_param"),
            again("create_bad_param_type"),
            again("create_tools_model"),
            again("create_think_model"),
            again("copy_ok"),
        )
    ),
}


def case_of(name: str) -> Case:
    """Return the named case, or what its kind of request needs."""
    if name in CASES:
        return CASES[name]
    if name.startswith("pull_"):
        return pull_case()
    model = str((exchange(name)["request"].get("json") or {}).get("model", ""))
    made: dict[str, tuple[Prelude, ...]] = {
        "smollm2-tools:135m": TOOLS,
        "smollm2-think:135m": THINK,
        "smollm2-llamatools:135m": (llama_tools,),
    }
    return Case(made.get(model, ()))


def turn_in(name: str) -> Say | Call | None:
    """Return what the model said in a recorded exchange, for the model here to say the same."""
    recorded = exchange(name)
    lines = [line["json"] for line in recorded.get("stream", [])] or [recorded.get("body_json")]
    lines = [line for line in lines if isinstance(line, dict) and ("done" in line)]
    if not lines:
        return None
    messages = [line.get("message") or line for line in lines]
    calls = [call for m in messages for call in m.get("tool_calls") or []]
    if calls:
        return Call(tuple((c["function"]["name"], c["function"]["arguments"]) for c in calls))
    text = "".join(m.get("content") or m.get("response") or "" for m in messages)
    thinking = "".join(m.get("thinking") or "" for m in messages)
    return Say(text, thinking, done_reason=lines[-1].get("done_reason") or "stop")


@contextmanager
def served(name: str) -> Iterator[OllamaServer]:
    case = case_of(name)
    pulled = [
        replace(model, name=f"127.0.0.1:{port}/library/{model.name}")
        for model in (SMOLLM2, GEMMA3_270M)
        for port in (5000, 5001)
    ]
    with OllamaServer(
        library=[SMOLLM2, GEMMA3_270M, ALL_MINILM, *pulled],
        installed=case.installed,
        env=case.env,
        registries=case.registries,
        version="0.33.0-rc-fb307609",
    ) as server:
        for step in case.before:
            step(server)
        turn = turn_in(name)
        model = (exchange(name)["request"].get("json") or {}).get("model")
        if turn is not None and model:
            server.answer_with(model, Script([turn]))
        yield server


def send(host: str, name: str) -> Answer:
    """Send a recorded request; uploaded bytes get the digest that they have here."""
    request = exchange(name)["request"]
    path = urlsplit(request["url"]).path
    body = None if request.get("json") is None else json.dumps(request["json"]).encode()
    if request.get("raw") is not None:
        body = request["raw"].encode()
        if name in {"blob_post_created", "blob_post_again"}:
            path = f"/api/blobs/{digest_of(body)}"
    return ask(host, request["method"], path, body)


def recorded_answer(name: str) -> Answer:
    recorded = exchange(name)
    headers = dict(recorded["headers"])
    chunked = "transfer-encoding" in headers
    framing = "chunked" if chunked else "length" if "content-length" in headers else "none"
    lines = None
    if "stream" in recorded:
        lines = [line["json"].get("__raw__", line["json"]) for line in recorded["stream"]]
    value = recorded.get("body_json")
    if value is None:
        value = recorded.get("body_text") or None
    ended = "client_exception" not in recorded
    return Answer(
        recorded["status"], headers.get("content-type"), framing, lines, value, ended, headers
    )


@pytest.mark.parametrize("name", names())
def test_the_server_answers_as_the_real_one_did(name: str) -> None:
    with served(name) as server:
        got = send(server.host, name)
    compare(got, recorded_answer(name), cut_short="client_closed_early" in exchange(name))


def test_no_exchange_is_left_out() -> None:
    every = {path.stem for path in FOLDER.glob("*.json")}
    assert every == {*names(), *NO_EXCHANGE, *NOT_SERVED}
    assert set(CASES) <= every
    assert set(SAFE_ANYWHERE) <= set(names())
    listed = {
        line.partition(" |")[0] for line in (FOLDER / "INDEX.md").read_text().splitlines()[1:]
    }
    assert listed - {"blob_post_ok"} <= every


SERVERS = ["here", *([REAL] if REAL else [])]


@pytest.mark.parametrize("where", SERVERS)
@pytest.mark.parametrize("name", SAFE_ANYWHERE)
def test_what_any_server_may_be_asked(name: str, where: str) -> None:
    """With no models at all here; on the server in ASSISTANT_TEST_OLLAMA with what it has."""
    wanted = recorded_answer(name)
    if where != "here":
        got = send(urlsplit(f"//{where.rpartition('//')[2]}").netloc, name)
    else:
        with OllamaServer() as server:
            got = send(server.host, name)
    if name.startswith("version"):
        assert (got.status, got.kind) == (wanted.status, wanted.kind)
        assert name == "version_head" or isinstance(got.value["version"], str)
    else:
        compare(got, wanted, cut_short=False)

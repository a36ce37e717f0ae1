"""Pulling, creating, copying, deleting, loading and embedding: what they do, and every fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from assistant.errors import OllamaError, UnknownModelError
from assistant.ollama import client as client_module
from assistant.ollama.chat_errors import (
    LoadFailedError,
    ModelMissingError,
    OutOfMemoryError,
    ServerBusyError,
)
from assistant.ollama.client import OllamaClient
from assistant.ollama.errors import NotOllamaError, RequestRefusedError, ServerUnreachableError
from assistant.ollama.progress import PullProgress
from assistant.ollama.pull_errors import (
    CreateRefusedError,
    DamagedDownloadError,
    DiskFullError,
    NotInRegistryError,
    PullInterruptedError,
    RegistryUnreachableError,
)
from tests.support.fake_ollama import (
    ALL_MINILM,
    GEMMA3_270M,
    RUNNER_DIED,
    SMOLLM2,
    Fault,
    LibraryModel,
    OllamaServer,
)

NAME = "smollm2:135m"
MINE = {"model": "mine", "from": NAME, "parameters": {"num_ctx": 2048}, "system": "Be brief."}


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    library = [SMOLLM2, GEMMA3_270M, ALL_MINILM]
    with OllamaServer(library=library, installed=["gemma3:270m", "all-minilm"]) as running:
        yield running


@pytest.fixture
def client(server: OllamaServer) -> Iterator[OllamaClient]:
    with OllamaClient(server.address) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, server: OllamaServer) -> Iterator[OllamaClient]:
    """A client that soon gives up."""
    monkeypatch.setattr(client_module, "SILENCE_S", 0.3)
    monkeypatch.setattr(client_module, "LOAD_TIMEOUT_S", 0.3)
    with OllamaClient(server.address, timeout_s=0.3) as opened:
        yield opened


def pulled(client: OllamaClient, name: str = NAME) -> list[PullProgress]:
    return list(client.pull(name))


def names(server: OllamaServer) -> set[str]:
    return {manifest.name.render() for manifest in server.state.manifests.values()}


def size_of(model: LibraryModel) -> int:
    return model.weights.size


def test_a_pull_tells_how_far_it_is(server: OllamaServer, client: OllamaClient) -> None:
    seen = pulled(client)
    assert seen[-1].is_done
    assert not any(progress.is_done for progress in seen[:-1])
    completed = [progress.completed_bytes for progress in seen]
    assert completed == sorted(completed)
    assert seen[-1].completed_bytes == seen[-1].total_bytes >= size_of(SMOLLM2)
    assert NAME in names(server)
    again = pulled(client)
    assert again[-1].is_done
    assert again[-1].completed_bytes >= size_of(SMOLLM2)


def test_a_pull_that_is_left_early_goes_on_from_there(
    server: OllamaServer, client: OllamaClient
) -> None:
    server.bytes_per_s = size_of(SMOLLM2) / 2
    for progress in client.pull(NAME):
        if progress.completed_bytes > size_of(SMOLLM2) // 4:
            break
    client.close()
    server.bytes_per_s = None
    kept = server.state.partials[SMOLLM2.weights.digest].completed
    assert kept > 0
    first = next(p.completed_bytes for p in client.pull(NAME) if p.layers)
    assert first >= kept


def test_an_http_registry_is_asked_for_as_insecure(
    server: OllamaServer, client: OllamaClient
) -> None:
    with pytest.raises(OllamaError):
        pulled(client, "http://127.0.0.1:5000/library/nope:1")
    pulled(client, NAME)
    asked = [body.get("insecure") for _, path, body in server.requests if path == "/api/pull"]
    assert asked[0] is True
    assert not asked[1]


PULL_FAULTS: dict[str, tuple[Fault, type[OllamaError], str]] = {
    "cut": (Fault.cut(after_lines=6), PullInterruptedError, "the connection to the server"),
    "killed": (Fault.kill(after_lines=6), PullInterruptedError, "the connection to the server"),
    "stopped": (Fault.stop(after_lines=6), PullInterruptedError, "the connection to the server"),
    "garbage": (Fault.garbage("/api/pull", after_lines=3), PullInterruptedError, "not JSON"),
    "html": (Fault.html("/api/pull"), PullInterruptedError, "not JSON"),
    "disk full": (Fault.disk_full(after_lines=6), DiskFullError, "no space left on device"),
    "bad digest": (Fault.bad_digest(), DamagedDownloadError, "digest mismatch"),
    "poisoned": (Fault.poisoned_partial(), DamagedDownloadError, "EOF"),
    "no network": (Fault.registry_gone(after_lines=0), RegistryUnreachableError, "no such host"),
    "registry died": (
        Fault.registry_gone(after_lines=6), RegistryUnreachableError, "max retries exceeded",
    ),
    "missing": (Fault.missing_model(times=1), NotInRegistryError, "has no model"),
    "busy": (Fault.busy("/api/pull"), ServerBusyError, "busy"),
    "500": (Fault.error("/api/pull", text="made up"), RequestRefusedError, "500: made up"),
    "line": (
        Fault.error_line("/api/pull", "made up", after_lines=2), RequestRefusedError, "made up",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", PULL_FAULTS)
def test_every_fault_of_a_pull_is_ours_and_the_next_one_ends_well(
    server: OllamaServer, client: OllamaClient, fault: str
) -> None:
    added, kind, words = PULL_FAULTS[fault]
    server.faults.add(added)
    with pytest.raises(kind) as caught:
        pulled(client)
    assert words in caught.value.message
    assert type(caught.value) is kind
    assert "\n" not in caught.value.message
    if not server.alive:
        server.start()
    if fault in {"poisoned", "stopped"}:
        with pytest.raises(DamagedDownloadError):
            pulled(client)
        server.state.partials.clear()
    assert pulled(client)[-1].is_done
    assert NAME in names(server)


def test_a_pull_without_a_word_ends(server: OllamaServer, impatient: OllamaClient) -> None:
    server.faults.add(Fault.hang("/api/pull", after_lines=3))
    with pytest.raises(PullInterruptedError, match=r"the server said nothing for 0\.3 s") as caught:
        pulled(impatient)
    assert caught.value.hint == "What came is kept; run the same command again."


def test_a_digest_is_not_shown_whole(server: OllamaServer, client: OllamaClient) -> None:
    server.faults.add(Fault.disk_full(after_lines=4))
    with pytest.raises(DiskFullError) as caught:
        pulled(client)
    digest = SMOLLM2.weights.digest.removeprefix("sha256:")
    assert digest[:12] in caught.value.message
    assert digest[:16] not in caught.value.message


def test_a_created_model_is_what_was_asked_for(server: OllamaServer, client: OllamaClient) -> None:
    pulled(client)
    statuses = list(client.create(MINE))
    assert statuses[-1] == "success"
    shown = client.show("mine")
    assert shown.num_ctx == 2048
    assert shown.system == "Be brief."
    assert shown.blob_digest == SMOLLM2.weights.digest
    list(client.create({**MINE, "parameters": {"num_ctx": 4096}}))
    assert client.show("mine").num_ctx == 4096


CREATE_FAULTS: dict[str, tuple[Fault, type[OllamaError], str]] = {
    "cut": (Fault.cut("/api/create", after_lines=1), CreateRefusedError, "the connection to"),
    "killed": (Fault.kill("/api/create", after_lines=1), CreateRefusedError, "the connection to"),
    "garbage": (Fault.garbage("/api/create"), CreateRefusedError, "not JSON"),
    "html": (Fault.html("/api/create"), CreateRefusedError, "not JSON"),
    "400": (Fault.error("/api/create", status=400, text="bad"), CreateRefusedError, "bad"),
    "500": (Fault.error("/api/create", text="made up"), RequestRefusedError, "500: made up"),
    "busy": (Fault.busy("/api/create"), ServerBusyError, "busy"),
    "disk full": (
        Fault.error_line("/api/create", "no space left on device"), DiskFullError, "'mine'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", CREATE_FAULTS)
def test_every_fault_of_a_creation_is_ours(
    server: OllamaServer, client: OllamaClient, fault: str
) -> None:
    pulled(client)
    added, kind, words = CREATE_FAULTS[fault]
    server.faults.add(added)
    with pytest.raises(kind) as caught:
        list(client.create(MINE))
    assert words in caught.value.message
    assert type(caught.value) is kind
    if not server.alive:
        server.start()
    assert list(client.create(MINE))[-1] == "success"


def test_a_creation_without_a_word_ends(server: OllamaServer, impatient: OllamaClient) -> None:
    server.faults.add(Fault.hang("/api/create", after_lines=1))
    with pytest.raises(CreateRefusedError, match=r"said nothing for 0\.3 s"):
        list(impatient.create({**MINE, "from": "gemma3:270m"}))


def test_a_template_that_does_not_parse_is_refused(client: OllamaClient) -> None:
    with pytest.raises(CreateRefusedError, match="would not create 'mine': template error"):
        list(client.create({**MINE, "from": "gemma3:270m", "template": "{{ if }}"}))


def test_a_copy_is_the_same_model_and_a_deleted_one_is_gone(
    server: OllamaServer, client: OllamaClient
) -> None:
    client.copy("gemma3:270m", "Mine")
    digests = {model.name: model.digest for model in client.installed_models()}
    assert digests["Mine:latest"] == digests["gemma3:270m"]
    assert client.delete("mine")
    assert not client.delete("mine")
    assert "gemma3:270m" in names(server)
    with pytest.raises(UnknownModelError, match="'nope' is not installed"):
        client.copy("nope", "mine")


def test_loading_and_unloading(server: OllamaServer, client: OllamaClient) -> None:
    assert client.load("gemma3:270m") >= 0
    assert client.load("all-minilm", embeds=True) >= 0
    assert {m.name for m in client.loaded_models()} == {"gemma3:270m", "all-minilm:latest"}
    client.unload("gemma3:270m")
    client.unload("all-minilm")
    assert client.loaded_models() == ()
    embedded = [path for _, path, _ in server.requests if path == "/api/embed"]
    assert len(embedded) == 1


def test_an_embedding_has_a_dimension_and_a_speed(client: OllamaClient) -> None:
    reply = client.embed("all-minilm", "a short text")
    assert reply.dimension == 384
    assert reply.prompt_tokens == 5
    assert reply.tokens_per_s == pytest.approx(400, rel=0.2)


def test_a_chat_model_does_not_embed(client: OllamaClient) -> None:
    with pytest.raises(RequestRefusedError, match="501"):
        client.embed("gemma3:270m", "a short text")


def test_an_embedding_model_does_not_load_as_a_chat_model(client: OllamaClient) -> None:
    with pytest.raises(RequestRefusedError, match="does not support generate"):
        client.load("all-minilm")


Call = Callable[[OllamaClient], Any]
CALLS: dict[str, tuple[str, Call]] = {
    "copy": ("/api/copy", lambda c: c.copy("gemma3:270m", "mine")),
    "delete": ("/api/delete", lambda c: c.delete("gemma3:270m")),
    "load": ("/api/generate", lambda c: c.load("gemma3:270m")),
    "load embeds": ("/api/embed", lambda c: c.load("all-minilm", embeds=True)),
    "unload": ("/api/generate", lambda c: c.unload("gemma3:270m")),
    "embed": ("/api/embed", lambda c: c.embed("all-minilm", "text")),
}
ANSWERED = {name for name in CALLS if name not in {"copy", "delete"}}


@pytest.mark.parametrize("call", CALLS)
def test_the_short_calls_fail_as_ours(
    server: OllamaServer, impatient: OllamaClient, call: str
) -> None:
    path, function = CALLS[call]
    for fault, kind in (
        (Fault.error(path, text="made up"), RequestRefusedError),
        (Fault.cut(path), ServerUnreachableError),
        (Fault.hang(path), ServerUnreachableError),
        *(
            [(Fault.html(path), NotOllamaError), (Fault.busy(path), ServerBusyError)]
            if call in ANSWERED
            else []
        ),
    ):
        server.faults.add(fault)
        with pytest.raises(kind) as caught:
            function(impatient)
        assert server.host in caught.value.message or kind is ServerBusyError
        assert not caught.value.message.endswith("..).")
    function(impatient)


@pytest.mark.parametrize("call", [*CALLS, "pull", "create"])
def test_a_server_that_is_gone(server: OllamaServer, call: str) -> None:
    function: Call = {
        **{name: each for name, (_, each) in CALLS.items()},
        "pull": lambda c: list(c.pull(NAME)),
        "create": lambda c: list(c.create(MINE)),
    }[call]
    client = OllamaClient(server.address)
    server.stop()
    assert not client.listens()
    with pytest.raises(ServerUnreachableError) as caught:
        function(client)
    assert caught.value.hint == "Start it with: ollama serve"


def test_a_server_that_goes_away_between_two_calls(
    server: OllamaServer, client: OllamaClient
) -> None:
    assert client.listens()
    pulled(client)
    client.copy(NAME, "mine")
    server.stop()
    with pytest.raises(ServerUnreachableError):
        pulled(client)
    with pytest.raises(ServerUnreachableError):
        client.copy(NAME, "mine")
    server.start()
    client.copy(NAME, "mine")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.load_failure(), OutOfMemoryError),
        (Fault.load_failure(text="error loading model: unknown architecture"), LoadFailedError),
        (Fault.error("/api/generate", text=RUNNER_DIED), OllamaError),
    ],
)
def test_a_model_that_does_not_load(
    server: OllamaServer, client: OllamaClient, fault: Fault, kind: type[OllamaError]
) -> None:
    server.faults.add(fault)
    with pytest.raises(kind):
        client.load("gemma3:270m")
    client.load("gemma3:270m")


def test_a_model_that_is_not_there(client: OllamaClient) -> None:
    for function in (
        lambda: client.load("nope"),
        lambda: client.unload("nope"),
        lambda: client.embed("nope", "text"),
        lambda: client.load("nope", embeds=True),
    ):
        with pytest.raises(ModelMissingError, match="'nope' is not installed"):
            function()

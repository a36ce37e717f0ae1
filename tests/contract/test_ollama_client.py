"""The typed client on recorded answers, and every fault as one of our errors."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from assistant.errors import AssistantError, OllamaError, UnknownModelError
from assistant.ollama.client import OllamaClient
from assistant.ollama.errors import NotOllamaError, RequestRefusedError, ServerUnreachableError
from assistant.ollama.server_address import parse_address
from tests.contract.recorded_server import RecordedServer, serving

CALLS: dict[str, Callable[[OllamaClient], object]] = {
    "version": OllamaClient.version,
    "installed_models": OllamaClient.installed_models,
    "loaded_models": OllamaClient.loaded_models,
    "show": lambda client: client.show("smollm2:135m"),
}


def client_of(server: RecordedServer, timeout_s: float = 5.0) -> OllamaClient:
    return OllamaClient(parse_address(server.host), timeout_s=timeout_s)


def test_what_is_installed() -> None:
    with serving("tags_filled") as server, client_of(server) as client:
        models = client.installed_models()
    first = models[0]
    assert first.name == "copy/of:smol"
    assert first.size_bytes == 98_362_745
    assert first.quantization == "Q4_1"
    assert first.parameter_size == "134.52M"
    assert first.digest is not None
    assert first.digest.startswith("fd5f44c0b5af")


def test_what_is_loaded() -> None:
    with serving("ps_loaded") as server, client_of(server) as client:
        (model,) = client.loaded_models()
    assert (model.name, model.size_bytes) == ("smollm2:135m", 209_505_483)
    assert (model.vram_bytes, model.num_ctx) == (0, 4096)


def test_what_a_model_is() -> None:
    with serving("show_smollm2") as server, client_of(server) as client:
        shown = client.show("smollm2:135m")
    assert server.requests[0][2] == '{"model": "smollm2:135m"}'
    assert shown.metadata["llama.block_count"] == 30
    assert shown.metadata["llama.attention.head_count_kv"] == 3
    assert ("token_embd.weight", "Q8_0", (576, 49152)) in shown.tensors
    assert shown.parameters == {"stop": ('"<|im_start|>"', '"<|im_end|>"')}
    assert shown.num_ctx is None
    assert shown.quantization == "Q4_1"
    assert "completion" in shown.capabilities


def test_the_version() -> None:
    with serving("version") as server, client_of(server) as client:
        assert client.version() == "0.33.0-rc-fb307609"


def test_a_model_that_is_not_installed() -> None:
    with (
        serving("show_missing") as server,
        client_of(server) as client,
        pytest.raises(UnknownModelError) as caught,
    ):
        client.show("nope:1b")
    assert "'nope:1b' is not installed" in caught.value.message
    assert caught.value.hint == "Install it with: ollama pull nope:1b"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("hang", ServerUnreachableError),
        ("garbage", NotOllamaError),
        ("list", NotOllamaError),
        ("not_http", OllamaError),
        ("cut", OllamaError),
        ("error", RequestRefusedError),
    ],
)
def test_every_fault_is_ours(call: str, fault: str, expected: type[AssistantError]) -> None:
    with (
        serving(fault=fault) as server,
        client_of(server, timeout_s=0.3) as client,
        pytest.raises(expected) as caught,
    ):
        CALLS[call](client)
    assert caught.value.exit_code == 3
    assert server.host in caught.value.message


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_port_says_how_to_start_it(call: str) -> None:
    with serving() as server:
        address = parse_address(server.host)
    with pytest.raises(ServerUnreachableError) as caught:
        CALLS[call](OllamaClient(address))
    assert caught.value.hint == "Start it with: ollama serve"


def test_a_server_that_goes_away_after_the_first_answer() -> None:
    with serving("tags_empty") as server:
        client = client_of(server)
        assert client.installed_models() == ()
    with client, pytest.raises(ServerUnreachableError):
        client.installed_models()


def test_every_transport_error_is_mapped() -> None:
    client = OllamaClient(parse_address(""))
    for _, error in inspect.getmembers(httpx, inspect.isclass):
        if not issubclass(error, httpx.HTTPError) or error is httpx.HTTPStatusError:
            continue
        assert isinstance(client._mapped(error("it broke")), OllamaError), error


def test_a_closed_port_does_not_import_the_official_client() -> None:
    with serving() as server:
        host = server.host
    program = (
        "import sys\n"
        "from assistant.ollama.client import OllamaClient\n"
        "from assistant.ollama.server_address import parse_address\n"
        f"client = OllamaClient(parse_address({host!r}))\n"
        "try: client.installed_models()\n"
        "except Exception as e: print(e.code)\n"
        "print('ollama' in sys.modules, 'httpx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["ollama_unreachable", "False", "False"]


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving("tags_empty", "version") as server, client_of(server) as client:
        assert client.installed_models() == ()
        assert client.version()


def test_what_differs_from_layer_to_layer_is_asked_for() -> None:
    """The server leaves arrays out; read as they stand, every layer of gemma4 had a window."""
    from assistant.fit.model_facts import facts_from_card, facts_from_show
    from assistant.models.catalog import load_catalog
    from tests.support.fake_ollama import SMOLLM2, OllamaServer, library_model

    names = ["gemma4:12b", "smollm2:135m"]
    with (
        OllamaServer(library=[library_model("gemma4:12b"), SMOLLM2], installed=names) as server,
        OllamaClient(server.address) as client,
    ):
        bare = client.show("gemma4:12b")
        assert bare.metadata["gemma4.attention.sliding_window_pattern"] is None
        shown = facts_from_show(client.show_with_arrays("gemma4:12b")).architecture
        known = facts_from_card(*load_catalog().find("gemma4:12b")).architecture
        assert shown.sliding_window_pattern == known.sliding_window_pattern
        assert shown.head_count_kv == known.head_count_kv
        asked = len(server.requests)
        client.show_with_arrays("smollm2:135m")
        assert len(server.requests) == asked + 1  # its blocks are alike: no megabytes for nothing

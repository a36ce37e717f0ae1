"""`detect_server` on a server that answers as a real one did, and on broken ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from assistant.machine.records import OllamaServer
from assistant.ollama.detect import detect_server
from assistant.ollama.server_address import parse_address
from tests.contract.recorded_server import serving

# Generous, so that a busy machine does not fail the test; the limits asked for are far lower.
QUICK_S = 0.1
PATIENCE_S = 2.0


def test_a_running_server() -> None:
    with serving("version", "tags_filled", "ps_two_models") as server:
        found, problems = detect_server(parse_address(server.host))
    assert problems == ()
    assert found.reachable is True
    assert found.version == "0.33.0-rc-fb307609"
    assert found.url == f"http://{server.host}"
    assert found.models is not None
    assert "smollm2-tools:135m" in found.models
    assert found.loaded == ("gemma3:270m", "smollm2:135m")
    assert found.gpu == "none of the loaded models uses a GPU"
    assert [path for _, path, _ in server.requests] == ["/api/version", "/api/tags", "/api/ps"]


def test_an_empty_server() -> None:
    with serving("version", "tags_empty", "ps_idle") as server:
        found, problems = detect_server(parse_address(server.host))
    assert (found.models, found.loaded, found.gpu, problems) == ((), (), None, ())


def test_a_server_behind_a_path() -> None:
    with serving("version", "tags_empty", "ps_idle", prefix="/ollama") as server:
        found, _ = detect_server(parse_address(server.host + "/ollama"))
    assert found.reachable is True


def test_one_answer_missing_is_one_reason() -> None:
    with serving("version", "tags_filled") as server:
        found, problems = detect_server(parse_address(server.host))
    assert found.reachable is True
    assert found.loaded is None
    assert found.models is not None
    assert [problem.what for problem in problems] == ["ollama /api/ps"]
    assert "404" in problems[0].why


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("garbage", "is not an Ollama server"),
        ("list", "is not an Ollama server"),
        ("not_http", "is not an Ollama server"),
        ("cut", "is not an Ollama server"),
        ("error", "answered 500: llama-server process has terminated"),
        ("hang", "no answer within 0.2 s"),
    ],
)
def test_a_broken_server_is_a_reason(fault: str, why: str) -> None:
    with serving(fault=fault) as server:
        started = time.perf_counter()
        found, problems = detect_server(parse_address(server.host), answer_timeout_s=0.2)
        took = time.perf_counter() - started
    assert found == OllamaServer(f"http://{server.host}", reachable=False)
    assert why in problems[0].why
    assert took < PATIENCE_S


def test_a_closed_port_costs_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = parse_address(f"127.0.0.1:{unused.getsockname()[1]}")
        times = []
        for _ in range(5):
            started = time.perf_counter()
            found, problems = detect_server(address)
            times.append(time.perf_counter() - started)
    assert found.reachable is False
    assert "connection refused" in problems[0].why
    assert min(times) < QUICK_S / 10


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A listening port whose queue is full: the system drops further connection attempts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        time.sleep(0.05)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for filler in fillers:
            filler.close()


def test_an_address_that_swallows_everything_costs_its_limit(black_hole: str) -> None:
    started = time.perf_counter()
    found, problems = detect_server(parse_address(black_hole))
    took = time.perf_counter() - started
    assert found.reachable is False
    assert "no answer within 0.25 s" in problems[0].why
    assert took < 0.25 + QUICK_S * 3


def test_a_bad_ollama_host_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "ftp://box")
    found, problems = detect_server()
    assert found.reachable is False
    assert "http or https" in problems[0].why

"""Every fault of the test server does what it says, and is over when it is used up."""

from __future__ import annotations

import http.client
import time

import pytest

from tests.support.fake_ollama import BUSY, OUT_OF_MEMORY, RUNNER_DIED, SMOLLM2, Fault
from tests.support.fake_ollama.asking import (
    NAME,
    ask,
    chat,
    loaded,
    pull,
    serving,
    tags,
)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.disk_full(after_lines=4), "no space left on device"),
        (Fault.bad_digest(), "digest mismatch, file must be downloaded again: want sha256:"),
        (Fault.registry_gone(after_lines=0), "pull model manifest: Get"),
        (Fault.registry_gone(after_lines=4), "max retries exceeded: Get"),
        (Fault.missing_model(times=1), "pull model manifest: file does not exist"),
        (Fault.error_line("/api/pull", "made up", after_lines=2), "made up"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_pull_fails_in_words_and_works_the_next_time(
    fault: Fault, words: str, stream: bool
) -> None:
    with serving() as server:
        server.faults.add(fault)
        reply = pull(server, stream=stream)
        assert words in reply.error
        assert (reply.status, reply.ended) == (200 if stream else 500, True)
        assert tags(server) == []
        assert pull(server).lines[-1] == {"status": "success"}


def test_a_poisoned_partial_fails_every_pull_until_it_is_removed() -> None:
    with serving() as server:
        server.faults.add(Fault.poisoned_partial())
        for _ in range(3):
            assert pull(server).error == "EOF"
        server.state.partials.clear()
        assert pull(server).lines[-1] == {"status": "success"}


def test_a_cut_stream_has_no_end_and_keeps_what_came() -> None:
    with serving() as server:
        server.faults.add(Fault.cut(after_lines=6))
        reply = pull(server)
        assert not reply.ended
        assert len(reply.lines) == 6
        kept = server.state.partials[SMOLLM2.weights.digest].completed
        assert kept > 0
        assert any(line.get("completed", 0) >= kept for line in pull(server).lines)


@pytest.mark.parametrize("stream", [True, False])
def test_a_chat_fails_in_every_way(stream: bool) -> None:
    with serving(NAME) as server:
        server.faults.add(Fault.busy(), Fault.error("/api/chat", text="broken"))
        assert [chat(server, stream=stream).status for _ in range(2)] == [503, 500]
        server.faults.add(Fault.load_failure(min_num_ctx=2048))
        assert chat(server, stream=stream, options={"num_ctx": 1024}).status == 200
        reply = chat(server, stream=stream, options={"num_ctx": 4096})
        assert (reply.status, reply.error) == (500, OUT_OF_MEMORY)
        assert loaded(server) == {}
        server.faults.add(Fault.runner_killed(after_lines=2))
        reply = chat(server, stream=stream)
        assert (reply.error, reply.ended) == (RUNNER_DIED, True)
        assert reply.status == (200 if stream else 500)
        assert loaded(server) == {}
        server.faults.add(Fault.cut("/api/chat", after_lines=1))
        with pytest.raises((http.client.RemoteDisconnected, AssertionError)):
            assert chat(server, stream=stream).ended
        server.faults.add(Fault.garbage("/api/chat"), Fault.html("/api/tags"))
        with pytest.raises(ValueError, match="Expecting value"):
            _ = chat(server, stream=stream).lines
        assert ask(server, "/api/tags").kind == "text/html; charset=utf-8"
        assert chat(server, stream=stream).status == 200


def test_busy_says_what_ollama_says() -> None:
    with serving(NAME) as server:
        server.faults.add(Fault.busy())
        assert chat(server).json == {"error": BUSY}


def test_a_fault_waits_for_its_model_and_path_and_is_used_up() -> None:
    with serving(NAME, "gemma3:270m") as server:
        server.faults.add(Fault.error("/api/chat", model="GEMMA3:270m", times=2))
        assert chat(server, NAME).status == 200
        assert [chat(server, "gemma3:270m").status for _ in range(3)] == [500, 500, 200]
        server.faults.add(Fault.error("/api/chat", times=None))
        assert [chat(server).status for _ in range(3)] == [500] * 3
        server.faults.clear()
        assert chat(server).status == 200


def test_a_hanging_server_lets_go_when_it_is_stopped() -> None:
    with serving(NAME) as server:
        server.faults.add(Fault.hang("/api/version"), Fault.hang("/api/pull", after_lines=2))
        with pytest.raises(TimeoutError):
            ask(server, "/api/version", timeout_s=0.2)
        with pytest.raises(TimeoutError):
            ask(server, "/api/pull", {"model": "gemma3:270m"}, timeout_s=0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 2


def test_a_slow_server_is_slow_where_it_is_told_to_be() -> None:
    with serving(NAME) as server:
        server.faults.add(Fault.slow("/api/version", delay_s=0.2, times=1))
        began = time.monotonic()
        assert ask(server, "/api/version").json == {"version": "0.33.0"}
        assert time.monotonic() - began >= 0.2


def test_an_answer_may_be_lost_after_the_deed_is_done() -> None:
    with serving(NAME) as server:
        server.faults.add(Fault.cut("/api/copy"), Fault.cut("/api/copy", after_lines=1))
        for copied in (False, True):
            with pytest.raises(http.client.RemoteDisconnected):
                ask(server, "/api/copy", {"source": NAME, "destination": "other"})
            assert ("other:latest" in tags(server)) == copied


def test_create_may_find_the_disk_full() -> None:
    with serving(NAME) as server:
        server.faults.add(Fault.disk_full("/api/create"))
        reply = ask(server, "/api/create", {"model": "m", "from": NAME, "system": "x"})
        assert "no space left on device" in reply.error
        assert tags(server) == [NAME]

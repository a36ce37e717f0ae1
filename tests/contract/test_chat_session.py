"""A conversation with a server that speaks Ollama's protocol, and everything that goes wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from assistant.chat.chat_problems import (
    CannotChatError,
    CloudModelError,
    FileTooLargeError,
    GuidesError,
    NoChatModelError,
    NothingSaidError,
    TooLongError,
)
from assistant.chat.own_model import OwnModel, chat_model
from assistant.chat.records import Attachment, Message
from assistant.chat.session import ChatSession
from assistant.chat.store import ConversationStore, memory_store, open_store
from assistant.errors import OllamaError, UnknownModelError, UsageError
from assistant.machine.parse import parse_machine
from assistant.ollama.chat_errors import (
    LoadFailedError,
    OutOfMemoryError,
    ServerBusyError,
    StreamBrokenError,
    TooSlowError,
)
from assistant.ollama.client import OllamaClient
from assistant.ollama.errors import NotOllamaError, ServerUnreachableError
from assistant.ollama.records import InstalledModel, LoadedModel, ShownModel
from assistant.ollama.server_address import ServerAddress, parse_address
from assistant.provision.ledger import with_entry, write_ledger
from assistant.provision.records import Ledger, LedgerEntry
from tests.support.fake_ollama import (
    ALL_MINILM,
    SMOLLM2,
    Break,
    Fault,
    Garbage,
    Gpu,
    OllamaServer,
    Refuse,
    Say,
    Script,
    library_model,
)
from tests.support.fake_ollama.asking import wait_until

NAME = "smollm2:135m"
AT = "2026-11-27T10:00:00+00:00"
THINKER = library_model("qwen3:4b")
SEER = library_model("gemma3:4b")


@dataclass
class Talk:
    """A session with what it said besides."""

    server: OllamaServer
    client: OllamaClient
    store: ConversationStore
    session: ChatSession
    notes: list[str] = field(default_factory=list)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The chat requests so far."""
        return [body for method, path, body in self.server.requests if path == "/api/chat"]

    @property
    def roles(self) -> list[str]:
        """Who speaks in the last prompt."""
        return [message["role"] for message in self.sent[-1]["messages"]]

    @property
    def stored(self) -> list[Message]:
        return [m for m in self.session.conversation.messages if m.kind != "summary"]


@contextlib.contextmanager
def talking(
    *turns: Any,
    model: str = NAME,
    num_ctx: int | None = None,
    gpu: Gpu | None = None,
    store: ConversationStore | None = None,
    before: Sequence[Message] = (),
    **more: Any,
) -> Iterator[Talk]:
    library = [SMOLLM2, ALL_MINILM, THINKER, SEER]
    with (
        OllamaServer(library=library, installed=[m.name for m in library], gpu=gpu) as server,
        OllamaClient(server.address) as client,
        store or memory_store() as kept,
    ):
        if turns:
            server.answer_with(model, Script(turns))
        notes: list[str] = []
        own = chat_model(client, wanted=model)
        begun = kept.create(model=own.name, now=AT)
        for message in before:
            kept.append(begun.id, message)
        session = ChatSession(
            server.address,
            client,
            model=own,
            store=kept,
            conversation=kept.load(begun.id),
            num_ctx=num_ctx,
            now=lambda: AT,
            on_note=notes.append,
            **more,
        )
        yield Talk(server, client, kept, session, notes)


# Plain turns


def test_a_turn_streams_counts_and_is_stored() -> None:
    with talking(Say("The sky is blue."), Say("Because of the air.")) as talk:
        heard: list[str] = []
        first = talk.session.send("What colour is the sky?", on_text=heard.append)
        assert first.content == "".join(heard) == "The sky is blue."
        assert len(heard) > 1
        second = talk.session.send("Why?")
        assert talk.roles == ["user", "assistant", "user"]
        body = talk.sent[-1]
        assert (body["truncate"], body["shift"], body["options"]) == (False, False, {})
        stored = talk.stored
        assert [m.content for m in stored] == [
            "What colour is the sky?", "The sky is blue.", "Why?", "Because of the air.",
        ]  # fmt: skip
        assert all(m.tokens for m in stored)
        assert second.decode_tokens_per_s
        usage = talk.session.usage()
        assert usage.exact
        assert usage.num_ctx == 4096
        # 6 + 4 for each question, 5 + 4 and 2 for the template, as the server counts; 5 written
        assert usage.tokens == (6 + 4) + (5 + 4) + (2 + 4) + 2 + 5
        stats = talk.session.stats()
        assert (stats.turns, stats.generated_tokens) == (2, 10)
        assert stats.mean_decode_tokens_per_s == pytest.approx(40, rel=0.01)
        assert stats.mean_first_token_s is not None


def test_thinking_is_kept_apart_and_not_sent_back() -> None:
    with talking(Say("Four.", thinking="two and two"), Say("Yes."), model="qwen3:4b") as talk:
        thought: list[str] = []
        talk.session.think = True
        answer = talk.session.send("2+2?", on_thinking=thought.append)
        assert (answer.content, answer.thinking) == ("Four.", "two and two")
        assert "".join(thought) == "two and two"
        talk.session.think = False
        talk.session.send("Sure?")
        assert [body["think"] for body in talk.sent] == [True, False]
        assert talk.sent[-1]["messages"][1] == {"role": "assistant", "content": "Four."}
        assert not talk.session.usage().exact or talk.session.usage().tokens


def test_a_model_that_cannot_think_is_not_asked_to() -> None:
    with talking(Say("<think>hm</think>\n\nFour."), Say("Yes.")) as talk:
        talk.session.think = True
        thought: list[str] = []
        said: list[str] = []
        answer = talk.session.send("2+2?", on_text=said.append, on_thinking=thought.append)
        assert "think" not in talk.sent[-1]
        assert (answer.content, answer.thinking) == ("Four.", "hm")
        assert ("".join(said), "".join(thought)) == ("Four.", "hm")


def test_the_system_prompt_is_the_conversations_or_the_models() -> None:
    library = [library_model("qwen3:4b", system="You are Max.")]
    with (
        OllamaServer(library=library, installed=["qwen3:4b"]) as server,
        OllamaClient(server.address) as client,
        memory_store() as store,
    ):
        own = chat_model(client, wanted="qwen3:4b")
        session = ChatSession(
            server.address, client, model=own, store=store,
            conversation=store.create(now=AT), now=lambda: AT,
        )  # fmt: skip
        session.send("Hello")
        session.use_system("You are Moritz.")
        session.send("Hello")
        session.use_system(None)
        session.send("Hello")
        bodies = [body for _, path, body in server.requests if path == "/api/chat"]
        said = [body["messages"][0]["content"] for body in bodies]
        assert said == ["You are Max.", "You are Moritz.", "You are Max."]


def test_a_conversation_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "chats.sqlite"
    with talking(Say("Noted."), store=open_store(file)) as talk:
        talk.session.send("My dog is called Rex.")
    with (
        OllamaServer(library=[SMOLLM2], installed=[NAME]) as server,
        OllamaClient(server.address) as client,
        open_store(file) as store,
    ):
        found = store.latest()
        assert found is not None
        own = chat_model(client, wanted=NAME)
        session = ChatSession(
            server.address, client, model=own, store=store, conversation=found, now=lambda: AT
        )
        assert session.usage().tokens > 10
        session.send("What is my dog called?")
        body = next(body for _, path, body in server.requests if path == "/api/chat")
        assert [m["content"] for m in body["messages"]] == [
            "My dog is called Rex.", "Noted.", "What is my dog called?",
        ]  # fmt: skip


# Going back


def test_undo_edit_and_retry() -> None:
    with talking(Say("one"), Say("two"), Say("three"), Say("four")) as talk:
        talk.session.send("a")
        talk.session.send("b", [Attachment("x.txt", "text", "content", tokens=4)])
        again = talk.session.retry()
        assert again.content == "three"
        assert [m.content for m in talk.stored] == ["a", "one", "b", "three"]
        assert talk.roles == ["user", "assistant", "user"]
        assert talk.session.edit_last() == "b"
        assert [f.name for f in talk.session.kept_attachments] == ["x.txt"]
        assert [m.content for m in talk.session.undo()] == ["a", "one"]
        assert talk.stored == []
        assert talk.session.usage().tokens == 0
        with pytest.raises(NothingSaidError):
            talk.session.undo()
        with pytest.raises(NothingSaidError):
            talk.session.retry()
        talk.session.send("c")
        assert talk.roles == ["user"]
        assert talk.session.kept_attachments == ()


def test_ctrl_c_stops_the_answer_and_keeps_what_came() -> None:
    def interrupt(_text: str) -> None:
        raise KeyboardInterrupt

    with talking(Say("A long answer " * 50), Say("short")) as talk:
        stopped = talk.session.send("Tell me", on_text=interrupt)
        assert stopped.interrupted
        assert stopped.content == "A"
        assert talk.stored[-1] == stopped
        talk.session.send("Go on")
        assert talk.sent[-1]["messages"][1]["content"] == "A"


def test_ctrl_c_before_the_first_word_leaves_the_question() -> None:
    def interrupt(_text: str) -> None:
        raise KeyboardInterrupt

    with talking(Say("x", thinking="hm"), Say("done"), model="qwen3:4b") as talk:
        stopped = talk.session.send("Tell me", on_thinking=interrupt)
        assert (stopped.interrupted, stopped.content, stopped.id) == (True, "", None)
        assert talk.session.unanswered == "Tell me"
        assert talk.session.retry().content == "done"
        assert [m.content for m in talk.stored] == ["Tell me", "done"]


def test_a_broken_pipe_of_the_reader_keeps_what_came() -> None:
    def broken(_text: str) -> None:
        raise BrokenPipeError

    with talking(Say("A long answer")) as talk:
        with pytest.raises(BrokenPipeError):
            talk.session.send("Tell me", on_text=broken)
        assert talk.stored[-1].interrupted


@pytest.mark.parametrize("when", ["the answer", "a summary"])
def test_a_real_interrupt_while_the_server_is_silent(when: str) -> None:
    def model(request: dict[str, Any]) -> Say:
        summary = "shorten a conv" in str(request["messages"][0])
        if summary if when == "a summary" else "Stop me" in str(request["messages"][-1]):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        return Say("ok " * 40)

    with talking(model, num_ctx=1024) as talk:
        if when == "the answer":
            answer = talk.session.send("Stop me")
        else:
            answers = [talk.session.send(f"{n} " + "word " * 60) for n in range(8)]
            answer = next(a for a in answers if a.interrupted)
        assert (answer.content, answer.interrupted, answer.id) == ("", True, None)
        assert talk.session.conversation.summarised_to is None or when == "a summary"
        talk.session.undo()


def test_a_long_answer_is_stored_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.chat.draft.CHECKPOINT_S", 0.0)
    with talking(Say("one two three")) as talk:
        seen: list[tuple[str, bool]] = []

        def look(_text: str) -> None:
            last = talk.stored[-1]
            if last.speaker == "assistant":
                seen.append((last.content, last.interrupted))

        talk.session.send("Count", on_text=look)
        assert seen == [("one", True), ("one two", True)]
        assert (talk.stored[-1].content, talk.stored[-1].interrupted) == ("one two three", False)
        assert len(talk.stored) == 2


_TALKS = """
import sys
from pathlib import Path
from assistant.chat.own_model import chat_model
from assistant.chat.session import ChatSession
from assistant.chat.store import open_store
from assistant.ollama.client import OllamaClient
from assistant.ollama.server_address import parse_address

at = "2026-11-27T10:00:00+00:00"
address = parse_address(sys.argv[2])
with OllamaClient(address) as client, open_store(Path(sys.argv[1])) as store:
    session = ChatSession(
        address, client, model=chat_model(client, wanted="smollm2:135m"), store=store,
        conversation=store.create(now=at), now=lambda: at,
    )
    session.send("First")
    session.send("Second", on_text=lambda text: print(text, flush=True))
"""


@pytest.mark.parametrize("lines", [0, 3])
def test_a_kill_in_mid_answer_costs_that_answer_alone(tmp_path: Path, lines: int) -> None:
    file = tmp_path / "chats.sqlite"
    with OllamaServer(library=[SMOLLM2], installed=[NAME]) as server:
        server.answer_with(NAME, Script([Say("Whole."), Say("a b c d e f g h")]))
        server.faults.add(Fault.hang("/api/chat", after_lines=99))
        server.faults.add(Fault.hang("/api/chat", after_lines=lines))
        process = subprocess.Popen(
            [sys.executable, "-c", _TALKS, str(file), server.host], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        wait_until(lambda: sum(path == "/api/chat" for _, path, _ in server.requests) == 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with open_store(file) as store:
        found = store.latest()
        assert found is not None
        said = [m.content for m in found.messages]
    assert said[:3] == ["First", "Whole.", "Second"]


# The server in trouble

Spoil = Callable[[OllamaServer], None]


def add(fault: Fault) -> Spoil:
    return lambda server: server.faults.add(fault)


@pytest.mark.parametrize(
    "spoil, error, keeps",
    [
        (add(Fault.busy()), ServerBusyError, False),
        (add(Fault.cut("/api/chat", after_lines=3)), StreamBrokenError, True),
        (add(Fault.cut("/api/chat")), OllamaError, False),
        (add(Fault.runner_killed(after_lines=3)), StreamBrokenError, True),
        (add(Fault.garbage("/api/chat", after_lines=2)), NotOllamaError, True),
        (add(Fault.html("/api/chat")), NotOllamaError, False),
        (add(Fault.load_failure("/api/chat")), OutOfMemoryError, False),
        (add(Fault.load_failure("/api/chat", text="llama-server process has terminated: exit "
             "status 1")), LoadFailedError, False),
        (add(Fault.error("/api/chat", text="something went wrong")), OllamaError, False),
        (add(Fault.error_line("/api/chat", "out of memory", after_lines=2)), OutOfMemoryError,
         True),
    ],
)  # fmt: skip
def test_trouble_is_told_in_a_line_and_retry_works(
    spoil: Spoil, error: type[OllamaError], keeps: bool
) -> None:
    with talking(Say("First."), Say("The whole answer."), Say("The whole answer.")) as talk:
        talk.session.send("Hello")
        if error in {OutOfMemoryError, LoadFailedError} and not keeps:
            talk.server.unload(NAME)
        spoil(talk.server)
        with pytest.raises(error) as caught:
            talk.session.send("Question")
        assert "\n" not in caught.value.message
        assert caught.value.hint is not None
        assert "/retry" in caught.value.hint
        last = talk.stored[-1]
        if keeps:
            assert last.interrupted
            assert "The whole answer.".startswith(last.content)
            assert talk.session.unanswered is None
        else:
            assert (last.speaker, last.content) == ("user", "Question")
            assert talk.session.unanswered == "Question"
        assert talk.session.retry().content == "The whole answer."
        assert [m.content for m in talk.stored] == [
            "Hello", "First.", "Question", "The whole answer.",
        ]  # fmt: skip
        assert talk.session.unanswered is None


@pytest.mark.parametrize("after_lines", [0, 3])
def test_a_server_that_dies_and_comes_back(after_lines: int) -> None:
    with talking(Say("The whole answer.")) as talk:
        talk.server.faults.add(Fault.kill("/api/chat", after_lines=after_lines))
        with pytest.raises(OllamaError) as caught:
            talk.session.send("Question")
        assert "/retry" in str(caught.value.hint)
        with pytest.raises(ServerUnreachableError) as gone:
            talk.session.retry()
        assert "ollama serve" in str(gone.value.hint)
        talk.server.start()
        assert talk.session.retry().content == "The whole answer."
        assert [m.content for m in talk.stored] == ["Question", "The whole answer."]


def test_an_answer_that_was_there_stays_when_the_next_does_not_come() -> None:
    with talking(Say("Old."), Refuse(503, "server busy"), Break("Half")) as talk:
        talk.session.send("Question")
        with pytest.raises(ServerBusyError):
            talk.session.retry()
        assert [m.content for m in talk.stored] == ["Question", "Old."]
        with pytest.raises(StreamBrokenError):
            talk.session.retry()
        assert [m.content for m in talk.stored] == ["Question", "Half"]


def test_a_slow_first_word_is_waited_for_and_silence_is_not() -> None:
    with talking(Say("At last."), first_token_timeout_s=0.5) as talk:
        assert talk.session.waits_for() == f"loading {NAME}"
        talk.server.faults.add(Fault.slow("/api/chat", delay_s=0.3, times=1))
        assert talk.session.send("Hello").content == "At last."
        assert talk.session.stats().mean_first_token_s > 0.3  # type: ignore[operator]
        assert talk.session.waits_for().startswith("reading about")
        talk.server.faults.add(Fault.hang("/api/chat"))
        with pytest.raises(TooSlowError) as caught:
            talk.session.send("Hello?")
        assert "/retry" in str(caught.value.hint)


def test_an_unloaded_model_is_loaded_again() -> None:
    with talking(Say("One."), Say("Two.")) as talk:
        talk.session.send("a")
        talk.server.unload(NAME)
        assert talk.session.send("b").content == "Two."


def test_garbage_instead_of_an_answer() -> None:
    with talking(Garbage(), Say("Better.")) as talk:
        with pytest.raises(NotOllamaError):
            talk.session.send("Hello")
        assert talk.session.retry().content == "Better."


# The context


def long_turns(talk: Talk, count: int, words: int = 60) -> None:
    for number in range(count):
        talk.session.send(f"number {number} " + "word " * words)


def test_older_turns_become_a_summary_that_is_told() -> None:
    def model(request: dict[str, Any]) -> Say:
        if "shorten a conversation" in str(request["messages"][0]["content"]):
            return Say("They counted upwards.")
        return Say("ok " * 40)

    with talking(model, model, num_ctx=1024) as talk:
        long_turns(talk, 12)
        conversation = talk.session.conversation
        assert len(talk.stored) == 24
        assert conversation.summarised_to
        told = [note for note in talk.notes if "summary" in note]
        assert told
        assert talk.notes == told
        assert "The context of 1,024 tokens is full" in told[0]
        system = talk.sent[-1]["messages"][0]
        assert system["role"] == "system"
        assert "They counted upwards." in system["content"]
        assert all(body["options"]["num_ctx"] == 1024 for body in talk.sent)
        # the second summary is made of the first, and several turns go by between two
        asked = [b for b in talk.sent if "shorten a conv" in b["messages"][0]["content"]]
        assert 1 < len(asked) < 6
        assert "They counted upwards." in asked[1]["messages"][1]["content"]
        assert talk.session.usage().tokens < 1024


def test_older_turns_are_left_out_when_so_configured() -> None:
    with talking(Say("ok " * 40), num_ctx=1024, policy="drop") as talk:
        long_turns(talk, 12)
        assert len(talk.stored) == 24
        assert talk.session.conversation.summarised_to is None
        assert talk.notes
        assert all("no longer sent" in note for note in talk.notes)
        assert len(talk.notes) < 6
        assert talk.roles[0] == "user"
        assert len(talk.sent) == 12


@pytest.mark.parametrize("turn", [Refuse(500, "no"), Say("")])
def test_without_a_summary_they_are_left_out(turn: Any) -> None:
    def model(request: dict[str, Any]) -> Any:
        return turn if "shorten a conv" in str(request["messages"][0]) else Say("ok " * 40)

    with talking(model, num_ctx=1024) as talk:
        long_turns(talk, 8)
        assert any("The summary did not come" in note for note in talk.notes)
        assert any("no longer sent" in note for note in talk.notes)
        assert talk.session.conversation.summarised_to is None


def test_undo_past_a_summary_brings_the_older_turns_back() -> None:
    def model(request: dict[str, Any]) -> Say:
        return Say("short" if "shorten a conv" in str(request["messages"][0]) else "ok " * 40)

    with talking(model, num_ctx=1024) as talk:
        long_turns(talk, 8)
        assert talk.session.conversation.summarised_to
        while len(talk.stored) > 2:
            talk.session.undo()
        assert talk.session.conversation.summarised_to is None
        talk.session.send("and now?")
        assert talk.roles == ["user", "assistant", "user"]


def test_a_question_that_cannot_fit_is_refused_and_not_stored() -> None:
    with talking(Say("ok"), num_ctx=1024) as talk:
        talk.session.send("Hello")
        with pytest.raises(TooLongError) as caught:
            talk.session.send("word " * 4000)
        assert caught.value.tokens > 4000
        assert caught.value.room == 768
        assert len(talk.sent) == 1
        assert [m.content for m in talk.stored] == ["Hello", "ok"]
        assert talk.session.send("Still there?").content == "ok"


def test_a_doubtful_question_is_tried_and_the_servers_count_is_told() -> None:
    with talking(Say("ok"), num_ctx=1024) as talk:
        with pytest.raises(TooLongError) as caught:
            talk.session.send("a 1 " * 540)
        assert caught.value.exact
        assert caught.value.tokens == 2 * 540 + 6
        assert talk.stored == []
    with talking(Say("ok"), num_ctx=1024) as talk:
        assert talk.session.send("a bit " * 450).content == "ok"


def test_the_servers_refusal_is_learned_from_and_the_prompt_fitted_again() -> None:
    # letters apart are nearly twice the tokens that they are guessed to be
    before = [
        message
        for _ in range(3)
        for message in (
            Message("user", "a b c d e " * 80, AT),
            Message("assistant", "f g h i j " * 80, AT),
        )
    ]
    with talking(Say("ok"), num_ctx=2048, policy="drop", before=before) as talk:
        assert talk.session.send("and?").content == "ok"
        assert len(talk.sent) == 2
        assert any("no longer sent" in note for note in talk.notes)
        assert len(talk.sent[1]["messages"]) < len(talk.sent[0]["messages"]) == 7
        assert talk.session.usage().tokens < 2048


def test_an_assumed_context_is_asked_for_before_anything_is_left_out() -> None:
    with talking(Say("ok"), gpu=Gpu(24 * 1024**3), model="qwen3:4b") as talk:
        assert talk.session.usage().num_ctx == 4096
        assert not talk.session.usage().exact
        talk.session.send("some words " * 3000)
        assert talk.session.usage().num_ctx == 32768
        assert talk.notes == []
        assert ("POST", "/api/generate") in [r[:2] for r in talk.server.requests]


def test_a_context_smaller_than_assumed_is_learned_from_the_answer() -> None:
    with talking(Say("ok")) as talk:
        talk.server.env["OLLAMA_CONTEXT_LENGTH"] = "1500"
        talk.session.send("Hello")
        assert (talk.session.usage().num_ctx, talk.session.usage().exact) == (1500, True)


def test_an_answer_that_fills_the_context_says_so() -> None:
    with talking(Say("word " * 4000), num_ctx=512) as talk:
        answer = talk.session.send("Write a book")
        assert len(answer.content.split()) < 512
        assert any("The context is full, so the answer stopped here." in n for n in talk.notes)


def test_an_answer_at_the_limit_of_its_model_names_that_limit() -> None:
    with talking(Say("word " * 40, done_reason="length")) as talk:
        talk.session._answering.model = replace(talk.session.model, num_predict=20)
        talk.session.send("Write a book")
        assert talk.notes == ["The answer ended at its limit of 20 tokens; ask the model to go on."]


@pytest.mark.parametrize("policy", ["summarise", "drop"])
def test_go_on_after_a_full_context_sends_the_end_of_the_answer(policy: Any) -> None:
    def model(request: dict[str, Any]) -> Say:
        if "shorten a conversation" in str(request["messages"][0]["content"]):
            return Say("A book was begun.")
        return Say(" ".join(f"w{n}" for n in range(4000)))

    with talking(model, num_ctx=512, policy=policy) as talk:
        answer = talk.session.send("Write a book")
        talk.session.send("go on")
        assert talk.roles[-3:] == ["user", "assistant", "user"]
        asked, tail, last = talk.sent[-1]["messages"][-3:]
        assert (asked["content"], last["content"]) == ("Write a book", "go on")
        assert tail["content"].startswith("[The beginning is left out here.] [...] ")
        end = tail["content"].partition(" [...] ")[2]
        assert len(end) > 200
        assert answer.content.endswith(end)
        assert "Of the last answer the end is still sent, as much as fits." in talk.notes
        assert talk.session.usage().tokens < 2 * 512
        talk.session.send("go on")
        assert answer.content[-40:] not in talk.sent[-1]["messages"][-2]["content"]
        assert len(talk.stored) == 6


def test_a_summary_of_what_was_not_read_whole_says_so() -> None:
    def model(request: dict[str, Any]) -> Say:
        return Say("short" if "shorten a conv" in str(request["messages"][0]) else "ok " * 40)

    before = [
        Message("user", "word " * 900, AT),
        Message("assistant", "fine " * 900, AT),
        Message("user", "more " * 200, AT),
        Message("assistant", "done", AT),
    ]
    told = "They are too long to be read at once: the summary leaves parts of them out."
    with talking(model, num_ctx=1024, before=before) as talk:
        talk.session.send("Next")
        assert told in talk.notes
    with talking(model, num_ctx=1024) as talk:
        long_turns(talk, 8)
        assert any("summary from here on" in note for note in talk.notes)
        assert told not in talk.notes


def test_a_server_that_cuts_all_the_same_is_noticed() -> None:
    with talking(Say("ok", prompt_eval_count=60)) as talk:
        talk.session.send("word " * 900)
        assert talk.notes == [
            "The server read only 60 tokens of about 1,274: it cut a part of the conversation."
        ]


# Files


def test_a_file_goes_with_the_question(tmp_path: Path) -> None:
    note = tmp_path / "notes.md"
    note.write_text("The launch is on Friday.\n```\ncode\n```\n")
    with talking(Say("Friday.")) as talk:
        file = talk.session.read_file(note)
        talk.session.send("When?", [file])
        said = talk.sent[-1]["messages"][-1]["content"]
        assert said == (
            "File notes.md:\n````\nThe launch is on Friday.\n```\ncode\n```\n````\n\nWhen?"
        )
        assert talk.stored[0].attachments == (file,)


def test_a_large_file_is_refused_with_its_size_or_split(tmp_path: Path) -> None:
    log = tmp_path / "all.log"
    log.write_text("".join(f"line {n} of the log\n" for n in range(600)))
    with talking(Say("ok"), num_ctx=2048) as talk:
        with pytest.raises(FileTooLargeError) as caught:
            talk.session.read_file(log)
        assert caught.value.tokens > 4000
        assert caught.value.room == 2048 - 512 - 16 - 256
        assert "parts" in str(caught.value.hint)
        parts = talk.session.split_file(log)
        assert "".join(part.text or "" for part in parts) == log.read_text()
        assert parts[0].name == f"all.log (part 1 of {len(parts)})"
        for part in parts:
            assert talk.session.send("Read this.", [part]).content == "ok"


def test_pictures_only_for_models_that_see(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    with talking(Say("A cat."), Say("Yes."), model="gemma3:4b") as talk:
        talk.session.send("What is it?", [talk.session.read_file(picture)])
        assert len(talk.sent[-1]["messages"][-1]["images"]) == 1
        talk.session.use_model(NAME)
        talk.session.send("Sure?")
        assert "images" not in talk.sent[-1]["messages"][0]
        assert "cat.png" in talk.sent[-1]["messages"][0]["content"]


def test_a_blind_model_is_told_of_before_and_the_server_is_not_blamed() -> None:
    pictures = [Attachment(f"{n}.png", "image", data=b"\x89PNG" + b"0" * 90) for n in "ab"]
    with talking(Say("I see nothing.")) as talk:
        heard: list[int] = []
        talk.session.send("What is it?", pictures, on_text=lambda _: heard.append(len(talk.notes)))
        assert heard[0] == 2
        assert talk.session.usage().tokens < 200
        talk.session.send("Sure?")
        assert talk.notes == [f"{NAME} cannot see {n}.png: it is not sent." for n in "ab"]
    with talking(Say("Two cats.", prompt_eval_count=90), model="gemma3:4b") as talk:
        talk.session.send("What is it?", pictures)
        assert talk.notes == []
        assert len(talk.sent[-1]["messages"][-1]["images"]) == 2


# Two chats of one conversation


def test_what_another_chat_wrote_is_told_and_taken_in(tmp_path: Path) -> None:
    path = tmp_path / "conversations.sqlite"
    with talking(Say("ok"), store=open_store(path)) as talk, open_store(path) as other:
        talk.session.send("First")
        again = ChatSession(
            talk.server.address, talk.client, model=talk.session.model, store=other,
            conversation=other.load(talk.session.conversation.id), now=lambda: AT,
        )  # fmt: skip
        again.send("From elsewhere")
        talk.session.send("Third")
        told = "This conversation is also open elsewhere: 2 messages were added there."
        assert talk.notes == [told]
        assert [m["content"] for m in talk.sent[-1]["messages"] if m["role"] == "user"] == [
            "First", "From elsewhere", "Third",
        ]  # fmt: skip
        talk.session.send("Fourth")
        talk.session.retry()
        talk.session.undo()
        talk.session.send("Fifth")
        assert talk.notes == [told]
        again.undo()
        assert talk.session.usage().tokens
        talk.session.send("Sixth")
        assert talk.notes[1:] == [
            "This conversation is also open elsewhere: 2 messages were removed there."
        ]
        assert "Fifth" not in str(talk.sent[-1]["messages"])


# The model


def test_another_model_answers_from_here_on() -> None:
    with talking(Say("I am small.")) as talk:
        talk.session.send("Who are you?")
        talk.server.answer_with("qwen3:4b", Script([Say("I am larger.")]))
        own = talk.session.use_model("Qwen3:4B")
        assert own.name == "qwen3:4b"
        assert talk.session.send("And now?").content == "I am larger."
        assert talk.sent[-1]["model"] == "qwen3:4b"
        assert len(talk.sent[-1]["messages"]) == 3
        assert talk.session.conversation.model == "qwen3:4b"
        assert talk.stored[-1].model == "qwen3:4b"
        with pytest.raises(UnknownModelError) as caught:
            talk.session.use_model("qwen3:4")
        assert "qwen3:4b" in str(caught.value.hint)
        assert talk.session.model.name == "qwen3:4b"


def test_a_role_has_the_model_that_setup_made(own_world: Path) -> None:
    entry = LedgerEntry("assistant-code", "qwen3:4b", 8192, "FROM qwen3:4b", AT, role="code")
    write_ledger(with_entry(Ledger(), entry), own_world / "data")
    with talking(Say("ok")) as talk:
        talk.client.copy("qwen3:4b", "assistant-code")
        own = talk.session.use_role("code")
        assert (own.name, own.why) == ("assistant-code:latest", "set up for code")
        assert talk.session.conversation.role == "code"
        with pytest.raises(UsageError):
            talk.session.use_role("cooking")


def test_the_best_installed_model_is_taken_when_nothing_is_set_up() -> None:
    with talking(Say("ok")) as talk:
        own = chat_model(talk.client)
        assert own.name in {"qwen3:4b", "gemma3:4b", NAME}
        assert own.why == "the best of those installed"
        assert chat_model(talk.client, wanted="SMOLLM2:135m").name == NAME
        with pytest.raises(CannotChatError) as caught:
            chat_model(talk.client, wanted="all-minilm")
        assert "embeddings" in caught.value.message


def test_a_server_without_models_for_chat() -> None:
    with (
        OllamaServer(library=[ALL_MINILM], installed=["all-minilm:latest"]) as server,
        OllamaClient(server.address) as client,
        pytest.raises(NoChatModelError) as caught,
    ):
        chat_model(client)
    assert caught.value.hint == "Set one up that fits this machine: assistant setup"


class Clouded:
    """A server with one local model and two that run elsewhere."""

    address: ServerAddress = parse_address("127.0.0.1:11434")

    def installed_models(self) -> tuple[InstalledModel, ...]:
        names = ("gpt-oss:120b-cloud", "remote:7b", "local:7b")
        return tuple(InstalledModel(name, size_bytes=4 * 10**9) for name in names)

    def loaded_models(self) -> tuple[LoadedModel, ...]:
        return ()

    def show(self, name: str) -> ShownModel:
        host = "https://example.org" if name == "remote:7b" else None
        can = frozenset({"completion", "tools"})
        return ShownModel(
            name, {"llama.context_length": 131072}, capabilities=can, remote_host=host
        )

    def show_with_arrays(self, name: str) -> ShownModel:
        return self.show(name)


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "remote:7b", "unheard-of:cloud"])
def test_cloud_models_are_refused(name: str) -> None:
    with pytest.raises(CloudModelError) as caught:
        chat_model(Clouded(), wanted=name)
    assert "--allow-cloud" in str(caught.value.hint)


def test_cloud_models_are_allowed_when_asked_for_and_never_chosen() -> None:
    assert chat_model(Clouded(), wanted="remote:7b", allow_cloud=True).remote
    assert chat_model(Clouded()).name == "local:7b"
    own = OwnModel("remote:7b", frozenset({"completion"}), 4096, remote=True)
    with (
        OllamaClient(parse_address("127.0.0.1:9")) as client,
        memory_store() as store,
        pytest.raises(CloudModelError),
    ):
        ChatSession(
            client.address, client, model=own, store=store,
            conversation=store.create(now=AT), now=lambda: AT,
        )  # fmt: skip


# Grounded turns


def test_questions_about_the_machine_are_answered_from_the_tools() -> None:
    machine = parse_machine("RTX 3060 12GB, 32GB RAM")
    with talking(
        Say("I am a large model."), model="qwen3:4b", gpu=Gpu(12 * 1024**3), detect=lambda: machine
    ) as talk:
        talk.server.load("qwen3:4b")
        heard: list[str] = []
        answer = talk.session.send(
            "What model are you, how much memory do you use, could I run a bigger one?",
            on_text=heard.append,
        )
        assert answer.kind == "grounded"
        assert "".join(heard) == answer.content
        assert talk.sent == []
        assert "`qwen3:4b`" in answer.content
        (loaded,) = talk.client.loaded_models()
        assert f"{(loaded.size_bytes or 0) / 1024**3:.1f} GiB" in answer.content
        assert "the RTX 3060" in answer.content
        assert "Get it: `ollama pull" in answer.content
        talk.session.send("Thank you. Who made you?")
        system = talk.sent[-1]["messages"][0]
        assert system["role"] == "system"
        assert "you are the model qwen3:4b" in system["content"]
        assert talk.session.retry().content == "I am a large model."


def test_what_runs_how_fast_and_where_it_goes_are_answered_without_the_model() -> None:
    machine = parse_machine("RTX 3060 12GB, 32GB RAM")
    with talking(Say("I can run anything."), detect=lambda: machine) as talk:
        ran = talk.session.send("can I run llama3.3:70b?")
        assert (ran.kind, ran.content[:2]) == ("grounded", "No")
        assert "`llama3.3:70b`" in ran.content
        assert "RTX 3060" in talk.session.send("what gpu do I have?").content
        assert "expected" in talk.session.send("how fast are you?").content
        where = talk.session.send("Wird etwas ins Internet gesendet?").content
        assert talk.server.address.url in where
        assert talk.sent == []
        talk.session.send("Hello")
        speed = talk.session.stats().mean_decode_tokens_per_s
        assert speed
        assert f"{speed:.1f} tokens/s" in talk.session.send("how fast are you?").content


def test_a_question_that_is_only_partly_about_it_goes_to_the_model_with_the_facts() -> None:
    with talking(Say("ok")) as talk:
        talk.session.send("What model are you, and can you write a poem?")
        assert talk.roles == ["system", "user"]
        assert f"you are the model {NAME}" in talk.sent[-1]["messages"][0]["content"]


def test_guides_answer_a_turn_with_their_sources() -> None:
    with talking(Say("ok")) as talk:
        machine = parse_machine("RTX 3060 12GB, 32GB RAM")
        talk.session._detect = lambda: machine
        answer = talk.session.ask_guides("does llama3.1:8b fit on a 3060 12GB?")
        assert answer.kind == "grounded"
        assert "llama3.1:8b" in answer.content
        assert [m.kind for m in talk.stored] == ["message", "grounded"]
        with pytest.raises(UsageError):
            talk.session.ask_guides("   ")
        assert len(talk.stored) == 2
        talk.server.stop()
        again = talk.session.ask_guides("what is a KV cache?")
        assert again.content


def test_machine_questions_are_no_history_for_the_guides() -> None:
    machine = parse_machine("RTX 3060 12GB, 32GB RAM")
    asked = "how do I make Ollama use more context?"
    follow = "and with 32k?"

    def ask(*before: str, text: str) -> str:
        with talking(Say("ok"), detect=lambda: machine) as talk:
            for question in before:
                assert talk.session.send(question).kind == "grounded"
            return talk.session.ask_guides(text).content

    machine_questions = ("what model are you?", "how much memory do you use?",
                         "could I run a bigger model?")  # fmt: skip
    for text in (asked, follow):
        assert ask(*machine_questions, text=text) == ask(text=text)
    with talking(Say("ok"), detect=lambda: machine) as talk:
        talk.session.ask_guides("could I run a bigger model?")
        talk.session.ask_guides("does llama3.1:8b fit on a 3060 12GB?")
        assert "32k" in talk.session.ask_guides(follow).content


def test_a_failure_of_the_guides_is_one_error_and_the_chat_goes_on() -> None:
    def broken() -> Any:
        raise ZeroDivisionError("a probe divided by nothing")

    with talking(Say("ok"), detect=broken) as talk:
        with pytest.raises(GuidesError, match="divided by nothing") as caught:
            talk.session.ask_guides("what runs here?")
        assert caught.value.hint
        assert talk.stored == []
        assert talk.session.send("Still there?").content == "ok"


def test_a_reader_of_the_guides_that_goes_away_is_no_failure_of_theirs() -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError

    with (
        talking(Say("ok"), detect=lambda: parse_machine("RTX 3060 12GB, 32GB RAM")) as talk,
        pytest.raises(BrokenPipeError),
    ):
        talk.session.ask_guides("what is a KV cache?", on_token=closed)

"""What a conversation adds to the first word of an answer, over a plain HTTP client.

    python -m benchmarks.chat_overhead [--turns N] [--delay-ms MS] [--markdown]

The same server, the same prompts, in turns: `ChatSession.send` with its store on the disk, and
`http.client` that posts the same messages and reads the first line that has text. The server is
the test server, which speaks Ollama's protocol over a socket; `--delay-ms` is the time it takes
before its first word (0: only what the clients cost is left). With OLLAMA_HOST and `--model` it
is a real one. The goal is 50 ms at most, at any length of the conversation.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from assistant.chat.own_model import chat_model
from assistant.chat.prompt_text import wire_messages
from assistant.chat.records import Conversation, Message
from assistant.chat.session import ChatSession
from assistant.chat.store import ConversationStore, open_store
from assistant.ollama.client import OllamaClient
from assistant.ollama.server_address import ServerAddress, configured_address

GOAL_MS: Final = 50.0
AT: Final = "2026-11-27T10:00:00+00:00"
MODEL: Final = "smollm2:135m"
QUESTION: Final = "And what follows from that, in one sentence?"


@dataclass
class Times:
    """Seconds to the first word, per way, for one length of conversation."""

    earlier_turns: int
    plain_s: list[float] = field(default_factory=list)
    chat_s: list[float] = field(default_factory=list)

    @property
    def added_ms(self) -> list[float]:
        """What the conversation took more than the plain client beside it, sorted."""
        pairs = zip(self.chat_s, self.plain_s, strict=True)
        return sorted((chat - plain) * 1000 for chat, plain in pairs)


def plain_first_word(address: ServerAddress, body: dict[str, Any]) -> float:
    """Return the seconds from the request to the first line with text."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection(address.host, address.port, timeout=300)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/api/chat", json.dumps(body).encode(), headers)
    response = connection.getresponse()
    first = 0.0
    for line in response:
        if not first and json.loads(line)["message"]["content"]:
            first = time.perf_counter() - started
    connection.close()
    return first


def chat_first_word(session: ChatSession) -> float:
    """Return the seconds from `send` to the first piece of text."""
    first: list[float] = []
    started = time.perf_counter()
    session.send(QUESTION, on_text=lambda _: first.append(time.perf_counter() - started))
    return first[0]


def begun(store: ConversationStore, model: str, turns: int) -> Conversation:
    """Return a stored conversation of `turns` turns, as an earlier sitting left it."""
    conversation = store.create(model=model, now=AT)
    for number in range(turns):
        question = Message("user", f"Question {number}: {'words ' * 8}", AT, tokens=18)
        answer = Message("assistant", "An answer. " * 4, AT, model=model, tokens=16)
        store.append(conversation.id, question)
        store.append(conversation.id, answer)
    return store.load(conversation.id)


def measure(address: ServerAddress, model: str, earlier: int, count: int) -> Times:
    """Ask `count` times each way, in random order within each pair, after one of each."""
    times = Times(earlier)
    order = random.Random(earlier)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        store = stack.enter_context(open_store(Path(folder) / "chats.sqlite"))
        client = stack.enter_context(OllamaClient(address))
        own = chat_model(client, wanted=model)
        session = ChatSession(
            address, client, model=own, store=store, conversation=begun(store, own.name, earlier),
            num_ctx=8192, now=lambda: AT,
        )  # fmt: skip
        for turn in range(count + 1):
            said = session.conversation.messages
            asked = (*said, Message("user", QUESTION, AT))
            messages = wire_messages(asked, system=own.system, facts=None, sees_images=False)
            body = {"model": own.name, "messages": messages, "options": {"num_ctx": 8192}}
            ways = ["plain", "chat"]
            order.shuffle(ways)
            found = {
                way: plain_first_word(address, body) if way == "plain" else chat_first_word(session)
                for way in ways
            }
            session.undo()
            if turn:
                times.plain_s.append(found["plain"])
                times.chat_s.append(found["chat"])
    return times


def render(found: list[Times], *, markdown: bool) -> str:
    """Return the table: medians, ratio, and what was added (median and the 95th of a hundred)."""
    rows = [("earlier turns", "plain ms", "chat ms", "ratio", "added ms", "p95 ms")]
    for times in found:
        plain, chat = statistics.median(times.plain_s), statistics.median(times.chat_s)
        added = times.added_ms
        rows.append(
            (
                str(times.earlier_turns),
                f"{plain * 1000:.1f}",
                f"{chat * 1000:.1f}",
                f"{chat / plain:.2f}",
                f"{statistics.median(added):.1f}",
                f"{added[min(len(added) - 1, int(0.95 * len(added)))]:.1f}",
            )
        )
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([lines[0], "|--:|--:|--:|--:|--:|--:|", *lines[1:]])
    return "\n".join("  ".join(cell.rjust(13) for cell in row) for row in rows)


def main() -> int:
    """Measure and print; 1 when more than the goal is added."""
    parser = argparse.ArgumentParser(description="First-word overhead of a conversation.")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--model")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.model and os.environ.get("OLLAMA_HOST"):
            address, model = configured_address(), arguments.model
        else:
            from tests.support.fake_ollama import SMOLLM2, Fault, OllamaServer

            server = stack.enter_context(OllamaServer(library=[SMOLLM2], installed=[MODEL]))
            server.faults.add(Fault.slow("/api/chat", delay_s=arguments.delay_ms / 1000))
            address, model = server.address, MODEL
        count = max(2, arguments.turns)
        found = [measure(address, model, earlier, count) for earlier in (0, 10, 100)]
    print(render(found, markdown=arguments.markdown))
    worst = max(statistics.median(times.added_ms) for times in found)
    print(f"Most added: {worst:.1f} ms (goal: {GOAL_MS:.0f} ms)")
    return 0 if worst <= GOAL_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())

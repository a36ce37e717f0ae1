"""A thousand turns: memory stays flat, and no prompt is ever larger than the context."""

from __future__ import annotations

import gc
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assistant.chat.own_model import chat_model
from assistant.chat.session import ChatSession
from assistant.chat.store import open_store
from assistant.ollama.client import OllamaClient
from tests.support.fake_ollama import SMOLLM2, OllamaServer, Say
from tests.support.fake_ollama.replies import count_tokens

pytestmark = pytest.mark.slow

TURNS = 1000
NUM_CTX = 1024
AT = "2026-11-27T10:00:00+00:00"
MOST_MORE_BLOCKS = 2000
MOST_GROWTH_BYTES = 8_000_000
LONGEST_S = 40.0


class Talker:
    """Answers at some length, summarises when asked, and notes how large the prompts were."""

    def __init__(self) -> None:
        self.random = random.Random(11)
        self.summaries = 0
        self.largest = 0

    def reply(self, request: dict[str, Any]) -> Say:
        messages = request["messages"]
        size = 2 + sum(4 + count_tokens(m["content"]) for m in messages)
        self.largest = max(self.largest, size)
        if "shorten a conversation" in messages[0]["content"]:
            self.summaries += 1
            return Say("They talked of many things, among them numbers. " * 3)
        return Say(f"Answer: {'so it is, ' * self.random.randint(1, 8)}.")


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def test_a_thousand_turns(tmp_path: Path) -> None:
    talker, rng = Talker(), random.Random(7)
    notes: list[str] = []
    started = time.monotonic()
    with (
        OllamaServer(library=[SMOLLM2], installed=["smollm2:135m"]) as server,
        OllamaClient(server.address) as client,
        open_store(tmp_path / "chats.sqlite") as store,
    ):
        server.answer_with("smollm2:135m", talker)
        session = ChatSession(
            server.address,
            client,
            model=chat_model(client, wanted="smollm2:135m"),
            store=store,
            conversation=store.create(now=AT),
            num_ctx=NUM_CTX,
            now=lambda: AT,
            on_note=notes.append,
        )
        blocks: list[int] = []
        resident: list[int] = []
        for turn in range(TURNS):
            session.send(f"Question {turn}: {'why is that so? ' * rng.randint(1, 12)}")
            if turn % 97 == 96:
                session.retry()
            assert session.usage().tokens <= NUM_CTX
            server.requests.clear()
            if turn % 250 == 249:
                gc.collect()
                blocks.append(sys.getallocatedblocks())
                resident.append(resident_bytes())
        stored = session.conversation.messages
    assert talker.largest <= NUM_CTX
    assert talker.summaries == len(notes) > 20
    assert sum(m.kind == "message" for m in stored) == 2 * TURNS
    assert blocks[-1] - blocks[0] < MOST_MORE_BLOCKS
    assert resident[-1] - resident[0] < MOST_GROWTH_BYTES
    assert time.monotonic() - started < LONGEST_S

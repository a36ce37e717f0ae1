"""End to end: setup with a real model of 135M parameters behind the test server.

The server speaks the recorded protocol; what it answers with is SmolLM2, run by llama.cpp. Needs
two packages (see `tests/support/small_model.py`); without them it is skipped and says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.provision.ledger import read_ledger
from tests.running import CommandResult
from tests.support.fake_ollama import SMOLLM2, OllamaServer
from tests.support.small_model import SmallModel, why_missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_missing() is not None, reason=str(why_missing())),
]


def test_a_real_model_is_pulled_created_and_verified(
    run_cli: Callable[..., CommandResult], monkeypatch: pytest.MonkeyPatch, own_world: Path
) -> None:
    with OllamaServer(library=[SMOLLM2]) as server:
        server.answer_with("smollm2:135m", SmallModel())
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        setup = ("setup", "--yes", "--model", "chat=smollm2:135m", "--bandwidth", "100MB/s")
        done = run_cli(*setup, "--json")
        assert done.exit_code == 0, done.stderr
        role = json.loads(done.stdout)["data"]["roles"]["chat"]
        assert role["num_ctx"] == 8192
        assert role["measured"]["decode_tokens_per_s"] > 0
        entry = read_ledger(own_world / "data").current("chat")
        assert entry is not None
        assert entry.measured is not None
        assert entry.measured.num_ctx == 8192
        posts = len([r for r in server.requests if r[0] != "GET"])
        again = run_cli(*setup)
        assert again.exit_code == 0
        assert again.stdout.startswith("Everything is as planned.")
        assert len([r for r in server.requests if r[0] != "GET"]) == posts

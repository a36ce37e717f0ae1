"""The test server for tests that only chat; all of it lives in `tests.support.fake_ollama`."""

from tests.support.fake_ollama.served import FakeOllama, ServedModel, serving, serving_models
from tests.support.fake_ollama.turns import (
    Break,
    Call,
    ChatModel,
    Garbage,
    Hang,
    Refuse,
    Say,
    Script,
    Turn,
)

__all__ = [
    "Break",
    "Call",
    "ChatModel",
    "FakeOllama",
    "Garbage",
    "Hang",
    "Refuse",
    "Say",
    "Script",
    "ServedModel",
    "Turn",
    "serving",
    "serving_models",
]

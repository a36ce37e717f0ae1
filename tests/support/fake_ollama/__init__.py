"""A stateful server on loopback that speaks Ollama's protocol, and fails on demand.

    with OllamaServer(library=[SMOLLM2, library_model("qwen3:8b")], installed=["smollm2:135m"],
                      gpu=Gpu(12 * GIB)) as server:
        server.faults.add(Fault.cut("/api/pull", after_lines=3))
        ...

What is pulled shows in tags, what is loaded in ps, what was interrupted in `state.partials`;
`OllamaServer(state=server.state)` finds it all again. Models answer from a script, or with
something short and valid.
"""

from tests.support.fake_ollama.faults import BUSY, OUT_OF_MEMORY, RUNNER_DIED, Fault, Faults
from tests.support.fake_ollama.library import (
    ALL_MINILM,
    GEMMA3_270M,
    SMOLLM2,
    LibraryModel,
    library_model,
)
from tests.support.fake_ollama.runners import Gpu, Runner
from tests.support.fake_ollama.server import OllamaServer
from tests.support.fake_ollama.state import Blob, Layer, Manifest, Partial, State, Weights
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
    "ALL_MINILM",
    "BUSY",
    "GEMMA3_270M",
    "OUT_OF_MEMORY",
    "RUNNER_DIED",
    "SMOLLM2",
    "Blob",
    "Break",
    "Call",
    "ChatModel",
    "Fault",
    "Faults",
    "Garbage",
    "Gpu",
    "Hang",
    "Layer",
    "LibraryModel",
    "Manifest",
    "OllamaServer",
    "Partial",
    "Refuse",
    "Runner",
    "Say",
    "Script",
    "State",
    "Turn",
    "Weights",
    "library_model",
]

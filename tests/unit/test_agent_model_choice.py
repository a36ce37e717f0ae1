"""Which installed model answers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from assistant.agent.model_choice import choose_model, is_cloud
from assistant.agent.tool_specs import TOOL_SPECS, ToolRefusedError, check_arguments
from assistant.errors import OllamaError, UnknownModelError
from assistant.machine.parse import parse_machine
from assistant.models.catalog import load_catalog
from assistant.ollama.records import InstalledModel, ShownModel

CAPABILITIES = {
    "all-minilm:latest": {"embedding"},
    "deepseek-v3:671b-cloud": {"completion", "tools"},
    "llama3.3:70b": {"completion", "tools"},
    "llama2:7b": {"completion"},
    "mistral:7b": {"completion", "tools"},
    "qwen3:8b": {"completion", "tools", "thinking"},
    "broken:latest": None,
}
SIZES = {
    "all-minilm:latest": 45_960_996, "deepseek-v3:671b-cloud": 382, "llama3.3:70b": 42_520_413_916,
    "llama2:7b": 3_826_793_677, "mistral:7b": 4_372_824_384, "qwen3:8b": 5_225_388_164,
    "broken:latest": 1_000_000_000,
}  # fmt: skip


def installed(*names: str) -> list[InstalledModel]:
    return [InstalledModel(name, size_bytes=SIZES[name]) for name in names]


def show(name: str) -> ShownModel:
    capabilities = CAPABILITIES[name]
    if capabilities is None:
        raise OllamaError("no")
    metadata = {"qwen3.context_length": 40960}
    return ShownModel(name=name, metadata=metadata, capabilities=frozenset(capabilities))


def chosen(*names: str, machine: str = "RTX 3060 12GB, 32GB RAM", **more: Any) -> str | None:
    found = choose_model(
        installed(*names), show, machine=parse_machine(machine), catalog=load_catalog(), **more
    )
    return found.name if found else None


def test_best_that_fits_and_calls_tools_wins() -> None:
    assert chosen(*SIZES) == "qwen3:8b"
    assert chosen("llama2:7b", "mistral:7b") == "mistral:7b"
    assert chosen("llama2:7b", "all-minilm:latest") == "llama2:7b"


def test_model_too_large_for_the_machine_is_not_taken() -> None:
    assert chosen("llama3.3:70b", "llama2:7b") == "llama2:7b"
    assert chosen("llama3.3:70b") is None
    assert chosen("llama3.3:70b", "llama2:7b", machine="2x RTX 3090, 64GB RAM") == "llama3.3:70b"


def test_embedding_cloud_and_broken_models_never_answer() -> None:
    assert chosen("all-minilm:latest", "deepseek-v3:671b-cloud", "broken:latest") is None
    assert chosen() is None
    assert is_cloud(InstalledModel("x:cloud"))
    assert is_cloud(InstalledModel("gpt-oss:120b-cloud", size_bytes=400))
    assert not is_cloud(InstalledModel("x:7b", size_bytes=4_000_000_000))


def test_what_the_person_names_counts_then_what_setup_gave() -> None:
    assert chosen(*SIZES, wanted="LLAMA2:7B") == "llama2:7b"
    assert chosen(*SIZES, set_up="mistral:7b") == "mistral:7b"
    assert chosen(*SIZES, set_up="gone:7b") == "qwen3:8b"
    assert chosen(*SIZES, set_up="all-minilm:latest") == "qwen3:8b"
    assert chosen(*SIZES, wanted="llama2:7b", set_up="mistral:7b") == "llama2:7b"


def test_named_model_must_be_there_and_chat() -> None:
    with pytest.raises(UnknownModelError, match="not installed"):
        chosen(*SIZES, wanted="nope:1b")
    with pytest.raises(OllamaError, match="cannot chat"):
        chosen(*SIZES, wanted="all-minilm")


def test_what_was_chosen_carries_tools_context_and_why() -> None:
    found = choose_model(installed("qwen3:8b"), show)
    assert found is not None
    assert found.can_call_tools
    assert found.trained_num_ctx == 40960
    assert "best" in found.why


def test_every_tool_checks_its_arguments() -> None:
    for spec in TOOL_SPECS:
        with pytest.raises(ToolRefusedError, match="unknown argument"):
            check_arguments(spec, {"shell": "rm"})
        for name in spec.schema["required"]:
            with pytest.raises(ToolRefusedError, match=f"{name!r} is missing"):
                check_arguments(spec, {})


def test_tracing_is_off_whatever_the_environment_says() -> None:
    code = (
        "import os, assistant.agent.loop\n"
        "from langsmith.utils import tracing_is_enabled\n"
        "print(bool(tracing_is_enabled()))"
    )
    environment = os.environ | {"LANGSMITH_TRACING": "true", "LANGCHAIN_TRACING_V2": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

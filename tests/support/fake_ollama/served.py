"""A server for tests that only chat: models by name, each with what answers for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, replace

from tests.support.fake_ollama.library import LibraryModel, library_model
from tests.support.fake_ollama.server import OllamaServer
from tests.support.fake_ollama.state import digest_of
from tests.support.fake_ollama.turns import ChatModel

_LIKE = "llama3.1:8b"


@dataclass
class ServedModel:
    """A model on the server: its file, what `show` says of it, and what answers for it."""

    chat: ChatModel
    size: int = 4_920_753_328
    capabilities: tuple[str, ...] = ("completion", "tools")
    family: str = "llama"
    quantization_level: str = "Q4_K_M"
    parameter_size: str = "8.0B"
    context_length: int = 131_072

    def in_library(self, name: str) -> LibraryModel:
        """Return it as a registry has it; its inside is that of Llama 3.1 8B."""
        like = library_model(_LIKE, capabilities=self.capabilities, template="", license="")
        facts = like.weights.facts
        arch = replace(facts.architecture, context_length=self.context_length)
        weights = replace(
            like.weights,
            digest=digest_of(f"served {name}"),
            size=self.size,
            metadata={
                **like.weights.metadata,
                "general.architecture": self.family,
                f"{self.family}.context_length": self.context_length,
            },
            family=self.family,
            parameter_size=self.parameter_size,
            quantization=self.quantization_level,
            facts=replace(facts, architecture=arch),
        )
        return replace(like, name=name, weights=weights, chat=self.chat)


class Loaded(MutableMapping[str, int]):
    """What is in memory, with its context; setting one loads the model."""

    def __init__(self, server: OllamaServer) -> None:
        self._server = server

    def _now(self) -> dict[str, int]:
        return {r.listed_name: r.num_ctx for r in self._server.runners.loaded()}

    def __getitem__(self, name: str) -> int:
        return self._now()[name]

    def __setitem__(self, name: str, num_ctx: int) -> None:
        self._server.load(name, num_ctx)

    def __delitem__(self, name: str) -> None:
        self._server.unload(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


class FakeOllama(OllamaServer):
    """The server; `models` by name, `loaded` what is in memory with which num_ctx."""

    def __init__(self, models: dict[str, ServedModel]) -> None:
        super().__init__(
            library=[model.in_library(name) for name, model in models.items()],
            installed=reversed(models),
            ram_bytes=10**12,
        )
        self.models = models
        self.loaded = Loaded(self)


@contextlib.contextmanager
def serving_models(**models: ServedModel) -> Iterator[FakeOllama]:
    """Run a server for the block; `__` in a keyword stands for the colon of the name."""
    named = {name.replace("__", ":"): model for name, model in models.items()}
    with serving(named) as server:
        yield server


@contextlib.contextmanager
def serving(models: dict[str, ServedModel]) -> Iterator[FakeOllama]:
    """Run a server with these models for the block."""
    with FakeOllama(models) as server:
        yield server

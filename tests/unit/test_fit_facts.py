"""Facts about a model from each place it can be known, and the order in which they are tried."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import (
    FileProblemError,
    GgufError,
    OfflineError,
    OllamaError,
    UnknownModelError,
)
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import (
    facts_from_card,
    facts_from_header,
    facts_from_parameters,
    facts_from_registry,
    facts_from_show,
)
from assistant.fit.resolve_model import resolve_model
from assistant.machine.records import Accelerator, Machine, Ram
from assistant.models.catalog import load_catalog
from assistant.models.gguf import read_header
from assistant.models.names import ModelName
from assistant.models.registry import RegistryModel
from assistant.units import GIB

DATA = Path(__file__).parents[1] / "data"
HEADERS = DATA / "headers"
SHOWN = json.loads((DATA / "ollama" / "show_smollm2.json").read_text())["body_json"]
LLAMA_FILE = "full-llama31-8b.gguf"


@dataclass
class Shown:
    """What a server says, as the wire gives it."""

    name: str = "smollm2:135m"
    metadata: dict[str, Any] = field(default_factory=lambda: SHOWN["model_info"])
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...] = field(
        default_factory=lambda: tuple(
            (t["name"], t["type"], tuple(t["shape"])) for t in SHOWN["tensors"]
        )
    )
    capabilities: frozenset[str] = frozenset({"completion"})
    quantization: str | None = field(default_factory=lambda: SHOWN["details"]["quantization_level"])
    num_ctx: int | None = None


class Server:
    """A server that knows one model, or cannot be reached."""

    def __init__(self, *, reachable: bool = True) -> None:
        self.reachable = reachable
        self.asked: list[str] = []

    def show(self, name: str) -> Shown:
        self.asked.append(name)
        if not self.reachable:
            raise OllamaError("no server")
        if name != "mine":
            raise UnknownModelError(f"{name} is not installed")
        return Shown(name="mine")


class Registry:
    """A registry that knows every name, or may not be asked."""

    def __init__(self, *, offline: bool = False) -> None:
        self.offline = offline
        self.asked: list[str] = []

    def read(self, name: ModelName, *, with_header: bool = True) -> RegistryModel:
        assert with_header
        self.asked.append(name.render())
        if self.offline:
            raise OfflineError("offline")
        header = read_header(HEADERS / LLAMA_FILE)
        return RegistryModel(
            name=name.render(),
            manifest_digest="sha256:0",
            model_bytes=4_920_734_272,
            projector_bytes=0,
            download_bytes=4_920_750_000,
            layers=(),
            params={"num_ctx": 2048},
            header=header,
        )


class TestSources:
    def test_a_header_is_exact(self) -> None:
        path = HEADERS / LLAMA_FILE
        found = facts_from_header(read_header(path), name="x", path=path)
        assert found.exact
        assert found.source == "file"
        assert found.resolved == str(path)
        assert found.parameters_total == 8_030_261_312
        assert found.weights.file_bytes == 4_912_898_304
        assert found.download_bytes is None
        assert "the file holds the header without its data" in found.notes[0]

    def test_a_header_without_tensors_is_rebuilt_and_says_so(self) -> None:
        found = facts_from_header(read_header(HEADERS / "llama31-8b.gguf"), name="x")
        assert not found.exact
        assert "no tensor table" in " ".join(found.notes)

    def test_experts_that_sleep_are_not_active(self) -> None:
        found = facts_from_header(read_header(HEADERS / "full-mixtral-8x7b.gguf"), name="x")
        assert found.parameters_total == pytest.approx(46.7e9, rel=0.01)
        assert found.parameters_active == pytest.approx(12.9e9, rel=0.01)

    def test_a_server_gives_the_tensor_table(self) -> None:
        found = facts_from_show(Shown(num_ctx=1024))
        assert found.exact
        assert found.source == "server"
        assert found.parameters_total == pytest.approx(134.5e6, rel=0.01)
        assert found.architecture.vocab_size == 49_152
        assert found.weights.tied
        assert found.default_num_ctx == 1024
        estimate = estimate_fit(found, Machine(ram=Ram(8 * GIB)))
        assert estimate.num_ctx == 1024

    def test_a_server_without_tensors_gives_parameters(self) -> None:
        metadata = SHOWN["model_info"] | {"llama.vocab_size": 49_152}
        found = facts_from_show(Shown(metadata=metadata, tensors=()))
        assert not found.exact
        exact = facts_from_show(Shown()).weights.file_bytes
        assert found.weights.file_bytes == pytest.approx(exact, rel=0.15)

    def test_a_registry_gives_exact_sizes_and_the_makers_context(self) -> None:
        found = facts_from_registry(Registry().read(ModelName("x")))
        assert (found.source, found.exact) == ("registry", True)
        assert found.download_bytes == 4_920_750_000
        assert found.file_bytes == 4_920_734_272
        assert found.default_num_ctx == 2048
        assert not any("without its data" in note for note in found.notes)

    def test_a_registry_model_that_is_not_gguf(self) -> None:
        model = replace(Registry().read(ModelName("x")), header=None)
        with pytest.raises(GgufError, match="not a GGUF model"):
            facts_from_registry(model)

    def test_parameters_alone_are_never_exact(self) -> None:
        found = facts_from_parameters("13B", 13_000_000_000, "F16")
        assert not found.exact
        assert found.source == "parameters"
        assert found.weights.file_bytes == pytest.approx(26e9, rel=0.01)
        assert "from the number of parameters alone" in found.notes[0]

    def test_every_tag_of_the_catalog_has_facts(self) -> None:
        seen = 0
        for card in load_catalog().cards:
            for tag in card.tags:
                if not tag.pullable:
                    continue
                found = facts_from_card(card, tag)
                seen += 1
                assert found.weights.file_bytes > 0, tag.name
                assert min(found.weights.block_bytes) >= 0, tag.name
                assert found.download_bytes, tag.name
                if tag.model_bytes is not None and tag.exactness == "exact":
                    inline = card.inline_projector_bytes or 0
                    whole = found.weights.file_bytes + inline
                    assert whole == pytest.approx(tag.model_bytes, rel=0.05), tag.name
        assert seen > 1500

    def test_rebuilt_files_have_the_size_that_they_have(self) -> None:
        from assistant.fit.model_facts import LIBRARY_HINTS
        from assistant.fit.weights import tokenizer_bytes, weights_from_architecture

        errors = []
        for card in load_catalog().cards:
            for tag in card.tags:
                arch = tag.architecture or card.architecture
                checked = card.architecture_confidence == "checked" and tag.exactness == "exact"
                if arch is None or not checked or tag.model_bytes is None:
                    continue
                rebuilt = weights_from_architecture(
                    arch,
                    tag.quantization or "F16",
                    hints=card.quantization_hints | LIBRARY_HINTS,
                )
                whole = rebuilt.file_bytes + tokenizer_bytes(arch)
                whole += card.inline_projector_bytes or 0
                errors.append(abs(whole / tag.model_bytes - 1))
        errors.sort()
        assert len(errors) > 100
        assert errors[len(errors) // 2] < 0.001
        assert errors[int(0.9 * len(errors))] < 0.005

    def test_per_layer_embeddings_stay_in_ram(self) -> None:
        card = Accelerator("card", "nvidia", "discrete", 24 * GIB, 24 * GIB, backend="cuda")
        machine = Machine(ram=Ram(64 * GIB), accelerators=(card,))
        found = estimate_fit(facts_from_card(*load_catalog().find("gemma4:e4b")), machine)
        assert found.host.weights_bytes > 5 * GIB
        assert 2.5 * GIB < found.gpu.weights_bytes < 4.2 * GIB
        assert any("per-layer embeddings" in note for note in found.notes)


class TestResolving:
    def test_a_path(self) -> None:
        found = resolve_model(str(HEADERS / LLAMA_FILE), catalog=load_catalog())
        assert found.source == "file"

    def test_a_path_that_is_not_there(self) -> None:
        with pytest.raises(FileProblemError, match="no file"):
            resolve_model("nowhere/x.gguf", catalog=load_catalog())

    @pytest.mark.parametrize(
        ("text", "parameters", "quantization"),
        [("13b", 13e9, "Q4_K_M"), ("7B q8_0", 7e9, "Q8_0"), ("350M at fp16", 350e6, "F16")],
    )
    def test_a_bare_size(self, text: str, parameters: float, quantization: str) -> None:
        found = resolve_model(text, catalog=load_catalog())
        assert found.source == "parameters"
        assert (found.parameters_total, found.quantization) == (parameters, quantization)

    def test_the_catalog_comes_before_server_and_registry(self) -> None:
        server, registry = Server(), Registry()
        found = resolve_model(
            "llama3.1:8b", catalog=load_catalog(), server=server, registry=registry
        )
        assert found.source == "catalog"
        assert not server.asked
        assert not registry.asked

    def test_a_quantization_is_asked_for(self) -> None:
        found = resolve_model("llama3.1:8b", catalog=load_catalog(), quantization="Q8_0")
        assert found.quantization == "Q8_0"

    def test_an_installed_model(self) -> None:
        registry = Registry()
        found = resolve_model("mine", catalog=load_catalog(), server=Server(), registry=registry)
        assert (found.source, found.name) == ("server", "mine")
        assert not registry.asked

    def test_the_registry_comes_last(self) -> None:
        registry = Registry()
        found = resolve_model(
            "someone/unheard-of:q4_0",
            catalog=load_catalog(),
            server=Server(reachable=False),
            registry=registry,
        )
        assert found.source == "registry"
        assert registry.asked == ["someone/unheard-of:q4_0"]

    def test_hugging_face_is_asked_before_the_catalog(self) -> None:
        registry = Registry()
        name = "hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF"
        online = resolve_model(
            name, catalog=load_catalog(), registry=registry, quantization="Q5_K_M"
        )
        assert online.source == "registry"
        assert registry.asked == [f"{name}:Q5_K_M"]
        offline = resolve_model(name, catalog=load_catalog(), registry=registry, offline=True)
        assert offline.source == "catalog"
        assert len(registry.asked) == 1

    def test_nobody_knows_it(self) -> None:
        with pytest.raises(UnknownModelError) as caught:
            resolve_model("lama3.1:8b-zz", catalog=load_catalog(), offline=True)
        assert caught.value.hint

    def test_only_the_registry_could_know_it(self) -> None:
        with pytest.raises(OfflineError):
            resolve_model(
                "someone/unheard-of", catalog=load_catalog(), registry=Registry(offline=True)
            )

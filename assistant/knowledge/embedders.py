"""The one door to sentence-transformers: text to vectors, in this process and offline.

The package is an extra (`embeddings`), because it brings torch. Importing it takes seconds, so
that happens when a model is loaded and not before. Models come from a folder, or from the
Hugging Face cache of this computer by name; nothing is downloaded and nothing is reported.
Encoding is described at https://sbert.net/docs/package_reference/sentence_transformer/.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH_SIZE: Final = 32
_OFFLINE_ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


class EmbedderUnavailableError(AssistantError):
    """Text cannot be embedded: the extra is not installed, or the model is not here."""

    code = "embedder_unavailable"


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

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector of length 1 per text, in the order given; no texts, no vectors."""
        if not texts:
            return []
        vectors = self._model.encode(
            list(texts),
            batch_size=BATCH_SIZE,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return [[float(x) for x in vector] for vector in vectors]


def load_sentence_transformer(model: str | Path) -> SentenceTransformerEmbedder:
    """Return the embedder of a model folder, or of a name in the local Hugging Face cache.

    Raises:
        EmbedderUnavailableError: the extra is missing, or no such model is on this computer.
    """
    for name, value in _OFFLINE_ENVIRONMENT.items():
        os.environ[name] = value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EmbedderUnavailableError(
            "sentence-transformers is not installed.",
            hint="Install it with: pip install 'local-model-assistant[embeddings]'",
        ) from error
    folder = Path(model)
    try:
        loaded = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EmbedderUnavailableError(
            f"no embedding model can be loaded from {str(model)!r}.",
            hint="Name a folder that holds a sentence-transformers model.",
        ) from error
    return SentenceTransformerEmbedder(folder.name if folder.is_dir() else str(model), loaded)

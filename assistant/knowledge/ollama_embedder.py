"""The embedding models of the configured Ollama server, as an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from assistant.knowledge.embedders import EmbedderUnavailableError, with_prompt
from assistant.ollama.embeddings import embed_texts, embedding_models
from assistant.ollama.server_address import ServerAddress, configured_address

LIST_TIMEOUT_S: Final = 1.0
QUERY_TIMEOUT_S: Final = 3.0
PASSAGES_TIMEOUT_S: Final = 180.0
# Larger models search a little better, but a question then waits on a processor without a GPU.
LARGEST_QUICK_BYTES: Final = 1_500_000_000


class OllamaEmbedder:
    """One embedding model of a server. A question may take three seconds, passages minutes."""

    def __init__(self, address: ServerAddress, model: str, *, dimension: int) -> None:
        self.name = model
        self.dimension = dimension
        self._address = address

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[list[float]]:
        """Return one vector per text, in the order given.

        Raises:
            OllamaError: the server does not answer in time or refuses.
        """
        vectors = embed_texts(
            self._address,
            self.name,
            with_prompt(self.name, texts, query=query),
            timeout_s=QUERY_TIMEOUT_S if query else PASSAGES_TIMEOUT_S,
        )
        if vectors and len(vectors[0]) != self.dimension:
            raise EmbedderUnavailableError(
                f"{self.name!r} now makes vectors of {len(vectors[0])} numbers, not of "
                f"{self.dimension}.",
                hint="Build the index again with: assistant guides index",
            )
        return vectors


def find_ollama_embedder(model: str | None = None) -> OllamaEmbedder:
    """Return an embedder of the configured server: `model`, or the best quick one installed.

    Raises:
        OllamaError: no server answers, or not as it should.
        EmbedderUnavailableError: no embedding model is installed there.
    """
    address = configured_address()
    if model is None:
        installed = embedding_models(address, timeout_s=LIST_TIMEOUT_S)
        if not installed:
            raise EmbedderUnavailableError(
                f"the Ollama server at {address.url} has no embedding model.",
                hint="Install one with: ollama pull nomic-embed-text",
            )
        quick = [m for m in installed if m.size_bytes <= LARGEST_QUICK_BYTES]
        if quick:
            model = max(quick, key=lambda m: m.size_bytes).name
        else:
            model = min(installed, key=lambda m: m.size_bytes).name
    probe = embed_texts(address, model, ["probe"], timeout_s=PASSAGES_TIMEOUT_S)
    return OllamaEmbedder(address, model, dimension=len(probe[0]))


def open_ollama_embedder(model: str, *, dimension: int) -> OllamaEmbedder:
    """Return the embedder that made an index, without asking the server anything."""
    return OllamaEmbedder(configured_address(), model, dimension=dimension)

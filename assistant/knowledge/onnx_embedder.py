"""all-MiniLM-L6-v2 from the ONNX files that chromadb keeps, when they are already there.

chromadb's own embedding function downloads them; here they are only read, with onnxruntime and
tokenizers, which come with chromadb and import five times faster than it does. Tokens are cut at
256, averaged where they are not padding, and scaled to length 1, as in chromadb's
`ONNXMiniLM_L6_V2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from assistant.knowledge.embedders import EmbedderUnavailableError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

NAME: Final = "all-MiniLM-L6-v2 (ONNX)"
DIMENSION: Final = 384
LONGEST_TOKENS: Final = 256
BATCH_SIZE: Final = 32
_FILES: Final = ("model.onnx", "tokenizer.json")


class OnnxMiniLmEmbedder:
    """The model in memory, on the processor."""

    name = NAME
    dimension = DIMENSION

    def __init__(self, session: InferenceSession, tokenizer: Tokenizer) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._wanted = {given.name for given in session.get_inputs()}

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[list[float]]:
        """Return one vector of length 1 per text, in the order given; no texts, no vectors."""
        del query  # the model takes questions and passages alike
        vectors: list[list[float]] = []
        for start in range(0, len(texts), BATCH_SIZE):
            vectors.extend(self._embed_batch(list(texts[start : start + BATCH_SIZE])))
        return vectors

    def _embed_batch(self, texts: list[str]) -> list[list[float]]:
        import numpy as np

        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded], dtype=np.int64)
        mask = np.array([e.attention_mask for e in encoded], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self._session.run(None, {k: v for k, v in given.items() if k in self._wanted})[0]
        weights = mask[:, :, None].astype(np.float32)
        means: Any = (states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return [[float(number) for number in vector] for vector in means]


def chroma_onnx_folder() -> Path:
    """Return where chromadb keeps the files of its default model."""
    return Path.home() / ".cache" / "chroma" / "onnx_models" / "all-MiniLM-L6-v2" / "onnx"


def onnx_files_present(folder: Path | None = None) -> bool:
    """Return True when the model's files are on this computer."""
    base = folder or chroma_onnx_folder()
    return all((base / name).is_file() for name in _FILES)


def load_onnx_minilm(folder: Path | None = None) -> OnnxMiniLmEmbedder:
    """Return the embedder of the files in `folder` (chromadb's by default).

    Raises:
        EmbedderUnavailableError: the files are not there or cannot be loaded.
    """
    base = folder or chroma_onnx_folder()
    if not onnx_files_present(base):
        raise EmbedderUnavailableError(
            f"chromadb's MiniLM is not on this computer ({base}).",
            hint="Use an embedding model of Ollama instead: ollama pull nomic-embed-text",
        )
    try:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            str(base / "model.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    except Exception as error:  # these libraries raise plain Exception for damaged files
        raise EmbedderUnavailableError(
            f"chromadb's MiniLM in {base} cannot be loaded ({type(error).__name__}).",
            hint="Remove that folder, or use an embedding model of Ollama.",
        ) from error
    tokenizer.enable_truncation(max_length=LONGEST_TOKENS)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")  # noqa: S106  not a password
    return OnnxMiniLmEmbedder(session, tokenizer)

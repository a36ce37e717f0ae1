"""What the test server has on its disk: manifests, blobs and unfinished downloads.

Blobs have a size and a digest; only small or uploaded ones have content. A state outlives its
server, so that a restarted one finds what was there. With a `folder` the unfinished downloads
are also files under `blobs/`, as large as the real ones and as empty, and removing them there
removes them here.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.fit.records import ModelFacts
from assistant.models.names import ModelName

DEFAULT_MODELS_PATH = "/usr/share/ollama/.ollama/models"
_MEDIA = "application/vnd.ollama.image."


def digest_of(data: bytes | str) -> str:
    """Return `sha256:...` of these bytes."""
    raw = data.encode() if isinstance(data, str) else data
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def go_json(value: Any) -> str:
    """Return JSON as Go writes it: no spaces, `<`, `>` and `&` as escapes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@dataclass(frozen=True)
class Weights:
    """What stands in the header of a GGUF blob, and what the estimators make of it.

    `arrays` are metadata that `show` tells only when asked for more; `capabilities` are those
    of the file, without what a template adds. `listed_as_completion` is true of files made
    from safetensors, which `tags` does not recognise.
    """

    digest: str
    size: int
    metadata: Mapping[str, Any]
    tensors: tuple[Mapping[str, Any], ...]
    family: str
    parameter_size: str
    quantization: str
    capabilities: tuple[str, ...]
    facts: ModelFacts
    arrays: Mapping[str, Any] = field(default_factory=dict)
    listed_as_completion: bool = False

    @property
    def context_length(self) -> int | None:
        """Tokens the model was trained for."""
        return self.facts.architecture.context_length

    @property
    def embedding_length(self) -> int:
        """Length of its vectors."""
        return self.facts.architecture.embedding_length


@dataclass(frozen=True)
class Blob:
    """Bytes on disk; `content` only where it matters, `weights` for a GGUF file."""

    size: int
    content: bytes | None = None
    weights: Weights | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of a manifest: its kind (`model`, `template`, `params`, ...) and its blob."""

    kind: str
    digest: str
    size: int


@dataclass
class Partial:
    """An unfinished download; `poisoned` when its part files are empty."""

    total: int
    completed: int = 0
    poisoned: bool = False
    downloading: threading.Lock = field(default_factory=threading.Lock, repr=False)


@dataclass
class Manifest:
    """A model under a name. `modified_at` is seconds since the epoch."""

    name: ModelName
    layers: tuple[Layer, ...]
    weights: Weights
    capabilities: tuple[str, ...]
    parent_model: str = ""
    modified_at: float = 0.0

    @property
    def config(self) -> Layer:
        """The blob that describes the model."""
        content = config_content(self.weights)
        return Layer("config", digest_of(content), len(content))

    @property
    def every_layer(self) -> tuple[Layer, ...]:
        """All that is downloaded: the layers, then the config."""
        return (*self.layers, self.config)

    @property
    def size(self) -> int:
        """Bytes of all blobs together."""
        return sum(layer.size for layer in self.every_layer)

    @property
    def digest(self) -> str:
        """Digest of the manifest's own JSON, without `sha256:`."""
        return digest_of(go_json(self.as_json())).removeprefix("sha256:")

    def as_json(self) -> dict[str, Any]:
        """Return the manifest as registries and the models folder have it."""
        config = self.config
        return {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": config.digest,
                "size": config.size,
            },
            "layers": [
                {"mediaType": _MEDIA + layer.kind, "digest": layer.digest, "size": layer.size}
                for layer in self.layers
            ],
        }

    def layer(self, kind: str) -> Layer | None:
        """Return the first layer of a kind."""
        return next((layer for layer in self.layers if layer.kind == kind), None)


def config_content(weights: Weights) -> bytes:
    """Return the config blob, byte for byte as Ollama writes it."""
    config = {
        "model_format": "gguf",
        "model_family": weights.family,
        "model_families": [weights.family],
        "model_type": weights.parameter_size,
        "file_type": weights.quantization,
        "architecture": "amd64",
        "os": "linux",
    }
    return go_json(config).encode() + b"\n"


@dataclass
class State:
    """Manifests by the full name in lower case, blobs and partial downloads by digest."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    partials: dict[str, Partial] = field(default_factory=dict)
    folder: Path | None = None
    clock: float = 1_795_251_463.0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def models_path(self) -> str:
        """The models folder, as error messages and `show` name it."""
        return DEFAULT_MODELS_PATH if self.folder is None else str(self.folder)

    def blob_path(self, digest: str) -> str:
        """Return where a blob lies, or would lie."""
        return f"{self.models_path}/blobs/{digest.replace(':', '-')}"

    def now(self) -> float:
        """Return a time later than the last one: models are listed newest first."""
        with self.lock:
            self.clock += 0.25
            return self.clock

    def put(self, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
        """Install a model and the blobs it needs; `contents` are those of its small layers."""
        with self.lock:
            manifest.modified_at = manifest.modified_at or self.now()
            for layer in manifest.every_layer:
                self.add_blob(layer, contents.get(layer.digest), manifest.weights)
            self.manifests[manifest.name.key] = manifest

    def add_blob(self, layer: Layer, content: bytes | None, weights: Weights) -> None:
        """Keep the blob of one layer, unless it is there."""
        if layer.kind == "config":
            content = config_content(weights)
        with self.lock:
            held = weights if layer.kind == "model" else None
            self.blobs.setdefault(layer.digest, Blob(layer.size, content, held))

    def text_of(self, manifest: Manifest, kind: str) -> str | None:
        """Return the text of a model's layer (`template`, `system`, `params`), or None."""
        layer = manifest.layer(kind)
        blob = None if layer is None else self.blobs.get(layer.digest)
        return None if blob is None or blob.content is None else blob.content.decode()

    def params_of(self, manifest: Manifest) -> dict[str, Any]:
        """Return the options that a model's Modelfile sets."""
        text = self.text_of(manifest, "params")
        params: dict[str, Any] = json.loads(text) if text else {}
        return params

    def remove(self, key: str) -> None:
        """Remove a model, and the blobs that no other model needs; partial files stay."""
        with self.lock:
            gone = self.manifests.pop(key)
            self.prune(gone.every_layer)

    def prune(self, layers: Iterable[Layer]) -> list[str]:
        """Remove the blobs of these layers that no model needs; return which."""
        with self.lock:
            needed = {n.digest for m in self.manifests.values() for n in m.every_layer}
            unused = [n.digest for n in layers if n.digest not in needed]
            for digest in unused:
                self.blobs.pop(digest, None)
            return unused

    def partial(self, layer: Layer) -> Partial:
        """Return the unfinished download of a layer, begun now if there is none."""
        with self.lock:
            partial = self.partials.setdefault(layer.digest, Partial(layer.size))
            self.write_partials()
            return partial

    def finish(self, layer: Layer, content: bytes | None, weights: Weights) -> None:
        """Turn the partial download of a layer into a blob."""
        with self.lock:
            self.partials.pop(layer.digest, None)
            for path in self._part_files(layer.digest):
                path.unlink(missing_ok=True)
            self.add_blob(layer, content, weights)

    def lose_progress(self) -> None:
        """What a killed server leaves: data without a word of how far it got."""
        with self.lock:
            for partial in self.partials.values():
                partial.completed = 0
            self.write_partials()

    def poison(self, digest: str | None = None) -> None:
        """Leave empty part files behind, for one digest or for all that are unfinished."""
        with self.lock:
            for name, partial in self.partials.items():
                partial.poisoned = partial.poisoned or digest in {None, name}
            self.write_partials()

    def write_partials(self) -> None:
        """Write the unfinished downloads as the files that Ollama has of them."""
        if self.folder is None:
            return
        blobs = self.folder / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        for digest, partial in self.partials.items():
            data, part = self._part_files(digest)
            if not data.exists():
                data.touch()
                with data.open("r+b") as file:
                    file.truncate(partial.total)
            written = {"N": 0, "Offset": 0, "Size": partial.total, "Completed": partial.completed}
            part.write_text("" if partial.poisoned else go_json(written) + "\n")

    def forget_removed_partials(self) -> None:
        """Drop the downloads whose files somebody has removed from the folder."""
        if self.folder is None:
            return
        with self.lock:
            for digest in list(self.partials):
                if not self._part_files(digest)[1].exists():
                    self._part_files(digest)[0].unlink(missing_ok=True)
                    del self.partials[digest]

    def _part_files(self, digest: str) -> tuple[Path, ...]:
        if self.folder is None:
            return ()
        base = self.folder / "blobs" / (digest.replace(":", "-") + "-partial")
        return base, base.with_name(base.name + "-0")

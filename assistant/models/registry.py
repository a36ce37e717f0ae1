"""Reading a model from a registry without downloading it.

`registry.ollama.ai`, `hf.co` and any other host of the same protocol (MEMORY_MODEL 5): the
manifest gives exact layer sizes, small blobs the parameters and the configuration, and byte
ranges of the model blob its GGUF header. Weights are never downloaded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from assistant.errors import GgufError, OfflineError, RegistryError, UnknownModelError
from assistant.models.gguf import GgufHeader, read_header
from assistant.models.registry_cache import RegistryCache
from assistant.units import MIB

if TYPE_CHECKING:
    from assistant.models.http_reader import Answer, HttpReader, StatusError
    from assistant.models.names import ModelName

_MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER_PREFIX: Final = "application/vnd.ollama.image."
_MAX_MANIFEST_BYTES: Final = 4 * MIB
_MAX_SMALL_BLOB_BYTES: Final = MIB
_MAX_LAYERS: Final = 65_536
_MAX_LAYER_BYTES: Final = 2**53
_FRESH_S: Final = 3600.0
"""How long a manifest is taken from the cache without asking: tags move, but rarely."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a manifest; `kind` is its media type after `application/vnd.ollama.image.`."""

    kind: str
    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class RegistryModel:
    """What a registry says about one model, in exact bytes.

    `download_bytes` is the whole pull; `model_bytes` the GGUF (or, for other formats, the
    tensor blobs); `header` is None when the model is not GGUF or was not asked for.
    `params` are the Modelfile parameters that come with it (`num_ctx`, `stop` ...), `config`
    is the configuration blob (`model_family`, `file_type` ...).
    """

    name: str
    manifest_digest: str
    model_bytes: int
    projector_bytes: int
    download_bytes: int
    layers: tuple[Layer, ...]
    model_digest: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    header: GgufHeader | None = None
    projector_header: GgufHeader | None = None
    notes: tuple[str, ...] = ()

    @property
    def num_ctx(self) -> int | None:
        """The context length that the model's maker set for Ollama, or None."""
        value = self.params.get("num_ctx")
        if isinstance(value, list) and value:
            value = value[0]
        return value if isinstance(value, int) and not isinstance(value, bool) else None


class RegistryReader:
    """Reads models from registries, with a cache in `cache_dir` (None: no cache).

    With `offline` nothing but the cache is used. `http` and `clock` are for tests.
    """

    def __init__(
        self,
        cache_dir: Path | None,
        *,
        timeout_s: float = 10.0,
        offline: bool = False,
        insecure_hosts: Collection[str] = (),
        http: HttpReader | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cache = RegistryCache(cache_dir) if cache_dir is not None else None
        self.timeout_s = timeout_s
        self.offline = offline
        self.insecure_hosts = insecure_hosts
        self.clock = clock
        self._http = http

    def read(
        self, name: ModelName, *, with_header: bool = True, with_projector: bool = False
    ) -> RegistryModel:
        """Return what the registry of `name` says about it.

        Raises:
            UnknownModelError: the registry has no such model or tag.
            OfflineError: the network would be needed and is forbidden.
            RegistryError: the registry cannot be reached or answers nonsense.
            GgufError: the model blob has no usable GGUF header.
        """
        body, notes = self._manifest(name)
        config_layer, layers = _parse_manifest(body, name.render())
        sizes = [layer.bytes for layer in layers] + [config_layer.bytes if config_layer else 0]
        model = next((layer for layer in layers if layer.kind == "model"), None)
        projector = next((layer for layer in layers if layer.kind == "projector"), None)
        params = next((layer for layer in layers if layer.kind == "params"), None)
        config = self._json_blob(name, config_layer) if config_layer else {}
        if model is None:
            notes = (*notes, _why_no_gguf(config))
        return RegistryModel(
            name=name.render(),
            manifest_digest=_digest(body),
            model_bytes=_sum(layers, "model") or _sum(layers, "tensor"),
            projector_bytes=_sum(layers, "projector"),
            download_bytes=sum(sizes),
            layers=layers,
            model_digest=model.digest if model else None,
            params=self._json_blob(name, params) if params else {},
            config=config,
            header=self._header(name, model) if model and with_header else None,
            projector_header=(
                self._header(name, projector) if projector and with_projector else None
            ),
            notes=notes,
        )

    def read_range(self, name: ModelName, layer: Layer, length: int) -> bytes:
        """Return the first `length` bytes of a layer, fewer when the registry sends fewer.

        Raises:
            RegistryError: it cannot be reached, or refuses.
        """
        return self._get(name, layer, limit=min(length, layer.bytes), first=0)[0]

    def _manifest(self, name: ModelName) -> tuple[bytes, tuple[str, ...]]:
        key = name.key
        kept = self.cache.manifest(key) if self.cache else None
        now = self.clock()
        if kept is not None and (self.offline or 0 <= now - kept[1] < _FRESH_S):
            return kept[0], ()
        if self.offline:
            raise OfflineError(
                f"{name.render()!r} was never read from {name.host}, and the network is off",
                hint="Run the same command once without --offline, or choose a catalog model.",
            )
        answer = self._fetch_manifest(name, is_kept=kept is not None)
        if answer is None:
            assert kept is not None
            day = time.strftime("%Y-%m-%d", time.gmtime(kept[1]))
            return kept[0], (f"{name.host} cannot be reached; sizes are those of {day}",)
        said = answer.headers.get("Docker-Content-Digest")
        if said and said != _digest(answer.body):
            raise _nonsense(name, "the manifest does not match its digest")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise RegistryError(
                f"{name.host} answered with a web page",
                hint="A login page of the network, or not a model registry.",
            )
        _parse_manifest(answer.body, name.render())
        if self.cache:
            self.cache.keep_manifest(key, answer.body, now)
        return answer.body, ()

    def _fetch_manifest(self, name: ModelName, *, is_kept: bool) -> Answer | None:
        """Return the registry's answer; None when it is out of reach and an older one is kept."""
        from assistant.models.http_reader import StatusError, UnreachableError

        url = f"{_base(name)}/manifests/{quote(name.tag, safe='')}"
        try:
            return self._reader().get(url, limit=_MAX_MANIFEST_BYTES, accept=_MANIFEST_TYPE)
        except StatusError as error:
            raise _explain(error, name) from error
        except UnreachableError:
            if is_kept:
                return None
            raise

    def _json_blob(self, name: ModelName, layer: Layer) -> dict[str, Any]:
        body = self.cache.blob(layer.digest) if self.cache else None
        if body is None:
            body = self._small_blob(name, layer)
            if self.cache:
                self.cache.keep_blob(layer.digest, body)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise _nonsense(name, f"its {layer.kind} blob is not a JSON object")
        return document

    def _small_blob(self, name: ModelName, layer: Layer) -> bytes:
        if layer.bytes > _MAX_SMALL_BLOB_BYTES:
            raise _nonsense(name, f"its {layer.kind} blob has {layer.bytes:,} bytes")
        body = self._get(name, layer, limit=_MAX_SMALL_BLOB_BYTES)[0]
        if _digest(body) != layer.digest:
            raise _nonsense(name, f"its {layer.kind} blob does not match its digest")
        return body

    def _header(self, name: ModelName, layer: Layer) -> GgufHeader:
        kept = self.cache.header(layer.digest) if self.cache else None
        if kept is not None:
            return kept

        def read(offset: int, length: int) -> bytes:
            chunks = b""
            while len(chunks) < length and offset + len(chunks) < layer.bytes:
                wanted = min(length - len(chunks), layer.bytes - offset - len(chunks))
                body, total = self._get(name, layer, limit=wanted, first=offset + len(chunks))
                if total is not None and total != layer.bytes:
                    raise _nonsense(
                        name, f"its {layer.kind} blob has {total:,} bytes, not {layer.bytes:,}"
                    )
                if not body:
                    break
                chunks += body
            return chunks

        try:
            header = read_header(read, name=name.render(), file_bytes=layer.bytes)
        except GgufError as error:
            raise GgufError(
                error.message,
                hint="The registry's file is damaged, or newer than this program: update it.",
            ) from error
        if self.cache:
            self.cache.keep_header(layer.digest, header)
        return header

    def _get(
        self, name: ModelName, layer: Layer, *, limit: int, first: int | None = None
    ) -> tuple[bytes, int | None]:
        from assistant.models.http_reader import StatusError

        if self.offline:
            raise OfflineError(
                f"the {layer.kind} of {name.render()!r} was never read, and the network is off",
                hint="Run the same command once without --offline, or choose a catalog model.",
            )
        try:
            answer = self._reader().get(
                f"{_base(name)}/blobs/{layer.digest}", limit=limit, first=first
            )
        except StatusError as error:
            if error.status == 404:
                raise _nonsense(name, f"its {layer.kind} blob is not there") from error
            raise _explain(error, name) from error
        return answer.body, answer.total_bytes

    def _reader(self) -> HttpReader:
        from assistant.models.http_reader import HttpReader

        if self._http is None:
            self._http = HttpReader(timeout_s=self.timeout_s, insecure_hosts=self.insecure_hosts)
        return self._http


def _base(name: ModelName) -> str:
    if not name.host or not all(c.isalnum() or c in "-._:[]" for c in name.host):
        raise RegistryError(f"{name.host!r} is not a host")
    repository = f"{quote(name.namespace, safe='')}/{quote(name.model, safe='')}"
    return f"{name.scheme}://{name.host}/v2/{repository}"


def _digest(body: bytes) -> str:
    return f"sha256:{sha256(body).hexdigest()}"


def _sum(layers: tuple[Layer, ...], kind: str) -> int:
    return sum(layer.bytes for layer in layers if layer.kind == kind)


def _nonsense(name: ModelName, what: str) -> RegistryError:
    return RegistryError(
        f"{name.host} gave a wrong answer for {name.render()!r}: {what}",
        hint="Try again later; the registry, or a proxy on the way, has a fault.",
    )


def _explain(error: StatusError, name: ModelName) -> RegistryError | UnknownModelError:
    """Turn an error status into what it means for a person who typed a model name."""
    text = name.render()
    if error.status == 404:
        return UnknownModelError(
            f"{name.host} has no model {text!r}",
            hint="Check the spelling; ollama.com/library and hf.co list what there is.",
        )
    # hf.co answers 400 for a repository without GGUF files or without that quantization.
    if error.status == 400:
        return UnknownModelError(
            f"{name.host} has no model {text!r}" + (f": {error.detail}" if error.detail else ""),
            hint="Check the name, and that it has GGUF files of that quantization.",
        )
    if error.status in (401, 403):
        return RegistryError(
            f"{name.host} does not show {text!r} without a login",
            hint="It is private or gated, or there is no such model: check the name.",
        )
    if error.status == 429:
        return RegistryError(
            f"{name.host} refuses more requests for now", hint="Try again in a few minutes."
        )
    return RegistryError(error.message, hint="Try again later.")


def _why_no_gguf(config: Mapping[str, Any]) -> str:
    if config.get("remote_host") or config.get("remote_model"):
        return "this model runs in the cloud; there is nothing to download"
    kind = config.get("model_format")
    if isinstance(kind, str) and kind.isalnum() and kind.isascii():
        return f"this model is not GGUF but {kind[:40]}"
    return "there is no GGUF file in this model"


def _parse_manifest(body: bytes, name: str) -> tuple[Layer | None, tuple[Layer, ...]]:
    """Return the configuration and the layers of a manifest.

    Raises:
        RegistryError: it is not a manifest of a model.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    layers = document.get("layers") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(layers, list):
        raise RegistryError(
            f"the registry's answer for {name!r} is not a manifest of a model",
            hint="The host is not a model registry, or something on the way changed the answer.",
        )
    if len(layers) > _MAX_LAYERS:
        raise RegistryError(f"the manifest of {name!r} has {len(layers):,} layers")
    config = document.get("config")
    return (
        _parse_layer(config, name) if config is not None else None,
        tuple(_parse_layer(layer, name) for layer in layers),
    )


def _parse_layer(layer: object, name: str) -> Layer:
    if isinstance(layer, dict):
        kind, digest, size = layer.get("mediaType"), layer.get("digest"), layer.get("size")
        if (
            isinstance(kind, str)
            and isinstance(digest, str)
            and _is_digest(digest)
            and isinstance(size, int)
            and not isinstance(size, bool)
            and 0 <= size <= _MAX_LAYER_BYTES
        ):
            short = "config" if "container.image" in kind else kind.removeprefix(_LAYER_PREFIX)
            return Layer(short.partition(";")[0], digest, size)
    raise RegistryError(f"the manifest of {name!r} has a layer without type, digest or size")


def _is_digest(text: str) -> bool:
    algorithm, _, value = text.partition(":")
    return algorithm == "sha256" and len(value) == 64 and not set(value) - set("0123456789abcdef")

"""The one door to an Ollama server: typed calls, bounded in time, with our own errors.

`installed_models` and `loaded_models` go through the official `ollama` client, which is
imported only after something was seen to accept connections (its import takes a quarter of a
second). It has no call for the version, and its `show` drops the tensor list and the
projector's keys, so those two questions are asked with `assistant.ollama.wire`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from assistant.errors import OllamaError, UnknownModelError
from assistant.ollama import wire
from assistant.ollama.errors import NotOllamaError, RequestRefusedError, ServerUnreachableError
from assistant.ollama.records import InstalledModel, LoadedModel, ShownModel
from assistant.ollama.server_address import ServerAddress, configured_address

if TYPE_CHECKING:
    import ollama

NOT_FOUND = 404


class OllamaClient:
    """Questions to one server; a context manager. Nothing is sent before the first call."""

    def __init__(
        self, address: ServerAddress | None = None, *, timeout_s: float = wire.ANSWER_TIMEOUT_S
    ) -> None:
        """Use `address`, or the one in OLLAMA_HOST; each answer may take `timeout_s`.

        Raises:
            UsageError: OLLAMA_HOST is not an address.
        """
        self.address = address or configured_address()
        self.timeout_s = timeout_s
        self._official: ollama.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._official is not None:
            self._official.close()  # type: ignore[no-untyped-call]
            self._official = None

    def version(self) -> str:
        """Return the server's version, such as `0.33.0`.

        Raises:
            OllamaError: it cannot be reached or is not an Ollama server.
        """
        wire.check_reachable(self.address)
        answer = wire.request_json(self.address, "/api/version", timeout_s=self.timeout_s)
        version = answer.get("version")
        if not isinstance(version, str):
            raise NotOllamaError(self.address, "/api/version names no version")
        return version

    def installed_models(self) -> tuple[InstalledModel, ...]:
        """Return the models on the server's disk, newest first.

        Raises:
            OllamaError: it cannot be reached or does not answer as it should.
        """
        with self._errors():
            listed = self._client().list().models
        return tuple(
            InstalledModel(
                name=model.model or "",
                digest=model.digest,
                size_bytes=_integer(model.size),
                quantization=model.details.quantization_level if model.details else None,
                parameter_size=model.details.parameter_size if model.details else None,
                family=model.details.family if model.details else None,
            )
            for model in listed
        )

    def loaded_models(self) -> tuple[LoadedModel, ...]:
        """Return the models in the server's memory.

        Raises:
            OllamaError: it cannot be reached or does not answer as it should.
        """
        with self._errors():
            listed = self._client().ps().models
        return tuple(
            LoadedModel(
                name=model.name or model.model or "",
                size_bytes=_integer(model.size),
                vram_bytes=_integer(model.size_vram),
                num_ctx=model.context_length,
            )
            for model in listed
        )

    def show(self, name: str) -> ShownModel:
        """Return what the server knows of an installed model.

        Raises:
            UnknownModelError: it is not installed there.
            OllamaError: the server cannot be reached or does not answer as it should.
        """
        wire.check_reachable(self.address)
        try:
            answer = wire.request_json(
                self.address, "/api/show", body={"model": name}, timeout_s=self.timeout_s
            )
        except RequestRefusedError as error:
            if error.status != NOT_FOUND:
                raise
            raise UnknownModelError(
                f"the model {name!r} is not installed on the server at {self.address.url}.",
                hint=f"Install it with: ollama pull {name}",
            ) from error
        return _shown(name, answer, self.address)

    def _client(self) -> ollama.Client:
        if self._official is None:
            wire.check_reachable(self.address)
            import ollama

            self._official = ollama.Client(
                host=self.address.url,
                timeout=self.timeout_s,
                trust_env=False,
                verify=self.address.scheme == "https",
            )
        return self._official

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn whatever the official client raises into `OllamaError`."""
        try:
            yield
        except (OllamaError, KeyboardInterrupt):
            raise
        except ConnectionError as error:
            raise ServerUnreachableError(self.address, "the connection failed") from error
        except Exception as error:
            raise self._mapped(error) from error

    def _mapped(self, error: Exception) -> OllamaError:
        import httpx
        import ollama

        if isinstance(error, httpx.TimeoutException):
            return ServerUnreachableError(self.address, f"no answer within {self.timeout_s:g} s")
        if isinstance(error, httpx.TransportError):
            return ServerUnreachableError(self.address, str(error) or type(error).__name__)
        if isinstance(error, ollama.ResponseError):
            return RequestRefusedError(self.address, error.status_code, error.error)
        if isinstance(error, (ValueError, TypeError, httpx.HTTPError)):
            return NotOllamaError(self.address, f"its answer is not understood ({_kind(error)})")
        raise error


def _shown(name: str, answer: Mapping[str, Any], address: ServerAddress) -> ShownModel:
    metadata = answer.get("model_info")
    if not isinstance(metadata, dict):
        raise NotOllamaError(address, "/api/show carries no model_info")
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}
    projector = answer.get("projector_info")
    return ShownModel(
        name=name,
        metadata=metadata,
        tensors=tuple(_tensors(answer.get("tensors"))),
        projector_metadata=projector if isinstance(projector, dict) else {},
        capabilities=frozenset(c for c in answer.get("capabilities") or () if isinstance(c, str)),
        parameters=_parameters(answer.get("parameters")),
        quantization=details.get("quantization_level") or None,
        parameter_size=details.get("parameter_size") or None,
        template=answer.get("template"),
        licence=answer.get("license"),
    )


def _tensors(listed: object) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for tensor in listed if isinstance(listed, list) else ():
        if isinstance(tensor, dict) and isinstance(tensor.get("name"), str):
            shape = tensor.get("shape") or ()
            yield tensor["name"], str(tensor.get("type")), tuple(int(n) for n in shape)


def _parameters(text: object) -> dict[str, str | tuple[str, ...]]:
    """Return the options in the `parameters` text: a name, spaces, a value on each line."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines() if isinstance(text, str) else ():
        name, _, value = line.strip().partition(" ")
        if name:
            found.setdefault(name, []).append(value.strip())
    return {name: v[0] if len(v) == 1 else tuple(v) for name, v in found.items()}


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, int) else None


def _kind(error: Exception) -> str:
    return type(error).__name__

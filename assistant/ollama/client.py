"""The one door to an Ollama server: typed calls, bounded in time, with our own errors.

Pulling, creating, copying and deleting go through the official `ollama` client, which is
imported only then: its import takes a quarter of a second, longer than the quick questions
(version, what is installed, what is loaded) that `assistant.ollama.wire` asks. `show` is asked
there too, because the official client drops the tensor list and the projector's keys.

The official client raises `ConnectionError` on plain calls and `httpx` errors on streams, has no
time limit of its own, and gives error lines in a stream the status -1; all of that ends here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from assistant.errors import OllamaError, UnknownModelError
from assistant.ollama import wire
from assistant.ollama.chat_errors import chat_error
from assistant.ollama.errors import NotOllamaError, RequestRefusedError, ServerUnreachableError
from assistant.ollama.progress import SUCCESS, PullProgress, advance
from assistant.ollama.pull_errors import (
    CreateRefusedError,
    PullInterruptedError,
    create_error,
    pull_error,
)
from assistant.ollama.records import EmbedReply, InstalledModel, LoadedModel, ShownModel
from assistant.ollama.server_address import ServerAddress, configured_address
from assistant.ollama.show_answer import shown_model

if TYPE_CHECKING:
    import ollama

NOT_FOUND = 404
SILENCE_S: Final = 300.0
"""How long a pull or a creation may say nothing: a registry that died is retried for a minute,
and the digest of a large file is verified in silence."""
LOAD_TIMEOUT_S: Final = 900.0
"""Loading may stall for OLLAMA_LOAD_TIMEOUT (five minutes) and wait for others before."""


class OllamaClient:
    """Questions to one server; a context manager. Nothing is sent before the first call."""

    def __init__(
        self, address: ServerAddress | None = None, *, timeout_s: float | None = None
    ) -> None:
        """Use `address`, or the one in OLLAMA_HOST; each answer may take `timeout_s` (5 s).

        Raises:
            UsageError: OLLAMA_HOST is not an address.
        """
        self.address = address or configured_address()
        self.timeout_s = wire.ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
        self._official: ollama.Client | None = None
        self._patient: ollama.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        for client in (self._official, self._patient):
            if client is not None:
                client.close()  # type: ignore[no-untyped-call]
        self._official = self._patient = None

    def listens(self) -> bool:
        """Return whether anything accepts connections at the address, whatever it answers."""
        try:
            wire.check_reachable(self.address)
        except ServerUnreachableError:
            return False
        return True

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
        return tuple(
            InstalledModel(
                name=str(model.get("model") or model["name"]),
                digest=_text(model.get("digest")),
                size_bytes=_integer(model.get("size")),
                quantization=_text(_details(model).get("quantization_level")),
                parameter_size=_text(_details(model).get("parameter_size")),
                family=_text(_details(model).get("family")),
            )
            for model in self._listed("/api/tags")
        )

    def loaded_models(self) -> tuple[LoadedModel, ...]:
        """Return the models in the server's memory.

        Raises:
            OllamaError: it cannot be reached or does not answer as it should.
        """
        return tuple(
            LoadedModel(
                name=str(model["name"]),
                size_bytes=_integer(model.get("size")),
                vram_bytes=_integer(model.get("size_vram")),
                num_ctx=_integer(model.get("context_length")),
            )
            for model in self._listed("/api/ps")
        )

    def show(self, name: str) -> ShownModel:
        """Return what the server knows of an installed model.

        Raises:
            UnknownModelError: it is not installed there.
            OllamaError: the server cannot be reached or does not answer as it should.
        """
        return shown_model(name, self._show(name), self.address)

    def show_with_arrays(self, name: str) -> ShownModel:
        """Return the same as `show`, with the architecture's values per layer.

        `/api/show` leaves out every array unless asked for more, which brings the tokenizer too
        (megabytes): it is asked only for models whose blocks differ, such as gemma4's.

        Raises:
            UnknownModelError, OllamaError: as `show`.
        """
        answer = self._show(name)
        metadata = answer.get("model_info")
        if isinstance(metadata, dict):
            prefix = f"{metadata.get('general.architecture')}."
            left_out = [k for k, v in metadata.items() if v is None and k.startswith(prefix)]
            more = self._show(name, verbose=True).get("model_info") if left_out else None
            if isinstance(more, dict):
                answer["model_info"] = metadata | {key: more.get(key) for key in left_out}
        return shown_model(name, answer, self.address)

    def _show(self, name: str, *, verbose: bool = False) -> dict[str, Any]:
        wire.check_reachable(self.address)
        body = {"model": name} | ({"verbose": True} if verbose else {})
        try:
            return wire.request_json(self.address, "/api/show", body=body, timeout_s=self.timeout_s)
        except RequestRefusedError as error:
            if error.status != NOT_FOUND:
                raise
            raise UnknownModelError(
                f"the model {name!r} is not installed on the server at {self.address.url}.",
                hint=f"Install it with: ollama pull {name}",
            ) from error

    def pull(self, name: str) -> Iterator[PullProgress]:
        """Pull a model, yielding the progress with every line; the last one `is_done`.

        The server keeps what came when this is left early (a `break`, Ctrl-C) and goes on from
        there the next time. A name that begins with `http://` allows an insecure registry.

        Raises:
            OllamaError: see `assistant.ollama.pull_errors`.
        """
        progress = PullProgress()

        def refused(status: int, said: str) -> OllamaError:
            return pull_error(self.address, name, status, said)

        def broken(why: str) -> OllamaError:
            return PullInterruptedError(
                f"the pull of {name!r} broke off: {why}.",
                hint="What came is kept; run the same command again.",
            )

        with self._errors(refused, broken):
            insecure = name.lower().startswith("http://")
            for line in self._patient_client().pull(name, insecure=insecure, stream=True):
                progress = advance(progress, line.model_dump(exclude_none=True))
                yield progress
            if not progress.is_done:
                raise broken("the server stopped in the middle")

    def create(self, body: Mapping[str, Any]) -> Iterator[str]:
        """Create a model (`assistant.ollama.modelfile.create_request`), yielding each status.

        A name that exists is replaced. The server accepts parameters of a wrong type and fails
        when the model is used: check before.

        Raises:
            OllamaError: see `assistant.ollama.pull_errors`.
        """
        name = str(body.get("model", ""))

        def refused(status: int, said: str) -> OllamaError:
            return create_error(self.address, name, status, said)

        def broken(why: str) -> OllamaError:
            return CreateRefusedError(
                f"the creation of {name!r} broke off: {why}.", hint="Run the same command again."
            )

        fields = {key: value for key, value in body.items() if key not in ("from", "stream")}
        if "from" in body:
            fields["from_"] = body["from"]
        status = ""
        with self._errors(refused, broken):
            for line in self._patient_client().create(**fields, stream=True):
                status = line.status or status
                yield status
            if status != SUCCESS:
                raise broken("the server stopped in the middle")

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; a model of that name is replaced.

        Raises:
            UnknownModelError: there is no `source`.
            OllamaError: the server cannot be reached or refuses.
        """
        with self._errors(self._unknown(source)):
            self._client().copy(source, destination)

    def delete(self, name: str) -> bool:
        """Remove a name and what no other name uses; return False when there was none.

        Raises:
            OllamaError: the server cannot be reached or refuses.
        """
        try:
            with self._errors(self._unknown(name)):
                self._client().delete(name)
        except UnknownModelError:
            return False
        return True

    def load(self, name: str, *, embeds: bool = False, timeout_s: float | None = None) -> float:
        """Load a model as its Modelfile says; return the seconds it took.

        It may take `timeout_s` (`LOAD_TIMEOUT_S`), like `unload` and `embed`.

        Raises:
            OllamaError: it cannot be loaded; see `assistant.ollama.chat_errors`.
        """
        path, body = "/api/generate", {"model": name, "stream": False}
        if embeds:
            path, body = "/api/embed", {"model": name, "input": "load"}
        start = time.monotonic()
        self._post(path, name, body, timeout_s)
        return time.monotonic() - start

    def unload(self, name: str, *, timeout_s: float | None = None) -> None:
        """Take a model out of the server's memory, with every name that shares its file.

        The server expires the runner before it looks at what the model can do (server/routes.go,
        `GenerateHandler`), so that this unloads embedding models too.

        Raises:
            OllamaError: the server cannot be reached or refuses.
        """
        body = {"model": name, "keep_alive": 0, "stream": False}
        self._post("/api/generate", name, body, timeout_s)

    def embed(self, name: str, text: str, *, timeout_s: float | None = None) -> EmbedReply:
        """Return the vector's dimension and the server's counts for one text.

        Raises:
            OllamaError: it cannot be loaded, or cannot embed.
        """
        answer = self._post("/api/embed", name, {"model": name, "input": text}, timeout_s)
        vectors = answer.get("embeddings")
        if not isinstance(vectors, list) or not vectors or not isinstance(vectors[0], list):
            raise NotOllamaError(self.address, "/api/embed does not answer with a vector")
        return EmbedReply(
            dimension=len(vectors[0]),
            prompt_tokens=_integer(answer.get("prompt_eval_count")),
            total_s=wire.seconds(answer.get("total_duration")),
            load_s=wire.seconds(answer.get("load_duration")),
        )

    def _listed(self, path: str) -> list[dict[str, Any]]:
        """Return the models that the server lists at `path`; each has a name."""
        wire.check_reachable(self.address)
        models = wire.request_json(self.address, path, timeout_s=self.timeout_s).get("models")
        if not isinstance(models, list):
            raise NotOllamaError(self.address, f"{path} lists no models")
        return [m for m in models if isinstance(m, dict) and isinstance(m.get("name"), str)]

    def _post(
        self, path: str, model: str, body: dict[str, Any], timeout_s: float | None
    ) -> dict[str, Any]:
        wire.check_reachable(self.address)
        waits_s = LOAD_TIMEOUT_S if timeout_s is None else timeout_s
        try:
            return wire.request_json(self.address, path, body=body, timeout_s=waits_s)
        except RequestRefusedError as error:
            raise chat_error(self.address, model, error.status, error.said) from error

    def _unknown(self, name: str) -> Callable[[int, str], OllamaError | UnknownModelError]:
        def refused(status: int, said: str) -> OllamaError | UnknownModelError:
            if status == NOT_FOUND:
                return UnknownModelError(f"the model {name!r} is not installed on the server.")
            return RequestRefusedError(self.address, status, said)

        return refused

    def _client(self) -> ollama.Client:
        if self._official is None:
            self._official = self._connect(self.timeout_s)
        return self._official

    def _patient_client(self) -> ollama.Client:
        """The client for what takes long: quick to give up connecting, slow to give up reading."""
        if self._patient is None:
            self._patient = self._connect(max(self.timeout_s, SILENCE_S))
        return self._patient

    def _connect(self, timeout_s: float) -> ollama.Client:
        wire.check_reachable(self.address)
        import httpx
        import ollama

        return ollama.Client(
            host=self.address.url,
            timeout=httpx.Timeout(timeout_s, connect=self.timeout_s),
            trust_env=False,
            verify=self.address.scheme == "https",
        )

    @contextmanager
    def _errors(
        self,
        refused: Callable[[int, str], OllamaError | UnknownModelError] | None = None,
        broken: Callable[[str], OllamaError] | None = None,
    ) -> Iterator[None]:
        """Turn whatever the official client raises into `OllamaError`.

        `refused` says which, from the status and the words of an error that the server sent;
        `broken` says which, from the reason why a stream that had begun went no further.
        """
        try:
            yield
        except (OllamaError, UnknownModelError, KeyboardInterrupt, GeneratorExit):
            raise
        except ConnectionError as error:
            raise ServerUnreachableError(self.address, "the connection failed") from error
        except Exception as error:
            import httpx
            import ollama

            if refused is not None and isinstance(error, ollama.ResponseError):
                raise refused(error.status_code, error.error) from error
            never_there = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if broken is not None and _why_broken(error) and not never_there:
                raise broken(_why_broken(error)) from error
            raise self._mapped(error) from error

    def _mapped(self, error: Exception) -> OllamaError:
        import httpx
        import ollama

        if isinstance(error, httpx.TimeoutException):
            return ServerUnreachableError(self.address, f"no answer within {self.timeout_s:g} s")
        if isinstance(error, httpx.TransportError):
            why = str(error).rstrip(".").lower() or _kind(error)
            return ServerUnreachableError(self.address, why)
        if isinstance(error, ollama.ResponseError):
            return RequestRefusedError(self.address, error.status_code, error.error)
        if isinstance(error, (ValueError, TypeError, httpx.HTTPError)):
            return NotOllamaError(self.address, f"its answer is not understood ({_kind(error)})")
        raise error


def _why_broken(error: Exception) -> str:
    """Return why a stream that had begun went no further, in words; nothing for other errors."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"the server said nothing for {SILENCE_S:g} s"
    if isinstance(error, httpx.TransportError):
        return "the connection to the server was lost"
    return "the server sent something that is not JSON" if isinstance(error, ValueError) else ""


def _details(model: Mapping[str, Any]) -> Mapping[str, Any]:
    details = model.get("details")
    return details if isinstance(details, dict) else {}


def _integer(value: object) -> int | None:
    return int(value) if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _kind(error: Exception) -> str:
    return type(error).__name__

"""Where commands look up models: the catalog, the server, the registries, each when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.errors import AssistantError, RegistryError
    from assistant.fit.records import FitEstimate, ModelFacts
    from assistant.models.catalog import Catalog
    from assistant.models.names import ModelName
    from assistant.models.registry import RegistryModel
    from assistant.ollama.records import ShownModel


class Sources:
    """Finds the facts of models. `offline` leaves out registries and servers elsewhere."""

    def __init__(self, *, offline: bool) -> None:
        self._offline = offline
        self._catalog: Catalog | None = None

    @property
    def as_of(self) -> str | None:
        """The date of the catalog, or None when it was not needed."""
        return None if self._catalog is None else self._catalog.as_of

    def facts(self, text: str, quantization: str | None = None) -> ModelFacts:
        """Return the facts of the model that `text` names.

        Raises:
            AssistantError: it is not known, or a file or registry cannot be read.
        """
        from assistant.errors import RegistryError

        if self._offline:
            return self._resolve(text, quantization, registry=None)
        try:
            return self._resolve(text, quantization, registry=_Registry())
        except RegistryError as error:
            raise self._better_told(text, quantization, error) from error

    def _resolve(
        self, text: str, quantization: str | None, *, registry: _Registry | None
    ) -> ModelFacts:
        from assistant.fit.resolve_model import resolve_model

        return resolve_model(
            text,
            catalog=self._load(),
            quantization=quantization,
            registry=registry,
            server=_Server(offline=self._offline),
            offline=self._offline,
        )

    def _better_told(
        self, text: str, quantization: str | None, error: RegistryError
    ) -> AssistantError:
        """Return what the catalog says when it has near names: more likely a typing error."""
        from assistant.errors import UnknownModelError

        try:
            self._load().find(text, quantization)
        except UnknownModelError as unknown:
            if self._load().near_names(text):
                return unknown
            message = f"{text.strip()!r} is not in the catalog; {error.message}"
            return type(error)(message, hint="Check the name, and the network.")
        return error

    def shown_name(self, estimate: FitEstimate) -> str:
        """Return the typed name if the catalog has it, else the one that it was taken to mean."""
        typed = estimate.model.lower()
        if estimate.source != "catalog":
            return estimate.model
        if any(self._load().named(name) for name in (typed, f"{typed}:latest")):
            return typed
        return estimate.resolved.removesuffix(":latest")

    def alternatives(self, facts: ModelFacts) -> tuple[ModelFacts, ...]:
        """Return the same model at the other quantizations of the catalog."""
        from assistant.errors import AssistantError
        from assistant.fit.model_facts import facts_from_card

        if facts.source != "catalog":
            return ()
        catalog = self._load()
        try:
            card, tag = catalog.find(facts.resolved)
        except AssistantError:
            return ()
        levels = {
            other.quantization
            for other in card.tags
            if other.pullable and other.purpose == tag.purpose and other.format == "gguf"
        }
        return tuple(
            facts_from_card(card, catalog.tag_with_level(card, tag, level))
            for level in sorted(level for level in levels if level)
            if level != facts.quantization
        )

    def _load(self) -> Catalog:
        if self._catalog is None:
            from assistant.models.catalog import load_catalog

            self._catalog = load_catalog()
        return self._catalog


class _Registry:
    """A registry reader that is made when a model is first asked for."""

    def read(self, name: ModelName, *, with_header: bool = True) -> RegistryModel:
        from assistant.models.registry import RegistryReader
        from assistant.paths import cache_folder

        return RegistryReader(cache_folder() / "registry").read(name, with_header=with_header)


class _Server:
    """The configured server, asked only about what the catalog does not know."""

    def __init__(self, *, offline: bool) -> None:
        self._offline = offline

    def show(self, name: str) -> ShownModel:
        from assistant.errors import OllamaError
        from assistant.ollama.client import OllamaClient
        from assistant.ollama.server_address import configured_address
        from assistant.ollama.wire import check_reachable

        address = configured_address()
        if self._offline and not address.is_local:
            raise OllamaError(f"{address.url} is not on this computer, and --offline is given.")
        check_reachable(address)
        with OllamaClient(address) as client:
            return client.show_with_arrays(name)

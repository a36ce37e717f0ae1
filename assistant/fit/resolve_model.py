"""From what a person typed to the facts of a model, trying every place it may be known.

The readers (catalog, server, registry) are given: this module opens nothing but the file that
was named.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from assistant.errors import (
    AssistantError,
    FileProblemError,
    ModelNameError,
    OfflineError,
    OllamaError,
    RegistryError,
    UnknownModelError,
    UsageError,
)
from assistant.fit.model_facts import (
    Shown,
    facts_from_card,
    facts_from_header,
    facts_from_parameters,
    facts_from_registry,
    facts_from_show,
)
from assistant.models.names import ModelName, parse_model_name
from assistant.models.quantization import parse_quantization

if TYPE_CHECKING:
    from assistant.fit.records import ModelFacts
    from assistant.models.card import ModelCard, Tag
    from assistant.models.registry import RegistryModel

_SIZE_ONLY = r"(\d+(?:\.\d+)?)\s*([bm])(?:illion)?(?:\s+parameters?)?(?:[\s,@]+(?:at\s+)?(\S+))?"


class CatalogReader(Protocol):
    """Finds a model by name (`assistant.models.catalog.Catalog`)."""

    def find(self, text: str, quantization: str | None = None) -> tuple[ModelCard, Tag]:
        """Return card and tag; UnknownModelError when there are none."""


class ServerReader(Protocol):
    """Asks a server about an installed model (`assistant.ollama.client.OllamaClient`)."""

    def show(self, name: str) -> Shown:
        """Return what the server knows; UnknownModelError or OllamaError otherwise."""


class ModelReader(Protocol):
    """Asks a registry about a model (`assistant.models.registry.RegistryReader`)."""

    def read(self, name: ModelName, *, with_header: bool = True) -> RegistryModel:
        """Return what the registry knows; RegistryError or UnknownModelError otherwise."""


def resolve_model(
    text: str,
    *,
    catalog: CatalogReader,
    quantization: str | None = None,
    registry: ModelReader | None = None,
    server: ServerReader | None = None,
    offline: bool = False,
) -> ModelFacts:
    """Return the facts of the model that `text` names.

    In this order: a path to a file, a bare number of parameters (`13B Q4_K_M`), a
    repository on hf.co when the network may be used, the catalog, the server, the registry.

    Raises:
        UnknownModelError: nobody knows it; the hint offers near names.
        UsageError: it runs in Ollama's cloud or in its MLX engine, or a quantization is asked
            of a file, which has its own.
        OfflineError: only a registry could know it, and `offline` forbids to ask.
        FileProblemError, GgufError: the named file cannot be read, or is no model.
        RegistryError: only the registry could know it, and it does not answer.
    """
    wanted = text.strip()
    if _is_path(wanted):
        if quantization is not None:
            raise UsageError(
                f"{wanted!r} is a file with a quantization of its own; --quant is for names.",
                hint="Leave --quant out, or name the model instead of the file.",
            )
        return _from_path(Path(wanted).expanduser())
    by_size = _from_size(wanted, quantization)
    if by_size is not None:
        return by_size
    name = _name(wanted, quantization)
    if name is not None and name.tag.lower().split("-")[-1] == "cloud":
        raise _in_the_cloud(name, catalog)
    remote = registry if not offline else None
    first: AssistantError | None = None
    if name is not None and name.is_hugging_face and remote is not None:
        try:
            return facts_from_registry(remote.read(name))
        except RegistryError as error:
            first = error
    try:
        return _from_card(*catalog.find(wanted, quantization))
    except UnknownModelError as error:
        unknown = error
    if server is not None:
        try:
            return facts_from_show(server.show(wanted))
        except (UnknownModelError, OllamaError):
            pass
    if name is not None and remote is not None and first is None and _is_remote(name, wanted):
        return facts_from_registry(remote.read(name))
    if offline and name is not None and not name.is_library:
        raise OfflineError(
            f"{name.render()!r} is not in the catalog, and --offline forbids to ask {name.host}.",
            hint="Leave --offline out, or name a model of the catalog such as llama3.1:8b.",
        )
    raise first or unknown


def _is_path(text: str) -> bool:
    """True for what ends like a GGUF file, or is written as a path and not as a name."""
    return text.lower().endswith(".gguf") or text.startswith(("/", "./", "../", "~/", ".\\"))


def _from_card(card: ModelCard, tag: Tag) -> ModelFacts:
    if tag.format != "gguf":
        raise UsageError(
            f"{tag.name} is not a GGUF file but made for Ollama's MLX engine on Apple's GPUs,"
            " which is not estimated.",
            hint=f"The same model as GGUF: {card.name}",
        )
    return facts_from_card(card, tag)


def _in_the_cloud(name: ModelName, catalog: CatalogReader) -> UsageError:
    """Return that a cloud tag needs no memory here, and the tag that would."""
    here = name.with_tag(name.tag[: -len("cloud")].rstrip("-") or "latest")
    hint = "See what fits here: assistant recommend"
    try:
        card, tag = catalog.find(here.render())
    except UnknownModelError:
        pass
    else:
        if tag.in_library:
            hint = f"To run on this computer: {card.name}"
    return UsageError(
        f"{name.render()} runs on Ollama's servers and takes no memory of this computer.",
        hint=hint,
    )


def _from_path(path: Path) -> ModelFacts:
    from assistant.models.gguf import read_header

    if not path.exists():
        raise FileProblemError(
            f"there is no file {str(path)!r}", hint="Check the path, or give a model's name."
        )
    return facts_from_header(read_header(path), name=path.name, path=path)


def _from_size(text: str, quantization: str | None) -> ModelFacts | None:
    match = re.fullmatch(_SIZE_ONLY, text, re.IGNORECASE)
    if match is None:
        return None
    level = parse_quantization(quantization or match[3] or "Q4_K_M")
    if level is None:
        return None
    count = float(match[1]) * (1e9 if match[2].lower() == "b" else 1e6)
    return facts_from_parameters(text, round(count), level)


def _name(text: str, quantization: str | None) -> ModelName | None:
    try:
        name = parse_model_name(text)
    except ModelNameError:
        return None
    if quantization is not None and name.is_hugging_face:
        return name.with_tag(quantization)
    return name


def _is_remote(name: ModelName, text: str) -> bool:
    """True for a name that a registry could know: no spaces, as one would pull it."""
    return bool(name.model) and " " not in text

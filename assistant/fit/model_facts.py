"""Facts about one concrete file, from wherever the model is known.

A GGUF header and a server's answer carry the tensor table, so weights are exact; the catalog
gives the architecture and the file's size, so they are rebuilt; parameters alone give a
typical shape and say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from assistant.fit.records import ModelFacts, WeightBytes
from assistant.fit.typical_shapes import typical_architecture
from assistant.fit.weights import (
    tokenizer_bytes,
    weights_from_architecture,
    weights_from_parameters,
    weights_from_tensors,
)
from assistant.models.architecture import Architecture

if TYPE_CHECKING:
    from pathlib import Path

    from assistant.models.card import ModelCard, Tag
    from assistant.models.gguf import GgufHeader
    from assistant.models.registry import RegistryModel

LIBRARY_HINTS: Final = frozenset({"per_layer_f16"})
"""How Ollama's own files depart from llama-quantize: gemma3n and gemma4 files have the size that
they have with per-layer embeddings in F16 (0.1 % off; 35 to 43 % with any other type)."""

_LISTED_TOLERANCE: Final = 0.03
"""Listed sizes have two digits: a rebuilt file is better unless it is further off than this."""

_CONTEXT_TOLERANCE: Final = 0.05
_USUAL_QUANTIZATION: Final = "Q4_K_M"
_EXPERT_MARK: Final = "_exps."


class Shown(Protocol):
    """A server's answer about an installed model (`assistant.ollama.records.ShownModel`)."""

    @property
    def name(self) -> str:
        """Name on the server."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """GGUF keys and values."""

    @property
    def tensors(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """Name, type and shape of every tensor."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Ollama's words: completion, tools, vision ..."""

    @property
    def quantization(self) -> str | None:
        """File type as the server names it."""

    @property
    def num_ctx(self) -> int | None:
        """Context that the Modelfile sets."""


def facts_from_card(card: ModelCard, tag: Tag) -> ModelFacts:
    """Return the facts of one tag of the catalog.

    Without architecture numbers a typical shape for its parameters stands in, which
    `exact` and `notes` say.

    Raises:
        UnknownModelError: neither architecture nor size nor parameters are known.
    """
    arch = tag.architecture or card.architecture
    quantization = tag.quantization or _USUAL_QUANTIZATION
    notes: list[str] = []
    inline = card.inline_projector_bytes or 0
    separate = tag.projector_bytes or 0
    context = tag.context_length or card.context_length
    if arch is None:
        arch, weights = _typical(card, tag, quantization, notes)
    else:
        arch = _with_context(arch, context)
        weights = _card_weights(card, tag, arch, quantization)
    _note_latent_attention(card, arch, notes)
    if not tag.in_library and tag.pullable is False:
        notes.append(f"Ollama's library has no {tag.name}: this is what such a file would take")
    if "incompatible" in card.cautions:
        notes.extend(card.notes or ("Ollama refuses the library's file of this model",))
    known = card.architecture_confidence != "doubtful" and tag.exactness != "listed"
    return ModelFacts(
        name=tag.name,
        resolved=tag.name,
        source="catalog",
        architecture=arch,
        weights=weights,
        quantization=quantization,
        download_bytes=tag.download_bytes
        or (round(weights.file_bytes + tokenizer_bytes(arch)) + inline + separate),
        parameters_total=card.parameters_total,
        parameters_active=card.parameters_active,
        capabilities=card.capabilities if tag.capabilities is None else tag.capabilities,
        notes=tuple(notes),
        exact=known and tag.in_library and (tag.architecture or card.architecture) is not None,
        file_bytes=tag.model_bytes or round(weights.file_bytes + tokenizer_bytes(arch)) + inline,
        pullable=tag.pullable and "incompatible" not in card.cautions,
    )


def facts_from_header(
    header: GgufHeader, *, name: str, path: Path | None = None, projector_bytes: int = 0
) -> ModelFacts:
    """Return the facts of a GGUF file; exact when the header carries the tensor table.

    Raises:
        GgufError: the file is not a language model, or a key it needs is missing or wrong.
    """
    from assistant.models.architecture_keys import architecture_from_metadata
    from assistant.models.ollama_rewrites import rewrite_header

    notes = list(header.notes)
    counts: tuple[int | None, int | None]
    arch = architecture_from_metadata(header.metadata, header.tensors or None)
    quantization = header.quantization
    if header.tensors:
        _, table = rewrite_header(header.metadata, header.tensors)
        weights = weights_from_tensors(
            table, block_count=arch.block_count, projector_bytes=projector_bytes
        )
        counts = _parameters(table, arch)
        if header.data_missing_bytes:
            notes.append("the file holds the header without its data; the estimate needs no more")
    else:
        weights = weights_from_architecture(
            arch, quantization or "F16", projector_bytes=projector_bytes
        )
        counts = None, None
        taken = "" if quantization else ", as F16, because it names no quantization either"
        notes.append(f"the header has no tensor table, so the weights are rebuilt{taken}")
    return ModelFacts(
        name=name,
        resolved=str(path) if path is not None else name,
        source="file",
        architecture=arch,
        weights=weights,
        quantization=quantization,
        download_bytes=header.file_bytes if header.data_present else None,
        parameters_total=counts[0],
        parameters_active=counts[1],
        capabilities=_capabilities(arch, weights),
        notes=tuple(notes),
        exact=weights.exact,
        file_bytes=header.data_offset + header.data_bytes,
    )


def facts_from_registry(model: RegistryModel) -> ModelFacts:
    """Return the facts of a model in a registry, whose header was read by byte ranges.

    Raises:
        GgufError: it is not a GGUF language model.
    """
    from assistant.errors import GgufError

    if model.header is None:
        raise GgufError(
            f"{model.name!r} is not a GGUF model, so Ollama's llama.cpp cannot run it.",
            hint="Take another tag of the same model.",
        )
    facts = facts_from_header(model.header, name=model.name, projector_bytes=model.projector_bytes)
    return replace(
        facts,
        resolved=model.name,
        source="registry",
        download_bytes=model.download_bytes,
        default_num_ctx=model.num_ctx,
        file_bytes=model.model_bytes,
        notes=(*(note for note in facts.notes if "without its data" not in note), *model.notes),
    )


def facts_from_show(shown: Shown) -> ModelFacts:
    """Return the facts of a model installed on a server, from its `/api/show` answer.

    Raises:
        GgufError: the answer lacks keys or has a tensor type this program does not know.
    """
    from assistant.models.architecture_keys import architecture_from_metadata
    from assistant.models.ollama_rewrites import rewrite_header
    from assistant.models.quantization import parse_quantization

    counts: tuple[int | None, int | None]
    tensors = _shown_tensors(shown)
    arch = architecture_from_metadata(shown.metadata, tensors or None)
    quantization = parse_quantization(shown.quantization or "") or shown.quantization
    if tensors:
        _, table = rewrite_header(shown.metadata, tensors)
        weights = weights_from_tensors(table, block_count=arch.block_count)
        counts = _parameters(table, arch)
    else:
        count = shown.metadata.get("general.parameter_count")
        total = count if isinstance(count, int) else None
        counts = total, None if arch.is_moe else total
        weights = weights_from_architecture(
            arch, quantization or _USUAL_QUANTIZATION, parameters=total
        )
    return ModelFacts(
        name=shown.name,
        resolved=shown.name,
        source="server",
        architecture=arch,
        weights=weights,
        quantization=quantization,
        parameters_total=counts[0],
        parameters_active=counts[1],
        capabilities=shown.capabilities,
        default_num_ctx=shown.num_ctx,
        exact=weights.exact,
        file_bytes=weights.file_bytes + weights.projector_bytes + tokenizer_bytes(arch),
    )


def facts_from_parameters(
    name: str, parameters: int, quantization: str = _USUAL_QUANTIZATION
) -> ModelFacts:
    """Return the facts of a model of which only the parameters are known; never exact."""
    arch = typical_architecture(parameters)
    weights = weights_from_parameters(arch, quantization, parameters=parameters)
    return ModelFacts(
        name=name,
        resolved=name,
        source="parameters",
        architecture=arch,
        weights=weights,
        quantization=quantization,
        download_bytes=weights.file_bytes + tokenizer_bytes(arch),
        parameters_total=parameters,
        parameters_active=parameters,
        notes=("estimated from the number of parameters alone, with a typical shape",),
        exact=False,
        pullable=False,
    )


def _typical(
    card: ModelCard, tag: Tag, quantization: str, notes: list[str]
) -> tuple[Architecture, WeightBytes]:
    """Return a typical shape and weights for a card without architecture numbers."""
    from assistant.errors import UnknownModelError
    from assistant.models.quantization import bits_per_weight

    parameters = card.parameters_total
    size = tag.model_bytes or tag.download_bytes
    if parameters is None and size is not None:
        parameters = round(size * 8 / (bits_per_weight(quantization) or 16.0))
    if parameters is None:
        raise UnknownModelError(
            f"The catalog knows too little of {tag.name!r} to estimate it.",
            hint="With a network its registry can be asked.",
        )
    notes.append("its architecture is not known, so a typical shape of its size stands in")
    arch = typical_architecture(
        parameters,
        embedding=tag.purpose == "embedding",
        context_length=tag.context_length or card.context_length,
    )
    weights = weights_from_architecture(
        arch,
        quantization,
        file_bytes=size,
        parameters=parameters,
        projector_bytes=tag.projector_bytes or 0,
    )
    return arch, weights


def _card_weights(card: ModelCard, tag: Tag, arch: Architecture, quantization: str) -> WeightBytes:
    inline = card.inline_projector_bytes or 0
    separate = tag.projector_bytes or 0

    def rebuilt(file_bytes: int | None, parameters: int | None = None) -> WeightBytes:
        return weights_from_architecture(
            arch,
            quantization,
            file_bytes=file_bytes,
            parameters=parameters,
            projector_bytes=separate,
            inline_projector_bytes=inline,
            hints=card.quantization_hints | LIBRARY_HINTS,
        )

    if tag.model_bytes is not None:
        return rebuilt(tag.model_bytes)
    doubtful = card.architecture_confidence == "doubtful"
    weights = rebuilt(None, card.parameters_total if doubtful and not inline else None)
    if tag.download_bytes is not None:
        listed = tag.download_bytes - separate
        whole = weights.file_bytes + inline + tokenizer_bytes(arch)
        if abs(whole - listed) > _LISTED_TOLERANCE * listed:
            return rebuilt(listed)
    return weights


def _with_context(arch: Architecture, context: int | None) -> Architecture:
    """Return the architecture with the tag's own trained context where that differs."""
    if context is None or arch.context_length == context:
        return arch
    known = arch.context_length
    if known is not None and abs(known - context) <= _CONTEXT_TOLERANCE * known:
        return arch
    return replace(arch, context_length=context)


def _note_latent_attention(card: ModelCard, arch: Architecture, notes: list[str]) -> None:
    if card.mla_keys == "unknown":
        carries = "carries" if arch.key_length_mla else "lacks"
        notes.append(
            "whether the library's file carries the MLA keys is not known; this estimate is for"
            f" a file that {carries} them"
        )


def _shown_tensors(shown: Shown) -> Sequence[Any]:
    from assistant.models.gguf import TensorInfo
    from assistant.models.quantization import TENSOR_TYPES_BY_NAME, tensor_bytes

    return tuple(
        TensorInfo(name, dims, TENSOR_TYPES_BY_NAME[kind.upper()], tensor_bytes(kind, dims))
        for name, kind, dims in shown.tensors
        if kind.upper() in TENSOR_TYPES_BY_NAME
    )


def _parameters(tensors: Sequence[Any], arch: Architecture) -> tuple[int, int]:
    """Return the parameters of the text model, in all and active for one token."""
    total = experts = 0
    for tensor in tensors:
        if tensor.name.startswith(("v.", "mm.", "a.", "s.")):
            continue
        total += tensor.elements
        if _EXPERT_MARK in tensor.name:
            experts += tensor.elements
    if not arch.expert_count:
        return total, total
    return total, total - experts + experts * arch.expert_used_count // arch.expert_count


def _capabilities(arch: Architecture, weights: WeightBytes) -> frozenset[str]:
    found = {"embedding"} if arch.is_embedding else {"completion"}
    if weights.projector_bytes:
        found.add("vision")
    return frozenset(found)

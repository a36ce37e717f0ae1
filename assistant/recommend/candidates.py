"""Which tags of the catalog may serve a role, before anything is estimated.

A candidate is pullable, a GGUF, instruct- or embedding-typed as the role asks, rated by at
least one scale that counts for the role, has the capabilities, licence and languages that are
needed, and carries no caution: base models, uncensored ones, fine-tunes for one domain,
cloud-only names and models that the library or its maintainers call outdated are never
offered unasked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assistant.models.card import ModelCard, Tag
from assistant.recommend.evidence import Quality, role_quality
from assistant.recommend.languages import speaks
from assistant.recommend.quantization_loss import quality_loss
from assistant.recommend.records import Needs
from assistant.recommend.roles import RoleProfile

if TYPE_CHECKING:
    from assistant.models.catalog import Catalog

OFFERED_QUANTIZATIONS: Final = frozenset({"Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "MXFP4"})
"""What is weighed besides the default tag's own type and QAT builds: 16-bit files gain nothing
over Q8_0, and below four bits a smaller model serves better."""
_SPELLED: Final = {"F16": "fp16", "BF16": "bf16"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One tag that may serve a role: its card, its quality and what its type costs."""

    card: ModelCard
    tag: Tag
    quality: Quality
    loss: float

    @property
    def bytes(self) -> int:
        """The size of the download (or of the model's blob), 0 when neither is known."""
        return self.tag.download_bytes or self.tag.model_bytes or 0

    @property
    def active_share(self) -> float:
        """The share of the weights that one token reads: below 1 for mixtures of experts."""
        total, active = self.card.parameters_total, self.card.parameters_active
        return min(1.0, active / total) if total and active else 1.0


def pull_name(card: ModelCard, tag: Tag) -> str:
    """Return the name to type for a tag: the card's own for its default tag."""
    return card.name if tag.name == card.default_tag else tag.name


def _lacks(card: ModelCard, missing: frozenset[str]) -> str:
    """Return what a model lacks; a build of it under another tag may have it."""
    what = " or ".join(sorted(missing))
    having = [tag.name for tag in card.tags if missing <= (tag.capabilities or frozenset())]
    if having:
        return f"only its tag {having[0]} has the {what} capability"
    return f"the library lists no {what} capability for it"


def why_not(card: ModelCard, role: RoleProfile, needs: Needs) -> str | None:
    """Return why a model is no candidate for a role, or None when it is one."""
    if (caution := _caution(card, role)) is not None:
        return caution
    missing = role.requires - card.capabilities
    if missing:
        return _lacks(card, missing)
    if role.name != "embeddings" and "embedding" in card.capabilities:
        return "it is an embedding model"
    if needs.commercial and card.licence.commercial_use != "yes":
        name = card.licence.name or "unknown licence"
        return f"its licence ({name}) does not simply allow commercial use"
    for language in needs.languages:
        support = speaks(card, language)
        if support != "yes":
            known = "does not list" if support == "no" else "is not known to speak"
            return f"it {known} the language {language!r}"
    asked = needs.num_ctx
    if asked is not None and card.context_length is not None and card.context_length < asked:
        return f"it was trained for {card.context_length:,} tokens, not {asked:,}"
    return None


def candidates(catalog: Catalog, role: RoleProfile, needs: Needs) -> tuple[Candidate, ...]:
    """Return every tag that may serve the role."""
    found: list[Candidate] = []
    for card in catalog.cards:
        if card.architecture is None or why_not(card, role, needs) is not None:
            continue
        quality = role_quality(card, role)
        if quality is None:
            continue
        tags = _tags(card, role)
        found.extend(Candidate(card, tag, quality, _loss(card, tag, role)) for tag in tags)
    return tuple(found)


def builds(card: ModelCard) -> tuple[Tag, ...]:
    """Return the pullable GGUF tags of a card that are the default build at other types."""
    default = card.tag(card.default_tag) if card.default_tag else None
    usable = [t for t in card.tags if t.pullable and t.format == "gguf" and t.quantization]
    if default is None:
        return tuple(usable)
    stems = {_stem(name, default.quantization) for name in (default.name, *default.aliases)}
    same = [t for t in usable if t.purpose == default.purpose and t.architecture is None]
    return tuple(
        t for t in same
        if t is default or any(_stem(n, t.quantization) in stems for n in (t.name, *t.aliases))
    )  # fmt: skip


def _tags(card: ModelCard, role: RoleProfile) -> Iterator[Tag]:
    wanted = "embedding" if role.name == "embeddings" else "instruct"
    seen: set[tuple[str | None, bool]] = set()
    tags = sorted(builds(card), key=lambda t: (t.name != card.default_tag, len(t.name)))
    for tag in tags:
        build = (tag.quantization, tag.quantization_aware)
        if tag.purpose != wanted or build in seen or not (tag.download_bytes or tag.model_bytes):
            continue
        if (
            tag.name == card.default_tag
            or tag.quantization_aware
            or tag.quantization in OFFERED_QUANTIZATIONS
        ):
            seen.add(build)
            yield tag


def _loss(card: ModelCard, tag: Tag, role: RoleProfile) -> float:
    return quality_loss(
        tag.quantization,
        role.name,
        parameters=card.parameters_total,
        aware=tag.quantization_aware,
    )


def _caution(card: ModelCard, role: RoleProfile) -> str | None:
    cautions = card.cautions
    if "outdated" in cautions and "insert" not in role.requires and role.name != "embeddings":
        return "it is outdated"
    for word, reason in (
        ("cloud-only", "it runs in the cloud only"),
        ("not-in-library", "it is not in Ollama's library"),
        ("uncensored", "it has its refusals trained away"),
        ("domain", "it is tuned for one domain"),
        ("base", "it is a base model without instruction tuning"),
        ("incompatible", "today's Ollama cannot run it"),
    ):
        if word in cautions:
            return reason
    return None


def _stem(name: str, quantization: str | None) -> str:
    """Return a tag's name without its quantization: `qwen3.5:9b` for `qwen3.5:9b-q8_0`."""
    lowered = name.lower()
    if quantization is None:
        return lowered
    for ending in (quantization.lower(), _SPELLED.get(quantization, "")):
        if ending:
            lowered = lowered.removesuffix(f"-{ending}")
    return lowered.removesuffix("-qat")

"""From a sized model to what a role shall be: the Modelfile's text and what to expect of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from assistant.fit.ps_size import ps_sizes
from assistant.fit.records import FitEstimate, ModelFacts
from assistant.fit.serialize import estimate_to_dict
from assistant.ollama.modelfile import render_modelfile
from assistant.provision.contexts import ContextChoice
from assistant.provision.records import Expectation, RoleTarget, alias_of
from assistant.provision.role_modelfile import role_modelfile
from assistant.provision.together import Sized

if TYPE_CHECKING:
    from assistant.models.card import ModelCard


def role_target(
    sized: Sized, *, model: str, card: ModelCard | None = None, reasons: Sequence[str] = ()
) -> RoleTarget:
    """Return what a role shall be with a model of the size chosen for it.

    `model` is the name to pull; `card` gives family and licence where the catalog knows it.
    """
    facts, choice, role = sized.facts, sized.choice, sized.role.name
    capabilities = facts.capabilities or (card.capabilities if card else frozenset())
    modelfile = role_modelfile(
        role,
        model=model,
        num_ctx=choice.num_ctx,
        why_num_ctx=choice.why,
        family=card.family if card else None,
        thinking="thinking" in capabilities,
        num_gpu=choice.num_gpu,
        why_num_gpu=choice.why_num_gpu,
        licence=card.licence.name if card else None,
    )
    return RoleTarget(
        role=role,
        alias=alias_of(role),
        model=model,
        num_ctx=choice.num_ctx,
        modelfile=render_modelfile(modelfile),
        expected=expectation(choice.estimate, facts),
        quantization=facts.quantization,
        download_bytes=facts.download_bytes,
        stays_loaded=sized.stays_loaded,
        contexts=choice.shorter,
        licence=card.licence.name if card else None,
        licence_note=card.licence.note if card else None,
        commercial_use=card.licence.commercial_use if card else "unknown",
        reasons=tuple(reasons),
        capabilities=tuple(sorted(capabilities)),
        estimate=estimate_to_dict(choice.estimate),
    )


def shorter_target(
    target: RoleTarget, sized: Sized, choice: ContextChoice, *, card: ModelCard | None
) -> RoleTarget:
    """Return the same target with another context; what was tried before is not tried again."""
    shorter = role_target(
        replace(sized, choice=choice), model=target.model, card=card, reasons=target.reasons
    )
    return replace(shorter, contexts=tuple(n for n in target.contexts if n < choice.num_ctx))


def expectation(estimate: FitEstimate, facts: ModelFacts) -> Expectation:
    """Return what `/api/ps` and a reply should say of a model that lands as estimated."""
    sizes = ps_sizes(estimate, facts.architecture)
    decode, prompt = estimate.speed.decode, estimate.speed.prompt
    return Expectation(
        verdict=estimate.placement.verdict,
        num_ctx=estimate.num_ctx,
        size_bytes=sizes.size_bytes,
        vram_bytes=sizes.size_vram_bytes,
        decode_low=decode.low if decode else None,
        decode_expected=decode.expected if decode else None,
        decode_high=decode.high if decode else None,
        prompt_expected=prompt.expected if prompt else None,
    )

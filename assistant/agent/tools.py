"""The tools that answers are made of. Each call is recorded, with plain JSON as its result.

The same tools are called by the answer engine and, through JSON arguments, by a language
model. They only read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assistant.agent.records import ToolCall
from assistant.fit.records import FitEstimate, KvCacheType, RunOptions
from assistant.machine.records import Machine
from assistant.recommend.records import Needs, Recommendation

if TYPE_CHECKING:
    from assistant.knowledge.search import SearchResult
    from assistant.models.card import ModelCard, Tag
    from assistant.models.catalog import Catalog
    from assistant.recommend.records import Comparison, QuantizationChoice

DetectMachine = Callable[[], Machine]


class Toolbox:
    """The tools over one catalog and one way of detecting this computer.

    `run_options` carries what the OLLAMA_ settings fix (parallel, cache type, flash attention) and
    counts for this computer only; `calls` is the record of what was called, in order.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        detect: DetectMachine,
        run_options: RunOptions | None = None,
    ) -> None:
        self.catalog = catalog
        self.calls: list[ToolCall] = []
        self._detect = detect
        self._run_options = run_options or RunOptions()
        self._found: Machine | None = None

    @property
    def this_machine(self) -> Machine:
        """This computer, detected once."""
        if self._found is None:
            self._found = self._detect()
        return self._found

    def detect_hardware(
        self, machine: Machine | None = None, *, words: str | None = None
    ) -> Machine:
        """Return the machine described, or this computer when none is."""
        from assistant.machine.serialize import machine_to_dict

        found = machine or self.this_machine
        self._record("detect_hardware", {"machine": words}, {"machine": machine_to_dict(found)})
        return found

    def estimate_fit(
        self,
        model: str,
        machine: Machine,
        *,
        quantization: str | None = None,
        num_ctx: int | None = None,
        kv_cache_type: KvCacheType | None = None,
        words: str | None = None,
    ) -> FitEstimate:
        """Return how a catalog model fits a machine.

        Raises:
            UnknownModelError: the catalog has no such model.
        """
        from assistant.fit.estimate import estimate_fit
        from assistant.fit.model_facts import facts_from_card
        from assistant.fit.serialize import estimate_to_dict
        from assistant.machine.serialize import machine_to_dict

        card, tag = self.catalog.find(model, quantization)
        options = self._run_options if machine is self._found else RunOptions()
        options = replace(options, num_ctx=num_ctx or options.num_ctx)
        if kv_cache_type is not None:
            options = replace(options, kv_cache_type=kv_cache_type)
        estimate = estimate_fit(
            facts_from_card(card, tag),
            machine,
            options,
            alternatives=[facts_from_card(card, t) for t in _levels_of(card, tag)],
        )
        self._record(
            "estimate_fit",
            {
                "model": model,
                "quantization": quantization,
                "num_ctx": num_ctx,
                "kv_cache_type": kv_cache_type,
                "machine": words,
            },
            {"estimate": estimate_to_dict(estimate), "machine": machine_to_dict(machine)},
        )
        return estimate

    def recommend_models(
        self, machine: Machine, needs: Needs, *, words: str | None = None
    ) -> Recommendation:
        """Return the picks for one role on a machine."""
        from assistant.recommend import recommend
        from assistant.recommend.serialize import recommendation_to_dict

        found = recommend(machine, needs, self.catalog)
        self._record(
            "recommend_models",
            {
                "role": needs.role,
                "machine": words,
                "num_ctx": needs.num_ctx,
                "languages": list(needs.languages),
                "commercial": needs.commercial,
                "prefer": needs.prefer,
                "insert": needs.insert,
            },
            recommendation_to_dict(found),
        )
        return found

    def compare_models(
        self,
        names: Sequence[str],
        machine: Machine | None,
        *,
        quantizations: Sequence[str | None],
        num_ctx: int | None = None,
        role: str = "chat",
        words: str | None = None,
    ) -> Comparison:
        """Return models side by side, in the order asked; with a machine, as they run there.

        Raises:
            UnknownModelError: the catalog lacks one of them.
        """
        from assistant.recommend import compare_models
        from assistant.recommend.serialize import comparison_to_dict

        models = [
            self.catalog.find(name, level) for name, level in zip(names, quantizations, strict=True)
        ]
        found = compare_models(models, machine, num_ctx=num_ctx, role=role)
        self._record(
            "compare_models",
            {
                "models": [tag.name for _, tag in models],
                "num_ctx": num_ctx,
                "role": role,
                "machine": words,
            },
            comparison_to_dict(found),
        )
        return found

    def model_info(self, model: str) -> tuple[ModelCard, Tag]:
        """Return what the catalog knows of a model.

        Raises:
            UnknownModelError: the catalog has no such model.
        """
        card, tag = self.catalog.find(model)
        self._record("model_info", {"model": model}, _card_dict(card, tag))
        return card, tag

    def choose_quantization(
        self, model: str, task: str, machine: Machine, *, num_ctx: int | None, words: str | None
    ) -> QuantizationChoice:
        """Return the quantization of a model to take for a task on a machine.

        Raises:
            UnknownModelError: the catalog has no such model.
        """
        from assistant.recommend import choose_quantization
        from assistant.recommend.serialize import choice_to_dict

        card, _ = self.catalog.find(model)
        choice = choose_quantization(card, task, machine, num_ctx=num_ctx)
        self._record(
            "choose_quantization",
            {"model": model, "task": task, "num_ctx": num_ctx, "machine": words},
            choice_to_dict(choice),
        )
        return choice

    def search_guides(self, query: str, *, limit: int = 4) -> SearchResult:
        """Return the passages of the guides and the person's notes for a query, best first."""
        from assistant.knowledge.search import search_guides

        found = search_guides(query, limit)
        self._record(
            "search_guides",
            {"query": query, "limit": limit},
            {
                "kind": found.kind,
                "embedder": found.embedder,
                "passages": [
                    {
                        "guide": f.passage.guide,
                        "section": f.passage.section,
                        "origin": f.passage.origin,
                        "text": f.passage.text,
                    }
                    for f in found.passages
                ],
            },
        )
        return found

    def _record(self, name: str, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.calls.append(ToolCall(name, arguments, result))


def _levels_of(card: ModelCard, like: Tag) -> list[Tag]:
    """Return the tags of `card` that differ from `like` in quantization alone."""
    return [
        tag
        for tag in card.tags
        if tag.pullable and tag.purpose == like.purpose and tag.quantization
    ]


def _card_dict(card: ModelCard, tag: Tag) -> dict[str, Any]:
    return {
        "model": card.name,
        "tag": tag.name,
        "title": card.title,
        "publisher": card.publisher,
        "quantization": tag.quantization,
        "download_bytes": tag.download_bytes,
        "parameters_total": card.parameters_total,
        "parameters_active": card.parameters_active,
        "context_length": card.context_length,
        "capabilities": sorted(card.capabilities),
        "languages": list(card.languages) if card.languages else None,
        "license": card.licence.name,
        "commercial_use": card.licence.commercial_use,
        "license_note": card.licence.note,
        "release": card.release,
        "notes": list(card.notes),
    }

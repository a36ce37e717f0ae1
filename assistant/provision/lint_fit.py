"""Checks of a Modelfile against the model that it names and the machine it is to run on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from assistant.provision.lint_records import Lines, LintFinding
from assistant.units import gib

if TYPE_CHECKING:
    from assistant.fit.records import FitEstimate, ModelFacts

_EMBEDDING: Final = "embedding"


def fit_findings(
    lines: Lines,
    facts: ModelFacts | None,
    estimate: FitEstimate | None,
    largest_on_gpu: int | None,
) -> Iterator[LintFinding]:
    """Yield what the model's facts and the estimate show; nothing where they are None."""
    embeds = facts is not None and _EMBEDDING in facts.capabilities
    yield from _context(lines, facts, embeds=embeds)
    if embeds:
        yield from _embedding(lines)
    if estimate is not None:
        yield from _memory(lines, estimate, largest_on_gpu)


def _context(lines: Lines, facts: ModelFacts | None, *, embeds: bool) -> Iterator[LintFinding]:
    asked = lines.number("num_ctx")
    if lines.parameter("num_ctx") is None:
        if not embeds and (facts is None or facts.default_num_ctx is None):
            yield LintFinding(
                "warning", None, "num_ctx is not set",
                "the server then takes 4,096 tokens under 24 GiB of GPU memory, longer prompts are "
                "cut silently, and programs that use /v1 cannot ask for more",
                f"PARAMETER num_ctx {_usual(facts)}",
            )  # fmt: skip
        return
    trained = None if facts is None else facts.architecture.context_length
    if asked is not None and trained is not None and asked > trained:
        yield LintFinding(
            "warning", lines.line_of("num_ctx"),
            f"num_ctx {asked} is above the {trained} tokens the model was trained for",
            f"Ollama lowers it to {trained}", f"PARAMETER num_ctx {trained}",
        )  # fmt: skip


def _usual(facts: ModelFacts | None) -> int:
    trained = None if facts is None else facts.architecture.context_length
    return min(8192, trained or 8192)


def _embedding(lines: Lines) -> Iterator[LintFinding]:
    prompts = lines.of("system", "template", "message")
    if prompts:
        yield LintFinding(
            "warning", prompts[0].line,
            f"{prompts[0].command.upper()} has no meaning for an embedding model",
            "its texts are not a conversation and nothing is put before them", "remove the line",
        )  # fmt: skip
    sampled = list(lines.sampling_parameters())
    if sampled:
        names = ", ".join(dict.fromkeys(each.name for each in sampled))
        yield LintFinding(
            "warning", sampled[0].line, f"{names} has no meaning for an embedding model",
            "it generates no text", "remove it",
        )  # fmt: skip


def _memory(
    lines: Lines, estimate: FitEstimate, largest_on_gpu: int | None
) -> Iterator[LintFinding]:
    """Yield whether the model stays on the GPU with what the file sets."""
    verdict, line = estimate.placement.verdict, lines.line_of("num_ctx")
    if lines.number("num_gpu") == 0:
        if largest_on_gpu is not None:
            yield LintFinding(
                "warning", lines.line_of("num_gpu"), "num_gpu 0 keeps the whole model on the CPU",
                f"the GPU would hold it with up to {largest_on_gpu} tokens",
                "remove the line",
            )  # fmt: skip
    elif verdict == "none":
        yield LintFinding(
            "error", line, f"the model does not fit: {gib(estimate.missing_bytes)} are missing",
            "Ollama tries to load it all the same, and fails or swaps",
            "take a smaller model or quantization: assistant recommend",
        )  # fmt: skip
    elif verdict == "partial" or (verdict == "cpu" and largest_on_gpu is not None):
        yield from _spills(lines, estimate, largest_on_gpu)


def _spills(
    lines: Lines, estimate: FitEstimate, largest_on_gpu: int | None
) -> Iterator[LintFinding]:
    placement = estimate.placement
    if (
        lines.number("num_gpu") is not None
        and largest_on_gpu is not None
        and (estimate.num_ctx <= largest_on_gpu)
    ):
        yield LintFinding(
            "warning", lines.line_of("num_gpu"),
            f"num_gpu {placement.gpu_layers} leaves layers on the CPU that the GPU would hold",
            f"all {placement.layers} fit with {estimate.num_ctx} tokens", "remove the line",
        )  # fmt: skip
        return
    where = f"{placement.gpu_layers} of {placement.layers} layers are on the GPU"
    by = f", {gib(estimate.missing_bytes)} too many for all" if estimate.missing_bytes else ""
    fix = "take a smaller quantization or model: assistant recommend"
    if largest_on_gpu is not None and largest_on_gpu < estimate.num_ctx:
        fix = f"PARAMETER num_ctx {largest_on_gpu}"
    elif estimate.remedies:
        fix = estimate.remedies[0]
    yield LintFinding(
        "warning", lines.line_of("num_ctx"),
        f"with {estimate.num_ctx} tokens the model does not stay on the GPU", where + by, fix,
    )  # fmt: skip

"""Answers that compare models, or quantizations of one model; and Modelfiles."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.agent.compose.facts import billions
from assistant.agent.compose.text import (
    assumed,
    bullets,
    gpu_label,
    join_words,
    paragraphs,
    short_speed,
    table,
)
from assistant.fit.records import FitEstimate
from assistant.machine.records import Machine
from assistant.ollama.modelfile import Modelfile, render_modelfile
from assistant.recommend.records import ComparedModel, Comparison
from assistant.units import GB, gib, tokens


def compose_quantization_sizes(
    comparison: Comparison, *, extra_assumptions: Sequence[str] = ()
) -> str:
    """Return the sizes of one model at several quantizations, and the difference."""
    rows = [row for row in comparison.models if row.download_bytes]
    if len(rows) < 2:
        names = join_words([f"`{row.model}`" for row in comparison.models])
        return f"The catalog does not know the sizes of {names}."
    low = min(rows, key=lambda row: row.download_bytes or 0)
    high = max(rows, key=lambda row: row.download_bytes or 0)
    small, large = low.download_bytes or 1, high.download_bytes or 1
    name = low.model.split(":")[0] + (f":{_size(low)}" if _size(low) else "")
    lead = (
        f"`{name}` is {large / GB:.2f} GB at {high.quantization} and {small / GB:.2f} GB at "
        f"{low.quantization}: {(large - small) / GB:.2f} GB ({large / small - 1:.0%}) more."
    )
    body = table(
        ("tag", "quantization", "download", "bits a weight"),
        [
            (
                row.model,
                row.quantization or "-",
                f"{(row.download_bytes or 0) / GB:.2f} GB",
                _bits(row),
            )
            for row in rows
        ],
        right="23",
    )
    return paragraphs(lead, body, assumed(extra_assumptions))


def _size(row: ComparedModel) -> str:
    return row.model.partition(":")[2].split("-")[0]


def _bits(row: ComparedModel) -> str:
    if not row.parameters_total or not row.download_bytes:
        return "-"
    return f"{8 * row.download_bytes / row.parameters_total:.1f}"


def compose_compare(
    comparison: Comparison,
    machine: Machine,
    *,
    extra_assumptions: Sequence[str] = (),
    quality_first: bool = False,
) -> str:
    """Return several models side by side on one machine: what sets them apart, then a table.

    `quality_first` puts the finding on quality, if there is one, before the sizes.
    """
    findings = list(comparison.findings)
    if quality_first:
        findings.sort(key=lambda finding: not finding.startswith("Quality"))
    rows = [
        (
            row.model,
            billions(row.parameters_total) if row.parameters_total else "-",
            f"{row.download_bytes / GB:.1f} GB" if row.download_bytes else "-",
            gib(row.estimate.memory.total_bytes) if row.estimate else "-",
            short_speed(row.estimate.speed.decode) if row.estimate else "-",
            tokens(row.context_length) if row.context_length else "-",
            row.licence or "-",
        )
        for row in comparison.models
    ]
    head = ("model", "size", "download", "memory", "speed", "context", "licence")
    estimates = [row.estimate for row in comparison.models if row.estimate]
    where = f"Memory and speed on {gpu_label(machine)}" if estimates else ""
    if estimates:
        where += f" at {tokens(estimates[0].num_ctx)} tokens of context."
    assumptions = [*extra_assumptions, *machine.assumptions]
    return paragraphs(
        findings[0] if findings else join_words([f"`{r.model}`" for r in comparison.models]) + ".",
        table(head, rows, right="12345"),
        where,
        bullets(findings[1:]) if len(findings) > 1 else None,
        assumed(assumptions),
    )


def compose_modelfile(
    modelfile: Modelfile, estimate: FitEstimate, machine: Machine, *, name: str
) -> str:
    """Return a Modelfile with the command that creates the model, and where it lands."""
    lands = {
        "gpu": "entirely on the GPU",
        "partial": "partly on the GPU and partly on the CPU",
        "cpu": "on the CPU",
        "none": "nowhere: it does not fit",
    }[estimate.placement.verdict]
    return paragraphs(
        f"This Modelfile runs `{estimate.resolved}` with {tokens(estimate.num_ctx)} tokens of "
        f"context, in {gib(estimate.memory.total_bytes)} of memory.",
        f"```\n{render_modelfile(modelfile).strip()}\n```",
        f"Create it with `ollama create {name} -f Modelfile`; it shares the weights of "
        f"`{estimate.resolved}`, so nothing is downloaded twice.",
        f"On {gpu_label(machine)} it lands {lands}.",
        assumed([*machine.assumptions, *estimate.assumptions]),
    )

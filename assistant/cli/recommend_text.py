"""What `assistant recommend` shows: the answer, the table that proves it, the reasons."""

from __future__ import annotations

from typing import Final

from assistant.cli.layout import paragraph, table
from assistant.machine.records import Machine
from assistant.recommend.reasons import download, rate, span
from assistant.recommend.records import (
    Excluded,
    Pick,
    Recommendation,
    RecommendedSet,
    SetMember,
)
from assistant.units import gib, tokens

_SHORT: Final = {
    "smallest useful": "smallest",
    "best quality, partly on the CPU": "partly on CPU",
    "best overall, partly on the CPU": "best, partly CPU",
    "best overall, on the CPU": "best, on the CPU",
}


def render_recommendation(
    found: Recommendation, *, title: str, spec: str | None, width: int
) -> str:
    """Return the text for one role."""
    best = found.picks[0]
    parts = [
        paragraph(_headline(best, found.machine, title), width=width),
        _pick_table(found, width=width),
        _why(found, width=width),
        _licences(list(found.picks), width=width),
        _excluded(found.excluded, width=width),
        _footer(found.machine, found.notes, found.as_of, width=width),
        _next(best, spec, width=width),
    ]
    return "\n\n".join(part for part in parts if part)


def render_set(found: RecommendedSet, *, spec: str | None, width: int) -> str:
    """Return the text for several roles sized together."""
    parts = [
        paragraph(_set_headline(found), width=width),
        _set_table(found, width=width),
        "\n".join(paragraph(note, width=width, hanging="  ") for note in _set_notes(found)),
        _licences([member.pick for member in found.members], width=width),
        _footer(found.machine, (), found.as_of, width=width),
        _set_next(found, spec, width=width),
    ]
    return "\n\n".join(part for part in parts if part)


def _headline(best: Pick, machine: Machine, title: str) -> str:
    where = {
        "gpu": "runs entirely on the GPU",
        "partial": "runs partly on the CPU",
        "cpu": "runs on the CPU",
    }[best.estimate.placement.verdict]
    text = f"{best.model} is the best pick for {title} on {describe(machine)}: it {where}"
    decode = best.estimate.speed.decode
    if decode is not None and best.role != "embeddings":
        text += f" at about {rate(decode.expected)} tokens/s"
    longest = best.estimate.limits.max_num_ctx_on_gpu
    if longest is not None and longest > best.estimate.num_ctx:
        text += f" and leaves room for {tokens(longest)} tokens of context"
    return text + "."


def _set_headline(found: RecommendedSet) -> str:
    names = list(dict.fromkeys(member.pick.model for member in found.members))
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    used = f"{gib(found.together_bytes)} of {gib(found.memory_bytes)}"
    if found.swapped:
        turns = " and ".join(found.swapped)
        verb = "take" if len(found.swapped) > 1 else "takes"
        return f"For {describe(found.machine)}: {listed}; {turns} {verb} turns with the others."
    return f"For {describe(found.machine)}: {listed} fit together, {used}."


def _set_notes(found: RecommendedSet) -> tuple[str, ...]:
    """Return the notes of a set, with the reason when no speed is shown."""
    writing = [m.pick.estimate for m in found.members if m.role != "embeddings"]
    if not writing or any(estimate.speed.decode for estimate in writing):
        return found.notes
    return (*found.notes, f"No speeds: {writing[0].speed.basis}.")


def describe(machine: Machine) -> str:
    """Return a machine in few words: `an RTX 3060 (12.0 GiB)`, `2x RTX 3090`, `the CPU`."""
    usable = machine.usable_accelerators
    if not usable:
        ram = machine.ram.total_bytes
        return f"the CPU ({gib(ram)} of RAM)" if ram else "the CPU"
    first = usable[0]
    if len(usable) == 1 and first.name.endswith("GB"):
        return f"a {first.name}"
    count = f"{len(usable)}x " if len(usable) > 1 else ""
    memory = sum(a.memory_total_bytes or 0 for a in usable)
    return f"{count}{first.name} ({gib(memory)})"


def _pick_table(found: Recommendation, *, width: int) -> str:
    """Return the table of picks; where it would be too wide, the longest context is left out."""
    on_gpu = bool(found.machine.usable_accelerators)
    memory = "VRAM" if on_gpu else "RAM"
    columns = [
        ("", "l", [_SHORT.get(pick.label, pick.label) for pick in found.picks]),
        ("model", "l", [pick.model for pick in found.picks]),
        ("download", "r", [download(pick.estimate.download_bytes) for pick in found.picks]),
        (memory, "r", [gib(_held(pick)) for pick in found.picks]),
        ("longest", "r", [_longest(pick) for pick in found.picks]),
        ("tokens/s", "r", [_speed(pick) for pick in found.picks]),
    ]
    if found.role == "embeddings":
        columns = columns[:-1]
    drawn = _drawn(columns, width)
    if not on_gpu or max(map(len, drawn.splitlines())) > width:
        columns = [column for column in columns if column[0] != "longest"]
        drawn = _drawn(columns, width)
    shown = f"{memory} with {tokens(found.picks[0].estimate.num_ctx)} of context"
    if any(name == "longest" for name, _, _ in columns):
        shown += "; longest: the context that still stays on the GPU"
    return f"{drawn}\n  {shown}."


def _drawn(columns: list[tuple[str, str, list[str]]], width: int) -> str:
    rows = list(zip(*(cells for _, _, cells in columns), strict=True))
    align = "".join(side for _, side, _ in columns)
    return table([name for name, _, _ in columns], rows, align=align, width=width, indent="  ")


def _held(pick: Pick) -> int:
    """Return what a pick takes of the memory in the table's heading."""
    estimate = pick.estimate
    spills = estimate.placement.verdict in ("gpu", "partial")
    return (estimate.gpu if spills else estimate.memory).total_bytes


def _longest(pick: Pick) -> str:
    """Return the longest context here: on the GPU, or what the model was trained for."""
    limits = pick.estimate.limits
    if pick.estimate.placement.verdict == "gpu":
        return tokens(limits.max_num_ctx_on_gpu) if limits.max_num_ctx_on_gpu else "-"
    return "-"


def _speed(pick: Pick) -> str:
    decode = pick.estimate.speed.decode
    return "-" if decode is None else span(decode).replace(" to ", "-")


def _why(found: Recommendation, *, width: int) -> str:
    lines: list[str] = []
    for index, pick in enumerate(found.picks):
        also = [label for label in pick.labels if label != pick.label]
        title = f"{pick.model}, {pick.label}" + (f" and {', '.join(also)}" if also else "") + ":"
        lines.append(paragraph(title, width=width))
        shown = pick.reasons if index == 0 else pick.reasons[:1]
        lines += [paragraph(reason, width=width, indent="  ", hanging="    ") for reason in shown]
    return "\n".join(lines)


def _licences(picks: list[Pick], *, width: int) -> str:
    by_licence: dict[str, list[str]] = {}
    for pick in picks:
        allowed = {
            "yes": "commercial use allowed",
            "no": "no commercial use",
            "conditional": "commercial use under conditions",
            "unknown": "terms unknown",
        }[pick.commercial_use]
        names = by_licence.setdefault(f"{pick.licence or 'unknown'}, {allowed}", [])
        if pick.model not in names:
            names.append(pick.model)
    listed = "; ".join(f"{', '.join(names)} ({terms})" for terms, names in by_licence.items())
    return paragraph(f"Licences: {listed}.", width=width, hanging="  ")


def _excluded(excluded: tuple[Excluded, ...], *, width: int) -> str:
    """Return why others are not picks; those that are only too big share one line."""
    if not excluded:
        return ""
    told = [e for e in excluded if e.missing_bytes is None or e.reason.startswith("It just")]
    big = [f"{e.model} (by {gib(e.missing_bytes)})" for e in excluded if e not in told]  # type: ignore[arg-type]
    lines = [f"{e.model}: {e.reason}" for e in told]
    if big:
        lines.append(f"Too big here: {', '.join(big)}.")
    return "Not picked:\n" + "\n".join(
        paragraph(line, width=width, indent="  ", hanging="    ") for line in lines
    )


def _footer(machine: Machine, notes: tuple[str, ...], as_of: str, *, width: int) -> str:
    lines = [paragraph(note, width=width, hanging="  ") for note in notes]
    if machine.assumptions:
        lines.append(
            paragraph(f"Assumed: {'; '.join(machine.assumptions)}.", width=width, hanging="  ")
        )
    lines.append(paragraph(f"Models as listed on {as_of}; speeds are estimates.", width=width))
    return "\n".join(lines)


def _next(best: Pick, spec: str | None, *, width: int) -> str:
    if spec is None:
        first = f"Next: assistant setup --model {best.role}={best.model}"
        return _side_by_side(first, f"Details: assistant fit {best.model}", width)
    machine = f' --machine "{spec}"'
    details = f"Details: assistant fit {best.model}{machine}"
    return _side_by_side(f"Next: {best.pull}", details, width)


def _set_table(found: RecommendedSet, *, width: int) -> str:
    """Return the table of a set; what is told elsewhere is left out where it would be too wide."""
    memory = "VRAM" if found.on_gpu else "RAM"
    names = ("role", "model", "download", memory, "context", "tokens/s", "")
    rows = [_set_row(member, found.on_gpu) for member in found.members]
    cells = zip(*rows, strict=True)
    columns = [
        (name, side, list(each)) for name, side, each in zip(names, "llrrrrl", cells, strict=True)
    ]
    drawn = _drawn(columns, width)
    for dropped in ("", "context", "download", "tokens/s"):
        if max(map(len, drawn.splitlines())) <= width:
            break
        columns = [column for column in columns if column[0] != dropped]
        drawn = _drawn(columns, width)
    return drawn


def _set_row(member: SetMember, on_gpu: bool) -> list[str]:
    estimate = member.pick.estimate
    used = estimate.gpu if on_gpu and estimate.placement.verdict == "gpu" else estimate.memory
    speed = "-" if member.role == "embeddings" else _speed(member.pick)
    return [
        member.role,
        member.pick.model,
        download(estimate.download_bytes),
        gib(used.total_bytes),
        tokens(estimate.num_ctx),
        speed,
        "" if member.stays_loaded else "swapped",
    ]


def _set_next(found: RecommendedSet, spec: str | None, *, width: int) -> str:
    if spec is None:
        return _side_by_side("Next: assistant setup", "Why: assistant recommend --role chat", width)
    pulls = list(dict.fromkeys(member.pick.model for member in found.members))
    machine = f' --machine "{spec}"'
    commands = [f"ollama pull {name}" for name in pulls]
    first = "Next: " + " && ".join(commands)
    if len(first) > width:
        first = "Next: " + " &&\n      ".join(commands)
    why = f"Why: assistant recommend --role chat{machine}"
    return _side_by_side(first, why, width)


def _side_by_side(left: str, right: str, width: int) -> str:
    if len(left) + 6 + len(right) <= width:
        return f"{left}      {right}"
    return f"{left}\n{right}"

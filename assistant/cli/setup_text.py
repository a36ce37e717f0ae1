"""What `assistant setup` shows: this machine, the plan, the end, and how others use the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from assistant.cli.layout import paragraph, table
from assistant.provision.wording import listed
from assistant.units import GB, KB, MB, gb, gib, tokens

if TYPE_CHECKING:
    from assistant.machine.records import Machine
    from assistant.ollama.server_address import ServerAddress
    from assistant.provision.records import Plan, RoleTarget

_MINUTE: Final = 60
_HOUR: Final = 3600


def machine_line(
    machine: Machine, version: str | None, *, width: int, elsewhere: bool = False
) -> str:
    """Return the computer and its server in a line: what the plan is made for.

    `version` is None where no server answers, empty where none was asked. `elsewhere` says that
    it is another computer than this one.
    """
    ram = machine.ram.total_bytes
    parts = [machine.cpu.name or "", f"{gib(ram)} RAM" if ram else ""]
    for gpu in machine.usable_accelerators:
        total, free = gpu.memory_total_bytes or 0, gpu.memory_free_bytes
        left = "" if free is None else f" ({gib(free)} free)"
        parts.append(f"{gpu.name} {gib(total)}{left}")
    if not machine.usable_accelerators:
        parts.append("no GPU that Ollama uses")
    if version != "":
        parts.append(f"Ollama {version}" if version else "no Ollama server")
    if machine.disk.free_bytes is not None:
        parts.append(f"{gb(machine.disk.free_bytes)} free on disk")
    longest = width - len("  ") - len(" ·")
    held = [p.replace(" ", "\u00a0") if len(p) <= longest else p for p in parts if p]
    label = "That machine" if elsewhere else "This machine"
    return paragraph(f"{label}: " + " · ".join(held), width=width, hanging="  ")


def render_plan(plan: Plan, *, width: int) -> str:
    """Return the plan: a table of the roles, what is downloaded, what needs attention."""
    parts = [
        _targets_table(plan, width=width),
        _sentences(_what_happens(plan), width=width),
        _sentences([*plan.notes, *_licences(plan.targets)], width=width),
    ]
    if plan.assumptions:
        parts.append(
            paragraph(f"Assumed: {'; '.join(plan.assumptions)}.", width=width, hanging="  ")
        )
    return "\n\n".join(part for part in parts if part)


def render_done(
    targets: Sequence[RoleTarget],
    measured: dict[str, str],
    *,
    address: ServerAddress,
    notes: Sequence[str],
    seconds: float,
    width: int,
) -> str:
    """Return the end of a setup: what was made, how it runs, and how to use and undo it."""
    rows = [(target.role, target.alias, measured.get(target.role, "")) for target in targets]
    parts = [
        _table(("role", "name", "verified"), rows, width=width),
        _sentences(notes, width=width),
        render_clients(targets, address=address, width=width),
    ]
    if targets:
        last = [f"Done in {duration(seconds)}. Undo: assistant rollback {targets[0].role}"]
        talker = next((t.alias for t in targets if t.role != "embeddings"), None)
        last += [f"Try it: ollama run {talker}"] if talker else []
        parts.append(_sentences(last, width=width))
    return "\n\n".join(part for part in parts if part)


def render_clients(targets: Sequence[RoleTarget], *, address: ServerAddress, width: int) -> str:
    """Return how other programs use the models, whose context /v1 clients cannot set."""
    names = {target.role: target.alias for target in targets}
    chat = names.get("chat") or names.get("code") or next(iter(names.values()), "")
    lines = [
        ("OpenAI API", f"base URL {address.url}/v1, any key, model {chat}"),
        ("Ollama API", f"{address.url}, model {chat}"),
    ]
    if "code" in names:
        lines += [
            ("aider", f"aider --model ollama_chat/{names['code']}"),
            ("Continue", f"config.yaml: provider: ollama, model: {names['code']}"),
        ]
    if "embeddings" in names:
        lines.append(("embeddings", f"{address.url}/v1/embeddings, model {names['embeddings']}"))
    lines.append(("more tools", "assistant guides show integrations"))
    return "Other programs:\n" + _table((), lines, width=width)


def render_in_place(targets: Sequence[RoleTarget], *, width: int) -> str:
    """Return that nothing is left to do, and what serves each role."""
    rows = [(t.role, t.alias, f"{t.model} with {tokens(t.num_ctx)} of context") for t in targets]
    return "Everything is as planned.\n\n" + _table((), rows, width=width)


def duration(seconds: float) -> str:
    """Return a time as people say it: `8 s`, `9 min 12 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        minutes, rest = divmod(whole, _MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / _MINUTE), _MINUTE)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def rate(bytes_per_s: float) -> str:
    """Return a download speed: `24 MB/s`, `1.2 GB/s`, `0.4 MB/s`, `60 kB/s`."""
    if bytes_per_s >= GB:
        return f"{bytes_per_s / GB:.1f} GB/s"
    if bytes_per_s >= MB / 10:
        megabytes = bytes_per_s / MB
        return f"{megabytes:.0f} MB/s" if megabytes >= 10 else f"{megabytes:.1f} MB/s"
    return f"{bytes_per_s / KB:.0f} kB/s" if bytes_per_s >= KB else f"{bytes_per_s:.0f} B/s"


def _targets_table(plan: Plan, *, width: int) -> str:
    pending = {step.model for step in plan.steps if step.kind == "pull" and step.state != "done"}
    rows: list[tuple[str, ...]] = []
    listed: list[tuple[str, ...]] = []
    for target in plan.targets:
        size = gb(target.download_bytes) if target.download_bytes else "unknown"
        is_pending = target.model in pending
        pending.discard(target.model)  # the next role with it has nothing to download
        memory, why = _memory(target), _why(target, told=plan.on_gpu)
        swaps = "" if target.stays_loaded else "swaps"
        download = size if is_pending else "-"
        rows.append((target.role, target.model, download, memory, swaps, why))
        to_load = f"{size} to download" if is_pending else ""
        listed.append((target.role, target.model, to_load, memory, swaps, why))
    headers: tuple[str, ...] = ("role", "model", "download", "memory", "", "why")
    if all(target.stays_loaded for target in plan.targets):
        rows = [(*row[:4], row[5]) for row in rows]
        headers = (*headers[:4], headers[5])
    return _table(headers, rows, align="llr", width=width, listed=listed)


def _table(
    headers: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    *,
    width: int,
    align: str = "",
    listed: Sequence[tuple[str, ...]] | None = None,
) -> str:
    """Return a table, or where it would be too wide each row (of `listed`) as a paragraph."""
    drawn = table(headers, rows, align=align, width=width)
    if not drawn or max(map(len, drawn.splitlines())) <= width:
        return drawn
    return "\n".join(
        paragraph(
            f"{first}: {', '.join(cell for cell in rest if cell)}",
            width=width,
            indent="  ",
            hanging="    ",
        )
        for first, *rest in (listed or rows)
    )


def _memory(target: RoleTarget) -> str:
    memory: dict[str, Any] = dict(target.estimate.get("memory") or {})
    on_gpu = target.expected.verdict == "gpu"
    side = memory.get("gpu") if on_gpu else memory
    total = (side or {}).get("total_bytes")
    at = f"at {tokens(target.num_ctx)}"
    return f"{gib(total)} {at}" if isinstance(total, int) else at


def _why(target: RoleTarget, *, told: bool) -> str:
    """Return the reason in few words; `told` where a place on the CPU is worth a word."""
    if not target.reasons:
        return "set up before"
    where = {"partial": "; partly on the CPU", "cpu": "; on the CPU"}
    short = target.reasons[0].partition(":")[0].partition(" for ")[0].rstrip(".")
    if target.expected.verdict == "none":
        return f"{short}; more than the memory holds"
    return short + (where.get(target.expected.verdict, "") if told else "")


def _what_happens(plan: Plan) -> list[str]:
    sentences = []
    left = max(0, plan.download_bytes - plan.kept_bytes)
    if plan.download_bytes:
        kept = f" ({gb(plan.kept_bytes)} of it is here already)" if plan.kept_bytes else ""
        time = ""
        if plan.bytes_per_s:
            time = (
                f", about {duration(left / plan.bytes_per_s)} at the {rate(plan.bytes_per_s)} "
                f"{plan.bytes_per_s_from}"
            )
        sentences.append(f"Downloads {gb(plan.download_bytes)}{kept}{time}.")
    pending = (s for s in plan.steps if s.kind == "pull" and s.state != "done")
    unknown = [step.model for step in pending if not step.bytes]
    if unknown:
        sentences.append(f"Downloads {listed(unknown)}, whose size is not known.")
    made = [t.alias for t in plan.targets if _is_pending(plan, t.role)]
    if made:
        each = "each " if len(made) > 1 else ""
        sentences.append(f"Creates {listed(made)}, {each}verified by running it.")
    all_stay = all(target.stays_loaded for target in plan.targets)
    if plan.together_bytes and plan.memory_bytes and all_stay:
        where = "the GPU" if plan.on_gpu else "RAM"
        several = len({target.model for target in plan.targets}) > 1
        how = "Side by side in memory" if several else "In memory"
        sentences.append(
            f"{how}: {gib(plan.together_bytes)} of {gib(plan.memory_bytes)} of {where}."
        )
    sentences.append("Nothing is removed.")
    speeds = _speeds(plan.targets)
    return [*sentences, speeds] if speeds else sentences


def _speeds(targets: Sequence[RoleTarget]) -> str:
    """Return how fast the models are expected to write; "" where none of them writes."""
    writing = {t.model: t.expected for t in targets if t.role != "embeddings"}
    known = [
        f"{model} {_span(e.decode_low, e.decode_high)} tokens/s"
        for model, e in writing.items()
        if e.decode_low is not None and e.decode_high is not None
    ]
    if known:
        return f"Expected speed: {', '.join(known)}."
    if not writing:
        return ""
    return "How fast they write is not known for this machine: assistant hardware --measure."


def _span(low: float, high: float) -> str:
    digits = 1 if low < 10 else 0
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _is_pending(plan: Plan, role: str) -> bool:
    return any(s.role == role and s.kind == "create" and s.state != "done" for s in plan.steps)


def _licences(targets: Sequence[RoleTarget]) -> list[str]:
    """Return the licences that need attention: not simply free for any use.

    What was set up before (it has no reasons) was told then.
    """
    said = {}
    for target in targets:
        if target.commercial_use == "yes" or not target.reasons:
            continue
        terms = {
            "no": "no commercial use",
            "conditional": "commercial use under conditions",
        }.get(target.commercial_use, "terms unknown to this program; read them")
        note = f" ({target.licence_note.rstrip('.')})" if target.licence_note else ""
        said[target.model] = (
            f"Licence of {target.model}: {target.licence or 'unknown'}, {terms}{note}."
        )
    return list(said.values())


def _sentences(sentences: Sequence[str], *, width: int) -> str:
    return "\n".join(paragraph(each, width=width, hanging="  ") for each in sentences)

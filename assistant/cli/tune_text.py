"""What `assistant tune` shows: the answer, the table that proves it, and what to type next.

Pure: records in, text out. The setting of the server that a cache type needs is written out as
it is typed on each system, since no Modelfile can hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from assistant.cli.fit_text import gpu_memory_bytes, ram_bytes, reserved_bytes, tokens_per_second
from assistant.cli.layout import (
    Column,
    fitted_table,
    fitting,
    paragraph,
    side_by_side,
    unbroken,
)
from assistant.fit.records import FitEstimate
from assistant.machine.records import Machine
from assistant.provision.tune_records import GridCell, TuneRow, TuneTable
from assistant.units import gb, gib, tokens

if TYPE_CHECKING:
    from assistant.provision.records import LedgerEntry
    from assistant.provision.tune_apply import Applied, Attempt

Style = Callable[..., str]

SPILLS: Final = "x"
_VARIABLE: Final = "OLLAMA_KV_CACHE_TYPE"


def plain(text: str, **_styles: object) -> str:
    """Return the text as it is: the style of pipes."""
    return text


def render_table(
    found: TuneTable,
    machine: Machine,
    *,
    installed: Sequence[str] | None = None,
    machine_spec: str | None = None,
    assumptions: Sequence[str] = (),
    width: int = 80,
    style: Style = plain,
) -> str:
    """Return the whole answer of `assistant tune MODEL`.

    `installed` are the models on the server, None when nobody answered; `machine_spec` is what
    was given as --machine.
    """
    good = found.best is not None
    answer = paragraph(headline(found, machine), width=width)
    blocks = [
        style(answer, fg="green" if good else "yellow"),
        _by_quantization(found, width),
        _by_context(found, machine, width),
        paragraph(_costs(found, width), width=width),
    ]
    asked_for = _needed_type(found)
    if asked_for is not None:
        blocks.append(_setting_block(asked_for, machine.os, width))
    if assumptions:
        text = "; ".join(each.rstrip(".") for each in assumptions)
        blocks.append(paragraph(f"Assumed: {text}.", width=width))
    blocks.append(
        "\n".join(
            paragraph(unbroken(line), width=width) for line in _next(found, installed, machine_spec)
        )
    )
    return "\n\n".join(block for block in blocks if block)


def headline(found: TuneTable, machine: Machine) -> str:
    """Return the answer: how long a context stays on the GPU with which cache, or that none does.

    For a context that was asked for also whether it stays, and what it would take.
    """
    where = place(machine, on_gpu=found.on_gpu)
    rows = [found.row(found.quantization, kind) for kind in found.cache_types]
    lasting = [row for row in rows if row.longest_num_ctx is not None]
    subject = found.model if found.quantization is None else f"{found.model} ({found.quantization})"
    if not lasting:
        lacking = min((cell.missing_bytes for cell in found.grid), default=0)
        least = _unbroken(f"{gib(lacking)} at least")
        text = f"No context of {subject} stays {where}{f'; it lacks {least}' if lacking else ''}."
    elif lasting[0].longest_num_ctx == found.trained_num_ctx == lasting[-1].longest_num_ctx:
        cache = f" with {a_cache(lasting[0].kv_cache_type)}" if len(rows) > 1 else ""
        text = (
            f"{subject} keeps all {_tokens(found.trained_num_ctx)} that it was trained for "
            f"{where}{cache}."
        )
    else:
        first, *others = lasting
        said = [f"{_up_to(first)} {where} with {a_cache(first.kv_cache_type)}"]
        said += [f"{_up_to(row)} with {row.kv_cache_type}" for row in others[:1]]
        text = f"{subject} keeps up to {', '.join(said)}."
    return " ".join(part for part in (text, _about_asked(found)) if part)


def place(machine: Machine, *, on_gpu: bool) -> str:
    """Return where a model is to stay: `on the RTX 3060`, `on the 2 GPUs`, `in RAM`."""
    gpus = machine.usable_accelerators
    if not on_gpu or not gpus:
        return "in RAM"
    if len(gpus) > 1:
        return f"on the {len(gpus)}\u00a0GPUs"
    return f"on the {gpus[0].name}".replace(" ", "\u00a0")


def setting_instructions(kind: str, system: str | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return how the server is given a cache type, as (where, what to type).

    `system` is the name of the operating system; without one all are given.
    """
    everywhere = {
        "Linux": (
            (
                "Linux, as a service",
                (
                    "sudo systemctl edit ollama.service",
                    f'  [Service]\n  Environment="{_VARIABLE}={kind}"',
                    "sudo systemctl daemon-reload && sudo systemctl restart ollama",
                ),
            ),
            ("started by hand", (f"{_VARIABLE}={kind} ollama serve",)),
        ),
        "macOS": (
            (
                "macOS, the application",
                (f"launchctl setenv {_VARIABLE} {kind}", "then restart Ollama from its menu"),
            ),
        ),
        "Windows": (
            (
                "Windows",
                (f"setx {_VARIABLE} {kind}", "then quit Ollama in the task bar and start it again"),
            ),
        ),
    }
    if system is None:
        return tuple(way for ways in everywhere.values() for way in ways)
    known = next((name for name in ("macOS", "Windows") if system.startswith(name)), "Linux")
    by_hand = () if known in ("Linux", "Windows") else everywhere["Linux"][1:]
    return everywhere[known] + by_hand


def fit_sentence(estimate: FitEstimate, machine: Machine) -> str:
    """Return what an estimate takes, in a clause: `10.2 of 11.3 GiB on the GPU, 18 to 34 ...`."""
    verdict = estimate.placement.verdict
    if verdict == "gpu":
        said = [f"{_of(estimate.gpu.total_bytes, gpu_memory_bytes(estimate, machine))} on the GPU"]
    elif verdict == "cpu":
        said = [f"{_of(estimate.memory.total_bytes, ram_bytes(machine))} of RAM"]
    elif verdict == "partial":
        layers = f"{estimate.placement.gpu_layers} of {estimate.placement.layers} layers"
        said = [f"{layers} on the GPU, {gib(estimate.missing_bytes)} too many for all"]
    else:
        said = [f"{gib(estimate.missing_bytes)} more than there is"]
    if estimate.speed.decode is not None:
        said.append(f"{tokens_per_second(estimate.speed.decode)} tokens/s expected")
    return ", ".join(each.replace(" ", "\u00a0") for each in said)


def render_applied(done: Applied, *, width: int = 80) -> str:
    """Return what was made, what was measured, and how to use and undo it."""
    entry = done.entry
    lines = [paragraph(attempt_sentence(each), width=width, hanging="  ") for each in done.attempts]
    if not done.changed:
        lines.append(paragraph(f"{entry.alias} is as it should be; nothing was done.", width=width))
    lines.append(paragraph(_verified(entry), width=width, hanging="  "))
    lines.append(paragraph(f"Its Modelfile: {done.modelfile_file}", width=width))
    use, undo = f"Use it: ollama run {entry.alias}", f"Undo: assistant models remove {entry.alias}"
    lines.append(side_by_side(use, undo, width=width))
    return "\n".join(lines)


def attempt_sentence(attempt: Attempt) -> str:
    """Return how one context was tried in vain."""
    return f"{attempt.num_ctx:,} tokens: {attempt.why}; tried a shorter context."


def _verified(entry: LedgerEntry) -> str:
    measured, expected = entry.measured, entry.expected
    if measured is None:
        return f"{entry.alias} was not measured."
    share = measured.gpu_share
    said = []
    if share is not None:
        said.append("100 % CPU" if share == 0 else f"{share:.0%} GPU".replace("%", " %"))
    said.append(f"{measured.num_ctx or entry.num_ctx:,} tokens")
    if measured.decode_tokens_per_s is not None:
        speed = f"{measured.decode_tokens_per_s:.3g} tokens/s"
        if expected is not None and expected.decode_low and expected.decode_high:
            speed += f" (expected {expected.decode_low:.2g} to {expected.decode_high:.2g})"
        said.append(speed)
    if measured.load_s is not None:
        said.append(f"loads in {measured.load_s:.1f} s")
    shown = ", ".join(each.replace(" ", "\u00a0") for each in said)
    return f"{entry.alias} verified on {measured.at[:10]}: {shown}."


def _about_asked(found: TuneTable) -> str:
    """Return whether the context that was asked for stays, and what it would take."""
    if not found.is_asked:
        return ""
    asked, named, best = _tokens(found.num_ctx), found.named, found.best
    if found.is_lowered:
        lowered = f"{found.model} was trained for {asked}, so num_ctx is lowered to that."
        rest = _about_asked(replace(found, asked_num_ctx=None))
        return f"{lowered} {rest}"
    cache = "" if found.wanted_type == "f16" else f" with a {found.wanted_type} cache"
    if named.stays:
        return f"{asked} stay{cache}."
    if best is None or found.best_num_ctx != found.num_ctx:
        shorter = "" if found.best_num_ctx is None else f"; {_tokens(found.best_num_ctx)} do"
        return f"{asked} do not stay{cache}{shorter}."
    if best.quantization == found.quantization:
        return f"{asked} need a {best.kv_cache_type} cache."
    cache = "" if best.kv_cache_type == "f16" else f" with a {best.kv_cache_type} cache"
    return f"{asked} need {best.quantization}{cache}."


def _by_quantization(found: TuneTable, width: int) -> str:
    columns = _quantizations(found)
    shown = {column.header for column in fitting(columns, width=width)}
    more = " and ".join(
        word for word, header in (("memory", "memory"), ("speed", "tokens/s")) if header in shown
    )
    at = f"; {more} with {tokens(found.num_ctx)} of {found.wanted_type} cache" if more else ""
    where = "on the GPU" if found.on_gpu else "in RAM"
    title = f"The longest context that stays {where}, by weights and KV cache{at}:"
    drawn = fitted_table(columns, width=width, named=1)
    return f"{paragraph(title, width=width)}\n{drawn}"


def _quantizations(found: TuneTable) -> tuple[Column, ...]:
    levels = tuple(dict.fromkeys(row.quantization for row in found.rows))
    rows = [found.row(level, found.wanted_type) for level in levels]
    download = ["-" if row.download_bytes is None else gb(row.download_bytes) for row in rows]
    return (
        Column("", ["*" if level == found.quantization else "" for level in levels]),
        Column("weights", [level or "-" for level in levels]),
        Column("download", download, "r", drop=1),
        Column("perplexity", [_perplexity(row) for row in rows], "r", drop=2),
        *(
            Column(kind, [_longest(found.row(level, kind)) for level in levels], "r", word=kind)
            for kind in found.cache_types
        ),
        Column("memory", [_memory(row) for row in rows], "r", drop=4),
        Column("tokens/s", [_decode(row) for row in rows], "r", drop=3),
    )


def _perplexity(row: TuneRow) -> str:
    return "-" if row.perplexity_increase is None else f"+{row.perplexity_increase:.3g} %"


def _decode(row: TuneRow) -> str:
    decode = row.estimate.speed.decode if row.loads else None
    return "-" if decode is None else tokens_per_second(decode)


def _by_context(found: TuneTable, machine: Machine, width: int) -> str:
    kinds = found.cache_types
    contexts = tuple(dict.fromkeys(cell.num_ctx for cell in found.grid))
    cells = {(cell.num_ctx, cell.kv_cache_type): cell for cell in found.grid}
    columns = [
        Column("context", [tokens(num_ctx) for num_ctx in contexts], "r"),
        *(
            Column(kind, [_cell(cells[num_ctx, kind]) for num_ctx in contexts], "r", word=kind)
            for kind in kinds
        ),
    ]
    where = "on the GPU" if found.on_gpu else "in RAM"
    level = found.quantization or found.model
    title = paragraph(
        f"{level} in GiB, by context and KV cache ({SPILLS} does not stay {where}); "
        f"{_room(found, machine)}:",
        width=width,
    )
    return f"{title}\n{fitted_table(columns, width=width)}"


def _room(found: TuneTable, machine: Machine) -> str:
    """Return the memory that there is, and what of it Ollama keeps free."""
    estimate = found.named.estimate
    if not found.on_gpu:
        there = ram_bytes(machine)
        return "the RAM is not known" if there is None else _unbroken(f"there are {gib(there)}")
    there = gpu_memory_bytes(estimate, machine)
    if there is None:
        return "the GPU memory is not known"
    kept = reserved_bytes(estimate, machine)
    said = f"there are {gib(there)}", "of which Ollama", f"keeps {gib(kept)} free"
    return f"{_unbroken(said[0])}, {said[1]} {_unbroken(said[2])}"


def _costs(found: TuneTable, width: int) -> str:
    costly = [found.row(found.quantization, kind) for kind in found.cache_types if kind != "f16"]
    said = "; ".join(f"{row.kv_cache_type} {row.cache_costs}" for row in costly)
    perplexity = "Perplexity is against 16-bit weights, measured on Llama 3 8B (llama.cpp). "
    shown = {column.header for column in fitting(_quantizations(found), width=width)}
    if "perplexity" not in shown or all(row.perplexity_increase is None for row in found.rows):
        perplexity = ""
    if not said:
        return f"{perplexity}A model of this kind keeps no KV cache."
    return (
        f"{perplexity}What a cache costs: {said}. Its type is a setting of the server, for all "
        f"its models; this one uses {found.server_type}."
    )


def _needed_type(found: TuneTable) -> str | None:
    """Return the cache type that the server must be given, or None when it has it."""
    if found.wanted_type != found.server_type:
        return found.wanted_type
    best = found.best
    if best is not None and found.is_asked and best.kv_cache_type != found.server_type:
        return best.kv_cache_type
    return None


def _setting_block(kind: str, system: str | None, width: int) -> str:
    quantized = kind not in ("f16", "f32", "bf16")
    flash = " Flash attention has to be on, as it is by default." if quantized else ""
    lines = [
        paragraph(
            f"To give the server a {kind} cache, set {_VARIABLE} where it starts.{flash}",
            width=width,
        )
    ]
    for where, steps in setting_instructions(kind, system):
        lines.append(f"  {where}:")
        lines += [_step(line, width) for step in steps for line in step.split("\n")]
    return "\n".join(lines)


def _step(line: str, width: int) -> str:
    """Return a line to be typed, indented as far as it then still fits, or its longest word."""
    typed = line.strip()
    wished = 4 + len(line) - len(line.lstrip())
    longest = len(typed) if len(typed) <= width else max(map(len, typed.split()))
    return paragraph(
        unbroken(typed), width=width, indent=" " * max(0, min(wished, width - longest))
    )


def _next(found: TuneTable, installed: Sequence[str] | None, spec: str | None) -> tuple[str, ...]:
    """Return what to type next: only what is installed can be tuned, the rest is pulled first."""
    best = found.best
    there = ", on that machine" if spec is not None else ""
    if best is None:
        machine = f' --machine "{spec}"' if spec else ""
        return (f"Next: assistant recommend{machine}",)
    source = best.estimate.source
    is_other = best.quantization != found.quantization
    is_here = not is_other and (source == "server" or _is_there(found, installed))
    if not is_here and (source in ("file", "parameters") or not best.estimate.pullable):
        return ()
    kind = _needed_type(found)
    cache = "" if kind is None else f" --kv-cache-type {kind}"
    model = best.model if is_other else found.model
    apply = f"assistant tune {model} --num-ctx {found.best_num_ctx}{cache} --apply"
    if is_here:
        return (f"Next{there}: {apply}",)
    return (f"Next{there}: ollama pull {model}", f"Then: {apply}")


def _is_there(found: TuneTable, installed: Sequence[str] | None) -> bool:
    return any(is_installed(name, installed or ()) for name in (found.model, found.named.model))


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")


def is_installed(model: str, installed: Sequence[str]) -> bool:
    """True when a model is among those of the server, `:latest` or not, in any case."""
    names = {name.lower().removesuffix(":latest") for name in installed}
    return model.lower().removesuffix(":latest") in names


def _up_to(row: TuneRow) -> str:
    return _tokens(row.longest_num_ctx, short=True)


def a_cache(kind: str) -> str:
    """Return a cache type with its article: `an f16 cache`, `a q8_0 cache`."""
    return f"{'an' if kind.startswith(('f', 'i')) else 'a'} {kind} cache"


def _tokens(count: int | None, *, short: bool = False) -> str:
    shown = "no" if count is None else tokens(count) if short else f"{count:,}"
    return f"{shown}\u00a0tokens"


def _longest(row: TuneRow) -> str:
    return "-" if row.longest_num_ctx is None else tokens(row.longest_num_ctx)


def _memory(row: TuneRow) -> str:
    if not row.loads:
        return "does not load"
    return gib(row.memory_bytes) if row.stays else f"{SPILLS} {gib(row.memory_bytes)}"


def _cell(cell: GridCell) -> str:
    size = f"{cell.memory_bytes / 2**30:,.1f}"
    return size if cell.stays else f"{SPILLS} {size}"


def _of(size: int, whole: int | None) -> str:
    return gib(size) if whole is None else f"{gib(size).removesuffix(' GiB')} of {gib(whole)}"

"""A `FitEstimate` as text: the answer, a stacked bar of the memory, and what bounds it.

Pure: records in, text out. The first line answers, the bar proves, the last lines say what
was assumed and what to type next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from assistant.cli.layout import FULL_BLOCK, LIGHT_SHADE, paragraph, table
from assistant.fit.calibration import MeasuredSpeed, measured_rate
from assistant.fit.records import FitEstimate, MemoryParts, SpeedRange
from assistant.fit.room import FIT_MARGIN_BYTES
from assistant.machine.records import Accelerator, Machine
from assistant.units import gb, gib, tokens

Style = Callable[..., str]

_BAR_WIDTH: Final = 44
_LABEL_WIDTH: Final = 10
_UNBROKEN: Final = 36
_SOURCES: Final = {
    "catalog": "from the catalog's architecture and file size",
    "registry": "from the file's own header, read from the registry",
    "file": "from the file's own header",
    "server": "from what the Ollama server says about it",
    "parameters": "from the number of parameters alone",
}


def plain(text: str, **_styles: object) -> str:
    """Return the text as it is: the style of pipes."""
    return text


def render_estimates(
    estimates: Sequence[FitEstimate],
    machine: Machine,
    *,
    width: int = 80,
    as_of: str | None = None,
    machine_spec: str | None = None,
    style: Style = plain,
) -> str:
    """Return one estimate in full, or several as a table with a line for each.

    `as_of` is the date of the catalog, `machine_spec` what was given as --machine.
    """
    if len(estimates) == 1:
        return _one(
            estimates[0],
            machine,
            width=width,
            as_of=as_of,
            machine_spec=machine_spec,
            style=style,
        )
    rows = [_table_row(estimate) for estimate in estimates]
    headers = ("model", "download", "memory", "runs on", "longest ctx", "tokens/s")
    lines = [paragraph(headline(each, machine), width=width, hanging="  ") for each in estimates]
    assumed = dict.fromkeys(a for each in estimates for a in each.assumptions)
    blocks = [table(headers, rows, align="lrrlrr", width=width), "\n".join(lines)]
    if assumed:
        blocks.append(_joined("Assumed: ", tuple(assumed), width))
    return "\n\n".join(blocks)


def headline(estimate: FitEstimate, machine: Machine) -> str:
    """Return the answer in a sentence or two: does it fit, where, and what is missing."""
    subject = _subject(estimate)
    context = f"{estimate.num_ctx:,}\u00a0tokens"
    placement = estimate.placement
    if placement.verdict == "gpu":
        room = _of(estimate.gpu.total_bytes, gpu_memory_bytes(estimate, machine))
        where = _gpus(estimate)
        return f"{subject} fits on {where} with {context}: {room}."
    if placement.verdict == "partial":
        split = f"{placement.gpu_layers} of {placement.layers} layers"
        if placement.expert_layers_on_host and placement.gpu_layers >= placement.layers:
            split = f"all but the experts of {placement.expert_layers_on_host} layers"
        text = f"{subject} fits in part: {split} on {_gpus(estimate)}, the rest on the CPU, "
        return f"{text}with {context}.{_miss(estimate, machine)}"
    if placement.verdict == "cpu":
        room = _of(estimate.memory.total_bytes, ram_bytes(machine))
        text = f"{subject} runs on the CPU with {context}: {room} of RAM."
        return text + (_miss(estimate, machine) if machine.usable_accelerators else "")
    return f"{subject} does not fit this machine with {context}.{_miss(estimate, machine)}"


def gpu_memory_bytes(estimate: FitEstimate, machine: Machine) -> int | None:
    """Return the GPU memory there is for this estimate: the free one where known.

    Of several GPUs those that carry layers count, or all when none does.
    """
    used = _used(estimate, machine)
    sizes = [_free(gpu) for gpu in used]
    if not sizes or any(size is None for size in sizes):
        return None
    return sum(size for size in sizes if size is not None)


def reserved_bytes(estimate: FitEstimate, machine: Machine) -> int:
    """Return what Ollama keeps free on the GPUs: a margin each, and the projector once more.

    With a number of layers that was asked for it keeps nothing.
    """
    if estimate.num_gpu is not None:
        return 0
    projector = estimate.gpu.projector_bytes
    return len(_used(estimate, machine)) * (FIT_MARGIN_BYTES + projector)


def ram_bytes(machine: Machine) -> int | None:
    """Return the RAM there is: what is available where known, else all of it."""
    ram = machine.ram
    return ram.total_bytes if ram.available_bytes is None else ram.available_bytes


def tokens_per_second(speed: SpeedRange) -> str:
    """Return a range of speeds as text with two digits: `18 to 34`; what was measured: `31.4`."""
    if isinstance(speed, MeasuredSpeed):
        return measured_rate(speed)
    low, high = _two_digits(speed.low), _two_digits(speed.high)
    return low if low == high else f"{low} to {high}"


def _measured(speed: SpeedRange) -> str:
    """Return the word that a figure is no estimate, after a space."""
    return " measured" if isinstance(speed, MeasuredSpeed) else ""


def _one(
    estimate: FitEstimate,
    machine: Machine,
    *,
    width: int,
    as_of: str | None,
    machine_spec: str | None,
    style: Style,
) -> str:
    colour = {"gpu": "green", "partial": "yellow", "cpu": "yellow", "none": "red"}
    answer = paragraph(headline(estimate, machine), width=width)
    blocks = [
        style(answer, fg=colour[estimate.placement.verdict]),
        _bars(estimate, machine, width, style),
        paragraph(_facts(estimate), width=width, indent="  "),
    ]
    if estimate.notes:
        blocks.append(_joined("Note: ", estimate.notes, width))
    last = [paragraph(_exactness(estimate, as_of), width=width)]
    if estimate.assumptions:
        last.append(_joined("Assumed: ", estimate.assumptions, width))
    last.append(_next(estimate, machine, machine_spec))
    return "\n\n".join([*blocks, "\n".join(line for line in last if line)])


def _subject(estimate: FitEstimate) -> str:
    about = [estimate.quantization] if estimate.quantization else []
    if estimate.download_bytes is not None and estimate.source != "server":
        about.append(f"{gb(estimate.download_bytes)}\u00a0download".replace(" ", "\u00a0"))
    return f"{estimate.model} ({', '.join(about)})" if about else estimate.model


def _miss(estimate: FitEstimate, machine: Machine) -> str:
    """Return by how much it is too big and what would help, as a sentence after a space."""
    help_text = _either(estimate.remedies)
    if estimate.missing_bytes <= 0:
        return f" What would help: {help_text}." if help_text else ""
    there = gpu_memory_bytes(estimate, machine)
    if estimate.placement.verdict == "none":
        there = None
        needs = f"{gib(estimate.memory.total_bytes)}, {gib(estimate.missing_bytes)} too many"
    elif there is None:
        needs = f"{gib(estimate.missing_bytes)} more"
    else:
        needs = f"{gib(there + estimate.missing_bytes)}, {gib(estimate.missing_bytes)} too many"
    needs = needs.replace(" GiB", "\u00a0GiB").replace(" MiB", "\u00a0MiB")
    subject = "It needs" if estimate.placement.verdict == "none" else "The GPU alone would need"
    return f" {subject} {needs}{': ' + help_text if help_text else ''}."


def _bars(estimate: FitEstimate, machine: Machine, width: int, style: Style) -> str:
    """Return the stacked bar of the GPU's memory, of the RAM, or of both."""
    verdict = estimate.placement.verdict
    room = min(_BAR_WIDTH, width - _LABEL_WIDTH - 14)
    gpu = gpu_memory_bytes(estimate, machine)
    sections = []
    if verdict in ("gpu", "partial") or (verdict == "none" and estimate.gpu.total_bytes):
        title = "GPU" if verdict != "gpu" else ""
        kept = reserved_bytes(estimate, machine)
        sections.append(_section(title, estimate.gpu, gpu, "driver", room, style, kept))
    if verdict != "gpu":
        host = estimate.host if verdict != "cpu" else estimate.memory
        title = "RAM" if sections else ""
        sections.append(_section(title, host, ram_bytes(machine), "program", room, style))
    return "\n".join(sections)


def _section(
    title: str,
    parts: MemoryParts,
    there: int | None,
    overhead: str,
    room: int,
    style: Style,
    kept: int = 0,
) -> str:
    rows = [
        ("weights", parts.weights_bytes, "blue"),
        ("projector", parts.projector_bytes, "blue"),
        ("KV cache", parts.kv_cache_bytes, "magenta"),
        ("state", parts.recurrent_state_bytes, "magenta"),
        ("buffers", parts.compute_buffer_bytes, "cyan"),
        (overhead, parts.overhead_bytes, "white"),
    ]
    rows = [row for row in rows if row[1] > 0]
    whole = max(parts.total_bytes, there or 0)
    lines = [f"  {title}"] if title else []
    start = done = 0
    for label, size, colour in rows:
        done += size
        end = max(start + 1, round(room * done / whole)) if whole else start
        end = min(room, end)
        begin = min(start, end - 1)
        bar = style(FULL_BLOCK * (end - begin), fg=colour)
        lines.append(_bar_line(label, " " * begin + bar + " " * (room - end), size))
        start = end
    if there is not None and there > parts.total_bytes:
        kept = min(kept, there - parts.total_bytes)
        end = room - round(room * kept / whole)
        if end > start and there - parts.total_bytes - kept:
            free = " " * start + style(LIGHT_SHADE * (end - start), dim=True) + " " * (room - end)
            lines.append(_bar_line("free", free, there - parts.total_bytes - kept))
        if kept:
            end = min(end, room - 1)
            reserve = " " * end + style(LIGHT_SHADE * (room - end), dim=True)
            lines.append(_bar_line("kept free", reserve, kept))
    elif there is not None and there < parts.total_bytes:
        limit = min(room - 1, round(room * there / whole))
        over = style("x" * (room - limit), fg="red")
        lines.append(_bar_line("too many", " " * limit + over, parts.total_bytes - there))
    return "\n".join(lines)


def _bar_line(label: str, bar: str, size: int) -> str:
    return f"  {label.ljust(_LABEL_WIDTH)}{bar}  {gib(size):>9}"


def _facts(estimate: FitEstimate) -> str:
    placement, speed, limits = estimate.placement, estimate.speed, estimate.limits
    facts = []
    if placement.verdict in ("gpu", "partial"):
        facts.append(f"{placement.gpu_layers} of {placement.layers} layers on {_gpus(estimate)}")
    if speed.decode is not None:
        facts.append(f"{tokens_per_second(speed.decode)} tokens/s{_measured(speed.decode)}")
    elif placement.verdict != "none":
        facts.append(f"no speed figure: {speed.basis}")
    if speed.prompt is not None:
        read = tokens_per_second(speed.prompt)
        facts.append(f"reads {read} prompt tokens/s{_measured(speed.prompt)}")
    if limits.max_num_ctx_on_gpu is not None:
        facts.append(f"longest context on the GPU {tokens(limits.max_num_ctx_on_gpu)}")
    if placement.verdict != "gpu" and limits.best_quantization_on_gpu:
        facts.append(f"best quantization on the GPU {limits.best_quantization_on_gpu}")
    facts.append(_options(estimate))
    return " · ".join(_unbroken(fact) for fact in facts)


def _unbroken(fact: str) -> str:
    return fact.replace(" ", "\u00a0") if len(fact) <= _UNBROKEN else fact


def _options(estimate: FitEstimate) -> str:
    chosen = [f"num_batch {estimate.num_batch}"]
    if estimate.num_parallel > 1:
        chosen.append(f"num_parallel {estimate.num_parallel}")
    if estimate.num_gpu is not None:
        chosen.append(f"num_gpu {estimate.num_gpu}")
    chosen.append(f"{estimate.kv_cache_type} KV cache")
    chosen.append(f"flash attention {'on' if estimate.flash_attention else 'off'}")
    return ", ".join(_unbroken(choice) for choice in chosen)


def _exactness(estimate: FitEstimate, as_of: str | None) -> str:
    word = "Exact" if estimate.exact else "Estimated"
    date = f" of {as_of}" if as_of and estimate.source == "catalog" else ""
    text = f"{word}: {_SOURCES[estimate.source]}{date}"
    decode = estimate.speed.decode
    return f"{text}; the speed is {estimate.speed.basis}." if decode else f"{text}."


def _next(estimate: FitEstimate, machine: Machine, machine_spec: str | None) -> str:
    best = estimate.placement.verdict == "gpu" or (
        estimate.placement.verdict == "cpu" and not machine.usable_accelerators
    )
    if not best:
        spec = f' --machine "{machine_spec}"' if machine_spec else ""
        return f"Next: assistant recommend{spec}"
    if estimate.source in ("catalog", "registry") and estimate.pullable:
        return f"Next: ollama pull {estimate.resolved}"
    if estimate.source == "server":
        return f"Next: assistant tune {estimate.model}"
    return ""


def _table_row(estimate: FitEstimate) -> tuple[str, ...]:
    placement, limits = estimate.placement, estimate.limits
    runs_on = {
        "gpu": "GPU",
        "partial": f"GPU {placement.gpu_layers}/{placement.layers}",
        "cpu": "CPU",
        "none": "does not fit",
    }
    longest = limits.max_num_ctx_on_gpu
    decode = estimate.speed.decode
    held = estimate.gpu if placement.verdict == "gpu" else estimate.memory
    return (
        estimate.model,
        _download(estimate),
        gib(held.total_bytes),
        runs_on[placement.verdict],
        "-" if longest is None else tokens(longest),
        "-" if decode is None else tokens_per_second(decode) + _measured(decode),
    )


def _download(estimate: FitEstimate) -> str:
    """Return what there is to download; nothing for what the server has."""
    if estimate.source == "server" or estimate.download_bytes is None:
        return "-"
    return gb(estimate.download_bytes)


def _gpus(estimate: FitEstimate) -> str:
    count = sum(1 for share in estimate.placement.devices if share.layers)
    return f"{count} GPUs" if count > 1 else "the GPU"


def _used(estimate: FitEstimate, machine: Machine) -> list[Accelerator]:
    usable = list(machine.usable_accelerators)
    carrying = [share.name for share in estimate.placement.devices if share.layers]
    if len(carrying) != 1 or len(usable) == 1:
        return usable
    named = [gpu for gpu in usable if gpu.name == carrying[0]]
    return [max(named, key=lambda gpu: _free(gpu) or 0)] if named else usable


def _free(gpu: Accelerator) -> int | None:
    return gpu.memory_total_bytes if gpu.memory_free_bytes is None else gpu.memory_free_bytes


def _of(size: int, whole: int | None) -> str:
    if whole is None:
        return gib(size).replace(" ", "\u00a0")
    amount, unit = gib(size).rsplit(" ", 1)
    there, there_unit = gib(whole).rsplit(" ", 1)
    used = amount if unit == there_unit else f"{amount}\u00a0{unit}"
    return f"{used}\u00a0of\u00a0{there}\u00a0{there_unit}"


def _two_digits(value: float) -> str:
    if value >= 10:
        rounded = float(f"{value:.2g}")
        return f"{rounded:,.0f}"
    return f"{value:.1f}"


def _joined(label: str, sentences: Sequence[str], width: int) -> str:
    text = "; ".join(sentence.rstrip(".") for sentence in sentences)
    return paragraph(f"{label}{text}.", width=width)


def _either(remedies: Sequence[str]) -> str:
    return ", or ".join(remedy.rstrip(".") for remedy in remedies)

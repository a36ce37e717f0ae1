"""`assistant hardware`: what this computer is, and what could not be read.

Detection and the question to the Ollama server run side by side, so that a server that does
not answer costs at most its own time limit.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import click

from assistant.cli.options import (
    examples,
    machine_option,
    offline_option,
    output_options,
    resolve_machine,
)
from assistant.cli.output import Output

if TYPE_CHECKING:
    from assistant.machine.records import (
        Accelerator,
        Machine,
        MeasuredRun,
        OllamaServer,
        Unavailable,
    )

SERVER_BUDGET_S: Final = 1.0
_NAMED_MODELS: Final = 4
_KINDS: Final = {"discrete": "VRAM", "integrated": "shared with the CPU", "unified": "usable"}


@click.command(
    "hardware",
    epilog=examples(
        "assistant hardware",
        "assistant hardware --measure",
        "assistant hardware --forget-measured",
        "assistant hardware --json > my-machine.json",
        'assistant hardware --machine "2x RTX 3090, 64GB RAM"',
    ),
)
@click.option(
    "--measure", is_flag=True, help="Measure the memory bandwidth (about a second); it is kept."
)
@click.option(
    "--forget-measured",
    is_flag=True,
    help="Remove what was measured here: the memory bandwidth and the models' speeds.",
)
@machine_option
@offline_option
@output_options
def hardware(
    out: Output,
    measure: bool,
    forget_measured: bool,
    machine_spec: str | None,
    offline: bool,
) -> None:
    """Show this computer's processor, memory, GPUs and Ollama.

    Nothing is sent anywhere: the only question asked over a network goes to the configured
    Ollama server (OLLAMA_HOST), and with --offline only to one on this computer.
    """
    if forget_measured:
        if measure or machine_spec is not None:
            other = "--measure" if measure else "--machine"
            raise click.UsageError(f"--forget-measured goes alone; leave out {other}.")
        _forget(out)
        return
    if machine_spec is not None:
        if measure:
            raise click.UsageError("--measure times this computer; leave out --machine.")
        machine = resolve_machine(machine_spec)
    else:
        with out.progress("looking at this computer"):
            machine = _this_computer(measure=measure, offline=offline)
            if measure:
                _keep(out, machine)

    def data() -> dict[str, object]:
        from assistant.machine.serialize import machine_to_dict

        return machine_to_dict(machine)

    asked = "" if machine_spec is None else f' --machine "{machine_spec}"'
    out.result(data, lambda: render_machine(machine, width=out.width, asked=asked))


def _this_computer(*, measure: bool, offline: bool) -> Machine:
    """Return this computer with what its Ollama server says, asked meanwhile."""
    import threading

    from assistant.cli.options import detect_this_machine
    from assistant.machine.detect import detect_machine
    from assistant.machine.records import OllamaServer, Unavailable

    answers: list[tuple[OllamaServer, tuple[Unavailable, ...]]] = []
    asking = threading.Thread(target=lambda: answers.append(_ask_server(offline)), daemon=True)
    asking.start()
    machine = _with_runs(_measured(detect_machine())) if measure else detect_this_machine()
    asking.join(SERVER_BUDGET_S)
    if not answers:
        why = f"the Ollama server did not answer within {SERVER_BUDGET_S:g} s"
        slow = OllamaServer(_configured_url(), reachable=False)
        answers.append((slow, (Unavailable("ollama", why),)))
    server, problems = answers[0]
    return dataclasses.replace(
        machine, ollama=server, unavailable=(*machine.unavailable, *problems)
    )


def _configured_url() -> str:
    from assistant.errors import UsageError
    from assistant.ollama.server_address import configured_address

    try:
        return configured_address().url
    except UsageError:
        return ""


def _ask_server(offline: bool) -> tuple[OllamaServer, tuple[Unavailable, ...]]:
    from assistant.errors import UsageError
    from assistant.machine.records import OllamaServer, Unavailable
    from assistant.ollama.detect import detect_server
    from assistant.ollama.server_address import configured_address

    try:
        address = configured_address()
    except UsageError as error:
        return OllamaServer("", reachable=False), (Unavailable("ollama", error.message),)
    if offline and not address.is_local:
        why = f"{address.url} is not on this computer, and --offline forbids the network"
        return OllamaServer(address.url), (Unavailable("ollama", why),)
    return detect_server(address)


def _keep(out: Output, machine: Machine) -> None:
    """Keep what was measured for the estimates of later commands, where that is possible."""
    from assistant.errors import FileProblemError
    from assistant.machine.detect.measured_bandwidth import keep_measured
    from assistant.paths import cache_folder

    try:
        keep_measured(cache_folder(), machine)
    except FileProblemError as error:
        out.warning(error.message)


def _measured(machine: Machine) -> Machine:
    """Return the machine with its memory bandwidth as measured now."""
    from assistant.machine.detect.measure import measure_memory_bandwidth

    measured = measure_memory_bandwidth()
    ram = dataclasses.replace(machine.ram, bandwidth_gb_per_s=measured, bandwidth_source="measured")
    return dataclasses.replace(machine, ram=ram)


def _with_runs(machine: Machine) -> Machine:
    """Return the machine with the runs kept for it, where there is a folder for them."""
    from assistant.errors import FileProblemError
    from assistant.machine.measured_runs import with_measured_runs
    from assistant.paths import data_folder

    try:
        return with_measured_runs(data_folder(), machine)
    except FileProblemError:
        return machine


def _forget(out: Output) -> None:
    """Remove the measured bandwidth and runs, and say what there was."""
    from assistant.machine.measured_runs import forget_bandwidth, forget_runs
    from assistant.paths import cache_folder, data_folder

    runs = forget_runs(data_folder())
    bandwidth = forget_bandwidth(cache_folder())
    parts = ["the memory bandwidth"] if bandwidth else []
    parts += [f"{runs} measured run{'' if runs == 1 else 's'}"] if runs else []
    said = f"Forgotten: {' and '.join(parts)}." if parts else "Nothing measured was kept."
    data = {"forgotten": {"memory_bandwidth": bandwidth, "runs": runs}}
    out.result(data, f"{said}\n\nNext: assistant hardware --measure")


def render_machine(machine: Machine, *, width: int = 80, asked: str = "") -> str:
    """Return a machine as text: a headline, a line for each part, what is assumed or missing.

    `asked` is added to the command that the last line proposes.
    """
    from assistant.cli.layout import paragraph, table

    rows = [
        *(_system_rows(machine)),
        ("memory", _memory(machine)),
        *(_gpu_rows(machine)),
        *(_disk_rows(machine)),
        *(_container_rows(machine)),
        *(_server_rows(machine)),
    ]
    parts = [paragraph(headline(machine), width=width), table((), rows, width=width)]
    if machine.measured_runs:
        parts.append(paragraph(_runs(machine), width=width))
    if machine.assumptions:
        assumed = "; ".join(each.removesuffix(".") for each in machine.assumptions)
        parts.append(paragraph(f"Assumed: {assumed}.", width=width))
    missing = [(item.what, item.why) for item in machine.unavailable if item.what != "ollama"]
    if missing:
        parts.append("Could not be read:\n" + table((), missing, width=width))
    parts.append(f"Next: assistant recommend{asked}")
    return "\n\n".join(parts)


def headline(machine: Machine) -> str:
    """Return the machine in one line: processor, memory, GPUs, Ollama."""
    from assistant.units import gib

    named = machine.cpu.name or ("unknown processor" if machine.source == "detected" else None)
    parts = [] if named is None else [named]
    if machine.ram.total_bytes is not None:
        parts.append(f"{gib(machine.ram.total_bytes)} RAM")
    used = tuple(gpu for gpu in machine.accelerators if gpu.used_by_ollama)
    parts += [_brief(group) for group in _alike(used or machine.accelerators)] or ["no GPU"]
    if machine.ollama is not None and machine.ollama.reachable:
        parts.append(f"Ollama {machine.ollama.version or 'of unknown version'}")
    elif machine.ollama is not None and machine.ollama.reachable is False:
        parts.append("no Ollama server")
    return " · ".join(_unbroken(part) for part in parts)


def _system_rows(machine: Machine) -> list[tuple[str, str]]:
    """Return system and processor; a description mostly names neither."""
    detected = machine.source == "detected"
    rows = [("system", machine.os or "unknown")] if machine.os or detected else []
    if detected or machine.cpu.name or machine.cpu.physical_cores:
        rows.append(("processor", _processor(machine)))
    return rows


def _processor(machine: Machine) -> str:
    cpu = machine.cpu
    parts = [cpu.name or cpu.architecture or "unknown"]
    if cpu.physical_cores and cpu.logical_cores and cpu.logical_cores != cpu.physical_cores:
        parts.append(f"{cpu.physical_cores} cores ({cpu.logical_cores} threads)")
    elif cpu.physical_cores or cpu.logical_cores:
        cores = cpu.physical_cores or cpu.logical_cores
        parts.append(f"{cores} core{'' if cores == 1 else 's'}")
    if cpu.features:
        parts.append(" ".join(cpu.features))
    return ", ".join(parts)


def _memory(machine: Machine) -> str:
    from assistant.units import gib

    ram = machine.ram
    parts = ["unknown" if ram.total_bytes is None else gib(ram.total_bytes)]
    if ram.available_bytes is not None:
        parts.append(f"{gib(ram.available_bytes)} available")
    if ram.bandwidth_gb_per_s is not None:
        parts.append(f"{ram.bandwidth_gb_per_s:.0f} GB/s ({_bandwidth_origin(machine)})")
    if machine.unified_memory:
        parts.append("shared by CPU and GPU")
    return ", ".join(parts)


def _bandwidth_origin(machine: Machine) -> str:
    words = {
        "measured": "measured",
        "table": "by the specification",
        "stated": "stated",
        "assumed": "assumed",
    }
    return words.get(machine.ram.bandwidth_source or "", "unknown origin")


def _gpu_rows(machine: Machine) -> list[tuple[str, str]]:
    if not machine.accelerators:
        return [("GPU", "none found" if machine.source == "detected" else "none")]
    rows: list[tuple[str, str]] = []
    for group in _alike(machine.accelerators):
        rows.append(("GPU", _gpu_memory(group)))
        more = _gpu_details(group[0])
        if more:
            rows.append(("", more))
    return rows


def _gpu_memory(group: list[Accelerator]) -> str:
    from assistant.units import gib

    gpu = group[0]
    parts = [f"{len(group)} x {gpu.name}" if len(group) > 1 else gpu.name]
    if gpu.memory_total_bytes is None:
        parts.append("memory unknown")
    else:
        each = " each" if len(group) > 1 else ""
        parts.append(f"{gib(gpu.memory_total_bytes)} {_KINDS[gpu.kind]}{each}")
    free = [g.memory_free_bytes for g in group if g.memory_free_bytes is not None]
    if free:
        parts.append(f"{' + '.join(gib(size) for size in free)} free")
    return ", ".join(parts)


def _gpu_details(gpu: Accelerator) -> str:
    from assistant.units import gib

    parts: list[str] = []
    if gpu.kind == "integrated" and gpu.carve_out_bytes is not None:
        parts.append(f"{gib(gpu.carve_out_bytes)} carved out of RAM")
    if gpu.kind == "integrated" and gpu.gtt_bytes is not None:
        parts.append(f"{gib(gpu.gtt_bytes)} GTT")
    if gpu.bandwidth_gb_per_s is not None:
        parts.append(f"{gpu.bandwidth_gb_per_s:.0f} GB/s")
    if gpu.backend is not None:
        words = {"cuda": "CUDA", "rocm": "ROCm", "metal": "Metal", "vulkan": "Vulkan"}
        capability = f" {gpu.compute_capability}" if gpu.compute_capability else ""
        parts.append(words[gpu.backend] + capability)
    if gpu.driver is not None:
        parts.append(f"driver {gpu.driver}")
    if not gpu.used_by_ollama:
        parts.append("left out by Ollama")
    return ", ".join(parts)


def _disk_rows(machine: Machine) -> list[tuple[str, str]]:
    from assistant.units import gb

    disk = machine.disk
    if disk.free_bytes is None and disk.models_path is None:
        return []
    free = "unknown room" if disk.free_bytes is None else f"{gb(disk.free_bytes)} free"
    where = "" if disk.models_path is None else f" for models in {disk.models_path}"
    return [("disk", free + where)]


def _container_rows(machine: Machine) -> list[tuple[str, str]]:
    from assistant.units import gib

    box = machine.container
    if box is None:
        return []
    parts = [box.kind or "yes"]
    if box.memory_limit_bytes is not None:
        parts.append(f"{gib(box.memory_limit_bytes)} memory limit")
    if box.cpu_limit is not None:
        parts.append(f"{box.cpu_limit:g} CPUs")
    return [("container", ", ".join(parts))]


def _server_rows(machine: Machine) -> list[tuple[str, str]]:
    server = machine.ollama
    if server is None:
        return []
    if server.reachable is None:
        return [("Ollama", f"not asked: {server.url}")]
    if not server.reachable:
        why = [item.why.removesuffix(".") for item in machine.unavailable if item.what == "ollama"]
        return [("Ollama", why[0] if why else f"no server at {server.url}")]
    rows = [("Ollama", f"{server.version or 'unknown version'} at {server.url}")]
    if server.models is not None:
        rows.append(("", f"{_count(server.models)} installed{_listed(server.models)}"))
    if server.loaded:
        rows.append(("", f"{_count(server.loaded)} loaded{_listed(server.loaded)}"))
    if server.gpu is not None:
        rows.append(("", server.gpu))
    return rows


def _runs(machine: Machine) -> str:
    """Return the models timed here, the newest first: `gemma4:12b 31.4 tokens/s (2026-11-27)`.

    Each model is there once, with its newest run.
    """
    runs: dict[str, MeasuredRun] = {}
    for run in reversed(machine.measured_runs):
        runs.setdefault(run.model.lower().removesuffix(":latest"), run)
    newest = list(runs.values())
    shown = [
        f"{run.model} {run.decode_tokens_per_s:,.{0 if run.decode_tokens_per_s >= 100 else 1}f}"
        f" tokens/s ({run.measured_on})"
        for run in newest[:_NAMED_MODELS]
    ]
    more = f", and {len(newest) - len(shown)} more" if len(newest) > len(shown) else ""
    return f"Measured here: {', '.join(_unbroken(each) for each in shown)}{more}."


def _brief(group: list[Accelerator]) -> str:
    """Return one kind of GPU in a few words: `2 x RTX 3090 24.0 GiB (23.1 free)`."""
    from assistant.units import GIB, gib

    gpu = group[0]
    name = gpu.name.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("AMD ")
    text = f"{len(group)} x {name}" if len(group) > 1 else name
    if gpu.memory_total_bytes is not None:
        text += f" {gib(gpu.memory_total_bytes)}"
        if gpu.memory_free_bytes is not None and len(group) == 1:
            text += f" ({gpu.memory_free_bytes / GIB:.1f} free)"
    return text


def _alike(accelerators: tuple[Accelerator, ...]) -> list[list[Accelerator]]:
    """Return accelerators grouped by name and memory, in their order."""
    groups: dict[tuple[str, int | None, bool], list[Accelerator]] = {}
    for gpu in accelerators:
        groups.setdefault((gpu.name, gpu.memory_total_bytes, gpu.used_by_ollama), []).append(gpu)
    return list(groups.values())


def _count(models: tuple[str, ...]) -> str:
    return f"{len(models)} model{'' if len(models) == 1 else 's'}"


def _listed(models: tuple[str, ...]) -> str:
    if not models:
        return ""
    more = f", and {len(models) - _NAMED_MODELS} more" if len(models) > _NAMED_MODELS else ""
    return ": " + ", ".join(models[:_NAMED_MODELS]) + more


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")

"""`assistant doctor`: why is it slow, why is it on the CPU, will my prompt be cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    from collections.abc import Callable, Sequence

    from assistant.doctor.records import FasterModel, Finding, Observations
    from assistant.fit.records import ModelFacts
    from assistant.machine.records import Machine
    from assistant.models.names import ModelName
    from assistant.models.registry import RegistryModel

PROBLEM_EXIT_CODE = 1


@click.command(
    "doctor",
    epilog=examples(
        "assistant doctor",
        "assistant doctor qwen3:14b",
        "assistant doctor --bundle report.zip",
        'OLLAMA_HOST=tower:11434 assistant doctor --machine "RTX 3060 12GB, 32GB RAM"',
    ),
)
@click.argument("model", required=False, metavar="[MODEL|ROLE]")
@click.option(
    "--bundle",
    "bundle_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what was found to a new .zip or .json file, without personal data.",
)
@machine_option
@offline_option
@output_options
def doctor(
    out: Output,
    model: str | None,
    bundle_file: Path | None,
    machine_spec: str | None,
    offline: bool,
) -> None:
    """Find out why models are slow, on the CPU, or cut.

    Looks at the server and its settings, the models in memory, the GPU and the disk, compares
    with the arithmetic, and says what to do. With MODEL only that model is judged, loaded or
    not; a role (chat, code ...) stands for the model that was set up for it. Nothing is changed.
    --machine describes the computer of a server that is elsewhere.

    Exit code 1 when there are problems; warnings alone give 0.
    """
    if bundle_file is not None:
        from assistant.doctor.bundle_file import check_free

        check_free(bundle_file)
    if model is not None:
        from assistant.cli.named_models import role_model

        model = role_model(out, model)
    from assistant.doctor.diagnose import diagnose

    with out.progress("looking"):
        seen = _look(model, machine_spec, offline=offline)
        findings = diagnose(seen)
    if bundle_file is not None:
        _write(out, bundle_file, seen, findings)

    def data() -> dict[str, object]:
        from assistant.doctor.serialize import finding_to_dict, observations_to_dict

        return {
            "findings": [finding_to_dict(finding) for finding in findings],
            "observed": observations_to_dict(seen),
            "bundle": None if bundle_file is None else str(bundle_file),
        }

    out.result(data, lambda: _text(findings, out))
    if any(finding.level == "problem" for finding in findings):
        raise click.exceptions.Exit(PROBLEM_EXIT_CODE)


def _text(findings: Sequence[Finding], out: Output) -> str:
    from assistant.cli.doctor_text import render_findings

    return render_findings(findings, width=out.width, style=out.style)


def _look(model: str | None, machine_spec: str | None, *, offline: bool) -> Observations:
    from assistant.doctor.observe import observe

    return observe(
        _machine(machine_spec),
        asked=None if model is None else model.strip(),
        offline=offline,
        alternatives=_alternatives(),
        read_manifest=None if offline else _read_manifest(),
        suggest=_suggest,
    )


def _suggest(machine: Machine) -> FasterModel | None:
    """Return the chat model that `assistant recommend --role chat --prefer speed` names."""
    from assistant.doctor.records import FasterModel
    from assistant.models.catalog import load_catalog
    from assistant.recommend.picks import recommend
    from assistant.recommend.records import Needs

    picks = recommend(machine, Needs(role="chat", prefer="speed"), load_catalog()).picks
    decode = picks[0].estimate.speed.decode if picks else None
    return None if decode is None else FasterModel(picks[0].model, decode.expected)


def _machine(spec: str | None) -> Machine | None:
    """Return the server's computer; None when that is another one and not described."""
    from assistant.errors import UsageError
    from assistant.ollama.server_address import configured_address

    if spec is None:
        try:
            if not configured_address().is_local:
                return None
        except UsageError:
            pass  # the address is judged among the findings
    return resolve_machine(spec)


def _alternatives() -> Callable[[str], tuple[ModelFacts, ...]]:
    from assistant.cli.model_sources import Sources
    from assistant.errors import AssistantError

    sources = Sources(offline=True)

    def other_quantizations(name: str) -> tuple[ModelFacts, ...]:
        try:
            return sources.alternatives(sources.facts(name))
        except AssistantError:
            return ()

    return other_quantizations


def _read_manifest() -> Callable[[ModelName], RegistryModel] | None:
    from assistant.errors import FileProblemError
    from assistant.models.registry import RegistryReader
    from assistant.paths import cache_folder

    try:
        reader = RegistryReader(cache_folder() / "registry", timeout_s=2.5)
    except FileProblemError:
        return None

    def read(name: ModelName) -> RegistryModel:
        return reader.read(name, with_header=False)

    return read


def _write(out: Output, path: Path, seen: Observations, findings: Sequence[Finding]) -> None:
    from assistant.cli.doctor_text import render_findings
    from assistant.cli.layout import paragraph
    from assistant.doctor.bundle import bundle, cleaner, contents
    from assistant.doctor.bundle_file import this_identity, this_program, write_bundle

    identity = this_identity(url=seen.server.url)
    made = bundle(seen, findings, program=this_program(), identity=identity)
    clean = cleaner(seen, identity)
    write_bundle(path, made, clean(render_findings(findings)) + "\n")
    out.note(paragraph(f"Wrote {path}, which holds:", width=out.width))
    for line in contents(made):
        out.note(paragraph(line, width=out.width, indent="  ", hanging="    "))
    out.note("")

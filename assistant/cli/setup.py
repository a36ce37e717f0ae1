"""`assistant setup`: inspect, choose, pull, create, verify; the same again changes nothing."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, Literal

import click

from assistant.cli.confirm import check_can_ask, confirmed
from assistant.cli.options import (
    NumCtx,
    examples,
    licence_option,
    machine_option,
    offline_option,
    output_options,
    prefer_option,
)
from assistant.cli.output import InterruptedByUserError, Output
from assistant.cli.setup_data import setup_data
from assistant.cli.setup_request import Bandwidth

if TYPE_CHECKING:
    from assistant.cli.output import Status
    from assistant.cli.setup_job import SetupJob
    from assistant.provision.apply import Outcome
    from assistant.provision.records import Plan

ROLES_HELP: Final = (
    "A role to set up; may be repeated: chat, code, embeddings, vision, reasoning, writing, "
    "translation, summarize, rag, tools, extract.  [default: chat, code and embeddings]"
)


@click.command(
    "setup",
    epilog=examples(
        "assistant setup",
        "assistant setup --dry-run",
        "assistant setup --role chat --role embeddings --yes",
        "assistant setup --model chat=llama3.1:8b --num-ctx 16k",
        'OLLAMA_HOST=gpu-box assistant setup --machine "RTX 4090, 64GB RAM"',
    ),
)
@click.option("--role", "roles", multiple=True, metavar="ROLE", help=ROLES_HELP)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ROLE=NAME",
    help="This model for a role, instead of the recommended one; may be repeated.",
)
@click.option(
    "--num-ctx",
    type=NumCtx(),
    metavar="TOKENS",
    help="This context length for every role.  [default: the longest useful one that fits]",
)
@prefer_option
@licence_option
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Go ahead without asking.")
@click.option("--anew", is_flag=True, help="Choose again what was chosen before.")
@click.option(
    "--bandwidth",
    type=Bandwidth(),
    metavar="SPEED",
    help="Speed of the line, for the time shown: 50MB/s, 100Mbit/s.  [default: measured]",
)
@click.option(
    "--start-server", is_flag=True, help="Run 'ollama serve' when no server answers here."
)
@machine_option
@offline_option
@output_options
def setup(
    out: Output,
    roles: tuple[str, ...],
    models: tuple[str, ...],
    num_ctx: int | None,
    prefer: Literal["speed", "quality", "balance"],
    licence: str,
    dry_run: bool,
    yes: bool,
    anew: bool,
    bandwidth: float | None,
    start_server: bool,
    machine_spec: str | None,
    offline: bool,
) -> None:
    """Set up working models for this computer, verified.

    Chooses a model per role, shows the plan, and after a yes pulls the models, creates them as
    assistant-chat, assistant-code and so on with a tuned Modelfile, and verifies each by running
    it. It can be stopped and run again; a second run changes nothing.
    """
    from assistant.cli.setup_job import SetupJob
    from assistant.cli.setup_request import parse_models, parse_roles
    from assistant.provision.choose import Request
    from assistant.recommend.records import Needs

    named = parse_models(models)
    request = Request(
        roles=parse_roles(roles, named),
        models=named,
        num_ctx=num_ctx,
        needs=Needs(prefer=prefer, commercial=licence == "commercial"),
        anew=anew,
    )
    job = SetupJob(
        out,
        request,
        machine_spec=machine_spec,
        dry_run=dry_run,
        offline=offline,
        bandwidth=bandwidth,
        start_server=start_server,
    )
    with contextlib.closing(job):
        if dry_run:
            _show_plan(out, job, job.plan())
        else:
            job.check_place()
            _set_up(out, job, yes=yes)


def _set_up(out: Output, job: SetupJob, *, yes: bool) -> None:
    """Make the plan and do it, one setup at a time on this account."""
    from assistant.cli.setup_lock import setup_lock

    waiting = "Another assistant is setting up models; waiting for it. Ctrl-C stops waiting."
    with setup_lock(out, waiting=waiting):
        plan = job.plan()
        if plan.is_done:
            _say_done(out, job, plan)
        else:
            _go_ahead(out, job, plan, yes=yes)


def _go_ahead(out: Output, job: SetupJob, plan: Plan, *, yes: bool) -> None:
    from assistant.cli.setup_text import render_plan
    from assistant.provision.plan import check_disk

    out.note(f"{job.machine_line()}\n\n{render_plan(plan, width=out.width)}\n")
    check_disk(plan)
    job.check_offline(plan)
    check_can_ask(out, yes=yes)
    if not confirmed("Go ahead?", yes=yes):
        out.note("Nothing was changed.")
        return
    began = time.monotonic()
    try:
        outcome = job.apply(plan, yes=yes)
    except KeyboardInterrupt:
        raise InterruptedByUserError(job.stopped_sentence()) from None
    _say_outcome(out, job, outcome, time.monotonic() - began)


def _show_plan(out: Output, job: SetupJob, plan: Plan) -> None:
    from assistant.cli.setup_text import render_in_place, render_plan
    from assistant.errors import AssistantError
    from assistant.provision.plan import check_disk

    errors: list[AssistantError] = []
    try:
        check_disk(plan)
    except AssistantError as error:
        errors.append(error)

    def text() -> str:
        if plan.is_done:
            return render_in_place(plan.targets, width=out.width)
        shown = f"{job.machine_line()}\n\n{render_plan(plan, width=out.width)}"
        return f"{shown}\n\n{job.next_line()}"

    out.result(
        lambda: setup_data(job, plan, {}), text, errors=errors, status="error" if errors else "ok"
    )


def _say_done(out: Output, job: SetupJob, plan: Plan) -> None:
    from assistant.cli.setup_text import render_in_place

    job.tidy_up()
    out.result(
        lambda: setup_data(job, plan, job.measured()),
        lambda: render_in_place(plan.targets, width=out.width),
    )


def _say_outcome(out: Output, job: SetupJob, outcome: Outcome, seconds: float) -> None:
    from assistant.cli.setup_text import render_done
    from assistant.provision.apply import describe_measured

    plan, ledger = outcome.plan, outcome.ledger
    made = [t for t in plan.targets if _is_made(plan, t.role)]
    measured = {}
    for target in made:
        entry = ledger.current(target.role)
        if entry is not None and entry.measured is not None:
            measured[target.role] = describe_measured(target, entry.measured)
    done = any(step.state == "done" for step in plan.steps)
    failed: Status = "partial" if done else "error"

    def text() -> str:
        if not made:
            return ""
        return render_done(
            made,
            measured,
            address=job.address,
            notes=outcome.notes,
            seconds=seconds,
            width=out.width,
        )

    out.result(
        lambda: setup_data(job, plan, job.measured(), outcome.told),
        text,
        errors=outcome.errors,
        status=failed if outcome.errors else "ok",
    )


def _is_made(plan: Plan, role: str) -> bool:
    return any(s.id == f"activate:{role}" and s.state == "done" for s in plan.steps)

"""One run of `assistant setup`: what it asks the world, in the order it needs to know.

Everything is asked late and once: a run that finds all in place asks the server for its version
and its models, looks at this computer, and reads the ledger; the catalog is loaded only when
something is to be chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from assistant.cli.clock import now
from assistant.errors import AssistantError, OfflineError, OllamaError, UsageError

if TYPE_CHECKING:
    from assistant.cli.output import Output
    from assistant.cli.pull_progress import ShowPull
    from assistant.cli.server_settings import ServerSettings
    from assistant.fit.records import ModelFacts
    from assistant.machine.records import Machine
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.records import InstalledModel
    from assistant.ollama.server_address import ServerAddress
    from assistant.provision.apply import Event, Outcome
    from assistant.provision.choose import Choice, Chooser, Request
    from assistant.provision.records import Ledger, Measured, Plan, RoleTarget


class SetupJob:
    """See the module's text. `plan` comes first; `apply` does it."""

    def __init__(
        self,
        out: Output,
        request: Request,
        *,
        machine_spec: str | None,
        dry_run: bool,
        offline: bool,
        bandwidth: float | None,
        start_server: bool,
    ) -> None:
        from assistant.ollama.server_address import configured_address

        self.out = out
        self.request = request
        self.machine_spec = machine_spec
        self.dry_run = dry_run
        self.offline = offline
        self.bandwidth = bandwidth
        self.start_server = start_server
        self.address: ServerAddress = configured_address()
        self.version: str | None = None
        self._client: OllamaClient | None = None
        self._machine: Machine | None = None
        self._chooser: Chooser | None = None
        self._ledger: Ledger | None = None
        self._installed: tuple[InstalledModel, ...] = ()
        self._server_settings: ServerSettings | None = None
        self._version_note: str | None = None
        self._last_pull: tuple[str, int, int] | None = None

    def check_place(self) -> None:
        """Raise when the machine to size for and the server do not belong together.

        Raises:
            UsageError: the server is elsewhere and its machine is not described, or the machine
                is described although the server is on this computer.
        """
        if not self.address.is_local and self.machine_spec is None:
            raise UsageError(
                f"the Ollama server is at {self.address.url}; looking at this computer would tell "
                "about the wrong one.",
                hint='Describe that machine: --machine "RTX 4090, 64GB RAM", or give a file that '
                "'assistant hardware --json' wrote there.",
            )
        if self.address.is_local and self.machine_spec is not None:
            raise UsageError(
                "--machine describes another computer, and the Ollama server is on this one.",
                hint="Add --dry-run to see what would be set up there, or set OLLAMA_HOST to it.",
            )

    def plan(self) -> Plan:
        """Return the plan: what is wanted, what of it is there, and what is left to do.

        Raises:
            AssistantError: the server is not there (not with --dry-run), nothing fits, ...
        """
        from assistant.cli.setup_download import kept_of_pulls, with_bandwidth
        from assistant.provision.choose import Choice, kept_targets
        from assistant.provision.machine_key import machine_key
        from assistant.provision.plan import download_bytes, installed_by_name, plan_steps
        from assistant.provision.records import Plan

        if self.dry_run and not self.address.is_local and self.machine_spec is None:
            self.check_place()
        installed = self._reach()
        ledger = self.ledger()
        machine = self.machine()
        here, by_name = machine_key(machine), installed_by_name(installed)
        kept = kept_targets(self.request, ledger, here)
        choice = Choice(tuple(kept[role] for role in self.request.roles if role in kept))
        steps = plan_steps(choice.targets, ledger, by_name)
        if set(kept) != set(self.request.roles) or any(step.state != "done" for step in steps):
            with self.out.progress("choosing models"):
                choice = self._choose(kept)
            steps = plan_steps(choice.targets, ledger, by_name)
        plan = Plan(
            targets=choice.targets,
            steps=steps,
            download_bytes=download_bytes(steps),
            kept_bytes=kept_of_pulls(self.machine(), steps) if self.is_here() else 0,
            disk_free_bytes=machine.disk.free_bytes if self.is_here() else None,
            together_bytes=choice.together_bytes,
            memory_bytes=choice.memory_bytes,
            on_gpu=choice.on_gpu,
            notes=self._notes(choice, by_name),
            assumptions=tuple(dict.fromkeys((*machine.assumptions, *self._settings().assumptions))),
        )
        return with_bandwidth(self, plan)

    def apply(self, plan: Plan, *, yes: bool) -> Outcome:
        """Do the plan, showing progress; see `assistant.provision.apply`.

        Raises:
            FileProblemError: the ledger cannot be written.
        """
        from assistant.cli.pull_progress import pull_bars
        from assistant.provision.apply import World, apply_plan
        from assistant.provision.ledger import ledger_folder
        from assistant.provision.machine_key import machine_key

        with pull_bars(self.out) as bars:
            world = World(
                client=self.client(),
                folder=ledger_folder(),
                machine=machine_key(self.machine()),
                now=now,
                report=lambda event: self._report(event, bars),
                smaller=lambda target: self._smaller(target, yes=yes),
                keep_speed=self._keep_speed,
                server_version=self.version,
            )
            return apply_plan(plan, world)

    def check_offline(self, plan: Plan) -> None:
        """Raise when something is to be downloaded and `--offline` forbids it.

        Raises:
            OfflineError: a model is not on the server.
        """
        missing = [s.model for s in plan.steps if s.kind == "pull" and s.state != "done"]
        if self.offline and missing:
            raise OfflineError(
                f"{' and '.join(missing)} must be downloaded, and --offline forbids it.",
                hint="Name models that are installed: assistant setup --offline --model chat=NAME "
                "(see assistant models list).",
            )

    def machine_line(self) -> str:
        """Return this machine and its server in a line."""
        from assistant.cli.setup_text import machine_line

        version = "" if self._only_described() else self.version
        return machine_line(
            self.machine(), version, width=self.out.width, elsewhere=self.machine_spec is not None
        )

    def next_line(self) -> str:
        """Return what to type after a dry run."""
        if self._only_described():
            return "On that computer: assistant setup"
        if self.version is None:
            from assistant.cli.layout import paragraph
            from assistant.ollama.local_server import find_ollama, how_to_start

            return paragraph(f"Next: {how_to_start(find_ollama())}", width=self.out.width)
        return f"Next: {self._command()}"

    def stopped_sentence(self) -> str:
        """Return what Ctrl-C leaves: what is kept, and how to go on."""
        from assistant.units import gb

        if self._last_pull is None or not self._last_pull[1]:
            return f"Stopped. What was done is kept; run {self._command()} to go on."
        name, done, total = self._last_pull
        of = f" of {gb(total)}" if total else ""
        return f"Stopped. {gb(done)}{of} of {name} are kept; run {self._command()} to go on."

    def measured(self) -> dict[str, Measured]:
        """Return what the ledger has measured, by role."""
        from assistant.errors import FileProblemError
        from assistant.provision.ledger import read_ledger

        try:
            ledger = read_ledger()
        except FileProblemError:
            return {}
        entries = [ledger.current(role) for role in self.request.roles]
        return {e.role: e.measured for e in entries if e and e.role and e.measured}

    def tidy_up(self) -> None:
        """Strike out a pending setup that turned out to be done, and what its kill left behind."""
        from assistant.provision.candidate import drop_leftovers
        from assistant.provision.ledger import write_ledger

        drop_leftovers(self.client(), self._installed)
        ledger = self.ledger()
        if ledger.pending is not None and set(self.request.roles) >= {
            target.role for target in ledger.pending.targets
        }:
            write_ledger(dataclasses.replace(ledger, pending=None))

    def client(self) -> OllamaClient:
        """Return the door to the server."""
        from assistant.ollama.client import OllamaClient

        if self._client is None:
            self._client = OllamaClient(self.address)
        return self._client

    def close(self) -> None:
        """Close the connections to the server."""
        if self._client is not None:
            self._client.close()

    def ledger(self) -> Ledger:
        """Return the ledger as it was when it was first needed."""
        from assistant.provision.ledger import read_ledger

        if self._ledger is None:
            self._ledger = read_ledger()
        return self._ledger

    def machine(self) -> Machine:
        """Return the machine to size for: as if the server had unloaded what it holds."""
        from assistant.cli.options import resolve_machine
        from assistant.provision.room_left import machine_without_loaded

        if self._machine is None:
            machine = resolve_machine(self.machine_spec)
            if self.machine_spec is None and self.version is not None:
                try:
                    machine = machine_without_loaded(machine, self.client().loaded_models())
                except OllamaError as error:
                    self.out.warning(error.message)
            self._machine = machine
        return self._machine

    def _reach(self) -> tuple[InstalledModel, ...]:
        """Return what is installed; without a server nothing is, which only a dry run takes."""
        from assistant.cli.setup_server import start_or_explain
        from assistant.ollama.errors import ServerUnreachableError
        from assistant.ollama.versions import check_version

        if self.offline and not self.address.is_local:
            raise UsageError(
                f"{self.address.url} is not on this computer, and --offline is given.",
                hint="Leave --offline out, or unset OLLAMA_HOST.",
            )
        if self._only_described():
            return ()
        try:
            try:
                self.version = self.client().version()
            except ServerUnreachableError as error:
                if self.dry_run and not self.start_server:
                    return ()
                start_or_explain(self.out, self.address, error, start=self.start_server)
                self.version = self.client().version()
            self._version_note = check_version(self.version)
            self._installed = self.client().installed_models()
        except OllamaError as error:
            from assistant.provision.apply import with_hint

            with_hint(error, self.client())
            raise
        return self._installed

    def _choose(self, kept: dict[str, RoleTarget]) -> Choice:
        from assistant.provision.choose import other_targets, with_models_kept
        from assistant.provision.machine_key import machine_key

        key = machine_key(self.machine())
        others = other_targets(self.request, self.ledger(), key)
        request = with_models_kept(self.request, self.ledger(), key)
        return self._chooser_here().choose(request, kept, others)

    def _chooser_here(self) -> Chooser:
        from assistant.cli.model_sources import Sources
        from assistant.models.catalog import load_catalog
        from assistant.provision.choose import Chooser

        if self._chooser is None:
            sources = Sources(offline=self.offline)
            known: dict[str, ModelFacts] = {}

            def facts_of(name: str) -> ModelFacts:
                if name not in known:
                    known[name] = sources.facts(name)
                return known[name]

            self._chooser = Chooser(
                self.machine(),
                load_catalog(),
                facts_of,
                options=self._settings().options,
                max_loaded=self._settings().max_loaded,
            )
        return self._chooser

    def _smaller(self, target: RoleTarget, *, yes: bool) -> RoleTarget | None:
        """Return the next thing to try; another download only with the person's yes.

        A context or a model that was asked for is not replaced: the same command would ask for
        it again.
        """
        from assistant.cli.confirm import confirmed
        from assistant.units import gb

        if self.request.num_ctx is not None:
            return None
        smaller = self._chooser_here().smaller(target)
        if smaller is None or smaller.model == target.model:
            return smaller
        if target.role in self.request.models:
            return None
        size = f" ({gb(smaller.download_bytes)})" if smaller.download_bytes else ""
        if self.offline or not confirmed(f"Download {smaller.model}{size} instead?", yes=yes):
            return None
        return smaller

    def _keep_speed(self, target: RoleTarget, measured: Measured) -> None:
        """Keep what was measured for later estimates of this computer."""
        from assistant.cli.measured_speed import keep_measured_speed

        if self.machine_spec is not None:
            return
        try:
            facts = self._chooser_here().facts_of(target.model)
            options = dataclasses.replace(self._settings().options, num_ctx=target.num_ctx)
            keep_measured_speed(facts, self.machine(), options, measured)
        except (AssistantError, ValueError) as error:
            self.out.warning(f"what was measured could not be kept: {error}")

    def _report(self, event: Event, bars: ShowPull) -> None:
        target, out = event.target, self.out
        if event.kind == "progress" and event.pull is not None:
            total = target.download_bytes or 0
            shown = max(total, event.pull.total_bytes)
            self._last_pull = (target.model, event.pull.completed_bytes, shown)
            bars(f"{target.role}  {target.model}", event.pull, target.download_bytes)
            return
        line = {
            ("start", "pull"): f"pulling {target.model}",
            ("done", "pull"): f"{target.model} is here",
            ("start", "verify"): f"verifying {target.model} with {target.num_ctx:,} tokens",
            ("done", "verify"): f"verified: {event.text}",
            ("done", "activate"): f"ready as {target.alias}",
        }.get((event.kind, event.step))
        several = len(self.request.roles) > 1  # else the error at the end says it all
        if event.kind == "told" or (event.kind == "failed" and several):
            line = event.text
        if line:
            from assistant.cli.layout import paragraph

            out.note(
                paragraph(line, width=out.width, indent=f"{target.role:<11} ", hanging=" " * 12),
                with_json=True,
            )
        if event.kind == "done" and event.step == "pull":
            self._last_pull = None

    def _settings(self) -> ServerSettings:
        from assistant.cli.server_settings import server_settings

        if self._server_settings is None:
            described = self.machine_spec is not None
            self._server_settings = server_settings(None if described else self.address)
        return self._server_settings

    def _only_described(self) -> bool:
        """True when the plan is for a computer in words: no server belongs to it."""
        return self.machine_spec is not None and self.address.is_local

    def is_here(self) -> bool:
        """True when the server's disk is this computer's."""
        return self.address.is_local and self.machine_spec is None

    def _notes(self, choice: Choice, installed: Mapping[str, InstalledModel]) -> tuple[str, ...]:
        from assistant.provision.candidate import is_ours
        from assistant.provision.drift import name_key
        from assistant.provision.records import BACKUP_TAG

        notes = list(choice.notes)
        ledger = self.ledger()
        pending = () if ledger.pending is None else ledger.pending.targets
        unfinished = [t for t in choice.targets if t in pending]
        if unfinished and not self.request.models:
            what = " and ".join(f"{t.role} with {t.model}" for t in unfinished)
            notes.append(f"Goes on with a setup that did not end: {what}. Others: --anew.")
        for target in choice.targets:
            here = installed.get(name_key(target.alias))
            if here is not None and not is_ours(here, ledger.of_alias(target.alias)):
                notes.append(
                    f"The {target.alias} on the server is not from this program; it is kept as "
                    f"{target.alias}:{BACKUP_TAG}."
                )
        if self.version is None and not self._only_described():
            notes.append(
                f"No Ollama server answers at {self.address.url}; this is what it would do."
            )
        if self._version_note:
            notes.append(self._version_note)
        if not self.address.is_local:
            notes.append(f"The server is at {self.address.url}: everything happens there.")
        return tuple(notes)

    def _command(self) -> str:
        """Return the command that asks for the same again."""
        request, words = self.request, ["assistant setup"]
        if self._asked_roles():
            words += [f"--role {role}" for role in request.roles if role not in request.models]
        words += [f"--model {role}={name}" for role, name in request.models.items()]
        if request.num_ctx is not None:
            words.append(f"--num-ctx {request.num_ctx}")
        if self.machine_spec is not None and not self.address.is_local:
            words.append(f'--machine "{self.machine_spec}"')
        return " ".join(words)

    def _asked_roles(self) -> bool:
        from assistant.cli.setup_request import DEFAULT_ROLES

        return self.request.roles != DEFAULT_ROLES

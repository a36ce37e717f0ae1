"""What `assistant models` and `assistant rollback` ask the server, and the lock they hold."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.cli import setup_lock
from assistant.cli.layout import paragraph
from assistant.cli.output import Output, text_width
from assistant.errors import AssistantError, OllamaError

if TYPE_CHECKING:
    from assistant.cli.models_show import Bases
    from assistant.ollama.records import InstalledModel, LoadedModel
    from assistant.provision.drift import Drift
    from assistant.provision.records import Ledger, LedgerEntry

REGISTRY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ServerView:
    """The server's lists; `installed` is None, and `problem` says why, when it gave none."""

    url: str
    installed: tuple[InstalledModel, ...] | None = None
    loaded: tuple[LoadedModel, ...] = ()
    problem: OllamaError | None = None

    @property
    def said(self) -> str:
        """What a person is told when only the ledger is shown."""
        why = "" if self.problem is None else self.problem.message
        said = f"{why[:1].upper()}{why[1:]} Shown is what the ledger knows."
        return paragraph(said, width=text_width())


def server_view(out: Output) -> ServerView:
    """Return what is installed and what is loaded; a server that is not there is no error.

    Raises:
        UsageError: OLLAMA_HOST is not an address.
    """
    from assistant.ollama.client import OllamaClient

    with OllamaClient() as client, out.progress("asking the server"):
        try:
            return ServerView(client.address.url, client.installed_models(), client.loaded_models())
        except OllamaError as problem:
            return ServerView(client.address.url, problem=problem)


def bases_of(out: Output, ledger: Ledger) -> Bases:
    """Return what the server still has of what the ledger's versions are made from.

    A server that does not answer is no error: then nothing is known.
    """
    from assistant.cli.models_show import Bases
    from assistant.ollama.client import OllamaClient
    from assistant.provision.undo import lost_rollbacks

    if not ledger.aliases:
        return Bases()
    with out.progress("asking the server"):
        try:
            with OllamaClient() as client:
                installed = client.installed_models()
                return Bases(installed, lost_rollbacks(client, ledger, installed))
        except AssistantError:
            return Bases()


def ledger_lock(out: Output) -> AbstractContextManager[None]:
    """Hold the lock of setup, so that nothing else changes aliases or the ledger meanwhile.

    Raises:
        FileProblemError: another process holds it for longer than a minute.
    """
    return setup_lock.setup_lock(
        out,
        waiting="Waiting for another assistant process that sets up models.",
        wait_s=setup_lock.LOCK_WAIT_S,
    )


def drifts_of(
    out: Output,
    entries: list[LedgerEntry],
    installed: tuple[InstalledModel, ...],
    *,
    offline: bool,
) -> list[Drift]:
    """Return how each alias stands; without `offline` the registries are asked as well."""
    from assistant.models.registry import RegistryReader
    from assistant.paths import cache_folder
    from assistant.provision.drift import drift_of
    from assistant.provision.upstream import ask_upstream

    upstream = {}
    if not offline and entries:
        reader = RegistryReader(cache_folder() / "registry", timeout_s=REGISTRY_TIMEOUT_S)
        with out.progress("asking the registries"):
            upstream = ask_upstream(
                [entry.model for entry in entries],
                lambda name: reader.read(name, with_header=False),
            )
    return [
        drift_of(entry, installed=installed, upstream=upstream.get(entry.model))
        for entry in entries
    ]

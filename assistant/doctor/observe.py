"""Everything the doctor looks at, gathered into one record; nothing here raises.

Each source that fails leaves a gap with its reason. Time is bounded: the server has
`SERVER_TIMEOUT_S` for each answer and `MODELS_BUDGET_S` for all models, registries together
`UPSTREAM_LIMIT_S`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from assistant.doctor.observe_system import (
    kept_variables,
    observe_disk,
    observe_system,
    proxies,
    with_data_folder,
)
from assistant.doctor.records import (
    DiskSeen,
    EnvironmentSeen,
    FasterModel,
    IndexSeen,
    ModelSeen,
    Observations,
    ServerSeen,
    SystemSeen,
)
from assistant.errors import AssistantError, UsageError
from assistant.fit.records import ModelFacts
from assistant.machine.detect.server_environment import runs_as_service
from assistant.machine.detect.server_process import ServerEnvironment, detect_server_process
from assistant.machine.records import Machine, Unavailable
from assistant.ollama.records import InstalledModel, LoadedModel
from assistant.ollama.server_address import ServerAddress, configured_address
from assistant.paths import data_folder
from assistant.provision.drift import Upstream, name_key
from assistant.provision.records import Ledger

if TYPE_CHECKING:
    from assistant.models.names import ModelName
    from assistant.models.registry import RegistryModel
    from assistant.ollama.client import OllamaClient

T = TypeVar("T")

SERVER_TIMEOUT_S: Final = 3.0
MODELS_BUDGET_S: Final = 5.0
UPSTREAM_LIMIT_S: Final = 3.0
MOST_UPSTREAM: Final = 12

Alternatives = Callable[[str], tuple[ModelFacts, ...]]
"""Gives the other quantizations of a model by its name; () when none are known."""

Suggest = Callable[[Machine], FasterModel | None]
"""Gives the chat model that is recommended for speed on a machine."""

ReadManifest = Callable[["ModelName"], "RegistryModel"]


@dataclass(frozen=True, slots=True)
class World:
    """Where the doctor looks; the defaults are this computer.

    `root` is the file system, `environ` this process's environment.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    platform: str = sys.platform


def observe(
    machine: Machine | None,
    *,
    asked: str | None = None,
    offline: bool = False,
    alternatives: Alternatives = lambda _name: (),
    read_manifest: ReadManifest | None = None,
    suggest: Suggest = lambda _machine: None,
    world: World | None = None,
) -> Observations:
    """Return everything seen.

    `machine` is the server's computer (None: another one, not described), `asked` the model
    that was named. With `offline` a server elsewhere is not asked; without `read_manifest` no
    registry is.
    """
    world = world or World()
    gaps: list[Unavailable] = []
    address, server = _address(world)
    environment, found = _environment(world, address)
    seen = Observations(
        server=server,
        machine=machine,
        environment=environment,
        disk=_guard(gaps, "the models folder", lambda: _disk(world, address, found), DiskSeen()),
        system=_guard(gaps, "swap and power", lambda: _system(world, address), SystemSeen()),
        index=_guard(gaps, "the index of the guides", _index, None),
        ledger=_guard(gaps, "the ledger", _ledger, None),
        asked=asked,
    )
    if address is not None:
        seen = _with_server(seen, address, gaps, offline=offline)
    seen = _with_alternatives(seen, alternatives)
    if machine is not None and not machine.usable_accelerators and (seen.loaded or asked):
        faster = _guard(gaps, "the recommendation", lambda: suggest(machine), None)
        seen = replace(seen, faster=faster)
    if read_manifest is not None:
        seen = replace(seen, upstream=_upstream(seen, read_manifest))
    return replace(seen, gaps=tuple(gaps))


def _guard(gaps: list[Unavailable], what: str, look: Callable[[], T], otherwise: T) -> T:
    """Return what a look gives, or `otherwise` and one gap more: nothing may stop the rest."""
    try:
        return look()
    except AssistantError as error:
        gaps.append(Unavailable(what, error.message.removesuffix(".")))
    except Exception as error:  # noqa: BLE001  looking never raises
        gaps.append(Unavailable(what, f"looking failed ({type(error).__name__})"))
    return otherwise


def _address(world: World) -> tuple[ServerAddress | None, ServerSeen]:
    try:
        address = configured_address(world.environ)
    except UsageError as error:
        return None, ServerSeen(reachable=False, why=error.message, platform=world.platform)
    return address, ServerSeen(
        url=address.url,
        is_local=address.is_local,
        note=address.note,
        platform=world.platform,
        is_service=address.is_local and runs_as_service(world.root),
    )


def _environment(
    world: World, address: ServerAddress | None
) -> tuple[EnvironmentSeen, ServerEnvironment]:
    shell = kept_variables(world.environ)
    ours = proxies(world.environ)
    if address is None or not address.is_local:
        why = "the server is on another computer"
        return EnvironmentSeen(shell=shell, why=why, shell_proxy=ours), ServerEnvironment()
    found = detect_server_process(world.root, world.environ, port=address.port)
    return (
        EnvironmentSeen(
            variables=kept_variables(found.variables),
            shell=shell,
            source=found.source,
            why=found.why,
            proxy=proxies(found.variables),
            shell_proxy=ours,
        ),
        found,
    )


def _disk(world: World, address: ServerAddress | None, found: ServerEnvironment) -> DiskSeen:
    disk = DiskSeen()
    if address is not None and address.is_local:
        disk = observe_disk(world.root, found.variables, _home(world), uid=found.uid)
    return with_data_folder(disk, data_folder())


def _home(world: World) -> Path:
    home = world.environ.get("HOME", "")
    return Path(home) if home.startswith("/") else Path.home()


def _system(world: World, address: ServerAddress | None) -> SystemSeen:
    if address is None or not address.is_local:
        return SystemSeen()
    return observe_system(world.root)


def _ledger() -> Ledger:
    from assistant.provision.ledger import read_ledger

    return read_ledger()


def _index() -> IndexSeen:
    from assistant.knowledge.index import read_record
    from assistant.knowledge.search import open_shelf
    from assistant.knowledge.upkeep import ORIGINS

    built = outdated = False
    for origin in ORIGINS:
        record = read_record(origin)
        if record is None:
            continue
        built = True
        shelf = open_shelf(origin)
        outdated = outdated or (shelf is not None and shelf.fingerprint != record.fingerprint)
    return IndexSeen(built=built, outdated=outdated)


def _with_server(
    seen: Observations, address: ServerAddress, gaps: list[Unavailable], *, offline: bool
) -> Observations:
    from assistant.ollama.client import OllamaClient

    if offline and not address.is_local:
        why = f"{address.url} is not on this computer, and --offline is given"
        return replace(seen, server=replace(seen.server, why=why))
    with OllamaClient(address, timeout_s=SERVER_TIMEOUT_S) as client:
        try:
            version = client.version()
        except AssistantError as error:
            return replace(seen, server=_unreachable(seen.server, error))
        server = replace(seen.server, reachable=True, version=version)
        installed = _guard(gaps, "the installed models", client.installed_models, None)
        loaded = _guard(gaps, "the loaded models", client.loaded_models, None)
        models = None if installed is None else _models(seen, client, installed, loaded, gaps)
    return replace(seen, server=server, models=models, loaded=loaded)


def _unreachable(server: ServerSeen, error: AssistantError) -> ServerSeen:
    from assistant.ollama.local_server import find_ollama, how_to_start

    how = error.hint
    if server.is_local:
        how = how_to_start(find_ollama(platform=server.platform), platform=server.platform)
    return replace(server, reachable=False, why=error.message.removesuffix("."), how_to_start=how)


def _models(
    seen: Observations,
    client: OllamaClient,
    installed: tuple[InstalledModel, ...],
    loaded: tuple[LoadedModel, ...] | None,
    gaps: list[Unavailable],
) -> tuple[ModelSeen, ...]:
    """Return the installed models, those that matter most looked at first."""
    first = {name_key(each.name) for each in loaded or ()}
    first |= {name_key(history.alias) for history in seen.ledger.aliases} if seen.ledger else set()
    if seen.asked is not None:
        first.add(name_key(seen.asked))
    deadline = time.monotonic() + MODELS_BUDGET_S
    found: dict[str, ModelSeen] = {}
    late = 0
    for model in sorted(installed, key=lambda each: name_key(each.name) not in first):
        if time.monotonic() > deadline:
            late += 1
            found[model.name] = ModelSeen(model.name, model.digest, model.size_bytes)
        else:
            found[model.name] = _model(client, model)
    if late:
        why = f"{late} of {len(installed)} were left out to save time"
        gaps.append(Unavailable("some installed models", why))
    return tuple(found[model.name] for model in installed)


def _model(client: OllamaClient, model: InstalledModel) -> ModelSeen:
    from assistant.fit.model_facts import facts_from_show

    seen = ModelSeen(model.name, model.digest, model.size_bytes)
    try:
        shown = client.show_with_arrays(model.name)
    except AssistantError as error:
        return replace(seen, why=error.message.removesuffix("."))
    seen = replace(
        seen,
        blob_digest=shown.blob_digest,
        capabilities=shown.capabilities,
        num_ctx=shown.num_ctx,
        num_gpu=_count(shown.parameters.get("num_gpu")),
        in_cloud=shown.remote_host is not None,
    )
    if seen.in_cloud:
        return seen
    try:
        return replace(seen, facts=facts_from_show(shown))
    except AssistantError as error:
        return replace(seen, why=error.message.removesuffix("."))


def _count(value: object) -> int | None:
    """Return a Modelfile's number; a negative one stands for Ollama's own choice: None."""
    text = value[-1] if isinstance(value, tuple) and value else value
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() else None


def _with_alternatives(seen: Observations, alternatives: Alternatives) -> Observations:
    """Add the other quantizations of the models that are loaded or asked about."""
    wanted = {name_key(each.name) for each in seen.loaded or ()}
    if seen.asked is not None:
        wanted.add(name_key(seen.asked))
    models = tuple(
        replace(model, alternatives=_others(seen, model, alternatives))
        if name_key(model.name) in wanted and not model.in_cloud
        else model
        for model in seen.models or ()
    )
    return seen if seen.models is None else replace(seen, models=models)


def _others(
    seen: Observations, model: ModelSeen, alternatives: Alternatives
) -> tuple[ModelFacts, ...]:
    history = seen.ledger.of_alias(model.name) if seen.ledger is not None else None
    entry = history.entry if history is not None else None
    try:
        return alternatives(model.name if entry is None else entry.model)
    except AssistantError:
        return ()


def _upstream(seen: Observations, read: ReadManifest) -> dict[str, Upstream]:
    """Ask the registries about the models that were set up, and about the asked one."""
    from assistant.provision.upstream import ask_upstream

    histories = seen.ledger.aliases if seen.ledger is not None else ()
    entries = [history.entry for history in histories if history.entry is not None]
    names = [entry.model for entry in entries]
    if seen.asked is not None:
        wanted = name_key(seen.asked)
        named = (e for e in entries if wanted in (name_key(e.alias), name_key(e.model)))
        names = [entry.model for entry in named]
        model = seen.model(seen.asked)
        is_alias = seen.ledger is not None and seen.ledger.of_alias(seen.asked) is not None
        if not names and model is not None and not model.in_cloud and not is_alias:
            names = [seen.asked]
    return ask_upstream(names[:MOST_UPSTREAM], read, time_limit_s=UPSTREAM_LIMIT_S)

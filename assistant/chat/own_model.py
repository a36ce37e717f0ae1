"""Which model a conversation is with: the one named, the one set up for the role, or the best.

Only models on the person's own server: what runs in a cloud is refused unless it is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from assistant.chat.chat_problems import CannotChatError, CloudModelError, NoChatModelError
from assistant.errors import UnknownModelError
from assistant.fit.run_choices import SMALLEST_TIER, default_context
from assistant.ollama.records import InstalledModel, LoadedModel, ShownModel

if TYPE_CHECKING:
    from assistant.machine.records import Machine
    from assistant.models.catalog import Catalog
    from assistant.ollama.server_address import ServerAddress

DetectMachine = Callable[[], "Machine"]
_NEAR: Final = 0.6


class Server(Protocol):
    """What is asked of a server (`assistant.ollama.client.OllamaClient`)."""

    @property
    def address(self) -> ServerAddress:
        """Where it is."""

    def installed_models(self) -> tuple[InstalledModel, ...]:
        """What is on its disk."""

    def loaded_models(self) -> tuple[LoadedModel, ...]:
        """What is in its memory."""

    def show(self, name: str) -> ShownModel:
        """What it knows of one model."""

    def show_with_arrays(self, name: str) -> ShownModel:
        """Return the same with what differs from layer to layer."""


@dataclass(frozen=True, slots=True)
class OwnModel:
    """The model of a conversation. `why` says in a clause how it was chosen.

    `num_ctx` is the context a request gets that asks for none; `num_ctx_is_exact` says that its
    Modelfile or the server named it, otherwise it is Ollama's rule for this machine.
    `remote` is True for a model that runs in a cloud. `system` is the system prompt of its
    Modelfile, `num_predict` that option of it.
    """

    name: str
    capabilities: frozenset[str]
    num_ctx: int
    remote: bool = False
    num_ctx_is_exact: bool = False
    trained_num_ctx: int | None = None
    system: str | None = None
    num_predict: int | None = None
    role: str | None = None
    why: str = "as asked"

    @property
    def sees_images(self) -> bool:
        """True when pictures can be sent to it."""
        return "vision" in self.capabilities

    @property
    def thinks(self) -> bool:
        """True when it thinks before it answers."""
        return "thinking" in self.capabilities


def chat_model(
    client: Server,
    *,
    wanted: str | None = None,
    role: str | None = None,
    allow_cloud: bool = False,
    detect: DetectMachine | None = None,
    catalog: Catalog | None = None,
) -> OwnModel:
    """Return the model to talk to: `wanted`, else what setup made for `role` (chat), else the best.

    `detect` looks at this computer, to rank models and to know Ollama's default context; without
    it the smallest default is assumed.

    Raises:
        UnknownModelError: `wanted` is not installed; the hint has names that are near.
        CloudModelError: it runs in a cloud, and that is not allowed.
        CannotChatError: it is for embeddings.
        NoChatModelError: nothing is installed that can chat.
        OllamaError: the server cannot be reached or does not answer as it should.
    """
    if wanted is not None and _names_cloud(wanted) and not allow_cloud:
        raise CloudModelError(wanted)
    installed = client.installed_models()
    if wanted is not None:
        shown = client.show(_installed_name(wanted, installed))
        _check(shown, allow_cloud=allow_cloud)
        return _own_model(client, shown, role=role, why="as asked", detect=detect)
    alias = _set_up(role or "chat", installed)
    if alias is not None:
        shown = client.show(alias)
        _check(shown, allow_cloud=allow_cloud)
        why = f"set up for {role or 'chat'}"
        return _own_model(client, shown, role=role, why=why, detect=detect)
    return _best(client, installed, role=role, detect=detect, catalog=catalog)


def is_cloud_model(shown: ShownModel) -> bool:
    """Return True for a model that runs elsewhere: `remote_host` is set, or the tag says cloud."""
    return shown.remote_host is not None or _names_cloud(shown.name)


def loaded_num_ctx(client: Server, name: str) -> int | None:
    """Return the context of a model in the server's memory, None when it is not there.

    Raises:
        OllamaError: the server does not answer.
    """
    key = _key(name)
    return next((m.num_ctx for m in client.loaded_models() if _key(m.name) == key), None)


def _best(
    client: Server,
    installed: Sequence[InstalledModel],
    *,
    role: str | None,
    detect: DetectMachine | None,
    catalog: Catalog | None,
) -> OwnModel:
    from assistant.agent.model_choice import choose_model

    clouds: set[str] = set()

    def show_local(name: str) -> ShownModel:
        shown = client.show(name)
        if is_cloud_model(shown):
            clouds.add(name)
            raise UnknownModelError(f"the model {name!r} runs in a cloud.")
        return shown

    machine = detect() if detect and installed and client.address.is_local else None
    chosen = choose_model(installed, show_local, machine=machine, catalog=catalog)
    if chosen is None:
        raise NoChatModelError(client.address.url, clouds=len(clouds))
    shown = client.show(chosen.name)
    return _own_model(client, shown, role=role, why=chosen.why, detect=detect)


def _own_model(
    client: Server,
    shown: ShownModel,
    *,
    role: str | None,
    why: str,
    detect: DetectMachine | None,
) -> OwnModel:
    trained = _trained_num_ctx(shown)
    num_ctx = shown.num_ctx
    exact = num_ctx is not None
    if num_ctx is None:
        num_ctx = loaded_num_ctx(client, shown.name)
    if num_ctx is None:
        num_ctx = _default_num_ctx(client.address, detect)
    return OwnModel(
        name=shown.name,
        capabilities=shown.capabilities,
        num_ctx=min(num_ctx, trained) if trained else num_ctx,
        num_ctx_is_exact=exact,
        remote=is_cloud_model(shown),
        trained_num_ctx=trained,
        system=shown.system,
        num_predict=_integer(shown.parameters.get("num_predict")),
        role=role,
        why=why,
    )


def _default_num_ctx(address: ServerAddress, detect: DetectMachine | None) -> int:
    """Return Ollama's default: OLLAMA_CONTEXT_LENGTH of the server, else by the VRAM there is."""
    if not address.is_local:
        return SMALLEST_TIER
    import os
    from pathlib import Path

    from assistant.config import read_settings
    from assistant.machine.detect.server_process import detect_server_process

    found = detect_server_process(Path("/"), os.environ, port=address.port)
    fixed = read_settings(found.variables).context_length.value
    if fixed is not None:
        return fixed
    if detect is None:
        return SMALLEST_TIER
    return default_context(sum(a.memory_total_bytes or 0 for a in detect().usable_accelerators))


def _names_cloud(name: str) -> bool:
    tag = name.rpartition(":")[2].lower()
    return ":" in name and (tag == "cloud" or tag.endswith("-cloud"))


def _check(shown: ShownModel, *, allow_cloud: bool) -> None:
    if is_cloud_model(shown) and not allow_cloud:
        raise CloudModelError(shown.name, shown.remote_host)
    embeds = "embedding" in shown.capabilities
    if embeds or "completion" not in shown.capabilities:
        raise CannotChatError(shown.name, embeds=embeds)


def _installed_name(wanted: str, installed: Sequence[InstalledModel]) -> str:
    """Return the name on the server of the model that is wanted.

    Raises:
        UnknownModelError: there is none.
    """
    names = {_key(model.name): model.name for model in installed}
    found = names.get(_key(wanted))
    if found is not None:
        return found
    near = difflib.get_close_matches(_key(wanted), names, n=2, cutoff=_NEAR)
    meant = " or ".join(names[key] for key in near)
    raise UnknownModelError(
        f"the model {wanted!r} is not installed on the Ollama server.",
        hint=f"Did you mean {meant}? Otherwise install it with: ollama pull {wanted}"
        if meant
        else f"Install it with: ollama pull {wanted}, or set up what fits: assistant setup",
    )


def _set_up(role: str, installed: Sequence[InstalledModel]) -> str | None:
    """Return the alias that setup made for a role, None when this server has none."""
    from assistant.provision.ledger import current_entry

    entry = current_entry(role)
    if entry is None:
        return None
    return next((m.name for m in installed if _key(m.name) == _key(entry.alias)), None)


def _trained_num_ctx(shown: ShownModel) -> int | None:
    lengths = (v for k, v in shown.metadata.items() if k.endswith(".context_length"))
    return next((v for v in lengths if isinstance(v, int) and v > 0), None)


def _integer(value: object) -> int | None:
    text = value if isinstance(value, str) else ""
    return int(text) if text.lstrip("-").isdecimal() else None


def _key(name: str) -> str:
    """Return a name as Ollama compares it: no default host or library, a tag, no case."""
    base = name.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return base if ":" in base.rpartition("/")[2] else f"{base}:latest"

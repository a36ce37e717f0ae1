"""What a person means by MODEL: a role stands for the model that was set up for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.cli.output import Output
from assistant.errors import AssistantError, UnknownModelError, UsageError

if TYPE_CHECKING:
    from assistant.cli.model_sources import Sources
    from assistant.fit.records import ModelFacts
    from assistant.provision.records import LedgerEntry

SERVER_TIMEOUT_S: Final = 3.0


def role_model(out: Output, text: str) -> str:
    """Return the alias of the role that `text` names, and say so; any other text as it is.

    Raises:
        UnknownModelError: it is a role that was not set up.
    """
    entry = _set_up_for(text)
    if entry is None:
        return text
    out.note(f"{entry.role}: {entry.alias}")
    return entry.alias


def role_model_or_base(out: Output, text: str, *, offline: bool) -> str:
    """Return the alias as `role_model` does, or its base model where no server shows the alias.

    Raises:
        UnknownModelError: it is a role that was not set up.
    """
    entry = _set_up_for(text)
    if entry is None:
        return text
    if _is_shown(entry.alias, offline=offline):
        out.note(f"{entry.role}: {entry.alias}")
        return entry.alias
    out.note(f"{entry.role}: {entry.model}, since no server here shows {entry.alias}")
    return entry.model


def _set_up_for(text: str) -> LedgerEntry | None:
    """Return what serves the role that `text` names; None when it names none."""
    from assistant.provision.inventory import role_named
    from assistant.provision.ledger import current_entry

    role = role_named(text)
    entry = None if role is None else current_entry(role)
    if role is not None and entry is None:
        raise UnknownModelError(
            f"nothing is set up for the role {role!r}.",
            hint=f"Set it up with: assistant setup --role {role}",
        )
    return entry


def _is_shown(alias: str, *, offline: bool) -> bool:
    """Return whether the configured server has an alias; False where it may not be asked."""
    from assistant.ollama.client import OllamaClient
    from assistant.ollama.server_address import configured_address
    from assistant.provision.drift import installed_as

    try:
        address = configured_address()
        if offline and not address.is_local:
            return False
        with OllamaClient(address, timeout_s=SERVER_TIMEOUT_S) as client:
            return installed_as(alias, client.installed_models()) is not None
    except AssistantError:
        return False


def check_is_no_near_role(text: str, *, command: str) -> None:
    """Check that an unknown word is not a role misspelt, before a registry is asked for it.

    Raises:
        UnknownModelError: it is like a role, and neither catalog nor server know it.
    """
    from assistant.cli.model_sources import Sources
    from assistant.provision.inventory import near_roles

    near = near_roles(text)
    if not near:
        return
    try:
        Sources(offline=True).facts(text)
    except AssistantError as error:
        meant = " or ".join(f"assistant {command} {role}" for role in near)
        raise UnknownModelError(
            f"there is no role and no model {text.strip()!r}.", hint=f"Did you mean: {meant}?"
        ) from error


def check_quantization(
    text: str, quantization: str | None, facts: ModelFacts, sources: Sources
) -> None:
    """Check that `facts` are of the quantization that was asked for, and that one can have it.

    Raises:
        UsageError: what was asked for is no quantization, or the model does not have it.
    """
    from assistant.models.names import HUGGING_FACE_HOSTS, parse_quantization

    if quantization is None or text.strip().lower().startswith(tuple(HUGGING_FACE_HOSTS)):
        return  # a repository names its files as it likes
    level = parse_quantization(quantization)
    if level is None:
        raise UsageError(
            f"{quantization!r} is not a quantization level.",
            hint="Levels are written like Q4_K_M, Q5_K_M, Q6_K, Q8_0 or F16.",
        )
    name = text.strip()
    if facts.source == "server" and facts.quantization != level:
        raise UsageError(
            f"{name} is {facts.quantization or 'of an unknown quantization'} on the server, and "
            f"no {level} of it is known.",
            hint="Leave --quant out, or name the model that it was made from.",
        )
    if facts.source == "catalog" and not facts.pullable:
        plain = sources.facts(name)
        levels = {each.quantization for each in (plain, *sources.alternatives(plain))}
        known = ", ".join(sorted(each for each in levels if each))
        raise UsageError(f"{name} is not to be had as {level}.", hint=f"It is there as: {known}.")

"""The roles whose models can chat: all but those for embeddings."""

from __future__ import annotations

from assistant.errors import UsageError


def chat_roles() -> tuple[tuple[str, str], ...]:
    """Return the roles that a conversation can have, each with what it is for."""
    from assistant.recommend.roles import ROLES

    return tuple((role.name, role.title) for role in ROLES if "embedding" not in role.requires)


def chat_role(typed: str) -> str:
    """Return the name of a role from that name or a usual synonym (`coding`, `ocr`).

    Raises:
        UsageError: there is no such role, or its models cannot chat; the hint lists those that can.
    """
    from assistant.recommend.roles import role_profile

    names = [name for name, _ in chat_roles()]
    hint = f"Roles: {', '.join(names)}."
    try:
        name = role_profile(typed.strip()).name
    except UsageError as error:
        raise UsageError(f"there is no role {typed!r}.", hint=hint) from error
    if name not in names:
        raise UsageError(f"models for the role {typed!r} cannot chat.", hint=hint)
    return name

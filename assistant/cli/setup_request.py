"""What a person asks `assistant setup` for: roles, models for them, the speed of the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click

from assistant.errors import UsageError

DEFAULT_ROLES: Final = ("chat", "code", "embeddings")


def parse_roles(roles: Sequence[str], models: dict[str, str]) -> tuple[str, ...]:
    """Return the roles to set up: those given and those that a model is named for.

    Raises:
        UsageError: there is no such role.
    """
    from assistant.recommend.roles import role_profile

    given = [role_profile(role).name for role in roles]
    named = [*given, *models] or list(DEFAULT_ROLES)
    return tuple(dict.fromkeys(named))


def parse_models(models: Sequence[str]) -> dict[str, str]:
    """Return the models named with `--model ROLE=NAME`, by role.

    Raises:
        UsageError: one is not of that form, or its role or name makes no sense.
    """
    from assistant.models.names import parse_model_name
    from assistant.recommend.roles import role_profile

    named: dict[str, str] = {}
    for text in models:
        role, separator, name = text.partition("=")
        if not separator or not role.strip() or not name.strip():
            raise UsageError(
                f"--model takes ROLE=NAME, not {text!r}.",
                hint="Such as: assistant setup --model chat=llama3.1:8b",
            )
        parse_model_name(name.strip())
        named[role_profile(role.strip()).name] = name.strip()
    return named


class Bandwidth(click.ParamType[float]):
    """A download speed in bytes per second: `50MB/s`, `100Mbit/s`."""

    name = "speed"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return bytes per second, or fail with what would be accepted."""
        if isinstance(value, float):
            return value
        from assistant.units import parse_size

        text = str(value).strip().removesuffix("/s").removesuffix("ps")
        bits = text.lower().endswith("bit")
        try:
            size = parse_size(text[:-3] + "B" if bits else text, binary=False)
        except ValueError:
            size = 0
        if size <= 0:
            self.fail(f"{value!r} is not a speed; give 50MB/s or 100Mbit/s.", param, ctx)
        return size / 8 if bits else float(size)

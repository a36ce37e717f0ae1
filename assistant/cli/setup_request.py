"""What a person asks `assistant setup` for: roles, models for them, the speed of the line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from assistant.errors import UsageError

if TYPE_CHECKING:
    from assistant.models.names import ModelName

DEFAULT_ROLES: Final = ("chat", "code", "embeddings")

_SPEED: Final = re.compile(
    r"(?P<number>\d{1,9}(?:\.\d{1,9})?)\s*(?P<prefix>[KkMmGg]?)"
    r"(?P<unit>B|[Bb]its?|b)(?:/s|ps)?",
    re.ASCII,
)
_PREFIXES: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_FASTEST: Final = 10.0**12


def parse_roles(roles: Sequence[str], models: dict[str, str]) -> tuple[str, ...]:
    """Return the roles to set up: those given and those that a model is named for.

    Raises:
        UsageError: there is no such role.
    """
    from assistant.recommend.roles import role_profile

    given = [role_profile(role).name for role in roles]
    named = [*given, *models] or list(DEFAULT_ROLES)
    return tuple(dict.fromkeys(named))


def _check_not_ours(name: ModelName) -> None:
    """Raise when a name is one that setup gives to what it makes.

    Raises:
        UsageError: it is.
    """
    from assistant.provision.records import ALIAS_PREFIX

    if name.namespace == "library" and name.model.lower().startswith(ALIAS_PREFIX):
        raise UsageError(
            f"{name.render()!r} is made by this program from another model.",
            hint="Name the model that it is made from; assistant models list says which.",
        )


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
        _check_not_ours(parse_model_name(name.strip()))
        known = role_profile(role.strip()).name
        if named.get(known, name.strip()) != name.strip():
            raise UsageError(
                f"--model names two models for {known}: {named[known]!r} and {name.strip()!r}.",
                hint="One role has one model; leave one of them out.",
            )
        named[known] = name.strip()
    return named


class Bandwidth(click.ParamType[float]):
    """A download speed in bytes per second: `50MB/s`, `100Mbit/s`, `1Gbps`.

    A capital B is a byte and a small one a bit, as providers of lines write it.
    """

    name = "speed"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return bytes per second, or fail with what would be accepted."""
        if isinstance(value, float):
            return value
        match = _SPEED.fullmatch(str(value).strip())
        speed = 0.0
        if match is not None:
            prefix, unit = match["prefix"].upper(), match["unit"]
            speed = float(match["number"]) * _PREFIXES[prefix] / (1 if unit == "B" else 8)
        if not 1 <= speed <= _FASTEST:
            self.fail(f"{value!r} is not a speed; give 50MB/s or 100Mbit/s.", param, ctx)
        return speed

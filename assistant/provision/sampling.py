"""Sampling parameters for a model in a role: the maker's recommendation, then the role's need.

`data/sampling.json` holds what the makers publish, per family and mode, each with the page it
was read from; a family without such a page is not in it and keeps the parameters of its own
file. What the roles want (0.2 for code, 0 for extraction) is this project's, as the guide
`modelfiles` explains it. The rules:

* A model that thinks keeps its maker's values in every role: lower ones make it repeat itself
  (Qwen3's documentation forbids greedy decoding there). Without published values it keeps those
  of its file.
* Otherwise the maker's values stand, but roles that follow a source (`lowers`) may lower the
  temperature. At 0 nothing else is written: the likeliest token is taken, top_p or not.
* A model without published values takes the role's temperature.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

SAMPLING_FILE: Final = Path(__file__).parent / "data" / "sampling.json"
NO_SAMPLING_ROLES: Final = frozenset({"embeddings"})


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters to write, and why. `source` is the page of the maker's recommendation.

    `no_system` says that the maker advises against a system prompt.
    """

    parameters: tuple[tuple[str, str], ...] = ()
    why: str = ""
    source: str | None = None
    no_system: bool = False


def sampling_for(*, family: str | None, role: str | None, thinking: bool) -> Sampling:
    """Return the sampling parameters of a model of `family` that serves `role`.

    `family` is the catalog's (`qwen3.5`), None when it is not known; without a role the maker's
    values come back alone. `thinking` says whether the model thinks before it answers.
    """
    if role in NO_SAMPLING_ROLES:
        return Sampling(why="an embedding model generates nothing, so nothing is sampled")
    known = _data()["families"].get(family or "", {})
    no_system = bool(known.get("no_system"))
    thinking = thinking or (bool(known) and "plain" not in known)
    values = _maker_values(known, role=role, thinking=thinking)
    wanted = None if role is None else _data()["roles"].get(role)
    if values is None:
        return _without_maker(wanted, thinking=thinking, no_system=no_system)
    lower = (
        not thinking
        and wanted is not None
        and wanted.get("lowers", False)
        and wanted["temperature"] < values["temperature"]
    )
    if lower and wanted is not None:
        at = wanted["temperature"]
        why = f"{wanted['why']}, so temperature {at:g}, below {known['maker']}'s"
        rest = {} if at == 0 else {k: v for k, v in values.items() if k != "temperature"}
        why += f" {values['temperature']:g}" + (f"; {_listed(rest)} as recommended" if rest else "")
        return Sampling(_texts({"temperature": at} | rest), why, known["source"], no_system)
    mode = " for thinking" if thinking and known.get("plain", values) != values else ""
    why = f"{_listed(values)}: recommended{mode} by {known['maker']}"
    return Sampling(_texts(values), why, known["source"], no_system)


def known_families() -> tuple[str, ...]:
    """Return the families whose makers publish values, in alphabetical order."""
    return tuple(sorted(_data()["families"]))


def _maker_values(
    known: dict[str, Any], *, role: str | None, thinking: bool
) -> dict[str, float] | None:
    modes = (f"thinking_{role}", "thinking", "plain") if thinking else ("plain",)
    return next((dict(known[mode]) for mode in modes if mode in known), None)


def _without_maker(wanted: dict[str, Any] | None, *, thinking: bool, no_system: bool) -> Sampling:
    if thinking:
        why = "left as the model brings it: its maker's values for thinking were not found"
        return Sampling(why=why, no_system=no_system)
    if wanted is None:
        return Sampling(why="left as the model brings it", no_system=no_system)
    values = {"temperature": wanted["temperature"]}
    why = f"temperature {wanted['temperature']:g}: {wanted['why']}"
    return Sampling(_texts(values), why, no_system=no_system)


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def _texts(values: dict[str, float]) -> tuple[tuple[str, str], ...]:
    return tuple((name, f"{value:g}") for name, value in values.items())


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SAMPLING_FILE.read_text(encoding="utf-8"))
    return loaded

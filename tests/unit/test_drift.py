"""Drift: what moved since setup, as a pure judgement, and asking several registries at once."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import RegistryError, UnknownModelError
from assistant.models.names import ModelName
from assistant.models.registry import RegistryModel
from assistant.ollama.records import InstalledModel
from assistant.provision.drift import (
    Upstream,
    drift_notes,
    drift_of,
    installed_as,
    name_key,
    same_digest,
)
from assistant.provision.upstream import ask_upstream
from tests.support.provisioned import plain_entry

BASE, BLOB, ALIAS, OTHER = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
AS_SET_UP = (
    InstalledModel("assistant-chat:latest", digest=ALIAS),
    InstalledModel("smollm2:135m", digest=BASE),
)


def on_server(*, alias: str | None = ALIAS, base: str | None = BASE) -> tuple[InstalledModel, ...]:
    listed = []
    if alias:
        listed.append(InstalledModel("assistant-chat:latest", digest=alias))
    if base:
        listed.append(InstalledModel("smollm2:135m", digest=base))
    return tuple(listed)


@pytest.mark.parametrize(
    ("installed", "upstream", "states", "codes"),
    [
        (on_server(), None, ("as_set_up", "as_set_up", "not_asked"), []),
        (on_server(), Upstream(f"sha256:{BLOB}"), ("as_set_up", "as_set_up", "same"), []),
        (
            on_server(),
            Upstream(f"sha256:{OTHER}"),
            ("as_set_up", "as_set_up", "moved"),
            ["upstream_moved"],
        ),
        (
            on_server(base=OTHER),
            Upstream(f"sha256:{OTHER}"),
            ("as_set_up", "moved", "moved"),
            ["base_moved"],
        ),
        (
            on_server(),
            Upstream(is_absent=True),
            ("as_set_up", "as_set_up", "absent"),
            ["upstream_absent"],
        ),
        (on_server(), Upstream(why="off"), ("as_set_up", "as_set_up", "unknown"), []),
        (on_server(alias=OTHER), None, ("changed", "as_set_up", "not_asked"), ["alias_changed"]),
        (on_server(alias=None), None, ("missing", "as_set_up", "not_asked"), ["alias_missing"]),
        (on_server(base=None), None, ("as_set_up", "missing", "not_asked"), ["base_missing"]),
        ((), None, ("missing", "missing", "not_asked"), ["alias_missing"]),
        (None, None, ("unknown", "unknown", "not_asked"), []),
    ],
)
def test_each_kind_of_drift_is_told_apart(
    installed: tuple[InstalledModel, ...] | None,
    upstream: Upstream | None,
    states: tuple[str, str, str],
    codes: list[str],
) -> None:
    drift = drift_of(plain_entry(), installed=installed, upstream=upstream)
    assert (drift.alias_state, drift.base_state, drift.upstream) == states
    notes = drift_notes(drift)
    assert [note.code for note in notes] == codes
    assert drift.has_moved == bool(codes)
    assert drift.is_broken == any(code.startswith("alias") for code in codes)


def test_the_fix_makes_the_same_alias_again() -> None:
    role = drift_notes(drift_of(plain_entry(), installed=()))[0]
    assert role.fix == "assistant setup --role chat"
    tuned = drift_of(plain_entry(role=None, alias="my-tune"), installed=())
    again = "assistant tune smollm2:135m --num-ctx 2048 --apply --name my-tune"
    assert drift_notes(tuned)[0].fix == again


def test_what_nobody_wrote_down_is_unknown_not_changed() -> None:
    entry = plain_entry(digest=None, alias_digest=None, blob_digest=None)
    drift = drift_of(entry, installed=AS_SET_UP, upstream=Upstream(f"sha256:{OTHER}"))
    assert (drift.alias_state, drift.base_state, drift.upstream) == ("unknown",) * 3
    assert not drift.has_moved


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Chat", "chat:latest"),
        ("registry.ollama.ai/library/x:1", "x:1"),
        ("hf.co/U/R:Q4_K_M", "HF.co/u/r:q4_k_m"),
        ("not a name", "NOT A NAME"),
    ],
)
def test_names_are_compared_as_ollama_compares_them(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)
    assert installed_as(one, [InstalledModel(other)]) is not None


hexes = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(hexes, hexes)
def test_digests_are_equal_with_and_without_their_algorithm(one: str, other: str) -> None:
    assert same_digest(one, f"sha256:{one}") is True
    assert same_digest(f"sha256:{one}", f"SHA256:{one}".upper()) is True
    assert same_digest(one, f"sha256:{other}") is (one == other)
    assert same_digest(one, None) is None
    assert same_digest("", other) is None


@given(st.booleans(), st.booleans(), st.booleans())
def test_only_what_is_different_is_said(alias: bool, base: bool, upstream: bool) -> None:
    installed = on_server(alias=ALIAS if alias else OTHER, base=BASE if base else OTHER)
    said = Upstream(f"sha256:{BLOB if upstream else OTHER}")
    drift = drift_of(plain_entry(), installed=installed, upstream=said)
    assert drift.has_moved is (not (alias and base and upstream))
    assert bool(drift_notes(drift)) is drift.has_moved


MODEL = RegistryModel(
    name="x",
    manifest_digest="m",
    model_bytes=1,
    projector_bytes=0,
    download_bytes=1,
    layers=(),
    model_digest=f"sha256:{BLOB}",
)


def test_registries_are_asked_once_each_and_failures_are_reasons() -> None:
    asked: list[str] = []

    def read(name: ModelName) -> RegistryModel:
        asked.append(name.render())
        if name.model == "gone":
            raise UnknownModelError("no such model")
        if name.model == "down":
            raise RegistryError("it cannot be reached.")
        if name.model == "odd":
            raise ZeroDivisionError
        if name.model == "old":
            return replace(MODEL, notes=("sizes are those of 2026-01-01",))
        if name.model == "cloud":
            return replace(MODEL, model_digest=None, notes=("this model runs in the cloud",))
        return MODEL

    names = ["x:1", "x:1", "gone:1", "down:1", "odd:1", "old:1", "cloud:1", "no name at all"]
    found = ask_upstream(names, read)
    assert sorted(asked) == sorted(["x:1", "gone:1", "down:1", "odd:1", "old:1", "cloud:1"])
    assert found["x:1"] == Upstream(f"sha256:{BLOB}")
    assert found["gone:1"] == Upstream(is_absent=True)
    assert found["down:1"].why == "it cannot be reached"
    assert found["odd:1"].why == "ZeroDivisionError"
    assert found["old:1"].digest is None
    assert found["cloud:1"].why == "this model runs in the cloud"
    assert "is not a model name" in (found["no name at all"].why or "")


def test_a_registry_that_does_not_answer_is_left_behind() -> None:
    let_go = threading.Event()

    def read(name: ModelName) -> RegistryModel:
        if name.model == "slow":
            let_go.wait(30)
        return MODEL

    try:
        found = ask_upstream(["slow:1", "fast:1"], read, time_limit_s=0.2)
    finally:
        let_go.set()
    assert found["slow:1"] == Upstream(why="no answer within 0.2 s")
    assert found["fast:1"].digest is not None

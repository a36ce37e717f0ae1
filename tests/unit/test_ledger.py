"""The ledger: what is written is read again, whatever happens in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.errors import FileProblemError
from assistant.provision.ledger import (
    PREVIOUS_NAME,
    LedgerDamagedError,
    current_entry,
    ledger_file,
    ledger_from_dict,
    ledger_to_dict,
    read_ledger,
    rolled_back,
    with_entry,
    without_alias,
    write_ledger,
)
from assistant.provision.records import (
    AliasHistory,
    Expectation,
    Ledger,
    LedgerEntry,
    Measured,
    Pending,
    RoleTarget,
    alias_of,
)
from tests.support.provisioned import plain_entry

ROOT = Path(__file__).parents[2]

text = st.text(max_size=20)
count = st.integers(0, 2**53)
speed = st.floats(0, 1e6, allow_nan=False)
maybe = st.none()
json_value = st.recursive(
    st.none() | st.booleans() | count | text,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
expectations = st.builds(
    Expectation, text, count, maybe | count, maybe | count, maybe | speed, maybe | speed
)
measurements = st.builds(
    Measured,
    text,
    maybe | count,
    maybe | count,
    maybe | count,
    maybe | speed,
    maybe | speed,
    maybe | speed,
    maybe | count,
    maybe | st.booleans(),
    maybe | text,
)
entries = st.builds(
    LedgerEntry,
    alias=text,
    model=text,
    num_ctx=count,
    modelfile=text,
    created_at=text,
    role=maybe | text,
    digest=maybe | text,
    blob_digest=maybe | text,
    alias_digest=maybe | text,
    size_bytes=maybe | count,
    parameters=st.dictionaries(text, json_value, max_size=3),
    expected=maybe | expectations,
    estimate=st.dictionaries(text, json_value, max_size=2),
    measured=maybe | measurements,
    stays_loaded=st.booleans(),
    capabilities=st.lists(text, max_size=3).map(tuple),
)


@st.composite
def histories(draw: st.DrawFn) -> AliasHistory:
    versions = tuple(draw(st.lists(entries, max_size=4)))
    index = st.integers(0, len(versions) - 1) if versions else st.none()
    previous = tuple(draw(st.none() | index) for _ in versions)
    current = draw(st.none() | index)
    return AliasHistory(
        draw(text), draw(maybe | text), versions, previous, current, draw(maybe | text)
    )


targets = st.builds(
    RoleTarget,
    role=text,
    alias=text,
    model=text,
    num_ctx=count,
    modelfile=text,
    expected=expectations,
    download_bytes=maybe | count,
    contexts=st.lists(count, max_size=3).map(tuple),
    reasons=st.lists(text, max_size=2).map(tuple),
    capabilities=st.lists(text, max_size=2).map(tuple),
    estimate=st.dictionaries(text, json_value, max_size=2),
)
pendings = st.builds(Pending, text, text, st.lists(targets, max_size=2).map(tuple))
ledgers = st.builds(
    Ledger,
    aliases=st.lists(histories(), max_size=3).map(tuple),
    pending=maybe | pendings,
    machine=maybe | text,
    bytes_per_s=maybe | speed,
)


@given(ledgers)
def test_json_carries_a_ledger_there_and_back(ledger: Ledger) -> None:
    assert ledger_from_dict(json.loads(json.dumps(ledger_to_dict(ledger)))) == ledger


@given(ledger=ledgers)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_the_file_carries_a_ledger_there_and_back(ledger: Ledger, tmp_path: Path) -> None:
    write_ledger(ledger, tmp_path)
    assert read_ledger(tmp_path) == ledger


@given(ledger=ledgers, noise=st.binary(max_size=40), place=st.floats(0, 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_damage_gives_the_one_before_or_says_so(
    ledger: Ledger, noise: bytes, place: float, tmp_path: Path
) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    before = with_entry(Ledger(machine="before"), plain_entry())
    write_ledger(before, tmp_path)
    write_ledger(ledger, tmp_path)
    path = ledger_file(tmp_path)
    whole = path.read_bytes()
    cut = int(len(whole) * place)
    path.unlink()
    path.write_bytes(whole[:cut] + noise)
    assert read_ledger(tmp_path) in (before, ledger)


DAMAGE: list[Any] = [
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b"{}",
    b'{"version": "1"}',
    b'{"version": 0, "aliases": []}',
    b'{"version": 1}',
    b'{"version": 1, "aliases": [{"alias": "a"}]}',
    b'{"version": 1, "aliases": [{"alias": "a", "versions": [], "previous": [], "current": 0}]}',
    b'{"version": 1, "aliases": [{"alias": "a", "versions": [{}], "previous": [null], "current":'
    b" 0}]}",
    b'{"version": 1, "aliases": [{"alias": "a", "versions": [{"alias": 1, "model": 2, '
    b'"num_ctx": 3, "modelfile": 4, "created_at": 5}], "previous": [null], "current": 0}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: repr(d[:40]))
def test_a_damaged_ledger_is_replaced_by_the_one_before(damage: bytes, tmp_path: Path) -> None:
    first, second = Ledger(machine="first"), Ledger(machine="second")
    write_ledger(first, tmp_path)
    write_ledger(second, tmp_path)
    path = ledger_file(tmp_path)
    path.unlink()
    path.write_bytes(damage)
    assert read_ledger(tmp_path) == first
    write_ledger(second, tmp_path)
    assert read_ledger(tmp_path) == second
    path.unlink()
    path.write_bytes(damage)
    assert read_ledger(tmp_path) == first, "damage must never be what is kept as the copy"


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: repr(d[:40]))
def test_two_damaged_ledgers_are_an_error_that_says_what_to_do(
    damage: bytes, tmp_path: Path
) -> None:
    ledger_file(tmp_path).write_bytes(damage)
    (tmp_path / PREVIOUS_NAME).write_bytes(damage)
    with pytest.raises(LedgerDamagedError) as caught:
        read_ledger(tmp_path)
    assert "assistant setup" in (caught.value.hint or "")


def test_nothing_set_up_is_an_empty_ledger(tmp_path: Path) -> None:
    assert read_ledger(tmp_path / "not there") == Ledger()
    assert current_entry("chat", tmp_path) is None


def test_a_newer_ledger_is_neither_read_nor_written_over(tmp_path: Path) -> None:
    newer = b'{"version": 999, "aliases": [], "hyper": true}'
    ledger_file(tmp_path).write_bytes(newer)
    with pytest.raises(FileProblemError, match="newer version"):
        read_ledger(tmp_path)
    with pytest.raises(FileProblemError, match="newer version"):
        write_ledger(Ledger(), tmp_path)
    assert ledger_file(tmp_path).read_bytes() == newer
    assert current_entry("chat", tmp_path) is None


def test_what_a_newer_minor_version_added_is_left_alone(tmp_path: Path) -> None:
    data = ledger_to_dict(with_entry(Ledger(), plain_entry()))
    data["extra"] = data["aliases"][0]["versions"][0]["extra"] = {"a": 1}
    assert ledger_from_dict(data) == with_entry(Ledger(), plain_entry())


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    write_ledger(Ledger(), tmp_path / "new")
    write_ledger(Ledger(machine="again"), tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o77 == 0
    for name in (ledger_file(tmp_path / "new").name, PREVIOUS_NAME):
        assert (tmp_path / "new" / name).stat().st_mode & 0o77 == 0


DYING = """
import os, sys
from pathlib import Path
from assistant.provision.ledger import read_ledger, with_entry, write_ledger
from tests.support.provisioned import plain_entry

folder, left = Path(sys.argv[1]), int(sys.argv[2])
new = with_entry(read_ledger(folder), plain_entry(num_ctx=4096, modelfile="FROM x"))

def dying(call):
    def run(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return call(*args, **kwargs)
    return run

for owner, names in (
    (os, "open fdopen fsync close"),
    (Path, "replace unlink hardlink_to mkdir read_text"),
):
    for name in names.split():
        setattr(owner, name, dying(getattr(owner, name)))
write_ledger(new, folder)
os._exit(0)
"""
"""Writes one more version, in a process that ends, nothing flushed, before its n-th call."""


def test_a_kill_at_any_step_of_writing_leaves_one_of_the_two(tmp_path: Path) -> None:
    old = with_entry(Ledger(machine="old"), plain_entry())
    new = with_entry(old, plain_entry(num_ctx=4096, modelfile="FROM x"))
    step, code, seen = 0, 9, set()
    while code == 9:
        folder = tmp_path / str(step)
        write_ledger(Ledger(machine="oldest"), folder)
        write_ledger(old, folder)
        command = [sys.executable, "-c", DYING, str(folder), str(step)]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        found = read_ledger(folder)
        assert found in (old, new), f"step {step}"
        seen.add(found == new)
        ledger_file(folder).unlink()
        assert read_ledger(folder) in (Ledger(machine="oldest"), old), f"copy after step {step}"
        write_ledger(new, folder)
        assert read_ledger(folder) == new, f"the next write after step {step}"
        step += 1
    assert code == 0
    assert step > 8
    assert seen == {False, True}, "kills on both sides of the moment that counts"


def test_a_disk_without_hard_links_still_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_ledger(Ledger(machine="first"), tmp_path)
    write_ledger(Ledger(machine="second"), tmp_path)
    ledger_file(tmp_path).write_bytes(b"{")
    assert read_ledger(tmp_path) == Ledger(machine="first")


@given(st.lists(st.sampled_from(["new", "back", "remove", "again"]), max_size=12))
def test_rollback_goes_back_along_the_chain_that_led_here(steps: list[str]) -> None:
    """A ledger against the plainest model of it: a stack of versions."""
    ledger, stack, made = Ledger(), [], 0
    alias = alias_of("chat")
    for step in steps:
        if step == "new":
            made += 1
            entry = plain_entry(modelfile=f"FROM {made}\n", created_at=str(made))
            ledger, stack = with_entry(ledger, entry), [*stack, entry]
        elif step == "again" and stack:
            stack[-1] = replace(stack[-1], measured=Measured("later"))
            ledger = with_entry(ledger, stack[-1])
        elif step == "back":
            ledger, stack = rolled_back(ledger, alias), stack[:-1]
        elif step == "remove":
            ledger, stack = without_alias(ledger, alias), []
        history = ledger.of_role("chat")
        assert ledger.current("chat") == (stack[-1] if stack else None)
        if history is not None:
            assert history.before == (stack[-2] if len(stack) > 1 else None)
            assert len(history.versions) == made, "nothing is ever forgotten"
        assert ledger_from_dict(ledger_to_dict(ledger)) == ledger


def test_aliases_are_found_in_any_case_and_keep_their_order() -> None:
    ledger = Ledger()
    for role in ("chat", "code", "embeddings"):
        ledger = with_entry(ledger, plain_entry(alias=alias_of(role), role=role))
    ledger = with_entry(ledger, plain_entry(modelfile="FROM y\n"))
    assert [history.alias for history in ledger.aliases] == [
        "assistant-chat", "assistant-code", "assistant-embeddings",
    ]  # fmt: skip
    assert ledger.of_alias("Assistant-CHAT:latest") is ledger.aliases[0]
    assert ledger.of_alias("assistant-chat:next") is None
    assert rolled_back(ledger, "nobody") == without_alias(ledger, "nobody") == ledger


def test_a_backup_is_kept_until_a_newer_one_comes() -> None:
    ledger = with_entry(Ledger(), plain_entry(), backup="assistant-chat:before-setup")
    ledger = with_entry(ledger, plain_entry(modelfile="FROM y\n"))
    assert ledger.aliases[0].backup == "assistant-chat:before-setup"


def test_going_back_or_removing_forgets_what_an_unfinished_setup_meant_to_make() -> None:
    def target(role: str) -> RoleTarget:
        return RoleTarget(
            role, alias_of(role), "qwen3:8b", 8192, "FROM qwen3:8b\n", Expectation("gpu", 8192)
        )

    made = [
        LedgerEntry(
            alias=alias_of(role), role=role, model=model, num_ctx=4096, modelfile=f"FROM {model}\n",
            created_at="2026-11-27T10:00:00+00:00",
        )
        for role in ("chat", "code")
        for model in ("llama3.1:8b", "gemma4:12b")
    ]  # fmt: skip
    ledger = Ledger()
    for entry in made:
        ledger = with_entry(ledger, entry)
    pending = Pending("2026-11-27T11:00:00+00:00", "this one", (target("chat"), target("code")))
    ledger = replace(ledger, pending=pending)
    back = rolled_back(ledger, "assistant-chat")
    assert back.pending is not None
    assert [t.role for t in back.pending.targets] == ["code"]
    assert without_alias(back, "assistant-code").pending is None

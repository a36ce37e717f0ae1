"""What is left to do, as steps, and whether the disk holds it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.ollama.records import InstalledModel
from assistant.provision.ledger import with_entry
from assistant.provision.plan import (
    DISK_MARGIN_BYTES,
    DiskTooSmallError,
    check_disk,
    download_bytes,
    installed_by_name,
    is_in_place,
    is_untouched,
    plan_steps,
)
from assistant.provision.records import (
    Expectation,
    Ledger,
    LedgerEntry,
    Measured,
    Plan,
    RoleTarget,
    alias_of,
)
from assistant.units import GB

DIGESTS = {"base": "b" * 64, "alias": "a" * 64}


def target(role: str, model: str, size: int | None = 5 * GB) -> RoleTarget:
    return RoleTarget(
        role, alias_of(role), model, 8192, f"FROM {model}\n", Expectation("gpu", 8192),
        download_bytes=size, reasons=("best",),
    )  # fmt: skip


def entry(made: RoleTarget, *, measured: bool = True) -> LedgerEntry:
    return LedgerEntry(
        made.alias, made.model, made.num_ctx, made.modelfile, "2026-11-20T10:00:00+00:00",
        role=made.role, digest=DIGESTS["base"], alias_digest=DIGESTS["alias"],
        measured=Measured("2026-11-20T10:00:00+00:00") if measured else None,
    )  # fmt: skip


def ledger(*entries: LedgerEntry) -> Ledger:
    found = Ledger()
    for each in entries:
        found = with_entry(found, each)
    return found


def installed(*names: str) -> dict[str, InstalledModel]:
    return installed_by_name(
        [
            InstalledModel(name, DIGESTS["alias" if name.startswith("assistant-") else "base"])
            for name in names
        ]
    )


def states(
    targets: list[RoleTarget], known: Ledger, there: dict[str, InstalledModel]
) -> dict[str, str]:
    return {step.id: step.state for step in plan_steps(targets, known, there)}


CHAT = target("chat", "llama3.1:8b")
CODE = target("code", "llama3.1:8b")
EMBEDDINGS = target("embeddings", "nomic-embed-text", 274_000_000)


def test_on_an_empty_server_all_is_to_be_done() -> None:
    steps = plan_steps([CHAT, CODE, EMBEDDINGS], Ledger(), {})
    assert [step.id for step in steps] == [
        "pull:llama3.1:8b", "create:chat", "verify:chat", "activate:chat",
        "create:code", "verify:code", "activate:code",
        "pull:nomic-embed-text", "create:embeddings", "verify:embeddings", "activate:embeddings",
    ]  # fmt: skip
    assert {step.state for step in steps} == {"pending"}
    assert download_bytes(steps) == 5 * GB + 274_000_000
    assert all(step.reason and step.role for step in steps)


def test_what_is_on_the_server_is_not_pulled_whatever_the_spelling() -> None:
    there = installed("LLAMA3.1:8B", "nomic-embed-text:latest")
    steps = plan_steps([CHAT, EMBEDDINGS], Ledger(), there)
    assert [s.state for s in steps if s.kind == "pull"] == ["done", "done"]
    assert download_bytes(steps) == 0
    assert states([CHAT], Ledger(), there)["create:chat"] == "pending"


def test_a_finished_setup_has_nothing_left() -> None:
    known = ledger(entry(CHAT), entry(EMBEDDINGS))
    there = installed("assistant-chat:latest", "assistant-embeddings:latest", "llama3.1:8b")
    assert set(states([CHAT, EMBEDDINGS], known, there).values()) == {"done"}
    plan = Plan((CHAT,), plan_steps([CHAT], known, there))
    assert plan.is_done


@pytest.mark.parametrize(
    ("changed", "there"),
    [
        (CHAT, []),
        (replace(CHAT, modelfile="FROM llama3.1:8b\nPARAMETER num_ctx 4096\n"), ["assistant-chat"]),
        (target("chat", "qwen3:8b"), ["assistant-chat"]),
        (target("rag", "llama3.1:8b"), ["assistant-chat"]),
    ],
    ids=["alias gone", "another Modelfile", "another model", "another role"],
)
def test_what_makes_a_role_be_made_again(changed: RoleTarget, there: list[str]) -> None:
    assert not is_in_place(changed, ledger(entry(CHAT)), installed(*there))
    found = states([changed], ledger(entry(CHAT)), installed(*there))
    assert found[f"create:{changed.role}"] == "pending"
    assert found[f"activate:{changed.role}"] == "pending"


def test_an_alias_that_someone_replaced_is_made_again() -> None:
    there = installed_by_name([InstalledModel("assistant-chat:latest", "f" * 64)])
    assert not is_untouched(entry(CHAT), there)
    assert is_untouched(replace(entry(CHAT), alias_digest=None), there)


def test_what_was_made_and_never_measured_is_verified() -> None:
    found = states([CHAT], ledger(entry(CHAT, measured=False)), installed("assistant-chat"))
    assert found == {
        "pull:llama3.1:8b": "done", "create:chat": "done",
        "verify:chat": "pending", "activate:chat": "done",
    }  # fmt: skip


def test_a_removed_base_is_not_missed_by_a_role_in_place_but_by_another_role() -> None:
    """`FROM llama3.1:8b` of the second role needs the name, which the first does not keep."""
    known, there = ledger(entry(CHAT)), installed("assistant-chat")
    assert states([CHAT], known, there)["pull:llama3.1:8b"] == "done"
    for order in ([CHAT, CODE], [CODE, CHAT]):
        steps = plan_steps(order, known, there)
        assert [s.state for s in steps if s.kind == "pull"] == ["pending"]
        assert download_bytes(steps) == 5 * GB


@pytest.mark.parametrize(
    ("download", "kept", "free", "fits"),
    [
        (5 * GB, 0, 6 * GB, True),
        (5 * GB, 0, 6 * GB - 1, False),
        (5 * GB, 2 * GB, 4 * GB, True),
        (5 * GB, 2 * GB, 4 * GB - 1, False),
        (5 * GB, 0, None, True),
        (0, 0, 0, True),
        (5 * GB, 5 * GB, 0, True),
        (5 * GB, 6 * GB, 0, True),
    ],
)
def test_the_disk(download: int, kept: int, free: int | None, *, fits: bool) -> None:
    plan = Plan((), (), download_bytes=download, kept_bytes=kept, disk_free_bytes=free)
    if fits:
        check_disk(plan)
        return
    with pytest.raises(DiskTooSmallError) as caught:
        check_disk(plan)
    assert "GB free" in caught.value.message
    assert caught.value.hint is not None
    assert "OLLAMA_MODELS" in caught.value.hint


def test_the_sentence_about_the_disk() -> None:
    plan = Plan((), (), download_bytes=7 * GB, kept_bytes=2 * GB, disk_free_bytes=3 * GB)
    with pytest.raises(DiskTooSmallError) as caught:
        check_disk(plan)
    assert caught.value.message == (
        "the downloads need 5.0 GB and 1.0 GB to spare; the disk of Ollama's models has 3.0 GB "
        "free."
    )


@given(st.integers(0, 100 * GB), st.integers(0, 100 * GB), st.integers(0, 100 * GB), st.integers(0))
def test_more_disk_or_more_kept_never_hurts(download: int, kept: int, free: int, more: int) -> None:
    def fits(plan: Plan) -> bool:
        try:
            check_disk(plan)
        except DiskTooSmallError:
            return False
        return True

    plan = Plan((), (), download_bytes=download, kept_bytes=kept, disk_free_bytes=free)
    if fits(plan):
        assert fits(replace(plan, disk_free_bytes=free + more))
        assert fits(replace(plan, kept_bytes=kept + more))
        assert download - kept <= 0 or free >= download - kept + DISK_MARGIN_BYTES


@given(
    st.lists(st.sampled_from([CHAT, CODE, EMBEDDINGS]), unique_by=lambda t: t.role),
    st.sets(st.sampled_from(["llama3.1:8b", "nomic-embed-text", "assistant-chat"])),
)
def test_each_role_has_its_steps_and_each_model_one_pull(
    targets: list[RoleTarget], names: set[str]
) -> None:
    steps = plan_steps(targets, ledger(entry(CHAT)), installed(*names))
    ids = [step.id for step in steps]
    assert len(ids) == len(set(ids))
    for each in targets:
        places = [
            ids.index(step)
            for step in (f"pull:{each.model}", f"create:{each.role}", f"verify:{each.role}",
                         f"activate:{each.role}")
        ]  # fmt: skip
        assert places == sorted(places)
    assert sum(step.kind == "pull" for step in steps) == len({t.model for t in targets})


def test_a_download_of_unknown_size_counts_as_nothing() -> None:
    steps = plan_steps([target("chat", "hf.co/some/one:Q4_K_M", None)], Ledger(), {})
    assert steps[0].bytes is None
    assert download_bytes(steps) == 0

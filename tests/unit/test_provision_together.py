"""Several models sized side by side: who stays loaded, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from assistant.fit.records import RunOptions
from assistant.machine.records import Machine
from assistant.provision.contexts import AMPLE
from assistant.provision.together import (
    MODELS_PER_GPU,
    Sized,
    Wanted,
    listed,
    size_together,
    together_bytes,
)
from assistant.recommend.roles import role_profile
from assistant.units import GIB
from tests.support.provision_scenes import facts, gpu, machine

TRIO = (("chat", "llama3.1:8b"), ("code", "qwen3.5:9b"), ("embeddings", "nomic-embed-text"))


def wanted(*pairs: tuple[str, str], num_ctx: int | None = None) -> list[Wanted]:
    return [Wanted(role_profile(role), facts(model), num_ctx) for role, model in pairs]


def sized(
    pairs: Sequence[tuple[str, str]], here: Machine, max_loaded: int | None = None
) -> dict[str, Sized]:
    found = size_together(wanted(*pairs), here, max_loaded=max_loaded)
    assert [each.role.name for each in found] == [role for role, _ in pairs]
    return {each.role.name: each for each in found}


def test_roles_that_share_a_file_share_a_context() -> None:
    pairs = (("chat", "qwen3.5:9b"), ("code", "qwen3.5:9b"), ("embeddings", "nomic-embed-text"))
    found = sized(pairs, machine(gpu(24)))
    assert found["chat"].choice == found["code"].choice
    assert found["chat"].choice.num_ctx == AMPLE["code"]
    assert all(each.stays_loaded for each in found.values())
    held = sum(found[role].choice.estimate.gpu.total_bytes for role in ("chat", "embeddings"))
    assert together_bytes(tuple(found.values()), on_gpu=True) == held


def test_a_large_card_keeps_all_with_ample_contexts() -> None:
    found = sized(TRIO, machine(gpu(80)))
    assert all(each.stays_loaded for each in found.values())
    assert [found[role].choice.num_ctx for role in ("chat", "code")] == [32_768, 65_536]
    assert found["chat"].choice.why == (
        "ample for the role, with qwen3.5:9b and nomic-embed-text:latest loaded beside it"
    )


def test_the_order_of_the_roles_does_not_matter_where_there_is_room_for_all() -> None:
    results = [
        {role: (each.choice.estimate, each.stays_loaded) for role, each in found.items()}
        for found in (sized(pairs, machine(gpu(80))) for pairs in permutations(TRIO))
    ]
    assert all(found == results[0] for found in results)


def test_embeddings_stay_and_the_others_take_turns_where_only_one_fits() -> None:
    found = sized(TRIO, machine(gpu(10)))
    assert found["embeddings"].stays_loaded
    assert found["chat"].stays_loaded
    assert not found["code"].stays_loaded
    assert found["code"].choice.estimate.placement.verdict == "gpu"


def test_a_shorter_context_is_better_than_taking_turns() -> None:
    """On less memory two stay, so they must on more, though the usual context would not fit."""
    pairs = (("code", "llama3.1:8b"), ("embeddings", "qwen3-embedding:8b"))
    stayed = [
        sum(each.stays_loaded for each in sized(pairs, machine(gpu(vram / 4))).values())
        for vram in range(24, 100)
    ]
    assert stayed == sorted(stayed)
    narrow = next(
        found
        for vram in range(24, 100)
        if (found := sized(pairs, machine(gpu(vram / 4))))["code"].stays_loaded
    )
    assert narrow["code"].choice.num_ctx < role_profile("code").num_ctx
    assert narrow["code"].choice.why.startswith("the largest that stays on the GPU with qwen3")


@pytest.mark.parametrize(
    ("max_loaded", "stay"), [(1, {"embeddings"}), (2, {"embeddings", "chat"}), (9, None)]
)
def test_the_server_may_keep_fewer_than_there_is_room_for(
    max_loaded: int, stay: set[str] | None
) -> None:
    found = sized(TRIO, machine(gpu(80)), max_loaded)
    expected = {role for role, _ in TRIO} if stay is None else stay
    assert {role for role, each in found.items() if each.stays_loaded} == expected


def test_ollama_keeps_three_models_a_gpu_when_nobody_says() -> None:
    pairs = (*TRIO, ("reasoning", "gpt-oss:20b"), ("vision", "qwen2.5vl:7b"))
    one = sized(pairs, machine(gpu(141)))
    two = sized(pairs, machine(gpu(141), gpu(141)))
    ram = sized(pairs, machine(ram=512))
    assert sum(each.stays_loaded for each in one.values()) == MODELS_PER_GPU
    assert sum(each.stays_loaded for each in two.values()) == len(pairs)
    assert sum(each.stays_loaded for each in ram.values()) == MODELS_PER_GPU


def test_without_a_gpu_each_gets_the_usual_context_and_says_so() -> None:
    found = sized(TRIO, machine(ram=64))
    assert all(each.stays_loaded for each in found.values())
    assert [found[role].choice.num_ctx for role, _ in TRIO] == [8192, 16_384, 2048]
    assert found["chat"].choice.why.startswith("the usual for chat; no GPU")
    assert "largest" not in found["code"].choice.why


def test_models_in_ram_count_even_where_only_the_size_of_the_ram_is_known() -> None:
    pairs = (("chat", "gpt-oss:20b"), ("code", "qwen3:30b-a3b"))
    small = sized(pairs, machine(ram=24))
    large = sized(pairs, machine(ram=64))
    assert [each.stays_loaded for each in small.values()] == [True, False]
    assert [each.stays_loaded for each in large.values()] == [True, True]
    unknown = sized(pairs, machine(ram=None))
    assert all(each.choice.num_ctx for each in unknown.values())


def test_ollama_compares_with_the_gpu_it_would_choose_not_with_all_of_them() -> None:
    """Its rough prediction of the second model must be 80 % of *that* GPU's free memory."""
    pairs = (("chat", "llama3.1:8b"), ("code", "llama3.1:8b"), ("embeddings", "nomic-embed-text"))
    here = machine(gpu(10, name="A"), gpu(2, name="B"))
    for each in sized(pairs, here).values():
        if each.stays_loaded:
            assert each.choice.estimate.placement.verdict == "gpu"
            assert all(share.bytes < 10 * GIB for share in each.choice.estimate.placement.devices)


def test_twin_cards_hold_one_model_each() -> None:
    pairs = (("chat", "gpt-oss:20b"), ("code", "lfm2:24b"))
    one, two = machine(gpu(24)), machine(gpu(24), gpu(24))
    assert [each.stays_loaded for each in sized(pairs, one).values()] == [True, False]
    found = sized(pairs, two)
    assert all(each.stays_loaded for each in found.values())
    assert all(each.choice.estimate.placement.verdict == "gpu" for each in found.values())


@pytest.mark.parametrize("asked", [4096, 200_000])
def test_an_asked_context_is_given_to_all_up_to_the_trained_one(asked: int) -> None:
    pairs = (("chat", "llama3.1:8b"), ("embeddings", "nomic-embed-text"))
    chat, embeddings = size_together(wanted(*pairs, num_ctx=asked), machine(gpu(80)))
    assert chat.choice.num_ctx == min(asked, 131_072)
    assert embeddings.choice.num_ctx == 2048
    told = "asked for 200000, trained for 131072"
    assert chat.choice.why == ("as asked" if asked == 4096 else told)
    assert embeddings.choice.why == f"asked for {asked}, trained for 2048"


def test_the_widest_asked_context_counts_for_a_shared_model() -> None:
    chat = Wanted(role_profile("chat"), facts("llama3.1:8b"), 8192)
    code = Wanted(role_profile("code"), facts("llama3.1:8b"))
    for order in ((chat, code), (code, chat)):
        found = size_together(order, machine(gpu(80)))
        assert {each.choice.num_ctx for each in found} == {8192}


def test_a_model_too_large_for_the_gpu_still_gets_an_answer() -> None:
    pairs = (("chat", "llama3.3:70b"), ("embeddings", "nomic-embed-text"))
    found = sized(pairs, machine(gpu(8), ram=128))
    assert not found["chat"].stays_loaded
    assert found["chat"].choice.estimate.placement.verdict == "partial"
    assert found["chat"].choice.num_ctx == role_profile("chat").least_ctx


def test_several_requests_at_once_take_more_and_never_lengthen() -> None:
    one = size_together(wanted(*TRIO), machine(gpu(24)), options=RunOptions(num_parallel=1))
    four = size_together(wanted(*TRIO), machine(gpu(24)), options=RunOptions(num_parallel=4))
    for single, several in zip(one, four, strict=True):
        assert several.choice.num_ctx <= single.choice.num_ctx


@pytest.mark.parametrize(
    ("names", "text"),
    [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_names_are_listed_as_people_do(names: list[str], text: str) -> None:
    assert listed(names) == text

"""Which context a role gets: tables of machines and models, and the words for why."""

from __future__ import annotations

import pytest

from assistant.fit.estimate import estimate_fit
from assistant.fit.records import RunOptions
from assistant.machine.records import Machine
from assistant.provision.contexts import AMPLE, RUNGS, choose_context, contexts_of
from assistant.recommend.roles import ROLE_NAMES, role_profile
from assistant.units import GIB
from tests.support.provision_scenes import facts, gpu, machine, with_trained


@pytest.mark.parametrize(
    ("role", "trained", "expected"),
    [
        ("chat", 131_072, (32_768, 24_576, 16_384, 12_288, 8192, 4096)),
        ("chat", 8192, (8192, 4096)),
        ("chat", 5000, (5000, 4096)),
        ("chat", 2048, (2048,)),
        ("chat", None, (32_768, 24_576, 16_384, 12_288, 8192, 4096)),
        ("code", 40_960, (40_960, 32_768, 24_576, 16_384, 12_288, 8192)),
        ("code", 4096, (4096,)),
        ("embeddings", 512, (512,)),
        ("embeddings", 32_768, (8192, 4096, 2048)),
        ("vision", 131_072, (16_384, 12_288, 8192, 4096)),
    ],
)
def test_contexts_of_a_role(role: str, trained: int | None, expected: tuple[int, ...]) -> None:
    assert contexts_of(role_profile(role), trained) == expected


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_role_has_an_upper_end_that_is_tried_and_a_least_one(role: str) -> None:
    profile = role_profile(role)
    assert AMPLE[role] in RUNGS
    assert profile.least_ctx <= profile.num_ctx <= AMPLE[role]
    assert contexts_of(profile, None)[-1] == profile.least_ctx


@pytest.mark.parametrize(
    ("vram", "num_ctx", "why"),
    [
        (48, 32_768, "ample for the role; "),
        (12, 32_768, "ample for the role; "),
        (8, 16_384, "the largest that stays on the GPU: 6.9 GiB of 8.0 GiB; 24k would not"),
        (2, 4096, "the least for the role: it does not fit on the GPU"),
    ],
)
def test_a_chat_model_on_cards_of_different_sizes(vram: float, num_ctx: int, why: str) -> None:
    choice = choose_context(facts("llama3.1:8b"), machine(gpu(vram)), role_profile("chat"))
    assert (choice.num_ctx, choice.why[: len(why)]) == (num_ctx, why)
    assert choice.estimate.num_ctx == num_ctx
    assert all(shorter < num_ctx for shorter in choice.shorter)
    assert choice.num_gpu is None


def test_a_model_that_just_misses_is_forced_whole_with_the_least_context() -> None:
    model, here = facts("qwen3.5:9b"), machine(gpu(8))
    choice = choose_context(model, here, role_profile("code"))
    assert (choice.num_ctx, choice.num_gpu) == (8192, 99)
    assert choice.why_num_gpu is not None
    assert "1 GiB of the GPU free" in choice.why_num_gpu
    assert choice.estimate.placement.verdict == "gpu"
    left_to_ollama = estimate_fit(model, here, RunOptions(num_ctx=8192), with_limits=False)
    assert left_to_ollama.placement.verdict == "partial"


def test_without_a_gpu_the_usual_context_is_taken() -> None:
    choice = choose_context(facts("llama3.1:8b"), machine(ram=64), role_profile("code"))
    assert choice.num_ctx == role_profile("code").num_ctx
    assert choice.estimate.placement.verdict == "cpu"
    assert choice.why == "the usual for code; no GPU, and longer prompts are slow on the CPU"


def test_little_ram_shortens_the_usual_context() -> None:
    model = facts("llama3.1:8b")
    choice = choose_context(model, machine(ram=16, available=6.6), role_profile("code"))
    assert choice.num_ctx == 12_288
    assert choice.estimate.placement.verdict == "cpu"
    assert choice.why == "the most that the RAM holds of the usual 16k"
    none = choose_context(model, machine(ram=4, available=3), role_profile("code"))
    assert (none.num_ctx, none.estimate.placement.verdict) == (8192, "none")


@pytest.mark.parametrize(
    ("asked", "num_ctx", "why"),
    [
        (6000, 6000, "as asked"),
        (131_072, 131_072, "as asked"),
        (262_144, 131_072, "asked for 262144, trained for 131072"),
    ],
)
def test_an_asked_context_is_taken_up_to_the_trained_one(
    asked: int, num_ctx: int, why: str
) -> None:
    choice = choose_context(
        facts("llama3.1:8b"), machine(gpu(24)), role_profile("chat"), asked=asked
    )
    assert (choice.num_ctx, choice.why) == (num_ctx, why)
    assert all(shorter < num_ctx for shorter in choice.shorter)


def test_all_that_a_model_was_trained_for() -> None:
    choice = choose_context(
        with_trained(facts("llama3.1:8b"), 12_288), machine(gpu(24)), role_profile("chat")
    )
    assert choice.num_ctx == 12_288
    assert choice.why.startswith("all that the model was trained for; ")


ODD_MACHINES = {
    "nothing known": Machine(),
    "no RAM known": machine(ram=None),
    "GPU, no RAM known": machine(gpu(12), ram=None),
    "free VRAM unknown": machine(gpu(12, known_free=False)),
    "all VRAM taken": machine(gpu(12, 0)),
    "one of two GPUs full": machine(gpu(24, 0, name="A"), gpu(24, name="B")),
    "twins": machine(gpu(8), gpu(8)),
    "unused GPU": machine(gpu(24, used=False)),
    "unified": machine(gpu(24, kind="unified"), ram=32, available=28),
    "unified, RAM nearly full": machine(gpu(24, kind="unified"), ram=32, available=3),
    "mixed": machine(gpu(8), gpu(16, kind="integrated"), ram=32),
}


@pytest.mark.parametrize("name", ODD_MACHINES)
@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("model", ["llama3.1:8b", "gpt-oss:20b", "nomic-embed-text"])
def test_odd_machines_get_an_answer(name: str, model: str, *, trained: bool) -> None:
    found = facts(model) if trained else with_trained(facts(model), None)
    role = role_profile("embeddings" if "embed" in model else "chat")
    choice = choose_context(found, ODD_MACHINES[name], role)
    assert choice.num_ctx in contexts_of(role, found.architecture.context_length)
    assert choice.estimate.num_ctx == choice.num_ctx
    if not ODD_MACHINES[name].usable_accelerators:
        assert "GPU free" not in choice.why
        assert choice.num_ctx <= role.num_ctx


def test_a_full_gpu_is_not_counted_as_free() -> None:
    choice = choose_context(
        facts("llama3.1:8b"), ODD_MACHINES["one of two GPUs full"], role_profile("summarize")
    )
    full = choose_context(facts("llama3.1:8b"), machine(gpu(12, 0)), role_profile("chat"))
    assert choice.estimate.placement.verdict == "gpu"
    assert "48.0 GiB" not in choice.why
    assert full.estimate.placement.verdict != "gpu"


def test_the_memory_named_is_that_of_the_gpus_it_lands_on() -> None:
    uneven = machine(gpu(10, name="A"), gpu(2, name="B"))
    one = choose_context(facts("llama3.1:8b"), uneven, role_profile("summarize"))
    assert [share.name for share in one.estimate.placement.devices] == ["A"]
    assert "of 10.0 GiB" in one.why
    both = choose_context(facts("phi3:14b"), machine(gpu(10), gpu(10)), role_profile("chat"))
    assert len(both.estimate.placement.devices) == 2
    assert "the GPUs" in both.why


def test_beside_another_model_there_is_less_room() -> None:
    here, role = machine(gpu(12)), role_profile("summarize")
    embedder = estimate_fit(facts("qwen3-embedding:8b"), here, RunOptions(num_ctx=2048))
    alone = choose_context(facts("llama3.1:8b"), here, role)
    beside = choose_context(facts("llama3.2:1b"), here, role, beside=[embedder])
    squeezed = choose_context(facts("llama3.1:8b"), here, role, beside=[embedder])
    assert alone.num_gpu is None
    assert alone.num_ctx > squeezed.num_ctx == role.least_ctx
    assert "beside what stays loaded" in beside.why
    assert beside.estimate.gpu.total_bytes + embedder.gpu.total_bytes < 12 * GIB

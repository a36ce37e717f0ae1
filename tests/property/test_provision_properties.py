"""Laws of choosing contexts and of sizing several models together, over machines and models."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from assistant.fit.estimate import estimate_fit
from assistant.fit.records import FitEstimate, KvCacheType, ModelFacts, RunOptions
from assistant.fit.room import measure_room
from assistant.fit.run_choices import choose_gpus, displaces_others, predict_vram
from assistant.machine.records import Accelerator, Kind, Machine
from assistant.ollama.records import LoadedModel
from assistant.provision.contexts import choose_context, contexts_of
from assistant.provision.room_left import (
    free_ram,
    free_vram,
    machine_beside,
    machine_without_loaded,
)
from assistant.provision.together import MODELS_PER_GPU, Sized, Wanted, size_together
from assistant.recommend.roles import ROLES, RoleProfile, role_profile
from tests.support.provision_scenes import NAMES, facts, gpu, machine, with_trained

SOME = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIXED = RunOptions(num_batch=512)
"""With a batch that is left to Ollama more memory may bring a larger batch, which takes more."""

TEXT = [name for name in NAMES if not facts(name).architecture.is_embedding]
EMBEDDERS = [name for name in NAMES if facts(name).architecture.is_embedding]
SIZES = st.sampled_from([2, 4, 6, 7.5, 8, 10, 12, 16, 20, 24, 32, 48, 80])
TEXT_ROLES = [role for role in ROLES if role.name != "embeddings"]


@st.composite
def cards(draw: st.DrawFn, *, most: int = 3) -> tuple[Accelerator, ...]:
    kinds: list[Kind] = ["discrete", "integrated"]
    found = []
    for _ in range(draw(st.integers(0, most))):
        total = draw(SIZES)
        free = total * draw(st.sampled_from([0, 0.1, 0.5, 0.9, 1]))
        found.append(
            gpu(
                total,
                free,
                name=draw(st.sampled_from(["RTX", "Arc"])),
                kind=draw(st.sampled_from(kinds)),
                used=draw(st.booleans()) or draw(st.booleans()),
                known_free=draw(st.booleans()) or draw(st.booleans()),
            )
        )
    return tuple(found)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    if draw(st.integers(0, 4)) == 0:
        total = draw(SIZES)
        return machine(gpu(total, kind="unified"), ram=total * 1.5, available=total * 1.2)
    ram = draw(st.sampled_from([None, 8, 16, 32, 64, 256]))
    known = ram is not None and draw(st.booleans())
    return machine(*draw(cards()), ram=ram, available=0.6 * (ram or 0) if known else None)


@st.composite
def models_and_roles(draw: st.DrawFn) -> tuple[ModelFacts, RoleProfile]:
    if draw(st.integers(0, 3)) == 0:
        return facts(draw(st.sampled_from(EMBEDDERS))), role_profile("embeddings")
    found = facts(draw(st.sampled_from(TEXT)))
    if draw(st.booleans()):
        found = with_trained(found, draw(st.sampled_from([None, 512, 2048, 6000, 40_960])))
    return found, draw(st.sampled_from(TEXT_ROLES))


@st.composite
def wishes(draw: st.DrawFn) -> list[Wanted]:
    roles = draw(st.lists(st.sampled_from(TEXT_ROLES), max_size=3, unique_by=lambda r: r.name))
    found = [Wanted(role, facts(draw(st.sampled_from(TEXT)))) for role in roles]
    if draw(st.booleans()) or not found:
        name = draw(st.sampled_from(EMBEDDERS))
        found.insert(
            draw(st.integers(0, len(found))), Wanted(role_profile("embeddings"), facts(name))
        )
    if draw(st.integers(0, 3)) == 0:
        asked = draw(st.sampled_from([3000, 8192, 100_000]))
        found = [replace(each, num_ctx=asked) for each in found]
    return found


def fit(found: ModelFacts, here: Machine, num_ctx: int, run: RunOptions = FIXED) -> FitEstimate:
    options = replace(run, num_ctx=num_ctx)
    return estimate_fit(found, here, options, with_limits=False, with_speed=False)


@SOME
@given(models_and_roles(), machines())
def test_a_chosen_context_is_never_above_the_trained_one_and_falls(
    pair: tuple[ModelFacts, RoleProfile], here: Machine
) -> None:
    found, role = pair
    choice = choose_context(found, here, role)
    trained = found.architecture.context_length
    assert trained is None or choice.num_ctx <= trained
    assert choice.num_ctx in contexts_of(role, trained)
    assert choice.why
    if choice.num_gpu is None:
        steps = (choice.num_ctx, *choice.shorter)
        assert list(steps) == sorted(set(steps), reverse=True)
    else:  # what only just fits is tried with automatic placement next
        assert choice.shorter == (choice.num_ctx,)
    assert (choice.num_gpu is None) == (choice.why_num_gpu is None)


@SOME
@given(models_and_roles(), machines())
def test_the_longest_context_that_stays_on_the_gpu_is_chosen(
    pair: tuple[ModelFacts, RoleProfile], here: Machine
) -> None:
    found, role = pair
    assume(here.usable_accelerators)
    rungs = contexts_of(role, found.architecture.context_length)
    stays = [n for n in rungs if fit(found, here, n).placement.verdict == "gpu"]
    choice = choose_context(found, here, role, options=FIXED)
    if stays:
        assert choice.num_ctx == max(stays)
        assert choice.estimate.placement.verdict == "gpu"
        assert choice.num_gpu is None
    elif choice.num_gpu is not None:
        assert choice.estimate.placement.verdict == "gpu"
        assert choice.num_ctx == rungs[-1]
    else:
        assert choice.estimate.placement.verdict != "gpu"


@SOME
@given(models_and_roles(), SIZES, SIZES, st.sampled_from(["f16", "q8_0"]))
def test_more_vram_never_shortens(
    pair: tuple[ModelFacts, RoleProfile], size: float, more: float, kind: KvCacheType
) -> None:
    found, role = pair
    options = replace(FIXED, kv_cache_type=kind)
    small = choose_context(found, machine(gpu(size)), role, options=options)
    large = choose_context(found, machine(gpu(size + more)), role, options=options)
    assert small.num_ctx <= large.num_ctx


@SOME
@given(models_and_roles(), machines())
def test_a_smaller_cache_type_never_shortens_and_more_requests_never_lengthen(
    pair: tuple[ModelFacts, RoleProfile], here: Machine
) -> None:
    found, role = pair
    plain = choose_context(found, here, role, options=FIXED).num_ctx
    small = replace(FIXED, kv_cache_type="q8_0")
    assert choose_context(found, here, role, options=small).num_ctx >= plain
    four = replace(FIXED, num_parallel=4)
    if len(here.usable_accelerators) <= 1:  # of several, a larger prediction may choose all
        assert choose_context(found, here, role, options=four).num_ctx <= plain


@SOME
@given(wishes(), machines(), st.sampled_from([None, 1, 2, 5]))
def test_every_role_is_answered_and_sharing_roles_agree(
    wanted: list[Wanted], here: Machine, most: int | None
) -> None:
    found = size_together(wanted, here, max_loaded=most)
    assert [(s.role, s.facts) for s in found] == [(w.role, w.facts) for w in wanted]
    by_file: dict[str, Sized] = {}
    for each in found:
        first = by_file.setdefault(each.facts.resolved, each)
        assert (each.choice, each.stays_loaded) == (first.choice, first.stays_loaded)
        trained = each.facts.architecture.context_length
        assert trained is None or each.choice.num_ctx <= trained
    stay = [each for each in by_file.values() if each.stays_loaded]
    assert 1 <= len(stay) <= (most or MODELS_PER_GPU * max(1, len(here.usable_accelerators)))


@SOME
@given(wishes(), machines())
def test_what_stays_loaded_really_fits_largest_first(wanted: list[Wanted], here: Machine) -> None:
    found = size_together(wanted, here, options=FIXED)
    stay = list({s.facts.resolved: s for s in found if s.stays_loaded}.values())
    if len(stay) < 2:
        return
    on_gpu = bool(here.usable_accelerators)
    stay.sort(key=lambda s: (-_alone(s, here), s.facts.resolved))
    loaded: list[FitEstimate] = []
    for each in stay:
        room = machine_beside(here, loaded)
        estimate = fit(each.facts, room, each.choice.num_ctx)
        assert estimate.placement == each.choice.estimate.placement
        assert estimate.placement.verdict == ("gpu" if on_gpu else "cpu")
        if loaded and on_gpu:
            tokens = estimate.num_ctx * estimate.num_parallel
            predicted = predict_vram(each.facts, tokens)
            gpus = choose_gpus(measure_room(room).gpus, predicted)
            assert not displaces_others(
                each.facts,
                tokens=tokens,
                num_batch=estimate.num_batch,
                available=sum(gpu.free_bytes for gpu in gpus),
            )
        loaded.append(estimate)


def _alone(each: Sized, here: Machine) -> int:
    return fit(each.facts, here, each.choice.num_ctx).memory.total_bytes


@SOME
@given(
    st.sampled_from(TEXT),
    st.sampled_from(TEXT),
    st.sampled_from(EMBEDDERS),
    SIZES,
    st.sampled_from([1, 2, 5, 10, 30]),
)
def test_more_vram_never_makes_fewer_stay(
    chat: str, code: str, embedder: str, size: float, more: float
) -> None:
    wanted = [
        Wanted(role_profile("chat"), facts(chat)),
        Wanted(role_profile("code"), facts(code)),
        Wanted(role_profile("embeddings"), facts(embedder)),
    ]
    few = size_together(wanted, machine(gpu(size)), options=FIXED)
    many = size_together(wanted, machine(gpu(size + more)), options=FIXED)
    assert _staying(few) <= _staying(many)


def _staying(found: tuple[Sized, ...]) -> int:
    return len({each.facts.resolved for each in found if each.stays_loaded})


@SOME
@given(wishes(), machines())
def test_the_order_of_the_roles_decides_only_between_them(
    wanted: list[Wanted], here: Machine
) -> None:
    """Where all stay with their longest contexts, no order of the roles changes anything."""
    found = size_together(wanted, here)
    other = size_together(wanted[::-1], here)
    longest = all(
        s.stays_loaded
        and s.choice.num_ctx == contexts_of(s.role, s.facts.architecture.context_length)[0]
        for s in found
    )
    if longest:
        estimates = {s.role.name: s.choice.estimate for s in found}
        assert {s.role.name: s.choice.estimate for s in other} == estimates


@SOME
@given(machines(), st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([2048, 32_768]))))
def test_room_left_is_never_negative_and_never_above_what_there_was(
    here: Machine, names: list[tuple[str, int]]
) -> None:
    loaded: list[FitEstimate] = []
    for name, num_ctx in names[:4]:
        loaded.append(fit(facts(name), machine_beside(here, loaded), num_ctx))
    left = machine_beside(here, loaded)
    assert len(left.accelerators) == len(here.accelerators)
    assert 0 <= free_vram(left) <= free_vram(here)
    for before, after in zip(here.accelerators, left.accelerators, strict=True):
        had = before.memory_free_bytes
        had = before.memory_total_bytes if had is None else had
        assert 0 <= (after.memory_free_bytes or 0) <= (had or 0)
    ram = free_ram(here)
    assert (ram is None) == (free_ram(left) is None)
    assert 0 <= (free_ram(left) or 0) <= (ram or 0)
    assert replace(left, accelerators=(), ram=here.ram) == replace(here, accelerators=())


@SOME
@given(machines(), st.lists(st.tuples(st.integers(0, 2**36), st.integers(0, 2**36)), max_size=3))
def test_unloading_gives_back_no_more_than_was_held(
    here: Machine, held: list[tuple[int, int]]
) -> None:
    loaded = [LoadedModel(f"m{i}", max(pair), min(pair)) for i, pair in enumerate(held)]
    found = machine_without_loaded(here, loaded)
    vram = sum(model.vram_bytes or 0 for model in loaded)
    assert 0 <= free_vram(found) - free_vram(here) <= vram
    for before, after in zip(here.accelerators, found.accelerators, strict=True):
        assert (after.memory_free_bytes or 0) <= (after.memory_total_bytes or 0)
        assert (after.memory_free_bytes is None) == (before.memory_free_bytes is None)
        if not before.used_by_ollama:
            assert after == before
    before_ram, after_ram = here.ram.available_bytes, found.ram.available_bytes
    assert (before_ram is None) == (after_ram is None)
    if before_ram is not None and after_ram is not None:
        assert before_ram <= after_ram <= before_ram + sum(m.size_bytes or 0 for m in loaded)

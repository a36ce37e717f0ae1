"""Choosing what each role shall be: kept, named, recommended, and the next smaller thing."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import NoFitError, OfflineError, UnknownModelError, UsageError
from assistant.fit.model_facts import facts_from_parameters
from assistant.fit.ps_size import ps_sizes
from assistant.fit.records import ModelFacts, RunOptions
from assistant.machine.records import Machine
from assistant.ollama.modelfile import parse_modelfile
from assistant.provision.choose import (
    Chooser,
    Request,
    kept_targets,
    other_targets,
    target_of_entry,
)
from assistant.provision.contexts import choose_context
from assistant.provision.ledger import ledger_from_dict, ledger_to_dict, with_entry
from assistant.provision.records import Ledger, LedgerEntry, Pending, RoleTarget, alias_of
from assistant.provision.targets import expectation, role_target
from assistant.provision.together import Sized
from assistant.recommend.records import Needs
from assistant.recommend.roles import ROLE_NAMES, role_profile
from tests.support.provision_scenes import NAMES, catalog, facts, gpu, machine

HERE = "Test CPU | 64 GiB | GPU 12 GiB"
TWELVE = machine(gpu(12), ram=64)


def chooser(here: Machine = TWELVE, *, max_loaded: int | None = None) -> Chooser:
    return Chooser(here, catalog(), facts, max_loaded=max_loaded)


def named(model: str, role: str = "chat", here: Machine = TWELVE) -> RoleTarget:
    return chooser(here).choose(Request((role,), {role: model}), {}).targets[0]


def entry_of(made: RoleTarget) -> LedgerEntry:
    return LedgerEntry(
        made.alias, made.model, made.num_ctx, made.modelfile, "2026-11-20T10:00:00+00:00",
        role=made.role, expected=made.expected, quantization=made.quantization,
        estimate=made.estimate, capabilities=made.capabilities, licence=made.licence,
        stays_loaded=made.stays_loaded, size_bytes=made.download_bytes, needs=made.needs,
        commercial_use=made.commercial_use,
    )  # fmt: skip


def set_up(*made: RoleTarget) -> Ledger:
    found = Ledger(machine=HERE)
    for each in made:
        found = with_entry(found, entry_of(each))
    return found


def test_the_recommended_models_become_targets_in_the_order_of_the_roles() -> None:
    roles = ("embeddings", "chat", "code")
    choice = chooser().choose(Request(roles, {}), {})
    assert tuple(t.role for t in choice.targets) == roles
    for each in choice.targets:
        modelfile = parse_modelfile(each.modelfile)
        assert modelfile.from_ == each.model
        assert ("num_ctx", str(each.num_ctx)) in modelfile.parameters
        assert each.alias == alias_of(each.role)
        assert each.reasons
        assert each.expected.num_ctx == each.num_ctx
        assert each.download_bytes
    assert choice.on_gpu
    assert choice.together_bytes is not None
    assert choice.memory_bytes == 12 * 2**30
    assert choice.together_bytes < choice.memory_bytes


def test_a_named_model_is_taken_and_the_rest_recommended() -> None:
    choice = chooser().choose(Request(("chat", "embeddings"), {"chat": "gemma3:12b"}), {})
    chat, embeddings = choice.targets
    assert (chat.model, chat.reasons) == ("gemma3:12b", ("as you asked",))
    assert embeddings.model != chat.model
    assert "embedding" in embeddings.capabilities


def test_the_licence_of_a_named_model_comes_along() -> None:
    gemma = named("gemma3:12b")
    assert gemma.licence is not None
    assert gemma.commercial_use == "conditional"
    assert f"licence of the model: {gemma.licence}" in gemma.modelfile


@pytest.mark.parametrize(
    ("role", "model", "sentence"),
    [
        ("chat", "nomic-embed-text", "'nomic-embed-text' is an embedding model and cannot serve"),
        ("embeddings", "llama3.1:8b", "'llama3.1:8b' is not an embedding model."),
        ("vision", "llama3.1:8b", "'llama3.1:8b' cannot see images, which the role vision needs."),
        ("tools", "gemma3:270m", "'gemma3:270m' cannot call tools, which the role tools needs."),
        ("chat", "kimi-k2.6", "'kimi-k2.6' cannot be pulled"),
    ],
)
def test_a_model_that_cannot_do_its_role_is_refused(role: str, model: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        named(model, role)
    assert caught.value.message.startswith(sentence)
    assert caught.value.hint is not None
    assert f"assistant recommend --role {role}" in caught.value.hint


def test_facts_that_name_no_registry_are_refused() -> None:
    def sized(name: str) -> ModelFacts:
        return facts_from_parameters(name, 8_000_000_000)

    with pytest.raises(UsageError, match="cannot be pulled"):
        Chooser(TWELVE, catalog(), sized).choose(Request(("chat",), {"chat": "8b"}), {})


def test_a_header_that_says_nothing_of_tools_refuses_nothing() -> None:
    def from_registry(name: str) -> ModelFacts:
        return replace(facts("llama3.1:8b"), name=name, resolved=name, source="registry",
                       capabilities=frozenset({"completion"}))  # fmt: skip

    request = Request(("tools",), {"tools": "hf.co/some/one:Q4_K_M"})
    found = Chooser(TWELVE, catalog(), from_registry).choose(request, {}).targets[0]
    assert found.model == "hf.co/some/one:Q4_K_M"
    assert found.licence is None
    with pytest.raises(UsageError, match="cannot see images"):
        Chooser(TWELVE, catalog(), from_registry).choose(
            Request(("vision",), {"vision": "hf.co/some/one:Q4_K_M"}), {}
        )


def test_an_unknown_name_is_said_to_be_unknown() -> None:
    with pytest.raises(UnknownModelError):
        named("nope:1b")


def test_a_model_without_architecture_numbers_is_sized_with_a_typical_shape() -> None:
    assert catalog().find("glm-ocr")[0].architecture is None
    found = named("glm-ocr", "vision")
    assert found.num_ctx > 0
    assert found.expected.size_bytes


def test_nothing_fits_a_tiny_machine() -> None:
    with pytest.raises(NoFitError) as caught:
        chooser(machine(ram=1)).choose(Request(("chat", "code"), {}), {})
    assert caught.value.message == "nothing in the catalog serves chat or code on this machine."


def test_a_role_that_nothing_serves_is_said_and_the_others_are_set_up() -> None:
    request = Request(("chat", "embeddings"), {}, needs=Needs(commercial=True), num_ctx=20_000_000)
    choice = chooser(machine(gpu(24))).choose(request, {})
    assert [t.role for t in choice.targets] == ["embeddings"]
    assert choice.notes == (
        "Nothing in the catalog serves chat with 20,000,000 of context on this machine.",
    )


def test_an_embedding_model_takes_what_it_can_of_a_long_context() -> None:
    request = Request(("chat", "embeddings"), {}, num_ctx=65_536)
    chat, embeddings = chooser(machine(gpu(24))).choose(request, {}).targets
    assert chat.num_ctx == 65_536
    trained = facts(embeddings.model).architecture.context_length
    assert embeddings.num_ctx == trained
    assert f"asked for 65536, trained for {trained}" in embeddings.modelfile


@pytest.mark.parametrize(
    "here",
    [
        Machine(), machine(ram=None), machine(gpu(12, known_free=False)), machine(gpu(12, 0)),
        machine(gpu(24, used=False), ram=32), machine(gpu(8), gpu(8)),
        machine(gpu(24, kind="unified"), ram=32, available=28), machine(gpu(12), ram=None),
    ],
    ids=["nothing known", "no RAM known", "free VRAM unknown", "GPU full", "unused GPU", "twins",
         "unified", "GPU, no RAM known"],
)  # fmt: skip
def test_every_kind_of_machine_gets_a_choice(here: Machine) -> None:
    choice = chooser(here).choose(Request(("chat", "code", "embeddings"), {}), {})
    assert {t.role for t in choice.targets} >= {"chat"}
    assert choice.on_gpu == bool(here.usable_accelerators)
    assert choice.memory_bytes is None or choice.memory_bytes >= 0


def test_a_full_gpu_has_no_memory_to_speak_of() -> None:
    request = Request(("chat",), {"chat": "llama3.1:8b"})
    assert chooser(machine(gpu(12, 0))).choose(request, {}).memory_bytes == 0


def test_notes_say_who_shares_and_who_takes_turns() -> None:
    pair = {"chat": "gpt-oss:20b", "code": "qwen3:30b-a3b"}
    request = Request(("chat", "code"), pair)
    notes = chooser(machine(gpu(24))).choose(request, {}).notes
    assert notes == (
        "qwen3:30b takes turns with gpt-oss:20b: loaded when used, because together they do not "
        "fit.",
    )
    shared = Request(("chat", "code", "rag"), dict.fromkeys(("chat", "code", "rag"), "gpt-oss:20b"))
    notes = chooser(machine(gpu(24))).choose(shared, {}).notes
    assert notes == ("chat, code and rag share gpt-oss:20b, with one context: no reloading between "
                     "them.",)  # fmt: skip


def test_a_limit_of_the_server_is_named_as_the_reason() -> None:
    request = Request(("chat", "embeddings"), {"chat": "llama3.2:1b"})
    notes = chooser(machine(gpu(80)), max_loaded=1).choose(request, {}).notes
    assert len(notes) == 1
    assert notes[0].startswith("llama3.2:1b takes turns with ")
    assert notes[0].endswith("because the server keeps 1 loaded (OLLAMA_MAX_LOADED_MODELS).")


def test_what_was_set_up_stays_as_it_is() -> None:
    chat = named("gemma3:12b")
    kept = kept_targets(Request(("chat", "code"), {}), set_up(chat), HERE)
    assert set(kept) == {"chat"}
    assert (kept["chat"].model, kept["chat"].modelfile) == (chat.model, chat.modelfile)
    choice = chooser().choose(Request(("chat", "code"), {}), kept)
    assert choice.targets[0].modelfile == chat.modelfile
    assert choice.targets[0].num_ctx == chat.num_ctx


@pytest.mark.parametrize(
    ("request_", "machine_key", "kept"),
    [
        (Request(("chat",), {}), HERE, True),
        (Request(("chat",), {}), "another", False),
        (Request(("chat",), {}, anew=True), HERE, False),
        (Request(("chat",), {}, num_ctx=4096), HERE, False),
        (Request(("chat",), {"chat": "llama3.1:8b"}), HERE, True),
        (Request(("chat",), {"chat": "Llama3.1:8B"}), HERE, True),
        (Request(("chat",), {"chat": "registry.ollama.ai/library/llama3.1:8b"}), HERE, True),
        (Request(("chat",), {"chat": "llama3.1:70b"}), HERE, False),
        (Request(("code",), {}), HERE, False),
    ],
)
def test_when_something_is_kept(request_: Request, machine_key: str, *, kept: bool) -> None:
    found = kept_targets(request_, set_up(named("llama3.1:8b")), machine_key)
    assert bool(found) == kept


def test_a_confirmed_setup_that_was_not_finished_comes_before_the_one_before() -> None:
    before, wanted = named("llama3.1:8b"), named("gemma3:12b")
    known = replace(set_up(before), pending=Pending("2026-11-20T10:00:00+00:00", HERE, (wanted,)))
    assert kept_targets(Request(("chat",), {}), known, HERE) == {"chat": wanted}
    elsewhere = replace(known, pending=replace(known.pending, machine="other"))  # type: ignore[type-var]
    assert kept_targets(Request(("chat",), {}), elsewhere, HERE)["chat"].model == "llama3.1:8b"


def test_a_second_choice_on_a_busier_machine_comes_to_the_same_end() -> None:
    request = Request(("chat", "code", "embeddings"), {})
    first = chooser(machine(gpu(12), ram=64)).choose(request, {})
    kept = kept_targets(request, set_up(*first.targets), HERE)
    again = chooser(machine(gpu(12, 3), ram=64)).choose(request, kept)
    assert [t.modelfile for t in again.targets] == [t.modelfile for t in first.targets]


@pytest.mark.parametrize(
    ("model", "role"),
    [("llama3.1:8b", "chat"), ("qwen3.5:9b", "code"), ("nomic-embed-text", "embeddings"),
     ("gpt-oss:20b", "summarize")],
)  # fmt: skip
def test_a_target_survives_the_ledger(model: str, role: str) -> None:
    made = named(model, role)
    pending = Ledger(pending=Pending("2026-11-20T10:00:00+00:00", HERE, (made,)), machine=HERE)
    read = ledger_from_dict(json.loads(json.dumps(ledger_to_dict(pending))))
    assert read == pending
    current = ledger_from_dict(json.loads(json.dumps(ledger_to_dict(set_up(made))))).current(role)
    assert current is not None
    again = target_of_entry(current)
    same = ("role", "alias", "model", "num_ctx", "modelfile", "expected", "quantization",
            "download_bytes", "stays_loaded", "licence", "capabilities", "estimate")  # fmt: skip
    assert [getattr(again, name) for name in same] == [getattr(made, name) for name in same]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.sampled_from([0, 4, 8, 12, 24, 48]), st.sampled_from(ROLE_NAMES))
def test_the_expectation_is_the_estimate_in_the_servers_terms(
    model: str, vram: int, role: str
) -> None:
    found = facts(model)
    here = machine(gpu(vram)) if vram else machine()
    choice = choose_context(found, here, role_profile(role))
    made = role_target(Sized(role_profile(role), found, choice, stays_loaded=True), model=model)
    expected = expectation(choice.estimate, found)
    sizes = ps_sizes(choice.estimate, found.architecture)
    assert made.expected == expected
    assert (expected.size_bytes, expected.vram_bytes) == (sizes.size_bytes, sizes.size_vram_bytes)
    assert expected.verdict == choice.estimate.placement.verdict
    assert 0 <= (expected.vram_bytes or 0) <= (expected.size_bytes or 0)
    if expected.verdict == "gpu":
        assert expected.vram_bytes == expected.size_bytes
    if expected.decode_low is not None:
        assert expected.decode_low <= (expected.decode_expected or 0) <= (expected.decode_high or 0)
    assert made.contexts == choice.shorter


SMALLER = [("llama3.1:8b", "chat"), ("qwen3.5:9b", "code"), ("gemma3:12b", "vision"),
           ("llama3.1:8b-instruct-q8_0", "summarize"), ("nomic-embed-text", "embeddings"),
           ("qwen3-embedding:8b", "embeddings")]  # fmt: skip


@pytest.mark.parametrize("here", [TWELVE, machine(ram=32), machine(gpu(2))])
@pytest.mark.parametrize(("model", "role"), SMALLER)
def test_the_next_smaller_thing_ends(model: str, role: str, here: Machine) -> None:
    chooses = chooser(here)
    tried = [chooses.choose(Request((role,), {role: model}), {}).targets[0]]
    while (smaller := chooses.smaller(tried[-1])) is not None:
        tried.append(smaller)
        assert len(tried) < 200
    for before, after in pairwise(tried):
        if after.model == before.model:
            assert after.num_ctx < before.num_ctx
            assert "num_gpu" not in dict(parse_modelfile(after.modelfile).parameters)
        else:
            assert not before.contexts
            assert (after.download_bytes or 0) < (before.download_bytes or 0)
            assert after.model.partition(":")[0] == before.model.partition(":")[0]
        assert after.alias == before.alias
        assert after.reasons == before.reasons
        assert all(n < after.num_ctx for n in after.contexts)
    files = list(dict.fromkeys(t.model for t in tried))
    if model == "llama3.1:8b-instruct-q8_0":
        assert len(files) > 3


def test_why_a_shorter_context_is_tried() -> None:
    on_gpu, in_ram = chooser(), chooser(machine(ram=32))
    for chooses, said in ((on_gpu, "did not stay on the GPU"), (in_ram, "did not load")):
        first = chooses.choose(Request(("code",), {"code": "llama3.1:8b"}), {}).targets[0]
        second = chooses.smaller(first)
        assert second is not None
        head = " ".join(line.strip("# ") for line in second.modelfile.splitlines()[:4])
        assert f"{first.num_ctx // 1024}k {said} when it was tried here" in head


def test_after_another_run_the_next_smaller_thing_is_found_too() -> None:
    made = named("llama3.1:8b")
    smaller = chooser().smaller(made)
    assert smaller is not None
    assert smaller.num_ctx == made.contexts[0]


def test_a_model_of_which_nothing_can_be_had_has_nothing_smaller() -> None:
    def offline(name: str) -> ModelFacts:
        raise OfflineError(f"{name} must be looked up")

    assert Chooser(TWELVE, catalog(), offline).smaller(named("llama3.1:8b")) is None


def test_the_servers_settings_count() -> None:
    request = Request(("summarize",), {"summarize": "llama3.1:8b"})
    one = chooser().choose(request, {}).targets[0]
    busy = Chooser(TWELVE, catalog(), facts, options=RunOptions(num_parallel=4))
    assert busy.choose(request, {}).targets[0].num_ctx < one.num_ctx
    small = Chooser(TWELVE, catalog(), facts, options=RunOptions(kv_cache_type="q8_0"))
    assert small.choose(request, {}).targets[0].num_ctx > one.num_ctx


def test_a_choice_is_kept_while_it_heeds_what_is_asked_for_now() -> None:
    fast = Request(("chat",), {}, needs=Needs(prefer="speed"))
    made = chooser().choose(fast, {}).targets[0]
    assert made.needs == "prefer speed"
    ledger = set_up(made)
    assert kept_targets(fast, ledger, HERE)
    assert kept_targets(Request(("chat",), {}), ledger, HERE)
    assert not kept_targets(Request(("chat",), {}, needs=Needs(prefer="quality")), ledger, HERE)


@pytest.mark.parametrize(("terms", "kept"), [("yes", True), ("conditional", False), ("no", False)])
def test_a_licence_without_commercial_use_is_not_kept_when_it_is_asked_for(
    terms: str, *, kept: bool
) -> None:
    made = replace(named("llama3.1:8b"), commercial_use=terms)
    asked = Request(("chat",), {}, needs=Needs(commercial=True))
    assert bool(kept_targets(asked, set_up(made), HERE)) is kept
    by_name = replace(asked, models={"chat": "llama3.1:8b"})
    assert kept_targets(by_name, set_up(made), HERE)


def test_the_other_roles_share_the_memory_of_a_role_that_is_set_up_alone() -> None:
    whole = chooser().choose(Request(("chat", "embeddings"), {}), {})
    embeddings = next(t for t in whole.targets if t.role == "embeddings")
    ledger = set_up(embeddings)
    asked = Request(("chat",), {"chat": "llama3.1:8b"})
    others = other_targets(asked, ledger, HERE)
    assert set(others) == {"embeddings"}
    assert not other_targets(asked, ledger, "another computer")
    alone = chooser().choose(asked, {})
    beside = chooser().choose(asked, {}, others)
    assert [t.role for t in beside.targets] == ["chat"]
    assert alone.together_bytes is not None
    assert beside.together_bytes is not None
    assert beside.targets[0].num_ctx <= alone.targets[0].num_ctx
    if beside.targets[0].stays_loaded:
        assert beside.together_bytes > beside.targets[0].estimate["memory"]["gpu"]["total_bytes"]


def test_what_only_just_fits_is_tried_with_automatic_placement_next() -> None:
    for gib in range(4, 12):
        here = machine(gpu(gib), ram=64)
        choice = choose_context(facts("llama3.1:8b"), here, role_profile("chat"))
        if choice.num_gpu is None:
            continue
        made = named("llama3.1:8b", here=here)
        smaller = chooser(here).smaller(made)
        assert smaller is not None
        assert (smaller.model, smaller.num_ctx) == (made.model, made.num_ctx)
        assert "num_gpu" not in smaller.modelfile
        assert smaller.contexts == ()
        return
    pytest.fail("no card of these sizes leaves a near miss")

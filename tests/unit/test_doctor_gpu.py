"""Why a model is on the CPU: for each term a case where it is guilty, and one where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from assistant.doctor.diagnose import diagnose
from assistant.doctor.free_memory import machine_before, machine_idle, with_returned
from assistant.doctor.gpu_fixes import find_fixes
from assistant.doctor.gpu_terms import build_case
from assistant.doctor.records import (
    EnvironmentSeen,
    FasterModel,
    Finding,
    Observations,
    ServerSeen,
    Term,
)
from assistant.fit.estimate import estimate_fit
from assistant.fit.room import OVERHEAD_BYTES
from assistant.machine.parse import load_machine
from assistant.machine.records import Accelerator, Container, MeasuredRun
from assistant.ollama.records import LoadedModel
from assistant.provision.ledger import with_entry
from assistant.provision.records import Expectation, Ledger, LedgerEntry, Measured
from assistant.units import GIB
from tests.support.doctor_scenes import (
    computer,
    facts_of,
    gpu,
    holding,
    in_memory,
    installed,
    loaded_scene,
    scene,
)

LOCAL = "http://127.0.0.1:11434"
IGPU = Accelerator(
    "AMD Radeon 780M", "amd", "integrated", 24 * GIB, None, 89.6,
    backend="vulkan", used_by_ollama=False,
)  # fmt: skip
FASTER = FasterModel("llama3.2:1b", 50.0)
CHAT = LedgerEntry(
    "assistant-chat", "qwen3:8b", 8192, "FROM qwen3:8b", "2026-11-20T10:00:00Z", "chat",
    expected=Expectation("cpu", 8192, 8 * GIB, 0, 4.0, 6.0, 8.0),
)  # fmt: skip
OLD_DRIVER = (
    "NVIDIA GeForce RTX 3060 is left out by Ollama: driver 470.1 is older than 550, the oldest "
    "Ollama supports.",
)


def on_cpu(seen: Observations) -> Finding | None:
    """Return the finding about a model on the CPU, None when there is none."""
    return next((found for found in diagnose(seen) if found.id == "on-cpu"), None)


def two_models(at: int = 32768, other_at: int = 8192) -> Observations:
    """Return qwen3:8b, loaded while gemma3:4b held a part of the card."""
    machine = computer(gpu())
    other = installed("gemma3:4b")
    first = in_memory(other, machine, other_at)
    model = installed("qwen3:8b")
    second = in_memory(model, holding(machine, first), at)
    return scene(holding(machine, first, second), [model, other], [second, first])


def unseen(machine_gpu: Accelerator | None = None, vram: int = 0) -> Observations:
    """Return qwen3:8b with `vram` of it on a GPU that has room for all of it."""
    loaded = LoadedModel("qwen3:8b", 6 * GIB, vram, 8192)
    return scene(computer(machine_gpu or gpu()), [installed("qwen3:8b")], [loaded])


GUILTY: dict[str, tuple[Term, Callable[[], Observations]]] = {
    "context of the Modelfile": (
        "kv_cache", lambda: loaded_scene("qwen3:14b", 32768, computer(gpu()), num_ctx=32768),
    ),
    "context of the environment": (
        "kv_cache",
        lambda: loaded_scene(
            "qwen3:14b", 32768, computer(gpu()), {"OLLAMA_CONTEXT_LENGTH": "32768"}
        ),
    ),
    "context of a request": (
        "kv_cache", lambda: loaded_scene("qwen3:14b", 32768, computer(gpu())),
    ),
    "context of the tier": (
        "kv_cache", lambda: loaded_scene("qwen3:32b", 32768, computer(gpu(24 * GIB))),
    ),
    "four requests at once": (
        "parallel",
        lambda: loaded_scene(
            "qwen3:8b", 16384, computer(gpu()), {"OLLAMA_NUM_PARALLEL": "4"}, num_ctx=16384
        ),
    ),
    "weights": ("weights", lambda: loaded_scene("qwen3:32b", 4096, computer(gpu()))),
    "weights, with four requests": (
        "weights",
        lambda: loaded_scene("qwen3:32b", 4096, computer(gpu()), {"OLLAMA_NUM_PARALLEL": "4"}),
    ),
    "projector": (
        "projector", lambda: loaded_scene("gemma3:12b", 8192, computer(gpu(10 * GIB))),
    ),
    "another model": ("other_model", two_models),
    "other programs": (
        "other_programs", lambda: loaded_scene("qwen3:8b", 8192, computer(gpu(used=6 * GIB))),
    ),
    "num_gpu": ("num_gpu", lambda: loaded_scene("qwen3:8b", 8192, computer(gpu()), num_gpu=10)),
    "num_gpu 0": ("num_gpu", lambda: loaded_scene("qwen3:8b", 8192, computer(gpu()), num_gpu=0)),
    "the server sees no GPU": ("gpu_not_seen", unseen),
    "no longer full": ("memory_was_taken", lambda: unseen(gpu(used=5 * GIB), vram=4 * GIB)),
    "no GPU, slow, and a faster model is known": (
        "no_gpu",
        lambda: replace(loaded_scene("qwen3:8b", 8192, computer()), faster=FASTER),
    ),
    "left out": (
        "gpu_left_out",
        lambda: loaded_scene(
            "qwen3:8b", 8192, computer(gpu(used_by_ollama=False), assumptions=OLD_DRIVER)
        ),
    ),
    "integrated": ("gpu_left_out", lambda: loaded_scene("qwen3:4b", 4096, computer(IGPU))),
}  # fmt: skip

INNOCENT: dict[str, Callable[[], Observations]] = {
    "a short context": lambda: loaded_scene("qwen3:14b", 8192, computer(gpu())),
    "one request at a time": lambda: loaded_scene("qwen3:8b", 16384, computer(gpu())),
    "a card that is large enough": lambda: loaded_scene("qwen3:32b", 4096, computer(gpu(24 * GIB))),
    "room for the projector": lambda: loaded_scene("gemma3:12b", 8192, computer(gpu(12 * GIB))),
    "two that fit together": lambda: two_models(at=4096, other_at=4096),
    "a desktop beside it": lambda: loaded_scene("qwen3:8b", 8192, computer(gpu(used=GIB))),
    "num_gpu for all layers": lambda: loaded_scene("qwen3:8b", 8192, computer(gpu()), num_gpu=99),
    "all of it on the GPU": lambda: unseen(vram=6 * GIB),
}


@pytest.mark.parametrize("case", GUILTY)
def test_the_guilty_term_is_named(case: str) -> None:
    term, make = GUILTY[case]
    found = on_cpu(make())
    assert found is not None
    assert found.term == term
    assert found.evidence
    assert found.fix


@pytest.mark.parametrize("case", INNOCENT)
def test_what_is_on_the_gpu_is_left_alone(case: str) -> None:
    seen = INNOCENT[case]()
    assert seen.loaded
    assert seen.loaded[0].vram_bytes == seen.loaded[0].size_bytes
    assert on_cpu(seen) is None


@pytest.mark.parametrize("case", GUILTY)
def test_each_fix_for_the_memory_is_computed_to_land_on_the_gpu(case: str) -> None:
    term, make = GUILTY[case]
    seen = make()
    assert seen.loaded is not None
    loaded = seen.loaded[0]
    model = seen.model(loaded.name)
    assert model is not None
    found = build_case(seen, model, loaded)
    assert found is not None
    for fix in find_fixes(seen, found, term):
        again = estimate_fit(fix.facts, fix.machine, fix.options)
        assert again.placement.verdict == "gpu", fix.text
        assert fix.faster is None or fix.faster > 1


def test_the_screen_of_the_experience() -> None:
    found = on_cpu(loaded_scene("qwen3:14b", 32768, computer(gpu()), num_ctx=32768))
    assert found is not None
    assert found.what == "qwen3:14b runs 29 % on the CPU"
    assert found.evidence[1] == "the KV cache (5.0 GiB) is what does not fit"
    assert found.fix == "assistant tune qwen3:14b --num-ctx 8192 --apply"
    assert found.gain is not None
    assert found.gain.startswith("100 % GPU, about")


def test_the_need_and_the_room_differ_by_what_is_missing() -> None:
    seen = loaded_scene("qwen3:14b", 32768, computer(gpu()), num_ctx=32768)
    found = on_cpu(seen)
    assert found is not None
    assert found.evidence[0].startswith("it needs 14.8 GiB with num_ctx 32768")
    assert found.evidence[0].endswith("the RTX 3060 has 11.6 GiB free")


def test_a_context_that_a_program_asks_for_is_changed_in_the_program() -> None:
    found = on_cpu(loaded_scene("qwen3:14b", 32768, computer(gpu())))
    assert found is not None
    assert "the program that loaded it asked for num_ctx 32768" in found.evidence
    assert found.fix == "let the program that loads qwen3:14b ask for num_ctx 8192"


def test_a_context_of_the_tier_is_said_to_be_one() -> None:
    found = on_cpu(loaded_scene("qwen3:32b", 32768, computer(gpu(24 * GIB))))
    assert found is not None
    assert any("nothing sets num_ctx" in line for line in found.evidence)


def test_stopping_the_other_model_is_followed_by_loading_this_one_again() -> None:
    found = on_cpu(two_models())
    assert found is not None
    assert found.fix == "ollama stop gemma3:4b\nollama stop qwen3:8b\nthen use qwen3:8b again"
    assert "gemma3:4b holds" in " ".join(found.evidence)


def test_a_smaller_quantization_is_offered_when_the_weights_are_too_big() -> None:
    large, small = facts_of("qwen3:14b", "q8_0"), facts_of("qwen3:14b", "q4_K_M")
    seen = loaded_scene(
        "qwen3:14b-q8_0", 4096, computer(gpu()), facts=large, alternatives=(small, large)
    )
    found = on_cpu(seen)
    assert found is not None
    assert found.term == "weights"
    assert found.fix == f"ollama pull {small.resolved}"


def test_a_quantization_that_no_registry_has_is_not_offered() -> None:
    large = facts_of("qwen3:14b", "q8_0")
    small = replace(facts_of("qwen3:14b", "q4_K_M"), pullable=False)
    seen = loaded_scene("x:q8_0", 4096, computer(gpu()), facts=large, alternatives=(small,))
    found = on_cpu(seen)
    assert found is not None
    assert found.fix == "assistant recommend"


def test_cache_types_need_flash_attention_to_be_offered() -> None:
    model = ("qwen3:14b", 16384, computer(gpu()))
    with_it = on_cpu(loaded_scene(*model, num_ctx=16384))
    without = on_cpu(loaded_scene(*model, {"OLLAMA_FLASH_ATTENTION": "0"}, num_ctx=16384))
    old = computer(gpu(compute_capability="5.2"))
    cannot = on_cpu(loaded_scene("qwen3:14b", 16384, old, num_ctx=16384))
    offered = [
        "OLLAMA_KV_CACHE_TYPE" in " ".join((found.fix or "", *found.also))
        for found in (with_it, without, cannot)
        if found is not None
    ]
    assert offered == [True, False, False]


def test_gpu_overhead_is_said_to_have_no_effect() -> None:
    seen = loaded_scene(
        "qwen3:14b", 32768, computer(gpu()), {"OLLAMA_GPU_OVERHEAD": "1073741824"}, num_ctx=32768
    )
    found = on_cpu(seen)
    assert found is not None
    assert any("OLLAMA_GPU_OVERHEAD has no effect" in line for line in found.evidence)


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_a_variable_that_hides_the_gpu_is_named(value: str) -> None:
    seen = replace(
        unseen(), environment=EnvironmentSeen({"CUDA_VISIBLE_DEVICES": value}, {}, "process")
    )
    found = on_cpu(seen)
    assert found is not None
    assert found.term == "gpu_not_seen"
    assert found.fix == "stop the server, then: env -u CUDA_VISIBLE_DEVICES ollama serve"
    assert "CUDA_VISIBLE_DEVICES hides" in found.evidence[0]


def test_a_variable_for_another_maker_hides_nothing() -> None:
    environment = EnvironmentSeen({"ROCR_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "0"})
    seen = replace(unseen(vram=6 * GIB), environment=environment)
    assert not any(found.id == "gpu-hidden" for found in diagnose(seen))


def test_in_a_container_the_fix_is_the_containers() -> None:
    box = computer(gpu(), container=Container("docker"))
    seen = replace(unseen(), machine=box)
    found = on_cpu(seen)
    assert found is not None
    assert found.fix == "start the server's container with: --gpus=all"


def test_the_driver_is_not_called_well_when_the_server_sees_no_gpu() -> None:
    well = [found.what for found in diagnose(unseen()) if found.level == "ok"]
    assert "driver" not in well
    assert "driver" in [f.what for f in diagnose(unseen(vram=6 * GIB)) if f.level == "ok"]


def test_an_integrated_gpu_is_a_warning_and_is_switched_on_where_that_helps() -> None:
    found = on_cpu(loaded_scene("qwen3:4b", 4096, computer(IGPU)))
    assert found is not None
    assert found.level == "warning"
    assert found.fix == "stop the server, then: OLLAMA_IGPU_ENABLE=1 ollama serve"


def test_a_card_that_ollama_leaves_out_is_a_problem_without_any_model() -> None:
    seen = scene(computer(gpu(used_by_ollama=False), assumptions=OLD_DRIVER))
    found = diagnose(seen)[0]
    assert (found.id, found.level) == ("gpu-left-out", "problem")
    assert "driver 470.1 is older than 550" in found.evidence[0]
    assert (found.fix or "").startswith("install a current graphics driver")


def test_a_card_that_is_too_old_for_ollama_has_no_fix() -> None:
    old = (
        "NVIDIA GeForce RTX 3060 is left out by Ollama: compute capability 3.5 is below 5.0, the "
        "oldest Ollama supports.",
    )
    found = diagnose(scene(computer(gpu(used_by_ollama=False), assumptions=old)))[0]
    assert (found.id, found.fix) == ("gpu-left-out", None)


def test_an_integrated_gpu_alone_is_no_news() -> None:
    assert "gpu-left-out" not in {found.id for found in diagnose(scene(computer(IGPU)))}


def without_gpu(name: str = "qwen3:8b", **more: Any) -> Observations:
    """Return a model in memory on a computer without a GPU, and the faster one there is."""
    return replace(loaded_scene(name, 8192, computer()), **{"faster": FASTER, **more})


def test_a_computer_without_a_gpu_is_as_it_should_be() -> None:
    found = on_cpu(without_gpu())
    assert found is not None
    assert (found.level, found.fix) == ("warning", "assistant recommend --role chat --prefer speed")
    assert "tokens/s" in found.evidence[0]
    assert (found.gain or "").startswith("llama3.2:1b, about ")


@pytest.mark.parametrize(
    ("why", "make"),
    [
        ("no faster model is known", lambda: without_gpu(faster=None)),
        ("it is the fastest itself", lambda: without_gpu(faster=FasterModel("QWEN3:8b", 50.0))),
        ("hardly faster", lambda: without_gpu(faster=FasterModel("llama3.2:1b", 7.0))),
        ("it is fast", lambda: without_gpu("llama3.2:1b", faster=FasterModel("x:1b", 900.0))),
        ("it embeds", lambda: without_gpu("nomic-embed-text")),
        ("setup chose it", lambda: without_gpu(ledger=with_entry(Ledger(), CHAT))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_on_the_cpu_as_planned_is_no_warning(why: str, make: Callable[[], Observations]) -> None:
    findings = diagnose(make())
    assert {f.level for f in findings if f.id in ("on-cpu", "placement")} == {"ok"}, why
    assert any(f.what.endswith("on the CPU") for f in findings)


@pytest.mark.parametrize("name", ["assistant-chat:latest", "assistant-chat:next", "qwen3:8b"])
def test_an_alias_is_known_by_whatever_name_it_was_loaded(name: str) -> None:
    model = installed(name, facts_of("qwen3:8b"))
    loaded = in_memory(model, computer(), 8192)
    seen = scene(computer(), [model], [loaded], ledger=with_entry(Ledger(), CHAT), faster=FASTER)
    assert on_cpu(seen) is None


def test_a_gpu_that_setup_had_planned_with_is_missed() -> None:
    planned = replace(CHAT, expected=Expectation("gpu", 8192, 8 * GIB, 8 * GIB))
    found = on_cpu(without_gpu(ledger=with_entry(Ledger(), planned)))
    assert found is not None
    assert found.evidence == ("no GPU is found now, and setup had planned with one",)
    assert (found.fix or "").endswith("assistant setup --anew")


def test_a_named_model_on_a_computer_without_a_gpu_is_told_where_it_goes() -> None:
    seen = replace(without_gpu(faster=None), loaded=(), asked="qwen3:8b")
    assert [f.what for f in diagnose(seen) if f.id == "placement"] == ["qwen3:8b on the CPU"]
    slow = on_cpu(replace(seen, faster=FASTER))
    assert slow is not None
    assert slow.what == "qwen3:8b would run on the CPU"


def test_a_measured_speed_is_told_and_not_an_expected_one() -> None:
    run = MeasuredRun("qwen3:8b", "Q4_K_M", 8192, "cpu", 4.2, "2026-11-20")
    machine = replace(computer(), measured_runs=(run,))
    found = on_cpu(without_gpu(machine=machine))
    assert found is not None
    assert found.evidence == ("no GPU is used; measured here: 4.2 tokens/s",)
    quick = replace(run, decode_tokens_per_s=14.0)
    assert on_cpu(without_gpu(machine=replace(machine, measured_runs=(quick,)))) is None


def test_what_was_measured_of_an_alias_counts_more_than_the_arithmetic() -> None:
    measured = Measured("2026-11-20T10:05:00Z", 10 * GIB, 6 * GIB)
    split = with_entry(Ledger(), replace(CHAT, measured=measured))
    alias = installed("assistant-chat:latest", facts_of("qwen3:8b"))
    seen = scene(computer(gpu()), [alias], ledger=split, asked="assistant-chat")
    (found,) = [f for f in diagnose(seen) if f.id == "placement"]
    assert found.level == "warning"
    assert found.what == "assistant-chat ran 40 % on the CPU when it was measured (2026-11-20)"
    assert found.fix == "load it: ollama run assistant-chat\nassistant doctor assistant-chat"
    whole = replace(CHAT, measured=replace(measured, vram_bytes=10 * GIB))
    well = replace(seen, ledger=with_entry(Ledger(), whole))
    assert [f.what for f in diagnose(well) if f.id == "placement"] == [
        "assistant-chat stays on the GPU"
    ]


def test_of_a_described_machine_nothing_is_said_to_be_read() -> None:
    seen = unseen(vram=4 * GIB)
    words = load_machine("RTX 3060 12GB, 32GB RAM")
    said = " ".join(e for f in diagnose(replace(seen, machine=words)) for e in f.evidence)
    assert "by its description the GPU holds it" in said
    assert "free now" not in said
    big = replace(loaded_scene("qwen3:14b", 32768, computer(gpu()), num_ctx=32768), machine=words)
    said = " ".join(e for f in diagnose(big) for e in f.evidence)
    assert "the RTX 3060 has 11.3 GiB for it, as described" in said


def test_an_embedding_model_is_not_advised_a_chat_model() -> None:
    found = on_cpu(loaded_scene("qwen3-embedding:8b", 8192, computer(gpu(4 * GIB))))
    assert found is not None
    assert "recommend" not in (found.fix or "") or "--role embeddings" in (found.fix or "")


def test_a_server_elsewhere_needs_its_machine_described() -> None:
    elsewhere = ServerSeen("http://tower:11434", False, True, "0.33.0")
    loaded = LoadedModel("qwen3:8b", 10 * GIB, 6 * GIB, 32768)
    seen = scene(None, [installed("qwen3:8b")], [loaded], server=elsewhere)
    found = on_cpu(seen)
    assert found is not None
    assert (found.term, found.evidence) == (
        "not_computed", ("the server is on another computer: describe it with --machine",),
    )  # fmt: skip
    described = replace(seen, machine=load_machine("RTX 3060 8GB, 32GB RAM"))
    found = on_cpu(described)
    assert found is not None
    assert found.term == "kv_cache"


def test_a_model_that_was_removed_while_in_memory_is_said_to_be() -> None:
    loaded = LoadedModel("gone:1b", 2 * GIB, GIB, 4096)
    found = on_cpu(scene(computer(gpu()), [], [loaded]))
    assert found is not None
    assert "it was removed while in memory" in found.evidence[0]


def test_a_gpu_that_only_the_server_sees_is_no_missing_gpu() -> None:
    loaded = LoadedModel("qwen3:8b", 6 * GIB, 4 * GIB, 8192)
    found = on_cpu(scene(computer(), [installed("qwen3:8b")], [loaded]))
    assert found is not None
    assert (found.term, found.level) == ("not_computed", "problem")
    assert found.evidence == (
        "the server has 4.0 GiB of it on a GPU that cannot be seen from here",
    )


def test_a_size_that_the_server_does_not_say_is_unknown() -> None:
    findings = diagnose(scene(computer(gpu()), [], [LoadedModel("x:1b", None, None, 4096)]))
    assert [f.level for f in findings if f.id == "placement"] == ["unknown"]


def test_a_named_model_is_judged_without_being_loaded() -> None:
    model = installed("qwen3:14b", num_ctx=32768)
    found = on_cpu(scene(computer(gpu()), [model], asked="qwen3:14b"))
    assert found is not None
    assert found.what == "qwen3:14b would run 29 % on the CPU"
    assert found.fix == "assistant tune qwen3:14b --num-ctx 8192 --apply"


def test_a_named_model_that_fits_is_said_to() -> None:
    seen = scene(computer(gpu()), [installed("qwen3:8b")], asked="QWEN3:8b")
    assert any(f.what == "QWEN3:8b stays on the GPU" for f in diagnose(seen) if f.level == "ok")


def test_a_named_model_leaves_the_others_out() -> None:
    seen = replace(two_models(), asked="gemma3:4b")
    assert on_cpu(seen) is None
    assert on_cpu(replace(seen, asked="qwen3:8b")) is not None


def test_a_named_model_that_fits_nowhere() -> None:
    model = installed("llama3.3:70b", num_ctx=32768)
    findings = diagnose(scene(computer(gpu()), [model], asked="llama3.3:70b"))
    assert findings[0].what == "llama3.3:70b does not fit this computer"
    assert findings[0].level == "problem"


def test_what_a_model_takes_was_free_before_it_came() -> None:
    machine = computer(gpu())
    loaded = in_memory(installed("qwen3:8b"), machine, 8192)
    held = holding(machine, loaded)
    assert machine_before(held, loaded, ()) == machine
    assert machine_idle(held, [loaded]) == machine


def test_memory_comes_back_to_the_gpus_that_are_in_use() -> None:
    two = computer(gpu(24 * GIB, 20 * GIB), gpu(24 * GIB, 0))
    back = with_returned(two, [LoadedModel("x", 10 * GIB, 10 * GIB, 4096)])
    assert [g.memory_free_bytes for g in back.accelerators] == [
        14 * GIB + OVERHEAD_BYTES, 24 * GIB,
    ]  # fmt: skip


def test_what_is_free_on_a_described_machine_is_without_models() -> None:
    machine = load_machine("RTX 4090 with 20GB free, 64GB RAM")
    loaded = LoadedModel("x", 8 * GIB, 8 * GIB, 4096)
    assert machine_idle(machine, [loaded]) == machine
    before = machine_before(machine, None, [loaded])
    assert before.accelerators[0].memory_free_bytes == 12 * GIB - OVERHEAD_BYTES

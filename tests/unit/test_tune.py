"""Tuning: the table, the proposal, and the words about them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from assistant.cli.tune_text import (
    headline,
    is_installed,
    render_table,
    setting_instructions,
)
from assistant.errors import ModelNameError, UsageError
from assistant.fit.estimate import estimate_fit
from assistant.fit.model_facts import facts_from_card
from assistant.fit.records import KvCacheType, ModelFacts, RunOptions
from assistant.machine.parse import load_machine
from assistant.machine.records import Machine
from assistant.models.catalog import load_catalog
from assistant.models.names import parse_model_name
from assistant.ollama.records import InstalledModel
from assistant.provision.ledger import with_entry
from assistant.provision.records import Ledger, LedgerEntry
from assistant.provision.tune import (
    AMPLE_CONTEXT,
    AMPLE_IN_RAM,
    LADDER,
    cache_type_loads,
    rungs,
    shorter_contexts,
    tune_table,
)
from assistant.provision.tune_apply import (
    NameTakenError,
    check_name,
    modelfile_path,
    variant_name,
)
from assistant.provision.tune_records import TuneTable
from assistant.units import GIB

RTX_3060 = load_machine("RTX 3060 12GB, 32GB RAM")
CPU_ONLY = load_machine("CPU only, 16GB RAM")
CATALOG = load_catalog()


def facts_of(name: str, quantization: str | None = None) -> ModelFacts:
    return facts_from_card(*CATALOG.find(name, quantization))


def other_builds(name: str, *levels: str) -> tuple[ModelFacts, ...]:
    return tuple(facts_of(name, level) for level in levels)


def table(
    name: str = "llama3.1:8b",
    *,
    machine: Machine = RTX_3060,
    num_ctx: int | None = None,
    kind: KvCacheType = "f16",
    server: KvCacheType | None = None,
    levels: tuple[str, ...] = ("Q8_0", "Q4_K_S"),
) -> TuneTable:
    return tune_table(
        facts_of(name),
        machine,
        alternatives=other_builds(name, *levels),
        run_options=RunOptions(num_ctx=num_ctx, kv_cache_type=kind),
        server_type=server,
    )


def flat(text: str) -> str:
    return " ".join(text.replace("\u00a0", " ").split())


def test_rows_are_every_build_with_every_cache_type_most_bits_first() -> None:
    found = table()
    assert [(row.quantization, row.kv_cache_type) for row in found.rows] == [
        (level, kind) for level in ("Q8_0", "Q4_K_M", "Q4_K_S") for kind in ("f16", "q8_0", "q4_0")
    ]
    assert [row.is_current for row in found.rows].count(True) == 1
    assert found.named.is_current


@pytest.mark.parametrize("kind", ["f16", "q8_0", "q4_0"])
@pytest.mark.parametrize("name", ["llama3.1:8b", "gemma3:12b", "qwen3:14b"])
def test_the_longest_context_is_the_one_that_fit_names(name: str, kind: KvCacheType) -> None:
    found = table(name, levels=())
    row = found.row(found.quantization, kind)
    options = RunOptions(num_ctx=found.num_ctx, kv_cache_type=kind)
    estimate = estimate_fit(facts_of(name), RTX_3060, options)
    assert row.longest_num_ctx == estimate.limits.max_num_ctx_on_gpu
    assert row.memory_bytes == estimate.gpu.total_bytes
    assert row.stays


def test_the_longest_context_in_ram_fits_and_the_next_step_does_not() -> None:
    found = table("gemma3:12b", machine=CPU_ONLY, levels=())
    longest = found.named.longest_num_ctx
    assert longest is not None
    assert not found.on_gpu
    at = estimate_fit(facts_of("gemma3:12b"), CPU_ONLY, RunOptions(num_ctx=longest))
    beyond = estimate_fit(facts_of("gemma3:12b"), CPU_ONLY, RunOptions(num_ctx=longest + 1024))
    assert (at.placement.verdict, beyond.placement.verdict) == ("cpu", "none")


def test_the_grid_says_where_each_context_lands() -> None:
    found = table("qwen3:14b", levels=())
    assert {cell.num_ctx for cell in found.grid} == {2048, 4096, 8192, 16384, 32768, 40960}
    for cell in found.grid:
        options = RunOptions(num_ctx=cell.num_ctx, kv_cache_type=cell.kv_cache_type)
        estimate = estimate_fit(facts_of("qwen3:14b"), RTX_3060, options)
        assert cell.verdict == estimate.placement.verdict
        assert cell.stays == (estimate.placement.verdict == "gpu")
        longest = found.row(found.quantization, cell.kv_cache_type).longest_num_ctx
        assert cell.stays == (longest is not None and cell.num_ctx <= longest)


@pytest.mark.parametrize(
    ("machine", "name", "proposed"),
    [
        (RTX_3060, "llama3.1:8b", AMPLE_CONTEXT),
        (RTX_3060, "qwen3:14b", 8192),
        (RTX_3060, "nomic-embed-text", 2048),
        (CPU_ONLY, "llama3.1:8b", AMPLE_IN_RAM),
        (load_machine("RTX 3060 12GB with 6GB free, 32GB RAM"), "llama3.1:8b", 4096),
    ],
)
def test_an_unasked_context_is_the_longest_useful_step_that_stays(
    machine: Machine, name: str, proposed: int
) -> None:
    found = table(name, machine=machine, levels=())
    assert (found.num_ctx, found.best_num_ctx) == (proposed, proposed)
    assert found.named.is_best
    assert not found.is_asked


@pytest.mark.parametrize(
    ("num_ctx", "best", "best_num_ctx"),
    [
        (16_384, ("Q4_K_M", "f16"), 16_384),
        (65_536, ("Q4_K_M", "q8_0"), 65_536),
        (49_152, ("Q4_K_M", "q8_0"), 49_152),
        (131_072, ("Q4_K_M", "f16"), 32_768),
    ],
)
def test_the_nearest_change_that_keeps_the_context_is_proposed(
    num_ctx: int, best: tuple[str, str], best_num_ctx: int
) -> None:
    found = table(num_ctx=num_ctx)
    assert found.best is not None
    assert (found.best.quantization, found.best.kv_cache_type) == best
    assert found.best_num_ctx == best_num_ctx


def test_a_smaller_build_is_proposed_before_a_shorter_context() -> None:
    named = tune_table(
        facts_of("llama3.1:8b", "Q8_0"),
        RTX_3060,
        alternatives=other_builds("llama3.1:8b", "Q4_K_M", "Q2_K"),
        run_options=RunOptions(num_ctx=65_536),
    )
    assert named.best is not None
    assert (named.best.quantization, named.best.kv_cache_type) == ("Q4_K_M", "q8_0")


def test_nothing_is_proposed_where_nothing_stays() -> None:
    found = table("llama3.3:70b", levels=())
    assert found.best is None
    assert found.best_num_ctx is None
    assert all(row.longest_num_ctx is None for row in found.rows)
    said = flat(headline(found, RTX_3060))
    assert said.startswith("No context of llama3.3:70b (Q4_K_M) stays on the RTX 3060; it lacks")


def test_a_quantized_cache_needs_flash_attention() -> None:
    gpu = dataclasses.replace(RTX_3060.accelerators[0], compute_capability="5.2")
    old = dataclasses.replace(RTX_3060, accelerators=(gpu,))
    found = table(machine=old, levels=())
    quantized = found.row("Q4_K_M", "q8_0")
    assert found.named.stays
    assert (quantized.loads, quantized.stays, quantized.longest_num_ctx) == (False, False, None)
    assert "needs flash attention" in quantized.why
    assert all(cell.stays is False for cell in found.grid if cell.kv_cache_type == "q8_0")


def test_cache_rows_are_whole_blocks_of_32() -> None:
    arch = facts_of("llama3.1:8b").architecture
    odd = dataclasses.replace(arch, key_length=80)
    assert cache_type_loads(arch, "q8_0", flash_attention=True)
    assert not cache_type_loads(odd, "q8_0", flash_attention=True)
    assert cache_type_loads(odd, "f16", flash_attention=False)


def test_a_model_without_a_cache_has_one_column() -> None:
    found = table("nomic-embed-text", levels=())
    assert found.cache_types == ("f16",)
    assert "keeps no KV cache" in flat(render_table(found, RTX_3060))


def test_rows_say_what_the_server_would_have_to_change() -> None:
    found = table(num_ctx=16_384)
    assert found.named.why == "stays on the GPU as the server is"
    assert "OLLAMA_KV_CACHE_TYPE=q8_0" in found.row("Q4_K_M", "q8_0").why
    assert "+0.03 %" in found.row("Q4_K_M", "q8_0").cache_costs
    assert "another download" in found.row("Q4_K_S", "f16").why
    wide = table(num_ctx=65_536)
    assert "47k stays on the GPU" in wide.named.why


def test_the_servers_cache_type_is_the_current_one() -> None:
    found = table(kind="q8_0", server="f16")
    assert not found.named.is_current
    assert found.row("Q4_K_M", "f16").is_current
    same = table(kind="q8_0")
    assert same.named.is_current


def test_qwen2_is_warned_of_q4_0() -> None:
    costs = table("qwen2.5:7b", levels=()).row("Q4_K_M", "q4_0").cache_costs
    assert "Qwen2" in costs


def test_ladders() -> None:
    assert rungs(40_960) == (2048, 4096, 8192, 16_384, 32_768, 40_960)
    assert rungs(512) == (512,)
    assert rungs(None) == LADDER
    assert shorter_contexts(16_384) == (8192, 4096, 2048)
    assert shorter_contexts(2048) == ()


@pytest.mark.parametrize(
    ("num_ctx", "said"),
    [
        (None, "keeps up to 47k tokens on the RTX 3060 with an f16 cache, 88k tokens with q8_0."),
        (16_384, "16,384 tokens stay."),
        (65_536, "65,536 tokens need a q8_0 cache."),
        (131_072, "131,072 tokens do not stay; 32,768 tokens do."),
    ],
)
def test_the_first_line_answers(num_ctx: int | None, said: str) -> None:
    assert said in flat(headline(table(num_ctx=num_ctx), RTX_3060))


def test_the_last_lines_say_what_to_type() -> None:
    def last(found: TuneTable, **options: Any) -> list[str]:
        return render_table(found, RTX_3060, **options).rpartition("\n\n")[2].splitlines()

    found = table()
    apply = "assistant tune llama3.1:8b --num-ctx 32768 --apply"
    assert last(found, installed=("llama3.1:8b",)) == [f"Next: {apply}"]
    for unknown in (None, ()):
        assert last(found, installed=unknown) == ["Next: ollama pull llama3.1:8b", f"Then: {apply}"]
    assert last(found, machine_spec="RTX 3060") == [
        "Next, on that machine: ollama pull llama3.1:8b", f"Then: {apply}",
    ]  # fmt: skip
    assert last(table("llama3.3:70b", levels=())) == ["Next: assistant recommend"]
    wide = last(table(num_ctx=65_536), installed=("llama3.1:8b",))
    assert wide[-1].endswith("--num-ctx 65536 --kv-cache-type q8_0 --apply")


def test_a_context_above_the_trained_one_is_said_to_be_lowered() -> None:
    found = dataclasses.replace(
        table("llama3.2:1b", num_ctx=200_000, levels=()), asked_num_ctx=200_000
    )
    assert found.num_ctx == 131_072
    assert "was trained for 131,072 tokens, so num_ctx is lowered to that." in flat(
        headline(found, RTX_3060)
    )
    assert "lowered" not in headline(dataclasses.replace(found, asked_num_ctx=131_072), RTX_3060)


def test_instructions_are_those_of_the_system() -> None:
    def typed(system: str | None) -> str:
        return "\n".join(
            step for _, steps in setting_instructions("q8_0", system) for step in steps
        )

    assert "systemctl edit ollama.service" in typed("Ubuntu 24.04")
    assert 'Environment="OLLAMA_KV_CACHE_TYPE=q8_0"' in typed("Ubuntu 24.04")
    assert "launchctl setenv OLLAMA_KV_CACHE_TYPE q8_0" in typed("macOS 15.6")
    assert "systemctl" not in typed("macOS 15.6")
    assert typed("Windows 11").startswith("setx OLLAMA_KV_CACHE_TYPE q8_0")
    for command in ("systemctl", "ollama serve", "launchctl", "setx"):
        assert command in typed(None)


@pytest.mark.parametrize("width", [40, 60, 80, 100])
@pytest.mark.parametrize("name", ["llama3.1:8b", "gpt-oss:20b", "gemma3:12b", "deepseek-v3:671b"])
@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_nothing_is_wider_than_the_terminal(name: str, width: int, kind: KvCacheType) -> None:
    found = table(name, num_ctx=65_536, levels=("Q8_0",), kind=kind, server="f16")
    shown = render_table(found, RTX_3060, width=width, machine_spec="RTX 3060 12GB, 32GB RAM")
    assert [line for line in shown.splitlines() if len(line) > width] == []


def test_installed_names_are_compared_as_ollama_does() -> None:
    assert is_installed("Nomic-Embed-Text", ("nomic-embed-text:latest",))
    assert not is_installed("qwen3:8b", ("qwen3:14b",))


@pytest.mark.parametrize(
    ("model", "num_ctx", "name"),
    [
        ("qwen3:14b", 16_384, "assistant-tuned-qwen3-14b:16k"),
        ("nomic-embed-text:latest", 2048, "assistant-tuned-nomic-embed-text:2k"),
        ("hf.co/user/Repo-GGUF:Q5_K_M", 1500, "assistant-tuned-hf.co-user-repo-gguf-q5_k_m:1500"),
        ("x" * 79, 1_048_576, f"assistant-tuned-{'x' * 64}:1024k"),
    ],
)
def test_names_of_variants_are_names(model: str, num_ctx: int, name: str) -> None:
    found = variant_name(model, num_ctx)
    assert found == name
    assert parse_model_name(found).render() == name


def test_a_modelfile_has_a_name_that_every_file_system_takes() -> None:
    assert modelfile_path("assistant-tuned-qwen3-14b:16k").name == (
        "assistant-tuned-qwen3-14b-16k.Modelfile"
    )


def entry(alias: str, digest: str, role: str | None = None) -> LedgerEntry:
    return LedgerEntry(
        alias=alias, model="qwen3:14b", num_ctx=8192, modelfile="FROM qwen3:14b\n",
        created_at="2026-11-27T10:00:00+00:00", role=role, alias_digest=digest,
    )  # fmt: skip


def test_a_name_is_free_or_ours() -> None:
    ours = with_entry(Ledger(), entry("mine:8k", "sha256:aa"))
    there = (InstalledModel("mine:8k", "aa"), InstalledModel("other:latest", "bb"))
    check_name("mine:8k", ours, there)
    check_name("new", ours, there)
    with pytest.raises(NameTakenError, match="'other'"):
        check_name("other", ours, there)
    with pytest.raises(NameTakenError, match="mine:8k"):
        check_name("mine:8k", ours, (InstalledModel("mine:8k", "changed"),))
    with pytest.raises(UsageError, match="role's model"):
        check_name("assistant-code", ours, there)
    roles = with_entry(Ledger(), entry("own-name", "sha256:aa", role="chat"))
    with pytest.raises(UsageError, match="role's model"):
        check_name("own-name", roles, ())
    with pytest.raises(ModelNameError):
        check_name("no name", ours, there)


def test_memory_of_a_row_is_that_of_the_side_it_is_on() -> None:
    found = table("llama3.3:70b", levels=())
    assert found.named.memory_bytes == found.named.estimate.memory.total_bytes
    assert found.named.memory_bytes > 40 * GIB

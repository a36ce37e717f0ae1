"""The parts of the estimate: caches, weights, Ollama's choices, placement; by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistant.fit.estimate import estimate_fit
from assistant.fit.kv_cache import CacheBytes, cache_bytes, cache_layout
from assistant.fit.model_facts import facts_from_header
from assistant.fit.placement import place
from assistant.fit.quantization_mix import QuantizationMix
from assistant.fit.records import ModelFacts, RunOptions, WeightBytes
from assistant.fit.room import GpuRoom, Room, measure_room
from assistant.fit.run_choices import (
    automatic_batch,
    choose_gpus,
    choose_run,
    default_context,
    effective_context,
)
from assistant.fit.weights import weights_from_architecture, weights_from_tensors
from assistant.machine.records import Accelerator, Machine, Ram
from assistant.models.architecture import Architecture
from assistant.models.architecture_keys import architecture_from_metadata
from assistant.models.gguf import read_header
from assistant.units import GIB, MIB

HEADERS = Path(__file__).parents[1] / "data" / "headers"


def shape(name: str = "llama", blocks: int = 4, **fields: Any) -> Architecture:
    per_block = {"feed_forward_length": 1024, "head_count": 8, "head_count_kv": 2}
    values: dict[str, Any] = {
        "name": name,
        "block_count": blocks,
        "embedding_length": 512,
        "vocab_size": 32_000,
        "key_length": 64,
        "value_length": 64,
        "context_length": 131_072,
        "tied_embeddings": False,
    }
    for key, usual in per_block.items():
        value = fields.pop(key, usual)
        values[key] = tuple(value) if isinstance(value, (list, tuple)) else (value,) * blocks
    return Architecture(**(values | fields))


def kv(arch: Architecture, **options: Any) -> CacheBytes:
    return cache_bytes(arch, **({"num_ctx": 4096, "num_batch": 512} | options))


ROW = 2 * 64 * 2  # two KV heads of 64, two bytes


class TestCache:
    def test_grouped_heads(self) -> None:
        assert kv(shape()).kv_bytes == (2 * ROW * 4096,) * 4

    def test_heads_per_layer(self) -> None:
        found = kv(shape(head_count_kv=[1, 2, 4, 8]))
        assert found.kv_bytes == tuple(2 * heads * 128 * 4096 for heads in (1, 2, 4, 8))

    @pytest.mark.parametrize(("num_ctx", "cells"), [(1, 256), (4096, 4096), (5000, 5120)])
    def test_cells_are_padded_to_256(self, num_ctx: int, cells: int) -> None:
        assert kv(shape(), num_ctx=num_ctx).kv_bytes[0] == 2 * ROW * cells

    def test_every_sequence_has_its_own(self) -> None:
        assert kv(shape(), num_parallel=3).total_bytes == 3 * kv(shape()).total_bytes

    @pytest.mark.parametrize(
        ("kind", "bits"), [("f32", 32), ("bf16", 16), ("q8_0", 8.5), ("q5_1", 6), ("q4_0", 4.5)]
    )
    def test_types(self, kind: str, bits: float) -> None:
        assert kv(shape(), kv_cache_type=kind).kv_bytes[0] == 2 * 128 * 4096 * bits / 8

    @pytest.mark.parametrize(("batch", "cells"), [(512, 1536), (1024, 2048), (2048, 3072)])
    def test_a_window_grows_with_the_batch(self, batch: int, cells: int) -> None:
        arch = shape("gemma3", 6, sliding_window=1024)
        found = kv(arch, num_ctx=32768, num_batch=batch)
        assert found.kv_bytes == (2 * ROW * cells,) * 5 + (2 * ROW * 32768,)

    @pytest.mark.parametrize(
        ("name", "blocks", "window", "windowed"),
        [
            ("gemma2", 4, None, "10 10"),
            ("gemma3", 6, 512, "111110"),
            ("gemma3", 6, None, "000000"),
            ("gpt-oss", 4, 128, "1010"),
            ("cohere2", 8, 4096, "11101110"),
            ("llama4", 4, None, "1110"),
            ("llama4", 4, 0, "0000"),
            ("olmo2", 4, 4096, "1110"),
            ("olmo2", 4, None, "0000"),
            ("exaone4", 4, 4096, "0000"),
            ("smallthinker", 4, 4096, "0111"),
            ("plamo3", 8, 2048, "11111110"),
            ("laguna", 4, 512, "0111"),
            ("lfm2", 4, 512, "1111"),
            ("phi3", 4, 2047, "0000"),
            ("llama", 4, 4096, "0000"),
            ("qwen2", 4, 4096, "0000"),
        ],
    )
    def test_window_patterns(
        self, name: str, blocks: int, window: int | None, windowed: str
    ) -> None:
        layout = cache_layout(shape(name, blocks, sliding_window=window))
        found = "".join(str(int(layout.kinds[kind].windowed)) for kind in layout.block_kinds)
        assert found == windowed.replace(" ", "")

    def test_windows_that_ignore_the_key(self) -> None:
        assert cache_layout(shape("llama4", sliding_window=1)).window == 8192
        assert cache_layout(shape("smallthinker", sliding_window=1)).window == 4096
        assert cache_layout(shape("gemma2")).window == 4096

    def test_a_pattern_in_the_file_wins(self) -> None:
        period = cache_layout(shape("gemma3", 6, sliding_window=512, sliding_window_pattern=2))
        assert period.windowed_blocks == 3
        flags = (True, False, False, True)
        listed = cache_layout(shape("gemma4", sliding_window=512, sliding_window_pattern=flags))
        assert listed.windowed_blocks == 2

    def test_own_head_sizes_in_windowed_blocks(self) -> None:
        arch = shape(
            "gemma4",
            2,
            sliding_window=512,
            sliding_window_pattern=(True, False),
            key_length=128,
            value_length=128,
            key_length_swa=32,
            value_length_swa=32,
        )
        assert kv(arch).kv_bytes == (2 * 2 * 32 * 2 * 1024, 2 * 2 * 128 * 2 * 4096)

    def test_without_flash_attention_v_is_as_wide_as_the_widest(self) -> None:
        arch = shape(head_count_kv=[1, 8, 1, 1])
        assert kv(arch, flash_attention=False).kv_bytes[0] == (64 + 8 * 64) * 2 * 4096

    def test_latent_attention_keeps_one_row(self) -> None:
        arch = shape(
            "deepseek2",
            head_count=128,
            head_count_kv=1,
            key_length=576,
            value_length=512,
            kv_lora_rank=512,
            key_length_mla=192,
            value_length_mla=128,
        )
        assert kv(arch).kv_bytes[0] == 576 * 2 * 4096
        without = replace(
            arch,
            head_count_kv=(128,) * 4,
            key_length=192,
            value_length=128,
            key_length_mla=None,
            value_length_mla=None,
        )
        assert kv(without).kv_bytes[0] == 128 * (192 + 128) * 2 * 4096

    def test_an_indexer_has_keys_of_its_own(self) -> None:
        arch = shape("deepseek32", head_count_kv=1, indexer_key_length=128)
        assert kv(arch).kv_bytes[0] == (64 + 128 + 64) * 2 * 4096

    def test_shared_layers_own_nothing(self) -> None:
        arch = shape("gemma4", 4, shared_kv_layers=2, sliding_window=512,
                     sliding_window_pattern=(True, False, True, False))  # fmt: skip
        assert [size > 0 for size in kv(arch).kv_bytes] == [True, True, False, False]
        three = shape("gemma3n", 30, sliding_window=512)
        assert sum(size > 0 for size in kv(three).kv_bytes) == 20

    @pytest.mark.parametrize(("name", "cached"), [("glm4moe", 4), ("step35", 3), ("mimo2", 3)])
    def test_prediction_layers(self, name: str, cached: int) -> None:
        arch = shape(
            name,
            nextn_predict_layers=1,
            sliding_window=512,
            sliding_window_pattern=(True, False, True, False),
        )
        assert sum(size > 0 for size in kv(arch).kv_bytes) == cached

    @pytest.mark.parametrize("name", ["bert", "nomic-bert", "gemma-embedding", "dream", "rnd1"])
    def test_encoders_have_none(self, name: str) -> None:
        assert kv(shape(name)).total_bytes == 0

    def test_mamba(self) -> None:
        arch = shape("mamba2", ssm_conv_kernel=4, ssm_inner_size=1024, ssm_state_size=128,
                     ssm_group_count=1)  # fmt: skip
        one = 4 * (3 * (1024 + 256) + 128 * 1024)
        assert kv(arch, num_parallel=2).state_bytes == (2 * one,) * 4
        assert kv(arch).kv_cache_bytes == 0

    def test_attention_and_state_side_by_side(self) -> None:
        fields: dict[str, Any] = {
            "ssm_conv_kernel": 4, "ssm_inner_size": 64, "ssm_state_size": 16, "ssm_group_count": 1,
        }  # fmt: skip
        mixed = kv(shape("granitehybrid", head_count_kv=[0, 2, 0, 0], **fields))
        assert [size > 0 for size in mixed.kv_bytes] == [False, True, False, False]
        assert [size > 0 for size in mixed.state_bytes] == [True, False, True, True]
        both = kv(shape("falcon-h1", **fields))
        assert all(both.kv_bytes)
        assert all(both.state_bytes)
        every_fourth = kv(shape("qwen35", 8, **fields))
        assert [size > 0 for size in every_fourth.kv_bytes] == [False, False, False, True] * 2
        nemotron = kv(
            shape(
                "nemotron_h", head_count_kv=[0, 2, 0, 0], feed_forward_length=[0, 0, 8, 0], **fields
            )
        )
        assert [size > 0 for size in nemotron.kv_bytes] == [False, True, False, False]
        assert [size > 0 for size in nemotron.state_bytes] == [True, False, False, True]

    def test_other_states(self) -> None:
        lfm = kv(shape("lfm2", head_count_kv=[0, 2, 0, 0], shortconv_l_cache=3))
        assert lfm.state_bytes == (4 * 512 * 2, 0, 4 * 512 * 2, 4 * 512 * 2)
        rwkv = kv(shape("rwkv7", wkv_head_size=64))
        assert rwkv.state_bytes[0] == 4 * 512 * (2 + 64)
        kimi = kv(shape("kimi-linear", head_count_kv=[0, 1, 0, 0], ssm_conv_kernel=4,
                        kda_head_dim=128))  # fmt: skip
        assert kimi.state_bytes[0] == 4 * (3 * 3 * 8 * 128 + 128 * 128 * 8)

    def test_an_unknown_type_is_refused(self) -> None:
        with pytest.raises(KeyError):
            kv(shape(), kv_cache_type="q6_k")


class TestWeights:
    @pytest.mark.parametrize(
        ("name", "quantization"),
        [
            ("full-llama31-8b", "Q4_K_M"),
            ("full-gemma3-12b", "Q4_K_M"),
            ("full-mixtral-8x7b", "Q4_K_M"),
            ("full-gpt-oss-20b-bf16", "MXFP4"),
        ],
    )
    def test_rebuilt_as_in_the_header(self, name: str, quantization: str) -> None:
        header = read_header(HEADERS / f"{name}.gguf")
        arch = architecture_from_metadata(header.metadata, header.tensors)
        true = weights_from_tensors(header.tensors, block_count=arch.block_count)
        rebuilt = weights_from_architecture(arch, quantization)
        assert rebuilt.tied == true.tied
        assert rebuilt.input_bytes == true.input_bytes
        assert rebuilt.output_bytes == pytest.approx(true.output_bytes, rel=1e-4)
        for block, expert, found, routed in zip(
            true.block_bytes,
            true.block_expert_bytes,
            rebuilt.block_bytes,
            rebuilt.block_expert_bytes,
            strict=True,
        ):
            assert found == pytest.approx(block, rel=2e-3)
            assert routed == pytest.approx(expert, rel=2e-3)

    def test_scaled_to_the_size_of_the_file(self) -> None:
        arch = shape()
        usual = weights_from_architecture(arch, "Q8_0")
        found = weights_from_architecture(arch, "Q8_0", file_bytes=usual.file_bytes * 2)
        assert sum(found.block_bytes) > sum(usual.block_bytes)
        assert found.input_bytes == usual.input_bytes

    def test_groups_of_a_table(self) -> None:
        class Row:
            def __init__(self, name: str, size: int) -> None:
                self.name, self.bytes = name, size

        sizes = {
            "token_embd.weight": 1, "token_types.weight": 2, "rope_freqs.weight": 4,
            "blk.0.attn_q.weight": 8, "blk.1.ffn_up_exps.weight": 16, "blk.1.attn_k.weight": 32,
            "output_norm.weight": 64, "v.patch.weight": 128, "mm.0.weight": 256, "s.x": 512,
            "per_layer_token_embd.weight": 1024,
        }  # fmt: skip
        rows = [Row(name, size) for name, size in sizes.items()]
        found = weights_from_tensors(rows, block_count=2, projector_bytes=4096)
        assert found == WeightBytes(
            input_bytes=1 + 2 + 1024,
            token_embedding_bytes=1,
            output_bytes=64,
            tied=True,
            block_bytes=(4 + 8, 16 + 32),
            block_expert_bytes=(0, 16),
            projector_bytes=4096 + 128 + 256,
            exact=True,
        )

    @pytest.mark.parametrize(
        ("quantization", "role", "index", "kind"),
        [
            ("Q4_K_M", "attn_v", 0, "Q6_K"),
            ("Q4_K_M", "attn_v", 5, "Q4_K"),
            ("Q4_K_M", "attn_v", 6, "Q6_K"),
            ("Q4_K_M", "ffn_down", 31, "Q6_K"),
            ("Q4_K_M", "attn_q", 0, "Q4_K"),
            ("Q4_K_M", "output", 0, "Q6_K"),
            ("Q4_K_M", "token_embd", 0, "Q4_K"),
            ("Q4_K_M", "kept", 0, "F32"),
            ("Q4_K_S", "attn_v", 3, "Q5_K"),
            ("Q4_K_S", "attn_v", 4, "Q4_K"),
            ("Q5_K_M", "ffn_down", 0, "Q6_K"),
            ("Q3_K_M", "attn_v", 1, "Q5_K"),
            ("Q3_K_M", "ffn_down", 1, "Q5_K"),
            ("Q3_K_M", "ffn_down", 2, "Q4_K"),
            ("Q3_K_L", "attn_output", 9, "Q5_K"),
            ("Q2_K", "attn_v", 9, "Q4_K"),
            ("Q2_K", "ffn_down", 9, "Q3_K"),
            ("Q8_0", "output", 0, "Q8_0"),
            ("QAT-Q4_0", "attn_v", 0, "Q4_0"),
            ("BF16", "ffn_up", 0, "BF16"),
        ],
    )
    def test_mixtures(self, quantization: str, role: Any, index: int, kind: str) -> None:
        mix = QuantizationMix(quantization, query_groups=4)
        assert mix.type_of(role, 4096, index=index, count=32) == kind

    def test_mixtures_of_special_models(self) -> None:
        eight = QuantizationMix("Q4_K_M", query_groups=4, expert_count=8)
        assert eight.type_of("attn_k", 4096, index=9, count=32) == "Q8_0"
        assert eight.type_of("attn_output", 4096, index=9, count=32) == "Q5_K"
        big = QuantizationMix("Q4_K_M", query_groups=8, is_70b=True)
        assert big.type_of("attn_v", 8192, index=31, count=80) == "Q5_K"
        tied = QuantizationMix("Q4_K_M", query_groups=4, tied=True)
        assert tied.type_of("token_embd", 4096, index=0, count=32) == "Q6_K"
        odd = QuantizationMix("Q4_K_M", query_groups=4)
        assert odd.type_of("attn_q", 672, index=0, count=32) == "Q5_0"
        assert odd.type_of("attn_q", 100, index=0, count=32) == "F16"
        kept = QuantizationMix("Q4_K_M", query_groups=4, attn_v_f16=True)
        assert kept.type_of("attn_v", 4096, index=0, count=32) == "F16"


def gpu(free_gib: float, name: str = "GPU", **fields: Any) -> GpuRoom:
    values = {"library": "cuda", "shared": False, "supports_flash_attention": True} | fields
    total = values.pop("total", free_gib)
    return GpuRoom(
        name=name,
        total_bytes=round(total * GIB),
        free_bytes=round(free_gib * GIB),
        overhead_bytes=457 * MIB,
        **values,
    )


def facts(name: str) -> ModelFacts:
    return facts_from_header(read_header(HEADERS / f"{name}.gguf"), name=name)


class TestChoices:
    @pytest.mark.parametrize(
        ("vram", "num_ctx"),
        [(0, 4096), (8, 4096), (22.9, 4096), (23, 32768), (46.9, 32768), (47, 262144)],
    )
    def test_context_tiers(self, vram: float, num_ctx: int) -> None:
        assert default_context(round(vram * GIB)) == num_ctx

    def test_context_is_cut_to_the_trained_one(self) -> None:
        assert effective_context(shape(context_length=2048), 8192) == 2048
        assert effective_context(shape(), 1) == 4
        assert effective_context(shape(), 512, vision=True) == 2048

    def test_order_of_contexts(self) -> None:
        model = replace(facts("full-llama31-8b"), default_num_ctx=6000)
        room = Room((gpu(24),), 64 * GIB)
        assert choose_run(model, room, RunOptions(num_ctx=100)).num_ctx == 100
        assert choose_run(model, room, RunOptions()).num_ctx == 6000
        assert choose_run(facts("full-llama31-8b"), room, RunOptions()).num_ctx == 32768

    @pytest.mark.parametrize(
        ("tokens", "predicted", "free", "batch"),
        [
            (4096, 5, 24, 512),
            (8192, 5, 24, 1024),
            (32768, 5, 24, 1024),
            (40960, 5, 24, 2048),
            (40960, 15, 24, 1024),  # over 60 %
            (40960, 18.5, 24, 512),  # over 75 %
            (8192, 5.7, 8, 512),  # 768 MiB more than 80 %
            (40960, 5, 0, 2048),  # no GPU: the table
        ],
    )
    def test_batches(self, tokens: int, predicted: float, free: float, batch: int) -> None:
        gpus = (gpu(free),) if free else ()
        found = automatic_batch(tokens, round(predicted * GIB), gpus, flash_attention=True)
        assert found == batch

    def test_cuda_without_flash_attention_takes_small_batches(self) -> None:
        assert automatic_batch(8192, 1, (gpu(24),), flash_attention=False) == 512
        assert automatic_batch(8192, 1, (gpu(8),), flash_attention=False) == 256
        assert automatic_batch(4096, 1, (gpu(8),), flash_attention=False) == 512

    def test_one_gpu_if_the_prediction_leaves_a_fifth(self) -> None:
        small, large, shared = gpu(12, "small"), gpu(24, "large"), gpu(90, "apu", shared=True)
        pair = (small, large)
        assert choose_gpus((small, large, shared), 5 * GIB) == (large,)
        assert choose_gpus(pair, 20 * GIB) == pair
        assert choose_gpus(pair, 5 * GIB, spread=True) == pair

    def test_backends_are_not_mixed(self) -> None:
        cuda, rocm = gpu(12, "a"), gpu(16, "b", library="rocm")
        assert choose_gpus((cuda, rocm), 100 * GIB) == (rocm,)

    def test_one_request_at_a_time(self) -> None:
        room = Room((gpu(24),), 64 * GIB)
        options = RunOptions(num_parallel=4)
        assert choose_run(facts("qwen35-27b"), room, options).num_parallel == 1
        assert choose_run(facts("llama31-8b"), room, options).num_parallel == 4

    def test_old_cards_have_no_flash_attention(self) -> None:
        old = Accelerator("GTX 980", "nvidia", "discrete", 4 * GIB, compute_capability="5.2")
        new = replace(old, compute_capability="8.6")
        for card, expected in ((old, False), (new, True)):
            room = measure_room(Machine(accelerators=(card,)))
            assert choose_run(facts("llama31-8b"), room, RunOptions()).flash_attention is expected


class TestRoom:
    def test_a_detected_card_lends_less_than_it_has_free(self) -> None:
        card = Accelerator("RTX 3060", "nvidia", "discrete", 12 * GIB, 11 * GIB, backend="cuda")
        detected = measure_room(Machine(accelerators=(card,)))
        assert detected.gpus[0].free_bytes == 11 * GIB - 457 * MIB
        stated = measure_room(Machine(accelerators=(card,), source="stated"))
        assert stated.gpus[0].free_bytes == 11 * GIB

    def test_shared_memory_is_not_more_than_there_is(self) -> None:
        apple = Accelerator("M2", "apple", "unified", 16 * GIB, backend="metal")
        room = measure_room(Machine(ram=Ram(24 * GIB, 9 * GIB), accelerators=(apple,)))
        assert room.gpus[0].free_bytes == 9 * GIB

    def test_the_system_keeps_some_ram(self) -> None:
        assert measure_room(Machine(ram=Ram(16 * GIB))).host_bytes == 14 * GIB
        assert measure_room(Machine(ram=Ram(4 * GIB))).host_bytes == 3 * GIB
        assert measure_room(Machine()).host_bytes is None


def on(*gpus: GpuRoom, ram: int = 64, name: str = "full-llama31-8b", **options: Any) -> Any:
    from assistant.fit.estimate import run_in_room

    return run_in_room(facts(name), Room(gpus, ram * GIB), RunOptions(**options)).placed


class TestPlacement:
    def test_an_8_gib_card_at_its_default_context(self) -> None:
        found = on(gpu(7.2), num_ctx=4096)
        assert found.placement.verdict == "gpu"
        assert found.placement.gpu_layers == 33
        vram = found.gpu.total_bytes - found.gpu.overhead_bytes
        assert vram / MIB == pytest.approx(5027.5, abs=0.1)

    def test_the_same_card_at_32k(self) -> None:
        found = on(gpu(7.2), num_ctx=32768)
        assert found.placement.verdict == "partial"
        assert found.placement.gpu_layers == 23
        assert found.missing_gpu_bytes / GIB == pytest.approx(8.45 + 1 - 7.2, abs=0.1)

    def test_a_24_gib_card(self) -> None:
        from assistant.fit.estimate import run_in_room
        from assistant.fit.model_facts import facts_from_card
        from assistant.models.catalog import load_catalog

        model = facts_from_card(*load_catalog().find("qwen3:30b-a3b"))
        room = Room((gpu(23.3, total=24),), 64 * GIB)
        run = run_in_room(model, room, RunOptions())
        assert (run.choices.num_ctx, run.choices.num_batch) == (32768, 512)
        assert run.placed.placement.gpu_layers == 49
        vram = run.placed.gpu.total_bytes - run.placed.gpu.overhead_bytes
        assert vram / MIB == pytest.approx(20_712, rel=0.001)

    def test_two_equal_cards(self) -> None:
        found = on(gpu(4.5, "one"), gpu(4.5, "two"), num_ctx=4096)
        assert [share.layers for share in found.placement.devices] == [17, 16]
        assert found.placement.verdict == "gpu"

    def test_experts_overflow_from_the_back(self) -> None:
        found = on(gpu(16), name="full-mixtral-8x7b", num_ctx=4096)
        placement = found.placement
        assert placement.verdict == "partial"
        assert placement.gpu_layers == 33
        assert 0 < placement.expert_layers_on_host < 32
        assert found.gpu.kv_cache_bytes == 512 * MIB
        more = on(gpu(20), name="full-mixtral-8x7b", num_ctx=4096).placement
        assert more.expert_layers_on_host < placement.expert_layers_on_host

    def test_without_room_for_dense_parts_fewer_layers(self) -> None:
        found = on(gpu(1.7), name="full-mixtral-8x7b", num_ctx=4096).placement
        assert 0 < found.gpu_layers < 33
        assert found.verdict == "partial"

    def test_a_card_too_small_for_anything(self) -> None:
        found = on(gpu(1.0), num_ctx=4096)
        assert found.placement.verdict == "cpu"
        assert found.gpu.total_bytes == 0

    def test_num_gpu_is_obeyed(self) -> None:
        assert on(gpu(24), num_gpu=0).placement.verdict == "cpu"
        part = on(gpu(24), num_gpu=10, num_ctx=4096).placement
        assert (part.verdict, part.gpu_layers) == ("partial", 10)
        assert on(gpu(2), num_gpu=33, num_ctx=4096).placement.verdict == "none"

    def test_nothing_holds_it(self) -> None:
        found = on(gpu(4), ram=2, num_ctx=4096)
        assert found.placement.verdict == "none"
        assert found.missing_bytes_in_all > 0

    def test_a_projector_is_reserved_twice_and_may_stay_in_ram(self) -> None:
        model = facts("full-gemma3-12b")
        weights = replace(model.weights, projector_bytes=GIB)
        text = on(gpu(9.2), name="full-gemma3-12b", num_ctx=4096).placement
        assert text.verdict == "gpu"
        from assistant.fit.estimate import run_in_room

        with_eyes = replace(model, weights=weights)
        tight = run_in_room(with_eyes, Room((gpu(10.5),), 64 * GIB), RunOptions(num_ctx=4096))
        assert tight.placed.placement.verdict == "partial"
        assert tight.placed.gpu.projector_bytes == GIB
        small = run_in_room(with_eyes, Room((gpu(1.5),), 64 * GIB), RunOptions(num_ctx=4096))
        assert not small.placed.projector_on_gpu
        assert small.placed.host.projector_bytes == GIB

    def test_tied_embeddings_are_copied(self) -> None:
        found = on(gpu(24), name="full-gemma3-12b", num_ctx=4096)
        weights = facts("full-gemma3-12b").weights
        assert found.gpu.weights_bytes == weights.file_bytes
        assert found.host.weights_bytes == weights.token_embedding_bytes

    def test_place_needs_no_gpu(self) -> None:
        from assistant.fit.compute_buffer import ComputeBuffers
        from assistant.fit.placement import Demand

        weights = WeightBytes(10, 10, 5, False, (20, 20), (0, 0))
        demand = Demand(weights, CacheBytes((1, 1), (0, 0)), ComputeBuffers(3, 2, 4, 1, 1), 1, 1)
        found = place(demand, (), host_bytes=62)
        assert found.placement.verdict == "cpu"
        assert found.host.total_bytes == 55 + 2 + 5
        assert place(demand, (), host_bytes=61).missing_bytes_in_all == 1


class TestLimits:
    def machine(self, size: int) -> Machine:
        card = Accelerator("card", "nvidia", "discrete", size * GIB, size * GIB, backend="cuda")
        return Machine(ram=Ram(64 * GIB), accelerators=(card,), source="stated")

    def test_a_miss_says_what_would_help(self) -> None:
        model = facts("full-llama31-8b")
        found = estimate_fit(model, self.machine(8), RunOptions(num_ctx=24576))
        assert found.placement.verdict == "partial"
        assert found.missing_bytes > 0
        assert found.limits.max_num_ctx_on_gpu is not None
        assert 16384 < found.limits.max_num_ctx_on_gpu < 24576
        assert found.remedies[0].startswith(f"num_ctx {found.limits.max_num_ctx_on_gpu} fits")
        assert any(remedy.startswith("a q8_0 KV cache fits") for remedy in found.remedies)
        assert found.remedies[-1] == "a 10 GB card"

    def test_the_best_quantization_among_the_alternatives(self) -> None:
        model = replace(facts("full-llama31-8b"), quantization="Q4_K_M")
        doubled = replace(
            model.weights,
            block_bytes=tuple(2 * size for size in model.weights.block_bytes),
        )
        others = [
            replace(model, quantization="Q8_0", weights=doubled),
            replace(
                model,
                quantization="Q2_K",
                weights=replace(
                    model.weights, block_bytes=tuple(s // 2 for s in model.weights.block_bytes)
                ),
            ),
        ]

        def best(size: int) -> str | None:
            run = RunOptions(num_ctx=4096)
            found = estimate_fit(model, self.machine(size), run, alternatives=others)
            return found.limits.best_quantization_on_gpu

        assert [best(size) for size in (3, 5, 8, 16)] == [None, "Q2_K", "Q4_K_M", "Q8_0"]

    def test_without_a_gpu_more_ram_is_the_remedy(self) -> None:
        found = estimate_fit(facts("full-llama31-8b"), Machine(ram=Ram(4 * GIB)))
        assert found.placement.verdict == "none"
        assert found.remedies == ("3 GiB more RAM",)
        assert found.limits.max_num_ctx_on_gpu is None

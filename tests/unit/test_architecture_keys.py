"""From GGUF metadata to `Architecture`: keys, defaults, Ollama's rewrites, bad values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gguf_bytes import LLAMA, LLAMA_TENSORS, gguf_bytes

from assistant.errors import GgufError
from assistant.models.architecture import Architecture
from assistant.models.architecture_keys import architecture_from_metadata
from assistant.models.gguf import Omitted, TensorInfo, read_header
from assistant.models.ollama_rewrites import rewrite_header
from assistant.models.quantization import TENSOR_TYPES_BY_NAME, tensor_bytes

HEADERS = Path(__file__).parent.parent / "data" / "headers"


def tensor(name: str, *dims: int, kind: str = "F16") -> TensorInfo:
    return TensorInfo(name, dims, TENSOR_TYPES_BY_NAME[kind], tensor_bytes(kind, dims))


def keys(arch: str, **values: Any) -> dict[str, Any]:
    """Return minimal metadata; double underscores stand for dots."""
    found: dict[str, Any] = {
        "general.architecture": arch,
        f"{arch}.block_count": 4,
        f"{arch}.embedding_length": 64,
        f"{arch}.attention.head_count": 8,
        f"{arch}.vocab_size": 1000,
    }
    return found | {f"{arch}.{key.replace('__', '.')}": value for key, value in values.items()}


def from_file(name: str) -> Architecture:
    header = read_header(HEADERS / f"{name}.gguf")
    return architecture_from_metadata(header.metadata, header.tensors)


class TestKeys:
    def test_defaults(self) -> None:
        arch = architecture_from_metadata(keys("llama"))
        assert arch == Architecture(
            name="llama",
            block_count=4,
            embedding_length=64,
            vocab_size=1000,
            feed_forward_length=(0,) * 4,
            head_count=(8,) * 4,
            head_count_kv=(8,) * 4,
            key_length=8,
            value_length=8,
        )

    def test_every_key(self) -> None:
        # One distinct value per key, so that no two can be mixed up.
        numbers = {
            "context_length": "context_length",
            "attention__key_length": "key_length",
            "attention__value_length": "value_length",
            "attention__key_length_swa": "key_length_swa",
            "attention__value_length_swa": "value_length_swa",
            "attention__key_length_mla": "key_length_mla",
            "attention__value_length_mla": "value_length_mla",
            "attention__kv_lora_rank": "kv_lora_rank",
            "attention__q_lora_rank": "q_lora_rank",
            "rope__dimension_count": "rope_dimension_count",
            "attention__sliding_window": "sliding_window",
            "attention__sliding_window_pattern": "sliding_window_pattern",
            "attention__shared_kv_layers": "shared_kv_layers",
            "nextn_predict_layers": "nextn_predict_layers",
            "expert_count": "expert_count",
            "expert_used_count": "expert_used_count",
            "expert_feed_forward_length": "expert_feed_forward_length",
            "expert_shared_feed_forward_length": "expert_shared_feed_forward_length",
            "expert_shared_count": "expert_shared_count",
            "leading_dense_block_count": "leading_dense_block_count",
            "ssm__conv_kernel": "ssm_conv_kernel",
            "ssm__inner_size": "ssm_inner_size",
            "ssm__state_size": "ssm_state_size",
            "ssm__group_count": "ssm_group_count",
            "ssm__time_step_rank": "ssm_time_step_rank",
            "full_attention_interval": "full_attention_interval",
            "shortconv__l_cache": "shortconv_l_cache",
            "wkv__head_size": "wkv_head_size",
            "token_shift_count": "token_shift_count",
            "kda__head_dim": "kda_head_dim",
            "embedding_length_per_layer_input": "embedding_length_per_layer_input",
            "attention__indexer__key_length": "indexer_key_length",
            "pooling_type": "pooling_type",
        }
        values = {key: 100 + number for number, key in enumerate(numbers)}
        arch = architecture_from_metadata(keys("any", **values))
        for key, field in numbers.items():
            assert getattr(arch, field) == values[key], field
        assert arch.is_embedding
        assert arch.is_moe

    def test_per_block_arrays(self) -> None:
        arch = architecture_from_metadata(
            keys(
                "any",
                feed_forward_length=(1, 2, 3, 4),
                attention__head_count=(8, 4, 8, 4),
                attention__head_count_kv=[0, 2, 0, 2],
                attention__recurrent_layers=(1, 0, 1, 0),
            )
        )
        assert arch.feed_forward_length == (1, 2, 3, 4)
        assert arch.head_count == (8, 4, 8, 4)
        assert arch.head_count_kv == (0, 2, 0, 2)
        assert arch.recurrent_layers == (True, False, True, False)
        assert arch.key_length == 8

    @pytest.mark.parametrize(
        ("arch", "value", "expected"),
        [
            ("gemma3", 6, 6),
            ("gemma3", (True, False), None),
            ("gpt-oss", (True,) * 4, None),
            ("gemma4", (True, True, True, False), (True, True, True, False)),
            ("gemma4", 1, (True,) * 4),
            ("mellum", 4, 4),
            ("mellum", (1, 0, 1, 0), (True, False, True, False)),
            ("step35", [1, 1, 0, 0], (True, True, False, False)),
        ],
    )
    def test_sliding_window_pattern_as_each_loader_reads_it(
        self, arch: str, value: Any, expected: Any
    ) -> None:
        found = keys(arch, attention__sliding_window_pattern=value)
        assert architecture_from_metadata(found).sliding_window_pattern == expected

    def test_a_pattern_without_the_prediction_blocks(self) -> None:
        found = keys(
            "cohere2moe",
            nextn_predict_layers=1,
            attention__sliding_window_pattern=(True, False, True),
        )
        pattern = architecture_from_metadata(found).sliding_window_pattern
        assert pattern == (True, False, True, False)

    def test_one_recurrent_flag_for_all_blocks(self) -> None:
        found = keys("qwen35", attention__recurrent_layers=True)
        assert architecture_from_metadata(found).recurrent_layers == (True,) * 4

    def test_absent_values_of_api_show_count_as_absent(self) -> None:
        found = keys("llama") | {"tokenizer.ggml.tokens": None, "llama.expert_count": None}
        arch = architecture_from_metadata(found)
        assert arch.vocab_size == 1000
        assert arch.expert_count == 0

    @pytest.mark.parametrize(
        ("tokens", "tensors", "expected"),
        [
            (None, (), 1000),
            (Omitted("array of string", 512), (), 512),
            (("a", "b", "c"), (), 3),
            (("a", "b", "c"), (tensor("token_embd.weight", 64, 700),), 700),
        ],
    )
    def test_vocabulary(self, tokens: Any, tensors: tuple[TensorInfo, ...], expected: int) -> None:
        found = keys("llama") | {"tokenizer.ggml.tokens": tokens}
        assert architecture_from_metadata(found, tensors).vocab_size == expected

    @pytest.mark.parametrize(
        ("arch", "names", "tied"),
        [
            ("llama", ("token_embd.weight", "output.weight"), False),
            ("llama", ("token_embd.weight", "output_norm.weight"), True),
            ("bert", ("token_embd.weight",), False),
            ("llama", (), None),
        ],
    )
    def test_tied_embeddings(self, arch: str, names: tuple[str, ...], tied: bool | None) -> None:
        tensors = tuple(tensor(name, 64, 1000) for name in names)
        assert architecture_from_metadata(keys(arch), tensors).tied_embeddings is tied

    def test_without_attention(self) -> None:
        found = keys("mamba", ssm__state_size=16)
        del found["mamba.attention.head_count"]
        arch = architecture_from_metadata(found)
        assert arch.head_count == arch.head_count_kv == (0,) * 4
        assert arch.key_length == arch.value_length == 0


class TestBadValues:
    @pytest.mark.parametrize(
        "key",
        [
            "general.architecture",
            "llama.block_count",
            "llama.embedding_length",
            "llama.attention.head_count",
        ],
    )
    def test_a_missing_key_is_named(self, key: str) -> None:
        found = keys("llama")
        del found[key]
        with pytest.raises(GgufError, match=f"'{key}' is missing"):
            architecture_from_metadata(found)

    def test_no_vocabulary_at_all(self) -> None:
        found = keys("llama")
        del found["llama.vocab_size"]
        with pytest.raises(GgufError, match=r"tokenizer\.ggml\.tokens"):
            architecture_from_metadata(found)

    @pytest.mark.parametrize(
        "values",
        [
            {"block_count": 0},
            {"block_count": 2**31},
            {"block_count": "four"},
            {"embedding_length": -1},
            {"context_length": 1.5},
            {"context_length": 2**40},
            {"expert_count": True},
            {"attention__head_count_kv": (1, 2, 3)},
            {"attention__head_count_kv": (1, 2, 3, 4, 5)},
            {"attention__head_count_kv": (1, 2, -3, 4)},
            {"feed_forward_length": ("a",) * 4},
            {"feed_forward_length": Omitted("array of u32", 9999)},
            {"attention__sliding_window_pattern": "6"},
            {"attention__recurrent_layers": (True,) * 3},
            {"attention__recurrent_layers": ()},
            {"attention__recurrent_layers": "all"},
            {"attention__recurrent_layers": (0.5,) * 4},
            {"attention__key_length": ()},
            {"attention__key_length": (1, 2)},
        ],
    )
    def test_impossible_values_name_the_key(self, values: dict[str, Any]) -> None:
        (key,) = values
        with pytest.raises(GgufError, match=key.replace("__", r"\.")) as caught:
            architecture_from_metadata(keys("any", **values))
        assert len(caught.value.message) < 200

    @pytest.mark.parametrize("name", ["a\x1b[2Jb", "x\ny", "ä", "a" * 65])
    def test_names_that_would_spoil_a_message(self, name: str) -> None:
        with pytest.raises(GgufError, match=r"general\.architecture") as caught:
            architecture_from_metadata({"general.architecture": name})
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 150

    def test_a_pattern_of_the_wrong_length(self) -> None:
        found = keys("gemma4", attention__sliding_window_pattern=(True,) * 3)
        with pytest.raises(GgufError, match=r"sliding_window_pattern.*one per block"):
            architecture_from_metadata(found)

    @pytest.mark.parametrize(
        "found",
        [
            {"general.architecture": "clip", "clip.vision.block_count": 27},
            {**keys("llama"), "general.type": "adapter"},
            {**keys("llama"), "general.type": "mmproj"},
        ],
    )
    def test_what_is_no_language_model(self, found: dict[str, Any]) -> None:
        with pytest.raises(GgufError, match="not a language model"):
            architecture_from_metadata(found)

    @given(
        st.dictionaries(
            st.sampled_from(sorted(keys("any", pooling_type=0, feed_forward_length=0))),
            st.one_of(
                st.none(),
                st.integers(),
                st.floats(),
                st.text(max_size=5),
                st.booleans(),
                st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
                st.just(Omitted("array of u32", 5000)),
            ),
        )
    )
    def test_any_values_give_an_architecture_or_one_error(self, changes: dict[str, Any]) -> None:
        found = keys("any") | changes
        try:
            arch = architecture_from_metadata(found)
        except GgufError:
            return
        assert len(arch.head_count) == len(arch.head_count_kv) == arch.block_count
        assert len(arch.feed_forward_length) == arch.block_count


class TestRewrites:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("gptoss", "gpt-oss"),
            ("olmo3", "olmo2"),
            ("qwen25vl", "qwen2vl"),
            ("glmocr", "glm4"),
            ("deepseekocr", "deepseek2-ocr"),
            ("glm4moelite", "deepseek2"),
            ("nemotron_h_omni", "nemotron_h"),
        ],
    )
    def test_renamed_architectures(self, old: str, new: str) -> None:
        found, _ = rewrite_header(keys(old, context_length=4096))
        assert found["general.architecture"] == new
        assert found[f"{new}.context_length"] == 4096
        arch = architecture_from_metadata(keys(old, context_length=4096))
        assert (arch.name, arch.context_length) == (new, 4096)

    def test_files_made_for_llama_cpp_stay_as_they_are(self) -> None:
        for path in HEADERS.glob("*.gguf"):
            header = read_header(path)
            assert rewrite_header(header.metadata, header.tensors) == (
                header.metadata,
                header.tensors,
            )

    def test_gptoss_takes_the_expert_width_from_its_tensors(self) -> None:
        tensors = (tensor("blk.0.ffn_gate_exps.weight", 64, 96, 4),)
        assert architecture_from_metadata(keys("gptoss"), tensors).expert_feed_forward_length == 96
        given = keys("gptoss", expert_feed_forward_length=80)
        assert architecture_from_metadata(given, tensors).expert_feed_forward_length == 80

    def test_deepseekocr_counts_its_shared_experts(self) -> None:
        tensors = (
            tensor("blk.1.ffn_down_exps.weight", 896, 64, 4),
            tensor("blk.1.ffn_down_shexp.weight", 1792, 64),
        )
        arch = architecture_from_metadata(keys("deepseekocr"), tensors)
        assert (arch.expert_feed_forward_length, arch.expert_shared_count) == (896, 2)

    def test_glm4moelite_becomes_latent_attention(self) -> None:
        # Figures of GLM-4.7-Flash: 20 heads of 256, rank 512, 64 rotary dimensions.
        arch = architecture_from_metadata(
            keys(
                "glm4moelite",
                attention__head_count=20,
                attention__head_count_kv=20,
                attention__key_length=256,
                attention__value_length=256,
                attention__key_length_mla=576,
                attention__value_length_mla=512,
                attention__kv_lora_rank=512,
                rope__dimension_count=64,
            )
        )
        assert arch.name == "deepseek2"
        assert arch.head_count_kv == (1,) * 4
        assert (arch.key_length, arch.value_length) == (576, 512)
        assert (arch.key_length_mla, arch.value_length_mla) == (256, 256)

    def test_embeddinggemma(self) -> None:
        found = keys("gemma3", pooling_type=1, attention__sliding_window_pattern=(True,) * 4)
        tensors = (
            tensor("token_embd.weight", 64, 1000),
            tensor("dense.0.weight", 64, 128),
            tensor("dense.1.weight", 128, 64),
            tensor("norm.weight", 64),
        )
        arch = architecture_from_metadata(found, tensors)
        assert (arch.name, arch.sliding_window_pattern) == ("gemma-embedding", None)
        names = [t.name for t in rewrite_header(found, tensors)[1]]
        assert names[1:] == ["dense_2.weight", "dense_3.weight", "output_norm.weight"]
        assert architecture_from_metadata(found).name == "gemma-embedding"
        assert architecture_from_metadata(keys("gemma3")).name == "gemma3"

    def test_gemma3n_loses_the_image_tokens(self) -> None:
        tensors = (
            tensor("token_embd.weight", 64, 1010),
            tensor("per_layer_token_embd.weight", 32, 1000),
        )
        found, rewritten = rewrite_header(keys("gemma3n"), tensors)
        assert rewritten[0].dims == (64, 1000)
        assert rewritten[0].bytes == 64 * 1000 * 2
        assert architecture_from_metadata(keys("gemma3n"), tensors).vocab_size == 1000
        assert found == keys("gemma3n")

    def test_lfm2_old_norm_and_width(self) -> None:
        found = keys("lfm2", feed_forward_length=12288)
        tensors = (tensor("output_norm.weight", 64), tensor("blk.0.ffn_gate.weight", 64, 8192))
        assert architecture_from_metadata(found, tensors).feed_forward_length == (8192,) * 4
        assert rewrite_header(found, tensors)[1][0].name == "token_embd_norm.weight"
        new = (*tensors, tensor("token_embd_norm.weight", 64))
        assert architecture_from_metadata(found, new).feed_forward_length == (12288,) * 4

    @pytest.mark.parametrize("arch", ["qwen3next", "qwen35", "qwen35moe"])
    def test_qwen_hybrids_collapse_their_heads(self, arch: str) -> None:
        found = keys(arch, attention__head_count_kv=(0, 0, 0, 2))
        assert architecture_from_metadata(found).head_count_kv == (2,) * 4

    @pytest.mark.parametrize("arch", ["qwen35", "qwen35moe"])
    def test_qwen35_mtp_tensors_become_a_block(self, arch: str) -> None:
        tensors = (
            *(tensor(f"blk.{i}.attn_q.weight", 64, 64) for i in range(4)),
            tensor("mtp.fc.weight", 128, 64),
            tensor("mtp.norm.weight", 64),
            tensor("mtp.layers.0.attn_q.weight", 64, 64),
            tensor("mtp.layers.0.mlp.experts.3.gate_proj.weight", 64, 32),
        )
        built = architecture_from_metadata(keys(arch), tensors)
        assert (built.block_count, built.nextn_predict_layers) == (5, 1)
        names = [t.name for t in rewrite_header(keys(arch), tensors)[1]]
        assert names[4:] == [
            "blk.4.nextn.eh_proj.weight",
            "blk.4.nextn.shared_head_norm.weight",
            "blk.4.attn_q.weight",
            "blk.4.ffn_gate_exps.3.weight",
        ]

    def test_qwen35_with_its_own_nextn_block_is_left_alone(self) -> None:
        tensors = (tensor("blk.3.nextn.eh_proj.weight", 128, 64), tensor("mtp.fc.weight", 8))
        built = architecture_from_metadata(keys("qwen35", nextn_predict_layers=1), tensors)
        assert (built.block_count, built.nextn_predict_layers) == (4, 1)

    def test_nemotron_omni_with_experts(self) -> None:
        found = keys("nemotron_h_omni", expert_count=8)
        assert architecture_from_metadata(found).name == "nemotron_h_moe"


class TestRealHeaders:
    @pytest.mark.parametrize("path", sorted(HEADERS.glob("*.gguf")), ids=lambda p: p.stem)
    def test_every_header_has_an_architecture(self, path: Path) -> None:
        arch = from_file(path.stem)
        assert arch.block_count > 0
        assert arch.vocab_size > 1000
        assert (arch.tied_embeddings is None) == (not path.name.startswith("full-"))

    def test_deepseek_v3(self) -> None:
        arch = from_file("deepseek-v3-671b")
        assert (arch.block_count, arch.head_count_kv[0], arch.key_length) == (61, 1, 576)
        assert (arch.key_length_mla, arch.kv_lora_rank) == (192, 512)
        assert (arch.expert_count, arch.expert_used_count) == (256, 8)
        assert arch.leading_dense_block_count == 3

    def test_gemma3_12b(self) -> None:
        arch = from_file("full-gemma3-12b")
        assert (arch.block_count, arch.sliding_window, arch.tied_embeddings) == (48, 1024, True)

    def test_gemma4_e2b(self) -> None:
        arch = from_file("gemma4-e2b")
        assert isinstance(arch.sliding_window_pattern, tuple)
        assert len(arch.sliding_window_pattern) == arch.block_count == 35
        assert arch.shared_kv_layers == 20
        assert (arch.key_length, arch.key_length_swa) == (512, 256)
        assert arch.embedding_length_per_layer_input == 256

    def test_hybrids(self) -> None:
        granite = from_file("granite4-h-tiny")
        assert set(granite.head_count_kv) == {0, 4}
        lfm2 = from_file("lfm2-1.2b")
        assert 0 in lfm2.head_count_kv
        assert lfm2.shortconv_l_cache == 3
        mamba = from_file("mamba2-2.7b")
        assert set(mamba.head_count) == {0}
        assert mamba.ssm_inner_size == 5120
        qwen = from_file("qwen35-27b")
        assert (qwen.ssm_group_count, qwen.ssm_time_step_rank) == (16, 48)

    def test_a_small_file(self) -> None:
        header = read_header(gguf_bytes(LLAMA, LLAMA_TENSORS))
        arch = architecture_from_metadata(header.metadata, header.tensors)
        assert (arch.head_count_kv, arch.vocab_size) == ((2, 2), 300)

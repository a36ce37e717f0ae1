"""Facts about well-known models, each checked against what its publisher says."""

from __future__ import annotations

import pytest

from assistant.models.card import ModelCard
from assistant.models.catalog import load_catalog

CATALOG = load_catalog()


def _card(name: str) -> ModelCard:
    card = CATALOG.card(name)
    assert card is not None, name
    return card


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("llama3.1:8b", 8_030_261_248, 8_030_261_248),
        ("qwen2.5:7b", 7_615_616_512, 7_615_616_512),
        ("llama3.3:70b", 70_553_706_496, 70_553_706_496),
        ("qwen3:8b", 8_190_735_360, 8_190_735_360),
        ("gemma2:9b", 9_241_705_984, 9_241_705_984),
        ("mixtral:8x7b", 46_702_792_704, 12_900_000_000),
        ("qwen3:30b", 30_532_122_624, 3_300_000_000),
        ("deepseek-v3:671b", 671_000_000_000, 37_000_000_000),
    ],
)
def test_parameters(name: str, total: int, active: int) -> None:
    card = _card(name)
    assert (card.parameters_total, card.parameters_active) == (total, active)


@pytest.mark.parametrize(
    ("name", "licence", "use"),
    [
        ("falcon:180b", "Falcon-180B TII License", "conditional"),
        ("falcon:7b", "Apache 2.0", "yes"),
        ("falcon:40b", "Apache 2.0", "yes"),
        ("qwen2.5:3b", "Qwen Research License", "no"),
        ("qwen2.5:72b", "Qwen License", "conditional"),
        ("qwen2.5:7b", "Apache 2.0", "yes"),
        ("qwen2.5-coder:3b", "Qwen Research License", "no"),
        ("codestral:22b", "Mistral Non-Production License", "no"),
        ("mistral:7b", "Apache 2.0", "yes"),
        ("gemma3:12b", "Gemma Terms of Use", "conditional"),
        ("gemma4:12b", "Apache 2.0", "yes"),
        ("phi4:14b", "MIT", "yes"),
        ("deepseek-r1:14b", "MIT", "yes"),
        ("zephyr:7b", "MIT", "yes"),
        ("deepseek-coder:6.7b", "DeepSeek Model License", "conditional"),
        ("llama3.1:8b", "Llama 3.1 Community License", "conditional"),
        ("command-r:35b", "CC BY-NC 4.0", "no"),
        ("yi:34b", "Apache 2.0", "yes"),
    ],
)
def test_licences(name: str, licence: str, use: str) -> None:
    card = _card(name)
    assert (card.licence.name, card.licence.commercial_use) == (licence, use)
    assert card.licence.note


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("gemma2:9b", 8192), ("llama3.1:8b", 131072), ("llama3:8b", 8192), ("yi:34b", 4096),
        ("mixtral:8x7b", 32768), ("mixtral:8x22b", 65536), ("qwen2.5:7b", 32768),
        ("phi4:14b", 16384), ("tinyllama:1.1b", 2048),
    ],
)  # fmt: skip
def test_trained_context(name: str, tokens: int) -> None:
    assert _card(name).context_length == tokens


def test_llama_3_1_has_eight_languages() -> None:
    assert set(_card("llama3.1:8b").languages or ()) == {
        "en", "de", "fr", "it", "pt", "hi", "es", "th",
    }  # fmt: skip


def test_code_llama_fills_in_the_middle_at_7b_and_13b_only() -> None:
    def fills(name: str) -> bool:
        card = _card(name)
        return any("insert" in (tag.capabilities or card.capabilities) for tag in card.tags)

    assert fills("codellama:7b")
    assert fills("codellama:13b")
    assert not fills("codellama:34b")
    assert any("34B" in note for note in _card("codellama:34b").notes)


def test_small_gemma_3_reads_no_images() -> None:
    assert "vision" not in _card("gemma3:1b").capabilities
    assert "vision" in _card("gemma3:4b").capabilities


@pytest.mark.parametrize(
    ("name", "keys", "heads", "length"),
    [
        ("deepseek-v3:671b", "absent", 128, 192),
        ("deepseek-r1:671b", "absent", 128, 192),
        ("deepseek-v3.1:671b", "present", 1, 576),
        ("deepseek-v2:16b", "absent", 16, 192),
        ("glm-4.7-flash", "present", 1, 576),
    ],
)
def test_mla_keys_of_the_librarys_files(name: str, keys: str, heads: int, length: int) -> None:
    card = _card(name)
    assert card.mla_keys == keys
    assert card.architecture is not None
    assert card.architecture.head_count_kv[0] == heads
    assert card.architecture.key_length == length


def _deepseek_v3_q4_k_m_bytes(*, latent_keys: bool) -> float:
    """Return the tensors' bytes by llama-quantize's Q4_K_M rules, with or without MLA keys."""
    bits = {"Q4_K": 4.5, "Q6_K": 6.5625, "Q5_0": 5.5, "F32": 32.0}

    def size(count: int, kind: str) -> float:
        return count * bits[kind] / 8

    def more_bits(block: int) -> bool:
        return block < 61 // 8 or block >= 7 * 61 // 8 or (block - 61 // 8) % 3 == 2

    width, vocab, heads = 7168, 129280, 128
    total = size(vocab * width, "Q4_K") + size(vocab * width, "Q6_K") + size(width, "F32")
    for block in range(61):
        down = "Q6_K" if more_bits(block) else "Q4_K"
        total += size(width * 1536 + 1536 * heads * 192 + width * 576, "Q4_K")
        total += size(heads * 128 * width, "Q4_K") + size(1536 + 512 + 2 * width, "F32")
        if latent_keys:  # rows of 128 cannot be Q4_K and fall back to Q5_0
            total += size(128 * 512 * heads, "Q5_0") + size(512 * 128 * heads, "Q4_K")
        else:
            total += size(512 * heads * 256, "Q4_K")
        if block < 3:
            total += size(2 * width * 18432, "Q4_K") + size(width * 18432, down)
        else:
            total += size(width * 256 + 256, "F32")
            total += size(2 * width * 2048 * 257, "Q4_K") + size(width * 2048 * 257, down)
    return total


@pytest.mark.parametrize("name", ["deepseek-v3:671b", "deepseek-r1:671b", "deepseek-v3.1:671b"])
def test_file_sizes_show_whether_the_mla_keys_are_there(name: str) -> None:
    """What is left beside the tensors is the tokenizer, about 5.3 MB, in one case only."""
    card = _card(name)
    tag = card.tag(card.default_tag or "")
    assert tag is not None
    assert tag.model_bytes is not None
    left = {keys: tag.model_bytes - _deepseek_v3_q4_k_m_bytes(latent_keys=keys)
            for keys in (True, False)}  # fmt: skip
    assert 5.2e6 < left[card.mla_keys == "present"] < 5.5e6
    assert not 0 < left[card.mla_keys != "present"] < 50e6


def test_exact_sizes() -> None:
    card, tag = CATALOG.find("llama3.1:8b")
    assert (card.name, tag.model_bytes, tag.exactness) == ("llama3.1:8b", 4_920_738_944, "exact")
    assert tag.download_bytes == 4_920_753_328
    assert CATALOG.find("gpt-oss:20b")[1].model_bytes == 13_793_422_144
    assert CATALOG.find("tinyllama")[1].download_bytes == 637_700_138


def test_files_that_deviate_from_the_usual_mix() -> None:
    for name in ("qwen3:8b", "deepseek-r1:8b", "gemma3:1b", "phi4-reasoning:14b"):
        assert "attn_v_f16" in _card(name).quantization_hints
    assert _card("llama3.1:8b").quantization_hints == frozenset()


def test_a_distillation_among_other_tags_has_its_own_architecture() -> None:
    card, tag = CATALOG.find("deepseek-r1:8b-llama-distill-q4_K_M")
    assert card.architecture is not None
    assert card.architecture.name == "qwen3"
    assert tag.architecture is not None
    assert tag.architecture.name == "llama"


def test_hybrids_have_caches_on_their_attention_blocks_only() -> None:
    granite = _card("granite4:tiny-h").architecture
    assert granite is not None
    assert [i for i, heads in enumerate(granite.head_count_kv) if heads] == [5, 15, 25, 35]
    nemotron = _card("nemotron-3-nano:30b").architecture
    assert nemotron is not None
    attention = [
        i
        for i in range(nemotron.block_count)
        if nemotron.head_count_kv[i] and not nemotron.feed_forward_length[i]
    ]
    assert attention == [5, 12, 19, 26, 33, 42]
    qwen = _card("qwen3.5:9b").architecture
    assert qwen is not None
    assert qwen.recurrent_layers is not None
    assert [i for i, flag in enumerate(qwen.recurrent_layers) if not flag] == list(range(3, 32, 4))


def test_sliding_windows() -> None:
    gemma3 = _card("gemma3:12b").architecture
    assert gemma3 is not None
    assert (gemma3.sliding_window, gemma3.sliding_window_pattern) == (1024, 6)
    gemma4 = _card("gemma4:e4b").architecture
    assert gemma4 is not None
    assert isinstance(gemma4.sliding_window_pattern, tuple)
    assert gemma4.sliding_window_pattern.count(False) == 7
    assert (gemma4.shared_kv_layers, gemma4.key_length, gemma4.key_length_swa) == (18, 512, 256)
    assert _card("phi3:3.8b").architecture.sliding_window is None


def test_evidence_of_the_leading_models() -> None:
    def score(name: str, benchmark: str, setting: str | None = None) -> float:
        return next(
            s.value
            for s in _card(name).benchmarks
            if s.name == benchmark and (setting is None or s.setting == setting)
        )

    assert score("qwen3.8:27b", "AA 20-metric mean (0-1)", "reasoning on") == 0.6856
    assert score("qwen3.8:27b", "AA 20-metric mean (0-1)", "reasoning off") == 0.498
    assert score("gemma4:31b", "AA Intelligence Index v4.3") == 29.4
    assert score("gemma4:31b", "Arena Elo (text, Apr 2026)") == 1452
    assert score("gemma4:31b", "whatmodel.sh chat rank") == 55
    assert score("qwen3-embedding:8b", "MTEB multilingual mean (task)") == 70.58
    by = {s.reported_by for s in _card("qwen3.5:27b").benchmarks if s.name.startswith("SWE")}
    assert by == {"maker", "independent"}


def test_prediction_layers_explain_the_size_of_the_q8_files() -> None:
    assert _card("qwen3.5:9b").draft_parameters == 243_269_632
    assert _card("qwen3.8:27b").draft_parameters == 424_673_280
    assert _card("ornith:9b").draft_parameters is None
    assert _card("llama3.1:8b").draft_parameters is None


def test_the_vision_part_of_a_file_is_known() -> None:
    assert _card("gemma3:12b").inline_projector_bytes == 850_527_456
    assert _card("ornith:9b").inline_projector_bytes is None
    tag = _card("llava:7b").tag("llava:7b")
    assert tag is not None
    assert tag.projector_bytes == 624_434_368

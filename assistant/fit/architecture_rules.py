"""What llama.cpp b10488 does differently for each architecture, as a table.

One `ArchitectureRule` per `general.architecture` that departs from plain attention in every
block: which blocks have a sliding window, which carry a recurrent state instead of a cache,
which share a cache, and how the feed-forward part is built. Read from src/models/*.cpp
(`load_arch_hparams`, the graph builders), src/llama-model.cpp (`create_memory`) and
src/llama-hparams.cpp of llama.cpp; the same facts are in MEMORY_MODEL sections 2.3 to 2.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

Cache = Literal["attention", "hybrid", "recurrent", "none"]
RecurrentBlocks = Literal["no_kv_heads", "no_kv_heads_no_ffn", "interval", "every"]
State = Literal["ssm", "delta", "shortconv", "rwkv", "kda", "lightning"]
WindowWhen = Literal["always", "key", "not_zero", "64_blocks"]
FeedForward = Literal["gated", "plain"]
Slack = Literal["attention", "width", "two_widths", "experts", "none"]


@dataclass(frozen=True, slots=True)
class WindowRule:
    """Which blocks keep a window only. `period` n: of every n blocks one sees everything.

    `dense_first` puts that block first instead of last. `period` 0 means every block.
    `window` is used without a key, or despite one when `fixed`.
    """

    period: int
    when: WindowWhen = "key"
    dense_first: bool = False
    window: int = 0
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class ArchitectureRule:
    """How one architecture departs from plain attention with a gated feed-forward part.

    `state` is the kind of recurrent state, `recurrent_blocks` which blocks have one.
    `owning_blocks` is the number of first blocks that own a cache where the code fixes it.
    `caches_nextn` is False where multi-token-prediction blocks are left out of the cache.

    The last group describes the peak of the graph, in widths (`embedding_length`):
    `extra_widths` more than usual beside the feed-forward part; `slack` is what lies idle
    there, the attention's output by default; `score_widths` and `score_queries` are what lives
    beside the K*Q scores without flash attention; `positions` per token; `host_widths` further
    embeddings per token that the host prepares; `reuses_slack` is False where a quantized
    cache changes nothing.
    """

    cache: Cache = "attention"
    window: WindowRule | None = None
    recurrent_blocks: RecurrentBlocks | None = None
    state: State | None = None
    owning_blocks: int | None = None
    caches_nextn: bool = True
    indexer: bool = False
    flash_attention: bool = True
    feed_forward: FeedForward = "gated"
    extra_widths: int = 0
    slack: Slack = "attention"
    score_widths: int = 2
    score_queries: int = 2
    positions: int = 1
    host_widths: int = 0
    reuses_slack: bool = True


_PLAIN: Final = ArchitectureRule()
_ENCODER: Final = ArchitectureRule(cache="none", feed_forward="plain")
_GATED_ENCODER: Final = ArchitectureRule(cache="none")
_MAMBA: Final = ArchitectureRule(cache="recurrent", recurrent_blocks="every", state="ssm")
_RWKV: Final = ArchitectureRule(
    cache="recurrent", recurrent_blocks="every", state="rwkv", feed_forward="plain"
)
_KDA: Final = ArchitectureRule(cache="hybrid", recurrent_blocks="no_kv_heads", state="kda")
_LFM: Final = ArchitectureRule(
    cache="hybrid",
    recurrent_blocks="no_kv_heads",
    state="shortconv",
    window=WindowRule(period=0),
    slack="none",
)
_NEMOTRON_H: Final = ArchitectureRule(
    cache="hybrid",
    recurrent_blocks="no_kv_heads_no_ffn",
    state="ssm",
    feed_forward="plain",
    score_queries=1,
)
_DELTA: Final = ArchitectureRule(
    cache="hybrid",
    recurrent_blocks="interval",
    state="delta",
    slack="none",
    score_queries=3,
    positions=4,
)
_DELTA_MOE: Final = replace(_DELTA, slack="width", score_widths=3)
_UNGATED: Final = ArchitectureRule(feed_forward="plain")
_DSA: Final = ArchitectureRule(caches_nextn=False, indexer=True)
_ARRAY_WINDOW: Final = WindowRule(period=0, when="always")
_DEEPSTACK: Final = ArchitectureRule(
    extra_widths=3, score_widths=6, positions=4, host_widths=3, reuses_slack=False
)

RULES: Final[Mapping[str, ArchitectureRule]] = MappingProxyType(
    {
        # sliding windows
        "gemma2": ArchitectureRule(window=WindowRule(2, "always", window=4096)),
        "gemma3": ArchitectureRule(window=WindowRule(6)),
        "gemma3n": ArchitectureRule(
            window=WindowRule(5, "always", window=512),
            owning_blocks=20,
            extra_widths=6,
            score_widths=5,
            reuses_slack=False,
        ),
        "gemma4": ArchitectureRule(window=_ARRAY_WINDOW, reuses_slack=False),
        "gpt-oss": ArchitectureRule(window=WindowRule(2, "always", window=128)),
        "cohere2": ArchitectureRule(
            window=WindowRule(4, "always", window=4096), extra_widths=1, reuses_slack=False
        ),
        "cohere2moe": ArchitectureRule(
            window=WindowRule(4, "always", dense_first=True, window=4096), extra_widths=1
        ),
        "llama4": ArchitectureRule(
            window=WindowRule(4, "not_zero", window=8192, fixed=True),
            extra_widths=1,
            reuses_slack=False,
        ),
        "olmo2": ArchitectureRule(window=WindowRule(4), score_queries=1, reuses_slack=False),
        "exaone4": ArchitectureRule(
            window=WindowRule(4, "64_blocks", window=4096), score_queries=1, reuses_slack=False
        ),
        "exaone-moe": ArchitectureRule(window=WindowRule(4, "always", window=128)),
        "smallthinker": ArchitectureRule(
            window=WindowRule(4, dense_first=True, window=4096, fixed=True), reuses_slack=False
        ),
        "plamo3": ArchitectureRule(
            window=WindowRule(8), slack="none", score_queries=0, reuses_slack=False
        ),
        "afmoe": ArchitectureRule(window=WindowRule(4), slack="experts"),
        "mellum": ArchitectureRule(window=WindowRule(4)),
        "laguna": ArchitectureRule(window=WindowRule(4, dense_first=True), slack="experts"),
        "muse-glimmer": ArchitectureRule(window=WindowRule(4, "always")),
        "mimo2": ArchitectureRule(window=_ARRAY_WINDOW, caches_nextn=False),
        "step35": ArchitectureRule(window=_ARRAY_WINDOW, caches_nextn=False),
        # multi-token-prediction blocks without a cache; sparse attention with an indexer
        "hy_v3": ArchitectureRule(caches_nextn=False),
        "glm-dsa": _DSA,
        "deepseek32": _DSA,
        # recurrent, and attention mixed with recurrent blocks
        "mamba": _MAMBA,
        "mamba2": _MAMBA,
        "rwkv6": _RWKV,
        "rwkv6qwen2": _RWKV,
        "rwkv7": _RWKV,
        "arwkv7": _RWKV,
        "jamba": ArchitectureRule(
            cache="hybrid",
            recurrent_blocks="no_kv_heads",
            state="ssm",
            slack="experts",
            score_queries=1,
        ),
        "granitehybrid": ArchitectureRule(
            cache="hybrid", recurrent_blocks="no_kv_heads", state="ssm", slack="two_widths"
        ),
        "plamo2": ArchitectureRule(
            cache="hybrid", recurrent_blocks="no_kv_heads", state="ssm", slack="none"
        ),
        "falcon-h1": ArchitectureRule(cache="hybrid", recurrent_blocks="every", state="ssm"),
        "nemotron_h": _NEMOTRON_H,
        "nemotron_h_moe": replace(_NEMOTRON_H, slack="two_widths", score_widths=3),
        "lfm2": _LFM,
        "lfm2moe": replace(_LFM, slack="experts"),
        "qwen3next": replace(_DELTA_MOE, positions=1),
        "qwen35": _DELTA,
        "qwen35moe": _DELTA_MOE,
        "kimi-linear": _KDA,
        "kimi-k3": _KDA,
        "bailingmoe3": _KDA,
        "minimax-01": ArchitectureRule(
            cache="hybrid", recurrent_blocks="interval", state="lightning"
        ),
        # no cache at all
        "bert": _ENCODER,
        "jina-bert-v2": _GATED_ENCODER,
        "jina-bert-v3": _ENCODER,
        "nomic-bert": _GATED_ENCODER,
        "nomic-bert-moe": _ENCODER,
        "neo-bert": _GATED_ENCODER,
        "eurobert": _GATED_ENCODER,
        "modern-bert": _GATED_ENCODER,
        "gemma-embedding": replace(_GATED_ENCODER, window=WindowRule(6)),
        "dream": _GATED_ENCODER,
        "llada": _GATED_ENCODER,
        "llada-moe": _GATED_ENCODER,
        "rnd1": _GATED_ENCODER,
        # feed-forward without a gate
        "gpt2": replace(_UNGATED, host_widths=1),
        "starcoder": replace(_UNGATED, host_widths=1),
        "starcoder2": _UNGATED,
        "nemotron": _UNGATED,
        "mpt": _UNGATED,
        "bloom": _UNGATED,
        "codeshell": _UNGATED,
        "jais": _UNGATED,
        "arcee": _UNGATED,
        "apertus": _UNGATED,
        "gptneox": replace(_UNGATED, extra_widths=1),
        "phi2": replace(_UNGATED, extra_widths=1),
        "falcon": replace(_UNGATED, score_queries=0, reuses_slack=False),
        # other shapes of the graph
        "command-r": ArchitectureRule(reuses_slack=False),
        "qwen2vl": ArchitectureRule(positions=4),
        "qwen3vl": _DEEPSTACK,
        "qwen3vlmoe": _DEEPSTACK,
        "qwen2moe": ArchitectureRule(reuses_slack=False),
        "dbrx": ArchitectureRule(slack="experts", score_queries=0),
        "bailingmoe2": ArchitectureRule(slack="experts", score_queries=1),
        "grok": ArchitectureRule(flash_attention=False),
    }
)


def architecture_rule(name: str) -> ArchitectureRule:
    """Return the rule of an architecture; plain attention for one that is not in the table."""
    return RULES.get(name, _PLAIN)

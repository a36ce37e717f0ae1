"""What llama.cpp b10488 does differently for each architecture, as a table.

One `ArchitectureRule` per `general.architecture` that departs from plain attention in every
block: which blocks have a sliding window, which carry a recurrent state instead of a cache,
which share a cache, and how the feed-forward part is built. Read from src/models/*.cpp
(`load_arch_hparams`, the graph builders), src/llama-model.cpp (`create_memory`) and
src/llama-hparams.cpp of llama.cpp; the same facts are in MEMORY_MODEL sections 2.3 to 2.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Cache = Literal["attention", "hybrid", "recurrent", "none"]
RecurrentBlocks = Literal["no_kv_heads", "no_kv_heads_no_ffn", "interval", "every"]
State = Literal["ssm", "shortconv", "rwkv", "kda", "lightning"]
WindowWhen = Literal["always", "key", "not_zero", "64_blocks"]
FeedForward = Literal["gated", "plain", "parallel", "plain_parallel"]


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


_PLAIN: Final = ArchitectureRule()
_ENCODER: Final = ArchitectureRule(cache="none", feed_forward="plain")
_DIFFUSION: Final = ArchitectureRule(cache="none")
_MAMBA: Final = ArchitectureRule(cache="recurrent", recurrent_blocks="every", state="ssm")
_RWKV: Final = ArchitectureRule(
    cache="recurrent", recurrent_blocks="every", state="rwkv", feed_forward="plain"
)
_KV_ZERO_SSM: Final = ArchitectureRule(cache="hybrid", recurrent_blocks="no_kv_heads", state="ssm")
_DELTA: Final = ArchitectureRule(cache="hybrid", recurrent_blocks="interval", state="ssm")
_KDA: Final = ArchitectureRule(cache="hybrid", recurrent_blocks="no_kv_heads", state="kda")
_LFM: Final = ArchitectureRule(
    cache="hybrid",
    recurrent_blocks="no_kv_heads",
    state="shortconv",
    window=WindowRule(period=0),
)
_NEMOTRON_H: Final = ArchitectureRule(
    cache="hybrid", recurrent_blocks="no_kv_heads_no_ffn", state="ssm", feed_forward="plain"
)
_UNGATED: Final = ArchitectureRule(feed_forward="plain")
_PARALLEL: Final = ArchitectureRule(feed_forward="parallel")
_UNGATED_PARALLEL: Final = ArchitectureRule(feed_forward="plain_parallel")
_DSA: Final = ArchitectureRule(caches_nextn=False, indexer=True)
_ARRAY_WINDOW: Final = WindowRule(period=0, when="always")

RULES: Final[Mapping[str, ArchitectureRule]] = MappingProxyType(
    {
        # sliding windows
        "gemma2": ArchitectureRule(window=WindowRule(2, "always", window=4096)),
        "gemma3": ArchitectureRule(window=WindowRule(6)),
        "gemma3n": ArchitectureRule(window=WindowRule(5, "always", window=512), owning_blocks=20),
        "gemma4": ArchitectureRule(window=_ARRAY_WINDOW),
        "gpt-oss": ArchitectureRule(window=WindowRule(2, "always", window=128)),
        "cohere2": ArchitectureRule(
            window=WindowRule(4, "always", window=4096), feed_forward="parallel"
        ),
        "cohere2moe": ArchitectureRule(
            window=WindowRule(4, "always", dense_first=True, window=4096),
            feed_forward="parallel",
        ),
        "llama4": ArchitectureRule(window=WindowRule(4, "not_zero", window=8192, fixed=True)),
        "olmo2": ArchitectureRule(window=WindowRule(4)),
        "exaone4": ArchitectureRule(window=WindowRule(4, "64_blocks", window=4096)),
        "exaone-moe": ArchitectureRule(window=WindowRule(4, "always", window=128)),
        "smallthinker": ArchitectureRule(
            window=WindowRule(4, dense_first=True, window=4096, fixed=True)
        ),
        "plamo3": ArchitectureRule(window=WindowRule(8)),
        "afmoe": ArchitectureRule(window=WindowRule(4)),
        "mellum": ArchitectureRule(window=WindowRule(4)),
        "laguna": ArchitectureRule(window=WindowRule(4, dense_first=True)),
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
        "jamba": _KV_ZERO_SSM,
        "granitehybrid": _KV_ZERO_SSM,
        "plamo2": _KV_ZERO_SSM,
        "falcon-h1": ArchitectureRule(cache="hybrid", recurrent_blocks="every", state="ssm"),
        "nemotron_h": _NEMOTRON_H,
        "nemotron_h_moe": _NEMOTRON_H,
        "lfm2": _LFM,
        "lfm2moe": _LFM,
        "qwen3next": _DELTA,
        "qwen35": _DELTA,
        "qwen35moe": _DELTA,
        "kimi-linear": _KDA,
        "kimi-k3": _KDA,
        "bailingmoe3": _KDA,
        "minimax-01": ArchitectureRule(
            cache="hybrid", recurrent_blocks="interval", state="lightning"
        ),
        # no cache at all
        "bert": _ENCODER,
        "jina-bert-v2": _DIFFUSION,
        "jina-bert-v3": _ENCODER,
        "nomic-bert": _DIFFUSION,
        "nomic-bert-moe": _ENCODER,
        "neo-bert": _DIFFUSION,
        "eurobert": _DIFFUSION,
        "modern-bert": _DIFFUSION,
        "gemma-embedding": _DIFFUSION,
        "dream": _DIFFUSION,
        "llada": _DIFFUSION,
        "llada-moe": _DIFFUSION,
        "rnd1": _DIFFUSION,
        # feed-forward without a gate, or beside the attention
        "gpt2": _UNGATED,
        "starcoder": _UNGATED,
        "starcoder2": _UNGATED,
        "nemotron": _UNGATED,
        "mpt": _UNGATED,
        "bloom": _UNGATED,
        "codeshell": _UNGATED,
        "jais": _UNGATED,
        "arcee": _UNGATED,
        "apertus": _UNGATED,
        "command-r": _PARALLEL,
        "phi2": _UNGATED_PARALLEL,
        "falcon": _UNGATED_PARALLEL,
        "gptneox": _UNGATED_PARALLEL,
        "stablelm": _PLAIN,
        "grok": ArchitectureRule(flash_attention=False),
    }
)


def architecture_rule(name: str) -> ArchitectureRule:
    """Return the rule of an architecture; plain attention for one that is not in the table."""
    return RULES.get(name, _PLAIN)

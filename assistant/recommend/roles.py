"""What each role needs from a model, and which published scores speak for it.

A role is what the person wants done (chat, code, embeddings, ...). Per role:

* `num_ctx`: the context that a model is sized with when the person names none. 8k holds a
  conversation, 16k a few source files, retrieved passages or a document. Coding agents want
  64k (Ollama's documentation); `--num-ctx 65536` sizes for that. `least_ctx` is what a small
  card may fall back to when the usual context would push layers off it (4k is Ollama's own
  default under 24 GiB of VRAM).
* `requires`, `prefers`: capabilities as Ollama lists them.
* `useful_quality`: quality points (0 to 100, see `scales`) below which a model is not offered
  as useful. 12 for chat is just under qwen3.5:2b, the smallest that the evidence of October
  2026 still places above 2024's 8B models.
* `comfortable_speed`: tokens per second from which more speed adds little. A person reads at
  5 to 10 tokens/s; code and tool calls are waited for, long thinking most of all.
* `thinking_share`: how much of the with-thinking score counts on a fast machine. Nobody waits
  for a chain of thought before a chat reply or a translation; reasoning is nothing without it.
* `evidence`: the weight of each scale. Scales that rate many local models on one yardstick
  (Artificial Analysis, whatmodel.sh, the Arena) carry most; makers' own figures count half of
  what stands here (`evidence.MAKER_WEIGHT`), because they run above independent re-runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from assistant.errors import UsageError
from assistant.recommend.records import Role


@dataclass(frozen=True, slots=True)
class RoleProfile:
    """One row of the table; see the module's docstring. `evidence` maps scale to weight."""

    name: Role
    title: str
    num_ctx: int
    least_ctx: int
    useful_quality: float
    comfortable_speed: float
    thinking_share: float
    evidence: tuple[tuple[str, float], ...]
    evidence_why: str
    requires: frozenset[str] = frozenset()
    prefers: frozenset[str] = frozenset()


_GENERAL: Final = (("aa20", 1.0), ("aai", 0.5), ("wm", 0.5))

# fmt: off
ROLES: Final[tuple[RoleProfile, ...]] = (
    RoleProfile(
        name="chat",
        title="chat",
        num_ctx=8192,
        least_ctx=4096,
        useful_quality=12.0,
        comfortable_speed=20.0,
        thinking_share=0.3,
        evidence=(*_GENERAL, ("wm_chat", 1.0), ("arena", 1.0)),
        evidence_why="general indices for knowledge, human preference for the tone",
    ),
    RoleProfile(
        name="code",
        title="code",
        num_ctx=16384,
        least_ctx=8192,
        useful_quality=12.0,
        comfortable_speed=25.0,
        thinking_share=0.6,
        evidence=(
            ("aa20", 1.0), ("aai", 0.5), ("wm_coding", 1.0), ("wm_agent", 0.5),
            ("swe_verified", 1.0), ("swe_pro", 0.6), ("terminal", 0.4), ("livecodebench", 0.6),
        ),
        evidence_why="re-run SWE-bench and coding ranks first; makers' figures count half",
        prefers=frozenset({"tools"}),
    ),
    RoleProfile(
        name="embeddings",
        title="embeddings",
        num_ctx=2048,
        least_ctx=2048,
        useful_quality=5.0,
        comfortable_speed=300.0,
        thinking_share=0.0,
        evidence=(("mteb_multilingual", 1.0), ("mteb_english", 0.5), ("mteb_retrieval", 0.7)),
        evidence_why="MTEB means; the retrieval-only English scale for older models",
        requires=frozenset({"embedding"}),
    ),
    RoleProfile(
        name="vision",
        title="vision",
        num_ctx=8192,
        least_ctx=4096,
        useful_quality=8.0,
        comfortable_speed=15.0,
        thinking_share=0.3,
        evidence=(
            ("wm_vision", 1.5), ("mmmu", 1.0), ("ocrbench", 0.6), ("aa20", 0.5), ("wm", 0.3),
        ),
        evidence_why="vision-and-documents rank, MMMU and OCRBench, then general skill",
        requires=frozenset({"vision"}),
    ),
    RoleProfile(
        name="reasoning",
        title="reasoning",
        num_ctx=16384,
        least_ctx=8192,
        useful_quality=13.0,
        comfortable_speed=30.0,
        thinking_share=1.0,
        evidence=(("aa20", 1.5), ("aai", 0.7), ("wm_math", 0.6), ("wm", 0.3), ("gpqa", 0.4)),
        evidence_why="indices measured with thinking on, mathematics rank, GPQA-Diamond",
        prefers=frozenset({"thinking"}),
    ),
    RoleProfile(
        name="writing",
        title="writing",
        num_ctx=8192,
        least_ctx=4096,
        useful_quality=12.0,
        comfortable_speed=12.0,
        thinking_share=0.0,
        evidence=(("wm_chat", 2.0), ("arena", 1.5), ("aa20", 0.5), ("wm", 0.3)),
        evidence_why="human preference; no benchmark of writing alone was found",
    ),
    RoleProfile(
        name="translation",
        title="translation",
        num_ctx=8192,
        least_ctx=4096,
        useful_quality=12.0,
        comfortable_speed=15.0,
        thinking_share=0.0,
        evidence=(("mmmlu", 2.0), ("wm_chat", 0.7), ("arena", 0.5), ("aa20", 0.7), ("wm", 0.3)),
        evidence_why="MMMLU (many languages), then fluency by human preference",
    ),
    RoleProfile(
        name="summarize",
        title="summaries",
        num_ctx=16384,
        least_ctx=8192,
        useful_quality=12.0,
        comfortable_speed=20.0,
        thinking_share=0.1,
        evidence=(
            ("aa20", 1.0), ("wm_chat", 0.7), ("wm", 0.5), ("aai", 0.4), ("long_context", 0.6),
        ),
        evidence_why="general indices without thinking, chat rank, long-context reasoning",
    ),
    RoleProfile(
        name="rag",
        title="answers from documents",
        num_ctx=16384,
        least_ctx=8192,
        useful_quality=12.0,
        comfortable_speed=20.0,
        thinking_share=0.2,
        evidence=(
            ("aa20", 1.0), ("aai", 0.5), ("wm", 0.5), ("wm_chat", 0.5), ("long_context", 0.8),
        ),
        evidence_why="general indices, long-context reasoning",
    ),
    RoleProfile(
        name="tools",
        title="tool calling",
        num_ctx=16384,
        least_ctx=8192,
        useful_quality=12.0,
        comfortable_speed=25.0,
        thinking_share=0.5,
        evidence=(
            ("bfcl4", 1.5), ("wm_agent", 1.0), ("aa20", 0.8), ("tau2", 0.4), ("terminal", 0.3),
        ),
        evidence_why="BFCL v4 and agent-task rank, then general skill",
        requires=frozenset({"tools"}),
    ),
    RoleProfile(
        name="extract",
        title="structured extraction",
        num_ctx=8192,
        least_ctx=4096,
        useful_quality=12.0,
        comfortable_speed=20.0,
        thinking_share=0.0,
        evidence=(("aa20", 1.0), ("bfcl4", 0.7), ("wm", 0.5), ("wm_agent", 0.3)),
        evidence_why="general indices without thinking, and BFCL for keeping to a schema",
        prefers=frozenset({"tools"}),
    ),
)

# fmt: on
AUTOCOMPLETE: Final = RoleProfile(
    name="code",
    title="autocomplete",
    num_ctx=8192,
    least_ctx=4096,
    useful_quality=8.0,
    comfortable_speed=60.0,
    thinking_share=0.0,
    evidence=(("humaneval", 1.0), ("wm_coding", 0.5)),
    evidence_why="HumanEval of the models that Ollama lists with `insert`; speed counts most",
    requires=frozenset({"insert"}),
)
"""The code role when text before and after the cursor must be completed (`Needs.insert`)."""

ALIASES: Final = {
    "coding": "code",
    "programming": "code",
    "embedding": "embeddings",
    "embed": "embeddings",
    "multilingual": "translation",
    "translate": "translation",
    "creative": "writing",
    "math": "reasoning",
    "maths": "reasoning",
    "ocr": "vision",
    "images": "vision",
    "summary": "summarize",
    "summarization": "summarize",
    "documents": "rag",
    "agents": "tools",
    "agent": "tools",
    "extraction": "extract",
}
ROLE_NAMES: Final = tuple(profile.name for profile in ROLES)


def role_profile(role: str, *, insert: bool = False) -> RoleProfile:
    """Return the table's row for a role, by name or usual synonym (`coding`, `ocr`).

    `insert` turns the code role into autocomplete.

    Raises:
        UsageError: there is no such role.
    """
    name = ALIASES.get(role.lower(), role.lower())
    if name == "code" and insert:
        return AUTOCOMPLETE
    for profile in ROLES:
        if profile.name == name:
            return profile
    raise UsageError(f"there is no role {role!r}.", hint="Roles: " + ", ".join(ROLE_NAMES) + ".")

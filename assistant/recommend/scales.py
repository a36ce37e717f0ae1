"""Published scales brought to one: quality points from 0 to 100.

The yardstick is the mean of up to 20 Artificial Analysis metrics (AA20, September 2026,
0 to 1), because it rates more local models than any other: 41 points is what qwen3.5:9b
reaches there with thinking on. Every other scale is a straight line through two anchors,
models that stand on both scales, so each conversion can be checked by hand:

    points = low_points + share * (high_points - low_points)
    share = (value - low_value) / (high_value - low_value)

Ranks (whatmodel.sh rates 732 models, and fewer per task) are turned into shares of the field
first, and shares into points by the composite scores at those shares (`RANK_CURVE`).
Embedding models have a yardstick of their own: the MTEB multilingual mean, 40 to 75.

AA20 averages whatever metrics exist for a model, so it is thin for models from before 2025
(a 270M model of 2025 stands above a 70B of 2024): it counts half for those.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MAX_POINTS: Final = 100.0


@dataclass(frozen=True, slots=True)
class Scale:
    """One published scale.

    `low` and `high` are anchors (value, points). `maker_penalty` is taken off a maker's own
    figure before converting: the median distance to independent re-runs where both exist.
    """

    name: str
    title: str
    low: tuple[float, float]
    high: tuple[float, float]
    anchors: str
    maker_penalty: float = 0.0

    def points(self, value: float, *, by_maker: bool = False) -> float:
        """Return quality points for a value on this scale, 0 to 100."""
        if by_maker:
            value -= self.maker_penalty
        (low, low_points), (high, high_points) = self.low, self.high
        share = (value - low) / (high - low)
        return min(MAX_POINTS, max(0.0, low_points + share * (high_points - low_points)))


SCALES: Final = {
    scale.name: scale
    for scale in (
        Scale("aa20", "AA 20-metric mean", (0.0, 0.0), (1.0, 100.0), "the yardstick itself"),
        Scale("aai", "AA Intelligence Index", (4.9, 12.5), (33.9, 68.6), "phi4:14b, qwen3.8:27b"),
        Scale("wm", "whatmodel.sh score", (44.5, 8.7), (71.8, 68.6), "qwen3:1.7b, qwen3.8:27b"),
        Scale("arena", "Arena Elo (text)", (1365, 30.0), (1452, 60.0),
              "gemma3:27b and gemma4:31b, at their whatmodel.sh chat rank"),
        Scale("swe_verified", "SWE-bench Verified", (31.8, 23.4), (68.6, 57.7),
              "qwen3-coder:30b, qwen3.5:27b (re-runs)", maker_penalty=9.0),
        Scale("swe_pro", "SWE-bench Pro", (19.1, 31.0), (61.7, 68.6),
              "granite4.2:8b, qwen3.8:27b (makers)"),
        Scale("terminal", "Terminal-Bench 2", (10.1, 23.4), (34.8, 53.0),
              "qwen3-coder:30b, qwen3.6:35b", maker_penalty=9.0),
        Scale("livecodebench", "LiveCodeBench v6", (29.1, 13.3), (80.0, 49.9),
              "gemma3:27b, gemma4:31b (makers)"),
        Scale("bfcl4", "BFCL v4", (23.9, 6.4), (60.6, 41.4),
              "qwen3:0.6b, qwen3.5:9b (leaderboard)", maker_penalty=5.5),
        Scale("tau2", "tau2-bench", (24.5, 22.9), (76.9, 49.9), "gemma4:e2b, gemma4:31b (makers)"),
        Scale("mmmlu", "MMMLU", (55.4, 9.0), (88.4, 49.9), "phi3.5:3.8b, gemma4:31b (makers)"),
        Scale("gpqa", "GPQA-Diamond", (42.4, 13.3), (84.3, 49.9),
              "gemma3:27b, gemma4:31b (makers)"),
        Scale("mmmu", "MMMU", (49.0, 11.3), (78.4, 41.4), "qwen3.5:0.8b, qwen3.5:9b (maker)"),
        Scale("ocrbench", "OCRBench", (80.0, 11.3), (89.2, 41.4), "all but useless, qwen3.5:9b"),
        Scale("long_context", "AA-LCR", (30.7, 27.1), (63.0, 41.4), "gpt-oss:20b, qwen3.5:9b"),
        Scale("humaneval", "HumanEval", (30.0, 5.0), (92.7, 60.0),
              "starcoder2 (2024), qwen2.5-coder:32b (makers)"),
        Scale("mteb_multilingual", "MTEB multilingual", (40.0, 0.0), (75.0, 100.0),
              "the embeddings yardstick"),
        Scale("mteb_english", "MTEB English v2", (70.7, 69.5), (75.22, 87.4),
              "qwen3-embedding:0.6b, qwen3-embedding:8b"),
        Scale("mteb_retrieval", "MTEB retrieval (English)", (41.95, 25.0), (55.98, 50.0),
              "all-minilm:22m, snowflake-arctic-embed:335m, both below bge-m3"),
    )
}  # fmt: skip

RANKED_AMONG: Final = {
    "wm_chat": ("chat and writing", 402),
    "wm_coding": ("coding", 469),
    "wm_agent": ("agent tasks", 313),
    "wm_math": ("mathematics", 431),
    "wm_vision": ("vision and documents", 153),
}
"""Task ranks of whatmodel.sh: the task's title, and how many models it ranks."""

RANK_CURVE: Final = (
    (0.0, 90.0), (0.085, 68.6), (0.165, 56.3), (0.25, 47.1), (0.30, 39.4),
    (0.377, 32.2), (0.437, 26.9), (0.58, 14.6), (0.67, 8.3), (0.82, 0.0), (1.0, 0.0),
)  # fmt: skip
"""Share of the field above a model, and the points that composite scores have at that share.

Read off the composite: rank 62 of 732 scores 71.8 (68.6 points), 121: 66.2, 181: 62.0,
221: 58.2, 276: 55.2, 320: 52.8, 426: 47.2, 490: 44.3, 600: 37.7.
"""


def rank_points(rank: float, among: int) -> float:
    """Return quality points for a rank (1 is best) in a field of `among` models."""
    share = min(1.0, max(0.0, rank / among))
    for (left, high), (right, low) in pairwise(RANK_CURVE):
        if share <= right:
            return high + (share - left) / (right - left) * (low - high)
    return 0.0

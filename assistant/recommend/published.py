"""Task ranks and scores that stand beside the catalog's benchmark rows.

`TASK_RANKS` is from whatmodel.sh, October 2026: its score (0 to 100), then a model's rank for
agent tasks (of 313 models), coding (of 469), chat and writing (of 402), mathematics (of 431),
vision and documents (of 153), read on its per-model pages; None is not ranked there. Where the
Ollama name covers several builds, the page is of the build that the default tag was made from
as far as the library says (`qwen3:30b` and `qwen3:4b`: the April 2025 hybrid).

`FIGURES` are single scores (scale, value, by the maker or not, source) read for this project:
BFCL v4 and SWE-bench re-runs on the same whatmodel.sh pages, MTEB(Multilingual, v2) task means
from the MTEB leaderboard, HumanEval of the models that complete code at the cursor from their
makers' reports (StarCoder2, February 2024; Qwen2.5-Coder, November 2024).
"""

from __future__ import annotations

from typing import Final

TASK_SCALES: Final = ("wm", "wm_agent", "wm_coding", "wm_chat", "wm_math", "wm_vision")
TASK_SOURCE: Final = "whatmodel.sh, October 2026"

TASK_RANKS: Final[dict[str, tuple[float | None, ...]]] = {
    "qwen3.8:27b": (71.8, 52, 36, 72, None, 43),
    "muse-glimmer:30b": (68.5, 80, 114, 85, None, 67),
    "qwen3.6:35b": (66.8, 95, 96, None, 132, 58),
    "qwen3.5:35b": (65.7, 105, 149, 123, 139, 56),
    "qwen3.5:9b": (62.0, 154, 189, 150, 148, 73),
    "qwen3.5:4b": (60.0, 170, 242, 166, 154, 90),
    "qwen3.5:2b": (47.2, 290, 449, 253, 308, 120),
    "qwen3.5:0.8b": (37.7, 304, None, 357, 382, 140),
    "gemma4:31b": (66.2, 119, 115, 55, 119, 50),
    "gemma4:26b": (63.5, 167, 128, 70, 97, 59),
    "gemma4:12b": (62.0, 164, 135, 78, 166, 76),
    "gemma4:e4b": (52.8, 244, 270, 330, 259, 117),
    "gemma4:e2b": (47.1, 287, 359, 375, 297, 138),
    "gpt-oss:20b": (58.2, 215, 173, 205, 145, None),
    "gpt-oss:120b": (61.5, 159, 164, 164, 112, None),
    "granite4.2:8b": (59.4, 169, 199, 232, 120, None),
    "granite4.2:3b": (57.1, 191, 238, 235, 158, None),
    "granite4.1:8b": (55.2, 219, 203, 223, None, None),
    "granite4:1b": (42.1, 245, None, 252, 320, None),
    "lfm2.5:8b": (52.3, 230, 393, 132, 223, None),
    "qwen3:8b": (55.6, 201, 257, 184, 174, None),
    "qwen3:4b": (51.2, 225, 305, 251, 224, None),
    "qwen3:30b": (55.3, 218, 254, 198, 197, None),
    "qwen3:32b": (57.4, 196, 205, 171, 173, None),
    "qwen3-next:80b": (62.9, 205, 177, 117, 78, None),
    "qwen3-vl:2b": (44.5, 248, 424, 287, 304, 137),
    "qwen3-vl:8b": (55.1, 204, 340, 195, 188, 110),
    "qwen3-vl:30b": (59.3, 194, 193, 216, 127, 98),
    "qwen3-vl:32b": (59.8, 172, 311, 185, 162, 92),
    "qwen2.5vl:3b": (44.6, None, None, None, 299, 139),
    "qwen2.5vl:32b": (53.3, None, None, None, None, 116),
    "qwen2.5:3b": (44.3, 266, 338, 281, 345, None),
    "qwen2.5-coder:1.5b": (44.0, None, 356, None, None, None),
    "qwen2.5-coder:32b": (57.3, None, 188, 262, None, None),
    "gemma3:4b": (45.3, 298, 371, 227, 268, 152),
    "gemma3n:e4b": (49.1, None, None, 207, None, None),
    "llama3:8b": (43.6, 305, 351, 301, 391, None),
    "llama3.1:8b": (46.1, 274, 323, 304, 349, None),
    "llama2:13b": (35.5, None, 455, 365, 416, None),
    "codellama:13b": (40.2, None, 387, None, 348, None),
    "codellama:34b": (41.6, None, 369, 367, 301, None),
    "hermes3:8b": (43.7, None, 366, None, None, None),
}

THIN_RANKS: Final = frozenset(
    "qwen3.8:27b wm_chat; muse-glimmer:30b wm_chat; qwen3.5:0.8b wm_agent; qwen3.5:0.8b wm_chat; "
    "gemma4:31b wm_chat; gemma4:26b wm_chat; gemma4:12b wm_chat; gpt-oss:20b wm_chat; "
    "gpt-oss:120b wm_chat; granite4.2:8b wm_chat; granite4.2:8b wm_math; granite4.1:8b wm_agent; "
    "granite4.1:8b wm_chat; granite4:1b wm_agent; lfm2.5:8b wm_chat; qwen3:8b wm_chat; "
    "qwen3-vl:2b wm_agent; qwen3-vl:2b wm_coding; qwen3-vl:2b wm_chat; qwen3-vl:2b wm_math; "
    "qwen3-vl:8b wm_agent; qwen3-vl:8b wm_coding; qwen3-vl:8b wm_chat; qwen3-vl:30b wm_agent; "
    "qwen3-vl:30b wm_coding; qwen3-vl:30b wm_chat; qwen3-vl:30b wm_math; qwen3-vl:32b wm_agent; "
    "qwen3-vl:32b wm_coding; qwen3-vl:32b wm_chat; qwen3-vl:32b wm_math; qwen2.5vl:3b wm_math; "
    "qwen2.5:3b wm_agent; qwen2.5:3b wm_chat; qwen2.5-coder:32b wm_chat; gemma3:4b wm_agent; "
    "gemma3n:e4b wm_chat; llama2:13b wm_coding; llama2:13b wm_math; codellama:13b wm_math; "
    "codellama:34b wm_chat; codellama:34b wm_math; hermes3:8b wm_coding".split("; ")
)
"""Ranks that whatmodel.sh marks as resting on few tests."""

_WHATMODEL: Final = "whatmodel.sh, October 2026"
_MTEB: Final = "MTEB leaderboard, 2026"

FIGURES: Final[dict[str, tuple[tuple[str, float, bool, str], ...]]] = {
    "gemma4:e2b": (("bfcl4", 36.6, False, _WHATMODEL),),
    "qwen3.5:4b": (("bfcl4", 56.8, False, _WHATMODEL),),
    "qwen3.5:2b": (("bfcl4", 43.6, False, _WHATMODEL),),
    "gemma3:4b": (("bfcl4", 19.6, False, _WHATMODEL),),
    "llama3.1:8b": (("bfcl4", 25.8, False, _WHATMODEL),),
    "granite4.2:3b": (
        ("bfcl4", 52.2, False, _WHATMODEL),
        ("swe_verified", 36.8, False, _WHATMODEL),
    ),
    "lfm2.5:8b": (("swe_verified", 0.4, False, _WHATMODEL),),
    "embeddinggemma:300m": (("mteb_multilingual", 61.15, False, _MTEB),),
    "qwen2.5-coder:1.5b": (("humaneval", 70.7, True, _WHATMODEL),),
    "qwen3.5:9b": (("swe_pro", 38.0, False, _WHATMODEL),),
    "gemma4:31b": (("swe_pro", 33.0, False, _WHATMODEL),),
}

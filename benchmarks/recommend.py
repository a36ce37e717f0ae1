"""Print what is recommended per memory tier and role, beside what a well-informed person picks.

    python benchmarks/recommend.py            the table
    python benchmarks/recommend.py --all      every label of every pick
    python benchmarks/recommend.py --time     seconds per recommendation as well

`USUAL` holds the picks that comparisons of autumn 2026 agree on per tier (what rates many local
models on one scale: Artificial Analysis, whatmodel.sh, the Arena; curated lists by memory).
Several are listed where sources disagree. A difference is not an error: the last column shows
it so that it can be judged.
"""

from __future__ import annotations

import argparse
import time
from typing import Final

from assistant.machine.parse import parse_machine
from assistant.models.catalog import load_catalog
from assistant.recommend import recommend
from assistant.recommend.records import Needs, Pick, Role

_SMALL_EMBEDDERS: Final = ("embeddinggemma", "qwen3-embedding:0.6b")
_EMBEDDERS: Final = ("qwen3-embedding", "embeddinggemma")

USUAL: Final[tuple[tuple[str, dict[Role, tuple[str, ...]]], ...]] = (
    ("CPU only, 8GB RAM", {"chat": ("gemma4:e2b", "lfm2.5:8b"), "code": ("qwen3.5:4b",),
     "reasoning": ("qwen3.5:4b", "granite4.2:3b"), "vision": ("qwen3.5:2b", "minicpm-v4.6"),
     "tools": ("lfm2.5:8b", "qwen3.5:4b"), "embeddings": _SMALL_EMBEDDERS}),
    ("Raspberry Pi 5 8GB", {"chat": ("granite4.2:3b", "qwen3.5:2b", "gemma4:e2b")}),
    ("CPU only, 32GB RAM", {"chat": ("gemma4:26b", "gpt-oss:20b")}),
    ("4GB VRAM", {"chat": ("gemma4:e2b", "qwen3.5:2b", "qwen3.5:4b"),
     "code": ("qwen3.5:2b", "qwen3.5:4b"),
     "reasoning": ("nemotron-3-nano:4b", "granite4.2:3b"), "embeddings": _SMALL_EMBEDDERS}),
    ("6GB VRAM", {"chat": ("gemma4:e4b", "gemma4:e2b"), "code": ("qwen3.5:4b",),
     "vision": ("qwen3.5:4b",), "tools": ("lfm2.5:8b", "qwen3.5:4b")}),
    ("8GB VRAM", {"chat": ("qwen3.5:9b", "gemma4:e4b"), "code": ("qwen3.5:9b",),
     "vision": ("qwen3.5:9b",), "writing": ("gemma4:e4b",), "reasoning": ("qwen3.5:9b",)}),
    ("12GB VRAM", {"chat": ("gemma4:12b",), "code": ("qwen3.5:9b",), "writing": ("gemma4:12b",),
     "tools": ("qwen3.5:9b",), "vision": ("gemma4:12b", "qwen3.5:9b")}),
    ("16GB VRAM", {"chat": ("gemma4:26b", "gemma4:12b"), "code": ("qwen3.5:9b",),
     "reasoning": ("qwen3.5:9b", "gpt-oss:20b"), "vision": ("qwen3.5:9b",),
     "embeddings": ("qwen3-embedding:4b", "qwen3-embedding:8b")}),
    ("24GB VRAM", {"chat": ("gemma4:26b", "gemma4:31b", "qwen3.8:27b"),
     "code": ("qwen3.8:27b",), "reasoning": ("qwen3.8:27b",), "vision": ("qwen3.8:27b",),
     "writing": ("gemma4:31b", "gemma4:26b")}),
    ("32GB VRAM", {"chat": ("gemma4:31b", "qwen3.8:27b"), "code": ("qwen3.8:27b",),
     "writing": ("gemma4:31b", "gemma4:26b")}),
    ("48GB VRAM", {"chat": ("gemma4:31b", "qwen3.8:27b"), "code": ("qwen3.8:27b",)}),
    ("80GB VRAM", {"chat": ("qwen3.8:27b", "gemma4:31b"), "code": ("qwen3.8:27b",),
     "embeddings": ("qwen3-embedding:8b", "qwen3-embedding:4b")}),
    ("M2 8GB", {"chat": ("gemma4:e2b",), "code": ("qwen3.5:4b",)}),
    ("M4 16GB", {"chat": ("gemma4:12b",), "code": ("qwen3.5:9b",)}),
    ("M4 Pro 24GB", {"chat": ("gemma4:12b",), "code": ("qwen3.5:9b",)}),
    ("M3 Max 36GB", {"chat": ("gemma4:26b",), "code": ("qwen3.8:27b",)}),
    ("M4 Max 64GB", {"chat": ("gemma4:31b", "gemma4:26b"), "code": ("qwen3.8:27b",)}),
    ("M4 Max 128GB", {"chat": ("gemma4:31b",), "code": ("qwen3.8:27b", "qwen3.5:122b")}),
)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="every pick with all its labels")
    parser.add_argument("--time", action="store_true", help="seconds per recommendation")
    arguments = parser.parse_args()
    catalog = load_catalog()
    agreed = asked = 0
    for spec, usual in USUAL:
        machine = parse_machine(spec)
        for role, expected in usual.items():
            started = time.perf_counter()
            found = recommend(machine, Needs(role=role), catalog)
            seconds = time.perf_counter() - started
            best = found.picks[0] if found.picks else None
            same = best is not None and any(best.model.startswith(name) for name in expected)
            asked += 1
            agreed += same
            mark = "" if same else "usual: " + " or ".join(expected)
            timing = f"{seconds * 1000:6.0f} ms" if arguments.time else ""
            print(f"{spec:20} {role:11} {_line(best)} {timing} {mark}".rstrip())
            if arguments.all:
                for pick in found.picks:
                    print(f"{'':20} - {', '.join(pick.labels):34} {_line(pick)}")
    print(f"\n{agreed} of {asked} agree with the usual pick.")


def _line(pick: Pick | None) -> str:
    if pick is None:
        return "nothing fits"
    decode = pick.estimate.speed.decode
    speed = f"{decode.expected:5.1f} t/s" if decode else "    - t/s"
    gibibytes = pick.estimate.memory.total_bytes / 2**30
    placed = pick.estimate.placement.verdict
    return f"{pick.model:28} {gibibytes:6.1f} GiB {placed:7} {speed} q{pick.score['quality']:5.1f}"


if __name__ == "__main__":
    main()

"""Reciprocal rank fusion: one order from several, without comparing their scores.

Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet" (SIGIR 2009), k = 60.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

K: Final = 60
Item = TypeVar("Item", bound=Hashable)


def fuse_ranks(
    rankings: Sequence[Sequence[Item]], *, weights: Sequence[float] | None = None
) -> list[Item]:
    """Return all items of the rankings, best first; the order of the rankings does not matter.

    `weights` has one factor per ranking (1 by default). Ties keep the item that is ranked best
    anywhere, then the smaller one.
    """
    scores: dict[Item, float] = defaultdict(float)
    best: dict[Item, int] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, item in enumerate(ranking):
            scores[item] += weight / (K + rank + 1)
            best[item] = min(best.get(item, rank), rank)
    return sorted(scores, key=lambda item: (-scores[item], best[item], str(item)))

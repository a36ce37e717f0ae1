"""The tables that guides may ask for, by name."""

from __future__ import annotations

from typing import Final

import guide_card_tables as cards
import guide_fit_tables as fit
from guide_table import Build

TABLES: Final[dict[str, Build]] = {
    **{f"tier-{size}": fit.held_models(f"{size}GB VRAM")
       for size in (4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 80)},
    **{f"tier-{size}gb": fit.picks_for(f"{size}GB VRAM")
       for size in (4, 6, 8, 12, 16, 24, 32, 48, 80)},
    "tier-cpu": fit.picks_on_cpu((("chat", "chat"), ("code", "code"))),
    "cpu-picks": fit.cpu_chat_and_speed,
    "tier-unified": fit.unified_memory,
    "apple-tiers": fit.macs,
    "tier-apple": fit.mac_picks,
    "picks-by-role": fit.picks_by_role,
    "picks-code": fit.picks_across("code", fit.CARDS, ctx="8k to 16k"),
    "picks-vision": fit.picks_across("vision", fit.CARDS, ctx="4k to 8k"),
    "current-overview": cards.current_families,
    "current-models": cards.current_models,
    "context-lengths": cards.context_lengths,
    "languages": cards.languages,
    "licences": cards.licences,
    "embedding-models": cards.embedding_models,
    "fim-models": cards.fim_models,
    **{f"family-{name}": cards.family(name) for name in cards.FAMILIES},
}  # fmt: skip
"""Every table that a guide may ask for with `<!-- table: NAME -->`."""

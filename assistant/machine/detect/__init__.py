"""One probe per source of facts about this computer."""

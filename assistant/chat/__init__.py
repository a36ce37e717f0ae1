"""A private chat: conversations, what fits into a context, one turn after another."""

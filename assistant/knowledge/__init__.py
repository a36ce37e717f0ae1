"""The guides, and how they are searched."""

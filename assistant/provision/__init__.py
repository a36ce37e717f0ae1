"""Making it so: what to pull and create, doing it step by step, verifying it, undoing it."""

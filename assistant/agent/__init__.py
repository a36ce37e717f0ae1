"""Answering questions from tool results; numbers never come from a language model."""

"""Answers written from tool results, with no language model. Pure: results in, Markdown out."""

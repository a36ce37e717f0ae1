"""A command-line assistant that gets a computer running local language models well."""

__version__ = "0.1.0"

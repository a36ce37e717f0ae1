"""The only door to an Ollama server."""

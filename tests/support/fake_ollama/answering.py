"""How a loaded model answers: its turn becomes chunks, cut and counted as Ollama does it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.fake_ollama.replies import count_tokens
from tests.support.fake_ollama.runners import Runner
from tests.support.fake_ollama.turns import Piece

if TYPE_CHECKING:
    from tests.support.fake_ollama.server import OllamaServer

_CACHED_LOAD_NS = 1_250_000
_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the"
    " prompt, adjust the context length in settings, or use a model with a longer context length"
)


class RunnerRefusedError(Exception):
    """400 from the runner, or in its name, once the model is loaded."""


def runner_error(message: str, kind: str, **more: Any) -> RunnerRefusedError:
    """Return an error as the runner words it: JSON inside a string."""
    inner = {"code": 400, "message": message, "type": kind, **more}
    return RunnerRefusedError(json.dumps({"error": inner}, separators=(",", ":")))


def prompt_tokens(
    messages: list[dict[str, Any]], num_ctx: int, *, truncate: bool, shift: bool
) -> int:
    """Return the tokens of the prompt that are evaluated, after Ollama's silent cuts.

    Raises:
        RunnerRefusedError: it is too long, and the request forbids to cut it.
    """
    counts = [count_tokens(_text_of(message)) + 4 for message in messages]
    total = sum(counts) + 2
    if total <= num_ctx:
        return total
    if not truncate:
        raise runner_error(
            f"request ({total} tokens) exceeds the available context size ({num_ctx} tokens),"
            " try increasing it",
            "exceed_context_size_error",
            n_prompt_tokens=total,
            n_ctx=num_ctx,
        )
    system = sum(c for c, m in zip(counts, messages, strict=True) if m.get("role") == "system")
    turns = [c for c, m in zip(counts, messages, strict=True) if m.get("role") != "system"]
    while len(turns) > 1 and system + sum(turns) + 2 > num_ctx:
        turns.pop(0)
    total = system + sum(turns) + 2
    if total <= num_ctx:
        return total
    if not shift:
        raise RunnerRefusedError(_TOO_LONG)
    return num_ctx // 2 + 2


def _text_of(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    said = f"{message.get('thinking') or ''} {message.get('content') or ''}"
    return said if not calls else f"{said} {json.dumps(calls)}"


@dataclass
class Reply:
    """The chunks of one answer, and what is known when the last one has been sent."""

    server: OllamaServer
    runner: Runner
    options: Mapping[str, Any]
    prompt_eval_count: int
    shift: bool
    eval_count: int = 0
    done_reason: str = "stop"
    own_counts: dict[str, Any] = field(default_factory=dict)

    def pieces(self, source: Iterator[Piece]) -> Iterator[dict[str, Any]]:
        """Yield the messages, as far as `num_predict`, `stop` and the context let them come."""
        limit = self._limit()
        stops = [text for text in self.options.get("stop") or [] if text]
        written = ""
        for piece in source:
            if piece.get("done"):
                self._take_counts(piece)
                return
            message = dict(piece.get("message") or {"role": "assistant", "content": ""})
            if limit is not None and self.eval_count >= limit:
                self.done_reason = "length"
                return
            self.eval_count += 1
            content = str(message.get("content") or "")
            at = min((i for s in stops if (i := (written + content).find(s)) >= 0), default=-1)
            if at >= 0:
                kept = (written + content)[len(written) : at]
                if kept:
                    yield {**message, "content": kept}
                return
            written += content
            yield message

    def metrics(self) -> dict[str, Any]:
        """Return what the last line adds: durations in nanoseconds, and counts."""
        server = self.server
        load = _CACHED_LOAD_NS
        if self.runner.fresh:
            load += int(self.runner.size / server.load_bytes_per_s * 1e9)
        prompt = int(self.prompt_eval_count / server.prompt_tokens_per_s * 1e9)
        decode = int(max(1, self.eval_count) / server.decode_tokens_per_s * 1e9)
        return {
            "total_duration": load + prompt + decode + 30_000_000,
            "load_duration": load,
            "prompt_eval_count": self.prompt_eval_count,
            "prompt_eval_duration": prompt,
            "eval_count": max(1, self.eval_count),
            "eval_duration": decode,
            **self.own_counts,
        }

    def _limit(self) -> int | None:
        limits = []
        num_predict = self.options.get("num_predict")
        if isinstance(num_predict, int) and num_predict >= 0:
            limits.append(num_predict)
        if not self.shift:
            limits.append(max(0, self.runner.num_ctx - self.prompt_eval_count))
        return min(limits, default=None)

    def _take_counts(self, piece: Piece) -> None:
        """Take what a chat model says of its own end, in place of what was counted."""
        self.done_reason = piece.get("done_reason") or "stop"
        self.own_counts = {
            key: value
            for key, value in piece.items()
            if key not in {"done", "done_reason", "message"} and value is not None
        }


def logprob_of(text: str, top: int) -> dict[str, Any]:
    """Return what `logprobs` adds for one token."""
    entry: dict[str, Any] = {"token": text, "logprob": -0.5, "bytes": list(text.encode())}
    if top:
        entry["top_logprobs"] = [dict(entry) for _ in range(top)]
    return entry

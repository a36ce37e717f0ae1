"""What can go wrong, on demand: a fault waits for a request of its path and then happens.

`after_lines` counts the lines of a stream that still arrive whole. A fault is used up after
`times` requests (None: never). The texts are those that Ollama 0.33 sends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BUSY: Final = "server busy, please try again.  maximum pending requests exceeded"
RUNNER_DIED: Final = "an error was encountered while running the model: unexpected EOF"
OUT_OF_MEMORY: Final = (
    "llama-server process has terminated: exit status 1: ggml_aligned_malloc: insufficient memory"
    " (attempted to allocate 36000.00 MB)\n"
    "llama_init_from_model: failed to initialize the context:"
    " failed to allocate buffer for kv cache"
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. Make it with the class methods, which name what happens.

    `path` is the endpoint, or None for every one that comes by; `model` the name in the
    request (`:latest` left out as the client left it), or None for all.
    """

    kind: str
    path: str | None = None
    model: str | None = None
    times: int | None = 1
    after_lines: int = 0
    status: int = 500
    text: str = ""
    delay_s: float = 0.0
    between_s: float = 0.0
    min_num_ctx: int = 0

    @classmethod
    def slow(
        cls,
        path: str | None = None,
        *,
        delay_s: float = 0.0,
        between_s: float = 0.0,
        model: str | None = None,
        times: int | None = None,
    ) -> Fault:
        """Wait before the headers (`delay_s`) and before every line (`between_s`)."""
        return cls("slow", path, model, times, delay_s=delay_s, between_s=between_s)

    @classmethod
    def cut(
        cls,
        path: str | None = "/api/pull",
        *,
        after_lines: int = 0,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """Close the connection without the chunk that ends the stream; the server lives on."""
        return cls("cut", path, model, times, after_lines)

    @classmethod
    def kill(
        cls,
        path: str | None = "/api/pull",
        *,
        after_lines: int = 0,
        model: str | None = None,
    ) -> Fault:
        """The server dies as by SIGKILL; start another one with the same state."""
        return cls("kill", path, model, 1, after_lines)

    @classmethod
    def stop(
        cls,
        path: str | None = "/api/pull",
        *,
        after_lines: int = 0,
        model: str | None = None,
    ) -> Fault:
        """The server is stopped mid-pull and leaves empty part files behind."""
        return cls("stop", path, model, 1, after_lines)

    @classmethod
    def disk_full(
        cls,
        path: str | None = "/api/pull",
        *,
        after_lines: int = 1,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """A pull finds no space: `write ...: no space left on device`."""
        return cls("disk_full", path, model, times, after_lines)

    @classmethod
    def error(
        cls,
        path: str | None = None,
        *,
        status: int = 500,
        text: str = "something went wrong",
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """An error status with a JSON body, before anything else."""
        return cls("status", path, model, times, status=status, text=text)

    @classmethod
    def error_line(
        cls,
        path: str | None,
        text: str,
        *,
        after_lines: int = 1,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """An error inside a stream that began well; without a stream it is a 500."""
        return cls("error_line", path, model, times, after_lines, text=text)

    @classmethod
    def busy(
        cls,
        path: str | None = "/api/chat",
        *,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """503, the queue is full."""
        return cls.error(path, status=503, text=BUSY, model=model, times=times)

    @classmethod
    def bad_digest(
        cls,
        path: str | None = "/api/pull",
        *,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """What was downloaded is not what it should be; it is thrown away."""
        return cls("bad_digest", path, model, times)

    @classmethod
    def garbage(
        cls,
        path: str | None = None,
        *,
        after_lines: int = 0,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """A line that is no JSON, where a line was expected; the stream goes on after it."""
        return cls("garbage", path, model, times, after_lines)

    @classmethod
    def html(
        cls, path: str | None = None, *, model: str | None = None, times: int | None = 1
    ) -> Fault:
        """200 and a web page, as a captive portal answers."""
        return cls("html", path, model, times)

    @classmethod
    def hang(
        cls,
        path: str | None = None,
        *,
        after_lines: int = 0,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """No answer, or no more lines, until the client gives up or the server is stopped."""
        return cls("hang", path, model, times, after_lines)

    @classmethod
    def poisoned_partial(
        cls,
        path: str | None = "/api/pull",
        *,
        after_lines: int = 2,
        model: str | None = None,
    ) -> Fault:
        """`{"error":"EOF"}` now and at every later pull, until the partial is removed."""
        return cls("poison", path, model, 1, after_lines)

    @classmethod
    def registry_gone(
        cls,
        path: str | None = "/api/pull",
        *,
        after_lines: int = 1,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """The registry dies: no manifest, or `max retries exceeded` once a layer has begun."""
        return cls("registry_gone", path, model, times, after_lines)

    @classmethod
    def missing_model(
        cls,
        path: str | None = "/api/pull",
        *,
        model: str | None = None,
        times: int | None = None,
    ) -> Fault:
        """The registry no longer has the model."""
        return cls("missing_model", path, model, times)

    @classmethod
    def load_failure(
        cls,
        path: str | None = None,
        *,
        model: str | None = None,
        min_num_ctx: int = 0,
        text: str = OUT_OF_MEMORY,
        times: int | None = 1,
    ) -> Fault:
        """The runner does not start, if the context is at least `min_num_ctx`."""
        return cls("load_failure", path, model, times, text=text, min_num_ctx=min_num_ctx)

    @classmethod
    def runner_killed(
        cls,
        path: str | None = "/api/chat",
        *,
        after_lines: int = 1,
        model: str | None = None,
        times: int | None = 1,
    ) -> Fault:
        """The runner dies while it writes; the next request loads the model again."""
        return cls("runner_killed", path, model, times, after_lines, text=RUNNER_DIED)

    def concerns(self, path: str, model: str) -> bool:
        """True when it waits for a request of that path about that model."""
        return self.path in {None, path} and (
            self.model is None or _plain(self.model) == _plain(model)
        )


def _plain(name: str) -> str:
    return name.lower().removesuffix(":latest")


@dataclass
class _Waiting:
    fault: Fault
    left: int | None


@dataclass
class Faults:
    """The faults that wait; tests add and clear them while the server runs."""

    _waiting: list[_Waiting] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *faults: Fault) -> None:
        """Let these happen, first added first."""
        with self._lock:
            self._waiting += [_Waiting(fault, fault.times) for fault in faults]

    def clear(self) -> None:
        """Let nothing more go wrong."""
        with self._lock:
            self._waiting.clear()

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter([waiting.fault for waiting in self._waiting])

    def take(self, path: str, model: str) -> tuple[Fault, ...]:
        """Return the faults of one request, at most one of each kind, and count them off."""
        taken: list[Fault] = []
        for waiting in self._matching(path, model):
            if waiting.fault.kind not in {"load_failure", *[t.kind for t in taken]}:
                taken.append(waiting.fault)
                self._count(waiting)
        return tuple(taken)

    def take_load_failure(self, path: str, model: str, num_ctx: int) -> str | None:
        """Return why a runner does not start, or None."""
        for waiting in self._matching(path, model):
            if waiting.fault.kind == "load_failure" and num_ctx >= waiting.fault.min_num_ctx:
                self._count(waiting)
                return waiting.fault.text
        return None

    def _matching(self, path: str, model: str) -> list[_Waiting]:
        with self._lock:
            return [w for w in self._waiting if w.fault.concerns(path, model)]

    def _count(self, waiting: _Waiting) -> None:
        with self._lock:
            if waiting.left is not None:
                waiting.left -= 1
                if waiting.left <= 0 and waiting in self._waiting:
                    self._waiting.remove(waiting)

"""A scene for tests of `assistant setup`: a server, a home, and the command in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assistant.cli.main import run
from assistant.ollama import chat, wire
from assistant.ollama import client as ollama_client
from assistant.provision import candidate, verify
from tests.support.fake_ollama import ALL_MINILM, GEMMA3_270M, SMOLLM2, OllamaServer

MODEL: Final = "smollm2:135m"
COMMAND: Final = (
    "setup", "--yes", "--role", "chat", "--model", f"chat={MODEL}", "--bandwidth", "50MB/s",
)  # fmt: skip
SHORT_S: Final = 0.4


class Requests(list[tuple[str, str, Any]]):
    """The requests of a server; `on_request(path, how many of it)` hears each before its answer."""

    def __init__(self, on_request: Callable[[str, int], None]) -> None:
        super().__init__()
        self.on_request = on_request

    def append(self, request: tuple[str, str, Any]) -> None:
        """Take a request, and tell of it."""
        super().append(request)
        self.on_request(request[1], sum(each[1] == request[1] for each in self))


@dataclass(frozen=True)
class Seen:
    """One run: exit code and what was printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The object on stdout."""
        return json.loads(self.stdout)

    @property
    def words(self) -> str:
        """All of stderr in one line, as a person reads it."""
        return " ".join(self.stderr.split())

    @property
    def error(self) -> str:
        """The first error and its hint, in one line; nothing when there was none."""
        said = self.words.partition("Error: ")[2]
        return said.partition(" Error: ")[0]


@dataclass(frozen=True)
class Scene:
    """A server, and a home of this program's own; `host` is another way to write the address."""

    server: OllamaServer
    home: Path
    host: str | None = None

    @property
    def data(self) -> Path:
        """The folder of the ledger."""
        return self.home / "data"

    def names(self) -> list[str]:
        """What is installed."""
        return sorted(m.name.render() for m in self.server.state.manifests.values())

    def kept_bytes(self) -> int:
        """What unfinished downloads have."""
        return sum(p.completed for p in self.server.state.partials.values())

    def left(self) -> str:
        """What is there after a run, in a few words."""
        parts = self.names()
        if self.server.state.partials:
            parts.append("part of the download" if self.kept_bytes() else "an empty download")
        return ", ".join(parts) or "nothing"

    def setup(self, *more: str) -> Seen:
        """Run `COMMAND` in this process."""
        return self.run(*COMMAND, *more)

    def run(self, *arguments: str, answers: str | None = None) -> Seen:
        """Run a command in this process; `answers` is what a person at a terminal types."""
        out, err = _Pipe(), _Pipe()
        with (
            _environment(COLUMNS="80", NO_COLOR="1", **self.environ),
            _stdin(io.StringIO("") if answers is None else _Terminal(answers)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = run(arguments)
        return Seen(code, out.text(), err.text())

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to find the server and the home."""
        return {"OLLAMA_HOST": self.host or self.server.host, "ASSISTANT_HOME": str(self.home)}

    def num_ctx(self, name: str = "assistant-chat") -> int | None:
        """The context that a model's Modelfile sets, None when it is not installed."""
        manifest = self.server.manifest(name)
        return None if manifest is None else self.server.state.params_of(manifest).get("num_ctx")

    def asked(self, path: str) -> int:
        """How many requests there were to a path."""
        return sum(request[1] == path for request in self.server.requests)

    def changes(self) -> list[str]:
        """The requests that change something or run a model."""
        harmless = {"/api/show"}
        return [r[1] for r in self.server.requests if r[0] != "GET" and r[1] not in harmless]


@contextlib.contextmanager
def scene(folder: Path, **more: Any) -> Iterator[Scene]:
    """Give a server with some models in its registry, nothing installed, and an empty home."""
    library = [SMOLLM2, GEMMA3_270M, ALL_MINILM]
    with OllamaServer(**{"library": library, **more}) as server:
        yield Scene(server, folder / "home")


@contextlib.contextmanager
def short_waits() -> Iterator[None]:
    """Let everything that waits for the server give up soon."""
    limits = (
        (wire, "ANSWER_TIMEOUT_S"),
        (ollama_client, "SILENCE_S"),
        (ollama_client, "LOAD_TIMEOUT_S"),
        (verify, "REPLY_LIMIT_S"),
        (chat, "NEXT_TOKEN_TIMEOUT_S"),
        (verify, "UNLOAD_S"),
        (candidate, "CLEAN_UP_S"),
    )
    before = [getattr(module, name) for module, name in limits]
    for module, name in limits:
        setattr(module, name, SHORT_S)
    try:
        yield
    finally:
        for (module, name), value in zip(limits, before, strict=True):
            setattr(module, name, value)


class _Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        """Say that there is a person."""
        return True


@contextlib.contextmanager
def _stdin(stream: io.StringIO) -> Iterator[None]:
    before, sys.stdin = sys.stdin, stream
    try:
        yield
    finally:
        sys.stdin = before


class _Pipe(io.TextIOWrapper):
    """A text stream in memory with an encoding, as a pipe has one."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True)

    def text(self) -> str:
        """Return what was written."""
        self.seek(0)
        return self.read()


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

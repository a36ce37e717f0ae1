"""The `OLLAMA_*` environment that decides what Ollama does with a model.

Read as Ollama reads it (`envconfig/config.go`): spaces and one pair of quotes around a value
are dropped, a value that is not what it should be is ignored, as if it were unset. Each value
says where it comes from, and what was ignored is listed in a sentence each, so that a person
can see why an estimate is as it is.

This is the environment of the command; a server that runs as a service has its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

Origin = Literal["environment", "default"]
T = TypeVar("T")

KV_CACHE_TYPES: Final = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One value and where it comes from: the variable's name, or `default`."""

    value: T
    origin: Origin
    variable: str

    @property
    def is_set(self) -> bool:
        """True when the environment gives the value."""
        return self.origin == "environment"


@dataclass(frozen=True, slots=True)
class OllamaSettings:
    """The settings that change estimates; `value` is None where Ollama chooses by itself.

    `context_length`: tokens for models that fix none. `num_parallel`: requests served at once
    per model. `kv_cache_type`: type of keys and values. `flash_attention`: forced on or off.
    `max_loaded_models`: models in memory at once. `gpu_overhead`: bytes of VRAM per GPU taken
    off the sum that chooses the context. `sched_spread`: spread over all GPUs always.
    `igpu_enable`: use integrated GPUs too. `host`, `models`: address and folder as written.
    """

    context_length: Setting[int | None]
    num_parallel: Setting[int | None]
    kv_cache_type: Setting[str | None]
    flash_attention: Setting[bool | None]
    max_loaded_models: Setting[int | None]
    gpu_overhead: Setting[int | None]
    sched_spread: Setting[bool | None]
    igpu_enable: Setting[bool | None]
    host: Setting[str | None]
    models: Setting[str | None]
    ignored: tuple[str, ...] = ()

    @property
    def assumptions(self) -> tuple[str, ...]:
        """One sentence for each setting of the environment that changes an estimate."""
        settings: tuple[Setting[int | None] | Setting[str | None] | Setting[bool | None], ...] = (
            self.context_length, self.num_parallel, self.kv_cache_type, self.flash_attention,
            self.gpu_overhead, self.sched_spread, self.igpu_enable,
        )  # fmt: skip
        given = (
            f"{s.variable}={_shown(s.value)} from the environment" for s in settings if s.is_set
        )
        return (*given, *self.ignored)


def read_settings(environ: Mapping[str, str] | None = None) -> OllamaSettings:
    """Return the Ollama settings of `environ` (the process's own by default); never raises."""
    reader = _Reader(os.environ if environ is None else environ)
    return OllamaSettings(
        context_length=reader.count("OLLAMA_CONTEXT_LENGTH"),
        num_parallel=reader.count("OLLAMA_NUM_PARALLEL"),
        kv_cache_type=reader.kv_cache_type("OLLAMA_KV_CACHE_TYPE"),
        flash_attention=reader.switch("OLLAMA_FLASH_ATTENTION"),
        max_loaded_models=reader.count("OLLAMA_MAX_LOADED_MODELS"),
        gpu_overhead=reader.count("OLLAMA_GPU_OVERHEAD"),
        sched_spread=reader.switch("OLLAMA_SCHED_SPREAD"),
        igpu_enable=reader.switch("OLLAMA_IGPU_ENABLE"),
        host=reader.text("OLLAMA_HOST"),
        models=reader.text("OLLAMA_MODELS"),
        ignored=tuple(reader.ignored),
    )


@dataclass
class _Reader:
    environ: Mapping[str, str]
    ignored: list[str] = field(default_factory=list)

    def text(self, name: str) -> Setting[str | None]:
        value = unquote(self.environ.get(name, ""))
        return Setting(value or None, "environment" if value else "default", name)

    def count(self, name: str) -> Setting[int | None]:
        """A whole number; 0 stands for Ollama's own choice, as it does there."""
        value = self.text(name).value
        if value is None:
            return Setting(None, "default", name)
        if not (value.isascii() and value.isdecimal()):
            return self._ignore(name, value, "a whole number")
        number = int(value)
        return Setting(number or None, "environment" if number else "default", name)

    def switch(self, name: str) -> Setting[bool | None]:
        """Go's booleans; any other text switches on, as it does there."""
        value = self.text(name).value
        if value is None:
            return Setting(None, "default", name)
        return Setting(value not in _FALSE, "environment", name)

    def kv_cache_type(self, name: str) -> Setting[str | None]:
        value = self.text(name).value
        if value is None:
            return Setting(None, "default", name)
        if value.lower() in KV_CACHE_TYPES:
            return Setting(value.lower(), "environment", name)
        self.ignored.append(
            f"{name}={value!r} is not a KV cache type ({', '.join(KV_CACHE_TYPES)}); "
            "Ollama loads no model with it"
        )
        return Setting(None, "default", name)

    def _ignore(self, name: str, value: str, wanted: str) -> Setting[int | None]:
        self.ignored.append(f"{name}={value!r} is not {wanted}; Ollama ignores it")
        return Setting(None, "default", name)


def unquote(value: str) -> str:
    """Return a variable's value as Ollama reads it: without spaces and quotes around it."""
    return value.strip().strip("\"'").strip()


def _shown(value: object) -> str:
    return {True: "1", False: "0"}.get(value, str(value)) if isinstance(value, bool) else str(value)

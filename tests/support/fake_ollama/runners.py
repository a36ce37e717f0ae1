"""Which models are in memory, how large they are there, and who waits for them.

Sizes come from `assistant.fit.estimate`, which does what llama.cpp's placement does; a test
may say otherwise with `vram_share` or `memory_of`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from assistant.config import KV_CACHE_TYPES, OllamaSettings, read_settings
from assistant.fit.estimate import estimate_fit
from assistant.fit.kv_cache import cache_bytes, cache_layout
from assistant.fit.records import FitEstimate, RunOptions
from assistant.fit.run_choices import default_context, effective_context, predict_vram
from assistant.machine.records import Accelerator, Cpu, Machine, Ram
from assistant.units import GIB
from tests.support.fake_ollama.faults import BUSY, Faults
from tests.support.fake_ollama.options import keep_alive_s
from tests.support.fake_ollama.state import Manifest

FOREVER_S: Final = 9_223_372_036.0
"""Go's longest duration, 292 years: what a negative `keep_alive` becomes."""

_DIED: Final = "llama-server process has terminated: exit status 1"
_QUANTIZED_V: Final = "llama_init_from_model: quantized V cache requires flash_attn to be enabled"
_MAX_QUEUE: Final = 512
_FULL_PERCENT: Final = 80

MemoryOf = Callable[[str, int], tuple[int, int]]


@dataclass(frozen=True)
class Gpu:
    """The graphics card of the server's computer; free memory is the whole by default."""

    total_bytes: int
    free_bytes: int | None = None
    name: str = "NVIDIA GeForce RTX 3060"
    vendor: Literal["nvidia", "amd", "apple"] = "nvidia"
    compute_capability: str = "8.6"


class LoadError(Exception):
    """A runner did not start; the text is the server's."""


class QueueFullError(Exception):
    """Too many requests wait for a runner."""


@dataclass
class Runner:
    """One model in memory, under the name that loaded it. Times are of `time.time`."""

    manifest: Manifest
    listed_name: str
    asked: tuple[tuple[str, Any], ...]
    num_ctx: int
    size: int
    vram: int
    estimate: FitEstimate
    slots: threading.Semaphore
    expires_at: float = 0.0
    used_at: float = 0.0
    fresh: bool = True


@dataclass
class Runners:
    """The scheduler: loads, shares, evicts and unloads runners."""

    gpu: Gpu | None
    environ: Mapping[str, str]
    faults: Faults
    ram_bytes: int = 32 * GIB
    vram_share: float | None = None
    memory_of: MemoryOf | None = None
    _runners: dict[str, Runner] = field(default_factory=dict)
    _waiting: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def settings(self) -> OllamaSettings:
        """The server's environment, as it reads it."""
        return read_settings(self.environ)

    def loaded(self) -> list[Runner]:
        """Return what is in memory, the one that stays longest first."""
        with self._lock:
            now = time.time()
            for key in [k for k, r in self._runners.items() if r.expires_at <= now]:
                del self._runners[key]
            return sorted(self._runners.values(), key=lambda r: -r.expires_at)

    def load(
        self,
        manifest: Manifest,
        name: str,
        params: Mapping[str, Any],
        options: Mapping[str, Any],
        keep_alive: Any = None,
        *,
        path: str = "",
    ) -> Runner:
        """Return the runner of a model's weights, started now unless it fits the request.

        `params` are the Modelfile's options, `options` the request's; `path` is the endpoint
        that asks, for the faults.

        Raises:
            LoadError: it does not start.
        """
        with self._lock:
            self.loaded()
            asked = self._asked(manifest, {**params, **options})
            key = manifest.weights.digest
            runner = self._runners.get(key)
            if runner is None or runner.asked != asked:
                self._runners.pop(key, None)
                failure = self.faults.take_load_failure(path, name, asked[0][1])
                runner = self._start(manifest, name, asked, failure)
                self._runners[key] = runner
            else:
                runner.fresh = False
            self.touch(runner, keep_alive)
            return runner

    def touch(self, runner: Runner, keep_alive: Any) -> None:
        """Say how long a runner stays from now on."""
        if keep_alive is None:
            keep_alive = self.environ.get("OLLAMA_KEEP_ALIVE", "5m")
        seconds = keep_alive_s(keep_alive)
        runner.used_at = time.time()
        runner.expires_at = runner.used_at + (FOREVER_S if seconds < 0 else seconds)

    @contextmanager
    def turn(self, runner: Runner) -> Iterator[None]:
        """Hold one of the runner's slots; others wait, as many as the queue takes.

        Raises:
            QueueFullError: no more may wait.
        """
        if not runner.slots.acquire(blocking=False):
            with self._lock:
                if self._waiting >= int(self.environ.get("OLLAMA_MAX_QUEUE") or _MAX_QUEUE):
                    raise QueueFullError(BUSY)
                self._waiting += 1
            try:
                runner.slots.acquire()
            finally:
                with self._lock:
                    self._waiting -= 1
        try:
            yield
        finally:
            runner.slots.release()

    def unload(self, manifest: Manifest) -> None:
        """Unload the runner of a model's weights, whatever name it was loaded under."""
        with self._lock:
            self._runners.pop(manifest.weights.digest, None)

    def clear(self) -> None:
        """Unload everything."""
        with self._lock:
            self._runners.clear()

    def _asked(self, manifest: Manifest, options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        """Return the options that need a runner of their own, with the context filled in."""
        num_ctx = options.get("num_ctx") or self.settings.context_length.value
        if num_ctx is None:
            vram = self.gpu.total_bytes if self.gpu else 0
            num_ctx = default_context(max(0, vram - (self.settings.gpu_overhead.value or 0)))
        arch = manifest.weights.facts.architecture
        vision = "vision" in manifest.capabilities
        num_ctx = effective_context(arch, int(num_ctx), vision=vision)
        asked = {name: options.get(name) for name in ("num_gpu", "num_batch", "main_gpu")}
        return (("num_ctx", num_ctx), *asked.items())

    def _start(
        self,
        manifest: Manifest,
        name: str,
        asked: tuple[tuple[str, Any], ...],
        failure: str | None,
    ) -> Runner:
        num_ctx: int = dict(asked)["num_ctx"]
        failure = failure or self._wrong_cache_type()
        if failure:
            raise LoadError(failure)
        self._make_room(manifest, num_ctx)
        estimate = self.estimate(manifest, asked)
        if estimate.placement.verdict == "none":
            raise LoadError(_out_of_memory(estimate.host.kv_cache_bytes))
        size, vram = self._memory(manifest, name, estimate)
        return Runner(
            manifest=manifest,
            listed_name=name,
            asked=asked,
            num_ctx=num_ctx,
            size=size,
            vram=vram,
            estimate=estimate,
            slots=threading.Semaphore(estimate.num_parallel),
        )

    def _wrong_cache_type(self) -> str | None:
        kind = self.environ.get("OLLAMA_KV_CACHE_TYPE", "")
        if kind and kind.lower() not in KV_CACHE_TYPES:
            return _DIED
        quantized = kind.lower() not in {"", "f32", "f16", "bf16"}
        if quantized and self.settings.flash_attention.value is False:
            return f"{_DIED}: {_QUANTIZED_V}\n{_QUANTIZED_V}"
        return None

    def _make_room(self, manifest: Manifest, num_ctx: int) -> None:
        """Unload the ones used longest ago, as long as the next does not fit beside them."""
        most = self.settings.max_loaded_models.value or 3
        predicted = predict_vram(manifest.weights.facts, num_ctx)
        while self._runners:
            crowded = self.gpu is not None and predicted > self._free() * _FULL_PERCENT // 100
            if len(self._runners) < most and not crowded:
                return
            oldest = min(self._runners, key=lambda key: self._runners[key].used_at)
            del self._runners[oldest]

    def _free(self) -> int:
        if self.gpu is None:
            return 0
        free = self.gpu.total_bytes if self.gpu.free_bytes is None else self.gpu.free_bytes
        return max(0, free - sum(runner.vram for runner in self._runners.values()))

    def estimate(self, manifest: Manifest, asked: tuple[tuple[str, Any], ...]) -> FitEstimate:
        """Return what our own arithmetic says of this run on this computer, as it is now."""
        values = dict(asked)
        settings = self.settings
        kind: Any = settings.kv_cache_type.value or "f16"
        return estimate_fit(
            manifest.weights.facts,
            self._machine(),
            RunOptions(
                num_ctx=values["num_ctx"],
                num_parallel=settings.num_parallel.value or 1,
                num_batch=values["num_batch"],
                kv_cache_type=kind,
                flash_attention=settings.flash_attention.value,
                num_gpu=values["num_gpu"],
            ),
            with_limits=False,
            with_speed=False,
        )

    def _machine(self) -> Machine:
        held = sum(runner.size - runner.vram for runner in self._runners.values())
        cards: tuple[Accelerator, ...] = ()
        if self.gpu is not None:
            cards = (
                Accelerator(
                    name=self.gpu.name,
                    vendor=self.gpu.vendor,
                    kind="unified" if self.gpu.vendor == "apple" else "discrete",
                    memory_total_bytes=self.gpu.total_bytes,
                    memory_free_bytes=self._free(),
                    compute_capability=self.gpu.compute_capability,
                ),
            )
        return Machine(
            os="Linux",
            cpu=Cpu(physical_cores=8, logical_cores=16),
            ram=Ram(self.ram_bytes, max(0, self.ram_bytes - held)),
            accelerators=cards,
            source="stated",
        )

    def _memory(self, manifest: Manifest, name: str, estimate: FitEstimate) -> tuple[int, int]:
        """Return `size` and `size_vram` as `/api/ps` has them (MEMORY_MODEL 4.10).

        Both are sums of the logged buffers, so driver contexts are not in them, nor a
        projector's weights, which are logged in other words; with all layers on the GPU the
        host's buffers are left out of `size` too. Where blocks keep a window, the line of the
        windowed cache hides that of the other blocks.
        """
        if self.memory_of is not None:
            return self.memory_of(name, estimate.num_ctx)
        hidden = _hidden_cache(manifest, estimate)
        on_gpu = estimate.gpu.kv_cache_bytes / max(1, estimate.memory.kv_cache_bytes)
        vram = estimate.gpu.total_bytes - estimate.gpu.overhead_bytes - round(hidden * on_gpu)
        vram -= estimate.gpu.projector_bytes
        host = estimate.host.total_bytes - estimate.host.overhead_bytes
        host -= estimate.host.projector_bytes
        host -= round(hidden * (1 - on_gpu))
        if estimate.placement.gpu_layers == 0:
            vram, host = 0, host + vram
        size = vram if estimate.placement.verdict == "gpu" else vram + host
        if self.vram_share is not None:
            vram = int(size * self.vram_share)
        return size, vram


def _hidden_cache(manifest: Manifest, estimate: FitEstimate) -> int:
    """Return the bytes of cache that the server's sum misses: none without windows."""
    arch = manifest.weights.facts.architecture
    layout = cache_layout(arch)
    if not layout.windowed_blocks:
        return 0
    cache = cache_bytes(
        arch,
        num_ctx=estimate.num_ctx,
        num_batch=estimate.num_batch,
        num_parallel=estimate.num_parallel,
        kv_cache_type=estimate.kv_cache_type,
        flash_attention=estimate.flash_attention,
    )
    return sum(
        size
        for size, kind in zip(cache.kv_bytes, layout.block_kinds, strict=True)
        if not layout.kinds[kind].windowed
    )


def _out_of_memory(cache_bytes: int) -> str:
    return (
        f"{_DIED}: ggml_aligned_malloc: insufficient memory"
        f" (attempted to allocate {cache_bytes / 1024**2:.2f} MB)\n"
        "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size"
        f" {cache_bytes}\n"
        f"alloc_tensor_range: failed to allocate CPU buffer of size {cache_bytes}\n"
        "llama_init_from_model: failed to initialize the context:"
        " failed to allocate buffer for kv cache"
    )

"""Measuring the memory bandwidth of this computer, for `assistant hardware --measure`.

Several threads copy blocks with `memmove` (the call releases the interpreter's lock). A copy
reads a byte and writes a byte, so bytes moved are twice the bytes copied, as the Copy test
of STREAM counts them (www.cs.virginia.edu/stream). Blocks are far larger than the caches.
Decoding on the processor mostly reads, so the figure is a lower bound for it: processors
without non-temporal stores in their memmove also read each line they write.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import Final

from assistant.errors import AssistantError

_LARGEST_BLOCK: Final = 64 << 20
_SMALLEST_BLOCK: Final = 4 << 20
_TOTAL: Final = 512 << 20


def measure_memory_bandwidth(*, seconds: float = 1.0, threads: int | None = None) -> float:
    """Return the copy bandwidth in GB/s (bytes read plus bytes written, 10**9 per second).

    The best of five rounds of `seconds` / 5 counts, as in STREAM. `threads` is by default
    the number of processors this process may use, 16 at most.

    Raises:
        AssistantError: there is not enough memory for the buffers (about 1 GiB at most).
    """
    count = threads or min(16, _usable_processors())
    block = max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, _TOTAL // count))
    try:
        buffers = [(_filled(block), _filled(block)) for _ in range(count)]
    except MemoryError as problem:
        raise AssistantError(
            "There is not enough memory to measure its bandwidth.",
            hint="Close other programs, or go without --measure.",
        ) from problem
    rounds = 5
    return max(_round(buffers, block, max(seconds, 0.05) / rounds) for _ in range(rounds))


def _round(
    buffers: list[tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_char]]],
    block: int,
    seconds: float,
) -> float:
    copies = [0] * len(buffers)
    start = threading.Barrier(len(buffers) + 1)
    stop = threading.Event()

    def work(index: int) -> None:
        target, source = buffers[index]
        start.wait()
        while not stop.is_set():
            ctypes.memmove(target, source, block)
            copies[index] += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(buffers))]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - began
    return 2 * block * sum(copies) / elapsed / 1e9


def _filled(size: int) -> ctypes.Array[ctypes.c_char]:
    """Return a buffer whose every page exists."""
    buffer = ctypes.create_string_buffer(size)
    ctypes.memset(buffer, 1, size)
    return buffer


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)

"""What `ollama ps` will say of an estimate: `size` and `size_vram` of `/api/ps`.

Ollama 0.33 adds up the buffer lines that llama-server logs while it loads
(llm/llama_server.go, `memoryParsingWriter` and `MemorySize`; MEMORY_MODEL 4.10): weights, KV
cache, recurrent state, compute and output buffers. So

* the driver context is not in it, nor a projector's weights, which are logged in other words
  (the projector's own compute buffer, 0.1 to 0.3 GiB, is in it and is not estimated here);
* a model whose layers are all on GPUs has `size` = `size_vram`: what stays in RAM is hidden;
* lines are kept by component, device and kind, so of the two caches of a sliding-window model
  the second line (the windowed blocks) overwrites the first (the others) on the same device.

With a memory-mapped file a split model with tied embeddings reports up to one token embedding
less, because Ollama cuts the sum of the weights to the size of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from assistant.fit.kv_cache import cache_bytes, cache_layout
from assistant.fit.records import FitEstimate, MemoryParts
from assistant.models.architecture import Architecture


@dataclass(frozen=True, slots=True)
class PsSizes:
    """Bytes as `/api/ps` reports them: all, and the part on GPUs.

    `unreported_bytes` are those of the cache whose line was overwritten; they are in use all
    the same.
    """

    size_bytes: int
    size_vram_bytes: int
    unreported_bytes: int = 0


def ps_sizes(estimate: FitEstimate, architecture: Architecture | None = None) -> PsSizes:
    """Return what `/api/ps` reports for a model that lands as estimated.

    Without `architecture` the cache of a sliding-window model is counted whole, as a server
    without that fault would.
    """
    gpu, host = _reported(estimate.gpu), _reported(estimate.host)
    gpu_lost = host_lost = 0
    if architecture is not None:
        gpu_lost, host_lost = _overwritten(estimate, architecture)
    vram = gpu - gpu_lost
    if estimate.placement.verdict == "gpu":
        return PsSizes(vram, vram, gpu_lost)
    return PsSizes(vram + host - host_lost, vram, gpu_lost + host_lost)


def _reported(parts: MemoryParts) -> int:
    return parts.total_bytes - parts.overhead_bytes - parts.projector_bytes


def _overwritten(estimate: FitEstimate, arch: Architecture) -> tuple[int, int]:
    """Return the cache bytes of blocks without a window, on GPUs and host, that are not reported.

    Where a side has no windowed block nothing is overwritten. The last blocks are those on the
    GPUs; several GPUs count as one, because windowed blocks are on each of them.
    """
    layout = cache_layout(arch)
    if not layout.windowed_blocks:
        return 0, 0
    held = cache_bytes(
        arch,
        num_ctx=estimate.num_ctx,
        num_batch=estimate.num_batch,
        num_parallel=estimate.num_parallel,
        kv_cache_type=estimate.kv_cache_type,
        flash_attention=estimate.flash_attention,
    ).kv_bytes
    on_gpu = max(0, min(len(held), estimate.placement.gpu_layers - 1))
    windowed = [layout.kinds[kind].windowed for kind in layout.block_kinds]
    split = len(held) - on_gpu

    def lost(blocks: range) -> int:
        if not any(windowed[block] for block in blocks):
            return 0
        return sum(held[block] for block in blocks if not windowed[block])

    return lost(range(split, len(held))), lost(range(split))

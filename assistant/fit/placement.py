"""Where llama.cpp puts a model: which blocks on which GPU, what stays on the host.

Ollama starts the runner without a layer count, and llama.cpp's `--fit` (common/fit.cpp of
b10488, MEMORY_MODEL 4.4) places the model: everything on the GPUs if each keeps its margin
free; else a dense model from its last layer down, and a mixture of experts with its experts
in RAM, from the first block on brought back as far as there is room. A layer count that was
asked for (num_gpu) turns that off: it is loaded as it is, without a margin, and fails only
when it exceeds the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from assistant.fit.compute_buffer import ComputeBuffers
from assistant.fit.kv_cache import CacheBytes
from assistant.fit.records import DeviceShare, MemoryParts, Placement, Verdict, WeightBytes
from assistant.fit.room import FIT_MARGIN_BYTES, GpuRoom


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be placed.

    `embedding_bytes` is one batch of embeddings, which a split graph keeps on the host;
    `input_bytes` one batch of graph inputs, which several GPUs keep four times over.
    """

    weights: WeightBytes
    cache: CacheBytes
    buffers: ComputeBuffers
    embedding_bytes: int
    input_bytes: int
    is_moe: bool = False

    @property
    def output_layer_bytes(self) -> int:
        """The output layer, with its own copy of tied embeddings."""
        weights = self.weights
        return weights.output_bytes + (weights.token_embedding_bytes if weights.tied else 0)


@dataclass(frozen=True, slots=True)
class Placed:
    """The result: parts per side, and by how much a GPU-only placement fails (0 if it does not).

    `missing_gpu_bytes` is None without a GPU. `missing_bytes_in_all` is what RAM and GPUs
    together lack.
    """

    placement: Placement
    gpu: MemoryParts
    host: MemoryParts
    missing_gpu_bytes: int | None
    missing_bytes_in_all: int
    projector_on_gpu: bool


@dataclass(slots=True)
class _Device:
    """One GPU being filled. `whole` are blocks with all their parts, `dense` without experts.

    `budget` leaves out the margin; `projector_bytes` is a projector that lands here.
    """

    room: GpuRoom
    budget: int
    projector_bytes: int = 0
    whole: list[int] = field(default_factory=list)
    dense: list[int] = field(default_factory=list)
    has_output: bool = False
    partial_expert_bytes: int = 0

    @property
    def layers(self) -> int:
        return len(self.whole) + len(self.dense) + self.has_output


def place(
    demand: Demand,
    gpus: Sequence[GpuRoom],
    *,
    host_bytes: int | None,
    num_gpu: int | None = None,
) -> Placed:
    """Return where everything lands on these GPUs and a host with that much free RAM."""
    blocks = len(demand.weights.block_bytes)
    layers = blocks + 1
    if not gpus or num_gpu == 0:
        return _on_host(demand, layers, host_bytes)
    projector = demand.weights.projector_bytes
    on_gpu = _projector_on_gpu(projector, gpus, num_gpu, layers)
    devices = _devices(gpus, projector if on_gpu else 0)
    _fill_whole(demand, devices)
    missing = _missing(demand, devices)
    forced = num_gpu is not None and num_gpu < layers
    if forced:
        devices = _devices(gpus, projector if on_gpu else 0)
        _fill_number(devices, blocks, num_gpu or 0)
        overfull = _overfull(demand, devices)
        return _result(demand, devices, host_bytes, missing, on_gpu, overfull=overfull)
    if missing and num_gpu is None:
        devices = _devices(gpus, projector if on_gpu else 0)
        if demand.is_moe:
            _fill_moe(demand, devices)
        else:
            devices = _fill_dense(demand, devices)
    overfull = _overfull(demand, devices) if num_gpu is not None else 0
    return _result(demand, devices, host_bytes, missing, on_gpu, overfull=overfull)


def _projector_on_gpu(
    projector: int, gpus: Sequence[GpuRoom], num_gpu: int | None, layers: int
) -> bool:
    """Ollama's rule (llm/llama_server.go, shouldDisableMMProjOffload)."""
    if not projector or (num_gpu is not None and num_gpu < layers):
        return False
    return all(gpu.free_bytes >= projector + FIT_MARGIN_BYTES for gpu in gpus)


def _devices(gpus: Sequence[GpuRoom], projector: int) -> list[_Device]:
    """Return the empty devices.

    A projector is reserved twice (MEMORY_MODEL 1.5): Ollama adds it to every margin, and the
    runner to what the first device must hold.
    """
    margin = FIT_MARGIN_BYTES + projector
    return [
        _Device(
            gpu,
            gpu.free_bytes - margin - (projector if index == 0 else 0),
            projector if index == 0 else 0,
        )
        for index, gpu in enumerate(gpus)
    ]


def _fill_whole(demand: Demand, devices: list[_Device]) -> None:
    """Put everything on the GPUs, split by free memory when there are several."""
    blocks = len(demand.weights.block_bytes)
    if len(devices) == 1:
        devices[0].whole = list(range(blocks))
        devices[0].has_output = True
        return
    _split(devices, 0, blocks)


def _fill_number(devices: list[_Device], blocks: int, num_gpu: int) -> None:
    """Put the last `num_gpu` layers on the GPUs, the output layer among them."""
    if num_gpu > 0:
        _split(devices, blocks + 1 - num_gpu, blocks)


def _split(devices: list[_Device], first: int, blocks: int) -> None:
    """Split the layers from `first` to the output in proportion to free memory."""
    total = sum(device.room.free_bytes for device in devices) or 1
    shares = [s / total for s in accumulate(device.room.free_bytes for device in devices)]
    count = blocks + 1 - first
    for unit in range(count):
        place_at = unit / count
        device = next(
            (d for d, share in zip(devices, shares, strict=True) if share > place_at), devices[-1]
        )
        if first + unit == blocks:
            device.has_output = True
        else:
            device.whole.append(first + unit)


def _fill_dense(demand: Demand, devices: list[_Device]) -> list[_Device]:
    """Return the devices filled with a dense model.

    With every layer on several GPUs the buffers are those of a pipeline; with any on the host
    they are smaller, which can make room for one layer more, but not for the last one.
    """
    layers = len(demand.weights.block_bytes) + 1
    split = [_Device(device.room, device.budget, device.projector_bytes) for device in devices]
    _fill_back_to_front(demand, split, _partial_compute(demand), expert_free=False)
    if sum(device.layers for device in split) < layers:
        return split
    _fill_back_to_front(demand, devices, _whole_compute(demand, len(devices)), expert_free=False)
    return devices


def _fill_back_to_front(
    demand: Demand, devices: list[_Device], compute: int, *, expert_free: bool
) -> None:
    """Fill from the last device with the last layers, the output layer first."""
    weights = demand.weights
    next_block = len(weights.block_bytes) - 1
    output_placed = False
    for device in reversed(devices):
        used = compute
        if not output_placed:
            if used + demand.output_layer_bytes > device.budget:
                continue
            used += demand.output_layer_bytes
            device.has_output = output_placed = True
        taken = device.dense if expert_free else device.whole
        while next_block >= 0:
            size = _block_bytes(demand, next_block, expert_free=expert_free)
            if used + size > device.budget:
                break
            used += size
            taken.append(next_block)
            next_block -= 1


def _fill_moe(demand: Demand, devices: list[_Device]) -> None:
    """Place a mixture of experts: dense parts first, then experts from the first block on."""
    _fill_back_to_front(demand, devices, _whole_compute(demand, len(devices)), expert_free=True)
    weights = demand.weights
    blocks = len(weights.block_bytes)
    if sum(len(device.dense) for device in devices) < blocks:
        return
    owner = {block: device for device in devices for block in device.dense}
    used = {id(device): _used(demand, device, len(devices)) for device in devices}
    block = 0
    for device in devices:
        while block < blocks:
            source = owner[block]
            size = weights.block_expert_bytes[block]
            if source is not device:
                size += _block_bytes(demand, block, expert_free=True)
                if not device.layers:
                    size += _whole_compute(demand, len(devices))
            if used[id(device)] + size > device.budget:
                break
            source.dense.remove(block)
            used[id(source)] -= _block_bytes(demand, block, expert_free=True)
            used[id(device)] += size + (
                _block_bytes(demand, block, expert_free=True) if source is device else 0
            )
            device.whole.append(block)
            block += 1
        if block < blocks and owner[block] is device:
            part = weights.block_expert_bytes[block] // 3
            for parts in (2, 1):
                if used[id(device)] + parts * part < device.budget:
                    device.partial_expert_bytes = parts * part
                    break


def _block_bytes(demand: Demand, block: int, *, expert_free: bool) -> int:
    size = demand.weights.block_bytes[block]
    if expert_free:
        size -= demand.weights.block_expert_bytes[block]
    return size + demand.cache.kv_bytes[block] + demand.cache.state_bytes[block]


def _whole_compute(demand: Demand, gpus: int) -> int:
    """Return the buffers on one of `gpus` GPUs with nothing on the host.

    A pipeline over several keeps the graph's inputs four times.
    """
    return demand.buffers.gpu_bytes + (3 * demand.input_bytes if gpus > 1 else 0)


def _partial_compute(demand: Demand) -> int:
    """The GPU part of a split dense graph leaves the embeddings to the host."""
    if demand.is_moe:
        return demand.buffers.gpu_bytes
    return demand.buffers.gpu_bytes - demand.embedding_bytes


def _used(demand: Demand, device: _Device, gpus: int) -> int:
    """Return the bytes on a device without projector and driver context."""
    if not device.layers:
        return 0
    return _device_parts(demand, device, whole=True, gpus=gpus).total_bytes


def _missing(demand: Demand, devices: list[_Device]) -> int:
    """Return by how many bytes the filled devices go over their budgets; 0 when they fit."""
    missing = 0
    several = sum(1 for device in devices if device.layers)
    for device in devices:
        if device.layers:
            used = _device_parts(demand, device, whole=True, gpus=several).total_bytes
            missing += max(0, used - device.budget)
    return missing


def _overfull(demand: Demand, devices: list[_Device]) -> int:
    """Return by how many bytes the filled devices exceed their memory, no margin kept."""
    whole = sum(device.layers for device in devices) == len(demand.weights.block_bytes) + 1
    several = sum(1 for device in devices if device.layers)
    missing = 0
    for device in devices:
        if device.layers:
            room = device.room
            there = room.free_bytes if room.loadable_bytes is None else room.loadable_bytes
            used = _device_parts(demand, device, whole=whole, gpus=several).total_bytes
            missing += max(0, used + device.projector_bytes - there)
    return missing


def _device_parts(demand: Demand, device: _Device, *, whole: bool, gpus: int) -> MemoryParts:
    weights, cache = demand.weights, demand.cache
    if len(device.whole) == len(weights.block_bytes):
        size = sum(weights.block_bytes)
        kv, state = cache.kv_cache_bytes, cache.recurrent_state_bytes
    else:
        held = device.whole + device.dense
        size = sum([weights.block_bytes[block] for block in held])
        size -= sum([weights.block_expert_bytes[block] for block in device.dense])
        size += device.partial_expert_bytes
        kv = sum([cache.kv_bytes[block] for block in held])
        state = sum([cache.state_bytes[block] for block in held])
    if device.has_output:
        size += demand.output_layer_bytes
    compute = _whole_compute(demand, gpus) if whole else _partial_compute(demand)
    return MemoryParts(
        weights_bytes=size,
        kv_cache_bytes=kv,
        recurrent_state_bytes=state,
        compute_buffer_bytes=compute,
    )


def _on_host(demand: Demand, layers: int, host_bytes: int | None) -> Placed:
    weights, cache, buffers = demand.weights, demand.cache, demand.buffers
    host = MemoryParts(
        weights_bytes=weights.file_bytes,
        kv_cache_bytes=cache.kv_cache_bytes,
        recurrent_state_bytes=cache.recurrent_state_bytes,
        compute_buffer_bytes=buffers.cpu_bytes + buffers.output_bytes,
        projector_bytes=weights.projector_bytes,
    )
    missing = 0 if host_bytes is None else max(0, host.total_bytes - host_bytes)
    placement = Placement(
        verdict="none" if missing else "cpu",
        gpu_layers=0,
        layers=layers,
        vram_bytes=0,
        ram_bytes=host.total_bytes,
    )
    return Placed(placement, MemoryParts(), host, None, missing, projector_on_gpu=False)


def _result(
    demand: Demand,
    devices: list[_Device],
    host_bytes: int | None,
    missing: int,
    projector_on_gpu: bool,
    *,
    overfull: int = 0,
) -> Placed:
    """Return the records of a filled set of devices; with `overfull` bytes it cannot load."""
    weights, cache, buffers = demand.weights, demand.cache, demand.buffers
    layers = len(weights.block_bytes) + 1
    used = [device for device in devices if device.layers]
    if not used:
        placed = _on_host(demand, layers, host_bytes)
        return replace(placed, missing_gpu_bytes=missing)
    gpu_layers = sum(device.layers for device in used)
    experts_on_host = sum(len(device.dense) for device in used) if demand.is_moe else 0
    whole = gpu_layers == layers and not experts_on_host
    gpu, shares = MemoryParts(), []
    for index, device in enumerate(used):
        parts = _device_parts(demand, device, whole=whole, gpus=len(used))
        extra = MemoryParts(
            projector_bytes=weights.projector_bytes if projector_on_gpu and not index else 0,
            overhead_bytes=device.room.overhead_bytes,
        )
        shares.append(DeviceShare(device.room.name, (parts + extra).total_bytes, device.layers))
        gpu = gpu + parts + extra
    output = demand.output_layer_bytes if any(device.has_output for device in used) else 0
    tied_copy = weights.token_embedding_bytes if weights.tied and output else 0
    host = MemoryParts(
        weights_bytes=weights.file_bytes - (gpu.weights_bytes - tied_copy),
        kv_cache_bytes=cache.kv_cache_bytes - gpu.kv_cache_bytes,
        recurrent_state_bytes=cache.recurrent_state_bytes - gpu.recurrent_state_bytes,
        compute_buffer_bytes=(buffers.host_bytes if whole else buffers.cpu_bytes)
        + buffers.output_bytes,
        projector_bytes=0 if projector_on_gpu else weights.projector_bytes,
    )
    lacking = overfull
    if not whole and host_bytes is not None:
        taken = sum(share.bytes for share, d in zip(shares, used, strict=True) if d.room.shared)
        lacking = max(lacking, host.total_bytes + taken - host_bytes)
    verdict: Verdict = "gpu" if whole else "partial"
    placement = Placement(
        verdict="none" if lacking > 0 else verdict,
        gpu_layers=gpu_layers,
        layers=layers,
        vram_bytes=gpu.total_bytes,
        ram_bytes=host.total_bytes,
        devices=tuple(shares),
        expert_layers_on_host=experts_on_host,
    )
    return Placed(placement, gpu, host, missing, max(0, lacking), projector_on_gpu)

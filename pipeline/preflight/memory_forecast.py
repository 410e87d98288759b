"""The memory that a job's engine needs, and whether the cluster's devices have it: before anything loads.

Only what surely does not fit is refused: what is needed is that of the longest row alone, and a device counts
as the largest that it can be. A replica measures what is really free before it loads; see `Engine.load`.
"""

from dataclasses import dataclass

import ray
import torch

from model.machine.available_memory import available_bytes
from model.machine.budget import GIB, DeviceMemory, bytes_per_token, in_gib, needed_memory
from model.machine.device import compute_dtype
from pipeline.cluster.devices import Node, is_joined, nodes, offered_gpus
from pipeline.cluster.resources import Resources
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job

# GiB, by the name that Ray gives to a node's GPUs; of GPUs that are sold in several sizes the largest.
_SIZES = {
    "P4": 8, "K80": 12, "P100": 16, "T4": 16, "A10G": 24, "L4": 24, "V100": 32, "A100-40G": 40, "L40S": 48,
    "A100": 80, "A100-80G": 80, "H100": 94, "RTX-PRO-6000": 96, "H200": 141, "H20": 141, "B200": 192,
    "GB200": 192, "B300": 288, "GB300": 288,
}  # fmt: skip
_KIND = "accelerator_type:"


@dataclass(frozen=True)
class MemoryForecast:
    """Of each GPU of a replica; on CPUs, of a node, for all of its replicas."""

    dtype: str  # or how the weights are quantized
    on_gpus: bool
    shared_by: int  # GPUs of a replica, or replicas of a node
    needed: DeviceMemory
    room: int | None  # bytes of the device; None: not known before a replica is there
    of: str  # what has that room

    @property
    def fits(self) -> bool:
        return self.room is None or self.needed.total <= self.room

    def __str__(self) -> str:
        if self.on_gpus:
            where = "a GPU" if self.shared_by == 1 else f"each of {self.shared_by} GPUs"
        else:
            where = "a node" if self.shared_by == 1 else f"a node with {self.shared_by} replicas"
        has = f"{self.of} has {in_gib(self.room)}" if self.room is not None else self.of
        return f"{self.needed} at least on {where} in {self.dtype}; {has}"


def require_memory(job: Job, resources: Resources) -> None:
    """ConfigError with numbers if the job's replicas do not fit into the cluster."""
    each = resources.num_gpus
    if not each:
        found = [node for node in nodes() if node.get("CPU")]
        each = -(-resources.replicas // max(1, len(found)))
    require_fitting(forecast_memory(job, resources.num_gpus > 0, each), job.config)


def require_fitting(memory: MemoryForecast, config: JobConfig) -> None:
    if memory.fits:
        return
    ways = ["raise model.tensor_parallel"] if memory.on_gpus else []
    ways += ["lower engine.replicas"] if not memory.on_gpus and memory.shared_by > 1 else []
    ways += ["lower engine.kv_cache_tokens"] if isinstance(config.engine.kv_cache_tokens, int) else []
    ways += ["use a smaller model.dtype"] if memory.dtype == "float32" else []
    raise ConfigError(f"memory: the model does not fit: {memory}; {', '.join([*ways, 'use larger nodes'])}")


def forecast_memory(job: Job, on_gpus: bool, shared_by: int | None = None) -> MemoryForecast:
    """`shared_by`: GPUs of a replica, or replicas of a CPU node; None: as the job file has it, and one.

    Without a cluster the room is this machine's.
    """
    config, ranks = job.config, job.config.model.tensor_parallel
    room, of = _room_of_gpus(ranks) if on_gpus else _room_of_cpus()
    cache = config.engine.kv_cache_tokens
    tokens = job.least_cache_tokens
    # On a CPU a cache takes memory only as rows come, but no more can be asked for than there is.
    if isinstance(cache, int) and (on_gpus or (room and _needed(job, cache, False, 1).cache > room)):
        tokens = cache
    needed = _needed(job, tokens, on_gpus, shared_by or 1)
    return MemoryForecast(
        dtype=config.model.dtype if config.model.quantization == "none" else config.model.quantization,
        on_gpus=on_gpus,
        shared_by=shared_by or (ranks if on_gpus else 1),
        needed=needed,
        room=room,
        of=of,
    )


def _needed(job: Job, tokens: int, on_gpus: bool, replicas: int) -> DeviceMemory:
    """On a GPU that of one rank, else that of all ranks of so many replicas."""
    config, model, layers = job.config, job.model, len(job.hidden_layers)
    ranks, device = config.model.tensor_parallel, torch.device("cuda" if on_gpus else "cpu")
    dtype = compute_dtype(config.model.dtype, model, device)
    quantization = config.model.quantization
    if on_gpus:
        return needed_memory(model, dtype, ranks, tokens, quantization, layers)
    # A cache on a CPU takes memory only as rows come.
    one = needed_memory(model, dtype, ranks, 0, quantization, layers)
    all_ranks = replicas * ranks
    return DeviceMemory(
        weights=all_ranks * one.weights,
        cache=all_ranks * tokens * bytes_per_token(model, dtype, ranks),
        activations=all_ranks * one.activations,
    )


def _room_of_gpus(ranks: int) -> tuple[int | None, str]:
    if not is_joined():
        if not torch.cuda.is_available():
            return None, "no GPU is seen here"
        return torch.cuda.get_device_properties(0).total_memory, torch.cuda.get_device_name(0)
    kinds = {_kind(node) for node in nodes() if node.get("GPU", 0) >= ranks}
    if not kinds or offered_gpus() or not kinds <= _SIZES.keys():
        return None, "what the GPUs have is known once a replica is on them"
    largest = max(kinds, key=lambda kind: _SIZES[kind])
    return _SIZES[largest] * GIB, f"the largest ({largest})"


def _kind(node: Node) -> str:
    return next((name.removeprefix(_KIND) for name in node if name.startswith(_KIND)), "")


def _room_of_cpus() -> tuple[int | None, str]:
    if not ray.is_initialized():
        return available_bytes(), "this machine"
    sizes = [_memory(node) for node in nodes() if node.get("memory")]
    return (max(sizes), "the largest node") if sizes else (None, "what the nodes have is not known")


def _memory(node: Node) -> int:
    """Ray divides a node's memory between the object store, which a job hardly uses, and all else."""
    return int(node.get("memory", 0) + node.get("object_store_memory", 0))

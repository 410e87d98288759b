"""What a job takes of the cluster: how many replicas, with which GPUs and threads, and how many Ray tasks."""

import logging
import sys
from dataclasses import dataclass
from typing import Any

import torch

from model.config import ModelConfig
from model.machine.budget import engine_bytes
from model.machine.device import batch_rows, compute_dtype
from pipeline.cluster.devices import Node, is_joined, nodes, offered_gpus, uses_gpus
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.shards.shard_table import ShardTable

# A Ray task and replicas fit on one core together: else the replicas could hold all cores while they wait for
# shards that only a Ray task can read. `max_retries` counts deaths of its process, and lost machines. Ray
# counts what its memory monitor kills apart, and without limit unless RAY_task_oom_retries is set.
RAY_TASK_OPTIONS: dict[str, Any] = {"num_cpus": 0.9, "max_retries": 8}
REPLICA_CPUS = 0.01
# They must differ from RAY_TASK_OPTIONS, or Ray Data would fuse the naming of shards with their reading. With
# -1 a Ray task may hand on all its blocks at once: one that waited for their consumer would live for hours.
NAMING_OPTIONS: dict[str, Any] = {
    "num_cpus": 0.01,
    "max_retries": 8,
    "_generator_backpressure_num_objects": -1,
}

_CPU = torch.device("cpu")
# A replica needs at least so many batches of rows and so many shards to be worth its start: the last rows
# decode in small batches, and a shard is not divided among replicas.
_BATCHES, _SHARDS = 2, 4
# The threads of a replica wait for each other in every step, and so for one that a process of Ray preempts;
# replicas don't wait for each other. On two cores a replica of two threads gave 0.88 to 0.92 of what two
# replicas of one thread gave together (benchmarks/job.md), so a replica of n threads gives n to this power.
_POWER_OF_THREADS = 0.85

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resources:
    """What a job takes of the cluster."""

    replicas: int  # at most
    num_gpus: int  # of each replica
    threads: int  # CPU threads of each rank
    ray_tasks: int  # that read at once, and as many that publish; each needs a process of its own
    least: int = 1  # replicas that must have room before the job begins


def plan_resources(config: JobConfig, model: ModelConfig, shards: ShardTable | None = None) -> Resources:
    """For a job that still has to run `shards`; None: so many that they don't limit the replicas.

    ConfigError if the job doesn't fit the cluster.
    """
    found = nodes()
    if uses_gpus(config, found):
        return _on_gpus(config, found, shards)
    if config.model.tensor_parallel > 1 and config.engine.device == "auto":
        logger.warning(
            "no node of this cluster has a GPU, so each replica's %d ranks share CPUs; engine.device: gpu "
            "waits for GPUs",
            config.model.tensor_parallel,
        )
    return _on_cpus(config, model, found, shards)


def _on_gpus(config: JobConfig, nodes: list[Node], shards: ShardTable | None) -> Resources:
    """A replica takes `tensor_parallel` GPUs of one node."""
    if config.model.quantization == "int8":
        raise ConfigError(
            "model.quantization: int8 is for CPUs, this cluster has GPUs; set it to none, or engine.device "
            "to cpu"
        )
    ranks, (least, most) = config.model.tensor_parallel, config.engine.replica_bounds
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    room = sum(count // ranks for count in gpus)
    to_come = _room_to_come(ranks)
    may_wait = is_joined() and (to_come or room or not any(gpus) or config.engine.device == "gpu")
    if not room and not may_wait:
        hint = ", or set engine.device to gpu to wait for larger ones" if is_joined() else ""
        raise ConfigError(
            f"model.tensor_parallel: no node has {ranks} GPUs (they have {sorted(set(gpus))}); lower it{hint}"
        )
    if least > room and not may_wait:
        raise ConfigError(f"engine.replicas: this machine has room for {room}, got {least}; lower it")
    if most is None:
        most = max(1, room, to_come)
        most = most if shards is None else min(most, len(shards))
    return Resources(
        replicas=most if may_wait else min(most, room),
        num_gpus=ranks,
        threads=1,
        ray_tasks=_ray_tasks(nodes),
        least=min(least, most, sys.maxsize if shards is None else max(1, len(shards))),
    )


def _room_to_come(ranks: int) -> int:
    """Replicas that have room on all nodes that the autoscaler may start, its limits known."""
    return sum((offer.gpus // ranks) * (offer.nodes or 1) for offer in offered_gpus())


def _on_cpus(
    config: JobConfig, model: ModelConfig, nodes: list[Node], shards: ShardTable | None
) -> Resources:
    """Replicas use all cores, though they ask Ray for next to none. Nodes are assumed to be alike."""
    if config.model.attention == "flash":
        raise ConfigError("model.attention: flash is for GPUs, this job runs on CPUs; set it to auto")
    nodes = _with_cpus(nodes)
    cores = int(sum(node.get("CPU", 0) for node in nodes)) // len(nodes) // config.model.tensor_parallel
    engine = config.engine
    least, most = engine.replica_bounds
    auto = _replicas_for_cores(cores, config, model, nodes, shards)
    replicas = max(least, min(auto, most or auto))
    share = max(1, cores // -(-replicas // len(nodes)))
    threads = engine.threads if isinstance(engine.threads, int) else share
    return Resources(replicas, num_gpus=0, threads=threads, ray_tasks=_ray_tasks(nodes))


def _replicas_for_cores(
    cores: int, config: JobConfig, model: ModelConfig, nodes: list[Node], shards: ShardTable | None
) -> int:
    """How many replicas, on all nodes together; `cores` are those of a node, divided by the ranks."""
    threads, fitting = config.engine.threads, _fitting_in_memory(config, model, nodes)
    busy = sys.maxsize if shards is None else _kept_busy_by(shards, config)
    if isinstance(threads, int):
        on_a_node = max(1, min(fitting, cores // threads))
    else:
        on_a_node = fastest(max(1, min(fitting, cores, busy // len(nodes))), cores)
    return min(on_a_node * len(nodes), busy)


def fastest(most: int, cores: int) -> int:
    """How many replicas on one node, `most` at most, compute the most rows with its cores."""
    return max(range(1, most + 1), key=lambda n: (n * (cores // n) ** _POWER_OF_THREADS, n))


def _kept_busy_by(shards: ShardTable, config: JobConfig) -> int:
    if isinstance(config.engine.threads, int):  # with fewer replicas cores would be idle
        return len(shards)
    return max(1, min(len(shards) // _SHARDS, shards.rows // (_BATCHES * _batch_rows(config))))


def memory_holds(resources: Resources, config: JobConfig, model: ModelConfig) -> bool:
    """Whether each node has memory for its share of the replicas on CPUs, if no other job uses it."""
    found = _with_cpus(nodes())
    return -(-resources.replicas // len(found)) <= _fitting_in_memory(config, model, found)


def _fitting_in_memory(config: JobConfig, model: ModelConfig, nodes: list[Node]) -> int:
    """How many replicas the memory of the smallest node holds."""
    smallest = min(node.get("memory", sys.maxsize) for node in nodes)
    return int(smallest // replica_bytes(config, model))


def replica_bytes(config: JobConfig, model: ModelConfig) -> int:
    """The most memory that a replica takes on CPUs."""
    tokens = config.engine.kv_cache_tokens
    return engine_bytes(
        model,
        compute_dtype(config.model.dtype, model, _CPU),
        rows=_batch_rows(config),
        tokens=tokens if isinstance(tokens, int) else None,
        tensor_parallel=config.model.tensor_parallel,
        quantization=config.model.quantization,
    )


def _batch_rows(config: JobConfig) -> int:
    most = config.engine.max_batch_rows
    return most if isinstance(most, int) else batch_rows(_CPU)


def _with_cpus(nodes: list[Node]) -> list[Node]:
    """The nodes that have CPUs; all nodes if none has any (yet)."""
    return [node for node in nodes if node.get("CPU")] or nodes


def _ray_tasks(nodes: list[Node]) -> int:
    return max(1, int(sum(node.get("CPU", 0) for node in nodes)) // 2)

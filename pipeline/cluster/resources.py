"""How a job shares the cluster out: how many replicas, each with what, and what tasks ask for."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
import torch

from model.config import ModelConfig
from model.machine.budget import batch_rows, compute_dtype, engine_bytes
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.shards.shard_table import ShardTable

# A task fits on one of Ray's cores beside replicas: else two jobs, or the replicas of one, might hold all
# cores while they wait for one to read with. Its process may be killed `max_retries` times; a machine that
# goes counts too. What Ray's memory monitor kills is counted apart, and without end unless told otherwise.
TASK_OPTIONS: dict[str, Any] = {"num_cpus": 0.9, "max_retries": 8}
REPLICA_CPUS = 0.01
# They must differ from TASK_OPTIONS, or Ray Data would make one task of naming shards and reading them. All
# blocks may wait to be taken: a task that had to wait with them would live for hours.
NAMING_OPTIONS: dict[str, Any] = {
    "num_cpus": 0.01,
    "max_retries": 8,
    "_generator_backpressure_num_objects": -1,
}

_CPU = torch.device("cpu")
# At least so much keeps a replica busy: last rows decode in small batches, and shards are not divided.
_BATCHES, _SHARDS = 2, 4
# The threads of a replica wait for each other in every step, and so for whatever of Ray's takes a core from
# one of them; replicas don't. On two cores a replica of two threads gave 1.76 to 1.84 times what each of two
# replicas of one gave (benchmarks/job.md), which is 2 to this power.
_POWER_OF_THREADS = 0.85

_Node = Mapping[str, float]  # what Ray knows it has


@dataclass(frozen=True)
class Resources:
    """What a job takes of the cluster."""

    replicas: int
    num_gpus: int  # of each replica
    threads: int  # CPU threads of each rank
    tasks: int  # that read, and that publish, at once: the start of each one's process is not free


def plan_resources(config: JobConfig, model: ModelConfig, shards: ShardTable | None = None) -> Resources:
    """For a job that still has these shards to run; None: more than the cluster can hold at once.

    ConfigError if the cluster can't run it so.
    """
    nodes = _nodes()
    if any(node.get("GPU") for node in nodes):
        return _on_gpus(config, nodes, shards)
    return _on_cpus(config, model, nodes, shards)


def _on_gpus(config: JobConfig, nodes: list[_Node], shards: ShardTable | None) -> Resources:
    """A replica takes `tensor_parallel` of one node."""
    if config.model.quantization == "int8":
        raise ConfigError("model.quantization: int8 is for CPUs, this cluster has GPUs; set it to none")
    ranks, wanted = config.model.tensor_parallel, config.engine.replicas
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    room = sum(count // ranks for count in gpus)
    if room == 0:
        raise ConfigError(
            f"model.tensor_parallel: no node has {ranks} GPUs (they have {sorted(set(gpus))}); lower it"
        )
    auto = room if shards is None else min(room, len(shards))
    replicas = wanted if isinstance(wanted, int) else auto
    if replicas > room:
        raise ConfigError(f"engine.replicas: the cluster has room for {room}, got {replicas}; lower it")
    return Resources(replicas, num_gpus=ranks, threads=1, tasks=_tasks(nodes))


def _on_cpus(
    config: JobConfig, model: ModelConfig, nodes: list[_Node], shards: ShardTable | None
) -> Resources:
    """Replicas compute with all cores, though they ask Ray for next to none. Nodes are taken to be alike."""
    if config.model.attention == "flash":
        raise ConfigError("model.attention: flash is for GPUs, this cluster has none; set it to auto")
    nodes = _with_cpus(nodes)
    cores = int(sum(node.get("CPU", 0) for node in nodes)) // len(nodes) // config.model.tensor_parallel
    engine = config.engine
    auto = _replicas_for_cores(cores, config, model, nodes, shards)
    replicas = engine.replicas if isinstance(engine.replicas, int) else auto
    share = max(1, cores // -(-replicas // len(nodes)))
    threads = engine.threads if isinstance(engine.threads, int) else share
    return Resources(replicas, num_gpus=0, threads=threads, tasks=_tasks(nodes))


def _replicas_for_cores(
    cores: int, config: JobConfig, model: ModelConfig, nodes: list[_Node], shards: ShardTable | None
) -> int:
    """How many there are to be, on all nodes; `cores` are a node's, for each rank."""
    threads, fitting = config.engine.threads, _fitting_in_memory(config, model, nodes)
    busy = sys.maxsize if shards is None else _kept_busy_by(shards, config)
    if isinstance(threads, int):
        on_a_node = max(1, min(fitting, cores // threads))
    else:
        on_a_node = fastest(max(1, min(fitting, cores, busy // len(nodes))), cores)
    return min(on_a_node * len(nodes), busy)


def fastest(most: int, cores: int) -> int:
    """How many replicas, of those that a node has room for, give the most with all of its cores."""
    return max(range(1, most + 1), key=lambda n: (n * (cores // n) ** _POWER_OF_THREADS, n))


def _kept_busy_by(shards: ShardTable, config: JobConfig) -> int:
    if isinstance(config.engine.threads, int):  # with fewer replicas cores would only stand idle
        return len(shards)
    return max(1, min(len(shards) // _SHARDS, shards.rows // (_BATCHES * _batch_rows(config))))


def memory_holds(resources: Resources, config: JobConfig, model: ModelConfig) -> bool:
    """Whether each node has memory for its share of these replicas on CPUs, where no other job has any."""
    nodes = _with_cpus(_nodes())
    return -(-resources.replicas // len(nodes)) <= _fitting_in_memory(config, model, nodes)


def _fitting_in_memory(config: JobConfig, model: ModelConfig, nodes: list[_Node]) -> int:
    """Replicas that the smallest node holds."""
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
    )


def _batch_rows(config: JobConfig) -> int:
    most = config.engine.max_batch_rows
    return most if isinstance(most, int) else batch_rows(_CPU)


def _nodes() -> list[_Node]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _with_cpus(nodes: list[_Node]) -> list[_Node]:
    """Those, or all of a cluster that has none yet."""
    return [node for node in nodes if node.get("CPU")] or nodes


def _tasks(nodes: list[_Node]) -> int:
    return max(1, int(sum(node.get("CPU", 0) for node in nodes)) // 2)

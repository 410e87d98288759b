"""How replicas share a cluster, by what its nodes offer and what the job has to do."""

from collections.abc import Callable
from typing import Any

import pytest
import ray
import torch

from model.config import ModelConfig
from model.machine.budget import engine_bytes
from pipeline.cluster.devices import Offer
from pipeline.cluster.resources import Resources, fastest, plan_resources
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.shards.shard import Shard
from pipeline.shards.shard_table import ShardTable

MakeConfig = Callable[..., JobConfig]
Nodes = Callable[..., None]
GIB = 1 << 30


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Makes the cluster consist of nodes with these resources."""

    def consist_of(*resources: dict[str, float]) -> None:
        found = [{"Alive": True, "Resources": each} for each in resources]
        monkeypatch.setattr(ray, "nodes", lambda: [*found, {"Alive": False, "Resources": {"GPU": 64}}])

    return consist_of


@pytest.fixture
def model(checkpoint: Any) -> ModelConfig:
    return ModelConfig.from_folder(checkpoint.folder)


@pytest.fixture
def plan(make_config: MakeConfig, model: ModelConfig) -> Callable[..., Resources]:
    """Of a job with these shards, where they are given, and settings of its engine and its model."""

    def planned(
        shards: ShardTable | None = None, engine: dict[str, Any] | None = None, **of_model: Any
    ) -> Resources:
        job = make_config([], engine={"replicas": "auto"} | (engine or {}))
        section = job.model.model_copy(update=of_model)
        return plan_resources(job.model_copy(update={"model": section}), model, shards)

    return planned


def shards(count: int, rows: int) -> ShardTable:
    return ShardTable.of(
        Shard(n, f"{n:016x}", "/in.jsonl", "in.jsonl", "etag", "jsonl", n * rows, rows, n, n + 1)
        for n in range(count)
    )


def test_on_cpus_there_is_a_replica_for_each_core(plan: Callable[..., Resources], nodes: Nodes) -> None:
    nodes({"CPU": 8}, {"CPU": 8})
    assert plan() == Resources(16, 0, threads=1, ray_tasks=8)
    assert plan(engine={"threads": 3}) == Resources(4, 0, threads=3, ray_tasks=8)
    assert plan(engine={"replicas": 4}) == Resources(4, 0, threads=4, ray_tasks=8)
    assert plan(engine={"replicas": 4, "threads": 3}) == Resources(4, 0, threads=3, ray_tasks=8)
    assert plan(tensor_parallel=2) == Resources(8, 0, threads=1, ray_tasks=8)
    assert plan(tensor_parallel=16) == Resources(2, 0, threads=1, ray_tasks=8)


def test_a_replica_s_threads_are_of_one_node(plan: Callable[..., Resources], nodes: Nodes) -> None:
    nodes({"CPU": 8}, {"CPU": 8})
    assert plan(engine={"replicas": 1}).threads == 8
    assert plan(engine={"replicas": 3}).threads == 4
    assert plan(engine={"replicas": 32}).threads == 1


def test_a_node_without_cpus_has_no_replica(plan: Callable[..., Resources], nodes: Nodes) -> None:
    nodes({"CPU": 0, "memory": GIB}, {"CPU": 4}, {"memory": GIB})
    assert plan() == Resources(4, 0, threads=1, ray_tasks=2)
    nodes({})  # one that grows as it is asked
    assert plan() == Resources(1, 0, threads=1, ray_tasks=1)


@pytest.mark.parametrize("engine", [{}, {"max_batch_rows": 5}, {"kv_cache_tokens": 100_000}])
@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_on_cpus_no_more_replicas_are_started_than_memory_holds(
    plan: Callable[..., Resources],
    nodes: Nodes,
    model: ModelConfig,
    engine: dict[str, int],
    tensor_parallel: int,
) -> None:
    rows, tokens = engine.get("max_batch_rows", 128), engine.get("kv_cache_tokens")
    each = engine_bytes(model, torch.float32, rows, tokens, tensor_parallel)
    nodes({"CPU": 12, "memory": 4 * each}, {"CPU": 12, "memory": 3 * each + 1})
    planned = plan(engine=engine, tensor_parallel=tensor_parallel)
    assert planned == Resources(6, 0, threads=4 // tensor_parallel, ray_tasks=12)
    nodes({"CPU": 12, "memory": each - 1})  # it may do, and if not, the replica says what it lacks
    planned = plan(engine=engine, tensor_parallel=tensor_parallel)
    assert planned == Resources(1, 0, threads=12 // tensor_parallel, ray_tasks=6)


@pytest.mark.parametrize(
    ("most", "cores", "replicas", "threads"),
    [(1, 1, 1, 1), (2, 2, 2, 1), (1, 8, 1, 8), (3, 8, 2, 4), (5, 8, 4, 2), (6, 7, 6, 1), (33, 64, 32, 2)],
)
def test_no_more_cores_are_left_than_it_pays(most: int, cores: int, replicas: int, threads: int) -> None:
    assert fastest(most, cores) == replicas
    assert cores // replicas == threads


@pytest.mark.parametrize(
    ("count", "rows", "engine", "replicas", "threads"),
    [
        (100, 2048, {}, 8, 1),
        (24, 2048, {}, 4, 2),
        (16, 2048, {}, 4, 2),
        (15, 2048, {}, 2, 4),  # of three one node had two
        (4, 2048, {}, 1, 4),
        (1, 2048, {}, 1, 4),
        (100, 13, {}, 4, 2),  # 1,300 rows, of which 256 are two batches
        (100, 8, {"max_batch_rows": 50}, 8, 1),
        (100, 8, {"replicas": 4}, 4, 2),
        (100, 2048, {"threads": 3}, 2, 3),
        (4, 2048, {"replicas": 8}, 8, 1),
        (5, 16, {"threads": 1}, 5, 1),  # more threads for each there would not be
        (5, 16, {"deterministic": "shard", "threads": 1}, 5, 1),
    ],
)
def test_on_cpus_no_more_replicas_are_started_than_the_job_keeps_busy(
    plan: Callable[..., Resources],
    nodes: Nodes,
    count: int,
    rows: int,
    engine: dict[str, Any],
    replicas: int,
    threads: int,
) -> None:
    nodes({"CPU": 4}, {"CPU": 4})
    assert plan(shards(count, rows), engine=engine) == Resources(replicas, 0, threads=threads, ray_tasks=4)


def test_on_gpus_a_replica_takes_its_ranks_of_one_node(plan: Callable[..., Resources], nodes: Nodes) -> None:
    nodes({"CPU": 16, "GPU": 4}, {"CPU": 16, "GPU": 3}, {"CPU": 4})
    assert plan() == Resources(7, 1, threads=1, ray_tasks=18)
    assert plan(tensor_parallel=2) == Resources(3, 2, threads=1, ray_tasks=18)
    assert plan(shards(5, 8)) == Resources(5, 1, threads=1, ray_tasks=18)
    assert plan(shards(5, 8), engine={"replicas": 6}) == Resources(6, 1, 1, 18, least=5)
    assert plan(engine={"replicas": {"min": 2, "max": 9}}) == Resources(7, 1, 1, 18, least=2)
    for eight in (8, {"min": 8, "max": 9}):
        with pytest.raises(ConfigError, match=r"engine\.replicas: this machine has room for 7, got 8"):
            plan(engine={"replicas": eight})
    with pytest.raises(ConfigError, match=r"no node has 8 GPUs \(they have \[0, 3, 4\]\)"):
        plan(tensor_parallel=8)


def test_a_cluster_that_was_joined_may_get_more_nodes(
    plan: Callable[..., Resources], nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers: list[Offer] = []
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr("pipeline.cluster.devices.offered_gpus", lambda: offers)
    monkeypatch.setattr("pipeline.cluster.resources.offered_gpus", lambda: offers)
    nodes({"CPU": 16, "GPU": 4})
    assert plan(engine={"replicas": 8}) == Resources(8, 1, 1, 8, least=8)
    assert plan(engine={"replicas": {"min": 2, "max": 9}}) == Resources(9, 1, 1, 8, least=2)
    assert plan(tensor_parallel=2, engine={"replicas": 8}) == Resources(8, 2, 1, 8, least=8)
    with pytest.raises(
        ConfigError, match=r"no node has 8 GPUs .*lower it, or set engine\.device to gpu to wait"
    ):
        plan(tensor_parallel=8)
    assert plan(tensor_parallel=8, engine={"device": "gpu"}) == Resources(1, 8, 1, 8)

    nodes({"CPU": 4})  # scaled to zero
    assert plan() == Resources(4, 0, threads=1, ray_tasks=2)
    assert plan(engine={"device": "gpu"}) == Resources(1, 1, 1, 2)
    assert plan(engine={"device": "gpu", "replicas": 3}) == Resources(3, 1, 1, 2, least=3)
    offers.append(Offer(gpus=8, nodes=3))
    assert plan() == Resources(24, 1, 1, 2)
    assert plan(shards(5, 8), tensor_parallel=4) == Resources(5, 4, 1, 2)
    offers[:] = [Offer(gpus=8, nodes=None)]
    assert plan() == Resources(8, 1, 1, 2)


def test_the_device_is_the_job_s_to_choose(
    plan: Callable[..., Resources], nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    nodes({"CPU": 4, "GPU": 2})
    on_cpus = Resources(4, 0, threads=1, ray_tasks=2)
    assert plan(engine={"device": "cpu"}) == on_cpus
    assert plan(quantization="int8", engine={"device": "cpu"}) == on_cpus
    nodes({"CPU": 4})
    with pytest.raises(ConfigError, match=r"engine\.device: gpu, but Ray sees none on this machine"):
        plan(engine={"device": "gpu"})
    assert not caplog.messages
    plan(tensor_parallel=2)
    [said] = caplog.messages
    assert said.startswith("no node of this cluster has a GPU, so each replica's 2 ranks share CPUs")


def test_bounds_hold_on_cpus(plan: Callable[..., Resources], nodes: Nodes) -> None:
    nodes({"CPU": 4}, {"CPU": 4})
    found = [plan(engine={"replicas": {"min": a, "max": b}}).replicas for a, b in ((1, 3), (10, 12), (2, 99))]
    assert found == [3, 10, 8]


def test_where_there_are_gpus_int8_is_refused(plan: Callable[..., Resources], nodes: Nodes) -> None:
    nodes({"CPU": 16, "GPU": 1})
    with pytest.raises(ConfigError, match="int8 is for CPUs, this cluster has GPUs"):
        plan(quantization="int8")


def test_where_there_are_no_gpus_flash_attention_is_refused(
    plan: Callable[..., Resources], nodes: Nodes
) -> None:
    nodes({"CPU": 16})
    with pytest.raises(ConfigError, match="flash is for GPUs, this job runs on CPUs"):
        plan(attention="flash")

"""How replicas share a cluster, by what its nodes offer; and how what fails in a task is told."""

from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayError

from pipeline.cluster import Resources, as_job_error, connect, plan_resources
from pipeline.config import JobConfig
from pipeline.errors import ConfigError, JobError

MakeConfig = Callable[..., JobConfig]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the cluster consist of nodes with these resources."""

    def consist_of(*resources: dict[str, float]) -> None:
        found = [{"Alive": True, "Resources": each} for each in resources]
        monkeypatch.setattr(ray, "nodes", lambda: [*found, {"Alive": False, "Resources": {"GPU": 64}}])

    return consist_of


def config(make_config: MakeConfig, **model: Any) -> JobConfig:
    job = make_config([])
    return job.model_copy(update={"model": job.model.model_copy(update=model)})


def test_on_cpus_replicas_compute_with_all_cores(make_config: MakeConfig, nodes: Callable[..., None]) -> None:
    nodes({"CPU": 8}, {"CPU": 8})
    assert plan_resources(make_config([])) == Resources(2, 0, threads=8, tasks=8)
    assert plan_resources(make_config([], engine={"replicas": 4})) == Resources(4, 0, threads=4, tasks=8)
    assert plan_resources(make_config([], engine={"replicas": 4, "threads": 3})).threads == 3
    assert plan_resources(config(make_config, tensor_parallel=2)).threads == 4


def test_on_gpus_a_replica_takes_its_ranks_of_one_node(
    make_config: MakeConfig, nodes: Callable[..., None]
) -> None:
    nodes({"CPU": 16, "GPU": 4}, {"CPU": 16, "GPU": 3}, {"CPU": 4})
    assert plan_resources(make_config([])) == Resources(7, 1, threads=1, tasks=18)
    assert plan_resources(config(make_config, tensor_parallel=2)) == Resources(3, 2, threads=1, tasks=18)
    with pytest.raises(ConfigError, match=r"engine\.replicas: the cluster has room for 7, got 8"):
        plan_resources(make_config([], engine={"replicas": 8}))
    with pytest.raises(ConfigError, match=r"no node has 8 GPUs \(they have \[0, 3, 4\]\)"):
        plan_resources(config(make_config, tensor_parallel=8))


def test_where_there_are_gpus_int8_is_refused(make_config: MakeConfig, nodes: Callable[..., None]) -> None:
    nodes({"CPU": 16, "GPU": 1})
    with pytest.raises(ConfigError, match="int8 is for CPUs, this cluster has GPUs"):
        plan_resources(config(make_config, quantization="int8"))


def test_where_there_are_no_gpus_flash_attention_is_refused(
    make_config: MakeConfig, nodes: Callable[..., None]
) -> None:
    nodes({"CPU": 16})
    with pytest.raises(ConfigError, match="flash is for GPUs, this cluster has none"):
        plan_resources(config(make_config, attention="flash"))


def raised_by(failing: Callable[[object], Any], reading: bool) -> JobError:
    """What the driver makes of an error in a task that reads, or in one that maps."""
    block = BlockMetadata(num_rows=1, size_bytes=8, exec_stats=None, input_files=None)

    class Source(Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> int:
            return 8

        def get_read_tasks(self, *_: object, **__: object) -> list[ReadTask]:
            return [ReadTask(lambda: map(failing, [None]), block)]

    rows = ray.data.read_datasource(Source()) if reading else ray.data.range(1).map_batches(failing)
    with pytest.raises(RayError) as raised:
        rows.materialize()
    return as_job_error(raised.value)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("reading", [True, False])
def test_what_a_task_raises_keeps_its_kind_and_its_words(reading: bool) -> None:
    def changed(_: object) -> None:
        try:
            raise KeyError("canary")
        except KeyError as error:
            raise ConfigError("a\n  b\nOSError: c.jsonl: changed") from error

    def disk(_: object) -> None:
        raise PermissionError(13, "denied", "a\nb")

    def bug(_: object) -> None:
        raise ValueError("canary\nOSError: canary")

    connect()
    told = raised_by(changed, reading)
    assert isinstance(told, ConfigError)
    assert str(told) == "a\n  b\nOSError: c.jsonl: changed"
    assert r"(PermissionError: [Errno 13] denied: 'a\nb')" in str(raised_by(disk, reading))
    assert "(ValueError, see Ray's logs)" in str(raised_by(bug, reading))

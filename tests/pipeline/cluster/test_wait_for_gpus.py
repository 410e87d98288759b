"""What is said while a job waits for GPUs; tests/pipeline/test_gpu_cluster.py waits on a real cluster."""

import logging

import pytest

from pipeline.cluster import wait_for_gpus as waiting
from pipeline.cluster.resources import REPLICA_CPUS, Resources
from pipeline.cluster.wait_for_gpus import wait_for_gpus


class Group:
    """A placement group that is there at the given look."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    def wait(self, seconds: float) -> bool:
        self._looks -= 1
        return self._looks < 1


@pytest.mark.parametrize(("looks", "said"), [(1, 0), (3, 4)])
def test_a_job_says_for_what_it_waits_and_gives_the_place_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, looks: int, said: int
) -> None:
    asked, removed = [], []
    group = Group(looks)

    def placement_group(bundles: list[dict[str, float]], strategy: str) -> Group:
        asked.append(bundles)
        return group

    nodes = [{"Alive": True, "Resources": {"CPU": 2, "GPU": gpus}} for gpus in (0, 3)]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr("ray.util.placement_group", placement_group)
    monkeypatch.setattr("ray.util.remove_placement_group", removed.append)
    for seconds in ("_SILENT_SECONDS", "_SECONDS_BETWEEN_LINES"):
        monkeypatch.setattr(waiting, seconds, -1.0 if looks > 1 else 60.0)
    with caplog.at_level(logging.WARNING):
        wait_for_gpus(Resources(3, num_gpus=2, threads=1, ray_tasks=1, least=2))
    assert asked == [[{"GPU": 2, "CPU": REPLICA_CPUS}] * 2]
    assert removed == [group]
    expected = (
        "waiting for GPUs for 2 replicas, 2 on one node for each: the cluster has room for 1, if nobody else "
        "uses it (GPUs of its nodes: 3, 0)"
    )
    *waits, last = caplog.messages
    assert last == "2 more replicas begin when nodes with free GPUs come"
    assert waits == ([expected, expected, "the GPUs are there"] if said else [])


def test_a_job_on_cpus_waits_for_nothing() -> None:
    wait_for_gpus(Resources(3, num_gpus=0, threads=1, ray_tasks=1, least=3))

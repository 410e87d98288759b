"""Whole machines that fail, as far as one machine can show it: nodes of a real cluster, killed at once."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.chaos.inputs import ChaosJob, make_job
from tests.chaos.nodes import Driver, Nodes
from tests.chaos.oracle import judge
from tests.chaos.processes import kill, victims

pytestmark = pytest.mark.slow
MODULE = "tests.chaos.driver"  # its replicas take two GPUs each; a network's place is taken by a sum


@pytest.fixture
def start_nodes() -> Iterator[Callable[..., Nodes]]:
    """Starts nodes with so many GPUs each, the head first."""
    started = []

    def start(*gpus: int) -> Nodes:
        started.append(Nodes(Path(mkdtemp(prefix="nodes-")) / "ray", list(gpus)))
        return started[-1]

    yield start
    for nodes in started:
        nodes.close()


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def begun(nodes: Nodes, job: ChaosJob) -> Driver:
    """A run of the job that has committed something."""
    driver = nodes.start_driver(MODULE, job.config, job.folder / "driver.log")
    wait_for(lambda: parts(job))
    return driver


def ended(driver: Driver, seconds: float = 120) -> int:
    codes: list[int] = []
    wait_for(lambda: codes or codes.extend(c for c in [driver.poll()] if c is not None) or codes, seconds)
    return codes[0]


def log(job: ChaosJob) -> str:
    return (job.folder / "driver.log").read_text()


def parts(job: ChaosJob) -> int:
    return len(list(job.output.glob("generations/*.parquet")))


def replicas(nodes: Nodes) -> int:
    return len(victims(nodes.fork_server.pid, [], [])["replica"])


def assert_whole(job: ChaosJob) -> None:
    verdict = judge(job.folder / "in", job.output.glob("generations/*.parquet"))
    assert (verdict.rows, verdict.examples) == (job.rows, [])
    assert (job.output / "_SUCCESS").exists()


@pytest.mark.timeout(280)
def test_a_job_goes_on_by_itself_on_the_nodes_that_are_left_and_on_those_that_come(
    start_nodes: Callable[..., Nodes], tmp_path: Path
) -> None:
    nodes = start_nodes(0, 2, 2)
    job = make_job(tmp_path / "job", 1, 1600, broken=0, replicas=2)
    driver = begun(nodes, job)

    def lose(raylet: int) -> int:
        """Returns how many shards are committed when the node is gone."""
        assert kill(raylet)
        nodes.remove(raylet)
        return parts(job)

    first, second = nodes.raylets()
    wait_for(lambda: replicas(nodes) == 2)
    committed = lose(first)
    wait_for(lambda: parts(job) > committed + 4)
    assert lose(second) < 90, "there must be something left to do"
    wait_for(lambda: replicas(nodes) == 0)
    nodes.add(2)
    assert ended(driver) == 0, log(job)
    assert_whole(job)
    assert log(job).count("starting the replicas") == 1, "by itself: without another run"

"""How a job's shards are shared out among its replicas."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from model.engine import Engine
from pipeline.cluster.resources import Resources
from pipeline.config.job import JobConfig
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.replicas.replica import Replica
from pipeline.replicas.replica_pool import replica_pool
from pipeline.row_requests import Outcome
from pipeline.run import run

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test

SECONDS_LATE = 2
SHARDS = 9  # enough for a replica on each of two CPUs


class HoldsShardsUntilAllRun(Replica):
    """One of two is ready later, and neither finishes a shard before all of the job's are under way."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        self._folder = Path(options.store.root) / "_job"
        self._shards_run = 0
        engine = super().load_engine(options)
        if not options.store.create("_job/first", b""):
            time.sleep(SECONDS_LATE)
        return engine

    async def _run_rows(self, rows: Sequence[dict[str, Any]]) -> list[Outcome]:
        self._shards_run += 1
        (self._folder / f"shards-run-by-{os.getpid()}").write_text(str(self._shards_run))
        deadline = time.monotonic() + 30
        while sum(shards_run(self._folder)) < SHARDS:
            assert time.monotonic() < deadline, "a shard waits though a replica has room"
            await asyncio.sleep(0.05)
        return await super()._run_rows(rows)


def shards_run(folder: Path) -> list[int]:
    return sorted(int(path.read_text() or 0) for path in folder.glob("shards-run-by-*"))


def test_the_replica_that_is_ready_first_leaves_the_other_its_share(
    make_config: Callable[..., JobConfig],
) -> None:
    rows = [{"ids": [1, 2 + i]} for i in range(8 * SHARDS)]
    config = make_config(
        rows, engine={"replicas": "auto", "max_batch_rows": 4}, generation={"max_new_tokens": 2}
    )
    report = run(config, HoldsShardsUntilAllRun)
    assert report.rows_by_status == {"ok": len(rows), "error": 0}
    assert shards_run(Path(config.output.path) / "_job") == [4, 5]


@pytest.mark.parametrize(
    ("shards", "replicas", "shard_rows", "deterministic", "in_flight"),
    [
        (1_000, 2, 16, "none", 32),
        (1_000, 2, 2048, "none", 3),
        (20, 2, 16, "none", 10),
        (5, 2, 2048, "none", 3),
        (3, 8, 2048, "none", 1),
        (1_000, 2, 16, "shard", 2),
        (2, 2, 16, "shard", 1),
    ],
)
def test_a_replica_holds_its_share_at_most(
    make_config: Callable[..., JobConfig],
    shards: int,
    replicas: int,
    shard_rows: int,
    deterministic: str,
    in_flight: int,
) -> None:
    config = make_config([], input={"shard_rows": shard_rows}, engine={"deterministic": deterministic})
    pool = replica_pool(Resources(replicas, num_gpus=0, threads=1, ray_tasks=1), config, shards)
    assert pool.max_tasks_in_flight_per_actor == in_flight

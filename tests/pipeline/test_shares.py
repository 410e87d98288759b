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
from pipeline.loading import ReplicaOptions
from pipeline.replica import Replica
from pipeline.run import run
from pipeline.tasks import Outcome

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test

SECONDS_LATE = 2


class WaitsForTheOther(Replica):
    """One of two is ready later, and neither finishes a shard before both have one."""

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
        deadline = time.monotonic() + 20
        while len(shards_run(self._folder)) < 2:
            assert time.monotonic() < deadline, "the other replica has no shard"
            await asyncio.sleep(0.05)
        return await super()._run_rows(rows)


def shards_run(folder: Path) -> list[int]:
    return [int(path.read_text() or 0) for path in folder.glob("shards-run-by-*")]


def test_the_replica_that_is_ready_first_leaves_the_other_its_share(make_config: Callable[..., Any]) -> None:
    rows = [{"ids": [1, 2 + i]} for i in range(40)]
    config = make_config(rows, engine={"replicas": 2}, generation={"max_new_tokens": 2})
    report = run(config, WaitsForTheOther)
    assert report.rows_by_status == {"ok": 40, "error": 0}
    assert sorted(shards_run(Path(config.output.path) / "_job")) == [2, 3]

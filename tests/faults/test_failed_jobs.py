"""What a job that fails, or whose coordinator stands still, leaves of its shards: none is blamed for it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from ray import cloudpickle

from pipeline.config.job import JobConfig
from pipeline.errors import JobError
from pipeline.output.publish import Publishing
from pipeline.run import run
from pipeline.supervision.coordinator import Coordinator
from tests.jobs.test_stopping import blamed_shards

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test

ROWS = [{"ids": [1, 2 + i % 90]} for i in range(64)]
MakeConfig = Callable[..., JobConfig]


class Refused(Publishing):
    """As where the store's quota is used up: markers still fit, parts do not."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise OSError("the quota is used up")


def test_a_store_that_takes_no_parts_puts_no_blame_on_shards(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.run.Publishing", Refused)
    config = make_config(ROWS, generation={"max_new_tokens": 30, "ignore_eos": True})
    with pytest.raises(JobError, match="the quota is used up"):
        run(config)
    assert list((Path(config.output.path) / "_job/attempts").iterdir()), "some shard was begun"
    assert blamed_shards(config.output.path) == []


@pytest.mark.slow
def test_a_coordinator_that_stands_still_is_replaced(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(
        [{"ids": [1, 2 + i % 90]} for i in range(400)],
        generation={"max_new_tokens": 24, "ignore_eos": True},
        engine={"max_batch_rows": 4},
    )
    noted = Path(config.output.path).parent / "coordinators"

    class NotedCoordinator(Coordinator):
        def __init__(self) -> None:
            super().__init__()
            with noted.open("a") as file:
                file.write(f"{os.getpid()}\n")

    monkeypatch.setattr("pipeline.supervision.coordinator.Coordinator", NotedCoordinator)
    monkeypatch.setattr("pipeline.supervision.coordinator._DEADLINE", 4.0)
    parts = Path(config.output.path) / "generations"

    def stop_the_coordinator() -> None:
        while not parts.exists() or not list(parts.iterdir()):
            time.sleep(0.01)
        os.kill(int(noted.read_text()), signal.SIGSTOP)

    stopper = threading.Thread(target=stop_the_coordinator, daemon=True)
    stopper.start()
    report = run(config)
    stopper.join()
    assert len(noted.read_text().split()) == 2, "killed and started anew, once"
    assert report.rows_by_status == {"ok": 400, "error": 0}
    assert sorted(pd.read_parquet(parts)["row"]) == list(range(400))

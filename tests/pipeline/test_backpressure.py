"""How many shards are read before they are needed."""

import json
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
import ray
from ray import cloudpickle
from ray.data import TaskPoolStrategy

from pipeline.cluster import READ_OPTIONS, connect
from pipeline.config import InputSection
from pipeline.reading.cuts import make_plan
from pipeline.reading.datasource import ShardDatasource

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test

SHARDS, MOST_WAITING = 200, 20
ON_THE_WAY = 10  # with tasks, and handed on by them


@pytest.mark.parametrize("most_tasks", [10, SHARDS])
def test_few_shards_wait_and_all_arrive(
    tmp_path: Path, most_tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.backpressure._MOST_WAITING", MOST_WAITING)
    monkeypatch.setattr("pipeline.reading.datasource._MOST_TASKS", most_tasks)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(SHARDS)))
    section = InputSection.model_validate(
        {"path": str(tmp_path / "in.jsonl"), "prompt": {"column": "n"}, "shard_rows": 1}
    )
    seen, waited = tmp_path / "seen", tmp_path / "waited"

    def see(block: pa.Table) -> pa.Table:
        with seen.open("a") as log:
            log.write("x")
        return block

    def hold(block: pa.Table) -> pa.Table:
        """The first one waits until no more is read."""
        before = -1
        while not waited.exists() and before < (before := seen.stat().st_size):
            time.sleep(2)
        if not waited.exists():
            waited.write_text(str(before))
        return block

    connect()
    source = ShardDatasource(make_plan(section).shards, [])
    one = TaskPoolStrategy(1)
    shards = (
        ray.data.read_datasource(
            source, override_num_blocks=source.tasks, compute=one, ray_remote_args=READ_OPTIONS
        )
        .map_batches(see, batch_size=None, batch_format="pyarrow", compute=one, **READ_OPTIONS)
        .map_batches(hold, batch_size=None, batch_format="pyarrow", compute=one)
    )
    assert shards.count() == SHARDS
    assert MOST_WAITING <= int(waited.read_text()) <= MOST_WAITING + ON_THE_WAY

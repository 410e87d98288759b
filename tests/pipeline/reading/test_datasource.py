"""The task that names the shards: each once, whatever becomes of its process, and not long ahead."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
from ray import cloudpickle
from ray.data import DataContext, Dataset, ReadTask, TaskPoolStrategy

from pipeline.cluster import NAMING_OPTIONS, TASK_OPTIONS
from pipeline.data_context import shard_context
from pipeline.reading.carried_shard import named_shard
from pipeline.reading.datasource import ShardNames
from pipeline.reading.shard import Shard
from pipeline.reading.shard_table import ShardTable

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test
ONE = TaskPoolStrategy(1)


def shards(count: int) -> ShardTable:
    return ShardTable.of(
        Shard(n, f"{n:016x}", "/in.jsonl", "in.jsonl", "etag", "jsonl", n, 1, n, n + 1) for n in range(count)
    )


def named(source: ShardNames) -> Dataset:
    return ray.data.read_datasource(
        source, override_num_blocks=source.tasks, compute=ONE, ray_remote_args=NAMING_OPTIONS
    )


def ordinal(block: pa.Table) -> pa.Table:
    return pa.table({"ordinal": [named_shard(block).ordinal]})


def ordinals(names: Dataset) -> list[int]:
    found = names.map_batches(ordinal, batch_size=None, batch_format="pyarrow", compute=ONE, **TASK_OPTIONS)
    return sorted(row["ordinal"] for row in found.take_all())


class Changed(ShardNames):
    """Names shards, and does something to each block."""

    def __init__(self, shards: ShardTable, change: Callable[[pa.Table], pa.Table]) -> None:
        super().__init__(shards)
        self._change = change

    def get_read_tasks(self, *arguments: Any, **options: Any) -> list[ReadTask]:
        tasks = super().get_read_tasks(*arguments, **options)
        return [ReadTask(partial(self._changed, task.read_fn), task.metadata) for task in tasks]

    def _changed(self, name: Callable[[], Iterable[pa.Table]]) -> Iterator[pa.Table]:
        return map(self._change, name())


def test_every_shard_is_a_block_of_its_own() -> None:
    with DataContext.current(shard_context()):
        for first, last in ((0, 1), (0, 100), (50, 251)):
            assert ordinals(named(ShardNames(shards(last)[first:]))) == list(range(first, last))


def test_a_task_that_is_killed_half_way_names_each_once(tmp_path: Path) -> None:
    def die_twice(block: pa.Table) -> pa.Table:
        mark = tmp_path / str(named_shard(block).ordinal)
        if mark.name in ("3", "7") and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    with DataContext.current(shard_context()):
        assert ordinals(named(Changed(shards(120), die_twice))) == list(range(120))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("stage", ["named", "prepared"])
def test_few_wait_and_all_arrive(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that does nothing at first lets the one before it come `most` shards ahead, and a few."""
    most, on_their_way = 20, 12
    monkeypatch.setattr("pipeline.data_context._MOST_WAITING", most)
    monkeypatch.setattr("pipeline.reading.datasource._NAMES_A_TASK", 5)
    seen, released = tmp_path / "seen", tmp_path / "released"

    def see(block: pa.Table) -> pa.Table:
        with seen.open("a") as log:
            log.write("x")
        return block

    def hold(block: pa.Table) -> pa.Table:
        while not released.exists():
            time.sleep(0.05)
        return block

    with DataContext.current(shard_context()):
        if stage == "named":
            names = named(Changed(shards(200), see))
        else:
            names = named(ShardNames(shards(200)))
            names = names.map_batches(
                see, batch_size=None, batch_format="pyarrow", compute=ONE, **TASK_OPTIONS
            )
        held = names.map_batches(hold, batch_size=None, batch_format="pyarrow", num_cpus=0.5, compute=ONE)
        arriving = held.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow")
        counted = _count_when_quiet(seen, released)
        arrived = sorted(named_shard(block).ordinal for block in arriving)
    assert arrived == list(range(200))
    assert most <= counted[0] <= most + on_their_way


def _count_when_quiet(seen: Path, released: Path, quiet_s: float = 5.0) -> list[int]:
    """Will hold how many were seen when no more came for so long; then it releases them."""
    counts: list[int] = []

    def watch() -> None:
        count, since = 0, time.monotonic()
        while not count or time.monotonic() - since < quiet_s:
            time.sleep(0.1)
            now = seen.stat().st_size if seen.exists() else 0
            if now != count:
                count, since = now, time.monotonic()
        counts.append(count)
        released.touch()

    threading.Thread(target=watch, daemon=True).start()
    return counts


def test_ray_data_is_for_others_as_it_was() -> None:
    before = DataContext.get_current().target_max_block_size
    with DataContext.current(shard_context()):
        assert DataContext.get_current().target_max_block_size == 1
    assert DataContext.get_current().target_max_block_size == before
    assert ray.data.range(300).materialize().num_blocks() < 300

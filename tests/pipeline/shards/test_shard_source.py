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

from pipeline.cluster.ray_data_settings import configure_ray_data
from pipeline.cluster.resources import NAMING_OPTIONS, RAY_TASK_OPTIONS
from pipeline.shards.carried_shard import named_shard
from pipeline.shards.shard import Shard
from pipeline.shards.shard_source import ShardNames
from pipeline.shards.shard_table import ShardTable

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test
ONE = TaskPoolStrategy(1)
WHOLE_BLOCKS: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}
POLICIES = "backpressure_policies.enabled"
QUIET_S = 3.0  # far more than Ray Data takes between two blocks


def shards(count: int) -> ShardTable:
    return ShardTable.of(
        Shard(n, f"{n:016x}", "/in.jsonl", "in.jsonl", "etag", "jsonl", n, 1, n, n + 1) for n in range(count)
    )


def named(source: ShardNames) -> Dataset:
    names = ray.data.read_datasource(
        source, override_num_blocks=source.ray_tasks, compute=ONE, ray_remote_args=NAMING_OPTIONS
    )
    configure_ray_data(names.context)
    return names


def ordinals(names: Dataset) -> list[int]:
    return sorted(named_shard(block).ordinal for block in names.iter_batches(**WHOLE_BLOCKS))


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
    for first, last in ((0, 1), (0, 100), (50, 251)):
        assert ordinals(named(ShardNames(shards(last)[first:]))) == list(range(first, last))


def test_a_task_that_is_killed_half_way_names_each_once(tmp_path: Path) -> None:
    def die_twice(block: pa.Table) -> pa.Table:
        mark = tmp_path / str(named_shard(block).ordinal)
        if mark.name in ("3", "7") and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    assert ordinals(named(Changed(shards(120), die_twice))) == list(range(120))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("stage", ["named", "prepared"])
def test_few_wait_and_all_arrive(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that does nothing at first lets the one before it come `most` shards ahead, and a few."""
    most, names_a_task = 20, 5
    monkeypatch.setattr("pipeline.cluster.ray_data_settings._MOST_WAITING", most)
    monkeypatch.setattr("pipeline.shards.shard_source._NAMES_A_TASK", names_a_task)
    seen = tmp_path / "seen"

    def see(block: pa.Table) -> pa.Table:
        with seen.open("a") as log:
            log.write("x")
        return block

    if stage == "named":
        names = named(Changed(shards(200), see))
    else:
        names = named(ShardNames(shards(200))).map_batches(
            see, **WHOLE_BLOCKS, compute=ONE, **RAY_TASK_OPTIONS
        )
    held, counted = hold_until_quiet(names, seen, at_least=most)
    assert ordinals(held) == list(range(200))
    assert most <= counted[0] <= most + 2 * names_a_task


def test_tasks_end_though_their_names_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waited would live as long as its shards are read, and lose a life with every machine."""
    monkeypatch.setattr("pipeline.cluster.ray_data_settings._MOST_WAITING", 20)
    seen = tmp_path / "seen"

    class Ending(ShardNames):
        def get_read_tasks(self, *arguments: Any, **options: Any) -> list[ReadTask]:
            tasks = super().get_read_tasks(*arguments, **options)
            return [ReadTask(partial(self._ending, task.read_fn), task.metadata) for task in tasks]

        def _ending(self, name: Callable[[], Iterable[pa.Table]]) -> Iterator[pa.Table]:
            yield from name()
            seen.write_text("ended")

    held, counted = hold_until_quiet(named(Ending(shards(100))), seen, at_least=1)
    assert ordinals(held) == list(range(100))
    assert counted == [len("ended")]


def hold_until_quiet(stage: Dataset, seen: Path, at_least: int) -> tuple[Dataset, list[int]]:
    """A stage behind it, that does nothing until `seen` has that size and grows no more.

    And what the size was then; TimeoutError takes its place where it never came so far.
    """
    released = seen.with_name("released")
    sizes: list[Any] = []

    def watch() -> None:
        size, since = 0, time.monotonic()
        while size < at_least or time.monotonic() - since < QUIET_S:
            if time.monotonic() - since > 30:
                sizes.append(TimeoutError(f"{size} seen"))
                break
            time.sleep(0.1)
            now = seen.stat().st_size if seen.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
        sizes.append(size)
        released.touch()

    def hold(block: pa.Table) -> pa.Table:
        while not released.exists():
            time.sleep(0.05)
        return block

    threading.Thread(target=watch, daemon=True).start()
    return stage.map_batches(hold, **WHOLE_BLOCKS, compute=ONE, num_cpus=0.5), sizes


def test_ray_data_is_for_others_as_it_was() -> None:
    context = DataContext.get_current()
    before = context.target_max_block_size, context.get_config(POLICIES, None)
    assert named(ShardNames(shards(1))).context.target_max_block_size == 1
    assert (context.target_max_block_size, context.get_config(POLICIES, None)) == before

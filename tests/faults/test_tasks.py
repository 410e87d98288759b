"""Ray tasks whose process is stopped, or killed again and again: the job ends."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ray import cloudpickle
from ray.data import ReadTask

from pipeline.cluster.resources import NAMING_OPTIONS, RAY_TASK_OPTIONS
from pipeline.errors import JobError
from pipeline.output.publish import Publishing
from pipeline.rows.prepare import Preparation
from pipeline.run import run
from pipeline.shards.shard_source import ShardNames

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test


def die(tries: Path) -> None:
    with open(tries, "a") as log:
        log.write("died\n")
    os.kill(os.getpid(), signal.SIGKILL)


class KillsItsPublisher(Publishing):
    def __call__(self, table: pa.Table) -> pa.Table:
        die(Path(self.store.root) / "tries")
        return table


class KillsItsNamer(ShardNames):
    def get_read_tasks(self, *arguments: Any, **options: Any) -> list[ReadTask]:
        tries = Path(self._shards[0].file).with_name("out") / "tries"
        tasks = super().get_read_tasks(*arguments, **options)
        return [ReadTask(partial(die, tries), task.metadata) for task in tasks]


class KillsItsReader(Preparation):
    def __call__(self, named: pa.Table) -> pa.Table:
        die(Path(self.config.output.path) / "tries")
        return named


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("run.Publishing", KillsItsPublisher),
        ("preflight.job.Preparation", KillsItsReader),
        ("run.ShardNames", KillsItsNamer),
    ],
)
def test_a_task_that_kills_its_process_every_time_ends_the_job(
    make_config: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kills: Any,
) -> None:
    monkeypatch.setattr(f"pipeline.{name}", kills)
    for options in (NAMING_OPTIONS, RAY_TASK_OPTIONS):
        assert options["max_retries"] == 8
        monkeypatch.setitem(options, "max_retries", 1)  # each costs seconds
    config = make_config([{"ids": [1, 2]}], generation={"max_new_tokens": 1})
    with pytest.raises(JobError, match="a process that reads or publishes shards was killed again and again"):
        run(config)
    assert (Path(config.output.path) / "tries").read_text() == "died\n" * 2


def stop_once(stopped: Path) -> None:
    try:
        stopped.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGSTOP)


class StopsItsPublisher(Publishing):
    def __call__(self, table: pa.Table) -> pa.Table:
        stop_once(Path(self.store.root) / "stopped")
        return super().__call__(table)


class StopsItsNamer(ShardNames):
    def get_read_tasks(self, *arguments: Any, **options: Any) -> list[ReadTask]:
        stopped = Path(self._shards[0].file).with_name("out") / "stopped"
        plain = self._watched

        def stopping(work: Any) -> Any:
            return plain(partial(stop_and_name, stopped, work))

        self._watched = stopping
        return super().get_read_tasks(*arguments, **options)


def stop_and_name(stopped: Path, work: Any) -> Any:
    stop_once(stopped)
    return work()


class StopsItsReader(Preparation):
    def __call__(self, named: pa.Table) -> pa.Table:
        stop_once(Path(self.config.output.path) / "stopped")
        return super().__call__(named)


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("run.ShardNames", StopsItsNamer),
        pytest.param("preflight.job.Preparation", StopsItsReader, marks=pytest.mark.slow),
        pytest.param("run.Publishing", StopsItsPublisher, marks=pytest.mark.slow),
    ],
)
def test_a_task_whose_process_is_stopped_is_given_to_another(
    make_config: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str, stops: Any
) -> None:
    monkeypatch.setattr(f"pipeline.{name}", stops)
    config = make_config(
        [{"ids": [1, 2]}] * 20, generation={"max_new_tokens": 1}, engine={"progress_deadline_s": 5}
    )
    report = run(config)
    assert (Path(config.output.path) / "stopped").exists()
    assert report.rows_by_status == {"ok": 20, "error": 0}

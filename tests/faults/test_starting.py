"""Replicas that die before they take a shard: started again, but not for ever, and no row is blamed."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
from ray import cloudpickle

import pipeline.supervision.start_limit
from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError, JobError
from pipeline.preflight.job import check_job
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.replicas.replica import Replica
from pipeline.run import run
from pipeline.storage.open_store import open_store
from pipeline.supervision.coordinator import start_coordinator

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test

ROWS = [{"ids": [1, 2 + i % 90]} for i in range(40)]


class DiesInEveryRow(Replica):
    """As on a machine whose device ends the process at its first step."""

    def __init__(self, options: ReplicaOptions) -> None:
        pipeline.supervision.start_limit._MOST_DEATHS = 2  # each costs some seconds
        super().__init__(options)

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        engine.ranks.forward = lambda batch: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore
        return engine


def test_a_replica_that_always_dies_ends_the_job_and_blames_no_row(make_config: Callable[..., Any]) -> None:
    config: JobConfig = make_config(ROWS)
    with pytest.raises(JobError, match="a replica died 2 times while it loaded the model and tried it"):
        run(config, DiesInEveryRow)
    assert not (Path(config.output.path) / "_job/attempts").exists()


class DoesNotStart(Replica):
    def load_engine(self, options: ReplicaOptions) -> Engine:
        raise JobError("there is no such device")


def test_what_a_replica_fails_over_is_told_by_the_next_shard_however_late_that_comes(
    make_config: Callable[..., Any], checkpoint: Any
) -> None:
    """Raised while Ray starts it anew, without a shard at hand, it would not end the job."""
    config: JobConfig = make_config(ROWS, engine={"progress_deadline_s": 1})
    with pytest.raises(JobError, match="there is no such device"):
        run(config, DoesNotStart)

    job, store = check_job(config), open_store(config.output.path)
    with start_coordinator() as coordinator:
        options = ReplicaOptions(
            config, job.task, str(checkpoint.folder), None, 1, store, job.spec, "run", coordinator
        )
        replica = ray.remote(DoesNotStart).options(max_restarts=0).remote(options)
        ray.get(replica.__ray_ready__.remote())
        time.sleep(3)  # the watchdog would have killed it by now
        with pytest.raises(JobError, match="there is no such device"):
            ray.get(next(replica.__call__.options(num_returns="streaming").remote(None)))
        ray.kill(replica)


class AsksForFlash(Replica):
    """As on a machine without a GPU in a cluster that has some."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        model = options.config.model.model_copy(update={"attention": "flash"})
        return super().load_engine(
            replace(options, config=options.config.model_copy(update={"model": model}))
        )


def test_what_a_machine_cannot_do_is_told(make_config: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"model: attention flash needs .*; choose auto"):
        run(make_config(ROWS), AsksForFlash)


class LosesARankOnce(Replica):
    """The second rank of the first incarnation is dead before the first step."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        before = Path(options.store.root) / "_job/loaded-before"
        if not before.exists():
            before.touch()
            engine.ranks._children[0].kill()
            engine.ranks._children[0].wait()
        return engine


@pytest.mark.slow
def test_a_rank_that_dies_while_its_replica_starts_costs_a_start(
    make_config: Callable[..., Any], checkpoint: Any
) -> None:
    config: JobConfig = make_config(
        ROWS,
        model={"path": str(checkpoint.folder), "tensor_parallel": 2},
        generation={"max_new_tokens": 2},
    )
    run(config, LosesARankOnce)
    assert (Path(config.output.path) / "_job/loaded-before").exists()
    table = pd.read_parquet(Path(config.output.path) / "generations")
    assert sorted(table["row"]) == list(range(40))
    assert (table["status"] == "ok").all()

"""Tasks that read or publish and whose process is killed again and again: the job ends, it does not hang."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from ray import cloudpickle

from pipeline.durable.publishing import Publishing
from pipeline.errors import JobError
from pipeline.run import run

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test


class Kills(Publishing):
    def __call__(self, table: pa.Table) -> pa.Table:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_its_process_every_time_ends_the_job(
    make_config: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.run.Publishing", Kills)
    monkeypatch.setitem(sys.modules["pipeline.run"].PUBLISHING, "max_retries", 1)  # each costs seconds
    with pytest.raises(JobError, match="a process that reads or publishes shards was killed again and again"):
        run(make_config([{"ids": [1, 2]}], generation={"max_new_tokens": 1}))

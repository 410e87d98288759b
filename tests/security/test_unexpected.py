"""An exception that nobody foresaw and that quotes a row reaches neither the user nor Ray's logs."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle

from pipeline.config import JobConfig
from pipeline.errors import JobError, quoting_no_row
from pipeline.replica import Replica
from pipeline.run import run
from pipeline.tasks import Outcome

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test
CANARY = "canary-quoted-51c2"


class Quoting(Replica):
    async def _run_rows(self, rows: Sequence[dict[str, Any]]) -> list[Outcome]:
        raise ValueError(f"could not convert {CANARY}")


@pytest.mark.usefixtures("local_ray")
def test_a_bug_in_a_replica_ends_the_job_without_a_word_of_the_row(
    make_config: Callable[..., JobConfig],
) -> None:
    with pytest.raises(
        JobError, match=r"ValueError in shard \w+, raised at .*test_unexpected.py:\d+"
    ) as raised:
        run(make_config([{"ids": [1, 2]}]), Quoting)
    assert CANARY not in str(raised.value)
    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    files = [path for path in logs.rglob("*") if path.is_file()]
    assert any(b"ValueError in shard" in path.read_bytes() for path in files), "Ray logs what a task raises"
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []


def test_what_is_known_passes_and_what_is_not_loses_its_message_and_its_cause() -> None:
    for known in (JobError("told"), FileNotFoundError("told"), MemoryError()):
        with pytest.raises(type(known)) as raised, quoting_no_row("s"):
            raise known
        assert raised.value is known
    with pytest.raises(JobError) as raised, quoting_no_row("s"):
        asyncio.run(_fail())
    assert raised.value.__suppress_context__
    assert CANARY not in str(raised.value)


async def _fail() -> None:
    raise KeyError(CANARY)

"""The blocks of a dataset, taken by a thread that ends with those who want them."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from ray.exceptions import RayError

from pipeline.cluster.ray_data_settings import configure_ray_data
from pipeline.cluster.stage_output import blocks_of
from pipeline.errors import JobError

pytestmark = pytest.mark.usefixtures("local_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test


class Answering:
    """A watch on a Ray that does not stand still."""

    def check(self) -> None:
        pass


def blocks(work: Any, count: int = 4, watch: Any = None) -> "closing[Iterator[Any]]":
    dataset = ray.data.range(count, override_num_blocks=count)
    configure_ray_data(dataset.context)
    worked = dataset.map_batches(work, batch_size=None, batch_format="pyarrow")
    return closing(blocks_of(worked, watch or Answering(), seconds_to_leave=10))


def takers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "taking blocks"]


def test_every_block_comes_out_and_what_a_task_raises() -> None:
    def same(table: Any) -> Any:
        return table

    def broken(table: Any) -> Any:
        raise OSError("no disk")

    with blocks(same) as taken:
        assert sorted(row["id"] for block in taken for row in block.to_pylist()) == [0, 1, 2, 3]
    with blocks(broken) as taken, pytest.raises(RayError, match="no disk"):
        next(taken)
    assert takers() == []


def test_what_nobody_wants_any_more_is_not_run(tmp_path: Path) -> None:
    def slow(table: Any) -> Any:
        time.sleep(0.5)
        (tmp_path / str(table["id"][0])).touch()
        return table

    with blocks(slow, count=40) as taken:
        next(taken)
    assert takers() == []
    time.sleep(1)
    done = len(list(tmp_path.iterdir()))
    time.sleep(1.5)
    assert len(list(tmp_path.iterdir())) == done < 40


def test_a_ray_that_stands_still_is_told_though_no_block_comes() -> None:
    class Silent:
        def check(self) -> None:
            raise JobError("it stands still")

    def slow(table: Any) -> Any:
        time.sleep(60)
        return table

    with blocks(slow, watch=Silent()) as taken, pytest.raises(JobError, match="it stands still"):
        next(taken)

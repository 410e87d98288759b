"""How what fails in a task is told."""

from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayError

from pipeline.cluster.session import as_job_error, connect, look_at_cluster
from pipeline.errors import ConfigError, DamagedFile, JobError
from tests.ray_head import free_port


def test_a_cluster_where_nothing_listens_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(JobError, match=r"could not reach its cluster \(RAY_ADDRESS\): .*refused"):
        look_at_cluster()


def raised_by(failing: Callable[[object], Any], reading: bool) -> JobError:
    """What the driver makes of an error in a task that reads, or in one that maps."""
    block = BlockMetadata(num_rows=1, size_bytes=8, exec_stats=None, input_files=None)

    class Source(Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> int:
            return 8

        def get_read_tasks(self, *_: object, **__: object) -> list[ReadTask]:
            return [ReadTask(lambda: map(failing, [None]), block)]

    rows = ray.data.read_datasource(Source()) if reading else ray.data.range(1).map_batches(failing)
    with pytest.raises(RayError) as raised:
        rows.materialize()
    return as_job_error(raised.value)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("reading", [True, False])
def test_what_a_task_raises_keeps_its_kind_and_its_words(reading: bool) -> None:
    def changed(_: object) -> None:
        try:
            raise KeyError("canary")
        except KeyError as error:
            raise ConfigError("a\n  b\nOSError: c.jsonl: changed") from error

    def cut(_: object) -> None:
        raise DamagedFile("_job/attempts/feed-0000.json", "it is empty", "remove it")

    def disk(_: object) -> None:
        raise PermissionError(13, "denied", "a\nb")

    def bug(_: object) -> None:
        raise ValueError("canary\nOSError: canary")

    connect()
    told = raised_by(changed, reading)
    assert isinstance(told, ConfigError)
    assert str(told) == "a\n  b\nOSError: c.jsonl: changed"
    told = raised_by(cut, reading)
    assert isinstance(told, ConfigError)
    assert str(told) == str(DamagedFile("_job/attempts/feed-0000.json", "it is empty", "remove it"))
    assert r"(PermissionError: [Errno 13] denied: 'a\nb')" in str(raised_by(disk, reading))
    assert "(ValueError, see Ray's logs)" in str(raised_by(bug, reading))

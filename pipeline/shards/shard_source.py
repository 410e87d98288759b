"""A plan as a Ray Data source: its blocks only name shards, and the next stage reads them.

Ray Data stores every read task before it runs the first, which costs some 0.4 ms and 4 KB for each. One for
each of 100,000 shards would take most of a minute, so a read task names many shards.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipeline.shards.carried_shard import name_shard
from pipeline.shards.shard import Shard

_NAMES_A_TASK = 100
_Work = Callable[[], Iterator[pa.Table]]


class ShardNames(Datasource):  # type: ignore[misc]
    """One block a shard, for `ray.data.read_datasource(source, override_num_blocks=source.ray_tasks)`."""

    def __init__(
        self, shards: Sequence[Shard], watched: Callable[[_Work], _Work] = lambda work: work
    ) -> None:
        """`watched` wraps the work of each Ray task."""
        super().__init__()
        self._shards = shards
        self._watched = watched

    @property
    def ray_tasks(self) -> int:
        return -(-len(self._shards) // _NAMES_A_TASK)

    def estimate_inmemory_data_size(self) -> None:
        """None: the size is unknown, and nothing depends on it."""

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """As many as `ray_tasks` says, whatever `parallelism` is."""
        starts = range(0, len(self._shards), _NAMES_A_TASK)
        some = (list(self._shards[start : start + _NAMES_A_TASK]) for start in starts)
        return [
            ReadTask(
                self._watched(partial(_name, shards)),
                BlockMetadata(num_rows=len(shards), size_bytes=None, exec_stats=None, input_files=None),
                per_task_row_limit=per_task_row_limit,
            )
            for shards in some
        ]


def _name(shards: Sequence[Shard]) -> Iterator[pa.Table]:
    return map(name_shard, shards)

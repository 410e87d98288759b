"""A plan as a Ray Data source: a block a shard, and some shards a read task where there are very many."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipeline.errors import quoting_no_row
from pipeline.reading.shard import Shard
from pipeline.reading.shard_block import ShardBlock
from pipeline.reading.shard_rows import read_shard

_MOST_TASKS = 1000  # Ray Data stores each before it runs the first: some 0.4 ms and 4 KB


class ShardDatasource(Datasource):  # type: ignore[misc]
    """Use with `ray.data.read_datasource(source, override_num_blocks=source.tasks)`.

    A task of several shards may have to wait between two for those that use them up, and holds its resources
    meanwhile: ask for few.
    """

    def __init__(self, shards: Sequence[Shard], columns: Sequence[str]) -> None:
        super().__init__()
        self._shards = shards
        self._columns = list(columns)
        self._shards_a_task = max(1, -(-len(shards) // _MOST_TASKS))

    @property
    def tasks(self) -> int:
        return -(-len(self._shards) // self._shards_a_task)

    def estimate_inmemory_data_size(self) -> int:
        return sum(map(_size, self._shards))

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """`tasks` of them, whatever `parallelism` is asked for."""
        each = self._shards_a_task
        parts = (list(self._shards[first : first + each]) for first in range(0, len(self._shards), each))
        return [self._task(part, per_task_row_limit) for part in parts]

    def _task(self, shards: list[Shard], row_limit: int | None) -> ReadTask:
        metadata = BlockMetadata(
            num_rows=len(shards),
            size_bytes=sum(map(_size, shards)),
            exec_stats=None,
            input_files=tuple({shard.file for shard in shards}),
        )
        return ReadTask(partial(_read, shards, self._columns), metadata, per_task_row_limit=row_limit)


def _read(shards: Iterable[Shard], columns: list[str]) -> Iterator[pa.Table]:
    for shard in shards:
        with quoting_no_row(shard.id):
            block = ShardBlock(shard, read_shard(shard, columns)).packed()
        yield block


def _size(shard: Shard) -> int:
    """Bytes in memory, roughly: the lines themselves, or a guess for Parquet."""
    return shard.end - shard.start if shard.format == "jsonl" else 512 * shard.rows

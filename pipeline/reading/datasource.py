"""A plan as a Ray Data source: one read task a shard, one block a task.

A block carries its own shard, so that no later stage needs the plan.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipeline.errors import quoting_no_row
from pipeline.reading.shard import Shard
from pipeline.reading.shard_rows import read_shard

SHARD_COLUMN = "_shard"


class ShardDatasource(Datasource):  # type: ignore[misc]
    """Use with `ray.data.read_datasource(source, override_num_blocks=len(shards))`."""

    def __init__(self, shards: Sequence[Shard], columns: Sequence[str]) -> None:
        super().__init__()
        self._shards = list(shards)
        self._columns = list(columns)

    def estimate_inmemory_data_size(self) -> int:
        return sum(map(_size, self._shards))

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """One task a shard, whatever `parallelism` is asked for."""
        return [
            ReadTask(
                partial(_read, shard, self._columns),
                BlockMetadata(
                    num_rows=shard.rows, size_bytes=_size(shard), exec_stats=None, input_files=(shard.file,)
                ),
                per_task_row_limit=per_task_row_limit,
            )
            for shard in self._shards
        ]


def _read(shard: Shard, columns: list[str]) -> Iterator[pa.Table]:
    yield read_carried(shard, columns)


def read_carried(shard: Shard, columns: Sequence[str]) -> pa.Table:
    """`read_shard`, with the shard in a column of its own; raises no exception that may quote a row."""
    with quoting_no_row(shard.id):
        return carry_shard(shard, read_shard(shard, columns))


def carry_shard(shard: Shard, table: pa.Table) -> pa.Table:
    """The table with its shard in a column of its own."""
    carried = pa.DictionaryArray.from_arrays(
        pa.array([0] * len(table), pa.int32()), [json.dumps(asdict(shard))]
    )
    return table.append_column(SHARD_COLUMN, carried)


def carried_shard(table: pa.Table) -> Shard:
    """The shard whose rows these are: all of them, and no others."""
    distinct = table[SHARD_COLUMN].unique().to_pylist()
    shard = Shard(**json.loads(distinct[0]))
    if len(distinct) > 1 or len(table) != shard.rows:
        raise RuntimeError(
            f"shard {shard.id} has {shard.rows} rows, but a block of {len(table)} rows of {len(distinct)} "
            "shards came: Ray Data split or merged a block"
        )
    return shard


def _size(shard: Shard) -> int:
    """Bytes in memory, roughly: the lines themselves, or a guess for Parquet."""
    return shard.end - shard.start if shard.format == "jsonl" else 512 * shard.rows

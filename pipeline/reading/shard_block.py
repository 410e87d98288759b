"""A shard on its way through Ray Data: a row of its own, for Ray Data to hand on and never to look into.

Ray Data splits, merges and mixes rows as it sees fit, but a row it can't split. So what a shard carries is
packed into one, and a task that gives many shards hands on each as it comes.
"""

from dataclasses import asdict, dataclass

import numpy as np
import orjson
import pyarrow as pa

from pipeline.reading.shard import Shard

BLOCK = pa.schema(
    [
        ("shard", pa.binary()),  # JSON
        ("rows", pa.large_binary()),  # a table in Arrow's streaming format
        ("router_table", pa.large_binary()),
    ]
)


@dataclass(frozen=True)
class ShardBlock:
    """RuntimeError if the rows are not as many as the shard has."""

    shard: Shard
    rows: pa.Table
    router_table: bytes | None = None  # Parquet, of a shard that a replica has run

    def __post_init__(self) -> None:
        if len(self.rows) != self.shard.rows:
            raise RuntimeError(f"shard {self.shard.id} has {self.shard.rows} rows, but {len(self.rows)} came")

    def packed(self) -> pa.Table:
        """One row of `BLOCK`."""
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, self.rows.schema) as writer:
            writer.write_table(self.rows)
        columns = [
            pa.array([orjson.dumps(asdict(self.shard))], pa.binary()),
            _one_binary(stream.getvalue()),
            pa.array([self.router_table], pa.large_binary()),
        ]
        return pa.table(columns, schema=BLOCK)

    @staticmethod
    def unpacked(block: pa.Table) -> "ShardBlock":
        """The rows are not copied. RuntimeError if this is not one row."""
        if len(block) != 1:
            raise RuntimeError(f"Ray Data merged shards: {len(block)} came as one block")
        shard, rows, router_table = (block[name][0] for name in BLOCK.names)
        with pa.ipc.open_stream(rows.as_buffer()) as stream:
            table = stream.read_all()
        return ShardBlock(Shard(**orjson.loads(shard.as_py())), table, router_table.as_py())


def _one_binary(value: pa.Buffer) -> pa.Array:
    """An array that holds `value` without a copy of it."""
    offsets = pa.py_buffer(np.array([0, value.size], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, value])

"""A shard as Ray Data carries it from stage to stage: as one row.

Ray Data may split and merge blocks, but not rows. At first the row is the shard alone, which any process can
read and prepare; then it has a table of the shard's rows with it.
"""

from dataclasses import asdict, dataclass

import numpy as np
import orjson
import pyarrow as pa

from pipeline.shards.shard import Shard

CARRIED = pa.schema(
    [
        ("shard", pa.binary()),  # JSON
        ("rows", pa.large_binary()),  # a table in Arrow's streaming format
        ("router_table", pa.large_binary()),
    ]
)


@dataclass(frozen=True)
class CarriedShard:
    """All rows of a shard: prepared, or finished. RuntimeError if they are not as many as it has."""

    shard: Shard
    rows: pa.Table
    router_table: bytes | None = None  # Parquet, once a replica has run it

    def __post_init__(self) -> None:
        if len(self.rows) != self.shard.rows:
            raise RuntimeError(f"shard {self.shard.id} has {self.shard.rows} rows, but {len(self.rows)} came")

    def packed(self) -> pa.Table:
        """One row of `CARRIED`."""
        columns = [
            pa.array([_json(self.shard)], pa.binary()),
            _one_binary(_stream(self.rows)),
            pa.array([self.router_table], pa.large_binary()),
        ]
        return pa.table(columns, schema=CARRIED)

    @staticmethod
    def unpacked(block: pa.Table) -> "CarriedShard":
        """The rows are not copied. RuntimeError if this is not one row."""
        shard = named_shard(block)
        with pa.ipc.open_stream(block["rows"][0].as_buffer()) as stream:
            rows = stream.read_all()
        return CarriedShard(shard, rows, block["router_table"][0].as_py())


def name_shard(shard: Shard) -> pa.Table:
    """The shard without its rows, as a block of one row."""
    return pa.table({"shard": pa.array([_json(shard)], pa.binary())})


def named_shard(block: pa.Table) -> Shard:
    """The shard of `name_shard`'s block, or of a packed one; RuntimeError if there is not one."""
    if len(block) != 1:
        raise RuntimeError(f"a block of {len(block)} shards came: Ray Data must hand on one at a time")
    return Shard(**orjson.loads(block["shard"][0].as_py()))


def _json(shard: Shard) -> bytes:
    return orjson.dumps(asdict(shard))


def _stream(table: pa.Table) -> pa.Buffer:
    """In memory of its very size: a buffer that grows may be twice as large."""
    measured = pa.MockOutputStream()
    _write(table, measured)
    buffer = pa.allocate_buffer(measured.size())
    with pa.FixedSizeBufferWriter(buffer) as sink:
        _write(table, sink)
    return buffer


def _write(table: pa.Table, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def _one_binary(value: pa.Buffer) -> pa.Array:
    """An array that holds `value` without a copy of it."""
    offsets = pa.py_buffer(np.array([0, value.size], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, value])

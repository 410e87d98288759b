"""A shard as Ray Data carries it from stage to stage: as one row.

Ray Data may split and merge blocks, but never a row. The first stage's row only names the shard, which any
process can then read and prepare; from then on the row also holds a table of the shard's rows.
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
        ("path", pa.string()),
    ]
)


@dataclass(frozen=True)
class CarriedShard:
    """All rows of a shard, prepared or finished. RuntimeError if their number is not the shard's."""

    shard: Shard
    rows: pa.Table
    router_table: bytes | None = None  # Parquet; None until a replica has run the shard
    path: str | None = None  # `Engine.path` of that replica, as JSON

    def __post_init__(self) -> None:
        if len(self.rows) != self.shard.rows:
            raise RuntimeError(f"shard {self.shard.id} has {self.shard.rows} rows, but {len(self.rows)} came")

    def packed(self) -> pa.Table:
        """A table of one row with the columns of `CARRIED`."""
        columns = [
            pa.array([_json(self.shard)], pa.binary()),
            _one_binary(_stream(self.rows)),
            pa.array([self.router_table], pa.large_binary()),
            pa.array([self.path], pa.string()),
        ]
        return pa.table(columns, schema=CARRIED)

    @staticmethod
    def unpacked(block: pa.Table) -> "CarriedShard":
        """Its rows share memory with `block`. RuntimeError if `block` is not one row."""
        shard = named_shard(block)
        with pa.ipc.open_stream(block["rows"][0].as_buffer()) as stream:
            rows = stream.read_all()
        further = (block[name][0].as_py() for name in ("router_table", "path"))
        return CarriedShard(shard, rows, *further)


def name_shard(shard: Shard) -> pa.Table:
    """The shard without its rows, as a block of one row."""
    return pa.table({"shard": pa.array([_json(shard)], pa.binary())})


def named_shard(block: pa.Table) -> Shard:
    """The shard in a block of `name_shard` or `packed`; RuntimeError if the block is not one row."""
    if len(block) != 1:
        raise RuntimeError(f"a block of {len(block)} shards came: Ray Data must hand on one at a time")
    return Shard(**orjson.loads(block["shard"][0].as_py()))


def _json(shard: Shard) -> bytes:
    return orjson.dumps(asdict(shard))


def _stream(table: pa.Table) -> pa.Buffer:
    """The table in Arrow's streaming format, in a buffer of exact size: a growing one may take twice that."""
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

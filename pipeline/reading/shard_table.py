"""A shard, and many of them as columns: a plan may hold hundreds of thousands."""

import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, overload

import pyarrow as pa

from pipeline.reading.files import Format

_SHARDS = 1024  # that exist as such at a time, where all are made or gone through


@dataclass(frozen=True, slots=True)
class Shard:
    ordinal: int  # position in the plan, 0-based
    id: str  # sha256(digest of the job's spec | name | etag | range)[:16]
    file: str  # path or URL to open
    name: str  # the file as users see it: relative to the common folder of the input
    etag: str  # the store's, or size and modification time
    format: Format
    first_row: int  # number of its first row in the file, 0-based
    rows: int  # exact
    start: int  # jsonl: byte offset in the decompressed stream; parquet: first row group
    end: int  # exclusive
    skip: int = 0  # parquet: rows of the first row group that belong to earlier shards
    broken: bool = False  # jsonl: its last row stands for all that could not be decompressed
    kept: str = ""  # types of the job's kept columns, the same in all shards, see kept.py


_TYPES: dict[Any, pa.DataType] = {int: pa.int64(), str: pa.string(), bool: pa.bool_(), Format: pa.string()}
STORED = pa.schema([(field.name, _TYPES[field.type]) for field in dataclasses.fields(Shard)])
REPEATED = ("file", "name", "etag", "format", "kept")  # these many shards have in common
HELD = pa.schema(
    [
        pa.field(field.name, pa.dictionary(pa.int32(), field.type) if field.name in REPEATED else field.type)
        for field in STORED
    ]
)


class ShardTable(Sequence[Shard]):
    """Shards in some 100 bytes each; one that is asked for is made anew."""

    def __init__(self, columns: pa.Table) -> None:
        """`columns` has the fields of `Shard` in their order, `REPEATED` ones as dictionaries."""
        self._columns = columns

    @staticmethod
    def of(shards: Iterable[Shard]) -> "ShardTable":
        if isinstance(shards, ShardTable):
            return shards
        left = iter(shards)
        batches = []
        while some := list(islice(left, _SHARDS)):
            columns = [pa.array([getattr(shard, field.name) for shard in some], field.type) for field in HELD]
            batches.append(pa.RecordBatch.from_arrays(columns, schema=HELD))
        return ShardTable(pa.Table.from_batches(batches, schema=HELD))

    @staticmethod
    def join(tables: Iterable["ShardTable"]) -> "ShardTable":
        return ShardTable(pa.concat_tables([HELD.empty_table(), *(table._columns for table in tables)]))

    def stored(self) -> pa.Table:
        """As a plan file holds them: the columns of `STORED`."""
        return self._columns.cast(STORED)

    def opened_at(self, files: Mapping[str, str]) -> "ShardTable":
        """The same shards with other paths to open: `files` has today's path of each that was planned."""
        place, field = HELD.get_field_index("file"), HELD.field("file")
        chunks = []
        for chunk in self._columns["file"].chunks:
            today = pa.array([files[file] for file in chunk.dictionary.to_pylist()], pa.string())
            chunks.append(pa.DictionaryArray.from_arrays(chunk.indices, today))
        return ShardTable(self._columns.set_column(place, field, pa.chunked_array(chunks, field.type)))

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[Shard]:
        for batch in self._columns.to_batches(max_chunksize=_SHARDS):
            columns = [column.to_pylist() for column in batch.columns]
            yield from map(Shard, *columns)

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> "ShardTable": ...
    def __getitem__(self, index: int | slice) -> "Shard | ShardTable":
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            return next(iter(ShardTable(self._columns.slice(chosen, 1))))
        if chosen.step == 1:
            return ShardTable(self._columns.slice(chosen.start, len(chosen)))
        return ShardTable(self._columns.take(pa.array(chosen, pa.int64())))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

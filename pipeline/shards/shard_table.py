"""Shards as columns of a table, since a plan may hold hundreds of thousands."""

import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, overload

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.reading.formats import Format
from pipeline.shards.shard import Shard

_AT_A_TIME = 1024  # Shard objects in memory while a table is made or iterated
_TYPES: dict[Any, pa.DataType] = {int: pa.int64(), str: pa.string(), bool: pa.bool_(), Format: pa.string()}
STORED = pa.schema([(field.name, _TYPES[field.type]) for field in dataclasses.fields(Shard)])
REPEATED = ("file", "name", "etag", "format", "kept")  # fields that many shards have in common
IN_MEMORY = pa.schema(
    [
        pa.field(field.name, pa.dictionary(pa.int32(), field.type) if field.name in REPEATED else field.type)
        for field in STORED
    ]
)
_FIELDS = operator.attrgetter(*IN_MEMORY.names)


class ShardTable(Sequence[Shard]):
    """A sequence of shards that takes some 90 bytes each; a Shard object is made when it is accessed."""

    def __init__(self, columns: pa.Table) -> None:
        """`columns` are those of `IN_MEMORY`."""
        self._columns = columns

    @staticmethod
    def of(shards: Iterable[Shard]) -> "ShardTable":
        if isinstance(shards, ShardTable):
            return shards
        left = iter(shards)
        batches = []
        while some := list(islice(left, _AT_A_TIME)):
            columns = zip(*map(_FIELDS, some), strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, IN_MEMORY, strict=True)]
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=IN_MEMORY))
        return ShardTable(pa.Table.from_batches(batches, schema=IN_MEMORY))

    @staticmethod
    def join(tables: Iterable["ShardTable"]) -> "ShardTable":
        return ShardTable(pa.concat_tables([IN_MEMORY.empty_table(), *(table._columns for table in tables)]))

    def as_stored(self) -> pa.Table:
        """The table that a plan file holds, with the columns of `STORED`."""
        return self._columns.cast(STORED)

    def opened_at(self, files: Mapping[str, str]) -> "ShardTable":
        """The same shards with other paths to open: `files` maps each file's name to its path."""
        chunks = []
        for names in self._columns["name"].chunks:
            paths = pa.array([files[name] for name in names.dictionary.to_pylist()], pa.string())
            chunks.append(pa.DictionaryArray.from_arrays(names.indices, paths))
        index, field = IN_MEMORY.get_field_index("file"), IN_MEMORY.field("file")
        return ShardTable(self._columns.set_column(index, field, pa.chunked_array(chunks, field.type)))

    @property
    def rows(self) -> int:
        """The number of rows of all shards together."""
        total: int = pc.sum(self._columns["rows"], min_count=0).as_py()
        return total

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[Shard]:
        for batch in self._columns.to_batches(max_chunksize=_AT_A_TIME):
            yield from map(Shard, *map(_values, batch.columns))

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> "ShardTable": ...
    def __getitem__(self, index: int | slice) -> "Shard | ShardTable":
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            [row] = self._columns.slice(chosen, 1).to_pylist()
            return Shard(**row)
        if chosen.step == 1:
            return ShardTable(self._columns.slice(chosen.start, len(chosen)))
        return ShardTable(self._columns.take(pa.array(chosen, pa.int64())))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))


def _values(column: pa.Array) -> list[Any]:
    """A column's values; of a dictionary column, equal values are one object."""
    if not isinstance(column, pa.DictionaryArray):
        plain: list[Any] = column.to_pylist()
        return plain
    values = column.dictionary.to_pylist()
    return [values[index] for index in column.indices.to_pylist()]

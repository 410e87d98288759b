"""A shard's rows from its file: lines of JSONL, records of Parquet, and an error code for unreadable rows.

`read_shard` reads the rows unparsed; `records` turns each into a record or a RowError.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.reading.compressed import BrokenStream
from pipeline.reading.etags import file_etag
from pipeline.reading.lines import parse_line
from pipeline.reading.parquet import Undecodable, read_slice
from pipeline.reading.partitions import partition_columns
from pipeline.reading.python_values import reader
from pipeline.reading.streams import LINE_CAP, read_range, split_lines
from pipeline.shards.shard import Shard
from pipeline.storage.credentials import named

BOM = b"\xef\xbb\xbf"


def read_shard(shard: Shard, columns: Sequence[str] | None) -> pa.Table:
    """All rows of a shard, in the order of the file: exactly `shard.rows` of them.

    Columns: `row` int64 (its number in the file), `unreadable` string (a RowErrorCode, or null), and either
    `line` large_binary (JSONL: the bytes without newline, carriage return and leading BOM; null where
    unreadable) or `record` struct (Parquet: those of `columns` that the file has, all if that is None; null
    where unreadable).
    ConfigError if the file changed since it was planned.
    """
    _require_unchanged(shard)
    values, codes = (_lines if shard.format == "jsonl" else _records)(shard, columns)
    _require_unchanged(shard)  # it may have changed while it was read
    if len(values) != shard.rows:
        raise ConfigError(f"{named(shard.file)}: {len(values)} rows where {shard.rows} were planned")
    table = pa.table({
        "row": pa.array(range(shard.first_row, shard.first_row + shard.rows), pa.int64()),
        "unreadable": pa.array(codes, pa.string()),
    })  # fmt: skip
    return table.append_column("line" if shard.format == "jsonl" else "record", values)


def _require_unchanged(shard: Shard) -> None:
    if file_etag(shard.file) != shard.etag:
        raise ConfigError(f"{named(shard.file)}: changed since it was planned; put the old file back")


def records(
    table: pa.Table, columns: Container[str] | None, file: str = ""
) -> Iterator[dict[str, Any] | RowError]:
    """Each row of `read_shard`'s table as a record, or as the error that makes it unusable.

    A record of Parquet has those of `columns`, or all, that the file has. One of JSONL also has the columns
    of the folders in the name `file`.
    """
    lines = "line" in table.column_names
    of_folders = partition_columns(file)
    values = table["line"] if lines else _without_others(table["record"].combine_chunks(), columns)
    read = reader(values.type)
    for code, value in zip(table["unreadable"], values, strict=True):
        try:
            if code.is_valid:
                yield _unreadable(RowErrorCode(code.as_py()))
            elif lines:
                record = parse_line(value.as_py())
                yield of_folders | record if of_folders else record
            else:
                yield read(value)
        except RowError as error:
            yield error
        except (ValueError, OverflowError):
            yield RowError(RowErrorCode.WRONG_TYPE, "a value has no form in Python, as times far away have")


def _without_others(record: pa.StructArray, columns: Container[str] | None) -> pa.StructArray:
    if columns is None:
        return record
    fields = [field for field in record.type if field.name in columns]
    arrays = [pc.struct_field(record, field.name) for field in fields]
    return pa.StructArray.from_arrays(arrays, fields=fields) if fields else pa.array([{}] * len(record))


def _unreadable(code: RowErrorCode) -> RowError:
    if code == RowErrorCode.LINE_TOO_LONG:
        return RowError(code, f"the row is longer than {LINE_CAP} bytes")
    if code == RowErrorCode.INVALID_UTF8:
        return RowError(code, "a text in this row is not valid UTF-8")
    return RowError(code, "the file is damaged here, or decodes to more than a shard may hold")


def _lines(shard: Shard, columns: Sequence[str] | None) -> tuple[pa.Array, list[str | None]]:
    whole = shard.rows - shard.broken
    lines: list[bytes | None] = []
    try:
        for line in split_lines(read_range(shard.file, shard.etag, shard.start, shard.end)):
            lines.append(None if line is None else line.removesuffix(b"\r"))
    except BrokenStream:
        if not shard.broken:
            raise
    codes = [RowErrorCode.LINE_TOO_LONG.value if line is None else None for line in lines]
    if shard.first_row == 0 and lines and lines[0] is not None:
        lines[0] = lines[0].removeprefix(BOM)
    if shard.broken:
        lines[whole:] = [None]
        codes[whole:] = [RowErrorCode.UNREADABLE.value]
    return pa.array(lines, pa.large_binary()), codes


def _records(shard: Shard, columns: Sequence[str] | None) -> tuple[pa.Array, list[str | None]]:
    groups = range(shard.start, shard.end)
    try:
        batches = list(read_slice(shard.file, shard.etag, groups, shard.skip, shard.rows, columns))
    except Undecodable:
        return pa.nulls(shard.rows, pa.struct([])), [RowErrorCode.UNREADABLE.value] * shard.rows
    codes = [code for batch in batches for code in _validity(batch)]
    table = _with_partitions(pa.Table.from_batches(batches).combine_chunks(), shard.name, columns)
    arrays = [column.combine_chunks() for column in table.columns]
    mask = pa.array([code is not None for code in codes], pa.bool_())
    return pa.StructArray.from_arrays(arrays, fields=list(table.schema), mask=mask), codes


def _with_partitions(table: pa.Table, name: str, columns: Sequence[str] | None) -> pa.Table:
    for column, value in partition_columns(name).items():
        if column not in table.column_names and (columns is None or column in columns):
            table = table.append_column(column, pa.array([value] * len(table), pa.string()))
    return table


def _validity(batch: pa.RecordBatch) -> list[str | None]:
    """An error code for each row with an invalid value, such as a text that is not UTF-8; else None."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        if len(batch) > 1:
            return [code for row in range(len(batch)) for code in _validity(batch.slice(row, 1))]
        return [(RowErrorCode.INVALID_UTF8 if "UTF8" in str(error) else RowErrorCode.UNREADABLE).value]
    return [None] * len(batch)

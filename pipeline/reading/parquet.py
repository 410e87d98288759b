"""Parquet files as an input: footers for the plan, slices of row groups for the shards."""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, shown
from pipeline.reading.files import InputFile
from pipeline.reading.open_stream import read_on
from pipeline.reading.partitions import with_partitions
from pipeline.storage.credentials import redact
from pipeline.storage.retries import open_with_retries
from pipeline.storage.urls import WatchedFile, filesystem

BATCH_ROWS = 64  # decoded at a time: a few encoded bytes can stand for gigabytes of repeated text
DECODED_CAP = 512 << 20  # bytes a shard may decode to
MEAN_CAP = 1 << 20  # values of one column in a row, on average over a row group
GROUP_CAP = 1 << 26  # rows of a row group: a footer can claim any number


class Undecodable(Exception):
    """The file was read, but its data is damaged, or larger than a shard may be."""


def read_footer(file: InputFile) -> pq.FileMetaData:
    """The footer of a Parquet file; ConfigError names the file if it has none."""
    try:
        with _opened(file.file) as parquet:
            footer = parquet.metadata
    except Undecodable as error:
        raise ConfigError(f"input.path: {shown(file.name)}: not a Parquet file, or a damaged one") from error
    rows = [footer.row_group(row_group).num_rows for row_group in range(footer.num_row_groups)]
    if rows and not 0 <= min(rows) <= max(rows) <= GROUP_CAP:
        raise ConfigError(
            f"input.path: {shown(file.name)}: its row groups have {min(rows)} to {max(rows)} rows by its "
            f"footer; at most {GROUP_CAP} are read: write it again with smaller ones"
        )
    return footer


def read_schema(file: InputFile) -> pa.Schema:
    """The columns of a Parquet file and its folders, see `partitions`; ConfigError as in `read_footer`."""
    footer = read_footer(file)
    try:
        schema = footer.schema.to_arrow_schema()
        str(schema)  # raises for names that are not UTF-8
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"input.path: {shown(file.name)}: its schema is none that can be read") from error
    return with_partitions(schema, file.name)


def read_slice(
    file: str, etag: str, row_groups: Sequence[int], skip: int, rows: int, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """`rows` rows of these row groups, after the first `skip`, with those of `columns`, or all, of the file.

    They come in small batches. Undecodable if the data is damaged, or decodes to more than DECODED_CAP bytes.
    """
    key = file, etag, tuple(row_groups), None if columns is None else tuple(columns)
    decoded = 0
    for batch in read_on(key, partial(_decode, file, row_groups, columns), skip, skip + rows):
        decoded += batch.nbytes
        if decoded > DECODED_CAP:
            raise Undecodable(f"decodes to more than {DECODED_CAP >> 20} MiB in one shard")
        rows -= len(batch)
        yield batch
    if rows:
        raise Undecodable(f"{rows} rows fewer than its footer says")


def _decode(file: str, row_groups: Sequence[int], columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    with _opened(file) as parquet:
        there = dict.fromkeys(parquet.schema_arrow.names)
        present = {name: None for name in (there if columns is None else columns) if name in there}
        for row_group in row_groups:
            _check_lengths(parquet.metadata.row_group(row_group), present)
        for batch in parquet.iter_batches(BATCH_ROWS, row_groups=list(row_groups), columns=list(present)):
            yield _decoded(
                batch.select(list(present))
            )  # asked for "a", pyarrow also gives a column named "a.b"


def _decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the values in place of dictionaries, whose types may differ between files."""
    for number, field in enumerate(batch.schema):
        if pa.types.is_dictionary(field.type):
            values = batch.column(number).dictionary_decode()
            batch = batch.set_column(number, field.name, values)
    return batch


def _check_lengths(row_group: pq.RowGroupMetaData, columns: Container[str]) -> None:
    """Undecodable if rows are too long: a few encoded bytes can stand for a list of billions of values."""
    for number in range(row_group.num_columns):
        leaf = row_group.column(number)
        name = leaf.path_in_schema.partition(".")[0]
        if name in columns and leaf.num_values > MEAN_CAP * row_group.num_rows:
            raise Undecodable(f"its rows have more than {MEAN_CAP} values each")


@contextmanager
def _opened(file: str) -> Iterator[pq.ParquetFile]:
    """Raises Undecodable for damaged data, and the storage's own exception if a read failed."""
    fs, path = filesystem(file)
    with open_with_retries(fs, path, redact(file)) as stored:
        source = WatchedFile(stored)
        try:
            yield pq.ParquetFile(pa.PythonFile(source, mode="r"), pre_buffer=False)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if source.error is not None:
                raise source.error from error
            raise Undecodable(type(error).__name__) from error

"""Parquet files as an input: footers for the plan, slices of row groups for the shards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.reading.files import InputFile
from pipeline.storage.urls import WatchedFile, filesystem

BATCH_ROWS = 64  # decoded at a time: a page of a few bytes can stand for gigabytes of repeated text
DECODED_CAP = 512 << 20  # bytes a shard may decode to


class Undecodable(Exception):
    """The file is there, but what is in it is not what its footer says."""


def read_footer(file: InputFile) -> pq.FileMetaData:
    """The footer of a Parquet file; ConfigError names the file if it has none."""
    try:
        with _opened(file.file) as parquet:
            return parquet.metadata
    except Undecodable as error:
        raise ConfigError(f"input.path: {file.name}: not a Parquet file, or a damaged one") from error


def read_slice(
    file: str, groups: Sequence[int], skip: int, rows: int, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """`rows` rows of some row groups, after the first `skip`, with those of `columns` that the file has.

    Small batches that decode to `DECODED_CAP` bytes at most; Undecodable if the data is damaged or larger.
    """
    with _opened(file) as parquet:
        present = [name for name in columns if name in parquet.schema_arrow.names]
        decoded = 0
        for batch in parquet.iter_batches(BATCH_ROWS, row_groups=list(groups), columns=present):
            if skip >= len(batch):
                skip -= len(batch)
                continue
            batch = batch.slice(skip, rows)
            skip, rows = 0, rows - len(batch)
            decoded += batch.nbytes
            if decoded > DECODED_CAP:
                raise Undecodable(f"decodes to more than {DECODED_CAP >> 20} MiB in one shard")
            yield batch
            if rows == 0:
                return
    raise Undecodable(f"{rows} rows fewer than its footer says")


@contextmanager
def _opened(file: str) -> Iterator[pq.ParquetFile]:
    """Tells damaged data (Undecodable) from a storage that failed (its own exception)."""
    fs, path = filesystem(file)
    with fs.open(path, "rb") as stored:
        source = WatchedFile(stored)
        try:
            yield pq.ParquetFile(pa.PythonFile(source, mode="r"), pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            if source.error is not None:
                raise source.error from error
            raise Undecodable(type(error).__name__) from error

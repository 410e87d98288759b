"""Parquet files that tell whether they are whole, by a hash of themselves.

The footer holds the SHA-256 of the file as it would be with zeros in the hash's place. So one flipped bit
anywhere shows, in pages, statistics and footer alike. Pages have Parquet's own checksums too, which other
programs can check as they read.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.urls import WatchedFile

_KEY = b"mixtray.sha256"
_UNSEALED = b"0" * 64
_BEFORE_HASH = _KEY + b"\x18\x40"  # in the footer: a binary of 64 bytes follows


def sealed_bytes(
    table: pa.Table, metadata: Mapping[bytes, bytes] = {}, row_group_size: int | None = None
) -> bytes:
    """The file of a table; `metadata` takes the place of the table's own."""
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata(None)
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table, row_group_size)
        writer.add_key_value_metadata({**metadata, _KEY: _UNSEALED})
    return sealed(bytearray(memoryview(sink.getvalue())))


def sealed(data: bytearray) -> bytes:
    """A file that has a place for the hash, with its hash there."""
    place = _place_of_hash(data)
    assert place is not None
    there = slice(place, place + len(_UNSEALED))
    data[there] = _UNSEALED
    data[there] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def whole_sha256(data: bytes) -> str:
    """The SHA-256 of a file of `sealed_bytes`; ValueError, with a sentence, if the file is not whole."""
    if not data:
        raise ValueError("it is empty")
    place = _place_of_hash(data)
    if place is None:
        raise ValueError("it was cut, or it is no file of mixtray")
    view, end = memoryview(data), place + len(_UNSEALED)
    of_file = hashlib.sha256(view[:place])
    sealed = of_file.copy()
    for rest in (_UNSEALED, view[end:]):
        sealed.update(rest)
    if sealed.hexdigest().encode() != view[place:end]:
        raise ValueError("its bytes are not those that were written")
    of_file.update(view[place:])
    return of_file.hexdigest()


def read_metadata(stored: BinaryIO) -> dict[bytes, bytes]:
    """The metadata in the footer of a Parquet file; ValueError, with a sentence, if it is no sound one."""
    with _opened(stored) as file:
        found: dict[bytes, bytes] | None = file.metadata.metadata
    return found or {}


def read_table(stored: BinaryIO, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of a Parquet file, each page checked; ValueError, with a sentence, if it is no sound one."""
    with _opened(stored) as file:
        return file.read(columns=columns, use_threads=False)


@contextmanager
def _opened(stored: BinaryIO) -> Iterator[pq.ParquetFile]:
    """An error of the storage, which Arrow would report as bad data, is raised as it is."""
    source = WatchedFile(stored)
    try:
        # without pre_buffer, no thread of Arrow's goes on to read when a read has failed
        yield pq.ParquetFile(
            pa.PythonFile(source, mode="r"), pre_buffer=False, page_checksum_verification=True
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if source.error is not None:
            raise source.error from error
        raise ValueError("it was cut, or it is no sound Parquet file") from None


def _place_of_hash(data: bytes | bytearray) -> int | None:
    """Where the hash begins. What comes from rows or names of columns stands before it in a footer."""
    found = data.rfind(_BEFORE_HASH)
    return found + len(_BEFORE_HASH) if found >= 0 else None

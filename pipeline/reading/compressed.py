"""gzip and zstd, piece by piece: bombs are refused, and data before a damaged part of the stream is used."""

import zlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.reading.files import compression
from pipeline.storage.credentials import redact
from pipeline.storage.retries import open_with_retries
from pipeline.storage.urls import WatchedFile, filesystem

PIECE = 1 << 16  # bytes decompressed at a time; damage can cost up to so many good bytes before it
RATIO_CAP = 500  # decompressed bytes for a stored one, in files of more than RATIO_FREE
RATIO_FREE = 64 << 20


class BrokenStream(Exception):
    """A compressed file is cut short or damaged; what was decompressed before is good."""


def decompress(file: str) -> Iterator[bytes]:
    """The content of a .gz or .zst file in pieces of at most 64 KiB."""
    fs, path = filesystem(file)
    with open_with_retries(fs, path, redact(file)) as stored:
        chunks = _gunzip(stored) if compression(file) == "gzip" else _unzstd(stored)
        total = 0
        for chunk in chunks:
            total += len(chunk)
            if total > RATIO_FREE and total > RATIO_CAP * max(1, stored.tell()):
                raise ConfigError(
                    f"{redact(file)}: grows more than {RATIO_CAP}-fold when decompressed, as a bomb does; "
                    "if it is meant to, decompress it and give the plain file"
                )
            yield chunk


def _gunzip(stored: Any) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    inside = False  # in the middle of a member
    while data := stored.read(4 * PIECE):
        pending = False
        while data or pending:
            if not inside:
                data = data.lstrip(b"\0")  # padding between and behind members is legal
                if not data:
                    break
                decoder, inside = zlib.decompressobj(wbits=31), True
            try:
                piece = decoder.decompress(data, PIECE)
            except zlib.error as error:
                raise BrokenStream(f"not gzip data: {error}") from error
            if piece:
                yield piece
            data, pending = decoder.unconsumed_tail, len(piece) == PIECE
            if decoder.eof:
                data, pending, inside = decoder.unused_data, False, False
    if inside:
        raise BrokenStream("the gzip stream ends in its middle")


def _unzstd(stored: Any) -> Iterator[bytes]:
    source = WatchedFile(stored)
    with pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd") as stream:
        while True:
            try:
                chunk = stream.read(PIECE)
            except OSError as error:
                if source.error is not None:
                    raise source.error from error
                raise BrokenStream(f"not zstd data: {error}") from error
            if not chunk:
                return
            yield chunk

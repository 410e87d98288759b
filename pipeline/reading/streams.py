"""Bytes in, lines out: ranges of files, gzip and zstd, and a splitter that never holds a line over its cap.

Offsets are always those of the decompressed stream.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.reading.files import compression
from pipeline.storage.urls import WatchedFile, filesystem, redact

CHUNK = 8 << 20  # bytes per request for a plain file
PIECE = 1 << 16  # bytes decompressed at a time: what a break in the stream may cost at most
LINE_CAP = 8 << 20  # bytes; a longer line becomes LINE_TOO_LONG
SHARD_BYTES = 32 << 20  # far under Ray's 128 MiB, above which it would split the block of a shard
RATIO_CAP = 500  # of decompressed to stored bytes, once past RATIO_FREE
RATIO_FREE = 64 << 20


class BrokenStream(Exception):
    """A compressed file that ends or turns to nonsense in its middle; what came before it is good."""


def read_range(file: str, start: int, end: int) -> Iterator[bytes]:
    """The bytes [start, end) of a file's decompressed content; BrokenStream where they cannot be had."""
    if compression(file) is None:
        fs, path = filesystem(file)
        for at in range(start, end, CHUNK):
            yield fs.cat_file(path, start=at, end=min(at + CHUNK, end))
        return
    position = 0
    for chunk in decompress(file):
        if position + len(chunk) > start:
            yield chunk[max(0, start - position) : end - position]
        position += len(chunk)
        if position >= end:
            return


def decompress(file: str) -> Iterator[bytes]:
    """The content of a .gz or .zst file in pieces of at most 64 KiB."""
    fs, path = filesystem(file)
    with fs.open(path, "rb") as stored:
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


def split_lines(chunks: Iterator[bytes], cap: int = LINE_CAP) -> Iterator[bytes | None]:
    """Lines without their newline; None for one longer than `cap` bytes, which is never held whole."""
    held: list[bytes] = []
    size = 0  # of the line so far, held or dropped
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        size += len(first)
        if size <= cap:
            held.append(first)
        else:
            held.clear()
        if not others:
            continue
        yield b"".join(held) if size <= cap else None
        for line in others[:-1]:
            yield line if len(line) <= cap else None
        size = len(others[-1])
        held = [others[-1]] if size <= cap else []
    if size:
        yield b"".join(held) if size <= cap else None


def cut_at_lines(
    chunks: Iterator[bytes], shard_rows: int, shard_bytes: int = SHARD_BYTES
) -> Iterator[tuple[int, int, int, bool]]:
    """Byte ranges of whole lines: (start, end, rows, broken).

    A range has at most `shard_rows` rows and `shard_bytes` bytes, unless a single line is longer. The
    last line may lack its newline. Where the stream breaks, `broken` is set on the last range, and its
    rows count one more: the row that stands for everything from the last whole line on.
    """
    start = last = offset = rows = 0  # `last`: end of the last whole line
    broken = False
    try:
        for chunk in chunks:
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + (offset + 1)
            offset += len(chunk)
            while len(ends):
                fit = int(np.searchsorted(ends, start + shard_bytes, side="right"))
                take = min(shard_rows - rows, fit)
                if rows == 0:
                    take = max(take, 1)
                if take:
                    rows, last, ends = rows + take, int(ends[take - 1]), ends[take:]
                if rows == shard_rows or len(ends):
                    yield start, last, rows, False
                    start, rows = last, 0
    except BrokenStream:
        broken, offset = True, last
    if broken or offset > last:
        if rows and (rows == shard_rows or offset - start > shard_bytes):
            yield start, last, rows, False
            start, rows = last, 0
        yield start, offset, rows + 1, broken
    elif rows:
        yield start, last, rows, False

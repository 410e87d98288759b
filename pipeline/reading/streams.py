"""The bytes of a range of a file, and how they are split into lines; no line over the cap is held in memory.

Offsets are those of the decompressed stream.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from pipeline.reading.compressed import BrokenStream, decompress
from pipeline.reading.files import InputFile
from pipeline.reading.formats import compression
from pipeline.reading.open_stream import read_on
from pipeline.storage.credentials import redact
from pipeline.storage.retries import with_retries
from pipeline.storage.urls import filesystem

CHUNK = 8 << 20  # bytes per request for a plain file
LINE_CAP = 8 << 20  # bytes; a longer line becomes LINE_TOO_LONG
_WHITE_SPACE = b" \t\r\n"
SHARD_BYTES = 32 << 20  # of a shard's lines, since Ray's object store holds many shards at once


def read_file(file: InputFile) -> Iterator[bytes]:
    """A file's whole decompressed content; BrokenStream where it is cut short or damaged."""
    return decompress(file.file) if compression(file.file) else _read_plain(file.file, 0, file.size)


def read_range(file: str, etag: str, start: int, end: int) -> Iterator[bytes]:
    """The bytes [start, end) of a file's decompressed content; BrokenStream where it is damaged."""
    if compression(file) is None:
        return _read_plain(file, start, end)
    return read_on((file, etag), partial(decompress, file), start, end)


def _read_plain(file: str, start: int, end: int) -> Iterator[bytes]:
    fs, path = filesystem(file)
    for at in range(start, end, CHUNK):
        chunk = partial(fs.cat_file, path, start=at, end=min(at + CHUNK, end))
        yield with_retries(chunk, redact(file))


def split_lines(chunks: Iterator[bytes], cap: int = LINE_CAP) -> Iterator[bytes | None]:
    """Lines without their newline; None in place of one longer than `cap` bytes."""
    held: list[bytes] = []
    size = 0  # bytes of the current line so far, in `held` or dropped
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


def without_blank_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The stream without the blank lines at its end; those of many megabytes stay."""
    held: list[bytes] = []  # white space that may be the end
    try:
        for chunk in chunks:
            text = chunk.rstrip(_WHITE_SPACE)
            if text or sum(map(len, held)) > CHUNK:
                yield from held
                held.clear()
            if text:
                yield text
            held += [chunk[len(text) :]] if len(text) < len(chunk) else []
    except BrokenStream:
        yield from held  # what is behind the damage is not known to be blank
        raise


def cut_at_lines(
    chunks: Iterator[bytes], shard_rows: int, shard_bytes: int = SHARD_BYTES
) -> Iterator[tuple[int, int, int, bool]]:
    """Byte ranges of whole lines: (start, end, rows, broken).

    A range has at most `shard_rows` rows and `shard_bytes` bytes, unless a single line is longer. The last
    line may lack its newline. If the stream is damaged, `broken` is set on the last range, which then has
    one row more: it stands for everything after the last whole line.
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

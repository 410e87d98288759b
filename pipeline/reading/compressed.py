"""Compressed files, piece by piece: bombs are refused, and data before a damaged part is used."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.reading.formats import Compression, compression
from pipeline.storage.credentials import named, redact
from pipeline.storage.retries import open_with_retries
from pipeline.storage.urls import WatchedFile, filesystem

# Bytes decompressed at a time; damage can cost so many good bytes before it, of bzip2 a block.
PIECE = 1 << 16
RATIO_CAP = 500  # decompressed bytes for a stored one, in files of more than RATIO_FREE
RATIO_FREE = 64 << 20
XZ_MEMORY = 256 << 20  # `xz -9` takes 65 MiB to decompress; a header can ask for 4 GiB


class BrokenStream(Exception):
    """A compressed file is cut short or damaged; what was decompressed before is good."""


def decompress(file: str) -> Iterator[bytes]:
    """The content of a file that `compression` knows, in pieces of at most 64 KiB."""
    fs, path = filesystem(file)
    with open_with_retries(fs, path, redact(file)) as stored:
        kind = compression(file)
        assert kind is not None
        total = 0
        for chunk in _DECOMPRESS[kind](stored):
            total += len(chunk)
            if total > RATIO_FREE and total > RATIO_CAP * max(1, stored.tell()):
                raise ConfigError(
                    f"{named(file)}: grows more than {RATIO_CAP}-fold when decompressed, as a bomb does; "
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


def _bunzip2(stored: Any) -> Iterator[bytes]:
    return _streams(stored, bz2.BZ2Decompressor, "bzip2")


def _unxz(stored: Any) -> Iterator[bytes]:
    return _streams(stored, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY), "xz")


def _streams(stored: Any, start: Callable[[], Any], kind: str) -> Iterator[bytes]:
    """One stream after the other, with zeros between and behind them as `xz` pads."""
    decoder = None  # None: between two streams
    while data := stored.read(4 * PIECE):
        while data or decoder is not None:
            if decoder is None:
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = start()
            try:
                piece = decoder.decompress(data, PIECE)
            except (OSError, lzma.LZMAError) as error:
                raise BrokenStream(f"not {kind} data: {error}") from error
            if piece:
                yield piece
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
            elif decoder.needs_input:
                break
    if decoder is not None:
        raise BrokenStream(f"the {kind} stream ends in its middle")


_DECOMPRESS: dict[Compression, Callable[[Any], Iterator[bytes]]] = {
    "gzip": _gunzip, "zstd": _unzstd, "bzip2": _bunzip2, "xz": _unxz,
}  # fmt: skip

"""Compressed files that are cut short, damaged, joined, or bombs."""

import bz2
import gzip
import json
import lzma
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from tests.hostile.case import OK, Case

GOOD = b'{"text": "a"}\n'
UNREADABLE = "UNREADABLE"


def named(**files: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, data in files.items():
            (folder / "in" / name.replace("_", ".")).write_bytes(data() if callable(data) else data)

    return make


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def noise(rows: int) -> bytes:
    """Lines that don't compress well, so that half of the file is about half of the lines."""
    draw = random.Random(0)
    return b"".join(json.dumps({"text": f"{draw.getrandbits(256):x}"}).encode() + b"\n" for _ in range(rows))


def bomb(rows: int, line: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(line * 1000) for _ in range(rows // 1000)), packer.flush()])


def _damaged() -> bytes:
    data = bytearray(gzip.compress(GOOD * 10, mtime=0))
    data[-6] ^= 0xFF  # of the checksum
    return bytes(data)


STREAMS = {
    "gzip in two members": Case(named(a_jsonl_gz=gzip.compress(GOOD) + gzip.compress(GOOD)), rows=[OK, OK]),
    "a line that goes on in the next member": Case(
        named(a_jsonl_gz=gzip.compress(GOOD[:5]) + gzip.compress(GOOD[5:])), rows=[OK]
    ),
    "gzip with zeros behind it": Case(named(a_jsonl_gz=gzip.compress(GOOD) + b"\0" * 512), rows=[OK]),
    "gzip with garbage behind it": Case(
        named(a_jsonl_gz=gzip.compress(GOOD) + b"garbage"), rows=[OK, UNREADABLE]
    ),
    "gzip cut in its last line": Case(
        named(a_jsonl_gz=gzip.compress(GOOD * 3)[:-9]), rows=[OK, OK, OK, UNREADABLE]
    ),
    "gzip cut in its header": Case(named(a_jsonl_gz=gzip.compress(GOOD)[:7]), rows=[UNREADABLE]),
    "an empty gzip file": Case(named(a_jsonl_gz=b""), refused="none of its files has a row"),
    "gzip of nothing": Case(named(a_jsonl_gz=gzip.compress(b"")), refused="none of its files has a row"),
    "a gzip checksum that is wrong": Case(named(a_jsonl_gz=_damaged()), rows=[UNREADABLE]),
    "a gzip bomb": Case(
        named(a_jsonl_gz=lambda: bomb(20_000_000, GOOD)), refused="a.jsonl.gz: grows more than 500-fold"
    ),
    "a gzip bomb without a newline": Case(
        named(a_jsonl_gz=lambda: bomb(300_000_000, b"x")), refused="a.jsonl.gz: grows more than 500-fold"
    ),
    "zstd in two frames": Case(named(a_jsonl_zst=zstd(GOOD) + zstd(GOOD)), rows=[OK, OK]),
    "zstd cut in its middle": Case(
        named(a_jsonl_zst=lambda: zstd(noise(1))[:-5], b_jsonl=GOOD), rows=[UNREADABLE, OK]
    ),
    "a zstd bomb": Case(
        named(a_jsonl_zst=lambda: zstd(GOOD * 10_000_000)), refused="a.jsonl.zst: grows more than 500-fold"
    ),
    "bzip2 with garbage behind it": Case(
        named(a_jsonl_bz2=bz2.compress(GOOD) + b"garbage"), rows=[OK, UNREADABLE]
    ),
    "bzip2 cut in its middle": Case(
        named(a_jsonl_bz2=lambda: bz2.compress(noise(1))[:-5], b_jsonl=GOOD), rows=[OK, UNREADABLE, OK]
    ),
    "a bzip2 bomb": Case(
        named(a_jsonl_bz2=lambda: bz2.compress(b"\n" * 200_000_000)), refused="bz2: grows more than 500-fold"
    ),
    "xz in two streams with zeros between": Case(
        named(a_jsonl_xz=lzma.compress(GOOD) + b"\0" * 4 + lzma.compress(GOOD)), rows=[OK, OK]
    ),
    "xz cut in its middle": Case(
        named(a_jsonl_xz=lambda: lzma.compress(noise(1))[:-5], b_jsonl=GOOD), rows=[OK, UNREADABLE, OK]
    ),
    "an xz bomb": Case(
        named(a_jsonl_xz=lambda: lzma.compress(b"\n" * 100_000_000)), refused="xz: grows more than 500-fold"
    ),
    "an ending that lies": Case(
        named(a_jsonl_gz=GOOD, b_jsonl_zst=gzip.compress(GOOD), c_jsonl=gzip.compress(GOOD, mtime=0)),
        rows=[UNREADABLE, UNREADABLE, "INVALID_UTF8"],
    ),
    "gzip and zstd and plain give the same": Case(
        named(
            a_jsonl=lambda: noise(3000) + b"\xff\n\n",
            b_jsonl_gz=lambda: gzip.compress(noise(3000) + b"\xff\n\n"),
            c_jsonl_zst=lambda: zstd(noise(3000) + b"\xff\n\n"),
        ),
        rows=[*[OK] * 3000, "INVALID_UTF8"] * 3,
        columns={"prompt": [*(json.loads(line)["text"] for line in noise(3000).splitlines()), None] * 3},
    ),
    "Parquet that was gzipped": Case(
        named(a_parquet_gz=gzip.compress(GOOD)), refused="no \\*.jsonl, \\*.json, .* in this folder"
    ),
}

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.job import InputSection
from pipeline.reading import compressed, parquet
from pipeline.reading.open_stream import read_on
from pipeline.shards.make_plan import make_plan
from pipeline.shards.read_shard import read_shard

KEYS = itertools.count()
RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


@given(st.lists(st.binary(max_size=5), max_size=8), RANGES)
def test_any_ranges_in_any_order_are_those_of_the_whole(
    pieces: list[bytes], ranges: list[tuple[int, int]]
) -> None:
    whole, key = b"".join(pieces), next(KEYS)
    for start, end in ranges:
        assert b"".join(read_on(key, lambda: iter(pieces), start, end)) == whole[start:end]


def test_what_failed_or_was_left_half_way_is_opened_again() -> None:
    opened = []

    def pieces() -> Iterator[bytes]:
        opened.append(1)
        yield b"abc"
        if len(opened) == 1:
            raise OSError("once")
        yield b"def"

    with pytest.raises(OSError, match="once"):
        list(read_on("key", pieces, 0, 6))
    assert next(read_on("key", pieces, 0, 6)) == b"abc"
    assert b"".join(read_on("key", pieces, 0, 5)) == b"abcde"
    assert b"".join(read_on("key", pieces, 5, 9)) == b"f"
    assert b"".join(read_on("other", pieces, 0, 1)) == b"a"
    assert len(opened) == 4


def test_rows_in_order_decompress_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b'{"text": "%d"}' % n for n in range(20_000)]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    section = InputSection.model_validate(
        {"path": str(tmp_path), "prompt": {"column": "text"}, "shard_rows": 500}
    )
    shards = make_plan(section).shards
    made, gunzip = [], compressed._gunzip

    def counted(stored: object) -> Iterator[bytes]:
        for piece in gunzip(stored):
            made.append(len(piece))
            yield piece

    monkeypatch.setattr(compressed, "_gunzip", counted)
    read = [line for shard in shards[::2] for line in read_shard(shard, [])["line"].to_pylist()]
    assert read == [line for first in range(0, 20_000, 1000) for line in lines[first : first + 500]]
    assert sum(made) <= sum(map(len, lines)) + len(lines)
    again = read_shard(shards[3], [])["line"].to_pylist()
    assert again == lines[1500:2000]


def test_slices_of_a_row_group_decode_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"text": [str(n) for n in range(5000)]}), tmp_path / "a.parquet")
    section = InputSection.model_validate(
        {"path": str(tmp_path), "prompt": {"column": "text"}, "shard_rows": 300}
    )
    shards = make_plan(section).shards
    opened, decode = [], parquet._decode
    monkeypatch.setattr(parquet, "_decode", lambda *given: opened.append(1) or decode(*given))
    read = [row["text"] for shard in shards for row in read_shard(shard, ["text"])["record"].to_pylist()]
    assert read == [str(n) for n in range(5000)]
    assert len(opened) == 1

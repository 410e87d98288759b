import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.reading import parquet
from pipeline.shards.make_plan import make_plan
from pipeline.shards.read_shard import read_shard
from tests.pipeline.conftest import write
from tests.pipeline.reading.inputs import read_all, section


def test_parquet_is_the_same_everywhere(place: str) -> None:
    rows = 1000
    table = pa.table({
        "text": [None if n % 7 == 0 else f"row {n}" for n in range(rows)],
        "messages": [[{"role": "user", "content": str(n)}] for n in range(rows)],
        "unused": list(range(rows)),
    })  # fmt: skip
    for group, cut in ((1000, 300), (64, 128), (100, 1000)):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=group)
        write(f"{place}/in/{group}.parquet", sink.getvalue().to_pybytes())
        read = read_all(f"{place}/in/{group}.parquet", ["messages", "text", "absent"], shard_rows=cut)
        expected = table.select(["messages", "text"]).to_pylist()
        assert [row["record"] for row in read] == expected


def test_damaged_parquet_pages_are_error_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": [str(zlib.crc32(b"%d" % n)) for n in range(900)]}), path, row_group_size=300
    )
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    begin = column.dictionary_page_offset or column.data_page_offset
    data[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    codes = [row["unreadable"] for row in read_all(str(path), shard_rows=300)]
    assert codes == [None] * 300 + ["UNREADABLE"] * 300 + [None] * 300


def test_a_parquet_bomb_is_error_rows_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "DECODED_CAP", 64 << 20)
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), ["x" * (1 << 20)])
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 4 << 20
    [shard] = make_plan(section(str(tmp_path))).shards
    pool = pa.default_memory_pool()
    bound = max(pool.max_memory(), pool.bytes_allocated() + 4 * parquet.DECODED_CAP)
    table = read_shard(shard, ["text"])
    assert set(table["unreadable"].to_pylist()) == {"UNREADABLE"}
    assert pool.max_memory() <= bound

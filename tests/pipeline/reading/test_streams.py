import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RowError, RowErrorCode
from pipeline.reading import streams
from pipeline.reading.compressed import BrokenStream
from pipeline.reading.streams import cut_at_lines, without_blank_end
from pipeline.shards.make_plan import make_plan
from pipeline.shards.read_shard import read_shard, records
from tests.pipeline.reading.inputs import section


@given(st.lists(st.sampled_from([b"a", b" ", b"\n", b"\t\r", b""]), max_size=12), st.booleans())
def test_the_blank_end_is_left_out_however_the_chunks_fall(chunks: list[bytes], broken: bool) -> None:
    def stream() -> Iterator[bytes]:
        yield from chunks
        if broken:
            raise BrokenStream

    found = []
    with suppress(BrokenStream):
        found.extend(without_blank_end(stream()))
    data = b"".join(chunks)
    assert b"".join(found) == (data if broken else data.rstrip(b" \t\r\n"))


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\n")), st.integers(1, 7), st.data())
def test_cuts_are_whole_lines_within_limits_however_the_chunks_fall(
    data: bytes, shard_rows: int, draw: st.DataObject
) -> None:
    borders = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    chunks = [data[a:b] for a, b in zip([0, *borders], [*borders, len(data)], strict=True)]
    shard_bytes = draw.draw(st.integers(1, 80))
    cuts = list(cut_at_lines(iter(chunks), shard_rows, shard_bytes))
    assert cuts == list(cut_at_lines(iter([data]), shard_rows, shard_bytes))
    assert sum(rows for _, _, rows, _ in cuts) == data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
    position = 0
    for start, end, rows, broken in cuts:
        assert start == position
        assert data[end - 1 : end] == b"\n" or end == len(data)
        assert data[start:end].removesuffix(b"\n").count(b"\n") + 1 == rows <= shard_rows
        assert end - start <= shard_bytes or rows == 1
        assert not broken
        position = end
    assert position == len(data)


def test_a_line_over_the_cap_is_an_error_row_and_never_held(tmp_path: Path) -> None:
    long = 40 << 20
    with open(tmp_path / "a.jsonl", "wb") as file:
        file.write(b'{"text": "before"}\n{"text": "')
        file.write(b"x" * long)
        file.write(b'"}\n{"text": "after"}')
    tracemalloc.start()
    plan = make_plan(section(str(tmp_path)))
    tables = [read_shard(shard, []) for shard in plan.shards]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rows = [row for table in tables for row in records(table, ["text"])]
    assert [type(row) for row in rows] == [dict, RowError, dict]
    assert isinstance(rows[1], RowError)
    assert rows[1].code == RowErrorCode.LINE_TOO_LONG
    assert peak < 3 * streams.CHUNK + streams.LINE_CAP

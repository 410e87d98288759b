import contextlib
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.config.job import InputSection
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.reading import parquet, streams
from pipeline.reading.lines import parse_line
from pipeline.shards import read_shard as read_shard_module
from pipeline.shards.make_plan import make_plan
from pipeline.shards.read_shard import read_shard, records
from tests.pipeline.conftest import write


def section(path: str, **keys: Any) -> InputSection:
    return InputSection.model_validate({"path": path, "prompt": {"column": "text"}, **keys})


def read_all(path: str, columns: list[str] | None = None, **keys: Any) -> list[dict[str, Any]]:
    """Every row of every shard, checked to be numbered without gaps."""
    rows: list[dict[str, Any]] = []
    for shard in make_plan(section(path, **keys)).shards:
        table = read_shard(shard, columns or ["text"])
        assert len(table) == shard.rows
        assert table["row"].to_pylist() == list(range(shard.first_row, shard.first_row + shard.rows))
        rows += table.to_pylist()
    return rows


def compress(data: bytes, kind: str) -> bytes:
    if kind == ".gz":
        return gzip.compress(data)
    return bytes(pa.compress(data, codec="zstd", asbytes=True)) if kind == ".zst" else data


def plain_split(data: bytes) -> list[bytes]:
    """What a row is, said as simply as can be."""
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if lines:
        lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    return [line.removesuffix(b"\r") for line in lines]


PIECES = [b"\n", b"\r\n", b"\r", b'{"text": "a"}', b"\xef\xbb\xbf", b"\xff", b"\x00", b" "]
JSONISH = st.lists(st.sampled_from(PIECES))


@pytest.mark.parametrize("kind", ["", ".gz", ".zst"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), JSONISH.map(b"".join)), shard_rows=st.integers(1, 9))
@example(data=b"\xef\xbb\xbf", shard_rows=1)
@example(data=b"\n", shard_rows=1)
def test_reading_in_shards_equals_splitting_the_whole(
    tmp_path: Path, kind: str, data: bytes, shard_rows: int
) -> None:
    path = tmp_path / f"in.jsonl{kind}"
    path.write_bytes(compress(data, kind))
    try:
        rows = read_all(str(path), shard_rows=shard_rows)
    except ConfigError:  # hypothesis found a JSON array, or a record without the column
        return
    assert [row["line"] for row in rows] == plain_split(data)


@pytest.mark.parametrize("kind", ["", ".gz", ".zst"])
def test_plan_and_read_are_the_same_everywhere(place: str, kind: str) -> None:
    lines = [json.dumps({"text": "ü" * (n % 50), "n": n}).encode() for n in range(3000)]
    write(f"{place}/in/a.jsonl{kind}", compress(b"\n".join(lines), kind))
    write(f"{place}/in/sub/b.jsonl", b"{}\n")
    assert [row["line"] for row in read_all(f"{place}/in", shard_rows=700)] == [*lines, b"{}"]


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


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "one"}\n')
    [shard] = make_plan(section(str(tmp_path))).shards

    def read_range(*shard: Any) -> Iterator[bytes]:
        yield b'{"text": '
        file.write_bytes(b'{"text": "two"}\n')
        yield b'"two"}\n'

    monkeypatch.setattr(read_shard_module, "read_range", read_range)
    with pytest.raises(ConfigError, match="changed since it was planned"):
        read_shard(shard, [])


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


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", [".gz", ".zst"])
def test_rows_before_a_break_stay_and_the_rest_is_one_error(tmp_path: Path, kind: str, kept: float) -> None:
    lines = [json.dumps({"text": str(zlib.crc32(str(n).encode()))}).encode() for n in range(50_000)]
    whole = compress(b"\n".join(lines) + b"\n", kind)
    (tmp_path / f"a.jsonl{kind}").write_bytes(whole[: int(len(whole) * kept)])
    rows = read_all(str(tmp_path), shard_rows=1000)
    assert 0.5 * kept < len(rows) / len(lines) <= kept + 0.05
    assert [row["line"] for row in rows[:-1]] == lines[: len(rows) - 1]
    assert rows[-1]["line"] is None
    assert [row["unreadable"] for row in rows[:-1]] == [None] * (len(rows) - 1)
    assert rows[-1]["unreadable"] == "UNREADABLE"


@pytest.mark.parametrize("kind", [".gz", ".zst"])
def test_a_compressed_file_of_nonsense_is_one_error_row(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"a.jsonl{kind}").write_bytes(b"this is no compressed file at all")
    assert [row["unreadable"] for row in read_all(str(tmp_path))] == ["UNREADABLE"]


@pytest.mark.parametrize("kind", [".gz", ".zst"])
def test_concatenated_members_are_one_stream(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"a.jsonl{kind}").write_bytes(
        compress(b'{"text": 1}\n{"te', kind) + compress(b'xt": 2}\n', kind)
    )
    assert [row["line"] for row in read_all(str(tmp_path))] == [b'{"text": 1}', b'{"text": 2}']


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


def test_a_file_that_changes_after_the_plan_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": 1}\n')
    [shard] = make_plan(section(str(path))).shards
    path.write_bytes(b'{"text": 1}\n{"text": 2}\n')
    with pytest.raises(ConfigError, match=r"a.jsonl: changed"):
        read_shard(shard, [])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (None, RowErrorCode.LINE_TOO_LONG),
        (b"", RowErrorCode.EMPTY_LINE),
        (b" \t\r", RowErrorCode.EMPTY_LINE),
        (b'{"text": "\xff"}', RowErrorCode.INVALID_UTF8),
        (b"\xff\xfe{\x00}\x00", RowErrorCode.INVALID_UTF8),
        (b'{"canary": tru', RowErrorCode.MALFORMED_JSON),
        (b'{"a": "\\ud800"}', RowErrorCode.MALFORMED_JSON),
        (b'{"a": NaN}', RowErrorCode.MALFORMED_JSON),
        (b'{"a": 1} {"a": 2}', RowErrorCode.MALFORMED_JSON),
        (b"[" * 100_000, RowErrorCode.MALFORMED_JSON),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, RowErrorCode.MALFORMED_JSON),
        (b"[1, 2]", RowErrorCode.NOT_AN_OBJECT),
        (b'"canary"', RowErrorCode.NOT_AN_OBJECT),
        (b"null", RowErrorCode.NOT_AN_OBJECT),
    ],
)
def test_lines_that_are_no_record_have_a_code_and_no_text_in_the_message(
    line: bytes | None, code: RowErrorCode
) -> None:
    with pytest.raises(RowError) as refused:
        parse_line(line)
    assert refused.value.code == code
    assert "canary" not in refused.value.message


def test_integers_beyond_64_bits_stay_exact() -> None:
    assert parse_line(b'{"id": 123456789012345678901, "x": 1e30, "s": "007"}') == {
        "id": 123456789012345678901, "x": 1e30, "s": "007",
    }  # fmt: skip


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()))
def test_what_json_can_say_comes_back(record: dict[str, Any]) -> None:
    assert parse_line(orjson.dumps(record)) == record


@given(st.binary())
def test_no_bytes_crash_the_parser(line: bytes) -> None:
    with contextlib.suppress(RowError):
        assert isinstance(parse_line(line), dict)

"""Parquet files that are cut, damaged, bombs, or of odd schemas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.case import OK, Case, write_table
from tests.hostile.thrift import footer_only

NO_PARQUET = "a.parquet: not a Parquet file, or a damaged one"
LONG = "n" * 100_000


def table(
    *parts: dict[str, Any] | pa.Table, keep: list[str] | None = None, **how: Any
) -> Callable[[Path], Any]:
    def make(folder: Path) -> dict[str, Any]:
        for number, part in enumerate(parts):
            write_table(folder, part, f"{'abc'[number]}.parquet", **how)
        return {"input": {"keep": keep or []}}

    return make


def damaged(change: Callable[[bytes], bytes], **how: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> dict[str, Any]:
        columns = {"text": [f"{n * 7919:x}" for n in range(300)], "k": list(range(300))}
        write_table(folder, columns, row_group_size=100, **how)
        path = folder / "in" / "a.parquet"
        path.write_bytes(change(path.read_bytes()))
        return {"input": {"keep": ["k"], "shard_rows": 100}}

    return make


def _second_group_overwritten(data: bytes) -> bytes:
    column = pq.read_metadata(pa.BufferReader(data)).row_group(1).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    end = begin + column.total_compressed_size
    return data[:begin] + b"\xff" * (end - begin) + data[end:]


def _texts_of_a_mebibyte(rows: int) -> pa.Table:
    """Gigabytes behind a dictionary of one value."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * (1 << 20)])
    return pa.table({"text": text, "k": pa.array(range(rows), pa.int16())})


def _one_endless_list() -> dict[str, Any]:
    numbers = pa.array(np.zeros(3_000_000, np.int64))
    return {"text": ["a"], "k": pa.ListArray.from_arrays([0, len(numbers)], numbers)}


def _nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    type_: pa.DataType = pa.int64()
    for _ in range(levels - 1):
        value, type_ = {"x": value}, pa.struct({"x": type_})
    return {"text": ["a"], "k": pa.array([value], type_)}


def _bad_utf8() -> dict[str, Any]:
    buffers = pa.array([b"a", b"\xff\xfe", b"c"]).buffers()
    return {"text": pa.array(["a", "b", "c"]), "k": pa.Array.from_buffers(pa.string(), 3, buffers)}


TABLES = {
    "Parquet cut in its footer": Case(damaged(lambda data: data[:-20]), refused=NO_PARQUET),
    "Parquet cut in its middle": Case(damaged(lambda data: data[: len(data) // 2]), refused=NO_PARQUET),
    "the wrong magic": Case(damaged(lambda data: data[:-4] + b"PAR2"), refused=NO_PARQUET),
    "the magic of an encrypted footer": Case(damaged(lambda data: data[:-4] + b"PARE"), refused=NO_PARQUET),
    "an empty Parquet file": Case(damaged(lambda data: b""), refused=NO_PARQUET),
    "nothing but magic": Case(damaged(lambda data: b"PAR1PAR1"), refused=NO_PARQUET),
    "a footer longer than the file": Case(
        damaged(lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1"), refused=NO_PARQUET
    ),
    "a footer of nonsense": Case(
        damaged(lambda data: data[:-100] + b"\xff" * 92 + data[-8:]), refused=NO_PARQUET
    ),
    "a schema 100,000 deep": Case(
        lambda folder: (folder / "in" / "a.parquet").write_bytes(footer_only(depth=100_000)) and None,
        refused="a.parquet: (not a Parquet file|its schema)",
    ),
    "a footer that claims 2**62 rows": Case(
        lambda folder: (folder / "in" / "a.parquet").write_bytes(footer_only(rows=1 << 62)) and None,
        refused="a.parquet: its row groups have 4611686018427387904 to .* rows by its footer",
    ),
    "a footer that claims -1 rows": Case(
        lambda folder: (folder / "in" / "a.parquet").write_bytes(footer_only(rows=-1)) and None,
        refused="a.parquet: (its row groups have -1|not a Parquet file)",
    ),
    "a footer that claims 100 rows and has none": Case(
        lambda folder: (folder / "in" / "a.parquet").write_bytes(footer_only(rows=100)) and None,
        rows=["UNREADABLE"] * 100,
    ),
    "a column's path that is not UTF-8": Case(
        lambda folder: (folder / "in" / "a.parquet").write_bytes(footer_only(rows=2, path=b"\xff")) and None,
        rows=["UNREADABLE"] * 2,
    ),
    "pages of nonsense leave the kept type as it is": Case(
        damaged(_second_group_overwritten),
        rows=[OK] * 100 + ["UNREADABLE"] * 100 + [OK] * 100,
        columns={"keep.k": [*map(str, range(100)), *[None] * 100, *map(str, range(200, 300))]},
        types={"keep.k": "int64"},
    ),
    "a bomb of 4 GB in a dictionary": Case(
        table(_texts_of_a_mebibyte(4000), keep=["k"], store_schema=False),
        rows=["UNREADABLE"] * 4000,
        types={"keep.k": "int16"},
    ),
    "a kept column nested as deep as may be": Case(table(_nested(60), keep=["k"]), rows=[OK]),
    "a kept column nested one level deeper": Case(
        table(_nested(61), keep=["k"]),
        refused=r"column 'k' in a.parquet is nested 61 levels deep; at most 60",
    ),
    "a bomb of one endless list": Case(
        table(_one_endless_list(), keep=["k"]), rows=["UNREADABLE"], types={"keep.k": "list<item: int64>"}
    ),
    "bad UTF-8 in a kept column": Case(
        table(_bad_utf8(), keep=["k"]), rows=[OK, "INVALID_UTF8", OK], columns={"keep.k": ["a", None, "c"]}
    ),
    "nulls everywhere": Case(table({"text": pa.nulls(500)}), rows=["NULL_PROMPT"] * 500),
    "a column of bytes as the prompt": Case(
        table({"text": [b"a", None]}), rows=["WRONG_TYPE", "NULL_PROMPT"]
    ),
    "nested prompts": Case(
        table({"text": [{"a": "b"}, None], "k": [[["x"]], []]}), rows=["WRONG_TYPE", "NULL_PROMPT"]
    ),
    "no row groups": Case(table({"text": pa.array([], pa.string())}), refused="none of its files has a row"),
    "a row group of 20,000 rows": Case(table({"text": ["a"] * 20_000}), rows=[OK] * 20_000),
    "20,000 row groups": Case(table({"text": ["a"] * 20_000}, row_group_size=1), rows=[OK] * 20_000),
    "a column that one file lacks": Case(
        table({"text": ["a"]}, {"body": ["a"]}), refused="no column 'text' in b.parquet"
    ),
    "a kept column of two types, one with 100,000 letters": Case(
        table({"text": ["a"], "k": [1]}, {"text": ["a"], "k": [{LONG: 1}]}, keep=["k"]),
        refused=r"^(?=.{,500}$).*column 'k' is int64 in a.parquet but struct<.*…",
    ),
    "two columns of one name": Case(
        table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])),
        refused="a.parquet has more than one column 'text'",
    ),
    "two columns of one name that nobody needs": Case(
        table(pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], ["text", "x", "x"])),
        rows=[OK],
    ),
    "names with dots, spaces and 100,000 letters": Case(
        table(
            {"text": ["a"], "a.b": ["dot"], "a": [{"b": 5}], "": ["none"], "é 😀": ["odd"], LONG: ["long"]},
            keep=["a.b", "a", "", "é 😀", LONG],
        ),
        rows=[OK],
        columns={"keep.a.b": ["dot"], "keep.": ["none"], "keep.é 😀": ["odd"], f"keep.{LONG}": ["long"]},
        types={"keep.a": "struct<b: int64>"},
    ),
}

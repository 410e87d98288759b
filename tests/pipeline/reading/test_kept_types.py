"""The types of kept columns: one in all parts, inferred from each file's beginning, or given."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError
from pipeline.reading.kept_types import SAMPLED_RECORDS, kept_from, kept_schema
from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import section, write, write_parquet


def types(folder: Path, **keys: Any) -> dict[str, str]:
    """Of all shards, by name in the output."""
    [kept] = {shard.kept for shard in make_plan(section(str(folder), shard_rows=500, **keys)).shards}
    return {field.name: str(field.type) for field in kept_schema(kept)}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    write(path, b"".join(json.dumps({"text": "x", **row}).encode() + b"\n" for row in rows))


def test_types_follow_from_the_first_records_of_each_file(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "a.jsonl", [{"n": 1, "f": 1, "t": [1], "o": {"a": 1}}, {"n": 2, "f": 0.5, "u": True}]
    )
    keep = ["n", "f", "t", "o", "u"]
    expected = {"n": "int64", "f": "double", "t": "list<item: int64>", "o": "string", "u": "bool"}
    assert types(tmp_path, keep=keep) == expected
    assert types(tmp_path, keep="*") == {"text": "string", **expected}
    assert types(tmp_path, keep={"number": "n"}) == {"number": "int64"}
    renamed = {("number" if name == "n" else name): type_ for name, type_ in expected.items()}
    assert types(tmp_path, keep={"*": "*", "number": "n"}) == {"text": "string", **renamed}
    write_rows(tmp_path / "b.jsonl", [{"n": "x"}])
    assert types(tmp_path, keep=keep) == expected | {"n": "string"}
    assert types(tmp_path, keep=["n", "f"], keep_types={"n": "int64"}) == {"n": "int64", "f": "double"}
    late = [{"n": 1}] * (SAMPLED_RECORDS - 1)
    write_rows(tmp_path / "b.jsonl", [*late, {"n": 0.5}, {"n": "x", "late": 1}])
    assert types(tmp_path, keep=["n"]) == {"n": "double"}, "record 1,000 counts, record 1,001 does not"
    assert "late" not in types(tmp_path, keep="*")
    assert types(tmp_path, keep="*", keep_types={"late": "int64"})["late"] == "int64"


def test_no_column_is_hidden_by_one_that_takes_its_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"a": 1, "b": "x"}])
    with pytest.raises(ConfigError, match=r"input\.keep: a is another column of the files"):
        types(tmp_path, keep={"*": "*", "a": "b"})
    swapped = {"text": "string", "a": "string", "b": "int64"}
    assert types(tmp_path, keep={"*": "*", "a": "b", "b": "a"}) == swapped
    renamed = types(tmp_path, keep={"*": "*", "c": "b"}, keep_types={"c": "string"})
    assert renamed == {"text": "string", "a": "int64", "c": "string"}


def test_the_id_is_not_kept_twice(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"id": 1}])
    assert types(tmp_path, keep="*", id_column="id") == {"text": "string"}
    assert types(tmp_path, keep={"*": "*", "number": "id"}, id_column="id")["number"] == "int64"
    assert types(tmp_path, keep="*")["id"] == "int64", "its own column, if another is the id"


def test_parquet_keeps_its_types_and_they_must_agree(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 2, 2, n=[1, 2], k=pa.array(["x", "y"], pa.large_string()))
    write_parquet(tmp_path / "b.parquet", 2, 2, n=["1", "2"], k=pa.array(["x", "y"]).dictionary_encode())
    make_plan(section(str(tmp_path)))
    assert types(tmp_path, keep=["k"]) == {"k": "string"}, "three ways to store a text"
    refusal = r"'n' is int64 in a.parquet but string in b.parquet.*input.keep_types"
    for keep in (["n"], "*"):
        with pytest.raises(ConfigError, match=refusal):
            make_plan(section(str(tmp_path), keep=keep))
    assert types(tmp_path, keep=["n"], keep_types={"n": "string"}) == {"n": "string"}
    write_parquet(tmp_path / "b.parquet", 2, 2, k=["x", "y"], more=pa.array([1, 2], pa.int8()))
    assert types(tmp_path, keep="*") == {"text": "string", "n": "int64", "k": "string", "more": "int8"}


def test_parquet_beside_jsonl_gets_a_type_that_both_fit(tmp_path: Path) -> None:
    columns = {"n": pa.array([1], pa.int32()), "day": pa.array([1], pa.date32()), "s": pa.array([1])}
    write_parquet(tmp_path / "a.parquet", 1, 1, **columns)
    write_rows(tmp_path / "b.jsonl", [{"n": 0.5, "day": None, "s": "x"}])
    assert types(tmp_path, keep=[*columns]) == {"n": "double", "day": "date32[day]", "s": "string"}


def test_renamed_columns_know_where_they_are_from(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"old": 1}])
    [shard] = make_plan(section(str(tmp_path), keep={"new": "old", "again": "old"})).shards
    assert {field.name: kept_from(field) for field in kept_schema(shard.kept)} == {
        "new": "old",
        "again": "old",
    }
    with pytest.raises(ConfigError, match=r"input\.keep: no column 'new' in a\.jsonl"):
        make_plan(section(str(tmp_path), keep={"old": "new"}))

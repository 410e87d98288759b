"""Whole jobs' kept columns: one type in all parts, and what does not fit it stands in kept_unfit."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.job import JobConfig
from pipeline.reading.kept_columns import kept_columns
from pipeline.run import run
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import Plan
from pipeline.shards.read_shard import read_shard, records
from tests.pipeline.reading.inputs import section, write, write_parquet


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("with_jsonl", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_damaged_row_group_leaves_the_folder_readable(
    make_config: Callable[..., JobConfig], tmp_path: Path, with_jsonl: bool
) -> None:
    config = make_config(
        [{"ids": [1, 5], "k": "x"}] * 3,
        input={"keep": ["k"], "path": str(tmp_path / "in")},
        generation={"max_new_tokens": 1},
        errors={"max_error_rate": 1.0},
    )
    (tmp_path / "in").mkdir()
    if with_jsonl:
        (tmp_path / "rows.jsonl").rename(tmp_path / "in" / "rows.jsonl")
    table = pa.table({"ids": [[1, n] for n in range(24)], "k": range(24)})
    pq.write_table(table, tmp_path / "in" / "a.parquet", row_group_size=8)
    _overwrite_group(tmp_path / "in" / "a.parquet", 1)
    run(config)
    frame = pd.read_parquet(tmp_path / "out" / "generations").sort_values(["file", "row"])
    kept = [None if pd.isna(value) else str(value).removesuffix(".0") for value in frame["k"]]
    numbers = [*map(str, range(8)), *[None] * 8, *map(str, range(16, 24))]
    assert kept == numbers + ["x"] * 3 * with_jsonl
    types = {
        str(pq.read_schema(part).field("k").type) for part in (tmp_path / "out" / "generations").iterdir()
    }
    assert types == {"string" if with_jsonl else "int64"}


def _overwrite_group(path: Path, group: int) -> None:
    data = bytearray(path.read_bytes())
    row_group = pq.read_metadata(path).row_group(group)
    for number in range(row_group.num_columns):
        column = row_group.column(number)
        begin = column.dictionary_page_offset or column.data_page_offset
        data[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)


def kept(plan: Plan, all_columns: bool = False) -> list[dict[str, Any]]:
    """The kept columns of all rows of a plan, as a job reads them."""
    rows: list[dict[str, Any]] = []
    for shard in plan.shards:
        table = read_shard(shard, None)
        known = [*records(table, ())]
        rows += kept_columns(table, shard.kept, known, ["text"] if all_columns else None).to_pylist()
    return rows


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps({"text": "x", **row}).encode() + b"\n" for row in rows)


def test_a_value_that_does_not_fit_costs_neither_the_row_nor_itself(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"n": 1, "f": 1.5, "b": True, "l": [1], "s": {"a": [2**64]}},
        {"n": 2**63, "f": 2**53 + 1, "b": 0, "l": [1, "a"], "s": "as it is"},
        {"n": 1e17, "f": 2, "b": None, "l": [2**70], "s": [1]},
        {"n": "one", "f": "x", "b": "yes", "l": 5, "s": 5},
        {"n": 3.0},
    ]
    write(tmp_path / "a.jsonl", lines(rows) + b"no json\n")
    given = {"n": "int64", "f": "float64", "b": "bool", "l": "list<int64>", "s": "string"}
    found = kept(make_plan(section(str(tmp_path), keep=[*given], keep_types=given)))
    unfit = [row.pop("kept_unfit") for row in found]
    assert found == [
        {"n": 1, "f": 1.5, "b": True, "l": [1], "s": '{"a":[18446744073709551616]}'},
        {"n": None, "f": None, "b": None, "l": None, "s": "as it is"},
        {"n": None, "f": 2.0, "b": None, "l": None, "s": "[1]"},
        {"n": None, "f": None, "b": None, "l": None, "s": "5"},
        {"n": 3, "f": None, "b": None, "l": None, "s": None},
        dict.fromkeys(given),
    ]
    assert [text and json.loads(text) for text in unfit] == [
        None,
        {"n": 2**63, "f": 2**53 + 1, "b": 0, "l": [1, "a"]},
        {"n": 1e17, "l": [2**70]},
        {"n": "one", "f": "x", "b": "yes", "l": 5},
        None,
        None,
    ]


def test_columns_that_appear_late_are_not_lost(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines([{"n": 1}] * 1000 + [{"n": None, "new": [1], "null": None}, {"n": 2}]))
    found = kept(make_plan(section(str(tmp_path), keep="*")), all_columns=True)
    assert found[1000] == {"text": "x", "n": None, "kept_unfit": '{"new":[1]}'}
    assert found[1001] == {"text": "x", "n": 2, "kept_unfit": None}


def test_files_that_extend_a_job_go_by_its_types(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines([{"n": 1}]))
    plan = make_plan(section(str(tmp_path), keep="*"))
    write(tmp_path / "b.jsonl", lines([{"n": "two", "m": 1}]))
    write_parquet(
        tmp_path / "c.parquet", 2, 2, n=[0.5, 4.0], when=pa.array([2**62, None], pa.timestamp("us"))
    )
    found = kept(make_plan(section(str(tmp_path), keep="*"), plan), all_columns=True)
    assert [(row["n"], row["kept_unfit"]) for row in found] == [
        (None, '{"n":"two","m":1}'),
        (None, f'{{"n":0.5,"when":"{2**62}"}}'),
        (4, None),
    ]
    assert [row.keys() for row in found] == [{"text", "n", "kept_unfit"}] * 3


def test_3000_kept_columns_cost_no_seconds_a_row(tmp_path: Path) -> None:
    """Time that grew with the square of the columns made it 25 s; 0.3 s are usual."""
    names = [f"c{number}" for number in range(3000)]
    pq.write_table(pa.table({"text": ["x"], **{name: [1] for name in names}}), tmp_path / "a.parquet")
    plan = make_plan(section(str(tmp_path), keep=names))
    began = time.process_time()
    [row] = kept(plan)
    assert time.process_time() - began < 5
    assert row == {**dict.fromkeys(names, 1), "kept_unfit": None}

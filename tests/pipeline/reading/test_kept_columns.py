"""Whole jobs' kept columns: one type in all parts, so that pandas reads the folder in one go."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.run import run
from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import section, write_parquet


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


def test_kept_columns_have_one_type_in_all_parquet_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 2, 2, n=[1, 2])
    write_parquet(tmp_path / "b.parquet", 2, 2, n=["1", "2"])
    make_plan(section(str(tmp_path)))
    with pytest.raises(ConfigError, match=r"'n' is int64 in a.parquet but string in b.parquet"):
        make_plan(section(str(tmp_path), keep=["n"]))

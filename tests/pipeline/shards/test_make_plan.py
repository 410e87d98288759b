"""Files are found, their columns checked, and their rows cut into shards."""

import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import compress, lines, read_all, section, write, write_parquet


def test_input_without_a_good_line_is_rows_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"bad\n\n\xff\n")
    assert make_plan(section(str(tmp_path))).rows == 3


def test_parquet_shards_are_row_groups_or_slices_of_large_ones(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 10, 3)
    whole = make_plan(section(str(tmp_path), shard_rows=7)).shards
    assert [(s.first_row, s.rows, s.start, s.end, s.skip) for s in whole] == [
        (0, 6, 0, 2, 0),
        (6, 4, 2, 4, 0),
    ]
    cut = make_plan(section(str(tmp_path), shard_rows=2)).shards
    assert [(s.first_row, s.rows, s.start, s.end, s.skip) for s in cut] == [
        (0, 2, 0, 1, 0), (2, 1, 0, 1, 2), (3, 2, 1, 2, 0), (5, 1, 1, 2, 2),
        (6, 2, 2, 3, 0), (8, 1, 2, 3, 2), (9, 1, 3, 4, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["", ".gz", "parquet"])
@pytest.mark.parametrize("limit", [1, 7, 10, 11, 25, 26, 99])
def test_a_limit_leaves_the_first_rows_in_the_plan_s_order(tmp_path: Path, kind: str, limit: int) -> None:
    for name in "abc":
        if kind == "parquet":
            write_parquet(tmp_path / f"{name}.parquet", 12, 5)
        else:
            write(tmp_path / f"{name}.jsonl{kind}", compress(lines(12, file=name) + b"\n\n", kind))
    whole = read_all(str(tmp_path), shard_rows=5)
    assert len(whole) == 36
    assert read_all(str(tmp_path), shard_rows=5, limit=limit) == whole[:limit]
    plan = make_plan(section(str(tmp_path), shard_rows=5, limit=limit))
    assert (plan.rows, len(plan.files)) == (min(limit, 36), 3)


def test_a_job_with_a_limit_takes_no_further_files(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(3))
    before = make_plan(section(str(tmp_path), limit=2))
    write(tmp_path / "b.jsonl", lines(3))
    with pytest.raises(ConfigError, match=r"input\.limit: a job of the first rows takes no further files"):
        make_plan(section(str(tmp_path), limit=2), before)


def test_blank_lines_at_the_end_are_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(2) + b"\n" + lines(1) + b"\n  \r\n\n\t")
    write(tmp_path / "b.jsonl", b"\n \n")
    rows = read_all(str(tmp_path), shard_rows=2)
    assert [row["line"] for row in rows] == [
        b'{"text": "row 0"}', b'{"text": "row 1"}', b"", b'{"text": "row 0"}',
    ]  # fmt: skip


def test_jobs_have_no_shard_in_common(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(25))
    one, other = (
        {shard.id for shard in make_plan(section(str(tmp_path), shard_rows=10), job_digest=job).shards}
        for job in ("one", "other")
    )
    assert len(one) == len(other) == 3
    assert one.isdisjoint(other)


def test_ids_follow_the_content_not_the_place(tmp_path: Path) -> None:
    ids = []
    for folder in ("one", "two"):
        path = write(tmp_path / folder / "a.jsonl", lines(5))
        os.utime(path, (1e9, 1e9))
        ids.append([shard.id for shard in make_plan(section(str(path))).shards])
    assert ids[0] == ids[1]

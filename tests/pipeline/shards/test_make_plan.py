"""Files are found, their columns checked, and their rows cut into shards."""

import os
from pathlib import Path

from pipeline.shards.make_plan import make_plan
from tests.pipeline.reading.inputs import lines, section, write, write_parquet


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

"""The oracle of blame notices blame without a cause, and lets what has one pass."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.chaos.blame import FORGIVEN, wrongly_blamed


def told(output: Path, *markers: tuple[str, int, int, bool]) -> Path:
    """An output folder with these markers of one shard: process, rows from and to, alone."""
    folder = output / "_job/attempts"
    folder.mkdir(parents=True)
    for number, (process, first, end, alone) in enumerate(markers):
        marker = {"piece": {"first": first, "end": end}, "process": process, "alone": alone}
        (folder / f"feed-{number:04d}.json").write_text(json.dumps(marker))
    return output


def test_a_shard_that_runs_alone_without_a_death_is_wrongly_blamed(tmp_path: Path) -> None:
    output = told(tmp_path, ("a", 0, 8, False), ("b", 0, 4, True))
    assert wrongly_blamed(output, set(), 1) == ["shard feed runs alone from its marker 1 on"]
    assert wrongly_blamed(output, {"a"}, 1) == []
    assert len(wrongly_blamed(output, {"a"}, 3)) == 1, "it takes two deaths then"


@pytest.mark.parametrize("losses", [FORGIVEN, FORGIVEN + 1])
def test_more_losses_than_are_forgiven_are_a_cause(tmp_path: Path, losses: int) -> None:
    whole = [(f"p{number}", 0, 8, False) for number in range(losses)]
    output = told(tmp_path, *whole, ("gave up", 0, 8, False), ("gave up", 0, 0, True), ("z", 0, 4, True))
    assert bool(wrongly_blamed(output, set(), 1)) == (losses == FORGIVEN)


def test_a_row_that_came_out_crashed_must_have_killed_twice(tmp_path: Path) -> None:
    alone = [("b", 0, 4, True), ("b", 4, 5, True), ("c", 4, 5, True), ("d", 0, 4, True), ("d", 0, 0, True)]
    output = told(tmp_path, ("a", 0, 8, False), *alone)
    codes = ["WORKER_CRASH" if row == 4 else None for row in range(8)]
    part = output / "generations/part-000000-feed.parquet"
    part.parent.mkdir()
    pq.write_table(pa.table({"row": range(8, 16), "error_code": pa.array(codes, pa.string())}), part)
    assert wrongly_blamed(output, {"a", "b", "c"}, 2) == []
    assert wrongly_blamed(output, {"a", "b"}, 2) == ["row 4 of shard feed is WORKER_CRASH"]

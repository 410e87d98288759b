"""A plan comes back from its file as it was, in little memory, and tells whether its input is still there."""

import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.config.job import InputSection
from pipeline.errors import ConfigError
from pipeline.reading.files import expand
from pipeline.reading.not_taken import NotTaken
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import InputToday, Plan
from pipeline.shards.shard import Shard
from pipeline.shards.shard_table import ShardTable
from pipeline.storage.sealed_parquet import sealed_bytes


def section(path: object, **keys: object) -> InputSection:
    return InputSection.model_validate({"path": path, "prompt": {"column": "text"}, **keys})


def lines(count: int) -> bytes:
    return b"".join(json.dumps({"text": f"row {n}"}).encode() + b"\n" for n in range(count))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_plan_survives_its_parquet_and_equals_itself_when_made_anew(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines(25))
    write(tmp_path / "empty.jsonl", b"")
    plan = make_plan(section(str(tmp_path), shard_rows=10))
    assert Plan.from_parquet(plan.to_parquet()) == plan == make_plan(section(str(tmp_path), shard_rows=10))
    assert [shard.rows for shard in plan.shards] == [10, 10, 5]
    assert len({shard.id for shard in plan.shards}) == 3
    nothing = Plan((), plan.files)
    assert Plan.from_parquet(nothing.to_parquet()) == nothing


def test_a_resume_wants_the_same_files(tmp_path: Path) -> None:
    a, b = write(tmp_path / "in/a.jsonl", lines(5)), write(tmp_path / "in/b.jsonl", lines(5))
    plan = make_plan(section(f"{tmp_path}/in"))
    shards = ShardTable.of(plan.shards)
    paths = {"a.jsonl": f"{tmp_path}/in/a.jsonl", "b.jsonl": f"{tmp_path}/in/b.jsonl"}
    assert plan.check(expand(section(f"{tmp_path}/in")), shards) == InputToday(paths, [], [], [], NotTaken())
    write(tmp_path / "in/new.jsonl", lines(1))
    write(tmp_path / "in/empty.jsonl", b"")
    assert plan.check(expand(section(f"{tmp_path}/in")), shards).new == ["new.jsonl"]
    (tmp_path / "in").rename(tmp_path / "moved")
    moved = shards.opened_at(plan.check(expand(section(f"{tmp_path}/moved")), shards).paths)
    assert [shard.file for shard in moved] == [f"{tmp_path}/moved/a.jsonl", f"{tmp_path}/moved/b.jsonl"]
    assert [shard.id for shard in moved] == [shard.id for shard in plan.shards]
    write(tmp_path / "moved" / a.name, lines(6))
    (tmp_path / "moved" / b.name).unlink()
    left = expand(section(f"{tmp_path}/moved"))
    with pytest.raises(ConfigError, match=r"missing: b.jsonl; changed: a.jsonl"):
        plan.check(left, shards)
    with pytest.raises(ConfigError, match=r"\(changed: a.jsonl\)"):
        plan.check(left, shards[:1])
    assert plan.check(left, ()) == InputToday({}, ["new.jsonl"], ["b.jsonl"], ["a.jsonl"], NotTaken())


def shards(count: int, rows_in_a_file: int) -> tuple[Shard, ...]:
    first = 1_000_000  # no small number, which Python holds once
    return tuple(
        Shard(number, f"{number:016x}", f"/in/{file}", file, f"tag {file}", "jsonl", number, 1, number, 9)
        for number in range(first, first + count)
        for file in [f"{number // rows_in_a_file:08}.jsonl"]
    )


@pytest.mark.parametrize(("rows_in_a_file", "most"), [(1_000_000, 100), (1, 250)])
def test_a_shard_takes_a_hundred_bytes_of_memory_and_another_for_a_file_of_its_own(
    rows_in_a_file: int, most: int
) -> None:
    planned = shards(20_000, rows_in_a_file)
    stored = Plan(planned, ()).to_parquet()
    tracemalloc.start()
    arrow = pa.total_allocated_bytes()
    read = Plan.from_parquet(stored)
    assert read.rows == 20_000
    assert (pa.total_allocated_bytes() - arrow) / 20_000 < most
    assert tracemalloc.get_traced_memory()[1] / 20_000 < 100  # those that exist at a time
    tracemalloc.stop()
    assert read.shards == planned


def test_many_missing_shards_share_what_they_have_in_common() -> None:
    read = Plan.from_parquet(Plan(shards(20_000, rows_in_a_file=1_000_000), ()).to_parquet())
    tracemalloc.start()
    missing = list(read.shards)
    assert tracemalloc.get_traced_memory()[0] / len(missing) < 400
    tracemalloc.stop()


def test_stored_plans_join_in_their_order() -> None:
    planned = shards(5_000, rows_in_a_file=3)
    parts = planned[:4_500], (), planned[4_500:]
    plan = Plan.join([Plan.from_parquet(Plan(part, ()).to_parquet()) for part in parts])
    assert plan.shards == planned
    assert plan.extensions == (4_500, 4_500)
    assert [tuple(part) for part in plan.by_plan_file()] == [*parts]
    assert plan.shards[4_999] == planned[4_999]


@pytest.mark.parametrize(
    "damage",
    [b"", b"hello", b"PAR1" + bytes(99) + b"PAR1", sealed_bytes(pa.table({"a": [1]}))],
    ids=["empty", "hello", "zeros", "another"],
)
def test_a_file_that_is_no_plan_is_told_in_a_sentence(damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it (is|was) "):
        Plan.from_parquet(damage)


def test_a_flipped_bit_is_told_in_a_sentence() -> None:
    stored = bytearray(Plan(shards(5, rows_in_a_file=3), ()).to_parquet())
    for byte in range(0, len(stored), 7):
        stored[byte] ^= 1
        with pytest.raises(ValueError, match=r"^it (is|was) |^its bytes "):
            Plan.from_parquet(bytes(stored))
        stored[byte] ^= 1

"""A plan comes back from its file as it was, in little memory, and tells whether its input is still there."""

import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.config import InputSection
from pipeline.errors import ConfigError
from pipeline.reading.cuts import make_plan
from pipeline.reading.plan import Plan
from pipeline.reading.shard_table import Shard


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
    assert plan.check(section(f"{tmp_path}/in")) == (plan, [])
    write(tmp_path / "in/new.jsonl", lines(1))
    assert plan.check(section(f"{tmp_path}/in"))[1] == ["new.jsonl"]
    (tmp_path / "in").rename(tmp_path / "moved")
    moved, _ = plan.check(section(f"{tmp_path}/moved"))
    assert [shard.file for shard in moved.shards] == [
        f"{tmp_path}/moved/a.jsonl",
        f"{tmp_path}/moved/b.jsonl",
    ]
    assert [shard.id for shard in moved.shards] == [shard.id for shard in plan.shards]
    write(tmp_path / "moved" / a.name, lines(6))
    (tmp_path / "moved" / b.name).unlink()
    with pytest.raises(ConfigError, match=r"missing: b.jsonl; changed: a.jsonl"):
        plan.check(section(f"{tmp_path}/moved"))


def shards(count: int) -> tuple[Shard, ...]:
    return tuple(
        Shard(number, f"{number:016x}", "/in/a.jsonl", "a.jsonl", "tag", "jsonl", number, 1, 9 * number, 9, 0)
        for number in range(1_000, 1_000 + count)
    )


def test_a_shard_takes_a_hundred_bytes_of_memory() -> None:
    planned = shards(20_000)
    stored = Plan(planned, ()).to_parquet()
    tracemalloc.start()
    arrow = pa.total_allocated_bytes()
    read = Plan.from_parquet(stored)
    assert read.rows == 20_000
    assert (pa.total_allocated_bytes() - arrow) / 20_000 < 100
    assert tracemalloc.get_traced_memory()[1] / 20_000 < 100  # a row group's shards at a time
    tracemalloc.stop()
    assert read.shards == planned

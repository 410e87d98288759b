import json
from pathlib import Path

import pyarrow as pa
import pytest
import ray

from pipeline.cluster import connect
from pipeline.config import InputSection
from pipeline.reading.cuts import make_plan
from pipeline.reading.datasource import ShardDatasource
from pipeline.reading.shard_block import ShardBlock


def describe(block: pa.Table) -> pa.Table:
    read = ShardBlock.unpacked(block)
    shard, rows = read.shard, read.rows["row"].to_pylist()
    whole = rows == list(range(shard.first_row, shard.first_row + shard.rows))
    return pa.table({"shard": [shard.ordinal], "id": [shard.id], "rows": [len(rows)], "whole": [whole]})


@pytest.mark.parametrize(
    ("rows", "shard_rows", "most_tasks"), [(100, 1, 1000), (100, 1, 30), (2000, 301, 1000), (5, 100, 1)]
)
@pytest.mark.usefixtures("local_ray")
def test_every_shard_is_exactly_one_block(
    tmp_path: Path, rows: int, shard_rows: int, most_tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect()
    monkeypatch.setattr("pipeline.reading.datasource._MOST_TASKS", most_tasks)
    for name in ("a", "b"):
        lines = (json.dumps({"text": f"{name} {n}" * (n % 9)}) + "\n" for n in range(rows))
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    section = InputSection.model_validate(
        {"path": str(tmp_path), "prompt": {"column": "text"}, "shard_rows": shard_rows}
    )
    shards = make_plan(section).shards
    source = ShardDatasource(shards, ["text"])
    assert len(source.get_read_tasks(1)) == source.tasks <= most_tasks
    dataset = ray.data.read_datasource(source, override_num_blocks=source.tasks)
    blocks = dataset.map_batches(describe, batch_size=None, batch_format="pyarrow").take_all()
    seen = sorted((block["shard"], block["id"], block["rows"], block["whole"]) for block in blocks)
    assert seen == [(shard.ordinal, shard.id, shard.rows, True) for shard in shards]


def test_tasks_say_how_much_they_will_give(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" * 25)
    section = InputSection.model_validate(
        {"path": str(tmp_path), "prompt": {"template": "x"}, "shard_rows": 10}
    )
    source = ShardDatasource(make_plan(section).shards, [])
    tasks = [task.metadata for task in source.get_read_tasks(1)]
    assert [(task.num_rows, task.size_bytes) for task in tasks] == [(1, 30), (1, 30), (1, 15)]
    assert source.estimate_inmemory_data_size() == 75

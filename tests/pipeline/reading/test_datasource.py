import json
from pathlib import Path

import pyarrow as pa
import pytest
import ray

from pipeline.config import InputSection
from pipeline.reading.cuts import make_plan
from pipeline.reading.datasource import ShardDatasource, carried_shard


def describe(block: pa.Table) -> pa.Table:
    shard = carried_shard(block)
    rows = block["row"].to_pylist()
    whole = rows == list(range(shard.first_row, shard.first_row + shard.rows))
    return pa.table({"shard": [shard.ordinal], "id": [shard.id], "rows": [len(block)], "whole": [whole]})


@pytest.mark.parametrize(("rows", "shard_rows"), [(100, 1), (2000, 301), (5, 100)])
@pytest.mark.usefixtures("local_ray")
def test_every_shard_is_exactly_one_block(tmp_path: Path, rows: int, shard_rows: int) -> None:
    for name in ("a", "b"):
        lines = (json.dumps({"text": f"{name} {n}" * (n % 9)}) + "\n" for n in range(rows))
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    section = InputSection.model_validate(
        {"path": str(tmp_path), "prompt": {"column": "text"}, "shard_rows": shard_rows}
    )
    shards = make_plan(section).shards
    source = ShardDatasource(shards, ["text"])
    dataset = ray.data.read_datasource(source, override_num_blocks=len(shards))
    blocks = dataset.map_batches(describe, batch_size=None, batch_format="pyarrow").take_all()
    seen = sorted((block["shard"], block["id"], block["rows"], block["whole"]) for block in blocks)
    assert seen == [(shard.ordinal, shard.id, shard.rows, True) for shard in shards]


def test_tasks_say_how_many_rows_they_will_give(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" * 25)
    section = InputSection.model_validate(
        {"path": str(tmp_path), "prompt": {"template": "x"}, "shard_rows": 10}
    )
    source = ShardDatasource(make_plan(section).shards, [])
    assert [task.metadata.num_rows for task in source.get_read_tasks(1)] == [10, 10, 5]
    assert source.estimate_inmemory_data_size() == 75

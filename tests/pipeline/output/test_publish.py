"""A shard's file: what its footer says is what its rows and its router table are."""

import hashlib
import io
import json
import pickle
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.durable.job_spec import SPEC, spec_bytes
from pipeline.errors import ConfigError, JobError
from pipeline.output.part_file import read_footer
from pipeline.output.publish import Publishing
from pipeline.reporting.summary import ShardSummary
from pipeline.shards.carried_shard import CarriedShard
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store
from pipeline.tasks.label import Label, LabelSection
from pipeline.tasks.label_trust import PROBS

COLUMNS = {
    "id": pa.string(),
    "status": pa.string(),
    "error_code": pa.string(),
    "label": pa.string(),
    "prompt_tokens": pa.int32(),
    "generated_tokens": pa.int32(),
    "queue": pa.string(),
    "kept_unfit": pa.string(),
    "label_mass": pa.float64(),
}
ROWS = [
    ("0", "ok", None, "yes", 10, 0, "yes", None, None),
    ("1", "ok", None, "no", 20, 0, "yes", None, None),
    ("2", "ok", None, "no", 5, 0, None, None, None),
    ("3", "error", "EMPTY_LINE", None, None, None, None, None, None),
    ("4", "error", "BAD_MESSAGES", None, 7, None, "yes", None, None),
    ("5", "error", "EMPTY_LINE", None, None, None, "no", None, None),
]
ROUTER = b"sums of the shard"
TASK = Label(LabelSection(choices={"yes": "yes", "no": "no"}, known_column="queue"))
JOB = {"config": {"job": "published"}, "format_version": 1, "checkpoint": "", "tokenizer": ""}


def publishing(store: Store) -> Publishing:
    """For a job that has begun in the store."""
    store.create(SPEC, spec_bytes(JOB))
    return Publishing(store, TASK, JOB)


def shard(rows: int, ordinal: int = 0) -> Shard:
    return Shard(ordinal, f"{ordinal:016x}", "/in.jsonl", "in.jsonl", "etag", "jsonl", 0, rows, 0, 100)


def rows_table(rows: list[tuple[Any, ...]] = ROWS, **types: pa.DataType) -> pa.Table:
    columns = COLUMNS | types
    made = [dict(zip(columns, row, strict=True)) for row in rows]
    names = sorted({row["label"] for row in made if row["label"] is not None})
    probs = [
        None
        if row["label"] is None
        else [{"label": name, "prob": float(name == row["label"])} for name in names]
        for row in made
    ]
    table = pa.Table.from_pylist(made, schema=pa.schema(list(columns.items())))
    return table.append_column("label_probs", pa.array(probs, PROBS))


def finished(router: bytes | None = ROUTER, ordinal: int = 0) -> pa.Table:
    """A block as a replica gives it."""
    return CarriedShard(shard(len(ROWS), ordinal), rows_table(), router).packed()


def test_a_summary_counts_rows_errors_tokens_and_right_labels() -> None:
    assert replace(ShardSummary.of(rows_table(), TASK), measured={}) == ShardSummary(
        rows=6,
        errors={"EMPTY_LINE": 2, "BAD_MESSAGES": 1},
        prompt_tokens=42,
        generated_tokens=0,
        known=2,
        right=1,
    )
    unknown = Label(LabelSection(choices={"yes": "yes", "no": "no"}))
    assert ShardSummary.of(rows_table(), unknown).known == 0


def test_a_summary_of_errors_alone() -> None:
    summary = ShardSummary.of(rows_table(ROWS[3:4]), TASK)
    assert summary == ShardSummary(1, {"EMPTY_LINE": 1}, 0, 0, 0, 0)


def test_known_labels_may_be_numbers() -> None:
    rows: list[tuple[Any, ...]] = [
        ("0", "ok", None, "1", 1, 0, 1, None, None), ("1", "ok", None, "0", 1, 0, 1, None, None)
    ]  # fmt: skip
    numbers = Label(LabelSection(choices={"1": "1", "0": "0"}, known_column="queue"))
    assert numbers.known_and_right(rows_table(rows, queue=pa.int64())) == (2, 1)


@pytest.mark.parametrize("router", [ROUTER, None])
def test_the_footer_gives_what_was_published(place: str, router: bytes | None) -> None:
    store = open_store(place)
    [published] = publishing(store)(finished(router)).to_pylist()
    summary = ShardSummary(**json.loads(published["summary"]))
    assert summary == ShardSummary.of(rows_table(), TASK)
    with store.open_file(published["path"]) as part:
        found, table = read_footer(published["path"], part)
    assert found == summary
    assert published["sha256"] == hashlib.sha256(store.read(published["path"])).hexdigest()
    if router is None:
        assert table is None
        assert store.list("_job/router") == []
    else:
        assert table is not None
        assert store.read(table.path) == router
        assert table.sha256 == hashlib.sha256(router).hexdigest()


def test_a_part_holds_the_rows_and_no_column_of_the_machinery(place: str) -> None:
    store = open_store(place)
    [published] = publishing(store)(finished()).to_pylist()
    part = pq.read_table(io.BytesIO(store.read(published["path"])))
    assert part.replace_schema_metadata(None).equals(rows_table())


def test_a_second_attempt_changes_nothing(place: str) -> None:
    store = open_store(place)
    [first] = publishing(store)(finished()).to_pylist()
    before = store.read(first["path"])
    [second] = publishing(store)(finished(b"of another attempt")).to_pylist()
    assert second["path"] == first["path"]
    assert second["sha256"] is None
    assert store.read(first["path"]) == before
    with store.open_file(first["path"]) as part:
        _, table = read_footer(first["path"], part)
    assert table is not None
    assert store.read(table.path) == ROUTER


def test_a_block_of_two_shards_is_not_published(place: str) -> None:
    store = open_store(place)
    with pytest.raises(RuntimeError, match="a block of 2 shards came"):
        publishing(store)(pa.concat_tables([finished(), finished()]))
    assert store.list("generations") == []


def test_a_folder_in_which_the_job_did_not_begin_is_left_alone(place: str) -> None:
    store = open_store(place)
    with pytest.raises(JobError, match="does not find the job there"):
        Publishing(store, TASK, JOB)(finished())
    store.create(SPEC, spec_bytes(JOB | {"config": {"job": "another"}}))
    with pytest.raises(ConfigError, match='job: was "another", is "published"'):
        Publishing(store, TASK, JOB)(finished())
    assert store.list("generations") == []


def test_pandas_reads_a_folder_of_parts(tmp_path: Any) -> None:
    publish = pickle.loads(pickle.dumps(publishing(open_store(tmp_path))))
    for ordinal in range(3):
        publish(finished(ordinal=ordinal))
    assert len(pd.read_parquet(tmp_path / "generations")) == 3 * len(ROWS)

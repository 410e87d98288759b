"""The table of no row: all columns of the job's parts, in their types."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.job import JobConfig
from pipeline.durable.commit import EMPTY_TABLE
from pipeline.errors import ConfigError
from pipeline.output.empty_table import empty_table
from pipeline.preflight.job import check_job
from pipeline.reading.kept_types import KeptTypes
from pipeline.run import run

KEPT = {"keep": ["queue", "size"], "keep_types": {"size": "int64"}}


def test_a_job_without_rows_is_refused_and_writes_nothing(make_config: Callable[..., JobConfig]) -> None:
    config = make_config([])
    with pytest.raises(ConfigError, match=r"has a row \(1: rows.jsonl\).*allow_empty: true"):
        run(config)
    assert not Path(config.output.path).exists()


def test_a_job_that_may_be_empty_is_done_at_once_with_typed_tables(
    make_config: Callable[..., JobConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", None)  # it needs no Ray
    config = make_config([], input={"allow_empty": True, **KEPT})
    report = run(config)
    assert (report.state, report.rows, report.rows_planned) == ("done", 0, 0)
    out = Path(config.output.path)
    assert (out / "_SUCCESS").exists()
    frame = pd.read_parquet(out / "generations")
    assert len(frame) == 0
    schema = pq.read_schema(out / EMPTY_TABLE)
    assert schema.field("row").type == pa.int64()
    assert schema.field("size").type == pa.int64()
    assert schema.field("kept_unfit").type == pa.string()
    assert pa.types.is_fixed_size_list(schema.field("router_decode_second").type)
    for name in ("experts", "pairs", "layers"):
        assert len(pd.read_parquet(out / f"router/{name}.parquet")) == 0
    assert run(config).state == "done", "a second run finds nothing to do"


@pytest.mark.parametrize("missing", ["*.jsonl", "folder/", "folder", "nowhere/a.jsonl"])
def test_a_path_without_files_is_empty_too(
    make_config: Callable[..., JobConfig], tmp_path: Path, missing: str
) -> None:
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / "in" / missing) if "*" in missing else str(tmp_path / missing)
    with pytest.raises(ConfigError, match=r"input.path: .*: no "):
        run(make_config([], input={"path": path}))
    assert run(make_config([], input={"path": path, "allow_empty": True})).rows == 0


def test_an_empty_job_without_leave_is_no_success_when_it_is_run_again(
    make_config: Callable[..., JobConfig],
) -> None:
    run(make_config([], input={"allow_empty": True}))
    with pytest.raises(ConfigError, match=r"none of|the job that began here has no row: .*--extend"):
        run(make_config([]))


@pytest.mark.usefixtures("local_ray")
def test_rows_that_come_later_extend_it_and_errors_alone_leave_typed_tables(
    make_config: Callable[..., JobConfig], tmp_path: Path
) -> None:
    """The file that was empty is filled; its rows are all errors, and decide the type of a kept column."""
    section = {"allow_empty": True, "keep": ["queue"]}
    errors = {"max_error_rate": 1.0}
    config = make_config([], input=section, errors=errors)
    out = tmp_path / "out"
    run(config)
    assert pq.read_schema(out / EMPTY_TABLE).field("queue").type == pa.string()
    (tmp_path / "rows.jsonl").write_text(json.dumps({"ids": [], "queue": 7}) + "\n", encoding="utf-8")
    assert run(config).rows == 0, "it is not added unless it is asked for"
    report = run(config, extend=True)
    assert (report.rows, report.rows_by_status) == (1, {"ok": 0, "error": 1})
    assert (out / "_SUCCESS-001").exists()
    frame = pd.read_parquet(out / "generations")
    assert frame["queue"].tolist() == [7]
    assert str(frame["queue"].dtype) == "int64"
    schemas = {str(pq.read_schema(path).remove_metadata()) for path in (out / "generations").iterdir()}
    assert len(schemas) == 1, schemas
    for name in ("experts", "pairs", "layers"):
        table = pq.read_table(out / f"router/{name}.parquet")
        assert len(table) == 0
        assert table.schema.field("group").type == pa.string()


def test_it_has_the_columns_of_every_part(make_config: Callable[..., JobConfig]) -> None:
    config = make_config([{"ids": [1], "queue": "a"}], input=KEPT)
    job = check_job(config)
    columns = empty_table(job, KeptTypes(config.input).settle()).schema
    assert columns.names[:3] == ["id", "file", "row"]
    assert {"queue", "size", "kept_unfit", "token_ids"} <= {*columns.names}

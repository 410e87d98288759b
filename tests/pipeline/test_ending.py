"""The report of an interrupted run, which has little time for it."""

import json
from pathlib import Path

import pytest

from pipeline.ending import write_report
from pipeline.job import check_job
from pipeline.storage.store import Store
from tests.many_shards.folder import fill, make_config


def test_with_no_time_left_only_what_is_known_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, shards=50, missing=2)
    job = check_job(make_config(tmp_path))
    store, out = Store.open(job.config.output.path), tmp_path / "out"
    write_report(job, store, "interrupted", [], 1.0)
    whole = json.loads((out / "report.json").read_bytes())
    assert (whole["rows"], whole["rows_by_status"]) == (48, {"ok": 48, "error": 0})
    assert whole["prompt_tokens"] > 0
    tables = (out / "router/experts.parquet").read_bytes()

    with monkeypatch.context() as inside:
        inside.setattr("pipeline.ending._SECONDS_TO_ADD_UP", -1.0)
        _, parts = write_report(job, store, "interrupted", [], 1.0)
    assert parts == []
    known = {name: value for name, value in whole.items() if name in ("state", "rows", "rows_planned")}
    told = json.loads((out / "report.json").read_bytes())
    assert known.items() <= told.items()
    assert (told["rows_by_status"], told["prompt_tokens"], told["error_rate"]) == (None, None, None)
    assert b"not added up" in (out / "report.html").read_bytes()
    assert (out / "router/experts.parquet").read_bytes() == tables

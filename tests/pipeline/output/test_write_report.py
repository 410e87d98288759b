"""What a run reads and tells at its end: without time, with many groups, after earlier runs."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config.job import JobConfig
from pipeline.output.write_report import report_interrupted, write_report
from pipeline.preflight.job import check_job
from pipeline.run import run
from pipeline.storage.local_store import LocalStore
from pipeline.storage.open_store import open_store
from pipeline.supervision.stop_budget import SECONDS_TO_REPORT
from tests.many_shards import folder
from tests.random_prompts import random_prompts


def test_groups_that_were_merged_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.fill(tmp_path, shards=3, missing=0, groups=[f"customer {number}" for number in range(600)])
    job = check_job(folder.make_config(tmp_path))
    report, _ = write_report(job, open_store(job.config.output.path), "done", [], 1.0)
    assert report.groups_merged
    assert "name the 256 largest groups; all others are counted as (other)" in caplog.text
    assert b"the others together as (other)" in (tmp_path / "out/report.html").read_bytes()
    layers = pd.read_parquet(tmp_path / "out/router/layers.parquet").query("layer == 0")
    assert layers["group"].nunique() == 257
    assert layers["tokens"].sum() == 3 * 600 * 2, "one token in each phase"


def test_rows_of_one_id_are_counted_where_ids_are_the_job_s_own(tmp_path: Path) -> None:
    folder.fill(tmp_path, shards=4, missing=0)
    job = check_job(folder.make_config(tmp_path))
    store = open_store(job.config.output.path)
    assert write_report(job, store, "done", [], 1.0)[0].duplicate_ids == 0
    section = job.config.input.model_copy(update={"id_column": "key"})
    job = replace(job, config=job.config.model_copy(update={"input": section}))
    report, _ = write_report(job, store, "done", [], 1.0)
    assert report.duplicate_ids == 3, "all four parts are copies of one row"
    assert dict(report.facts())["duplicate ids"] == "3 rows have the id of another row"
    assert json.loads((tmp_path / "out/report.json").read_bytes())["duplicate_ids"] == 3
    assert write_report(job, store, "interrupted", [], 1.0)[0].duplicate_ids == 3, "nothing is missing"


def test_with_no_time_left_only_what_is_known_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.fill(tmp_path, shards=50, missing=2)
    job = check_job(folder.make_config(tmp_path))
    store, out = open_store(job.config.output.path), tmp_path / "out"
    write_report(job, store, "interrupted", [], 1.0)
    whole = json.loads((out / "report.json").read_bytes())
    assert (whole["rows"], whole["rows_by_status"]) == (48, {"ok": 48, "error": 0})
    assert whole["prompt_tokens"] > 0
    tables = (out / "router/experts.parquet").read_bytes()

    with monkeypatch.context() as inside:
        inside.setattr("pipeline.output.write_report._SHARE_TO_SUM_UP", -1000.0)
        _, parts = write_report(job, store, "interrupted", [], 1.0, until=time.monotonic() + 60)
    assert parts == []
    known = {name: value for name, value in whole.items() if name in ("state", "rows", "rows_planned")}
    told = json.loads((out / "report.json").read_bytes())
    assert known.items() <= told.items()
    assert (told["rows_by_status"], told["prompt_tokens"], told["error_rate"]) == (None, None, None)
    assert b"not added up" in (out / "report.html").read_bytes()
    assert (out / "router/experts.parquet").read_bytes() == tables


@pytest.mark.usefixtures("local_ray")
def test_only_parts_of_earlier_runs_are_read_whole(
    make_config: Callable[..., JobConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []  # by the driver
    plain = LocalStore.read

    def recorded(store: LocalStore, path: str) -> bytes:
        read.append(path)
        return plain(store, path)

    monkeypatch.setattr(LocalStore, "read", recorded)
    config = make_config([{"ids": row} for row in random_prompts(30)], generation={"max_new_tokens": 2})
    run(config)
    out = Path(config.output.path)
    parts = sorted(str(path.relative_to(out)) for path in (out / "generations").iterdir())
    assert not set(read) & set(parts)
    assert hashes_of(out) == {part: hashlib.sha256((out / part).read_bytes()).hexdigest() for part in parts}

    (out / parts.pop(2)).unlink()  # as if the first run had been killed before this commit
    before = hashes_of(out)
    (out / "_SUCCESS").unlink()
    read.clear()
    run(config)
    assert sorted(path for path in read if path.startswith("generations/")) == parts
    assert {part: hashes_of(out)[part] for part in parts} == {part: before[part] for part in parts}
    assert len(hashes_of(out)) == 4


def hashes_of(out: Path) -> dict[str, str]:
    """What _SUCCESS says of each part."""
    return {part["path"]: part["sha256"] for part in json.loads((out / "_SUCCESS").read_bytes())["parts"]}


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (OSError("the disk is gone"), "the disk is gone"),
        (MemoryError("no room for 9 bytes"), "no room for 9 bytes"),
        (ValueError("secret"), "ValueError, raised at "),
    ],
)
def test_a_report_that_cannot_be_written_leaves_a_stopped_run_stopped(
    make_config: Callable[..., JobConfig],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: Exception,
    told: str,
) -> None:
    def fail(*given: object, until: float) -> None:
        raise trouble

    monkeypatch.setattr("pipeline.output.write_report.write_report", fail)
    config = make_config([{"ids": [1]}])
    report_interrupted(check_job(config), open_store(config.output.path), [], 1.0)
    assert f"no report was written: {told}" in caplog.text
    assert "secret" not in caplog.text


def test_a_stopped_run_does_not_wait_for_a_store_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.fill(tmp_path, shards=3, missing=1)
    job = check_job(folder.make_config(tmp_path))
    monkeypatch.setattr(LocalStore, "replace", lambda *_: time.sleep(30))
    begin = time.monotonic()
    report_interrupted(job, open_store(job.config.output.path), [], 1.0)
    assert time.monotonic() - begin < SECONDS_TO_REPORT + 1
    assert "no report was written: the output folder did not answer within 2 s" in caplog.text

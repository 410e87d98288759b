"""`ray job` on a real local cluster: submitted, submitted again, stopped."""

import json
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.job_server import DEMO, ROOT, SECONDS, JobServer

LONGER = ["generation.max_new_tokens=48"]  # `ray job stop` takes seconds to begin


@pytest.mark.timeout(500)
def test_a_month_of_the_demo_runs_as_a_submitted_job(job_server: JobServer, tmp_path: Path) -> None:
    month = ROOT / "configs/demo/tickets/2026-01.jsonl"
    out = tmp_path / "out"
    assert "succeeded" in job_server.submit(DEMO, out, overrides=[f"input.path={month}", "engine.replicas=1"])
    table = pd.read_parquet(out / "generations")
    assert len(table) == month.read_bytes().count(b"\n")
    ok = table[table["status"] == "ok"]
    assert (ok["label"] == ok["queue"]).mean() > 0.95


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_second_submission_does_nothing_anew(
    job_server: JobServer, demo_output: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(demo_output, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()}
    assert "succeeded" in job_server.submit(DEMO, out)
    assert {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()} == before
    assert json.loads((out / "report.json").read_text())["rows_this_run"] == 0


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("patience", [pytest.param(None, id="for-3-s"), pytest.param(60, id="for-60-s")])
def test_a_stopped_job_keeps_what_it_committed_and_the_next_submission_does_the_rest(
    job_server: JobServer, job_file: Path, tmp_path: Path, patience: int | None
) -> None:
    out, first = tmp_path / "out", f"stopped-{patience}"
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(patience)} if patience else {}
    options = ["--no-wait", "--submission-id", first]
    options += ["--runtime-env-json", json.dumps({"env_vars": variables})]
    job_server.submit(job_file, out, *options, overrides=LONGER)
    deadline = time.monotonic() + SECONDS
    while not list(out.glob("generations/*.parquet")):
        assert time.monotonic() < deadline, job_server.ray_job("logs", first)
        time.sleep(0.05)
    assert "was stopped" in job_server.ray_job("stop", first)
    committed = len(pd.read_parquet(out / "generations"))
    assert 0 < committed < 200
    assert not (out / "_SUCCESS").exists()
    if patience:  # else Ray may kill it before the report is written
        report = json.loads((out / "report.json").read_text())
        assert (report["state"], report["rows"]) == ("interrupted", committed)

    assert "succeeded" in job_server.submit(job_file, out, overrides=LONGER)
    assert sorted(pd.read_parquet(out / "generations")["row"]) == list(range(200))
    report = json.loads((out / "report.json").read_text())
    assert 0 < report["rows_this_run"] < report["rows"] == 200

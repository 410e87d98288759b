"""`ray job` on a real local cluster: submitted, submitted again, stopped."""

import json
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.ray_head import Head, environment

ROOT = Path(__file__).parents[2]
SECONDS = 240
LONGER = "generation.max_new_tokens=48"  # `ray job stop` takes seconds to begin


class JobServer:
    """The job server of a cluster, as `ray job` reaches it from a shell."""

    def __init__(self, head: Head) -> None:
        self.head = head

    def ray_job(self, call: str, *arguments: str) -> str:
        done = subprocess.run(
            ["ray", "job", call, "--address", self.head.dashboard, *arguments],
            cwd=ROOT,
            env=environment(self.head.auth),
            text=True,
            timeout=SECONDS,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def submit(self, job_file: Path, out: Path, *options: str, override: str | None = None) -> str:
        overrides = ["--set", f"output.path={out}", *(["--set", override] if override else [])]
        command = ["python", "-m", "jobs", "run", str(job_file), *overrides]
        return self.ray_job("submit", *options, "--working-dir", ".", "--", *command)


@pytest.fixture(scope="module")
def server(cluster: Head) -> JobServer:
    server = JobServer(cluster)
    for _ in range(20):  # the agent comes up some seconds after the job server
        try:
            server.ray_job("submit", "--", "true")
        except AssertionError as error:
            failure = error
        else:
            return server
    pytest.fail(f"the cluster takes no jobs: {failure}")


@pytest.mark.timeout(500)
def test_the_demo_runs_as_a_submitted_job_and_a_second_one_does_nothing_anew(
    server: JobServer, tmp_path: Path
) -> None:
    out, demo = tmp_path / "out", Path("configs/demo/job.yaml")
    assert "succeeded" in server.submit(demo, out)
    table = pd.read_parquet(out / "generations")
    lines = sum(path.read_bytes().count(b"\n") for path in (ROOT / "configs/demo/tickets").glob("*.jsonl"))
    assert len(table) == lines
    ok = table[table["status"] == "ok"]
    assert (ok["label"] == ok["queue"]).mean() > 0.95
    before = {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()}

    assert "succeeded" in server.submit(demo, out)
    assert {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()} == before
    assert json.loads((out / "report.json").read_text())["rows_this_run"] == 0


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("patience", [pytest.param(None, id="for-3-s"), pytest.param(60, id="for-60-s")])
def test_a_stopped_job_keeps_what_it_committed_and_the_next_submission_does_the_rest(
    server: JobServer, job_file: Path, tmp_path: Path, patience: int | None
) -> None:
    out, first = tmp_path / "out", f"stopped-{patience}"
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(patience)} if patience else {}
    options = ["--no-wait", "--submission-id", first]
    options += ["--runtime-env-json", json.dumps({"env_vars": variables})]
    server.submit(job_file, out, *options, override=LONGER)
    deadline = time.monotonic() + SECONDS
    while not list(out.glob("generations/*.parquet")):
        assert time.monotonic() < deadline, server.ray_job("logs", first)
        time.sleep(0.05)
    assert "was stopped" in server.ray_job("stop", first)
    committed = len(pd.read_parquet(out / "generations"))
    assert 0 < committed < 200
    assert not (out / "_SUCCESS").exists()
    if patience:  # else Ray may kill it before the report is written
        report = json.loads((out / "report.json").read_text())
        assert (report["state"], report["rows"]) == ("interrupted", committed)

    assert "succeeded" in server.submit(job_file, out, override=LONGER)
    assert sorted(pd.read_parquet(out / "generations")["row"]) == list(range(200))
    report = json.loads((out / "report.json").read_text())
    assert 0 < report["rows_this_run"] < report["rows"] == 200

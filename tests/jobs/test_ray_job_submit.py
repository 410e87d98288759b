"""`ray job submit` on a real local cluster: the demo runs, and a second submission does nothing."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.jobs.head import environment, ray_head, token

ROOT = Path(__file__).parents[2]
AUTH = token()
ENVIRONMENT = environment(AUTH)


def run(*command: str, seconds: float = 240) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, timeout=seconds, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def dashboard() -> Iterator[str]:
    with ray_head(AUTH) as head:
        yield head.dashboard


@pytest.mark.timeout(500)
def test_the_demo_runs_as_a_submitted_job_and_a_second_one_does_nothing_anew(
    dashboard: str, tmp_path: Path
) -> None:
    for _ in range(20):  # the job server and its agent come up some seconds after the head
        tried = subprocess.run(
            ["ray", "job", "submit", "--address", dashboard, "--", "true"],
            env=ENVIRONMENT,
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            break
    else:
        pytest.fail(f"the cluster takes no jobs: {tried.stderr.decode()}")
    out = tmp_path / "out"

    def submit() -> str:
        return run(
            "ray", "job", "submit", "--address", dashboard, "--working-dir", ".", "--",
            "python", "-m", "jobs", "run", "configs/demo/job.yaml", "--set", f"output.path={out}",
        )  # fmt: skip

    assert "succeeded" in submit()
    table = pd.read_parquet(out / "generations")
    lines = sum(path.read_bytes().count(b"\n") for path in (ROOT / "configs/demo/tickets").glob("*.jsonl"))
    assert len(table) == lines
    ok = table[table["status"] == "ok"]
    assert (ok["label"] == ok["queue"]).mean() > 0.95
    before = {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()}

    assert "succeeded" in submit()
    assert {path: path.stat().st_mtime_ns for path in (out / "generations").iterdir()} == before
    assert json.loads((out / "report.json").read_text())["rows_this_run"] == 0

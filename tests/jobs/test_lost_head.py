"""The cluster's head dies under a job: the job ends with an error, and goes on with a new head."""

from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.jobs.running_job import RunningJob
from tests.ray_head import Head, ray_head, token

PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}  # by default the head is looked for a minute


def kill_head(head: Head) -> None:
    """All at once, as when its machine is lost."""
    for process in psutil.Process(head.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # workers end with their raylet
            if process.name() in ("gcs_server", "raylet"):
                process.kill()


@pytest.mark.slow
def test_a_job_whose_head_is_lost_ends_with_an_error_and_goes_on_with_a_new_one(job_file: Path) -> None:
    out = job_file.parent / "out"

    def parts() -> int:
        return len(list(out.glob("generations/*.parquet")))

    with ray_head(token() | PATIENCE) as head:
        job = RunningJob(job_file, environment=head.environment)
        job.wait_for(lambda: parts() > 0)
        kill_head(head)
        _, errors = job.end(exit_code=1)
    assert "Failed to connect to GCS" in errors
    assert 0 < parts() < 25, "there must be something left to do"
    with ray_head(token()) as head:
        RunningJob(job_file, environment=head.environment).end()
    assert sorted(pd.read_parquet(out / "generations")["row"]) == list(range(200))
    assert (out / "_SUCCESS").exists()

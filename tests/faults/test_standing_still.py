"""A Ray that stands still: what the driver waits for never comes, and nobody tells it."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import JobError
from pipeline.run import run
from pipeline.supervision.stop_budget import SECONDS_PROMISED
from tests.jobs.running_job import RunningJob
from tests.jobs.test_stopping import blamed_shards
from tests.ray_head import Head
from tests.ray_processes import SERVERS, named, stopped


def parts(out: Path) -> list[Path]:
    return list(out.glob("generations/*.parquet"))


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("server", ["raylet", pytest.param("gcs_server", marks=pytest.mark.slow)])
def test_a_job_ends_with_an_error_and_blames_no_shard(
    make_config: Callable[..., JobConfig], monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr("pipeline.cluster.ray_watch._LEAST_SECONDS", 0.0)
    dice = random.Random(6)
    config = make_config(
        [{"ids": [dice.randrange(3, 31_000) for _ in range(12)]} for _ in range(160)],
        generation={"max_new_tokens": 40, "ignore_eos": True},
        engine={"max_batch_rows": 4, "progress_deadline_s": 3},
    )
    out = Path(config.output.path)
    with ExitStack() as until_raised:

        def stop_server() -> None:
            while not parts(out):
                time.sleep(0.01)
            until_raised.enter_context(stopped(named(os.getpid(), server)))

        threading.Thread(target=stop_server, daemon=True).start()
        name = {"raylet": "raylet", "gcs_server": "GCS"}[server]
        with pytest.raises(JobError, match=rf"Ray's {name} gave no answer for 3 s"):
            run(config)
    assert 0 < len(parts(out)) < 20
    assert blamed_shards(str(out)) == []
    assert run(config).rows_by_status == {"ok": 160, "error": 0}


def test_a_signal_is_heeded_all_the_same(job_file: Path, cluster: Head) -> None:
    out = job_file.parent / "out"
    job = RunningJob(job_file, "generation.max_new_tokens=100", environment=cluster.environment)
    job.wait_for(lambda: bool(parts(out)))
    with stopped(named(cluster.pid, *SERVERS)):
        job.process.send_signal(signal.SIGHUP)
        begin = time.monotonic()
        _, errors = job.end(exit_code=75)
        assert time.monotonic() - begin < SECONDS_PROMISED
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert blamed_shards(str(out)) == []
    assert 0 < len(pd.read_parquet(out / "generations")) < 200

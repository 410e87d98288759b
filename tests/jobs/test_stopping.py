"""A job that is asked to stop: what is under way is finished or given up, and nobody is blamed."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from pipeline.durable.attempts import losses, read_attempts
from pipeline.durable.job_start import plan_path
from pipeline.durable.operations import execute
from pipeline.shards.plan import Plan
from pipeline.storage.open_store import open_store
from tests.jobs.running_job import RunningJob
from tests.pipeline.storage.bad_network import BadNetwork
from tests.ray_head import Head


def blamed_shards(url: str) -> list[str]:
    """Shards at which a process may have died: none has told its end."""
    store = open_store(url)
    plan = Plan.from_parquet(store.read(plan_path(0)))
    committed = {path.rpartition("-")[2].partition(".")[0] for path in store.list("generations")}
    open_shards = [shard for shard in plan.shards if shard.id not in committed]
    return [shard.id for shard in open_shards if losses(execute(read_attempts(shard), store))]


def test_stopped_it_ends_with_75_and_blames_no_shard(job_file: Path, cluster: Head) -> None:
    out = job_file.parent / "out"
    job = RunningJob(job_file, "generation.max_new_tokens=100", environment=cluster.environment)
    job.wait_for(lambda: any((out / "generations").glob("*.parquet")))
    job.process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    _, errors = job.end(exit_code=75)
    assert time.monotonic() - begin < 60
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    report = json.loads((out / "report.json").read_text())
    assert report["state"] == "interrupted"
    assert 0 < report["rows"] < 200
    assert report["rows"] == len(pd.read_parquet(out / "generations"))
    attempted = {path.name.partition("-")[0] for path in (out / "_job/attempts").iterdir()}
    assert len(attempted) > report["rows"] / 8, "some shard was begun and not finished"
    assert blamed_shards(str(out)) == []


class SlowCommits:
    """The fate of requests on a network where creating a part takes its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = threading.Event()

    def __call__(self, method: str, path: str) -> None:
        if method in ("PUT", "POST") and "generations/part" in path:
            self.begun.set()
            time.sleep(self.seconds)


@contextmanager
def job_that_commits(
    job_file: Path, s3_url: str, s3_endpoint: str, commits: SlowCommits
) -> Iterator[RunningJob]:
    """A job on S3 whose first commit is under way."""
    with BadNetwork(s3_endpoint, commits) as network, pytest.MonkeyPatch.context() as inside:
        inside.setenv("AWS_ENDPOINT_URL", network.url)
        job = RunningJob(job_file, f"output.path={s3_url}")
        job.wait_for(commits.begun.is_set)
        yield job


@pytest.mark.slow
def test_the_commits_under_way_are_finished_first(job_file: Path, s3_url: str, s3_endpoint: str) -> None:
    commits = SlowCommits(1.0)
    with job_that_commits(job_file, s3_url, s3_endpoint, commits) as job:
        job.process.send_signal(signal.SIGTERM)
        job.end(exit_code=75)
    store = open_store(s3_url)
    report = json.loads(store.read("report.json"))
    assert report["state"] == "interrupted"
    assert report["rows"] > 0, "the first commit was under way when the signal came"
    time.sleep(commits.seconds)  # a commit that was sent off in vain would have arrived by now
    assert report["rows"] == 8 * len(store.list("generations"))
    assert blamed_shards(s3_url) == []


@pytest.mark.slow
def test_commits_that_come_too_late_are_no_deaths(job_file: Path, s3_url: str, s3_endpoint: str) -> None:
    with job_that_commits(job_file, s3_url, s3_endpoint, SlowCommits(60.0)) as job:
        job.process.send_signal(signal.SIGTERM)
        job.end(exit_code=75)
    assert open_store(s3_url).list("generations") == []
    assert open_store(s3_url).list("_job/attempts") != []
    assert blamed_shards(s3_url) == []


@pytest.mark.slow
def test_a_second_ctrl_c_is_not_kept_waiting(job_file: Path, s3_url: str, s3_endpoint: str) -> None:
    with job_that_commits(job_file, s3_url, s3_endpoint, SlowCommits(60.0)) as job:
        job.process.send_signal(signal.SIGINT)
        assert job.process.stderr is not None
        while "stopping" not in job.process.stderr.readline():
            pass
        job.process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        job.end(exit_code=75)
        assert time.monotonic() - begin < 15, "the commits under way would have been waited for as long"


@pytest.mark.slow
def test_stopped_while_it_plans_it_ends_at_once(
    job_file: Path, s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (job_file.parent / "rows.jsonl").read_bytes()
    open_store(s3_url).create("rows.jsonl", rows)
    reading = threading.Event()

    def slow_to_read(method: str, path: str) -> None:
        if method == "GET" and path.endswith("rows.jsonl"):
            reading.set()
            time.sleep(60)

    with BadNetwork(s3_endpoint, slow_to_read) as network, monkeypatch.context() as inside:
        inside.setenv("AWS_ENDPOINT_URL", network.url)
        job = RunningJob(job_file, f"input.path={s3_url}/rows.jsonl")
        job.wait_for(reading.is_set)
        job.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        _, errors = job.end(exit_code=75)
    assert time.monotonic() - begin < 30
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert not (job_file.parent / "out/_job/spec.json").exists()


def test_stopped_in_its_first_seconds_it_ends_with_75(job_file: Path) -> None:
    job = RunningJob(job_file)
    job.wait_for(lambda: "numpy" in Path(f"/proc/{job.process.pid}/maps").read_text())
    job.process.send_signal(signal.SIGTERM)
    _, errors = job.end(exit_code=75)
    assert errors.count("\n") == 1, "one line: the same command goes on"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.5, 1.0, 1.5, 2.0])
def test_stopped_while_ray_starts_it_ends_with_75(job_file: Path, seconds: float) -> None:
    job = RunningJob(job_file)
    driver = psutil.Process(job.process.pid)

    def raylet_runs() -> bool:
        with suppress(psutil.NoSuchProcess):
            return any(child.name() == "raylet" for child in driver.children())
        return False

    job.wait_for(raylet_runs)
    started = driver.children(recursive=True)
    time.sleep(seconds)
    job.process.send_signal(signal.SIGTERM)
    _, errors = job.end(exit_code=75)
    assert "run the same command again" in errors
    assert psutil.wait_procs(started, timeout=30)[1] == [], "the Ray that it started ends with it"

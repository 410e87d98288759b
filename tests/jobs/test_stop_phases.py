"""SIGTERM and SIGHUP in each phase of a run, with a Ray that stands still and with one that does not.

Each ends within the seconds that are promised. What is promised beyond that is in test_stopping.py.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from pipeline.storage.open_store import open_store
from pipeline.supervision.stop_budget import SECONDS_PROMISED
from tests.jobs.running_job import ROOT, RunningJob
from tests.jobs.test_stopping import blamed_shards
from tests.pipeline.storage.bad_network import BadNetwork
from tests.ray_head import ray_head, token
from tests.ray_processes import below, named, stopped, with_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
_SECONDS_OF_RAY = 90  # its agents wait for a GCS that is gone for a minute
FROZEN = pytest.mark.parametrize("frozen", [False, True], ids=["sound", "frozen"])


def stop(
    job: RunningJob, number: signal.Signals, frozen: bool, ray: int | None = None, code: int = 75
) -> str:
    """Send the signal; with `frozen` all of Ray stands still. Returns what the job said on stderr.

    `ray` is the process that started Ray, the job's own by default.
    """
    started = below(ray or job.process.pid)
    with ExitStack() as meanwhile:
        if frozen:
            meanwhile.enter_context(stopped([process.pid for process in started]))
        begin = time.monotonic()
        job.process.send_signal(number)
        _, errors = job.end(exit_code=code)
        seconds = time.monotonic() - begin
    print(f"{number.name}: {seconds:.1f} s")
    assert seconds < SECONDS_PROMISED
    assert "Traceback" not in errors
    if ray is None:
        assert psutil.wait_procs(started, timeout=_SECONDS_OF_RAY)[1] == [], "its own Ray ends too"
    return errors


def parts(job_file: Path) -> bool:
    return any((job_file.parent / "out/generations").glob("*.parquet"))


def ray_processes(job: RunningJob, *names: str) -> Callable[[], bool]:
    return lambda: bool(named(job.process.pid, *names))


@SIGNALS
@FROZEN
@pytest.mark.parametrize("seconds", [0.0, 1.0, 3.0])
def test_while_ray_starts(job_file: Path, number: signal.Signals, frozen: bool, seconds: float) -> None:
    job = RunningJob(job_file)
    job.wait_for(ray_processes(job, "gcs_server"))
    time.sleep(seconds)
    assert "run the same command again" in stop(job, number, frozen)


@FROZEN
def test_while_it_waits_for_gpus(job_file: Path, frozen: bool) -> None:
    with ray_head(token()) as head:
        job = RunningJob(job_file, "engine.device=gpu", environment=head.environment)
        assert job.process.stderr is not None
        while "waiting for GPUs" not in job.process.stderr.readline():
            assert job.process.poll() is None
        stop(job, signal.SIGTERM, frozen, head.pid)


@FROZEN
def test_while_replicas_load(job_file: Path, frozen: bool) -> None:
    job = RunningJob(job_file)
    job.wait_for(lambda: with_command(job.process.pid, "Replica"))
    stop(job, signal.SIGHUP, frozen)


@SIGNALS
@FROZEN
def test_while_shards_run(job_file: Path, number: signal.Signals, frozen: bool) -> None:
    job = RunningJob(job_file, "generation.max_new_tokens=100")
    job.wait_for(lambda: parts(job_file))
    stop(job, number, frozen)
    if not frozen:
        assert blamed_shards(str(job_file.parent / "out")) == []
    RunningJob(job_file, "generation.max_new_tokens=100").end()


@contextmanager
def waiting_at(job_file: Path, s3_url: str, s3_endpoint: str, method: str, path: str) -> Iterator[RunningJob]:
    """A job on S3, where each request of this kind takes a minute."""
    begun = threading.Event()

    def slow(of_method: str, of_path: str) -> None:
        if of_method == method and path in of_path:
            begun.set()
            time.sleep(60)

    with BadNetwork(s3_endpoint, slow) as network, pytest.MonkeyPatch.context() as inside:
        inside.setenv("AWS_ENDPOINT_URL", network.url)
        job = RunningJob(job_file, f"output.path={s3_url}")
        job.wait_for(begun.is_set)
        yield job


@FROZEN
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "_job/plan"), ("PUT", "generations/part"), ("PUT", "report.json"), ("PUT", "_SUCCESS")],
    ids=["planning", "committing", "reporting", "finishing"],
)
def test_while_the_store_is_slow(
    job_file: Path, s3_url: str, s3_endpoint: str, frozen: bool, method: str, path: str
) -> None:
    with waiting_at(job_file, s3_url, s3_endpoint, method, path) as job:
        errors = stop(job, signal.SIGTERM, frozen)
    assert "run the same command again" in errors
    if path == "generations/part" and not frozen:
        assert blamed_shards(s3_url) == []
    assert not open_store(s3_url).exists("_SUCCESS")


@FROZEN
def test_while_ray_shuts_down_a_job_that_is_done_stays_done(job_file: Path, frozen: bool) -> None:
    job = RunningJob(job_file)
    job.wait_for((job_file.parent / "out/_SUCCESS").exists)
    stop(job, signal.SIGTERM, frozen, code=0)


def test_when_its_terminal_is_closed(job_file: Path) -> None:
    """The kernel sends SIGHUP to all processes of the terminal; nothing can be written to it any more."""
    terminal, its_end = os.openpty()
    command = [sys.executable, "-m", "jobs", "run", str(job_file), "--set", "generation.max_new_tokens=100"]
    driver = subprocess.Popen(
        [sys.executable, "-c", _AS_FROM_A_SHELL, *command],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": "local"},
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    )
    os.close(its_end)
    closed = threading.Event()
    threading.Thread(target=_read, args=(terminal, closed), daemon=True).start()
    while not parts(job_file):
        assert driver.poll() is None
        time.sleep(0.05)
    out, begin = job_file.parent / "out", time.monotonic()
    started = below(driver.pid)
    closed.set()
    psutil.wait_procs(started, timeout=60)
    assert time.monotonic() - begin < SECONDS_PROMISED
    assert json.loads((out / "report.json").read_text())["state"] == "interrupted"
    assert blamed_shards(str(out)) == []


# The session's leader, as a shell is; the kernel tells it, and at its end the processes in its foreground.
_AS_FROM_A_SHELL = """
import fcntl, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


def _read(terminal: int, closed: threading.Event) -> None:
    """Read and forget what is written, until the terminal is closed."""
    while not closed.is_set():
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 1 << 16)
    os.close(terminal)

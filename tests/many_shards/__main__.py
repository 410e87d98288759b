"""python -m tests.many_shards --shards 100000

How long a run takes, and how much memory, to go on with a job of so many shards of which all but two are
committed: to the point where the missing ones are known, also through an S3 server that takes its time, to
the report of one that is interrupted, to the first that it commits, and to its end, for which it reads every
part; and, where all but one are missing, to its first commit. Makes the folders first, unless --place holds
them already.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.peak_memory import peak_memory
from pipeline.config.job import JobConfig
from pipeline.durable.commit import part_path, remaining
from pipeline.durable.operations import execute
from pipeline.errors import Interrupted
from pipeline.output.write_report import write_report
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan
from pipeline.run import run
from pipeline.storage.open_store import open_store
from tests.many_shards.folder import fill, make_config

MISSING = 2
SECONDS_OF_AN_ANSWER = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.many_shards", description=__doc__)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--place", type=Path, help="a folder to work in, instead of a temporary one")
    parser.add_argument("--measure", choices=MEASURES, help="only this, in the folder that is there")
    arguments = parser.parse_args()
    if arguments.measure:
        MEASURES[arguments.measure](arguments.place)
        return
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.place or Path(temporary)
        if not (place / "rows.jsonl").exists():
            fill(place, arguments.shards, MISSING)
        for name in MEASURES:  # in a process of its own, for its peak of memory
            command = [sys.executable, "-m", "tests.many_shards", "--place", str(place), "--measure", name]
            subprocess.run(command, check=True)


def resume(place: Path) -> None:
    """What a run does before anything is computed."""
    _resume(make_config(place))


def resume_on_s3(place: Path) -> None:
    """The same where the output folder is a bucket, a network away."""
    command = [sys.executable, "-m", "tests.many_shards.s3_server", str(place), str(SECONDS_OF_AN_ANSWER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        os.environ["AWS_ENDPOINT_URL"] = server.stdout.readline().strip()
        os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        print(f"on S3, {SECONDS_OF_AN_ANSWER * 1000:.0f} ms before each answer:", flush=True)
        try:
            _resume(make_config(place, "s3://out"))
        finally:
            server.kill()


def _resume(config: JobConfig) -> None:
    memory = _peak_memory()
    began, computed = time.perf_counter(), time.process_time()
    job, store = check_job(config), open_store(config.output.path)
    store.probe()
    plan = load_or_make_plan(job, store, extending=False)
    missing = execute(remaining(plan), store)
    _say("shards planned", len(plan.shards))
    _say("shards missing", len(missing))
    _say("until they are known, s", time.perf_counter() - began)
    _say("    of it CPU time, s", time.process_time() - computed)
    _say("    memory it took, MiB", _peak_memory() - memory)
    _say("    the process' peak, MiB", _peak_memory())


def interrupted(place: Path) -> None:
    """What a run that is asked to stop does once nothing is under way."""
    config = make_config(place)
    job, store = check_job(config), open_store(config.output.path)
    began = time.perf_counter()
    write_report(job, store, "interrupted", [], 0.0)
    _say("an interrupted run's report, s", time.perf_counter() - began)


def whole(place: Path) -> None:
    """A run to its end, with Ray and the demo's model."""
    config, memory = make_config(place), _peak_memory()
    store = open_store(config.output.path)
    missing = execute(remaining(load_or_make_plan(check_job(config), store, extending=False)), store)
    began, computed = time.time(), time.process_time()
    run(config)
    ended = time.time()
    commits = [Path(config.output.path, part_path(shard)).stat().st_mtime for shard in missing]
    _say("until the first commit, s", min(commits) - began)
    _say("from the last to the end, s", ended - max(commits))
    _say("    CPU time of the driver, s", time.process_time() - computed)
    _say("    memory it took, MiB", _peak_memory() - memory)


def begun(place: Path) -> None:
    """A run that misses all shards but one, stopped at its first commit."""
    fresh = place / "begun"
    if not fresh.exists():
        with (place / "rows.jsonl").open() as rows:  # of one shard each
            shards = sum(1 for _ in rows)
        fill(fresh, shards, shards - 1)
    config, memory = make_config(fresh), _peak_memory()
    began = time.perf_counter()

    def stop() -> None:
        while len(os.listdir(fresh / "out/generations")) == 1:
            time.sleep(0.05)
        _say("until the first of all, s", time.perf_counter() - began)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    with suppress(Interrupted):
        run(config)
    _say("    memory it took, MiB", _peak_memory() - memory)


def _peak_memory() -> float:
    return peak_memory() / 2**20


def _say(what: str, value: float) -> None:
    print(f"{what:30} {value:>10,.1f}" if isinstance(value, float) else f"{what:30} {value:>10,}", flush=True)


MEASURES = {
    "resume": resume,
    "resume-on-s3": resume_on_s3,
    "interrupted": interrupted,
    "begun": begun,
    "whole": whole,
}

if __name__ == "__main__":
    main()

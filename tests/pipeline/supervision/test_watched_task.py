"""The work of a Ray task, in a worker that is killed once it is stopped."""

import signal
import subprocess
import sys
from pathlib import Path

WORKER = """
import os, signal, sys
from pipeline.supervision.watched_task import Watched
watched = Watched(int, 1.0)
print(watched("2a", base=16), watched("7"), flush=True)
"""


def worker(life: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WORKER + life]
    root = Path(__file__).parents[3]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


def test_the_work_gets_what_is_given_and_its_result_is_passed_on() -> None:
    ended = worker("import time; time.sleep(3)")
    assert (ended.returncode, ended.stdout) == (0, "42 7\n"), (
        "between two tasks it may live as long as it likes"
    )


def test_a_worker_that_is_stopped_between_two_tasks_is_killed() -> None:
    ended = worker("os.kill(os.getpid(), signal.SIGSTOP)")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "42 7\n")
    assert "no progress for 1 s: killing process" in ended.stderr

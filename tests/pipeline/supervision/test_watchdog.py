"""The watchdog of a replica, with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPLICA = """
import os, sys, time
from pathlib import Path
from pipeline.supervision.watchdog import Watchdog
watchdog = Watchdog(float(sys.argv[1]))
watchdog.also_kill(map(int, sys.argv[2:]))
"""


@pytest.fixture
def stopped() -> "Iterator[subprocess.Popen[bytes]]":
    """A process that notices nothing, as a rank whose machine hangs."""
    process = subprocess.Popen(["sleep", "600"])
    os.kill(process.pid, signal.SIGSTOP)
    yield process
    process.kill()
    process.wait()


def replica(life: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", REPLICA + life, *map(str, arguments)]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)


def test_a_process_that_makes_no_progress_is_killed_and_others_with_it(
    stopped: "subprocess.Popen[bytes]",
) -> None:
    process = replica("watchdog.progressed(); time.sleep(600)", 0.5, stopped.pid)
    assert process.wait(30) == -signal.SIGKILL
    assert stopped.wait(10) == -signal.SIGKILL
    assert process.stderr is not None
    assert f"no progress for 0.5 s: killing process {process.pid}" in process.stderr.read()


def test_the_end_of_a_process_is_that_of_the_others(stopped: "subprocess.Popen[bytes]") -> None:
    assert replica("os._exit(3)", 60, stopped.pid).wait(30) == 3
    assert stopped.wait(10) == -signal.SIGKILL


def test_one_that_is_stopped_leaves_its_process_alone(stopped: "subprocess.Popen[bytes]") -> None:
    assert replica("watchdog.stop(); time.sleep(1); os._exit(3)", 0.5, stopped.pid).wait(30) == 3
    assert stopped.wait(10) == -signal.SIGKILL


def test_a_watchdog_that_was_killed_is_replaced_and_knows_the_others(
    stopped: "subprocess.Popen[bytes]",
) -> None:
    life = "watchdog._child.kill(); watchdog._child.wait(); watchdog.progressed(); os._exit(3)"
    assert replica(life, 60, stopped.pid).wait(30) == 3
    assert stopped.wait(10) == -signal.SIGKILL


def test_a_process_that_only_loads_lives_and_dies_once_it_is_stopped() -> None:
    process = replica("with watchdog.beating(): time.sleep(600)", 3.0)
    time.sleep(6)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGSTOP)
    assert process.wait(30) == -signal.SIGKILL

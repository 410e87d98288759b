import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.cluster import cpu_priority

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="policies are Linux's")

ROOT = Path(__file__).parents[3]
TELL = [sys.executable, "-S", "-c", "import os; print(os.sched_getscheduler(0))"]


def policy_of_a_child() -> int:
    return int(subprocess.run(TELL, capture_output=True, check=True).stdout)


def test_what_is_started_in_the_block_waits_and_what_comes_after_does_not() -> None:
    with cpu_priority.lowered():
        assert os.sched_getscheduler(0) == policy_of_a_child() == os.SCHED_BATCH
        with cpu_priority.lowered():
            pass
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == policy_of_a_child() == os.SCHED_OTHER


def test_the_engine_s_thread_does_not_wait_nor_does_what_it_starts() -> None:
    found: list[int] = []

    def engine() -> None:
        cpu_priority.normal()
        found.extend((os.sched_getscheduler(0), policy_of_a_child()))

    with cpu_priority.lowered():
        thread = threading.Thread(target=engine)
        thread.start()
        thread.join()
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert found == [os.SCHED_OTHER, os.SCHED_OTHER]


def test_a_thread_that_waits_already_is_left_so() -> None:
    policies: list[int] = []

    def idle() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with cpu_priority.lowered():
            policies.append(os.sched_getscheduler(0))
        cpu_priority.normal()
        policies.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=idle)
    thread.start()
    thread.join()
    assert policies == [os.SCHED_IDLE, os.SCHED_IDLE]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
def test_where_it_is_refused_all_stay_equal(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*request: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with cpu_priority.lowered():
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        cpu_priority.normal()


RUNNING = """
import os, psutil
from pipeline.cluster.session import connect
connect()
children = psutil.Process().children(recursive=True)
found = {child.name(): os.sched_getscheduler(child.pid) for child in children}
print(found["raylet"], found["gcs_server"], os.sched_getscheduler(0))
"""


def test_the_processes_of_a_local_ray_give_way() -> None:
    command = [sys.executable, "-c", RUNNING]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.split() == [str(os.SCHED_BATCH), str(os.SCHED_BATCH), str(os.SCHED_OTHER)]

import os
import subprocess
import sys
import threading

import pytest

from pipeline.precedence import go_first, waiting_for_the_tick

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="policies are Linux's")

TELL = [sys.executable, "-S", "-c", "import os; print(os.sched_getscheduler(0))"]


def policy_of_a_child() -> int:
    return int(subprocess.run(TELL, capture_output=True, check=True).stdout)


def test_what_is_started_in_the_block_waits_and_what_comes_after_does_not() -> None:
    with waiting_for_the_tick():
        assert os.sched_getscheduler(0) == policy_of_a_child() == os.SCHED_BATCH
        with waiting_for_the_tick():
            pass
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == policy_of_a_child() == os.SCHED_OTHER


def test_the_engine_s_thread_does_not_wait_nor_does_what_it_starts() -> None:
    found: list[int] = []

    def engine() -> None:
        go_first()
        found.extend((os.sched_getscheduler(0), policy_of_a_child()))

    with waiting_for_the_tick():
        thread = threading.Thread(target=engine)
        thread.start()
        thread.join()
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert found == [os.SCHED_OTHER, os.SCHED_OTHER]


def test_a_thread_that_waits_already_is_left_so() -> None:
    policies: list[int] = []

    def idle() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with waiting_for_the_tick():
            policies.append(os.sched_getscheduler(0))
        go_first()
        policies.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=idle)
    thread.start()
    thread.join()
    assert policies == [os.SCHED_IDLE, os.SCHED_IDLE]

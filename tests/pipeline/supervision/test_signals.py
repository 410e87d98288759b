import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Interrupted
from pipeline.supervision.signals import stopping_at_once

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def signal_and_wait(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(10)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_block_at_once_and_others_are_handled_as_before(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]

    @stopping_at_once()
    def trying_again() -> None:
        for _ in range(2):
            with suppress(Exception):
                signal_and_wait(number)

    begin = time.monotonic()
    with pytest.raises(Interrupted, match="run the same command again"):
        trying_again()
    assert time.monotonic() - begin < 10
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_what_ray_does_on_sigterm_is_an_interruption_too() -> None:
    @stopping_at_once()
    def connected() -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        signal_and_wait(signal.SIGTERM)

    with pytest.raises(Interrupted):
        connected()


def test_other_threads_leave_signals_alone() -> None:
    def handlers() -> list[Any]:
        with stopping_at_once():
            assert threading.current_thread() is not threading.main_thread()
            return [signal.getsignal(each) for each in SIGNALS]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handlers).result() == [signal.getsignal(each) for each in SIGNALS]


@pytest.mark.parametrize(("nohup", "code"), [([], 75), (["nohup"], 0)])
def test_a_closed_terminal_stops_a_run_unless_it_was_started_to_outlive_it(
    nohup: list[str], code: int
) -> None:
    program = (
        "import os, signal, time; from pipeline.supervision.signals import ending_at_once\n"
        "with ending_at_once(): os.kill(os.getpid(), signal.SIGHUP); time.sleep(0.1)"
    )
    root = Path(__file__).parents[3]
    ended = subprocess.run([*nohup, sys.executable, "-c", program], cwd=root, capture_output=True, timeout=60)
    assert ended.returncode == code

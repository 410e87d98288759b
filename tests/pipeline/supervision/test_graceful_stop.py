"""Signals while nothing is under way: a job ends at once, with the sentence that the same command goes on."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Interrupted
from pipeline.run import run
from pipeline.supervision.graceful_stop import stopping_on_signals
from pipeline.supervision.in_flight import InFlightShards
from pipeline.supervision.signals import stopping_at_once
from tests.many_shards.folder import fill, make_config

SIGNALS = (signal.SIGTERM, signal.SIGINT)


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


class NothingInFlight(InFlightShards):
    def __init__(self) -> None:
        pass

    def finish(self) -> None:
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_python_drops_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.supervision.graceful_stop._SECONDS_TO_LEAVE", 0.5)
    dropped = []

    class Deleted:
        def __del__(self) -> None:
            try:
                signal_and_wait(signal.SIGTERM)
            except KeyboardInterrupt:
                dropped.append(self)
                raise

    def interrupted_twice() -> None:
        with stopping_on_signals(NothingInFlight()):
            Deleted()
            assert len(dropped) == 1
            time.sleep(10)

    with pytest.raises(Interrupted):
        interrupted_twice()


def test_other_threads_leave_signals_alone() -> None:
    def handlers() -> list[Any]:
        with stopping_at_once():
            assert threading.current_thread() is not threading.main_thread()
            return [signal.getsignal(each) for each in SIGNALS]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handlers).result() == [signal.getsignal(each) for each in SIGNALS]


def test_a_run_that_is_stopped_while_it_adds_up_goes_on_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, shards=20, missing=0)
    with monkeypatch.context() as inside:
        inside.setattr(
            "pipeline.output.write_report.read_parts", lambda *given: signal_and_wait(signal.SIGTERM)
        )
        with pytest.raises(Interrupted):
            run(make_config(tmp_path))
    assert not (tmp_path / "out/_SUCCESS").exists()
    report = run(make_config(tmp_path))
    assert (report.state, report.rows) == ("done", 20)
    assert (tmp_path / "out/_SUCCESS").exists()

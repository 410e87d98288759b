"""Signals while nothing is under way: a job ends at once, with the sentence that the same command goes on."""

import os
import signal
import time
from pathlib import Path

import pytest

from pipeline.errors import Interrupted
from pipeline.run import run
from pipeline.supervision.graceful_stop import stopping_on_signals
from pipeline.supervision.in_flight import InFlightShards
from tests.many_shards.folder import fill, make_config

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def signal_and_wait(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(10)


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

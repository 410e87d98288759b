"""Calls that end: however long what they call waits."""

import os
import signal
import subprocess
import threading
import time

import pytest
from ray._private.utils import set_kill_on_parent_death_linux

from pipeline.cluster.ray_calls import NoAnswer, ask
from pipeline.errors import JobError


def wait_for_ever() -> None:
    threading.Event().wait()


def test_what_is_called_returns_or_raises() -> None:
    assert ask(lambda: 42, what="a number") == 42
    with pytest.raises(TimeoutError, match="its own"):
        ask(lambda: (_ for _ in ()).throw(TimeoutError("its own")), what="an error")


def test_what_gives_no_answer_is_an_error_of_the_machine() -> None:
    with pytest.raises(NoAnswer, match=r"no answer for 0\.2 s \(the weather\): its raylet or GCS") as raised:
        ask(wait_for_ever, 0.2, what="the weather")
    assert isinstance(raised.value, JobError)
    assert raised.value.exit_code == 1


def test_a_signal_is_heard_meanwhile() -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ask(wait_for_ever, 60, what="nothing")
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_kept_thread_starts_lives_on_though_it_shares_its_fate(kept: bool) -> None:
    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["sleep", "60"], preexec_fn=set_kill_on_parent_death_linux)

    child = ask(start, what="a child", keep_thread=kept)
    try:
        assert child.wait(1 if kept else 30) == -signal.SIGKILL
        assert not kept
    except subprocess.TimeoutExpired:
        assert kept
    finally:
        child.kill()
        child.wait()
